//! The initiator queue: which slots are filled, and what each outstanding Send carries.

use crate::config::MAX_SEND_QUEUE_DEPTH;
use heapless::Deque;

/// Slots that data never fills, so that room can always be returned to the peer: two credit messages with
/// their Writes.
const CONTROL_SLOTS: u16 = 4;
/// Most slots of a data message: the Write and the Send.
const DATA_SLOTS: u16 = 2;

/// A Send that has not completed.
#[derive(Clone, Copy, Debug)]
struct Outstanding {
    /// Stream octets of the Write before it, 0 for other messages.
    octets: u32,
    slots: u16,
}

/// What a completed Send was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completed {
    /// Stream octets that are now sent; 0 means that it was no data message.
    pub(super) octets: u32,
}

/// Sends handed out and not completed, oldest first.
///
/// The slot of a silent Write is counted until the Send behind it completes, for only then may a provider
/// have freed it.
#[derive(Clone, Debug)]
pub(super) struct SendQueue {
    depth: u16,
    used: u16,
    outstanding: Deque<Outstanding, { MAX_SEND_QUEUE_DEPTH as usize }>,
}

impl SendQueue {
    pub(super) const fn new(depth: u16) -> Self {
        Self { depth, used: 0, outstanding: Deque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.outstanding.len()
    }

    pub(super) fn has_room_for_data(&self) -> bool {
        self.has_room(DATA_SLOTS.saturating_add(CONTROL_SLOTS))
    }

    /// Takes the slots of a data message, the Send alone if its octets are `inside`; false if there is no room.
    pub(super) fn push_data(&mut self, octets: u32, inside: bool) -> bool {
        let slots = if inside { 1 } else { DATA_SLOTS };
        self.has_room_for_data() && self.push(Outstanding { octets, slots })
    }

    /// Takes the slots of a credit or control message; false if they are not free.
    pub(super) fn push_control(&mut self, slots: u16) -> bool {
        self.has_room(slots) && self.push(Outstanding { octets: 0, slots })
    }

    /// Frees the slots of the oldest Send.
    pub(super) fn complete(&mut self) -> Option<Completed> {
        let done = self.outstanding.pop_front()?;
        self.used = self.used.saturating_sub(done.slots);
        Some(Completed { octets: done.octets })
    }

    fn has_room(&self, slots: u16) -> bool {
        self.depth.saturating_sub(self.used) >= slots
    }

    fn push(&mut self, entry: Outstanding) -> bool {
        let pushed = self.outstanding.push_back(entry).is_ok();
        if pushed {
            self.used = self.used.saturating_add(entry.slots);
        }
        pushed
    }
}
