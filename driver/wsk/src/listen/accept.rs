//! WskAccept, and the queue of established connections.

use super::{ListenSocket, Phase, State};
use crate::connection::Connection;
use abi::wsk::{SOCKADDR, WSK_CLIENT_CONNECTION_DISPATCH};
use core::ffi::c_void;
use irp::{IrpQueue, Outcome, OwnedIrp, QueueKind};
use kernel::lock::SpinLock;
use kernel::pool::Shared;

/// What a parked accept needs: where to write the addresses, and what the new socket's callbacks are.
#[derive(Clone, Copy)]
pub(crate) struct Accept {
    pub(crate) local: *mut SOCKADDR,
    pub(crate) remote: *mut SOCKADDR,
    pub(crate) context: *mut c_void,
    pub(crate) dispatch: *const WSK_CLIENT_CONNECTION_DISPATCH,
}

// SAFETY: the client's buffers may be written from any thread until the IRP is completed.
unsafe impl Send for Accept {}

/// Parked accepts.
pub(crate) enum Accepts {}

// SAFETY: lock and queue are fields of the socket and of the state under its lock; nothing moves the state.
unsafe impl QueueKind for Accepts {
    type Owner = ListenSocket;
    type State = State;
    type Record = Accept;

    fn lock(owner: &ListenSocket) -> &SpinLock<State> {
        &owner.state
    }

    fn queue(state: &mut State) -> &mut IrpQueue<Self> {
        &mut state.accepts
    }
}

/// What becomes of an established connection.
pub(super) enum Fate {
    /// It goes to the oldest WskAccept.
    Accepted(Shared<Connection>, OwnedIrp, Accept),
    /// It waits in the queue.
    Queued,
    /// The socket is closed, or its queue full.
    Unwanted(Shared<Connection>),
}

impl ListenSocket {
    /// WskAccept. First come, first served, before any WskAcceptEvent.
    pub(crate) fn accept(this: &Shared<Self>, accept: Accept, irp: OwnedIrp) {
        let mut state = this.state.lock();
        let (irp, outcome) = if state.phase != Phase::Listening {
            (irp, Outcome::failure(state.phase.refusal()))
        } else if let Some(connection) = state.ready.pop_front() {
            drop(state);
            // There is room for another one.
            Self::kick(this);
            return hand_over(&connection, accept, irp);
        } else {
            match state.accepts.park(this, irp, accept) {
                Ok(()) => return,
                Err(cancelled) => (cancelled, Outcome::CANCELLED),
            }
        };
        drop(state);
        irp.complete(outcome);
    }

    /// Does what was decided by [`State::take_in`], without the lock.
    pub(super) fn carry_out(this: &Shared<Self>, fate: Fate) {
        match fate {
            Fate::Accepted(connection, irp, accept) => hand_over(&connection, accept, irp),
            Fate::Queued => Self::kick(this),
            Fate::Unwanted(connection) => {
                Connection::abandon(&connection);
            }
        }
    }
}

impl State {
    /// Decides what becomes of an established connection. While the bind is under way one of its addresses may listen
    /// already, so its connections wait.
    pub(super) fn take_in(&mut self, connection: Shared<Connection>) -> Fate {
        if !matches!(self.phase, Phase::Listening | Phase::Binding) {
            return Fate::Unwanted(connection);
        }
        match self.accepts.take_next() {
            Some((irp, accept)) => Fate::Accepted(connection, irp, accept),
            None => self.ready.push_back(connection).map_or_else(Fate::Unwanted, |()| Fate::Queued),
        }
    }
}

/// Gives an established connection to an accept. Its events are the static ones alone.
fn hand_over(connection: &Shared<Connection>, accept: Accept, irp: OwnedIrp) {
    connection.callbacks.set(accept.context, accept.dispatch);
    let (local, remote) = connection.addresses();
    for (to, address) in [(accept.local, local), (accept.remote, remote)] {
        if let (false, Some(address)) = (to.is_null(), address) {
            // SAFETY: the client's buffer is valid for the family of the socket until its IRP is completed.
            unsafe { ndk::write_raw(to, address) };
        }
    }
    // The client's reference: taken back by WskCloseSocket.
    let socket = Shared::into_raw(connection.clone());
    irp.complete(Outcome::success(socket.addr()));
    Connection::deliver(connection, 0);
}
