//! Sends of many octets: they are written to the peer from the client's own memory.
//!
//! Such a send is taken in part by part, one MDL of its chain after the other: the part's pages are mapped for the adapter
//! (`NdkBuildLAM`), and the octets are the next ones of the stream. A part of a few octets, or one that cannot be mapped, is
//! copied.
//!
//! The adapter reads the memory until the requests have completed or the endpoint is closed, so the IRP is not completed
//! before. Cancelling it ends the connection if octets of it are in the stream, and completes it when the adapter is done.

use super::layout::LOCAL;
use super::lent::{Borrower, Lent, Loan, MapRequest};
use super::{After, Link, Phase, State};
use crate::buffer::ClientBuffer;
use abi::NTSTATUS;
use abi::nt::MDL;
use abi::status::{
    STATUS_CANCELLED, STATUS_CONNECTION_DISCONNECTED, STATUS_INVALID_DEVICE_STATE, STATUS_SUCCESS,
};
use core::ptr::NonNull;
use heapless::Deque;
use irp::Outcome;
use ndk::Mapping;
use trace::Counter;

/// Sends of this kind that are under way at a time.
const SENDS: usize = 8;
/// A part of fewer octets is copied: a mapping costs more.
const PART_MIN: usize = 4096;

/// A send that is under way.
struct InPlace {
    loan: Loan,
    buffer: ClientBuffer,
    /// Octets of it that are in the stream.
    queued: usize,
    /// Up to here they are copied.
    copy_to: usize,
    /// A mapping of the next part is being built.
    maps: bool,
    cancelled: bool,
    /// Where it ends in the stream, once all its octets are there.
    end: u64,
}

/// The sends of a connection that are in place.
pub(super) struct SendsInPlace {
    /// The one that is being taken in.
    next: Option<InPlace>,
    /// Those whose octets are all in the stream, oldest first.
    queued: Deque<InPlace, SENDS>,
}

/// How far a send was taken in.
pub(super) enum Taken {
    /// As far as it goes now.
    Waits,
    /// All of it, or it is over.
    Whole,
    /// A part of it never will be.
    Cut,
}

impl InPlace {
    /// The adapter has nothing to do with the memory any more.
    fn end(self, outcome: Outcome, after: &mut After) {
        let failed = outcome.status() != STATUS_SUCCESS;
        self.loan.end(if self.cancelled && failed { Outcome::CANCELLED } else { outcome }, after);
    }
}

impl SendsInPlace {
    pub(super) const fn new() -> Self {
        Self { next: None, queued: Deque::new() }
    }

    /// Whether one is being taken in.
    pub(super) const fn is_taking(&self) -> bool {
        self.next.is_some()
    }

    /// Whether another one may begin.
    pub(super) fn has_place(&self) -> bool {
        self.next.is_none() && !self.queued.is_full()
    }

    /// Whether any client's memory is lent.
    pub(super) fn any(&self) -> bool {
        self.next.is_some() || !self.queued.is_empty()
    }

    /// Where the oldest one ends whose octets are all in the stream.
    pub(super) fn first_end(&self) -> Option<u64> {
        self.queued.front().map(|send| send.end)
    }

    /// The oldest one is sent.
    pub(super) fn complete_first(&mut self, after: &mut After) {
        if let Some(send) = self.queued.pop_front() {
            let octets = send.buffer.len();
            send.end(Outcome::success(octets), after);
        }
    }

    /// Begins one; there is a place.
    pub(super) fn begin(&mut self, loan: Loan, buffer: ClientBuffer) {
        let (queued, copy_to, end) = (0, 0, 0);
        self.next = Some(InPlace { loan, buffer, queued, copy_to, maps: false, cancelled: false, end });
    }
}

impl Link {
    /// Whether every octet of the stream is posted.
    pub(super) fn all_posted(&self) -> bool {
        self.engine.posted_offset() == self.engine.queued_offset()
    }

    /// Takes octets of the send that is in its turn into the stream.
    pub(super) fn take_in_place(&mut self, copied: &Counter, after: &mut After) -> Taken {
        loop {
            let Some(send) = &mut self.in_place.next else { return Taken::Whole };
            if send.maps {
                return Taken::Waits;
            }
            if send.cancelled && send.queued == 0 {
                if let Some(send) = self.in_place.next.take() {
                    send.end(Outcome::CANCELLED, after);
                }
                return Taken::Whole;
            }
            let Some(part) = send.buffer.part(send.queued) else {
                send.end = self.engine.queued_offset();
                if let Some(send) = self.in_place.next.take() {
                    // It began only when there was a place.
                    drop(self.in_place.queued.push_back(send));
                }
                return Taken::Whole;
            };
            if send.queued >= send.copy_to {
                if part.length >= PART_MIN {
                    if !self.send_stream.has_place() {
                        return Taken::Waits;
                    }
                    send.maps = true;
                    let len = part.offset.saturating_add(part.length);
                    self.lend_part(Borrower::Send, part.mdl, len, after);
                    return Taken::Waits;
                }
                send.copy_to = send.queued.saturating_add(part.length);
            }
            let (place, room) = self.send_stream.room(&self.layout);
            let len = room.min(send.copy_to.saturating_sub(send.queued));
            if len == 0 {
                return Taken::Waits;
            }
            let (buffer, queued) = (send.buffer, send.queued);
            match self.copy_in_stream(&buffer, queued, place, len) {
                Ok(()) => copied.add(len as u64),
                Err(status) => return self.fail_next(status, after),
            }
            if let Some(send) = &mut self.in_place.next {
                send.queued = send.queued.saturating_add(len);
            }
        }
    }

