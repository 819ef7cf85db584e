//! Time, in the kernel's unit of 100 ns.

use crate::raw;

/// A relative time in units of 100 ns from milliseconds.
#[must_use]
pub const fn milliseconds(milliseconds: u64) -> u64 {
    milliseconds.saturating_mul(10_000)
}

/// The time since the machine started, in units of 100 ns (`KeQueryInterruptTime`). Any IRQL.
///
/// It never goes back; it advances in steps of the clock interrupt (up to 15.6 ms).
#[must_use]
pub fn interrupt_time_100ns() -> u64 {
    raw::interrupt_time()
}

/// A due time relative to now: negative, as the wait and timer routines want it.
pub(crate) fn relative_due(units_100ns: u64) -> i64 {
    -i64::try_from(units_100ns).unwrap_or(i64::MAX)
}
