//! Moving what can be moved.

use super::events::SEND;
use super::layout::LIST;
use super::{After, Connection, Link, Phase, State};
use abi::NTSTATUS;
use abi::status::{
    STATUS_CONNECTION_ABORTED, STATUS_CONNECTION_DISCONNECTED, STATUS_CONNECTION_INVALID,
    STATUS_CONNECTION_RESET, STATUS_INTERNAL_ERROR, STATUS_IO_TIMEOUT, STATUS_SUCCESS,
};
use irp::Outcome;
use kernel::pool::Shared;
use ndk::Piece;
use stream::{AbortReason, Publish, TARGET_ENTRY_LEN, Transmit};
use trace::{Counters, Kind};

impl State {
    /// Brings everything as far as it goes: copies sends, posts work, serves receives, completes what is done, and
    /// ends the endpoint when the stream has ended. Called with the lock held, after every change.
    pub(super) fn settle(&mut self, connection: &Shared<Connection>, after: &mut After) {
        if self.phase == Phase::Connected && !self.silent {
            self.serve_receives(connection, after);
            loop {
                self.take_sends(connection, after);
                let posted = self.link.as_mut().is_some_and(|link| link.transmit());
                // A send may have waited for the octets before it to be posted.
                if !posted || self.sends.is_empty() {
                    break;
                }
            }
            self.complete_sends(after);
            self.end_stream(connection, after);
            self.ask_for_ring(after);
        }
        if let Some(link) = &mut self.link {
            link.drop_drained_ring(after);
            if let Some(stalls) = link.count(&connection.counters) {
                after.rare().stalled = Some(stalls);
            }
        }
    }

    /// Completes a WskDisconnect whose message is out, and ends what cannot go on once the stream is over.
    fn end_stream(&mut self, connection: &Shared<Connection>, after: &mut After) {
        let Some(link) = &mut self.link else { return };
        if link.control.is_some_and(|number| link.completed > number) {
            self.disconnect.drain_into(&mut after.batch, |()| Outcome::success(0));
        }
        if matches!(link.engine.state(), stream::State::Unconnected | stream::State::Open) {
            return;
        }
        let failure = link.failure_so_far();
        if failure.is_some() {
            link.say_why();
        }
        if (failure.is_some() || link.engine.ready_to_close())
            && let Some(poster) = link.poster.take()
        {
            after.rare().close = Some((poster, failure.is_none()));
            if let (Some(status), false) = (failure, link.ended_here) {
                let violation = matches!(link.engine.state(), stream::State::Failed(_));
                let kind = if violation { Kind::ProtocolViolation } else { Kind::ConnectionLost };
                after.rare().lost = Some((kind, status));
            }
        }
        // What is posted is told by its completion, unless there will be none any more.
        let posted = if link.closed { 0 } else { link.engine.posted_offset() };
        // A WskDisconnect that the peer's own DISCONNECT has made pointless has nothing left to do.
        if failure.is_some() || link.closed || link.control.is_none() {
            let outcome = failure.map_or(Outcome::success(0), Outcome::failure);
            self.disconnect.drain_into(&mut after.batch, |()| outcome);
        }
        match failure {
            Some(status) => self.fail_sends(status, after),
            None => self.end_sends(posted, after),
        }
        self.end_in_place(after);
        self.serve_receives(connection, after);
    }

    /// How a receive ends that will get no octet any more: the end of the stream, or the failure. `None`: it may wait.
    pub(super) fn stream_end(&self) -> Option<NTSTATUS> {
        let link = self.link.as_ref()?;
        if link.dead {
            return link.failure;
        }
        if link.unread() != 0 {
            return None;
        }
        if link.engine.peer_shut_down() {
            return Some(STATUS_SUCCESS);
        }
        match link.engine.state() {
            stream::State::Unconnected | stream::State::Open => None,
            // Finished by our own DISCONNECT: nothing will come, and nobody announced an end.
            stream::State::Finished => Some(STATUS_CONNECTION_DISCONNECTED),
            _ => Some(link.failed()),
        }
    }
}

impl Link {
    /// Posts all the work that the engine has, and says whether octets were among it. A post that fails loses the
    /// connection: the engine counts it as posted.
    fn transmit(&mut self) -> bool {
        let before = self.engine.posted_offset();
        while self.poster.is_some() && self.unposted.is_none() {
            let (offset, info) = (self.engine.posted_offset(), self.adapter.info());
            let waits = offset != self.engine.queued_offset();
            let reach = if waits { self.send_stream.reach(&self.layout, info, offset) } else { 0 };
            let Some(work) = self.engine.poll_transmit(reach) else { break };
            if let Err(status) = self.post(work) {
                self.give_up(status);
            }
        }
        self.engine.posted_offset() != before
    }

    /// A post has failed. The peer may be gone, but what it has said before is heard first.
    pub(super) fn give_up(&mut self, status: NTSTATUS) {
        self.unposted.get_or_insert(status);
        if let Some(poster) = &self.poster {
            poster.give_up();
        }
    }

    /// What the client is told of a stream that did not end in order.
    pub(super) fn failed(&self) -> NTSTATUS {
        match self.engine.state() {
            stream::State::TimedOut => STATUS_IO_TIMEOUT,
            stream::State::Failed(_) | stream::State::Aborted(AbortReason::PROTOCOL) => {
                STATUS_CONNECTION_ABORTED
            }
            stream::State::Aborted(_) => STATUS_CONNECTION_RESET,
            _ => self.failure.unwrap_or(STATUS_CONNECTION_RESET),
        }
    }

