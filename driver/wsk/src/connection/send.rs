//! WskSend: octets are copied into the send buffer as room comes, and the IRP is completed when they are sent.

use super::layout::LOCAL;
use super::{After, Connection, Phase, State};
use crate::buffer::ClientBuffer;
use abi::NTSTATUS;
use abi::status::{
    STATUS_CONNECTION_ABORTED, STATUS_CONNECTION_DISCONNECTED, STATUS_CONNECTION_RESET, STATUS_INVALID_DEVICE_STATE,
};
use irp::{IrpQueue, Outcome, OwnedIrp, QueueKind};
use kernel::lock::SpinLock;
use kernel::pool::Shared;
use trace::Counters;

/// A send that waits, or is being copied.
#[derive(Clone, Copy)]
pub(crate) struct SendRequest {
    pub(super) buffer: ClientBuffer,
    /// Octets that are in the send buffer.
    pub(super) copied: usize,
    /// It is a WskDisconnect: nothing comes after it.
    pub(super) last: bool,
}

/// A send whose octets are in the send buffer.
#[derive(Clone, Copy)]
pub(super) struct Copied {
    /// The end of its octets in the stream.
    end: u64,
    octets: usize,
}

/// Sends of which nothing is copied yet. Those may be cancelled.
pub(super) enum Sends {}

// SAFETY: lock and queue are fields of the socket and of the state under its lock; nothing moves the state.
unsafe impl QueueKind for Sends {
    type Owner = Connection;
    type State = State;
    type Record = SendRequest;

    fn lock(owner: &Connection) -> &SpinLock<State> {
        &owner.state
    }

    fn queue(state: &mut State) -> &mut IrpQueue<Self> {
        &mut state.sends
    }

    /// A cancelled WskDisconnect leaves the sending direction open.
    fn on_cancel(state: &mut State, record: &SendRequest) -> usize {
        if record.last {
            state.send_ended = false;
        }
        0
    }
}

impl SendRequest {
    pub(crate) const fn new(buffer: ClientBuffer, last: bool) -> Self {
        Self { buffer, copied: 0, last }
    }
}

impl Connection {
    /// WskSend. INVALID_DEVICE_STATE: not connected, or the sending direction is finished. CONNECTION_DISCONNECTED and
    /// the like: the stream is over.
    pub(crate) fn send(this: &Shared<Self>, request: SendRequest, irp: OwnedIrp) {
        Self::with(this, |state, after| {
            if let Err(status) = state.may_send() {
                after.batch.push(irp, Outcome::failure(status));
            } else if let Err(irp) = state.sends.park(this, irp, request) {
                after.batch.push(irp, Outcome::CANCELLED);
            } else {
                state.send_ended = request.last;
            }
        });
    }
}

impl State {
    fn may_send(&self) -> Result<(), NTSTATUS> {
        if self.phase != Phase::Connected || self.send_ended {
            return Err(STATUS_INVALID_DEVICE_STATE);
        }
        let link = self.link.as_ref().ok_or(STATUS_INVALID_DEVICE_STATE)?;
        match link.engine.state() {
            stream::State::Open => Ok(()),
            stream::State::Lost => Err(link.failure.unwrap_or(STATUS_CONNECTION_RESET)),
            stream::State::Failed(_) => Err(STATUS_CONNECTION_ABORTED),
            stream::State::Unconnected | stream::State::Finished => Err(STATUS_CONNECTION_DISCONNECTED),
        }
    }

    /// Copies the octets of sends, in order, into what room the send buffer has.
    pub(super) fn copy_sends(&mut self, counters: &Counters, after: &mut After) {
        loop {
            let Some(link) = self.link.as_mut().filter(|l| l.engine.state() == stream::State::Open) else { return };
            // From its first octet on a send cannot be taken back: it leaves the queue only when there is room for it.
            let waits = self.copying.is_some() || self.sends.front().is_some_and(|r| r.buffer.len() != 0);
            if waits && link.layout.send_room(link.engine.queued_offset(), link.engine.sent_offset()) == 0 {
                return;
            }
            let Some((irp, mut request)) = self.copying.take().or_else(|| self.sends.take_next()) else { return };
            while request.copied < request.buffer.len() {
                let queued = link.engine.queued_offset();
                let (place, contiguous) = link.layout.send_buffer(queued);
                let room = link.layout.send_room(queued, link.engine.sent_offset()).min(contiguous.into());
                let rest = request.buffer.len().saturating_sub(request.copied);
                let len = rest.min(usize::try_from(room).unwrap_or(usize::MAX));
                if len == 0 {
                    self.copying = Some((irp, request));
                    return;
                }
                let copied = match link.memory(LOCAL) {
                    Some(local) => request.buffer.copy_out(request.copied, local.region(), place, len),
                    None => Err(STATUS_INVALID_DEVICE_STATE),
                };
                let queued = copied.and_then(|()| {
                    link.engine.queue_send(len as u64).map_err(|_| STATUS_CONNECTION_DISCONNECTED)
                });
                if let Err(status) = queued {
                    after.batch.push(irp, Outcome::failure(status));
                    if request.copied != 0 {
                        // Half a send is in the stream and the other half will never be: nothing after it is right.
                        link.failure.get_or_insert(STATUS_CONNECTION_ABORTED);
                        link.engine.handle_connection_lost();
                    }
                    return;
                }
                counters.octets_copied_out.add(len as u64);
                request.copied = request.copied.saturating_add(len);
            }
            if request.last {
                link.engine.shutdown_send();
                self.disconnect = Some(irp);
            } else {
                let end = link.engine.queued_offset();
                self.copied.push_back(irp, Copied { end, octets: request.copied });
            }
        }
    }

    /// Completes the sends whose octets are all sent.
    pub(super) fn complete_sends(&mut self, after: &mut After) {
        let Some(link) = &self.link else { return };
        let sent = link.engine.sent_offset();
        while self.copied.front().is_some_and(|c| c.end <= sent) {
            let Some((irp, done)) = self.copied.pop_front() else { return };
            after.batch.push(irp, Outcome::success(done.octets));
        }
    }

    /// Fails the sends that are not copied, and those that are when `all` is set. The copied ones need no adapter any
    /// more: their octets lie in the send buffer.
    pub(super) fn fail_sends(&mut self, status: NTSTATUS, all: bool, after: &mut After) {
        if all {
            self.copied.drain_into(&mut after.batch, |_| Outcome::failure(status));
        }
        let outcome = |request: &SendRequest| {
            // The peer has finished both directions: a WskDisconnect has nothing left to do.
            if request.last && !all { Outcome::success(0) } else { Outcome::failure(status) }
        };
        if let Some((irp, request)) = self.copying.take() {
            after.batch.push(irp, outcome(&request));
        }
        self.sends.drain_into(&mut after.batch, outcome);
    }
}
