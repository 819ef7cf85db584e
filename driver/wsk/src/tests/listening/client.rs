//! A client whose callbacks note what they see and answer as a test says.

use core::ffi::c_void;
use core::net::SocketAddr;
use core::ptr;
use core::time::Duration;
use std::boxed::Box;
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread_local;
use std::vec::Vec;

use abi::NTSTATUS;
use abi::nt::{DISPATCH_LEVEL, IRP};
use abi::status::{STATUS_PENDING, STATUS_SUCCESS};
use abi::wsk::*;
use kernel::irql;
use kernel::pool::Shared;
use ksim::client::TestIrp;
use ksim::pool::{Failing, fail_after};
use softndk::AnswerMode;

use super::super::harness::{Connection, World, call, is_calling, loopback, request};
use super::super::watcher::{CALLBACKS, Watcher};
use crate::Settings;
use crate::listen::ListenSocket;

const PATIENCE: Duration = Duration::from_secs(4);
/// Each way in which the adapter may answer.
pub(in crate::tests) const MODES: [AnswerMode; 3] =
    [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early];

/// A pointer that may go to another thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::tests) struct Raw(pub(in crate::tests) *mut WSK_SOCKET);

// SAFETY: the provider's functions may be called from any thread.
unsafe impl Send for Raw {}

impl Raw {
    /// WskCloseSocket; every table begins with it.
    pub(in crate::tests) fn close(self, irp: *mut IRP) -> NTSTATUS {
        // SAFETY: the socket is open.
        let table = unsafe { (*self.0).Dispatch };
        // SAFETY: the provider's tables are static.
        let close = unsafe { (*table.cast::<WSK_PROVIDER_BASIC_DISPATCH>()).WskCloseSocket };
        // SAFETY: a call as its page says, the last one on the socket.
        call(|| unsafe { close(self.0, irp) })
    }

    pub(in crate::tests) fn connection(self) -> Connection {
        Connection::from_accept(self.0.expose_provenance())
    }
}

/// What a callback has seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::tests) enum Event {
    Accept {
        socket: Raw,
        local: SocketAddr,
        remote: SocketAddr,
    },
    Inspect {
        id: WSK_INSPECT_ID,
        local: SocketAddr,
        remote: SocketAddr,
    },
    Abort(WSK_INSPECT_ID),
    /// WskAcceptEvent without a socket.
    Death,
    /// WskInspectEvent without an id.
    InspectDeath,
}

thread_local! {
    static SCARCE: Cell<Option<Failing>> = const { Cell::new(None) };
}

/// No allocation of this thread succeeds until it calls WskAbortEvent.
pub(in crate::tests) fn starve() {
    SCARCE.set(Some(fail_after(0)));
}

type Answer<T, R> = Box<dyn FnMut(T) -> R + Send>;

#[derive(Default)]
struct Answers {
    accept: Option<Answer<Raw, NTSTATUS>>,
    inspect: Option<Answer<WSK_INSPECT_ID, WSK_INSPECT_ACTION>>,
}

/// The client: its address is the socket's context.
pub(in crate::tests) struct Client {
    table: WSK_CLIENT_LISTEN_DISPATCH,
    events: Mutex<VecDeque<Event>>,
    changed: Condvar,
    answers: Mutex<Answers>,
    /// Whose context and callbacks accepted sockets get.
    heir: Mutex<Option<Arc<Watcher>>>,
    inside: AtomicBool,
    closed: AtomicBool,
}

impl Client {
    pub(in crate::tests) fn new() -> Arc<Self> {
        Self::with(WSK_CLIENT_LISTEN_DISPATCH {
            WskAcceptEvent: Some(accept_event),
            WskInspectEvent: Some(inspect_event),
            WskAbortEvent: Some(abort_event),
        })
    }

    pub(in crate::tests) fn with(table: WSK_CLIENT_LISTEN_DISPATCH) -> Arc<Self> {
        Arc::new(Self {
            table,
            events: Mutex::default(),
            changed: Condvar::new(),
            answers: Mutex::default(),
            heir: Mutex::default(),
            inside: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        })
    }

