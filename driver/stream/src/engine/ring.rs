//! The memory that the peer writes stream octets into: a ring, and while it grows the one before it.
//!
//! Regions are published of the newest ring only. The peer fills regions in the order in which they were published, so one
//! offset of the stream divides the two: what is before it belongs into the old ring, what is not, into the new one. When
//! that offset is consumed, every region of the old ring is full and read.

use crate::config::is_ring_len;
use crate::wire::TargetEntry;

/// A piece of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Which ring: 0 for that of [`LocalMemory`](crate::LocalMemory), then what [`Engine::grow`](crate::Engine::grow) has
    /// returned.
    pub ring: u32,
    /// Octets of the ring before it.
    pub offset: u32,
    /// Octets, never 0.
    pub len: u32,
}

/// One ring, published in halves, of which the peer fills each completely before it touches the next.
#[derive(Clone, Copy, Debug)]
struct Ring {
    number: u32,
    memory: TargetEntry,
    /// The stream offset that is its first octet the first time.
    begin: u64,
}

impl Ring {
    const fn half(&self) -> u32 {
        self.memory.len / 2
    }

    /// Where the octet at `offset` of the stream lies. The ring is not empty.
    fn place(&self, offset: u64) -> u32 {
        let turned = offset.wrapping_sub(self.begin).checked_rem(u64::from(self.memory.len));
        turned.and_then(|at| u32::try_from(at).ok()).unwrap_or(0)
    }

    /// Octets from `offset` to the end of its region.
    fn left_of_region(&self, offset: u64) -> u32 {
        let half = self.half();
        half.saturating_sub(self.place(offset).checked_rem(half).unwrap_or(0))
    }
}

/// All offsets count stream octets that came through rings.
#[derive(Clone, Debug)]
pub(super) struct Rings {
    newest: Ring,
    /// The one before, as long as octets before `newest.begin` are not consumed.
    old: Option<Ring>,
}

impl Rings {
    pub(super) const fn new(memory: TargetEntry) -> Self {
        Self { newest: Ring { number: 0, memory, begin: 0 }, old: None }
    }

    /// Octets of the newest ring.
    pub(super) const fn len(&self) -> u32 {
        self.newest.memory.len
    }

    /// There is an old ring.
    pub(super) const fn growing(&self) -> bool {
        self.old.is_some()
    }

    /// From `published` on, the end of a region, everything belongs into `memory`. Returns its number; `None`: it is no ring,
    /// or not longer than the newest, or there are two already.
    pub(super) fn grow(&mut self, memory: TargetEntry, published: u64) -> Option<u32> {
        let longer = memory.len > self.len() && is_ring_len(memory.len);
        if !longer || memory.wraps() || self.growing() {
            return None;
        }
        let number = self.newest.number.checked_add(1)?;
        self.old = Some(self.newest);
        self.newest = Ring { number, memory, begin: published };
        Some(number)
    }

    /// The number of the old ring, once everything of it is `consumed`: told once.
    pub(super) fn take_drained(&mut self, consumed: u64) -> Option<u32> {
        let begin = self.newest.begin;
        self.old.take_if(|_| begin <= consumed).map(|old| old.number)
    }

    /// The region of the newest ring that begins at stream offset `published`.
    pub(super) fn region(&self, published: u64) -> Option<TargetEntry> {
        let TargetEntry { addr, key, .. } = self.newest.memory;
        let offset = self.newest.place(published);
        // The ring was checked not to wrap.
        Some(TargetEntry { addr: addr.checked_add(u64::from(offset))?, key, len: self.newest.half() })
    }

    /// Whether nothing unread lies where the region that begins at stream offset `published` is.
    pub(super) fn is_free(&self, published: u64, consumed: u64) -> bool {
        let Ring { begin, memory, .. } = self.newest;
        let first_turn = published.wrapping_sub(begin) < u64::from(memory.len);
        first_turn || published.wrapping_sub(consumed) <= u64::from(self.newest.half())
    }

    /// Octets of the region that ends at `published`.
    pub(super) fn last_region_len(&self, published: u64) -> u32 {
        match self.old {
            Some(old) if published == self.newest.begin => old.half(),
            _ => self.newest.half(),
        }
    }

    /// Octets from `offset` to the end of the region that it lies in.
    pub(super) fn left_of_region(&self, offset: u64) -> u32 {
        self.at(offset).left_of_region(offset)
    }

    /// Where the octet at `offset` lies, and how many of the next `len` octets, at least one, lie together with it.
    pub(super) fn span(&self, offset: u64, len: u64) -> Span {
        let ring = self.at(offset);
        let place = ring.place(offset);
        let to_end = ring.memory.len.saturating_sub(place);
        let to_next =
            if offset < self.newest.begin { self.newest.begin.wrapping_sub(offset) } else { u64::MAX };
        let together = u32::try_from(len.min(to_next)).map_or(to_end, |len| len.min(to_end));
        Span { ring: ring.number, offset: place, len: together }
    }

    fn at(&self, offset: u64) -> &Ring {
        self.old.as_ref().filter(|_| offset < self.newest.begin).unwrap_or(&self.newest)
    }
}
