//! WskSend: octets are copied into the send buffer as room comes, or sent from the client's memory
//! ([`in_place`](super::in_place)), and the IRP is completed when they are sent.
//!
//! Every send can be cancelled. One of which nothing is copied is simply gone. The octets of any other are part of the
//! stream and cannot be taken back: the connection ends with it, so that the peer never takes half a send for a whole one.

use super::in_place::Taken;
use super::layout::Layout;
use super::lent::Lending;
use super::{After, Connection, Phase, State};
use crate::buffer::ClientBuffer;
use abi::NTSTATUS;
use abi::status::{STATUS_CONNECTION_ABORTED, STATUS_CONNECTION_DISCONNECTED, STATUS_INVALID_DEVICE_STATE};
use irp::{IrpQueue, Outcome, OwnedIrp, QueueKind};
use kernel::lock::SpinLock;
use kernel::pool::Shared;
use stream::AbortReason;

/// A send that waits, or is being copied.
#[derive(Clone, Copy)]
pub(crate) struct SendRequest {
    pub(super) buffer: ClientBuffer,
    /// Octets that are in the send buffer.
    pub(super) copied: usize,
    /// It is a WskDisconnect: nothing comes after it.
    pub(super) last: bool,
    /// It is a WskConnectEx, which is done when its octets are taken, and without which there is no connection.
    connects: bool,
}

/// A send whose octets are in the send buffer.
#[derive(Clone, Copy)]
pub(super) struct Copied {
    /// The end of its octets in the stream.
    end: u64,
    octets: usize,
}

/// Sends that are not copied; all but the oldest have no octet in the stream.
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

    /// A cancelled WskDisconnect leaves the sending direction open, unless octets of it are sent.
    fn on_cancel(state: &mut State, record: &SendRequest) -> usize {
        if record.copied != 0 || record.connects {
            state.cut();
        } else if record.last {
            state.send_ended = false;
        }
        0
    }

    fn after_cancel(owner: &Shared<Connection>) {
        // Settling does the rest.
        Connection::with(owner, |_, _| {});
    }
}

/// Sends whose octets are copied and not all sent.
pub(super) enum CopiedSends {}

// SAFETY: lock and queue are fields of the socket and of the state under its lock; nothing moves the state.
unsafe impl QueueKind for CopiedSends {
    type Owner = Connection;
    type State = State;
    type Record = Copied;

    fn lock(owner: &Connection) -> &SpinLock<State> {
        &owner.state
    }

    fn queue(state: &mut State) -> &mut IrpQueue<Self> {
        &mut state.copied
    }

    fn on_cancel(state: &mut State, _record: &Copied) -> usize {
        state.cut();
        0
    }

    fn after_cancel(owner: &Shared<Connection>) {
        // Settling does the rest.
        Connection::with(owner, |_, _| {});
    }
}

/// Takes the oldest request; `None` also where that one is being cancelled and others wait behind it.
fn take_front<K: QueueKind>(queue: &mut IrpQueue<K>) -> Option<(OwnedIrp, K::Record)> {
    let mut first = true;
    queue.take_if(|_| core::mem::replace(&mut first, false))
}

impl SendRequest {
    pub(crate) const fn new(buffer: ClientBuffer, last: bool) -> Self {
        Self { buffer, copied: 0, last, connects: false }
    }

    /// Whether its octets are sent from the client's memory. A request that needs more than to be sent is copied.
    fn in_place(&self, layout: &Layout) -> bool {
        let plain = !self.last && !self.connects && self.copied == 0;
        plain && self.buffer.len() >= layout.in_place_from
    }

    /// The octets of a WskConnectEx.
    pub(super) const fn of_connect(buffer: ClientBuffer) -> Self {
        Self { buffer, copied: 0, last: false, connects: true }
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
        if link.dead {
            return Err(link.failure.unwrap_or(STATUS_CONNECTION_ABORTED));
        }
        match link.engine.state() {
            stream::State::Open => Ok(()),
            stream::State::Unconnected | stream::State::Finished => Err(STATUS_CONNECTION_DISCONNECTED),
            _ => Err(link.failed()),
        }
    }

    /// Part of what was given to this side to send never will be sent: the stream ends here.
    pub(super) fn cut(&mut self) {
        if let Some(link) = &mut self.link {
            link.failure.get_or_insert(STATUS_CONNECTION_ABORTED);
            link.abort_reason = Some(AbortReason::INCOMPLETE);
            link.engine.handle_connection_lost();
        }
    }

