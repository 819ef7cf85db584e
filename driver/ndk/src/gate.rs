//! One runner at a time, and no request to run is lost.

use core::sync::atomic::{AtomicU32, Ordering};

const IDLE: u32 = 0;
const RUNNING: u32 = 1;
const AGAIN: u32 = 2;

/// What the gate needs of an atomic word; the tests explore it on another one.
pub(crate) trait Word {
    fn new(value: u32) -> Self;
    fn swap(&self, value: u32, order: Ordering) -> u32;
    fn compare_exchange(&self, current: u32, new: u32, ok: Ordering, err: Ordering) -> Result<u32, u32>;
}

impl Word for AtomicU32 {
    fn new(value: u32) -> Self {
        Self::new(value)
    }

    fn swap(&self, value: u32, order: Ordering) -> u32 {
        self.swap(value, order)
    }

    fn compare_exchange(&self, current: u32, new: u32, ok: Ordering, err: Ordering) -> Result<u32, u32> {
        self.compare_exchange(current, new, ok, err)
    }
}

/// Serialises passes over something that must not be worked on twice at once. Whoever comes while a pass runs
/// leaves a note, and the runner looks once more. Any IRQL <= DISPATCH_LEVEL.
#[derive(Debug)]
pub(crate) struct Gate<W = AtomicU32>(W);

impl<W: Word> Gate<W> {
    pub(crate) fn new() -> Self {
        Self(W::new(IDLE))
    }

    /// Asks to run. `true`: the caller is the runner now. `false`: another one is, and will look again.
    pub(crate) fn enter(&self) -> bool {
        if self.0.swap(AGAIN, Ordering::AcqRel) != IDLE {
            return false;
        }
        // Takes in what those have written who came between: this run looks after it.
        self.0.swap(RUNNING, Ordering::AcqRel);
        true
    }

    /// Ends the run. `false`: somebody asked meanwhile; the caller is still the runner and looks again.
    pub(crate) fn leave(&self) -> bool {
        if self.0.compare_exchange(RUNNING, IDLE, Ordering::Release, Ordering::Relaxed).is_ok() {
            return true;
        }
        self.0.swap(RUNNING, Ordering::AcqRel);
        false
    }
}
