//! Completions decided under a lock and made after it.

use core::mem;

use crate::nesting;
use crate::outcome::Outcome;
use crate::owned::OwnedIrp;
use crate::raw_list::RawList;
use crate::sync::SpinLock;

/// IRPs whose outcome is decided, in the order in which they will be completed.
///
/// A batch is filled while a lock is held and flushed when it is not. It is linked through the IRPs themselves, so it
/// has no limit and needs no memory.
///
/// Dropping a batch flushes it: a forgotten batch must not strand a client, and an early return is as good as the
/// last line. The drop must therefore come after the drop of every lock guard: declare the batch first, or let
/// [`collect`](Self::collect) do both.
///
/// # Nesting
/// A completion routine may call the driver, whose call may complete another IRP, and so on. Where eight or more flushes
/// are in progress on one stack already, a flush leaves its IRPs to a work item
/// ([`CompletionWorker`](crate::CompletionWorker)) and returns; they are completed a little later, in order among
/// themselves. What must not come before them is bound to their owner's last reference ([`OwnedIrp::keep`]).
#[derive(Debug, Default)]
#[must_use = "a batch that is dropped at once completes its IRPs at once"]
pub struct CompletionBatch {
    irps: RawList,
}

impl CompletionBatch {
    /// An empty batch.
    pub const fn new() -> Self {
        Self { irps: RawList::new() }
    }

    /// Runs `work` with the data under `lock`, drops the lock, then completes what `work` put into the batch.
    ///
    /// IRQL ≤ DISPATCH_LEVEL, no other lock held.
    pub fn collect<S, R>(lock: &SpinLock<S>, work: impl FnOnce(&mut S, &mut Self) -> R) -> R {
        let mut batch = Self::new();
        let result = {
            let mut state = lock.lock();
            work(&mut state, &mut batch)
        };
        batch.flush();
        result
    }

    /// Adds `irp` at the end, to be completed with `outcome`. Any lock may be held; the IRP is not completed here.
    pub fn push(&mut self, irp: OwnedIrp, outcome: Outcome) {
        let irp = irp.conclude(outcome);
        // SAFETY: a concluded IRP is in no list, and this batch alone has it now.
        unsafe { self.irps.push_back(irp) };
    }

    /// How many IRPs are waiting in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.irps.len()
    }

    /// Whether a flush would do nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.irps.is_empty()
    }

    /// Completes everything, in order, and leaves the batch empty for more. IRQL ≤ DISPATCH_LEVEL, **no lock held**.
    pub fn flush(&mut self) {
        if !self.irps.is_empty() {
            nesting::complete_all(mem::take(&mut self.irps));
        }
    }
}

impl Drop for CompletionBatch {
    fn drop(&mut self) {
        self.flush();
    }
}
