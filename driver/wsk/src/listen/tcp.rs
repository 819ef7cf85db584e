//! The listening socket's twin: a listening socket of the system's at the same address, for peers that come over TCP.
//!
//! One WskAccept of this driver's is kept posted on it, as long as there is room in the backlog, with a connection made
//! beforehand to accept into. What it accepts goes into the same queue as the connections of the adapters. The pump posts
//! it, and nothing else does: it never nests, however fast connections come.

use super::bind::bind_status;
use super::{Arrivals, BACKLOG_MAX, ListenSocket, Phase, State};
use crate::connection::Connection;
use crate::policy::Direction;
use crate::system::{Owner, SystemSocket, Wait};
use abi::NTSTATUS;
use abi::status::{
    STATUS_DEVICE_NOT_READY, STATUS_FILE_FORCED_CLOSED, STATUS_INSUFFICIENT_RESOURCES, STATUS_INTERNAL_ERROR,
    STATUS_SUCCESS, nt_success,
};
use abi::wsk::{
    SOCKADDR, WSK_CLIENT_LISTEN_DISPATCH, WSK_INSPECT_ACTION, WSK_INSPECT_ID, WskInspectAccept,
    WskInspectReject,
};
use core::ffi::c_void;
use core::net::SocketAddr;
use core::ptr;
use irp::{Outcome, OwnedIrp};
use kernel::pool::Shared;

/// Accepts that may fail one after the other, not for want of memory, before the twin is given up.
const FAILURES: u32 = 16;

/// How long to wait for memory, in units of 100 ns: 250 ms.
const RETRY_INTERVAL: u64 = 2_500_000;

/// The twin, under the socket's lock.
#[derive(Default)]
pub(super) struct Tcp {
    pub(super) socket: Option<SystemSocket>,
    /// A WskAccept is posted.
    accepting: bool,
    /// It listens.
    listening: bool,
    /// Who uses it: the pump, the work item, requests of the client.
    users: usize,
    /// The socket was closed meanwhile.
    close: bool,
    /// There was no memory for another one, here or at the system, and the timer has not fired since.
    pub(super) starved: bool,
    /// Accepts that have failed since one succeeded.
    failures: u32,
}

/// The system calls these; they lead to the client's callbacks.
static EVENTS: WSK_CLIENT_LISTEN_DISPATCH = WSK_CLIENT_LISTEN_DISPATCH {
    // Connections come through WskAccept.
    WskAcceptEvent: None,
    WskInspectEvent: Some(inspect_event),
    WskAbortEvent: Some(abort_event),
};

/// The socket that a context of the system's stands for.
///
/// # Safety
/// `context` is a listening socket whose twin is not closed.
unsafe fn socket<'a>(context: *mut c_void) -> &'a ListenSocket {
    // SAFETY: the socket lives at least as long as its twin, which calls.
    unsafe { &*context.cast::<ListenSocket>() }
}

unsafe extern "system" fn inspect_event(
    context: *mut c_void,
    local: *mut SOCKADDR,
    remote: *mut SOCKADDR,
    id: *mut WSK_INSPECT_ID,
) -> WSK_INSPECT_ACTION {
    // SAFETY: the twin's context.
    let this = unsafe { socket(context) };
    if id.is_null() {
        // The twin is dead. What that means for the socket is found out, and told, when accepting from it fails.
        return WskInspectReject;
    }
    // SAFETY: the twin is closed before the socket's close IRP is completed.
    match unsafe { this.callbacks.table() } {
        Some(WSK_CLIENT_LISTEN_DISPATCH { WskInspectEvent: Some(event), .. }) => {
            // SAFETY: the client's callback with the system's parameters.
            unsafe { event(this.callbacks.context(), local, remote, id) }
        }
        _ => WskInspectAccept,
    }
}

unsafe extern "system" fn abort_event(context: *mut c_void, id: *mut WSK_INSPECT_ID) -> NTSTATUS {
    // SAFETY: the twin's context.
    let this = unsafe { socket(context) };
    // SAFETY: the twin is closed before the socket's close IRP is completed.
    match unsafe { this.callbacks.table() } {
        Some(WSK_CLIENT_LISTEN_DISPATCH { WskAbortEvent: Some(event), .. }) => {
            // SAFETY: the client's callback with the system's parameters.
            unsafe { event(this.callbacks.context(), id) }
        }
        _ => STATUS_SUCCESS,
    }
}

