//! A count of owners.

use core::sync::atomic::Ordering;

use super::Word;

/// More owners than any honest program has.
const LIMIT: usize = isize::MAX.unsigned_abs();

/// The count would overflow: somebody leaks references.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CountOverflow;

pub(crate) struct RefCount<W> {
    owners: W,
}

impl<W: Word> RefCount<W> {
    /// One owner.
    pub(crate) fn new() -> Self {
        Self { owners: W::new(1) }
    }

    /// Adds an owner; the caller is one already, which is why no ordering is needed.
    pub(crate) fn acquire(&self) -> Result<(), CountOverflow> {
        if self.owners.fetch_add(1, Ordering::Relaxed) < LIMIT { Ok(()) } else { Err(CountOverflow) }
    }

    /// Removes the caller; `true` tells the last one, who then sees everything the others did.
    #[must_use]
    pub(crate) fn release(&self) -> bool {
        self.owners.fetch_sub(1, Ordering::AcqRel) == 1
    }

    #[cfg(test)]
    pub(crate) fn set_for_test(&self, owners: usize) {
        let now = self.owners.load(Ordering::Relaxed);
        self.owners.fetch_add(owners.wrapping_sub(now), Ordering::Relaxed);
    }
}
