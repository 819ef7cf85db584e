//! Listeners.

use core::ffi::c_void;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU32, Ordering};

use abi::NTSTATUS;
use abi::ndk::{
    NDK_FN_CONNECT_EVENT_CALLBACK, NDK_FN_REQUEST_COMPLETION, NDK_LISTENER, NDK_LISTENER_DISPATCH,
    NdkObjectTypeListener,
};
use abi::nt::BOOLEAN;
use abi::status::{STATUS_INVALID_DEVICE_STATE, STATUS_PENDING, STATUS_SUCCESS};
use abi::wsk::SOCKADDR;
use kernel::lock::SpinLock;
use kernel::pool::Shared;

use crate::adapter::Adapter;
use crate::address;
use crate::answer::{Holder, Request};
use crate::connector::Connector;
use crate::life::{AnyObject, Hold, Life, Object, close, from_handle, publish};
use crate::opaque::Opaque;
use crate::public::{Public, header, query_extension};
use crate::tag;
use crate::tcp::{Acceptor, NewAcceptor};

/// A listener (`NDK_LISTENER`).
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Listener {
    public: Public<NDK_LISTENER>,
    life: Life,
    adapter: Hold<Adapter>,
    connect_event: NDK_FN_CONNECT_EVENT_CALLBACK,
    connect_event_context: Opaque,
    state: SpinLock<State>,
    /// Requests its consumer has not decided yet.
    undecided: AtomicU32,
}

#[derive(Debug, Default)]
struct State {
    address: Option<SocketAddr>,
    /// Where TCP connections arrive, if any do.
    acceptor: Option<Shared<Acceptor>>,
    paused: bool,
    closing: bool,
}

impl Listener {
    pub(crate) fn create(
        adapter: &Shared<Adapter>,
        connect_event: NDK_FN_CONNECT_EVENT_CALLBACK,
        connect_event_context: *mut c_void,
    ) -> Result<Shared<Self>, NTSTATUS> {
        let listener = Self {
            public: Public::new(NDK_LISTENER {
                Header: header(adapter.version(), NdkObjectTypeListener),
                Dispatch: &raw const DISPATCH,
            }),
            life: Life::new()?,
            adapter: Hold::new(adapter),
            connect_event,
            connect_event_context: Opaque(connect_event_context),
            state: SpinLock::new(State::default()),
            undecided: AtomicU32::new(0),
        };
        Ok(Shared::try_new(tag::OBJECT, listener)?)
    }

    /// Holds the listener if it takes requests now. Its entry in the port space proves that it is not closed yet; called with
    /// the lock of the port space held.
    pub(crate) fn hold_if_listening(this: &Shared<Self>) -> Option<Hold<Self>> {
        let state = this.state.lock();
        // The consumer's handle holds the listener as long as its close has not been issued.
        (!state.closing && !state.paused).then(|| Hold::new(this))
    }

    /// TCP cannot listen: the listener is as before.
    pub(crate) fn forget_address(&self) {
        let (address, acceptor) = {
            let mut state = self.state.lock();
            (state.address.take(), state.acceptor.take())
        };
        drop(acceptor);
        if let Some(address) = address {
            self.adapter.core().ports().unbind(address);
        }
    }
}

impl Object for Listener {
    fn life(&self) -> &Life {
        &self.life
    }

    fn adapter(&self) -> &Shared<Adapter> {
        self.adapter.shared()
    }

    fn into_any(this: Shared<Self>) -> AnyObject {
        AnyObject::Listener(this)
    }

    fn close_issued(this: &Shared<Self>) {
        let acceptor = {
            let mut state = this.state.lock();
            state.closing = true;
            state.acceptor.clone()
        };
        if let Some(acceptor) = acceptor {
            Acceptor::stop(&acceptor);
        }
    }

    fn closed(&self) {
        let address = self.state.lock().address.take();
        if let Some(address) = address {
            self.adapter.core().ports().unbind(address);
        }
    }

    fn release_antecedents(&self) {
        self.adapter.release();
    }
}

/// One undecided connection request of a listener.
#[derive(Debug)]
pub(crate) struct Backlog(Shared<Listener>);