impl ListenSocket {
    /// WskSocket: makes the twin, if the socket may ever need it, so that everything that is the system's has a place.
    pub(crate) fn open(this: &Shared<Self>, owner: Owner, irp: OwnedIrp) {
        let system = this.client.system().filter(|_| this.client.provider().may_use_tcp(Direction::In));
        let Some(system) = system else { return Self::opened(this, irp) };
        if let Err(status) = this.twin_call.prepare() {
            Self::forget(this);
            return irp.complete(Outcome::failure(status));
        }
        this.state.lock().opening = Some(irp);
        let (ipv4, events) = (this.ipv4, this.system_events());
        // SAFETY: captured as long as the client; what `owner` names is valid until the client's IRP is completed, which
        // comes after the end of this call.
        let make = |irp| unsafe { SystemSocket::begin_make(system, ipv4, true, events, owner, irp) };
        // SAFETY: prepared, and the first call of this socket.
        unsafe { this.twin_call.start(this, make) };
    }

    /// Goes on with [`open`](Self::open), or lets the twin go, which is closed.
    pub(super) fn twin_answered(this: Shared<Self>, status: NTSTATUS, information: usize) {
        let opening = this.state.lock().opening.take();
        let Some(irp) = opening else { return };
        match SystemSocket::from_information(information).filter(|_| nt_success(status)) {
            Some(twin) => {
                this.state.lock().tcp.socket = Some(twin);
                Self::opened(&this, irp);
            }
            None => {
                Self::forget(&this);
                irp.complete(Outcome::failure(if nt_success(status) {
                    STATUS_INTERNAL_ERROR
                } else {
                    status
                }));
            }
        }
    }

    /// The client's reference: taken back by WskCloseSocket.
    fn opened(this: &Shared<Self>, irp: OwnedIrp) {
        irp.complete(Outcome::success(Shared::into_raw(this.clone()).addr()));
    }

    /// A twin, not bound. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// The system's.
    fn make_twin(this: &Shared<Self>, wait: &mut Wait) -> Result<SystemSocket, NTSTATUS> {
        let system = this.client.system().ok_or(STATUS_DEVICE_NOT_READY)?;
        this.twin_call.prepare()?;
        SystemSocket::make(system, wait, this.ipv4, true, this.system_events())
    }

    /// Context and callbacks that the system is given.
    fn system_events(&self) -> (*mut c_void, *const c_void) {
        (ptr::from_ref(self).cast_mut().cast(), ptr::from_ref(&EVENTS).cast())
    }

