//! Work items: code that runs soon at PASSIVE_LEVEL on a system thread (`IO_WORKITEM`).

use core::ffi::c_void;
use core::fmt;

use crate::gate::Gate;
use crate::pool::{AllocError, PoolTag};

pub use crate::gate::Routine;

/// A routine that runs at PASSIVE_LEVEL when asked for.
///
/// Requests coalesce, the routine never runs twice at once, and after the drop no run begins; IRQL and waiting in the
/// drop are those of a [`Dpc`](crate::dpc::Dpc). The routine must never wait for another work item, because both may need the same thread.
pub struct WorkItem {
    gate: Gate,
}

impl WorkItem {
    /// A work item that calls `routine(context)`. IRQL ≤ DISPATCH_LEVEL, after [`init`](crate::init).
    ///
    /// # Errors
    /// [`AllocError`]: no memory.
    ///
    /// # Safety
    /// `routine` may be called with `context`, at PASSIVE_LEVEL and on any thread, until the drop of the `WorkItem` has
    /// returned; if the drop happens inside the routine, until that run has returned.
    pub unsafe fn new(tag: PoolTag, routine: Routine, context: *mut c_void) -> Result<Self, AllocError> {
        Ok(Self { gate: Gate::for_work_item(tag, routine, context, true)? })
    }

    /// As [`new`](Self::new), for an owner that each run keeps alive by a reference of its own. Such an owner may be dropped by
    /// anybody, at IRQL ≤ DISPATCH_LEVEL, while the routine is in its last instructions: the drop does not wait for them.
    ///
    /// # Errors
    /// [`AllocError`]: no memory.
    ///
    /// # Safety
    /// `routine` may be called with `context`, at PASSIVE_LEVEL and on any thread, until the drop of the `WorkItem` has
    /// returned. A run that has begun uses nothing of the owner's but by a reference that it holds itself.
    pub unsafe fn new_unawaited(
        tag: PoolTag,
        routine: Routine,
        context: *mut c_void,
    ) -> Result<Self, AllocError> {
        Ok(Self { gate: Gate::for_work_item(tag, routine, context, false)? })
    }

    /// Asks for a run after this call (`IoQueueWorkItem`). IRQL ≤ DISPATCH_LEVEL.
    ///
    /// Returns `false` if a run that has not begun yet serves this request too.
    pub fn queue(&self) -> bool {
        self.gate.request()
    }
}

impl fmt::Debug for WorkItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkItem").finish_non_exhaustive()
    }
}
