//! Deferred procedure calls: code that runs soon at DISPATCH_LEVEL (`KDPC`).

use core::ffi::c_void;
use core::fmt;

use crate::gate::Gate;
use crate::pool::{AllocError, PoolTag};
use crate::{bugcheck, environment, invariant, irql, raw};

pub use crate::gate::Routine;

/// A routine that runs at DISPATCH_LEVEL when asked for.
///
/// * Requests coalesce: however often [`queue`](Self::queue) is called before a run begins, there is one run, and it sees
///   everything the callers wrote before.
/// * The routine never runs twice at once. A request during a run leads to one more run after it.
/// * A run should take less than 100 µs: do bounded work, then `queue` again.
/// * Dropping it takes the routine away: a run that has not begun never will. If the routine runs at that moment on
///   another processor, the drop waits for it to return, so it must then be at IRQL ≤ APC_LEVEL; otherwise
///   IRQL ≤ DISPATCH_LEVEL is enough. Inside the routine itself the drop does not wait.
///
/// Where the system forgets DPCs instead of running them (Wine does; [`init`](crate::init) finds out), the routine runs
/// on a work item of its own. All of the above holds there too, but for the level, because such a system has none.
pub struct Dpc {
    gate: Gate,
}

impl Dpc {
    /// A DPC that calls `routine(context)`. IRQL ≤ DISPATCH_LEVEL, after [`init`](crate::init).
    ///
    /// # Errors
    /// [`AllocError`]: no memory.
    ///
    /// # Safety
    /// `routine` may be called with `context`, at DISPATCH_LEVEL and on any thread, until the drop of the `Dpc` has
    /// returned; if the drop happens inside the routine (the routine gives up the last reference to what owns the `Dpc`),
    /// until that run has returned.
    pub unsafe fn new(tag: PoolTag, routine: Routine, context: *mut c_void) -> Result<Self, AllocError> {
        Ok(Self { gate: Gate::for_dpc(tag, routine, context, true)? })
    }

    /// As [`new`](Self::new), for an owner that each run keeps alive by a reference of its own. Such an owner may be dropped by
    /// anybody, at IRQL ≤ DISPATCH_LEVEL, while the routine is in its last instructions: the drop does not wait for them.
    ///
    /// # Errors
    /// [`AllocError`]: no memory.
    ///
    /// # Safety
    /// `routine` may be called with `context`, at DISPATCH_LEVEL and on any thread, until the drop of the `Dpc` has
    /// returned. A run that has begun uses nothing of the owner's but by a reference that it holds itself.
    pub unsafe fn new_unawaited(
        tag: PoolTag,
        routine: Routine,
        context: *mut c_void,
    ) -> Result<Self, AllocError> {
        Ok(Self { gate: Gate::for_dpc(tag, routine, context, false)? })
    }

    /// Asks for a run after this call (`KeInsertQueueDpc`). IRQL ≤ DISPATCH_LEVEL.
    ///
    /// Returns `false` if a run that has not begun yet serves this request too.
    pub fn queue(&self) -> bool {
        self.gate.request()
    }
}

impl fmt::Debug for Dpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dpc").finish_non_exhaustive()
    }
}

/// Waits until every DPC that was queued before this call has returned (`KeFlushQueuedDpcs`). PASSIVE_LEVEL.
///
/// It serves an unload, which must not free the image under a routine's last instructions. Where DPCs run on work items
/// it returns at once; there the I/O manager keeps the device, and with it the image, until the routine has returned.
pub fn flush() {
    let level = irql::current();
    invariant!(level == irql::PASSIVE_LEVEL, bugcheck::IRQL_TOO_HIGH, usize::from(level));
    if environment::runs_dpcs() {
        // SAFETY: at PASSIVE_LEVEL, checked above.
        unsafe { raw::KeFlushQueuedDpcs() };
    }
}
