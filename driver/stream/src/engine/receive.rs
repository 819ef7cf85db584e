//! The receiving direction: what is in the ring, the messages in it, and what is given back to the peer.

use super::Publish;
use super::ring::{Rings, Span};
use crate::config::MAX_CREDITS;
use crate::error::{ProtocolError, UsageError};
use crate::wire::{TargetEntry, TargetList};
use heapless::Deque;

/// A credit message to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CreditDue {
    /// With a region to fill.
    Region,
    /// With nothing but the limit.
    Bare,
}

impl CreditDue {
    /// Initiator queue slots: the Write if there is one, and the Send.
    pub(super) const fn slots(self) -> u16 {
        match self {
            Self::Region => 2,
            Self::Bare => 1,
        }
    }
}

/// All offsets count octets that came through the ring.
#[derive(Clone, Debug)]
pub(super) struct ReceiveSide {
    rings: Rings,
    first_region: TargetEntry,
    /// Octets that the peer reported, for the ring.
    arrived: u64,
    /// Octets that it has put into advertised buffers.
    direct: u64,
    /// Octets that the reader is done with.
    consumed: u64,
    /// Octets that the peer was ever told it may write.
    published: u64,

    credits: u16,
    /// Octets not consumed of each message not fully consumed, oldest first.
    unread: Deque<u32, { MAX_CREDITS as usize }>,
    /// Counted messages that arrived.
    messages: u64,
    /// Counted messages fully consumed.
    messages_consumed: u64,
    /// `messages_consumed` as it was told to the peer.
    messages_returned: u64,

    peer_list: TargetList,
    /// Index of the entry in the peer's list that describes the next region.
    peer_index: u32,
    ended: bool,
}

impl ReceiveSide {
    pub(super) fn new(ring: TargetEntry, credits: u16) -> Self {
        let first_region = TargetEntry { len: ring.len / 2, ..ring };
        Self {
            rings: Rings::new(ring),
            first_region,
            arrived: 0,
            direct: 0,
            consumed: 0,
            published: u64::from(first_region.len),
            credits,
            unread: Deque::new(),
            messages: 0,
            messages_consumed: 0,
            messages_returned: 0,
            peer_list: TargetList { addr: 0, key: 0, entries: 2 },
            // The private data fills the peer's entry 0.
            peer_index: 1,
            ended: false,
        }
    }

    /// What the private data publishes.
    pub(super) const fn first_region(&self) -> TargetEntry {
        self.first_region
    }

    pub(super) const fn establish(&mut self, peer_list: TargetList) {
        self.peer_list = peer_list;
    }

    pub(super) const fn peer_list(&self) -> TargetList {
        self.peer_list
    }

    pub(super) const fn readable(&self) -> u64 {
        self.arrived.wrapping_sub(self.consumed)
    }

    pub(super) const fn ended(&self) -> bool {
        self.ended
    }

    pub(super) const fn end(&mut self) {
        self.ended = true;
    }

    pub(super) const fn consumed(&self) -> u64 {
        self.consumed
    }

    pub(super) const fn rings(&self) -> &Rings {
        &self.rings
    }

    /// Regions to come are of `memory`. Returns the number of that ring; `None`: it cannot be.
    pub(super) fn grow(&mut self, memory: TargetEntry) -> Option<u32> {
        self.rings.grow(memory, self.published)
    }

    pub(super) fn take_drained_ring(&mut self) -> Option<u32> {
        self.rings.take_drained(self.consumed)
    }

    pub(super) fn readable_span(&self, skip: u64) -> Option<Span> {
        let left = self.readable().checked_sub(skip).filter(|&left| left != 0)?;
        Some(self.rings.span(self.consumed.wrapping_add(skip), left))
    }

    /// A data message. It stays within the region that the peer is filling and within the limit it was told. Returns
    /// where its octets are.
    pub(super) fn data(&mut self, len: u32) -> Result<Span, ProtocolError> {
        self.check_counted()?;
        if self.arrived == self.published || len > self.rings.left_of_region(self.arrived) {
            return Err(ProtocolError::DataBeyondRegion);
        }
        // As many as the credits fit, and the limit was checked.
        self.unread.push_back(len).map_err(|_| ProtocolError::MessagesBeyondCredit)?;
        self.messages = self.messages.wrapping_add(1);
        let span = self.rings.span(self.arrived, u64::from(len));
        self.arrived = self.arrived.wrapping_add(u64::from(len));
        Ok(span)
    }

