//! The lock-free protocols of this crate, each a state machine on one atomic word.
//!
//! They are kept apart from the kernel objects they serve, and generic over the word, so that the tests can explore all
//! their interleavings.

mod count;
mod gate;
mod rundown;
#[cfg(test)]
mod tests;

use core::sync::atomic::{AtomicUsize, Ordering};

pub(crate) use count::{CountOverflow, RefCount};
pub(crate) use gate::{Begin, Close, End, GateWord, Request};
pub(crate) use rundown::{Ended, Release, RundownError, RundownWord};

/// What the protocols need of an atomic word.
pub(crate) trait Word {
    fn new(value: usize) -> Self;
    fn load(&self, order: Ordering) -> usize;
    fn fetch_add(&self, value: usize, order: Ordering) -> usize;
    fn fetch_sub(&self, value: usize, order: Ordering) -> usize;
    fn fetch_or(&self, value: usize, order: Ordering) -> usize;
    fn compare_exchange(
        &self,
        current: usize,
        new: usize,
        ok: Ordering,
        err: Ordering,
    ) -> Result<usize, usize>;
}

impl Word for AtomicUsize {
    fn new(value: usize) -> Self {
        Self::new(value)
    }

    fn load(&self, order: Ordering) -> usize {
        self.load(order)
    }

    fn fetch_add(&self, value: usize, order: Ordering) -> usize {
        self.fetch_add(value, order)
    }

    fn fetch_sub(&self, value: usize, order: Ordering) -> usize {
        self.fetch_sub(value, order)
    }

    fn fetch_or(&self, value: usize, order: Ordering) -> usize {
        self.fetch_or(value, order)
    }

    fn compare_exchange(
        &self,
        current: usize,
        new: usize,
        ok: Ordering,
        err: Ordering,
    ) -> Result<usize, usize> {
        self.compare_exchange(current, new, ok, err)
    }
}
