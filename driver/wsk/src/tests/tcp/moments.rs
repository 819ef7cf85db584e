//! Cancelling and closing at every moment of what needs the system: WskSocket, WskBind, WskConnect over both ways,
//! WskAccept, WskCloseSocket.
//!
//! The kernel is stopped, a request begins, so many generations of work items and DPCs run, somebody interferes, and
//! everything runs again. Whatever happens, every request ends once, and nothing is left here or at the system.

use std::vec::Vec;

use abi::NTSTATUS;
use abi::status::*;
use abi::wsk::*;
use ksim::client::TestIrp;
use ksim::wsk::{Answers, Route, route};
use softndk::AnswerMode;

use super::super::crank::Crank;
use super::super::harness::{Connection, loopback};
use super::super::listening::client::{Event, Listening, talk};
use super::stage::*;

/// No request takes more steps.
const STEPS_MAX: usize = 200;
/// Steps that are played after the request is over.
const BEYOND: usize = 2;
const PORT: u16 = 42_000;

/// What a connect meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    /// RDMA.
    Rdma,
    /// A refusal over RDMA, then TCP.
    FallsBack,
    /// TCP alone.
    Tcp,
    /// A refusal both ways.
    Refused,
    /// A refusal over RDMA, then nobody who answers.
    Hangs,
}

const SCENES: [Scene; 5] = [Scene::Rdma, Scene::FallsBack, Scene::Tcp, Scene::Refused, Scene::Hangs];

/// What somebody does in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// The connect is cancelled.
    Cancel,
    /// The same, and another one begins at once.
    CancelAndAgain,
    /// The socket is closed.
    Close,
    /// The connect is cancelled and the socket closed.
    CancelAndClose,
}

const DEEDS: [Deed; 4] = [Deed::Cancel, Deed::CancelAndAgain, Deed::Close, Deed::CancelAndClose];

fn ways_of(scene: Scene, ways: (AnswerMode, Answers)) -> Stage {
    let rules: &[&str] = if scene == Scene::Tcp { &["never out any"] } else { &[] };
    // RDMA is tried in each play.
    let settings = crate::Settings { retry_after: 0, ..crate::Settings::DEFAULT };
    let stage = Stage::with(rules, ways, settings);
    if scene == Scene::Hangs {
        route(loopback(PORT), Some(Route::Hangs));
    }
    stage
}

/// Who listens in a scene.
enum There {
    Ours(super::super::harness::ListenSocket),
    Plain(Connection),
    Nobody,
}

impl There {
    fn new(stage: &Stage, scene: Scene) -> Self {
        match scene {
            Scene::Rdma => Self::Ours(stage.world.listen(PORT)),
            Scene::FallsBack | Scene::Tcp => Self::Plain(stage.plain.listener(PORT)),
            Scene::Refused | Scene::Hangs => Self::Nobody,
        }
    }

    fn close(self) {
        match self {
            Self::Ours(listener) => listener.close(),
            Self::Plain(listener) => listener.close(),
            Self::Nobody => {}
        }
    }
}

fn is_end(status: NTSTATUS) -> bool {
    matches!(status, STATUS_SUCCESS | STATUS_CANCELLED | STATUS_CONNECTION_REFUSED)
}

#[track_caller]
fn ended(irp: &TestIrp, what: &str) -> NTSTATUS {
    let status = irp.wait().status;
    assert!(is_end(status), "{what}: {status:#x}");
    assert_eq!(irp.completions(), 1, "{what}");
    status
}

/// One connect, with a deed after so many steps. Whether the connect was over by then.
fn connect_play(stage: &Stage, scene: Scene, deed: Deed, steps: usize) -> bool {
    let there = There::new(stage, scene);
    let near = stage.world.connection();
    let mut crank = Crank::hold();
    let connecting = near.connect(PORT);
    for _ in 0..steps {
        crank.step();
    }
    let over = connecting.completion().is_some();
    if deed != Deed::Close {
        connecting.cancel();
    }
    let again = (deed == Deed::CancelAndAgain).then(|| near.connect(PORT));
    let closing = matches!(deed, Deed::Close | Deed::CancelAndClose).then(|| near.alias().start_close());
    drop(crank);
    let what = std::format!("{scene:?} {deed:?} {steps}");
    if let Some(closing) = &closing {
        assert_eq!(ended(closing, &what), STATUS_SUCCESS);
    }
    let mut hangs = scene == Scene::Hangs;
    if deed == Deed::Cancel && hangs {
        ksim::quiesce();
    }
    hangs &= connecting.completion().is_none();
    assert!(!hangs, "{what}: not cancelled");
    let connected = ended(&connecting, &what) == STATUS_SUCCESS;
    if let Some(again) = again {
        if scene == Scene::Hangs {
            ksim::quiesce();
            again.cancel();
        }
        let status = again.wait().status;
        let may = if connected { status == STATUS_CONNECTION_ACTIVE } else { is_end(status) };
        assert!(may, "{what}: {status:#x}");
        assert_eq!(again.completions(), 1);
    }
    if closing.is_none() {
        near.close();
    }
    there.close();
    // The adapter lets go of a listener's address a little later.
    ksim::quiesce();
    over
}

