//! Which places of a fixed table are free.

use kernel::lock::SpinLock;
use kernel::pool::{AllocError, PoolSlice};

use crate::tag;

/// The free places of a table, given out oldest first so that a place rests as long as possible before it is used again.
#[derive(Debug)]
pub(crate) struct Places(SpinLock<Ring>);

#[derive(Debug)]
struct Ring {
    free: PoolSlice<u32>,
    head: usize,
    len: usize,
}

impl Places {
    /// All of `count` places are free.
    pub(crate) fn new(count: u32) -> Result<Self, AllocError> {
        let len = count as usize;
        let free = PoolSlice::try_new_with(tag::MEMORY, len, |place| place as u32)?;
        Ok(Self(SpinLock::new(Ring { free, head: 0, len })))
    }

    /// Takes a place, `None` if all are taken.
    pub(crate) fn take(&self) -> Option<u32> {
        let mut ring = self.0.lock();
        if ring.len == 0 {
            return None;
        }
        let place = ring.free.get(ring.head).copied();
        ring.head = (ring.head + 1).checked_rem(ring.free.len()).unwrap_or(0);
        ring.len -= 1;
        place
    }

    /// Gives a place back.
    pub(crate) fn put(&self, place: u32) {
        let mut ring = self.0.lock();
        let at = (ring.head + ring.len).checked_rem(ring.free.len()).unwrap_or(0);
        if let Some(slot) = ring.free.get_mut(at) {
            *slot = place;
            ring.len += 1;
        }
    }
}
