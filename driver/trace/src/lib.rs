//! What the driver tells about itself: counters and numeric reasons.
//!
//! Nothing here blocks, allocates or takes a lock; every function may be called at any IRQL <= DISPATCH_LEVEL.
#![no_std]
#![forbid(unsafe_code)]

mod counters;
mod reason;

pub use counters::{Counter, Counters, Snapshot};
pub use reason::{Reason, ReasonCounters};

#[cfg(test)]
mod tests;
