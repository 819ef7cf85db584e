//! What the driver tells about itself: counters, numeric reasons, and the last events.
//!
//! | module | is |
//! |---|---|
//! | `counters`, `reason` | what has been done, and why connections took their path |
//! | `event` | what the driver tells of while it runs |
//! | [`recorder`] | the last events, in memory and in a crash dump |
//! | [`tracelogging`] | an event in the form of ETW |
//!
//! Nothing here blocks, allocates or takes a lock; every function may be called at any IRQL <= DISPATCH_LEVEL. User mode links it
//! to decode what it reads.
#![no_std]
#![forbid(unsafe_code)]

mod counters;
mod event;
mod reason;
pub mod recorder;
pub mod tracelogging;

pub use counters::{Counter, Counters, Snapshot};
pub use event::{Event, Kind, Level, keyword};
pub use reason::{Reason, ReasonCounters};
pub use recorder::{Recorded, Recorder};

#[cfg(test)]
mod tests;
