//! WskDisconnect.

use super::{After, Connection, Phase, SendRequest, State};
use crate::buffer::ClientBuffer;
use abi::status::{STATUS_CONNECTION_ABORTED, STATUS_INVALID_DEVICE_STATE};
use irp::{IrpQueue, Outcome, OwnedIrp, QueueKind};
use kernel::lock::SpinLock;
use kernel::pool::Shared;
use stream::AbortReason;

/// The WskDisconnect whose data are copied: it waits for its message to be out. Cancelling it takes nothing back.
pub(super) enum Disconnects {}

// SAFETY: lock and queue are fields of the socket and of the state under its lock; nothing moves the state.
unsafe impl QueueKind for Disconnects {
    type Owner = Connection;
    type State = State;
    type Record = ();

    fn lock(owner: &Connection) -> &SpinLock<State> {
        &owner.state
    }

    fn queue(state: &mut State) -> &mut IrpQueue<Self> {
        &mut state.disconnect
    }
}

impl Connection {
    /// A graceful WskDisconnect: sends `buffer` and what was queued before it, then finishes the sending direction.
    /// Receiving goes on. Queued like a send, so that the order of calls is the order of octets.
    pub(crate) fn disconnect(this: &Shared<Self>, buffer: ClientBuffer, irp: OwnedIrp) {
        Self::send(this, SendRequest::new(buffer, true), irp);
    }

    /// An abortive WskDisconnect: everything queued is lost, both directions end now.
    pub(crate) fn abort(this: &Shared<Self>, irp: OwnedIrp) {
        Self::with(this, |state, after| {
            if state.phase == Phase::Connected && !state.silent {
                state.lose(after);
                after.batch.push(irp, Outcome::success(0));
            } else {
                after.batch.push(irp, Outcome::failure(STATUS_INVALID_DEVICE_STATE));
            }
        });
    }
}

impl State {
    /// Ends the stream by our own will. Settling completes what waits.
    pub(super) fn lose(&mut self, after: &mut After) {
        self.send_ended = true;
        let Some(link) = &mut self.link else { return };
        // What the peer did before is still the peer's doing.
        let runs = link.engine.state() == stream::State::Open;
        link.ended_here |= runs;
        link.failure.get_or_insert(STATUS_CONNECTION_ABORTED);
        link.abort_reason = Some(AbortReason::ABORTED);
        link.engine.handle_connection_lost();
        if link.poster.is_none() {
            // A graceful close waits for the peer: no longer.
            after.rare().abort = link.endpoint.clone();
        }
    }
}