    /// Has the twin listen at `local`. IRQL: PASSIVE_LEVEL, while nothing else uses the twin.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn bind_twin(this: &Shared<Self>, wait: &mut Wait, local: SocketAddr) -> Result<(), NTSTATUS> {
        let twin = this.state.lock().tcp.socket;
        let twin = match twin {
            Some(twin) => twin,
            // The socket has just become a listening one.
            None => {
                let twin = Self::make_twin(this, wait)?;
                this.state.lock().tcp.socket = Some(twin);
                let options = this.state.lock().options;
                if this.client.has_system_controls() {
                    // SAFETY: open, and not closed before this work item lets go of it.
                    unsafe { twin.take_over(wait, &options) }?;
                }
                twin
            }
        };
        // SAFETY: open, and not closed before this work item lets go of it.
        unsafe { twin.bind(wait, local) }.map_err(bind_status)
    }

    /// Posts a WskAccept on the twin.
    pub(super) fn post_accept(this: &Shared<Self>, twin: SystemSocket) {
        let arrivals = this.state.lock().arrivals.clone();
        let made = arrivals
            .and_then(|a| Connection::to_be_accepted(&this.client, &a, this.ipv4, this.inherited()).ok());
        if let Some(connection) = &made {
            Connection::accept_from(connection, twin);
        }
        Self::end_use_of_twin(this, |state| {
            if made.is_none() {
                // No memory: once more in a while.
                state.tcp.accepting = false;
                state.starve();
                state.leave(None);
            }
        });
    }

    /// The WskAccept on the twin has ended, and its connection is where it belongs. A twin that is dead or keeps failing is
    /// given up, and with it a socket that has nothing else to listen on; for memory it waits.
    pub(super) fn accept_ended(this: &Shared<Self>, status: NTSTATUS) {
        let (given_up, alone) = {
            let mut state = this.state.lock();
            state.tcp.accepting = false;
            let before = state.tcp.failures;
            match status {
                accepted if nt_success(accepted) => state.tcp.failures = 0,
                STATUS_INSUFFICIENT_RESOURCES => state.starve(),
                STATUS_FILE_FORCED_CLOSED => state.tcp.failures = FAILURES,
                _ => state.tcp.failures = before.saturating_add(1).min(FAILURES),
            }
            (before != FAILURES && state.tcp.failures == FAILURES, state.listeners.is_empty())
        };
        if given_up {
            let level = kernel::print::Level::Error;
            kernel::dbg_print!(level, "the system's listening socket does not accept any more");
            if alone {
                return Self::no_longer_functional(this);
            }
            // Peers are refused there from now on, rather than left waiting.
            Self::end_twin(this);
        }
        Self::kick(this);
    }

    /// Somebody lets go of the twin, which is closed now if that is due.
    pub(super) fn end_use_of_twin(this: &Shared<Self>, change: impl FnOnce(&mut State)) {
        let twin = {
            let mut state = this.state.lock();
            change(&mut state);
            state.tcp.users = state.tcp.users.saturating_sub(1);
            if state.tcp.close { state.tcp.end() } else { None }
        };
        this.close_twin(this, twin);
    }

    /// Closes the twin, which nobody uses any more.
    fn close_twin(&self, this: &Shared<Self>, twin: Option<SystemSocket>) {
        if let Some(twin) = twin {
            // SAFETY: nobody uses the twin any more; it was taken out of the state once.
            let close = |irp| unsafe { twin.begin_close(irp) };
            // SAFETY: prepared with the twin.
            unsafe { self.twin_call.start(this, close) };
        }
    }

    /// Closes the twin, at once or when whoever uses it lets go of it.
    pub(super) fn end_twin(this: &Shared<Self>) {
        let twin = this.state.lock().tcp.end();
        this.close_twin(this, twin);
    }

    /// The work item lets go of the twin, which listens if `listening`. One that does not, although its socket does, is of
    /// no more use.
    pub(super) fn release_twin(this: &Shared<Self>, listening: bool) {
        Self::end_use_of_twin(this, |state| {
            state.tcp.listening = listening;
            state.tcp.close |= state.phase == Phase::Listening && !listening;
        });
    }
}

impl Tcp {
    /// Somebody begins to use the twin.
    pub(super) fn begin(&mut self) {
        self.users = self.users.saturating_add(1);
    }

    /// Whether a WskAccept is posted.
    pub(super) fn is_accepting(&self) -> bool {
        self.accepting
    }

    /// Whether peers may come over TCP.
    pub(super) fn is_there(&self) -> bool {
        self.socket.is_some() && self.listening && !self.close
    }

    fn end(&mut self) -> Option<SystemSocket> {
        self.close = true;
        if self.users == 0 { self.socket.take() } else { None }
    }
}

impl State {
    /// Whether no WskAccept is posted on the twin, for want of room: who gives room back asks for the pump.
    pub(super) fn twin_waits(&self) -> bool {
        self.tcp.is_there() && !self.tcp.accepting
    }

    /// No WskAccept is posted before the timer has fired.
    fn starve(&mut self) {
        self.tcp.starved = true;
        if let Some(timer) = &self.timer {
            timer.set(RETRY_INTERVAL);
        }
    }

    /// The twin, if a WskAccept is to be posted on it; the place of the connection is taken.
    pub(super) fn wants_accept(&mut self, backlog: usize) -> Option<SystemSocket> {
        let twin = self.tcp.socket.filter(|_| self.tcp.is_there())?;
        let waiting = self.half_open.saturating_add(self.ready.len());
        let idle = !self.tcp.accepting && !self.tcp.starved && self.tcp.failures < FAILURES;
        if !idle || waiting >= backlog.min(BACKLOG_MAX) {
            return None;
        }
        self.tcp.accepting = true;
        self.tcp.begin();
        self.half_open = self.half_open.saturating_add(1);
        Some(twin)
    }
}

impl Arrivals {
    /// The WskAccept on the twin has ended.
    pub(crate) fn accept_ended(&self, status: NTSTATUS) {
        if let Some(socket) = self.socket() {
            ListenSocket::accept_ended(&socket, status);
        }
    }
}
