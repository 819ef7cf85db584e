//! One runner at a time, and no request to run is lost.

use core::sync::atomic::{AtomicU32, Ordering};

const IDLE: u32 = 0;
const RUNNING: u32 = 1;
const AGAIN: u32 = 2;

/// Serialises passes over something that must not be worked on twice at once. Whoever comes while a pass runs
/// leaves a note, and the runner looks once more. Any IRQL <= DISPATCH_LEVEL.
#[derive(Debug)]
pub(crate) struct Gate(AtomicU32);

impl Gate {
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(IDLE))
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