impl Backlog {
    /// Counts one more, if there is room.
    pub(crate) fn take(listener: &Shared<Listener>) -> Option<Self> {
        let limit = listener.adapter.core().backlog();
        let counted = listener
            .undecided
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < limit).then_some(count + 1));
        counted.is_ok().then(|| Self(listener.clone()))
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        self.0.undecided.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tells the consumer of a connection request. Called from the adapter's event queue.
pub(crate) fn deliver(listener: &Hold<Listener>, connector: Shared<Connector>) {
    if listener.state.lock().closing {
        Connector::discard(connector);
        return;
    }
    let connector = publish(connector).cast();
    // SAFETY: the consumer's promise with the create: at IRQL ≤ DISPATCH_LEVEL, until the listener is closed.
    unsafe { (listener.connect_event)(listener.connect_event_context.0, connector) };
}

/// The table of every listener.
static DISPATCH: NDK_LISTENER_DISPATCH = NDK_LISTENER_DISPATCH {
    NdkCloseListener: close::<Listener>,
    NdkQueryExtension: query_extension,
    NdkListen: listen,
    NdkGetLocalAddress: get_local_address,
    NdkControlConnectEvents: control_connect_events,
};

/// `NDK_FN_LISTEN`. A second listen on one listener is `STATUS_INVALID_DEVICE_STATE`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn listen(
    listener: *mut NDK_LISTENER,
    local: *const SOCKADDR,
    local_length: u32,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: open (consumer).
    let listener: Shared<Listener> = unsafe { from_handle(listener.cast()) };
    // SAFETY: the consumer's promise with the request.
    let request = match unsafe { Request::pending(Holder::from(&listener), completion, context) } {
        Ok(request) => request,
        Err(status) => return status,
    };
    // SAFETY: readable for its length (consumer).
    let local = unsafe { address::read(local, local_length) };
    match local.and_then(|local| listen_now(&listener, local)) {
        Ok(None) => request.answer(STATUS_SUCCESS),
        Ok(Some((acceptor, deadline))) => {
            Acceptor::start(&acceptor, Hold::new(&listener), request, deadline);
            STATUS_PENDING
        }
        Err(status) => request.answer(status),
    }
}

/// Listens in memory. Returns what is to listen over TCP, if that port is served by iWARP.
fn listen_now(listener: &Shared<Listener>, local: SocketAddr) -> Result<Option<NewAcceptor>, NTSTATUS> {
    if listener.state.lock().address.is_some() {
        return Err(STATUS_INVALID_DEVICE_STATE);
    }
    let core = listener.adapter.core();
    let ports = core.ports();
    let local = ports.listen(local, listener)?;
    let tcp = match core.iwarp(local.port()).map(|system| Acceptor::new(system, local)).transpose() {
        Ok(tcp) => tcp,
        Err(no_memory) => {
            ports.unbind(local);
            return Err(no_memory.status());
        }
    };
    let taken = {
        let mut state = listener.state.lock();
        let taken = state.address.is_none();
        if taken {
            state.address = Some(local);
            state.acceptor = tcp.as_ref().map(|(acceptor, _)| acceptor.clone());
        }
        taken
    };
    if taken {
        return Ok(tcp);
    }
    // Another listen on the same object was faster.
    ports.unbind(local);
    Err(STATUS_INVALID_DEVICE_STATE)
}

/// `NDK_FN_GET_LISTENER_LOCAL_ADDRESS`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn get_local_address(
    listener: *mut NDK_LISTENER,
    buffer: *mut SOCKADDR,
    length: *mut u32,
) -> NTSTATUS {
    // SAFETY: open (consumer).
    let listener: Shared<Listener> = unsafe { from_handle(listener.cast()) };
    let address = listener.state.lock().address;
    let Some(address) = address else { return STATUS_INVALID_DEVICE_STATE };
    // SAFETY: valid (consumer).
    unsafe { address::write(&address, buffer, length) }
}

/// `NDK_FN_CONTROL_CONNECT_EVENTS`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn control_connect_events(listener: *mut NDK_LISTENER, pause: BOOLEAN) {
    // SAFETY: open (consumer).
    let listener: Shared<Listener> = unsafe { from_handle(listener.cast()) };
    listener.state.lock().paused = pause != 0;
}
