//! Telemetry: Event Tracing for Windows with TraceLogging events, performance counters, the error log.
//!
//! `evntprov.h`, `evntrace.h`, `winmeta.h`, `TraceLoggingProvider.h`, and the Etw, Pcw and error-log parts of
//! `wdm.h`.
//!
//! Every function here is a type named after an export of `ntoskrnl.exe`, to be found at run time with
//! `MmGetSystemRoutineAddress`: not every system has them all, and an import that is missing keeps a driver from
//! loading. Telemetry is never a reason to fail: without a function its events and counters are left out.

mod counter;
mod event;
mod log;
mod tracelogging;

#[cfg(test)]
mod tests;

pub use counter::*;
pub use event::*;
pub use log::*;
pub use tracelogging::*;