    /// What WskAcceptEvent answers, instead of SUCCESS.
    pub(in crate::tests) fn on_accept(&self, answer: impl FnMut(Raw) -> NTSTATUS + Send + 'static) {
        self.answers.lock().unwrap().accept = Some(Box::new(answer));
    }

    /// Accepted sockets get the callbacks of `watcher`.
    pub(in crate::tests) fn bequeath(&self, watcher: &Arc<Watcher>) {
        *self.heir.lock().unwrap() = Some(watcher.clone());
    }

    /// What WskInspectEvent answers, instead of Accept.
    pub(in crate::tests) fn on_inspect(
        &self,
        answer: impl FnMut(WSK_INSPECT_ID) -> WSK_INSPECT_ACTION + Send + 'static,
    ) {
        self.answers.lock().unwrap().inspect = Some(Box::new(answer));
    }

    pub(in crate::tests) fn note(&self, event: Event) {
        self.events.lock().unwrap().push_back(event);
        self.changed.notify_all();
    }

    /// The next event; it has to come.
    #[track_caller]
    pub(in crate::tests) fn next(&self) -> Event {
        let events = self.events.lock().unwrap();
        let (mut events, _) =
            self.changed.wait_timeout_while(events, PATIENCE, |events| events.is_empty()).unwrap();
        events.pop_front().expect("no callback comes")
    }

    #[track_caller]
    pub(in crate::tests) fn accepted(&self) -> (Connection, SocketAddr, SocketAddr) {
        match self.next() {
            Event::Accept { socket, local, remote } => (socket.connection(), local, remote),
            other => panic!("{other:?} instead of WskAcceptEvent"),
        }
    }

    #[track_caller]
    pub(in crate::tests) fn inspected(&self) -> WSK_INSPECT_ID {
        match self.next() {
            Event::Inspect { id, .. } => id,
            other => panic!("{other:?} instead of WskInspectEvent"),
        }
    }

    /// Everything that has happened so far.
    pub(in crate::tests) fn seen(&self) -> Vec<Event> {
        self.events.lock().unwrap().drain(..).collect()
    }

    /// Everything that has happened, once nothing runs any more.
    pub(in crate::tests) fn rest(&self) -> Vec<Event> {
        ksim::quiesce();
        self.seen()
    }

    fn enter(&self) {
        assert!(!is_calling(), "a callback inside a client's call");
        assert!(!self.closed.load(Ordering::SeqCst), "a callback after the close");
        assert!(!self.inside.swap(true, Ordering::SeqCst), "two callbacks at once");
    }

    fn leave(&self) {
        self.inside.store(false, Ordering::SeqCst);
    }
}

/// # Safety
/// As for the callback.
unsafe fn address(raw: *mut SOCKADDR) -> SocketAddr {
    // SAFETY: the caller's promise.
    unsafe { ndk::socket_addr_from_raw(raw) }.expect("an address")
}

unsafe extern "system" fn accept_event(
    context: *mut c_void,
    flags: u32,
    local: *mut SOCKADDR,
    remote: *mut SOCKADDR,
    socket: *mut WSK_SOCKET,
    new_context: *mut *mut c_void,
    new_dispatch: *mut *const WSK_CLIENT_CONNECTION_DISPATCH,
) -> NTSTATUS {
    // SAFETY: the context is a client that outlives its socket.
    let client = unsafe { &*context.cast::<Client>() };
    client.enter();
    let level = if irql::current() == DISPATCH_LEVEL { WSK_FLAG_AT_DISPATCH_LEVEL } else { 0 };
    assert_eq!(flags, level);
    // SAFETY: valid during the call.
    assert!(unsafe { *new_context }.is_null());
    // SAFETY: valid during the call.
    assert!(unsafe { *new_dispatch }.is_null());
    let status = if socket.is_null() {
        assert!(local.is_null() && remote.is_null());
        client.note(Event::Death);
        STATUS_SUCCESS
    } else {
        // SAFETY: valid during the call.
        let local = unsafe { address(local) };
        // SAFETY: valid during the call.
        let remote = unsafe { address(remote) };
        let status = match &mut client.answers.lock().unwrap().accept {
            Some(answer) => answer(Raw(socket)),
            None => STATUS_SUCCESS,
        };
        if let Some(heir) = &*client.heir.lock().unwrap() {
            // SAFETY: valid during the call.
            unsafe { *new_context = heir.context() };
            // SAFETY: valid during the call.
            unsafe { *new_dispatch = &CALLBACKS };
        }
        client.note(Event::Accept { socket: Raw(socket), local, remote });
        status
    };
    client.leave();
    status
}

