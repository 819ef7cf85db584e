//! Interferences at every moment between a connect and its callback.
//!
//! A scene begins a connect with the kernel stopped, lets it go on for so many steps, interferes, and lets everything run.
//! Whatever happens, every request ends, the callbacks that a client sees make sense, and nothing is left.

use std::collections::HashMap;
use std::vec::Vec;

use abi::NTSTATUS;
use abi::status::*;
use abi::wsk::*;
use ksim::client::TestIrp;
use softndk::AnswerMode;

use super::super::crank::Crank;
use super::super::harness::{Connection, World};
use super::client::*;
use crate::Settings;
use crate::listen::ListenSocket;

/// No connect takes more steps.
const STEPS_MAX: usize = 400;
/// Steps that are played after the connect is over, for what the listening side still does.
const BEYOND: usize = 4;

/// What the callbacks answer.
#[derive(Clone, Copy, Debug)]
struct Scene {
    /// WskInspectEvent, under conditional accept.
    inspect: Option<WSK_INSPECT_ACTION>,
    /// WskAcceptEvent.
    accept: NTSTATUS,
}

const SCENES: [Scene; 5] = [
    Scene { inspect: None, accept: STATUS_SUCCESS },
    Scene { inspect: None, accept: STATUS_REQUEST_NOT_ACCEPTED },
    Scene { inspect: Some(WskInspectAccept), accept: STATUS_SUCCESS },
    Scene { inspect: Some(WskInspectReject), accept: STATUS_SUCCESS },
    Scene { inspect: Some(WskInspectPend), accept: STATUS_SUCCESS },
];

/// What somebody does in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// WskCloseSocket of the listening socket.
    Close,
    /// It dies.
    Die,
    /// WskAcceptEvent is disabled, with an IRP.
    Disable,
    /// The same, and the IRP is cancelled.
    DisableAndCancel,
    /// WskAccept.
    Accept,
    /// The same, cancelled.
    AcceptAndCancel,
    /// WskInspectComplete of every request that is known.
    Complete(WSK_INSPECT_ACTION),
    /// The connect is cancelled.
    CancelConnect,
    /// The connecting socket is closed.
    CloseNear,
}

/// One performance.
struct Play {
    listener: Listening,
    near: Option<Connection>,
    events: Vec<Event>,
    /// Pending requests, and what they may end with.
    requests: Vec<(TestIrp, &'static [NTSTATUS])>,
    accepts: Vec<TestIrp>,
    closing: Option<TestIrp>,
    dead: bool,
}

impl Play {
    fn look(&mut self) {
        self.events.extend(self.listener.client.seen());
    }

    /// The requests that the client has been asked about and has heard nothing of since.
    fn known(&mut self) -> Vec<WSK_INSPECT_ID> {
        self.look();
        let asked = self.events.iter().filter_map(|event| match event {
            Event::Inspect { id, .. } => Some(*id),
            _ => None,
        });
        asked.filter(|id| !self.events.contains(&Event::Abort(*id))).collect()
    }

    fn act(&mut self, deed: Deed, connecting: &TestIrp) {
        let disable = WSK_EVENT_DISABLE | WSK_EVENT_ACCEPT;
        if self.closing.is_some() && !matches!(deed, Deed::CancelConnect | Deed::CloseNear) {
            return;
        }
        match deed {
            Deed::Close => self.closing = Some(self.listener.start_close()),
            Deed::Die => {
                ListenSocket::no_longer_functional(&self.listener.socket());
                self.dead = true;
            }
            Deed::Disable | Deed::DisableAndCancel => {
                let disabling = self.listener.request_events(disable);
                if deed == Deed::DisableAndCancel {
                    disabling.cancel();
                }
                self.requests
                    .push((disabling, &[STATUS_SUCCESS, STATUS_CANCELLED, STATUS_FILE_FORCED_CLOSED]));
            }
            Deed::Accept | Deed::AcceptAndCancel => {
                let accept = self.listener.accept();
                if deed == Deed::AcceptAndCancel {
                    accept.cancel();
                }
                self.accepts.push(accept);
            }
            Deed::Complete(action) => {
                for id in self.known() {
                    let done = self.listener.complete(id, action);
                    self.requests.push((done, &[STATUS_SUCCESS, STATUS_FILE_FORCED_CLOSED]));
                }
            }
            Deed::CancelConnect => {
                connecting.cancel();
            }
            Deed::CloseNear => {
                if let Some(near) = self.near.take() {
                    self.requests.push((near.start_close(), &[STATUS_SUCCESS]));
                }
            }
        }
    }

    /// Lets everything end.
    fn end(mut self, scene: Scene, connecting: &TestIrp) {
        ksim::quiesce();
        if self.closing.is_none() {
            self.act(Deed::Complete(WskInspectAccept), connecting);
        }
        let connected = connecting.wait().status == STATUS_SUCCESS;
        for (request, ends) in &self.requests {
            let end = request.wait();
            assert!(ends.contains(&end.status), "{:#x}", end.status);
            assert_eq!(request.completions(), 1);
        }
        if self.closing.is_none() && !self.dead {
            // A connection that nobody has got yet is delivered now.
            assert_eq!(self.listener.set_events(WSK_EVENT_ACCEPT), STATUS_SUCCESS);
        }
        ksim::quiesce();
        let closing = self.closing.take().unwrap_or_else(|| self.listener.start_close());
        assert_eq!((closing.wait().status, closing.wait().information), (STATUS_SUCCESS, 0));
        ksim::quiesce();
        self.look();
        let mut far = self.sockets(scene);
        for accept in &self.accepts {
            let end = accept.wait();
            let ends = [STATUS_SUCCESS, STATUS_CANCELLED, STATUS_FILE_FORCED_CLOSED];
            assert!(ends.contains(&end.status), "{:#x}", end.status);
            if end.status == STATUS_SUCCESS {
                far.push(Connection::from_accept(end.information));
            } else {
                assert_eq!(end.information, 0);
            }
        }
        assert!(far.len() <= 1, "one connection, one socket");
        if let (true, Some(near), Some(far)) = (connected, &self.near, far.first()) {
            talk(near, far);
        }
        far.into_iter().for_each(Connection::close);
        if let Some(near) = self.near.take() {
            near.close();
        }
    }

