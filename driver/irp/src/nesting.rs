//! Completing lists of IRPs with a bound on how deeply that nests.
//!
//! The kernel has no thread-local storage in which to count, and a count per socket would not bound a chain that goes
//! through many sockets. So the count belongs to the *stack*: the address of a local variable names a window of
//! addresses, and each window counts the flushes in progress on it. A kernel stack touches at most two windows, so a
//! stack never carries more than twice [`DEPTH_MAX`] flushes. Several stacks may share a window (neighbours, or a
//! hash collision): that can only defer earlier, never nest deeper.
//!
//! A flush that finds its window full appends its IRPs to the window's list and returns. The list is always emptied:
//! a flush in progress looks at it before it leaves, under the same lock under which it leaves.
//!
//! This needs no DPC and no work item, so nothing can fail and unload has nothing to wait for. The price: a completion
//! routine that waited for another IRP of this driver could wait for itself, which is forbidden to completion
//! routines anyway (they run at IRQL ≤ DISPATCH_LEVEL in an arbitrary context).

use crate::owned;
use crate::raw_list::RawList;
use crate::sync::SpinLock;

/// Flushes in progress per window before the next one is left to them.
pub(crate) const DEPTH_MAX: usize = 8;

/// log2 of the window size in bytes: larger than any kernel stack, so that a stack touches at most two.
const WINDOW_SHIFT: u32 = 18;
/// Windows counted apart; a power of two.
const WINDOWS: usize = 64;

/// One window of stack addresses (or several, by collision).
struct Window {
    /// Flushes in progress.
    depth: usize,
    /// Concluded IRPs that those will complete. Empty while `depth` is 0.
    deferred: RawList,
}

static TABLE: [SpinLock<Window>; WINDOWS] =
    [const { SpinLock::new(Window { depth: 0, deferred: RawList::new() }) }; WINDOWS];

/// Completes each IRP of `irps` in order, now or, where that would nest too deeply, in a flush in progress.
///
/// The IRPs are concluded. IRQL ≤ DISPATCH_LEVEL, no lock held.
pub(crate) fn complete_all(irps: RawList) {
    let marker = 0_u8;
    let stack = (&raw const marker).addr();
    if let Some(window) = TABLE.get((stack >> WINDOW_SHIFT) & (WINDOWS - 1)) {
        complete_in(window, irps);
    }
}

fn complete_in(window: &SpinLock<Window>, irps: RawList) {
    let Some(mut irps) = begin(window, irps) else { return };
    loop {
        while let Some(irp) = irps.pop_front() {
            // SAFETY: lists given to this module hold concluded IRPs; this one was taken out just now, and no lock
            // is held.
            unsafe { owned::finish(irp) };
        }
        let Some(more) = next_or_leave(window) else { return };
        irps = more;
    }
}

/// Enters the window and gives `irps` back, or, if the window is full, leaves them to those inside.
fn begin(window: &SpinLock<Window>, mut irps: RawList) -> Option<RawList> {
    let mut window = window.lock();
    if window.depth >= DEPTH_MAX {
        window.deferred.append(&mut irps);
        return None;
    }
    window.depth += 1;
    Some(irps)
}

/// What was deferred meanwhile; leaves the window if nothing was.
fn next_or_leave(window: &SpinLock<Window>) -> Option<RawList> {
    let mut window = window.lock();
    if window.deferred.is_empty() {
        window.depth -= 1;
        return None;
    }
    Some(core::mem::take(&mut window.deferred))
}