    /// Tells a peer that understands it why the transport is about to be aborted, if this side does that.
    pub(super) fn say_why(&mut self) {
        let reason = match self.engine.state() {
            stream::State::TimedOut => Some(AbortReason::TIMED_OUT),
            stream::State::Failed(_) => Some(AbortReason::PROTOCOL),
            _ => self.abort_reason,
        };
        if self.poster.is_some()
            && let Some(work) = reason.and_then(|reason| self.engine.abort(reason))
        {
            // The end comes all the same.
            let _may_be_lost = self.post(work);
        }
    }

    /// The status with which the stream has ended out of order, if it has.
    pub(super) fn failure_so_far(&self) -> Option<NTSTATUS> {
        match self.engine.state() {
            stream::State::Unconnected | stream::State::Open | stream::State::Finished => None,
            _ => Some(self.failed()),
        }
    }

    /// The adapter has lost the connection, and says so with `status`. The client is told in terms that it knows.
    pub(super) fn lose(&mut self, status: NTSTATUS) {
        let status = match status {
            STATUS_CONNECTION_RESET | STATUS_CONNECTION_INVALID => STATUS_CONNECTION_RESET,
            _ => STATUS_CONNECTION_ABORTED,
        };
        // Without effect when the stream ended in order.
        self.failure.get_or_insert(status);
        self.engine.handle_connection_lost();
    }

    fn post(&mut self, work: Transmit) -> Result<(), NTSTATUS> {
        let (entry, head) = self.layout.send_slot(self.posted);
        let octets = work.head();
        let head = Piece { memory: entry.memory, offset: head, len: octets.len() as u32 };
        self.store(head, &octets);
        if let Transmit::Credit { publish: Some(publish), .. } = &work {
            self.store(entry, &publish.entry);
        }
        if let Transmit::Control { .. } = work {
            self.control = Some(self.posted);
        }
        let Some(poster) = &mut self.poster else { return Err(STATUS_CONNECTION_ABORTED) };
        let (layout, stream) = (&self.layout, &self.send_stream);
        let local = |offset, len| stream.local(layout, offset, len).ok_or(STATUS_INTERNAL_ERROR);
        match work {
            Transmit::Data { stream_offset, len, remote_addr, remote_key, .. } => {
                poster.write(local(stream_offset, len)?, remote_addr, remote_key)?;
                poster.send(head, SEND)?;
            }
            Transmit::Credit { publish: Some(Publish { remote_addr, remote_key, .. }), .. } => {
                poster.write(entry, remote_addr, remote_key)?;
                poster.send(head, SEND)?;
            }
            Transmit::SendData { stream_offset, len, .. } => {
                poster.send_both(head, local(stream_offset, len)?, SEND)?;
            }
            Transmit::Probe { remote_addr, remote_key } => poster.probe(remote_addr, remote_key, SEND)?,
            Transmit::Credit { publish: None, .. }
            | Transmit::Control { .. }
            | Transmit::Notice { .. }
            | Transmit::Advert(_)
            | Transmit::Abort { .. } => poster.send(head, SEND)?,
        }
        self.posted = self.posted.wrapping_add(1);
        Ok(())
    }

    /// Puts octets into a slot of local memory. Slots lie inside it by construction.
    fn store(&self, piece: Piece, octets: &[u8]) {
        if let Some(memory) = self.memory(piece.memory) {
            let _inside = memory.region().write(piece.offset, octets);
        }
    }

    /// A copy of the target entry that the engine wants to see, taken once: the peer may write it again.
    pub(super) fn target_entry(&self) -> [u8; TARGET_ENTRY_LEN] {
        let mut entry = [0; TARGET_ENTRY_LEN];
        let offset = self.engine.wanted_entry().saturating_mul(TARGET_ENTRY_LEN);
        if let Some(list) = self.memory(LIST) {
            let _inside = list.region().read(offset, &mut entry);
        }
        entry
    }

    /// Zeroes a target entry that was taken into use.
    pub(super) fn clear_entry(&self, index: usize) {
        if let Some(list) = self.memory(LIST) {
            let _inside = list.region().write(index.saturating_mul(TARGET_ENTRY_LEN), &[0; TARGET_ENTRY_LEN]);
        }
    }

    /// Moves the engine's new counts into the connection's counters. The number of waits, if they have passed a power of two.
    fn count(&mut self, counters: &Counters) -> Option<u64> {
        let (now, before) = (*self.engine.counters(), self.counted);
        if now == before {
            return None;
        }
        let stalls = |c: &stream::Counters| {
            c.stalls_no_room.wrapping_add(c.stalls_no_credit).wrapping_add(c.stalls_queue_full)
        };
        counters.writes.add(now.writes.wrapping_sub(before.writes));
        counters.sends.add(now.sends.wrapping_sub(before.sends));
        counters.octets_sent.add(now.octets_sent.wrapping_sub(before.octets_sent));
        counters.octets_received.add(now.octets_received.wrapping_sub(before.octets_received));
        counters.credits_sent.add(now.credits_sent.wrapping_sub(before.credits_sent));
        counters.credits_received.add(now.credits_received.wrapping_sub(before.credits_received));
        counters.stalls.add(stalls(&now).wrapping_sub(stalls(&before)));
        self.counted = now;
        let (before, now) = (stalls(&before), stalls(&now));
        (now.checked_ilog2() != before.checked_ilog2()).then_some(now)
    }
}
