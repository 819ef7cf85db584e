//! The client's callbacks: one at a time, never inside a client's call.

use super::arrivals::Caller;
use super::inspect::{Due, answer};
use super::{ListenSocket, Phase, State};
use crate::connection::Connection;
use crate::events::CONNECTION_EVENTS;
use crate::system::SystemSocket;
use abi::status::nt_success;
use abi::wsk::{
    PFN_WSK_ACCEPT_EVENT, SOCKADDR, SOCKADDR_INET, WSK_CLIENT_LISTEN_DISPATCH, WSK_EVENT_ACCEPT,
    WSK_FLAG_AT_DISPATCH_LEVEL, WSK_INSPECT_ID, WskInspectReject,
};
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::net::SocketAddr;
use core::ptr;
use irp::{CompletionBatch, Outcome};
use kernel::irql;
use kernel::pool::Shared;

/// Callbacks of one run; more are left to the next run.
const CALLS_PER_RUN: usize = 8;

/// One thing for the pump to do.
enum Job {
    Inspect(Due),
    Accept(Shared<Connection>),
    /// Keep accepting from the system's socket.
    Post(SystemSocket),
    /// The socket is dead: WskAcceptEvent says so where it is enabled, else WskInspectEvent.
    Notice {
        accept: bool,
    },
}

/// The DPC's routine.
///
/// # Safety
/// `context` is a reference that [`ListenSocket::kick`] gave to this run.
pub(super) unsafe fn run(context: *mut c_void) {
    // SAFETY: the caller's promise.
    let this = unsafe { Shared::<ListenSocket>::from_raw(context.cast()) };
    for _ in 0..CALLS_PER_RUN {
        if !ListenSocket::pump(&this) {
            return;
        }
    }
    ListenSocket::kick(&this);
}

/// A socket address that the client may look at during a callback.
struct Address(MaybeUninit<SOCKADDR_INET>);

impl Address {
    fn new(address: SocketAddr) -> Self {
        let mut this = Self(MaybeUninit::zeroed());
        // SAFETY: room for both families.
        unsafe { ndk::write_raw(this.as_mut_ptr(), address) };
        this
    }

    fn as_mut_ptr(&mut self) -> *mut SOCKADDR {
        self.0.as_mut_ptr().cast()
    }
}

/// `Flags` of a callback made now.
fn flags() -> u32 {
    if irql::is_known_dispatch() { WSK_FLAG_AT_DISPATCH_LEVEL } else { 0 }
}

impl ListenSocket {
    /// Asks for a run of the pump. IRQL <= DISPATCH_LEVEL.
    pub(super) fn kick(this: &Shared<Self>) {
        let reference = Shared::into_raw(this.clone());
        if !this.pump.queue() {
            // SAFETY: the run that is asked for already has a reference of its own.
            drop(unsafe { Shared::from_raw(reference) });
        }
    }

    /// Does one thing; `false`: there was nothing to do.
    fn pump(this: &Shared<Self>) -> bool {
        // SAFETY: the socket's close IRP is completed with its last reference, and the pump has one.
        let table = unsafe { this.callbacks.table() };
        let table = table.unwrap_or(WSK_CLIENT_LISTEN_DISPATCH {
            WskAcceptEvent: None,
            WskInspectEvent: None,
            WskAbortEvent: None,
        });
        let backlog = this.client.provider().settings.backlog as usize;
        let job = this.state.lock().next_job(table.WskAcceptEvent.is_some(), backlog);
        match job {
            None => return false,
            Some(Job::Accept(connection)) => Self::indicate(this, table.WskAcceptEvent, &connection),
            Some(Job::Inspect(Due::Ask(id, caller))) => Self::ask(this, &table, id, caller),
            Some(Job::Inspect(Due::Probe(id, caller))) => Self::probe(this, id, caller),
            Some(Job::Inspect(Due::Tell(id))) => this.tell(&table, id),
            Some(Job::Post(twin)) => Self::post_accept(this, twin),
            Some(Job::Notice { accept }) => this.tell_of_death(&table, accept),
        }
        true
    }

    /// WskInspectEvent.
    fn ask(this: &Shared<Self>, table: &WSK_CLIENT_LISTEN_DISPATCH, id: WSK_INSPECT_ID, caller: Caller) {
        let action = match (table.WskInspectEvent, caller.addresses()) {
            (Some(inspect), Some((local, remote))) => {
                let (mut local, mut remote) = (Address::new(local), Address::new(remote));
                let mut copy = id;
                // SAFETY: the client's function, its context, and parameters that are valid during the call.
                unsafe {
                    inspect(this.callbacks.context(), local.as_mut_ptr(), remote.as_mut_ptr(), &mut copy)
                }
            }
            // A request that does not name its ends is one that nobody has heard of.
            _ => WskInspectReject,
        };
        Self::inspected(this, id, caller, answer(action));
    }