unsafe extern "system" fn inspect_event(
    context: *mut c_void,
    local: *mut SOCKADDR,
    remote: *mut SOCKADDR,
    id: *mut WSK_INSPECT_ID,
) -> WSK_INSPECT_ACTION {
    // SAFETY: the context is a client that outlives its socket.
    let client = unsafe { &*context.cast::<Client>() };
    client.enter();
    if id.is_null() {
        assert!(local.is_null() && remote.is_null());
        client.note(Event::InspectDeath);
        client.leave();
        return WskInspectReject;
    }
    // SAFETY: valid during the call.
    let local = unsafe { address(local) };
    // SAFETY: valid during the call.
    let remote = unsafe { address(remote) };
    // SAFETY: valid during the call.
    let id = unsafe { *id };
    let action = match &mut client.answers.lock().unwrap().inspect {
        Some(answer) => answer(id),
        None => WskInspectAccept,
    };
    client.note(Event::Inspect { id, local, remote });
    client.leave();
    action
}

unsafe extern "system" fn abort_event(context: *mut c_void, id: *mut WSK_INSPECT_ID) -> NTSTATUS {
    // SAFETY: the context is a client that outlives its socket.
    let client = unsafe { &*context.cast::<Client>() };
    client.enter();
    drop(SCARCE.take());
    // SAFETY: valid during the call.
    client.note(Event::Abort(unsafe { *id }));
    client.leave();
    STATUS_SUCCESS
}

/// A listening socket of such a client.
pub(in crate::tests) struct Listening {
    pub(in crate::tests) raw: Raw,
    pub(in crate::tests) client: Arc<Client>,
    pub(in crate::tests) port: u16,
}

impl Listening {
    /// Created, not bound.
    pub(in crate::tests) fn created(world: &World, client: Arc<Client>) -> Self {
        let (context, table) = (Arc::as_ptr(&client).cast_mut().cast(), ptr::from_ref(&client.table).cast());
        let raw = Raw(world.socket_with(WSK_FLAG_LISTEN_SOCKET, context, table));
        Self { raw, client, port: 0 }
    }

    pub(in crate::tests) fn bind(&mut self) {
        self.bind_at(loopback(0));
    }

    pub(in crate::tests) fn bind_at(&mut self, local: SocketAddr) {
        let bind = self.table().WskBind;
        let mut at = [0_u64; 4];
        // SAFETY: room for both families.
        unsafe { ndk::write_raw(at.as_mut_ptr().cast(), local) };
        // SAFETY: a call as its page says.
        let bound = request(|irp| unsafe { bind(self.raw.0, at.as_mut_ptr().cast(), 0, irp) });
        assert_eq!(bound.wait().status, 0);
        self.port = self.socket().local().unwrap().port();
    }

    /// Bound, with a client that accepts everything.
    pub(in crate::tests) fn new(world: &World) -> Self {
        let mut this = Self::created(world, Client::new());
        this.bind();
        this
    }

    /// Bound under conditional accept.
    pub(in crate::tests) fn conditional(world: &World) -> Self {
        let mut this = Self::created(world, Client::new());
        assert_eq!(ListenSocket::set_conditional_accept(&this.socket(), true), Ok(()));
        this.bind();
        this
    }