    /// Takes the octets of sends into the stream, in order: copies them into what room the send buffer has, or maps them.
    pub(super) fn take_sends(&mut self, connection: &Shared<Connection>, after: &mut After) {
        let counter = &connection.counters.octets_copied_out;
        loop {
            let Some(link) = self.link.as_mut().filter(|l| l.engine.state() == stream::State::Open) else {
                return;
            };
            if link.in_place.is_taking() {
                match link.take_in_place(counter, after) {
                    Taken::Waits => return,
                    Taken::Whole => continue,
                    Taken::Cut => return self.cut(),
                }
            }
            let Some(front) = self.sends.front() else { return };
            let in_place = front.in_place(&link.layout);
            // From its first octet on a send cannot be taken back: it is begun only when there is room for it.
            let may_begin = match front.buffer.len() {
                0 => true,
                // A mapping has no end of room: what waits behind unposted octets can still be taken back.
                _ if in_place => link.in_place.has_place() && link.all_posted(),
                _ => link.send_stream.room(&link.layout).1 != 0,
            };
            if !may_begin {
                return;
            }
            let Some((irp, mut request)) = take_front(&mut self.sends) else {
                // It is being cancelled. The next one is its successor in the stream only if nothing of it is there.
                if front.copied != 0 {
                    return self.cut();
                }
                continue;
            };
            let irp = if in_place {
                match link.loans.lend(connection, irp, after) {
                    Lending::Lent(loan) => {
                        link.in_place.begin(loan, request.buffer);
                        continue;
                    }
                    Lending::Ended => continue,
                    // Copied, then.
                    Lending::Not(irp) => irp,
                }
            } else {
                irp
            };
            while request.copied < request.buffer.len() {
                let (place, room) = link.send_stream.room(&link.layout);
                let len = room.min(request.buffer.len().saturating_sub(request.copied));
                if len == 0 {
                    // Its cancel has been noticed just now if it cannot wait.
                    if let Err(irp) = self.sends.park_front(connection, irp, request) {
                        after.batch.push(irp, Outcome::CANCELLED);
                        self.cut();
                    }
                    return;
                }
                if let Err(status) = link.copy_in_stream(&request.buffer, request.copied, place, len) {
                    after.batch.push(irp, Outcome::failure(status));
                    if request.copied != 0 {
                        // Half a send is in the stream and the other half will never be: nothing after it is right.
                        self.cut();
                    } else if request.last {
                        self.send_ended = false;
                    }
                    return;
                }
                counter.add(len as u64);
                request.copied = request.copied.saturating_add(len);
            }
            if request.connects {
                after.batch.push(irp, Outcome::success(0));
                continue;
            }
            let parked = if request.last {
                link.engine.shutdown_send();
                self.disconnect.park(connection, irp, ())
            } else {
                let end = link.engine.queued_offset();
                self.copied.park(connection, irp, Copied { end, octets: request.copied })
            };
            if let Err(irp) = parked {
                after.batch.push(irp, Outcome::CANCELLED);
                // The end of the sending direction stays asked for; only octets cannot be half there.
                if !request.last {
                    return self.cut();
                }
            }
        }
    }

    /// Completes the sends whose octets are all sent, in their order.
    pub(super) fn complete_sends(&mut self, after: &mut After) {
        let Some(link) = &mut self.link else { return };
        let sent = link.engine.sent_offset();
        // First: a client's memory is given back before its IRP.
        link.send_stream.sent(sent);
        loop {
            let copied = self.copied.front().map(|send| send.end);
            let in_place = link.in_place.first_end();
            // One of no octets ends where the one before it does.
            match (copied, in_place) {
                (copied, Some(end)) if end <= sent && copied.is_none_or(|copied| end <= copied) => {
                    link.in_place.complete_first(after);
                }
                (Some(end), _) if end <= sent => {
                    // One that is being cancelled is left to that.
                    if let Some((irp, done)) = take_front(&mut self.copied) {
                        after.batch.push(irp, Outcome::success(done.octets));
                    }
                }
                _ => return,
            }
        }
    }

    /// Fails every send, because the stream is lost. The copied ones need no adapter any more: their octets lie in the send
    /// buffer.
    pub(super) fn fail_sends(&mut self, status: NTSTATUS, after: &mut After) {
        self.copied.drain_into(&mut after.batch, |_| Outcome::failure(status));
        self.sends.drain_into(&mut after.batch, |_| Outcome::failure(status));
    }

    /// Ends the sends that never will be sent, because the peer has finished both directions: those with octets beyond
    /// `posted`. The others are told by their completions.
    pub(super) fn end_sends(&mut self, posted: u64, after: &mut After) {
        while let Some((irp, _)) = self.copied.take_if(|copied| copied.end > posted) {
            after.batch.push(irp, Outcome::failure(STATUS_CONNECTION_DISCONNECTED));
        }
        // A WskDisconnect has nothing left to do.
        self.sends.drain_into(&mut after.batch, |request| {
            if request.last { Outcome::success(0) } else { Outcome::failure(STATUS_CONNECTION_DISCONNECTED) }
        });
    }
}