fn play_connects(scene: Scene, deeds: &[Deed], ways: (AnswerMode, Answers)) {
    for &deed in deeds {
        let stage = ways_of(scene, ways);
        let (mut steps, mut beyond) = (0, 0);
        // A connect that hangs is over when nothing happens any more.
        while beyond < BEYOND && !(scene == Scene::Hangs && steps > 40) {
            beyond += usize::from(connect_play(&stage, scene, deed, steps));
            steps += 1;
            assert!(steps < STEPS_MAX, "{scene:?} {deed:?}: it has no end");
        }
        ksim::quiesce();
        assert_eq!(ksim::wsk::outstanding().sockets, 0, "{scene:?} {deed:?}");
        assert!(stage.views().is_empty());
        stage.finish();
    }
}

#[test]
fn connects_that_are_answered_later() {
    for scene in SCENES {
        play_connects(scene, &DEEDS, (AnswerMode::Later, Answers::Later));
    }
}

#[test]
fn connects_that_are_answered_at_once() {
    for scene in SCENES {
        play_connects(scene, &[Deed::CancelAndAgain, Deed::Close], (AnswerMode::Inline, Answers::Inline));
    }
}

#[test]
fn connects_that_are_answered_before_their_functions_return() {
    for scene in SCENES {
        play_connects(scene, &[Deed::CancelAndAgain, Deed::Close], (AnswerMode::Early, Answers::Later));
    }
}

/// The socket is closed while it is bound.
#[test]
fn a_bind() {
    for answers in [Answers::Inline, Answers::Later] {
        let stage = ways_of(Scene::Tcp, (AnswerMode::Inline, answers));
        for flags in [WSK_FLAG_CONNECTION_SOCKET, WSK_FLAG_LISTEN_SOCKET, WSK_FLAG_STREAM_SOCKET] {
            for steps in 0..16 {
                let made = begin_socket(stage.world.npi(), flags, core::ptr::null_mut(), core::ptr::null());
                let socket = Connection::from_accept(made.wait().information);
                let mut crank = Crank::hold();
                let binding = bind(&socket, loopback(PORT));
                for _ in 0..steps {
                    crank.step();
                }
                let over = binding.completion().is_some();
                binding.cancel();
                let closing = socket.start_close();
                drop(crank);
                assert_eq!(ended(&closing, "close"), STATUS_SUCCESS);
                let status = ended(&binding, "bind");
                assert!(!over || status == STATUS_SUCCESS);
            }
        }
        stage.finish();
    }
}

/// A stream socket is closed while it becomes a listening one.
#[test]
fn a_listen() {
    for answers in [Answers::Inline, Answers::Later] {
        let stage = ways_of(Scene::Rdma, (AnswerMode::Later, answers));
        for steps in 0..24 {
            let flags = WSK_FLAG_STREAM_SOCKET;
            let made = begin_socket(stage.world.npi(), flags, core::ptr::null_mut(), core::ptr::null());
            let socket = Connection::from_accept(made.wait().information);
            // SAFETY: the socket is open.
            let table = unsafe { (*socket.raw()).Dispatch };
            // SAFETY: a stream socket's table, which is static.
            let table = unsafe { &*table.cast::<WSK_PROVIDER_STREAM_DISPATCH>() };
            let mut at = ndk::SockAddr::from(loopback(PORT));
            let bound = super::super::harness::request(|irp| {
                // SAFETY: a call as its page says.
                unsafe { (table.WskBind)(socket.raw(), (&raw mut at).cast(), 0, irp) }
            });
            assert_eq!(bound.wait().status, STATUS_SUCCESS);
            let mut crank = Crank::hold();
            // SAFETY: a call as its page says.
            let listening =
                super::super::harness::request(|irp| unsafe { (table.WskListen)(socket.raw(), irp) });
            for _ in 0..steps {
                crank.step();
            }
            let closing = socket.start_close();
            drop(crank);
            assert_eq!(ended(&closing, "close"), STATUS_SUCCESS);
            ended(&listening, "listen");
            ksim::quiesce();
            assert_eq!(ksim::wsk::outstanding().sockets, 0);
        }
        stage.finish();
    }
}