    pub(in crate::tests) fn socket(&self) -> Shared<ListenSocket> {
        // SAFETY: the socket is open.
        unsafe { Shared::clone_from_raw(self.raw.0.cast_const().cast()) }
    }

    pub(in crate::tests) fn table(&self) -> &'static WSK_PROVIDER_LISTEN_DISPATCH {
        // SAFETY: the socket is open.
        let table = unsafe { (*self.raw.0).Dispatch };
        // SAFETY: the provider's tables are static.
        unsafe { &*table.cast() }
    }

    /// SO_WSK_EVENT_CALLBACK without an IRP.
    pub(in crate::tests) fn set_events(&self, mask: u32) -> NTSTATUS {
        call(|| ListenSocket::set_events(&self.socket(), mask, None))
    }

    /// SO_WSK_EVENT_CALLBACK with an IRP.
    pub(in crate::tests) fn request_events(&self, mask: u32) -> TestIrp {
        let socket = self.socket();
        request(|irp| {
            // SAFETY: the client's IRP, entered once.
            unsafe {
                irp::pend(irp, |irp| {
                    let irp = irp.keep(&socket);
                    assert_eq!(ListenSocket::set_events(&socket, mask, Some(irp)), STATUS_PENDING);
                })
            }
        })
    }

    pub(in crate::tests) fn accept(&self) -> TestIrp {
        let accept = self.table().WskAccept;
        let (null, none) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: a call as its page says.
        request(|irp| unsafe { accept(self.raw.0, 0, null, ptr::null(), none, none, irp) })
    }

    pub(in crate::tests) fn complete(&self, id: WSK_INSPECT_ID, action: WSK_INSPECT_ACTION) -> TestIrp {
        complete(self.raw, id, action)
    }

    pub(in crate::tests) fn start_close(&self) -> TestIrp {
        let client = self.client.clone();
        let closing = TestIrp::new().with_hook(move |_| assert!(!client.closed.swap(true, Ordering::SeqCst)));
        closing.assert_pending(self.raw.close(closing.submit()));
        closing
    }

    /// Closes it; nothing may come any more.
    pub(in crate::tests) fn close(self) {
        let closed = self.start_close().wait();
        assert_eq!((closed.status, closed.information), (STATUS_SUCCESS, 0));
        assert_eq!(self.client.rest(), []);
    }
}

/// WskInspectComplete with a copy of the id, which is gone when the call returns.
pub(in crate::tests) fn complete(listener: Raw, id: WSK_INSPECT_ID, action: WSK_INSPECT_ACTION) -> TestIrp {
    // SAFETY: the socket is open.
    let table = unsafe { (*listener.0).Dispatch };
    // SAFETY: a listening socket's table, which is static.
    let complete = unsafe { (*table.cast::<WSK_PROVIDER_LISTEN_DISPATCH>()).WskInspectComplete };
    let mut copy = id;
    // SAFETY: a call as its page says.
    request(|irp| unsafe { complete(listener.0, &mut copy, action, irp) })
}

/// Sends a little each way.
pub(in crate::tests) fn talk(near: &Connection, far: &Connection) {
    for (from, to) in [(near, far), (far, near)] {
        let reading = to.receive(5);
        assert_eq!(from.send(b"hello").wait().information, 5);
        assert_eq!(reading.wait().information, 5);
    }
}

/// Runs a test over an adapter that answers in each way.
pub(in crate::tests) fn in_each_mode(test: impl Fn(&World)) {
    for answers in MODES {
        let world = World::answering(Settings::DEFAULT, answers);
        test(&world);
        world.finish();
    }
}

unsafe extern "system" {
    fn KfRaiseIrql(new: u8) -> u8;
    fn KeLowerIrql(new: u8);
}

/// Runs `work` at DISPATCH_LEVEL.
pub(in crate::tests) fn at_dispatch_level<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: the thread is at PASSIVE_LEVEL.
    let before = unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
    let result = work();
    // SAFETY: the level from before.
    unsafe { KeLowerIrql(before) };
    result
}
