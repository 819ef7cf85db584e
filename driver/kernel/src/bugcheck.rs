//! The end: a violated invariant stops the machine rather than going on with corrupt memory.
//!
//! Never for anything a peer, a client or a failed allocation can cause; those are errors with a status.

use crate::raw;

/// Bug check code of this driver's own findings: `DRIVER_VIOLATION` (`bugcodes.h`). The first parameter tells which.
pub const DRIVER_VIOLATION: u32 = 0x121;

/// A [`Shared`](crate::pool::Shared) reference count would overflow. Parameter: the address of the count.
pub const REFERENCE_COUNT_OVERFLOW: usize = 0x5752_0001;
/// A call was made above its documented IRQL. Parameter: the IRQL.
pub const IRQL_TOO_HIGH: usize = 0x5752_0002;
/// A rundown was released more often than acquired. Parameter: the address of the rundown.
pub const RUNDOWN_UNDERFLOW: usize = 0x5752_0003;
/// A rundown was acquired more often than its count can hold. Parameter: the address of the rundown.
pub const RUNDOWN_OVERFLOW: usize = 0x5752_0004;
/// A work item, or a DPC that runs on one, was built before [`init`](crate::init).
pub const NOT_INITIALIZED: usize = 0x5752_0005;
/// A thread was made whose object its own handle does not give. Parameter: the status.
pub const THREAD_WITHOUT_OBJECT: usize = 0x5752_0006;
/// First code free for the crates above this one.
pub const FIRST_FREE: usize = 0x5752_0100;

/// Stops the machine with a bug check code and four parameters of free meaning (`KeBugCheckEx`).
///
/// Any IRQL. In the simulated kernel it panics with the code. For a violated invariant of this driver use
/// [`invariant!`](crate::invariant), which supplies the code.
pub fn bugcheck(code: u32, p1: usize, p2: usize, p3: usize, p4: usize) -> ! {
    // SAFETY: any IRQL, any parameters; the call does not return.
    unsafe { raw::KeBugCheckEx(code, p1, p2, p3, p4) }
}

/// Bug-checks with [`DRIVER_VIOLATION`](crate::bugcheck::DRIVER_VIOLATION) and `$which` unless `$condition` holds.
///
/// `invariant!(condition, WHICH)` or `invariant!(condition, WHICH, parameter)`; `WHICH` and the parameter are `usize`.
/// For invariants of this driver's own making only.
#[macro_export]
macro_rules! invariant {
    ($condition:expr, $which:expr $(,)?) => {
        $crate::invariant!($condition, $which, 0)
    };
    ($condition:expr, $which:expr, $parameter:expr $(,)?) => {
        if !$condition {
            $crate::bugcheck::bugcheck($crate::bugcheck::DRIVER_VIOLATION, $which, $parameter, 0, 0);
        }
    };
}
