//! Which event callbacks the client wants, and what it asks about them.

use super::{Connection, Phase, State};
use crate::events::CONNECTION_EVENTS;
use abi::NTSTATUS;
use abi::status::{
    STATUS_EVENT_PENDING, STATUS_FILE_FORCED_CLOSED, STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER,
    STATUS_NETWORK_UNREACHABLE, STATUS_PENDING, STATUS_SUCCESS,
};
use abi::wsk::{PFN_WSK_RECEIVE_EX_EVENT, WSK_DATA_INDICATION, WSK_EVENT_DISABLE, WSK_EVENT_RECEIVE};
use irp::{IrpQueue, Outcome, OwnedIrp, QueueKind};
use kernel::lock::SpinLock;
use kernel::pool::Shared;
use ndk::Adapter;
use trace::Reason;

/// Requests that disable an event of which a call is in progress: completed when it has returned, also if the socket is
/// being closed. Cancelling one takes nothing back.
pub(super) enum Disables {}

// SAFETY: lock and queue are fields of the socket and of the state under its lock; nothing moves the state.
unsafe impl QueueKind for Disables {
    type Owner = Connection;
    type State = State;
    /// The event.
    type Record = u32;

    fn lock(owner: &Connection) -> &SpinLock<State> {
        &owner.state
    }

    fn queue(state: &mut State) -> &mut IrpQueue<Self> {
        &mut state.disables
    }
}

impl Connection {
    /// SO_WSK_EVENT_CALLBACK. What is there to be told already is told soon, by the pump.
    ///
    /// Returns what WskControlSocket returns: PENDING with an IRP, which is completed when the change is made; calls of a
    /// disabled event are over then. Without one, EVENT_PENDING where such a call is in progress.
    ///
    /// INVALID_DEVICE_STATE: not connected. INVALID_PARAMETER: see [`Events::change`](crate::events::Events::change).
    /// IRQL <= DISPATCH_LEVEL.
    pub(crate) fn set_events(this: &Shared<Self>, mask: u32, irp: Option<OwnedIrp>) -> NTSTATUS {
        Self::with(this, |state, after| {
            let changed = state.change_events(mask);
            let Some(irp) = irp else {
                return match changed {
                    Ok(false) => STATUS_SUCCESS,
                    Ok(true) => STATUS_EVENT_PENDING,
                    Err(status) => status,
                };
            };
            match changed {
                Ok(false) => after.batch.push(irp, Outcome::success(0)),
                Ok(true) => {
                    if let Err(irp) = state.disables.park(this, irp, mask & !WSK_EVENT_DISABLE) {
                        after.batch.push(irp, Outcome::CANCELLED);
                    }
                }
                Err(status) => after.batch.push(irp, Outcome::failure(status)),
            }
            STATUS_PENDING
        })
    }

    /// SIO_WSK_SET_RECEIVE_EX_CALLBACK: from now on octets are indicated through `receive`, whatever WSK_EVENT_RECEIVE
    /// says; `None` ends that. A call in progress is not waited for. IRQL <= DISPATCH_LEVEL.
    pub(crate) fn set_receive_ex(this: &Shared<Self>, receive: Option<PFN_WSK_RECEIVE_EX_EVENT>) {
        Self::with(this, |state, _| {
            if receive.is_some() && state.pump.receive_ex.is_none() {
                state.pump.stopped = false;
            }
            state.pump.receive_ex = receive;
        });
    }

    /// An accepted socket is the client's now, and its callbacks are set: events may begin, those that a listening
    /// socket hands down (`inherited`, 0 after WskAccept) beside the static ones. Before it none does. Called once, by
    /// nobody inside a call of the client's that it must not be told in. IRQL <= DISPATCH_LEVEL.
    pub(crate) fn deliver(this: &Shared<Self>, inherited: u32) {
        let enable = Self::with(this, |state, _| {
            state.pump.delivered = true;
            if let Some(guest) = &mut state.guest {
                guest.accepted();
            }
            if state.phase != Phase::Connected {
                return None;
            }
            state.events.enable(inherited & CONNECTION_EVENTS);
            // The client may close the socket at any moment now.
            Some((state.use_twin()?, state.events.mask()))
        });
        if let Some((twin, mask)) = enable {
            Self::enable_twin_events(twin, mask);
            Self::with(this, State::let_go_of_twin);
        }
    }