    /// Copies octets of a send to where [`SendStream::room`](super::send_stream::SendStream::room) has said, and puts them
    /// into the stream.
    pub(super) fn copy_in_stream(
        &mut self,
        buffer: &ClientBuffer,
        skip: usize,
        place: usize,
        len: usize,
    ) -> Result<(), NTSTATUS> {
        let local = self.memory(LOCAL).ok_or(STATUS_INVALID_DEVICE_STATE)?;
        buffer.copy_out(skip, local.region(), place, len)?;
        let start = self.engine.queued_offset();
        self.engine.queue_send(len as u64).map_err(|_| STATUS_CONNECTION_DISCONNECTED)?;
        self.send_stream.copied(start, len as u64);
        Ok(())
    }

    fn fail_next(&mut self, status: NTSTATUS, after: &mut After) -> Taken {
        if self.in_place.next.as_ref().is_some_and(|send| send.queued != 0) {
            return Taken::Cut;
        }
        if let Some(send) = self.in_place.next.take() {
            send.end(Outcome::failure(status), after);
        }
        Taken::Whole
    }

    /// Has the first `len` octets of an MDL mapped.
    pub(super) fn lend_part(&mut self, borrower: Borrower, mdl: NonNull<MDL>, len: usize, after: &mut After) {
        self.answers.expect(borrower);
        let request = MapRequest { borrower, adapter: self.adapter.clone(), mdl, len };
        // One for each borrower at a time, so there is room.
        drop(after.map.push(request));
    }
}

impl State {
    /// The mapping of the next part is there, or is not.
    pub(super) fn part_mapped(&mut self, mapped: Result<Mapping, NTSTATUS>) {
        let Some(link) = self.link.as_deref_mut() else { return };
        let Some(send) = &mut link.in_place.next else { return };
        send.maps = false;
        let Some(part) = send.buffer.part(send.queued).filter(|_| !send.cancelled || send.queued != 0) else {
            return;
        };
        match mapped {
            Ok(mapping) => {
                let start = link.engine.queued_offset();
                // A stream that is over takes nothing more: the send ends with the endpoint.
                if link.engine.queue_send(part.length as u64).is_ok() {
                    link.send_stream.mapped(start, mapping, part.offset, part.length as u64);
                    send.queued = send.queued.saturating_add(part.length);
                }
            }
            Err(_) => send.copy_to = send.queued.saturating_add(part.length),
        }
    }

    /// A send was cancelled, if it is one whose memory is lent.
    pub(super) fn cancel_in_place(&mut self, lent: &Lent, after: &mut After) {
        let Some(link) = self.link.as_deref_mut() else { return };
        let SendsInPlace { next, queued, .. } = &mut link.in_place;
        let Some(send) = next.iter_mut().chain(queued).find(|send| send.loan.is(lent)) else { return };
        send.cancelled = true;
        if send.queued == 0 {
            return;
        }
        self.cut();
        let Some(link) = self.link.as_mut().filter(|l| l.engine.state() == stream::State::Finished) else {
            // Settling closes the endpoint, and tells the peer why.
            return;
        };
        // Not after a graceful close, which waits for the peer.
        match link.poster.take() {
            Some(poster) => after.rare().close = Some((poster, false)),
            None => after.rare().abort = link.endpoint.clone(),
        }
    }

    /// Ends what is in place if the stream is over and the adapter is done with all memory but that which it is mapping:
    /// every octet that was posted is sent, or the endpoint is closed.
    pub(super) fn end_in_place(&mut self, after: &mut After) {
        let Some(link) = self.link.as_deref_mut() else { return };
        let over = !matches!(link.engine.state(), stream::State::Unconnected | stream::State::Open);
        let unused = over && link.engine.posted_offset() == link.engine.sent_offset();
        if !link.closed && !unused {
            return;
        }
        let status = match (self.phase, link.engine.state()) {
            (Phase::Closing, _) => STATUS_CANCELLED,
            (_, stream::State::Finished) => STATUS_CONNECTION_DISCONNECTED,
            _ => link.failed(),
        };
        let sent = link.engine.sent_offset();
        link.send_stream.clear();
        while link.in_place.first_end().is_some_and(|end| end <= sent) {
            link.in_place.complete_first(after);
        }
        while let Some(send) = link.in_place.queued.pop_front() {
            send.end(Outcome::failure(status), after);
        }
        if let Some(send) = link.in_place.next.take_if(|send| !send.maps) {
            send.end(Outcome::failure(status), after);
        }
    }
}
