//! Clients that call the provider from inside their completion routines.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use abi::NTSTATUS;
use abi::nt::IRP;
use abi::status::{STATUS_CANCELLED, STATUS_PENDING, STATUS_SUCCESS};
use abi::wsk::*;
use cases::world::{Buffer, Call, Socket};
use ksim::buffer::Chain;
use ksim::client::TestIrp;
use wskrdma_runtime::{AnswerMode, Config};

use crate::stage::{MODES, Stage, accept, connect, receive};
use crate::world::Native;

/// A socket of the provider's, to be used from any thread.
#[derive(Clone, Copy)]
struct Raw(*mut WSK_SOCKET);

// SAFETY: the provider's functions may be called from any thread.
unsafe impl Send for Raw {}

impl Raw {
    /// A connection socket's table.
    fn table(self) -> &'static WSK_PROVIDER_CONNECTION_DISPATCH {
        // SAFETY: the socket is open.
        let table = unsafe { (*self.0).Dispatch };
        // SAFETY: the provider's tables are static.
        unsafe { &*table.cast() }
    }

    fn close(self, irp: *mut IRP) -> NTSTATUS {
        // Every table begins with these functions.
        let close = self.table().Basic.WskCloseSocket;
        // SAFETY: a call as its page says, the last one on the socket.
        unsafe { close(self.0, irp) }
    }

    fn send(self, chain: Option<&Chain>, irp: *mut IRP) -> NTSTATUS {
        let send = self.table().WskSend;
        let nothing = WSK_BUF { Mdl: ptr::null_mut(), Offset: 0, Length: 0 };
        let mut buffer = chain.map_or(nothing, Chain::whole);
        // SAFETY: a call as its page says; the chain lives as long as the request.
        unsafe { send(self.0, &mut buffer, 0, irp) }
    }

    fn receive(self, chain: &Chain, irp: *mut IRP) -> NTSTATUS {
        let receive = self.table().WskReceive;
        let mut buffer = chain.whole();
        // SAFETY: a call as its page says; the chain lives as long as the request.
        unsafe { receive(self.0, &mut buffer, 0, irp) }
    }
}

fn in_each_mode(test: impl Fn(&mut Stage)) {
    let _alone = ksim::exclusive();
    for answers in MODES {
        let mut stage = Stage { world: Native::start(Config { answers, ..Config::default() }) };
        test(&mut stage);
        stage.world.finish();
    }
}

impl Stage {
    /// The pointer of a socket that the test closes by itself.
    fn take(&mut self, socket: Socket) -> Raw {
        Raw(self.world.take(socket))
    }
}

/// An IRP for a close, and a routine that closes with it. The close may not be over before the routine is that asks for it.
fn closer(socket: Raw) -> (Arc<TestIrp>, impl FnMut(&ksim::client::Completion) + Send + 'static) {
    let closing = Arc::new(TestIrp::new());
    let inside = closing.clone();
    let mut socket = Some(socket);
    let close = move |_: &ksim::client::Completion| {
        if let Some(socket) = socket.take() {
            assert_eq!(socket.close(inside.submit()), STATUS_PENDING);
            assert!(
                inside.completion().is_none(),
                "the close comes after the routine that it was asked for in"
            );
        }
    };
    (closing, close)
}

/// A socket is closed in the completion routine of its own receive, which was served or cancelled.
#[test]
fn a_socket_is_closed_in_its_own_completion_routine() {
    in_each_mode(|stage| {
        for cancelled in [false, true] {
            let (_, near, far) = stage.pair();
            let raw = stage.take(near);
            let (closing, close) = closer(raw);
            let chain = Chain::zeroed(100);
            let receiving = TestIrp::new().with_hook(close);
            receiving.assert_pending(raw.receive(&chain, receiving.submit()));
            let expected = if cancelled {
                receiving.cancel();
                STATUS_CANCELLED
            } else {
                let buffer = Buffer { mdls: &[10], offset: 0, length: 10, position: Some(0) };
                let sending = stage.start(&Call::Send { on: far.into(), buffer: Some(buffer), flags: 0 });
                stage.end(sending);
                STATUS_SUCCESS
            };
            assert_eq!(receiving.wait().status, expected);
            assert_eq!(closing.wait().status, STATUS_SUCCESS);
        }
    });
}

