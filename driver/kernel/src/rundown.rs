//! Rundown protection: calls in flight, and waiting until they have ended.
//!
//! The kernel has the same (`EX_RUNDOWN_REF`), but not every world this driver runs in does.

use core::fmt;
use core::mem;
use core::ptr;
use core::sync::atomic::AtomicUsize;

use crate::bugcheck::{DRIVER_VIOLATION, RUNDOWN_OVERFLOW, RUNDOWN_UNDERFLOW, bugcheck};
use crate::event::{Event, EventType};
use crate::pool::AllocError;
use crate::word::{Ended, Release, RundownError, RundownWord};

/// Counts the users of something that will go away, and lets one party refuse new users and wait for the present ones.
///
/// Natural use: one per registration (calls in flight), one per socket (callbacks in flight). Acquiring and releasing
/// cost one atomic operation each and are allowed at IRQL ≤ DISPATCH_LEVEL.
pub struct Rundown {
    word: RundownWord<AtomicUsize>,
    /// Set once rundown has begun and no user is left.
    over: Event,
}

impl Rundown {
    /// Not begun, no users. IRQL ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// [`AllocError`]: no memory.
    pub fn new() -> Result<Self, AllocError> {
        Ok(Self { word: RundownWord::new(), over: Event::new(EventType::Notification, false)? })
    }

    /// Enters; `None` once rundown has begun (`ExAcquireRundownProtection`). IRQL ≤ DISPATCH_LEVEL.
    #[must_use]
    pub fn acquire(&self) -> Option<RundownGuard<'_>> {
        match self.word.acquire() {
            Ok(entered) => entered.then(|| RundownGuard { rundown: self }),
            Err(RundownError) => bugcheck(DRIVER_VIOLATION, RUNDOWN_OVERFLOW, self.address(), 0, 0),
        }
    }

    /// Refuses new users from now on, without waiting for the present ones. IRQL ≤ DISPATCH_LEVEL.
    pub fn begin(&self) {
        if self.word.begin() == Ended::Now {
            self.over.set();
        }
    }

    /// Refuses new users and waits until the last one has left (`ExWaitForRundownProtectionRelease`).
    ///
    /// IRQL ≤ APC_LEVEL, and not inside a guard of the same rundown. Several parties may wait; the one that frees the
    /// rundown must know that the others are through.
    pub fn wait(&self) {
        self.begin();
        self.over.wait_forever();
    }

    /// Waits until somebody has begun rundown, and the last user has left. IRQL ≤ APC_LEVEL.
    pub fn wait_until_over(&self) {
        self.over.wait_forever();
    }

    /// Leaves for a guard that was given up with [`RundownGuard::forget`]. IRQL ≤ DISPATCH_LEVEL.
    ///
    /// # Safety
    /// Called once for each forgotten guard; the rundown may be gone when the call returns.
    pub unsafe fn release_forgotten(&self) {
        self.release();
    }

    fn release(&self) {
        match self.word.release() {
            Ok(Release::Done) => {}
            // Nobody frees the rundown before this has let the waiter through.
            Ok(Release::Last) => self.over.set(),
            Err(RundownError) => bugcheck(DRIVER_VIOLATION, RUNDOWN_UNDERFLOW, self.address(), 0, 0),
        }
    }

    fn address(&self) -> usize {
        ptr::from_ref(self).addr()
    }
}

impl fmt::Debug for Rundown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rundown").finish_non_exhaustive()
    }
}

/// A user of a [`Rundown`]; dropping it leaves.
#[must_use = "dropping the guard leaves at once"]
#[derive(Debug)]
pub struct RundownGuard<'rundown> {
    rundown: &'rundown Rundown,
}

impl RundownGuard<'_> {
    /// Stays inside beyond this guard, until [`Rundown::release_forgotten`]: for a call that ends in a callback.
    pub fn forget(self) {
        mem::forget(self);
    }
}

impl Drop for RundownGuard<'_> {
    fn drop(&mut self) {
        self.rundown.release();
    }
}

#[cfg(test)]
mod tests;