    /// Looks after a held request.
    fn probe(this: &Shared<Self>, id: WSK_INSPECT_ID, caller: Caller) {
        if caller.is_waiting() {
            return Self::inspected(this, id, caller, None);
        }
        drop(caller);
        Self::dropped(this, Some(id));
    }

    /// WskAbortEvent. Its place is given back first.
    fn tell(&self, table: &WSK_CLIENT_LISTEN_DISPATCH, mut id: WSK_INSPECT_ID) {
        if let Some(abort) = table.WskAbortEvent {
            // SAFETY: the client's function, its context, and an id that is valid during the call.
            let _success = unsafe { abort(self.callbacks.context(), &mut id) };
        }
    }

    /// WskAcceptEvent. The connection is the client's as soon as it is called; what it answers may take that back.
    fn indicate(this: &Shared<Self>, accept: Option<PFN_WSK_ACCEPT_EVENT>, connection: &Shared<Connection>) {
        let (local, remote) = connection.addresses();
        let mut addresses = [local.map(Address::new), remote.map(Address::new)];
        let [local, remote] =
            addresses.each_mut().map(|a| a.as_mut().map_or(ptr::null_mut(), Address::as_mut_ptr));
        // The client's reference: taken back by WskCloseSocket, which may come before the callback returns.
        let socket = Shared::into_raw(connection.clone());
        let (mut context, mut dispatch) = (ptr::null_mut(), ptr::null());
        let taken = accept.is_some_and(|accept| {
            // SAFETY: the client's function, its context, and parameters that are valid during the call.
            let status = unsafe {
                accept(
                    this.callbacks.context(),
                    flags(),
                    local,
                    remote,
                    socket.cast_mut().cast(),
                    &mut context,
                    &mut dispatch,
                )
            };
            nt_success(status)
        });
        if taken {
            connection.callbacks.set(context, dispatch);
            let mask = this.state.lock().events.mask() & CONNECTION_EVENTS;
            Connection::deliver(connection, mask);
        } else if Connection::abandon(connection) {
            // SAFETY: the client did not take it, nor close it.
            drop(unsafe { Shared::from_raw(socket) });
        }
        let mut batch = CompletionBatch::new();
        {
            let mut state = this.state.lock();
            if state.events.end(WSK_EVENT_ACCEPT) {
                state.disables.drain_into(&mut batch, |()| Outcome::success(0));
            }
        }
        batch.flush();
    }

    /// Tells the client that it should close the socket.
    fn tell_of_death(&self, table: &WSK_CLIENT_LISTEN_DISPATCH, accept: bool) {
        let (context, null) = (self.callbacks.context(), ptr::null_mut());
        if let (Some(event), true) = (table.WskAcceptEvent, accept) {
            let (mut socket_context, mut dispatch) = (ptr::null_mut(), ptr::null());
            // SAFETY: the client's function, its context, and what its page says for this case.
            let _ignored = unsafe {
                event(context, flags(), null, null, ptr::null_mut(), &mut socket_context, &mut dispatch)
            };
        } else if let Some(event) = table.WskInspectEvent {
            // SAFETY: as above.
            let _ignored = unsafe { event(context, null, null, ptr::null_mut()) };
        }
    }
}

impl State {
    /// What the pump does next. Requests go before connections, which have waited for less.
    fn next_job(&mut self, accepts: bool, backlog: usize) -> Option<Job> {
        if core::mem::take(&mut self.notice) {
            let accept = accepts && self.events.is_on(WSK_EVENT_ACCEPT);
            // A callback that is not enabled is not called, whatever happens.
            return (accept || self.inspections.is_some()).then_some(Job::Notice { accept });
        }
        if self.phase != Phase::Listening {
            return None;
        }
        if let Some(due) = self.inspections.as_mut().and_then(super::Inspections::due) {
            if matches!(due, Due::Tell(_)) {
                self.leave(None);
            }
            return Some(Job::Inspect(due));
        }
        if let Some(twin) = self.wants_accept(backlog) {
            return Some(Job::Post(twin));
        }
        if !accepts || !self.events.is_on(WSK_EVENT_ACCEPT) {
            return None;
        }
        let connection = self.ready.pop_front()?;
        self.events.begin(WSK_EVENT_ACCEPT);
        Some(Job::Accept(connection))
    }
}