/// In the completion routine of its connect a socket is connected: it can send.
#[test]
fn a_socket_sends_in_the_completion_routine_of_its_connect() {
    in_each_mode(|stage| {
        let (listener, at) = stage.listener();
        let near = stage.bound();
        let accepting = stage.start(&accept(listener));
        let raw = Raw(stage.world.pointer(near));
        let sending = Arc::new(TestIrp::new());
        let chain = Arc::new(Mutex::new(Chain::new(&[7; 100], &[], ksim::buffer::Pages::NonPagedPool)));
        let (inside, octets) = (sending.clone(), chain.clone());
        let mut to = ndk::SockAddr::from(at);
        let connecting = TestIrp::new().with_hook(move |end| {
            assert_eq!(end.status, STATUS_SUCCESS);
            inside.assert_pending(raw.send(Some(&octets.lock().unwrap()), inside.submit()));
        });
        let connect = raw.table().WskConnect;
        // SAFETY: a call as its page says.
        let returned = unsafe { connect(raw.0, (&raw mut to).cast(), 0, connecting.submit()) };
        connecting.assert_pending(returned);
        assert_eq!(connecting.wait().status, STATUS_SUCCESS);
        assert_eq!(sending.wait().information, 100);
        let far = stage.end(accepting).socket.unwrap();
        let arrived = stage.start(&receive(far, &[100], WSK_FLAG_WAITALL));
        assert_eq!(stage.end(arrived).information, 100);
        drop(chain);
    });
}

/// The completion routine of an accept closes both the new socket and the listening one.
#[test]
fn everything_is_closed_in_the_completion_routine_of_an_accept() {
    in_each_mode(|stage| {
        let (listener, at) = stage.listener();
        let near = stage.bound();
        let raw = stage.take(listener);
        let (closing_listener, mut close_listener) = closer(raw);
        let closing_far = Arc::new(TestIrp::new());
        let inside = closing_far.clone();
        let accepting = TestIrp::new().with_hook(move |end| {
            let far = Raw(ptr::with_exposed_provenance_mut(end.information));
            assert_eq!(far.close(inside.submit()), STATUS_PENDING);
            close_listener(end);
        });
        // SAFETY: the socket is open.
        let table = unsafe { (*raw.0).Dispatch };
        // SAFETY: a listening socket's table, which is static.
        let accept = unsafe { (*table.cast::<WSK_PROVIDER_LISTEN_DISPATCH>()).WskAccept };
        let none = ptr::null_mut();
        // SAFETY: a call as its page says.
        let returned =
            unsafe { accept(raw.0, 0, ptr::null_mut(), ptr::null(), none, none, accepting.submit()) };
        accepting.assert_pending(returned);
        let connecting = stage.start(&connect(near, at));
        stage.end(connecting);
        for closing in [closing_far, closing_listener] {
            assert_eq!(closing.wait().status, STATUS_SUCCESS);
        }
        assert_eq!(accepting.wait().status, STATUS_SUCCESS);
    });
}

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Each completion routine makes the next request, which ends inside the call. However long that goes on, the stack does not
/// grow with it.
#[test]
fn a_long_chain_of_completions_does_not_nest() {
    /// Requests in the chain.
    const LINKS: usize = 5_000;
    /// Routines on one stack: far more than the provider nests.
    const DEPTH_MAX: usize = 64;
    let _alone = ksim::exclusive();
    let config = Config { answers: AnswerMode::Inline, ..Config::default() };
    let mut stage = Stage { world: Native::start(config) };
    let (_, near, _) = stage.pair();
    let raw = Raw(stage.world.pointer(near));
    let deepest = Arc::new(AtomicUsize::new(0));
    // Made from the last to the first: each knows the next.
    let mut next: Option<Arc<TestIrp>> = None;
    let mut all = Vec::new();
    for _ in 0..LINKS {
        let (mut follower, seen) = (next.take(), deepest.clone());
        let irp = Arc::new(TestIrp::new().with_hook(move |end| {
            assert_eq!((end.status, end.information), (STATUS_SUCCESS, 0));
            DEPTH.set(DEPTH.get() + 1);
            seen.fetch_max(DEPTH.get(), Ordering::SeqCst);
            // Taken, so that dropping the chain does not nest either.
            if let Some(follower) = follower.take() {
                follower.assert_pending(raw.send(None, follower.submit()));
            }
            DEPTH.set(DEPTH.get() - 1);
        }));
        all.push(irp.clone());
        next = Some(irp);
    }
    let first = next.unwrap();
    first.assert_pending(raw.send(None, first.submit()));
    for irp in all.iter().rev() {
        assert_eq!(irp.wait().status, STATUS_SUCCESS);
    }
    ksim::quiesce();
    assert!(deepest.load(Ordering::SeqCst) <= DEPTH_MAX, "{deepest:?} routines on one stack");
    drop((first, all));
    stage.world.finish();
}
