//! The sending direction: room at the peer, message credit, and the stream that waits for both.

use super::queue::Completed;
use super::share::data_share;
use crate::config::MAX_LIST_ENTRIES;
use crate::counters::Counters;
use crate::error::{ProtocolError, UsageError};
use crate::wire::{ConnData, MAX_DATA_LEN, TargetEntry, Word};
use heapless::Deque;

/// How far the sending direction is finished, or is asked to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    Open,
    Shutdown,
    Disconnect,
}

/// Why queued octets wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Room,
    Credit,
    Queue,
    Merge,
}

#[derive(Clone, Debug)]
pub(super) struct SendSide {
    /// Regions published to this side and not yet full, in the order of use. The front one is being filled.
    regions: Deque<TargetEntry, MAX_LIST_ENTRIES>,
    list_entries: usize,
    /// Index of the entry that comes after those in `regions`.
    wanted: usize,
    merge_below: u32,

    peer_credits: u16,
    /// Data messages that may be sent beyond those proved seen.
    share: u16,
    /// The peer's limit, extended to 64 bits. Never goes back.
    limit: u64,
    /// Data messages handed out.
    messages: u64,
    /// Data messages handed out whose Send has not completed.
    outstanding: u64,

    queued: u64,
    posted: u64,
    sent: u64,

    asked: Ending,
    done: Ending,
    wait: Option<Wait>,
}

impl SendSide {
    pub(super) fn new(list_entries: u8, merge_below: u32) -> Self {
        Self {
            regions: Deque::new(),
            list_entries: usize::from(list_entries),
            // Entry 0 is what the private data described.
            wanted: 1,
            merge_below,
            peer_credits: 0,
            share: 0,
            limit: 0,
            messages: 0,
            outstanding: 0,
            queued: 0,
            posted: 0,
            sent: 0,
            asked: Ending::Open,
            done: Ending::Open,
            wait: None,
        }
    }

    /// `equal`: the peer has receives in reserve for what is not counted by credits.
    pub(super) fn establish(
        &mut self,
        peer: &ConnData,
        own_credits: u16,
        equal: bool,
    ) -> Result<(), ProtocolError> {
        self.peer_credits = peer.credits;
        self.limit = u64::from(peer.credits);
        self.share = if equal { peer.credits } else { data_share(peer.credits, own_credits) };
        match peer.first_region.len {
            0 => Ok(()),
            _ => self.regions.push_back(peer.first_region).map_err(|_| ProtocolError::EntryOverrun),
        }
    }

    pub(super) const fn wanted_entry(&self) -> usize {
        self.wanted
    }

    pub(super) const fn queued(&self) -> u64 {
        self.queued
    }

    /// Octets that are queued and not handed out.
    pub(super) const fn pending(&self) -> u64 {
        self.queued.wrapping_sub(self.posted)
    }

    pub(super) const fn posted(&self) -> u64 {
        self.posted
    }

    pub(super) const fn sent(&self) -> u64 {
        self.sent
    }

    /// SHUTDOWN (or DISCONNECT) was handed out.
    pub(super) fn shut_down(&self) -> bool {
        self.done != Ending::Open
    }

    pub(super) fn queue(&mut self, len: u64) -> Result<(), UsageError> {
        if self.asked != Ending::Open {
            return Err(UsageError::NotSendable);
        }
        self.queued = self.queued.checked_add(len).ok_or(UsageError::StreamTooLong)?;
        Ok(())
    }

    pub(super) fn request_shutdown(&mut self) {
        self.asked = self.asked.max(Ending::Shutdown);
    }

    pub(super) fn request_disconnect(&mut self) {
        self.asked = Ending::Disconnect;
    }

    /// A limit that the peer sent: 16 bits of a number that only grows, and never beyond what was sent plus
    /// the peer's credits.
    pub(super) fn credit(&mut self, limit: u16) -> Result<(), ProtocolError> {
        let [low, high, ..] = self.limit.to_le_bytes();
        let step = limit.wrapping_sub(u16::from_le_bytes([low, high]));
        let limit = self.limit.wrapping_add(u64::from(step));
        if limit > self.messages.wrapping_add(u64::from(self.peer_credits)) {
            return Err(ProtocolError::CreditOutOfRange);
        }
        self.limit = limit;
        Ok(())
    }