    /// WskRelease: ends the client's use of nodes that it has kept, or is about to keep. INVALID_PARAMETER, with nothing
    /// changed: one of them is not out.
    ///
    /// # Safety
    /// The client does not use the nodes of the chain any more.
    pub(crate) unsafe fn release(this: &Shared<Self>, list: *mut WSK_DATA_INDICATION) -> NTSTATUS {
        Self::with(this, |state, after| {
            let Some(link) = &mut state.link else { return STATUS_INVALID_PARAMETER };
            // SAFETY: the caller's promise.
            if !unsafe { link.retained.release(list) } {
                return STATUS_INVALID_PARAMETER;
            }
            link.give_back();
            if state.phase == Phase::Closing {
                state.go_on(after);
            }
            STATUS_SUCCESS
        })
    }

    /// SIO_WSK_QUERY_IDEAL_SEND_BACKLOG, in octets: what fits into the send buffer keeps the connection busy.
    pub(crate) fn ideal_send_backlog(&self) -> usize {
        self.client.provider().settings.send_octets as usize
    }

    /// SIO_WSK_QUERY_RECEIVE_BACKLOG, in octets: arrived, and neither received nor taken by a callback.
    pub(crate) fn receive_backlog(&self) -> usize {
        let unread = self.state.lock().link.as_ref().map_or(0, |link| link.unread());
        usize::try_from(unread).unwrap_or(usize::MAX)
    }

    /// An adapter is to go. A connection over it is no longer functional, and one that is being established fails, or goes
    /// on over TCP. IRQL <= DISPATCH_LEVEL.
    pub(crate) fn adapter_gone(this: &Shared<Self>, adapter: &Shared<Adapter>) {
        this.release_endpoints(adapter);
        let connected = Self::with(this, |state, after| {
            let link = state.link.as_ref().filter(|link| Shared::ptr_eq(&link.adapter, adapter));
            let Some(endpoint) = link.map(|link| link.endpoint.clone()) else { return false };
            match state.phase {
                Phase::Connected => return true,
                Phase::Connecting | Phase::Accepting => {
                    state.reason = Reason::AdapterGone;
                    state.not_connected(STATUS_NETWORK_UNREACHABLE, after);
                }
                // It ends already: without waiting for the peer.
                _ => after.rare().abort = endpoint,
            }
            false
        });
        if connected {
            Self::no_longer_functional(this);
        }
    }

    /// The adapter of a connected socket is gone: what waits and what comes later ends with FILE_FORCED_CLOSED, except
    /// for the close, octets that nobody has read are lost, and the client is told once, by WskReceiveEvent without
    /// data. IRQL <= DISPATCH_LEVEL.
    pub(crate) fn no_longer_functional(this: &Shared<Self>) {
        Self::with(this, |state, after| {
            if state.phase != Phase::Connected {
                return;
            }
            let Some(link) = &mut state.link else { return };
            state.reason = Reason::AdapterGone;
            link.dead = true;
            link.failure = Some(STATUS_FILE_FORCED_CLOSED);
            link.engine.handle_connection_lost();
            if link.poster.is_none() {
                after.rare().abort = link.endpoint.clone();
            }
        });
    }
}

impl State {
    fn change_events(&mut self, mask: u32) -> Result<bool, NTSTATUS> {
        let link = self.link.as_ref().filter(|_| self.phase == Phase::Connected);
        if link.ok_or(STATUS_INVALID_DEVICE_STATE)?.dead {
            return Err(STATUS_FILE_FORCED_CLOSED);
        }
        let before = self.events.is_on(WSK_EVENT_RECEIVE);
        let changed = self.events.change(mask, CONNECTION_EVENTS)?;
        if !before && self.events.is_on(WSK_EVENT_RECEIVE) {
            // Whoever enables the event wants to see what is there.
            self.pump.stopped = false;
        }
        Ok(changed)
    }
}