    /// Octets of the stream so far.
    pub(super) const fn position(&self) -> u64 {
        self.arrived.wrapping_add(self.direct)
    }

    /// A data message whose octets are not in the ring.
    pub(super) fn direct(&mut self, len: u32) -> Result<(), ProtocolError> {
        self.counted_without_data()?;
        self.direct = self.direct.wrapping_add(u64::from(len));
        Ok(())
    }

    /// A counted message that nobody reads. It counts as consumed, which gives the sender its credit back.
    pub(super) fn counted_without_data(&mut self) -> Result<(), ProtocolError> {
        self.check_counted()?;
        self.messages = self.messages.wrapping_add(1);
        self.messages_consumed = self.messages_consumed.wrapping_add(1);
        Ok(())
    }

    pub(super) fn consume(&mut self, len: u64) -> Result<(), UsageError> {
        if len > self.readable() {
            return Err(UsageError::NotReadable);
        }
        self.consumed = self.consumed.wrapping_add(len);
        let mut left = len;
        while let Some(message) = self.unread.front_mut() {
            let whole = u64::from(*message);
            if left < whole {
                // `left` is less than a u32, so it is one.
                *message = message.saturating_sub(u32::try_from(left).unwrap_or(u32::MAX));
                break;
            }
            left = left.saturating_sub(whole);
            self.unread.pop_front();
            self.messages_consumed = self.messages_consumed.wrapping_add(1);
        }
        Ok(())
    }

    /// The credit message that should go out, if any. A peer that has finished its direction needs none.
    ///
    /// A region is due when no more than one is not filled, of whichever ring, and its memory is free: half of the ring is
    /// consumed, or the ring is a new one. So the peer never has more than two, every target list has an entry for each,
    /// and each further one costs it a region that it has filled.
    pub(super) fn credit_due(&self) -> Option<CreditDue> {
        if self.ended {
            return None;
        }
        let unfilled = self.published.wrapping_sub(self.arrived);
        if unfilled <= u64::from(self.rings.last_region_len(self.published)) && self.has_free_region() {
            return Some(CreditDue::Region);
        }
        (self.unreturned() >= u64::from(self.credits / 2)).then_some(CreditDue::Bare)
    }

    fn has_free_region(&self) -> bool {
        self.rings.is_free(self.published, self.consumed)
    }

    /// The peer has no room, and gets none before something is consumed.
    pub(super) fn is_full(&self) -> bool {
        self.arrived == self.published && !self.has_free_region()
    }

    /// Counted messages that were consumed without the peer having been told.
    pub(super) const fn unreturned(&self) -> u64 {
        self.messages_consumed.wrapping_sub(self.messages_returned)
    }

    /// The content of the credit message that is due: the region and the 16 bits of the limit.
    pub(super) fn take_credit(&mut self) -> (Option<Publish>, u16) {
        let publish = match self.credit_due() {
            Some(CreditDue::Region) => self.take_region(),
            Some(CreditDue::Bare) | None => None,
        };
        (publish, self.take_limit())
    }

    /// The 16 bits of the newest limit, to be told to the peer.
    pub(super) fn take_limit(&mut self) -> u16 {
        self.messages_returned = self.messages_consumed;
        let [low, high, ..] = self.limit().to_le_bytes();
        u16::from_le_bytes([low, high])
    }

    fn take_region(&mut self) -> Option<Publish> {
        let entry = self.rings.region(self.published)?;
        // The peer's list was checked not to wrap.
        let remote_addr = self.peer_list.entry_addr(self.peer_index)?;
        let next = self.peer_index.wrapping_add(1);
        self.peer_index = if next == self.peer_list.entries { 0 } else { next };
        self.published = self.published.wrapping_add(u64::from(entry.len));
        Some(Publish { entry: entry.encode(), remote_addr, remote_key: self.peer_list.key })
    }

    /// Counted messages that the peer was told it may send.
    const fn limit(&self) -> u64 {
        self.messages_returned.wrapping_add(self.credits as u64)
    }

    fn check_counted(&self) -> Result<(), ProtocolError> {
        if self.ended {
            return Err(ProtocolError::DataAfterShutdown);
        }
        if self.messages >= self.limit() {
            return Err(ProtocolError::MessagesBeyondCredit);
        }
        Ok(())
    }
}