    /// A copy of the entry at `wanted`, seen with a credit message. Returns the index if it was taken.
    pub(super) fn offer_entry(&mut self, entry: TargetEntry) -> Result<Option<usize>, ProtocolError> {
        if entry.len == 0 {
            return Ok(None);
        }
        if entry.wraps() {
            return Err(ProtocolError::EntryWraps);
        }
        if self.regions.len() >= self.list_entries || self.regions.push_back(entry).is_err() {
            return Err(ProtocolError::EntryOverrun);
        }
        let taken = self.wanted;
        let next = taken.wrapping_add(1);
        self.wanted = if next == self.list_entries { 0 } else { next };
        Ok(Some(taken))
    }

    /// The next piece of the queued octets and the room it goes to, or `None` if they wait. Nothing is taken
    /// before [`SendSide::commit`]. `queue_room` says whether the initiator queue has slots; `buffer` is used instead of
    /// the ring.
    pub(super) fn next_data(
        &mut self,
        max_data: u32,
        queue_room: bool,
        buffer: Option<TargetEntry>,
        counters: &mut Counters,
    ) -> Option<TargetEntry> {
        let pending = self.pending();
        if pending == 0 || max_data == 0 {
            return None;
        }
        let wait = match self.cut(pending, max_data, queue_room, buffer) {
            Ok(target) => return Some(target),
            Err(wait) => wait,
        };
        if self.wait != Some(wait) {
            let counter = match wait {
                Wait::Room => &mut counters.stalls_no_room,
                Wait::Credit => &mut counters.stalls_no_credit,
                Wait::Queue => &mut counters.stalls_queue_full,
                Wait::Merge => &mut counters.merge_waits,
            };
            *counter = counter.wrapping_add(1);
        }
        self.wait = Some(wait);
        None
    }

    /// Takes the room that [`SendSide::next_data`] named, for `len` octets: in the ring, or `elsewhere`. Returns their
    /// offset in the stream.
    pub(super) fn commit(&mut self, len: u32, elsewhere: bool) -> u64 {
        if let Some(region) = self.regions.front_mut().filter(|_| !elsewhere) {
            // The entry was checked not to wrap, and `len` is at most what it has left.
            region.addr = region.addr.wrapping_add(u64::from(len));
            region.len = region.len.saturating_sub(len);
            if region.len == 0 {
                self.regions.pop_front();
            }
        }
        let stream_offset = self.posted;
        self.posted = self.posted.wrapping_add(u64::from(len));
        self.messages = self.messages.wrapping_add(1);
        self.outstanding = self.outstanding.wrapping_add(1);
        self.wait = None;
        stream_offset
    }

    /// The message that ends this direction, if all octets before it are out. `peer_ended` is whether the
    /// peer's direction is finished.
    pub(super) fn control_due(&self, peer_ended: bool) -> Option<Word> {
        if self.asked <= self.done || self.posted != self.queued {
            return None;
        }
        match self.asked {
            Ending::Shutdown if !peer_ended => Some(Word::Shutdown),
            _ => Some(Word::Disconnect),
        }
    }

    pub(super) fn control_sent(&mut self, word: Word) {
        self.done = if word == Word::Shutdown { Ending::Shutdown } else { Ending::Disconnect };
    }

    pub(super) fn completed(&mut self, done: Completed) {
        if done.octets != 0 {
            self.sent = self.sent.wrapping_add(u64::from(done.octets));
            self.outstanding = self.outstanding.saturating_sub(1);
        }
    }

    /// Cuts the next message from `pending` octets, or says what they wait for.
    fn cut(
        &self,
        pending: u64,
        max_data: u32,
        queue_room: bool,
        buffer: Option<TargetEntry>,
    ) -> Result<TargetEntry, Wait> {
        // `limit - peer_credits` data messages are proved seen. The share is no more than the credits, so
        // this also keeps the peer's limit.
        let proved = self.limit.wrapping_sub(u64::from(self.peer_credits));
        if self.messages.wrapping_sub(proved) >= u64::from(self.share) {
            return Err(Wait::Credit);
        }
        let region = buffer.as_ref().or_else(|| self.regions.front()).ok_or(Wait::Room)?;
        if !queue_room {
            return Err(Wait::Queue);
        }
        let most = region.len.min(MAX_DATA_LEN).min(max_data);
        let len = u32::try_from(pending).map_or(most, |pending| pending.min(most));
        let more_may_come = self.asked == Ending::Open && len < region.len;
        if self.outstanding != 0 && more_may_come && pending < u64::from(self.merge_below) {
            return Err(Wait::Merge);
        }
        Ok(TargetEntry { len, ..*region })
    }
}
