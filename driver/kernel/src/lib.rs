//! The only crate that calls the kernel.
//!
//! Everything above this crate is written against the safe (or precisely documented unsafe) objects here and never
//! names an extern function. On Windows targets the calls go to the kernel through `wdk-sys`; on any other target the
//! same names are resolved at link time from the simulated kernel, so the code above is one source in all worlds.
//!
//! | module | is |
//! |---|---|
//! | [`pool`] | fallible non-paged memory: [`PoolBox`](pool::PoolBox), [`PoolSlice`](pool::PoolSlice), [`Shared`](pool::Shared) |
//! | [`region`] | page-aligned memory with its MDL, for registration with an adapter |
//! | [`lock`], [`irql`], [`processor`] | spin locks, IRQL levels, which processor this is |
//! | [`event`], [`thread`] | waiting at PASSIVE_LEVEL |
//! | [`dpc`], [`work`], [`timer`] | code that runs later |
//! | [`rundown`] | calls in flight, and waiting for them to end |
//! | [`driver`] | the driver object |
//! | [`wsk`], [`nmr`] | the system's WSK registration functions; the Network Module Registrar |
//! | [`ip`], [`ndis`] | the addresses of the machine's interfaces; what a lightweight filter needs |
//! | [`irp`], [`mdl`] | the I/O macros, and walking a `WSK_BUF` |
//! | [`call`] | calls of functions that take an IRP |
//! | [`etw`] | events for those who trace the system |
//! | [`time`], [`print`](mod@print), [`bugcheck`](mod@bugcheck) | clock, debugger output, the end |
//!
//! What it must never do: allocate without being able to fail, wait above APC_LEVEL, call a caller's routine with a
//! lock of its own held.
//!
//! The driver calls [`init`] before anything else here, and [`shutdown`] after everything else.
#![no_std]

#[cfg(test)]
extern crate std;

/// Defines the kernel's routines in the tests of this crate.
#[cfg(test)]
use ksim as _;

pub mod bugcheck;
pub mod call;
pub mod dpc;
pub mod driver;
pub mod etw;
pub mod event;
pub mod ip;
pub mod irp;
pub mod irql;
pub mod lock;
pub mod mdl;
pub mod ndis;
pub mod nmr;
pub mod pool;
pub mod print;
pub mod processor;
pub mod region;
pub mod rundown;
pub mod thread;
pub mod time;
pub mod timer;
pub mod work;
pub mod wsk;

mod environment;
mod gate;
mod raw;
mod word;

pub use environment::{init, shutdown};