    /// The sockets that the client has got by its callback. The order of the callbacks makes sense.
    fn sockets(&self, scene: Scene) -> Vec<Connection> {
        let mut asked = HashMap::new();
        let mut sockets = Vec::new();
        let mut deaths = 0;
        for event in &self.events {
            match event {
                Event::Inspect { id, .. } => {
                    let id = (id.Key, id.SerialNumber);
                    assert_eq!(asked.insert(id, false), None, "one question for a request");
                }
                Event::Abort(id) => {
                    let told = asked.get_mut(&(id.Key, id.SerialNumber)).expect("asked before");
                    assert!(!*told, "told once");
                    *told = true;
                    assert_ne!(scene.inspect, Some(WskInspectReject));
                }
                Event::Accept { socket, .. } if scene.accept == STATUS_SUCCESS => {
                    assert!(asked.values().all(|told| !told), "an aborted request is not established");
                    sockets.push(socket.connection());
                }
                Event::Accept { .. } => {}
                Event::Death | Event::InspectDeath => deaths += 1,
            }
        }
        assert!(deaths <= 1);
        sockets
    }
}

/// Several deeds at once are played over the adapter that is hardest to follow: it answers before its functions return.
fn play(scene: Scene, deeds: &[Deed]) {
    let modes = if deeds.len() == 1 { &MODES[..] } else { &[AnswerMode::Early] };
    for &answers in modes {
        let world = World::answering(Settings::DEFAULT, answers);
        let (mut steps, mut beyond) = (0, 0);
        while beyond < BEYOND {
            let mut listener = Listening::created(&world, Client::new());
            if let Some(action) = scene.inspect {
                assert_eq!(ListenSocket::set_conditional_accept(&listener.socket(), true), Ok(()));
                listener.client.on_inspect(move |_| action);
            }
            listener.client.on_accept(move |_| scene.accept);
            listener.bind();
            assert_eq!(listener.set_events(WSK_EVENT_ACCEPT), STATUS_SUCCESS);
            let near = world.connection();
            let mut crank = Crank::hold();
            let connecting = near.connect(listener.port);
            let mut play = Play {
                listener,
                near: Some(near),
                events: Vec::new(),
                requests: Vec::new(),
                accepts: Vec::new(),
                closing: None,
                dead: false,
            };
            for _ in 0..steps {
                crank.step();
            }
            let held = scene.inspect == Some(WskInspectPend) && !play.known().is_empty();
            beyond += usize::from(held || connecting.completion().is_some());
            for deed in deeds {
                play.act(*deed, &connecting);
            }
            drop(crank);
            play.end(scene, &connecting);
            steps += 1;
            assert!(steps < STEPS_MAX, "{scene:?} {deeds:?} {answers:?}: it has no end");
        }
        world.finish();
    }
}

/// In the scenes where a connection comes about.
fn play_all(deeds: &[Deed]) {
    for scene in [SCENES[0], SCENES[2], SCENES[4]] {
        play(scene, deeds);
    }
}

#[test]
fn the_listening_socket_is_closed() {
    for scene in SCENES {
        play(scene, &[Deed::Close]);
    }
}

#[test]
fn the_listening_socket_dies() {
    play_all(&[Deed::Die]);
    play_all(&[Deed::Die, Deed::Close]);
}

#[test]
fn the_event_is_disabled() {
    play_all(&[Deed::Disable]);
    play_all(&[Deed::DisableAndCancel]);
    play_all(&[Deed::Disable, Deed::Disable, Deed::Close]);
}

#[test]
fn somebody_accepts() {
    play_all(&[Deed::Accept]);
    play_all(&[Deed::AcceptAndCancel]);
    play_all(&[Deed::Disable, Deed::Accept, Deed::Close]);
}

#[test]
fn the_peer_gives_up() {
    play_all(&[Deed::CancelConnect]);
    play_all(&[Deed::CloseNear]);
    play_all(&[Deed::CloseNear, Deed::Close]);
}

#[test]
fn a_verdict_comes() {
    let pend = SCENES[4];
    for action in [WskInspectAccept, WskInspectReject] {
        play(pend, &[Deed::Complete(action)]);
        play(pend, &[Deed::Complete(action), Deed::Close]);
        play(pend, &[Deed::Complete(action), Deed::CloseNear]);
        play(pend, &[Deed::CloseNear, Deed::Complete(action)]);
        play(pend, &[Deed::CancelConnect, Deed::Complete(action), Deed::Close]);
        play(pend, &[Deed::Complete(action), Deed::Complete(WskInspectAccept), Deed::Die]);
    }
}