/// What happens while a connection arrives over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// The listening socket is closed.
    Close,
    /// A WskAccept, which may wait already, is cancelled.
    CancelAccept,
    /// The peer is gone.
    PeerCloses,
    /// The twin dies.
    Kill,
}

#[test]
fn an_arrival() {
    for answers in [Answers::Inline, Answers::Later] {
        for at in [At::Close, At::CancelAccept, At::PeerCloses, At::Kill] {
            for by_event in [false, true] {
                arrive(answers, at, by_event);
            }
        }
    }
}

fn arrive(answers: Answers, at: At, by_event: bool) {
    let stage = ways_of(Scene::Rdma, (AnswerMode::Inline, answers));
    for steps in 0..14 {
        let listener = Listening::new(&stage.world);
        if by_event {
            assert_eq!(listener.set_events(WSK_EVENT_ACCEPT | WSK_EVENT_RECEIVE), STATUS_SUCCESS);
        }
        let peer = stage.plain.bound(WSK_FLAG_CONNECTION_SOCKET, loopback(0));
        let mut crank = Crank::hold();
        let accept = (!by_event).then(|| listener.accept());
        let connecting = peer.connect(listener.port);
        for _ in 0..steps {
            crank.step();
        }
        let mut closing = None;
        let mut peer = Some(peer);
        let mut peer_closing = None;
        match at {
            At::Close => closing = Some(listener.start_close()),
            At::CancelAccept => {
                if let Some(accept) = &accept {
                    accept.cancel();
                }
            }
            At::PeerCloses => peer_closing = peer.take().map(Connection::start_close),
            At::Kill => {
                let listens = |s: &&ksim::wsk::SocketInfo| s.category == WSK_FLAG_LISTEN_SOCKET;
                let twin = ksim::wsk::sockets().iter().find(listens).map(|twin| twin.socket);
                if let Some(twin) = twin {
                    ksim::wsk::kill(twin);
                }
            }
        }
        drop(crank);
        connecting.wait();
        ksim::quiesce();
        let mut far = Vec::new();
        let closing = closing.unwrap_or_else(|| listener.start_close());
        assert_eq!(ended(&closing, "close"), STATUS_SUCCESS);
        if let Some(accept) = accept {
            let end = accept.wait();
            assert!(is_end(end.status), "{:#x}", end.status);
            if end.status == STATUS_SUCCESS {
                far.push(Connection::from_accept(end.information));
            }
        }
        for event in listener.client.rest() {
            if let Event::Accept { socket, .. } = event {
                far.push(socket.connection());
            }
        }
        assert!(far.len() <= 1);
        if let (Some(peer), Some(far), STATUS_SUCCESS) = (&peer, far.first(), connecting.wait().status)
            && !by_event
        {
            talk(peer, far);
        }
        far.into_iter().for_each(Connection::close);
        if let Some(peer) = peer {
            peer.close();
        }
        if let Some(closing) = peer_closing {
            assert_eq!(closing.wait().status, STATUS_SUCCESS);
        }
        ksim::quiesce();
        assert_eq!(ksim::wsk::outstanding().sockets, 0, "{at:?} {by_event} {steps}");
    }
    stage.finish();
}

/// Requests wait on a connection over TCP when its socket is closed, at every moment of the close.
#[test]
fn a_close_with_requests() {
    for answers in [Answers::Inline, Answers::Later] {
        let stage = ways_of(Scene::Tcp, (AnswerMode::Inline, answers));
        let listener = stage.plain.listener(PORT);
        for steps in 0..10 {
            let near = stage.world.connection();
            assert_eq!(near.connect(PORT).wait().status, STATUS_SUCCESS);
            let far = Connection::from_accept(accept(&listener).wait().information);
            let receive = near.receive(10);
            let send = near.send(&[1; 300_000]);
            let mut crank = Crank::hold();
            let closing = near.start_close();
            for _ in 0..steps {
                crank.step();
            }
            receive.cancel();
            drop(crank);
            assert_eq!(ended(&closing, "close"), STATUS_SUCCESS);
            assert_eq!(receive.wait().status, STATUS_CANCELLED);
            assert_eq!(send.wait().status, STATUS_CANCELLED);
            far.close();
        }
        listener.close();
        stage.finish();
    }
}
