//! WskReceive: octets are copied out of the ring, in the order of the requests.

use super::{After, Connection, Phase, State};
use crate::buffer::ClientBuffer;
use abi::NTSTATUS;
use abi::status::{STATUS_INVALID_DEVICE_STATE, STATUS_SUCCESS};
use irp::{IrpQueue, Outcome, OwnedIrp, QueueKind};
use kernel::lock::SpinLock;
use kernel::mdl::Part;
use kernel::pool::Shared;
use stream::Span;
use trace::Counters;

/// A receive that waits, perhaps filled in part.
#[derive(Clone, Copy)]
pub(crate) struct ReceiveRequest {
    buffer: ClientBuffer,
    filled: usize,
    /// WSK_FLAG_WAITALL: complete when full.
    wait_all: bool,
    /// WSK_FLAG_DRAIN: discard everything until the end of the stream.
    drain: bool,
    /// Its buffer is not advertised.
    ring_only: bool,
}

impl ReceiveRequest {
    pub(crate) const fn new(buffer: ClientBuffer, wait_all: bool, drain: bool) -> Self {
        Self { buffer, filled: 0, wait_all, drain, ring_only: drain }
    }

    /// It asks for nothing but to be completed.
    fn is_empty(&self) -> bool {
        self.buffer.len() == 0 && !self.drain
    }

    /// What one MDL describes of the rest of its buffer, if that may be advertised.
    pub(super) fn part(&self) -> Option<Part> {
        self.buffer.part(self.filled).filter(|_| !self.ring_only)
    }

    /// Octets were put into the buffer.
    pub(super) fn fill(&mut self, octets: usize) {
        self.filled = self.filled.saturating_add(octets);
    }

    /// Its octets come by the ring.
    pub(super) fn keep_to_ring(&mut self) {
        self.ring_only = true;
    }

    /// How it ends if it has all it waits for.
    pub(super) fn done(&self) -> Option<Outcome> {
        let full = self.filled == self.buffer.len();
        let enough = full || (self.filled != 0 && !self.wait_all);
        enough.then(|| Outcome::success(self.filled))
    }

    /// How it ends when no octet will come any more: what was received is reported, also with a failure.
    pub(super) fn end(&self, status: NTSTATUS) -> Outcome {
        if status == STATUS_SUCCESS {
            Outcome::success(self.filled)
        } else if self.filled != 0 {
            Outcome::partial(status, self.filled)
        } else {
            Outcome::failure(status)
        }
    }
}

/// Receives that wait.
pub(super) enum Receives {}

// SAFETY: lock and queue are fields of the socket and of the state under its lock; nothing moves the state.
unsafe impl QueueKind for Receives {
    type Owner = Connection;
    type State = State;
    type Record = ReceiveRequest;

    fn lock(owner: &Connection) -> &SpinLock<State> {
        &owner.state
    }

    fn queue(state: &mut State) -> &mut IrpQueue<Self> {
        &mut state.receives
    }

    /// Octets that a cancelled WAITALL has taken already are reported: they are not in the stream any more.
    fn on_cancel(_state: &mut State, record: &ReceiveRequest) -> usize {
        record.filled
    }

    /// A receive that is cancelled is completed, too: octets may be indicated again.
    fn after_cancel(owner: &Shared<Connection>) {
        Connection::with(owner, |state, _| state.pump.stopped = false);
    }
}

impl Connection {
    /// WskReceive. INVALID_DEVICE_STATE: never connected. A request of 0 octets without flags completes at once, or when
    /// the callback has answered to which octets are being indicated.
    pub(crate) fn receive(this: &Shared<Self>, request: ReceiveRequest, irp: OwnedIrp) {
        Self::with(this, |state, after| {
            if state.phase != Phase::Connected || state.silent {
                after.batch.push(irp, Outcome::failure(STATUS_INVALID_DEVICE_STATE));
            } else if request.is_empty() && !state.pump.indicating {
                after.batch.push(irp, Outcome::success(0));
                after.resume |= state.pump.stopped;
            } else if let Err(irp) = state.receives.park(this, irp, request) {
                after.batch.push(irp, Outcome::CANCELLED);
            } else {
                state.pump.empty_waits |= request.is_empty();
            }
        });
    }
}

impl State {
    /// Serves receives from the ring, oldest first. Not while octets are being indicated: nobody knows then which are
    /// the next ones.
    pub(super) fn serve_receives(&mut self, connection: &Shared<Connection>, after: &mut After) {
        if self.pump.indicating || self.waits_for_buffer(connection, after) {
            return;
        }
        if core::mem::take(&mut self.pump.empty_waits) {
            while let Some((irp, _)) = self.receives.take_if(ReceiveRequest::is_empty) {
                after.batch.push(irp, Outcome::success(0));
                after.resume |= self.pump.stopped;
            }
        }
        if self.receives.is_empty() {
            return;
        }
        loop {
            let end = self.stream_end();
            let readable = self.link.as_ref().is_some_and(|l| l.unread() != 0);
            if end.is_none() && !readable {
                return self.begin_direct(connection, after);
            }
            // Octets go only to a request that is certainly completed with them: out of the queue first.
            let Some((irp, mut request)) = self.receives.take_next() else { return };
            let outcome = match end {
                Some(status) => Some(request.end(status)),
                None => self.fill(&mut request, &connection.counters),
            };
            match outcome {
                Some(outcome) => {
                    after.batch.push(irp, outcome);
                    after.resume |= self.pump.stopped;
                }
                None => {
                    if let Err(irp) = self.receives.park_front(connection, irp, request) {
                        let outcome = Outcome::partial(abi::status::STATUS_CANCELLED, request.filled);
                        after.batch.push(irp, outcome);
                    }
                }
            }
        }
    }

    /// Gives octets of the ring to a request; the outcome when it is done.
    fn fill(&mut self, request: &mut ReceiveRequest, counters: &Counters) -> Option<Outcome> {
        let link = self.link.as_mut()?;
        while let Some(Span { ring, offset, len: length }) = link.unread_span() {
            let room = request.buffer.len().saturating_sub(request.filled);
            let len = if request.drain { length as usize } else { room.min(length as usize) };
            if len == 0 {
                break;
            }
            if !request.drain {
                let copied = match link.rings.get(ring) {
                    Some(ring) => request.buffer.copy_in(request.filled, ring.region(), offset as usize, len),
                    None => Err(STATUS_INVALID_DEVICE_STATE),
                };
                if let Err(status) = copied {
                    // The octets stay in the ring for the next request.
                    return Some(request.end(status));
                }
                request.filled = request.filled.saturating_add(len);
                counters.octets_copied_in.add(len as u64);
            }
            link.consume(len as u64);
        }
        let full = request.filled == request.buffer.len();
        let done = !request.drain && (full || !request.wait_all);
        done.then(|| Outcome::success(request.filled))
    }
}
