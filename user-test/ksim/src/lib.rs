//! A simulated kernel for native runs: the routines of `ntoskrnl` that the driver calls, in an ordinary process.
//!
//! The shipped crates are linked against this crate's symbols instead of the kernel's. Every rule a driver can break is
//! checked, and a broken one ends in a panic whose text names the bug check real Windows (or its Driver Verifier) would
//! stop with. A violation on a thread of the simulation (a DPC, a work item) aborts the process after printing it.
//!
//! | module | simulates |
//! |---|---|
//! | [`pool`] | `ExAllocatePool2`…: tags, guard bytes, quarantine of freed memory, failing allocations |
//! | [`processor`] | IRQL and held locks, one simulated processor per host thread |
//! | [`irp`], [`mdl`] | the I/O manager: stack unwinding, cancellation, MDLs |
//! | [`dpc`], [`work`], [`timer`], [`event`], [`thread`] | what runs later, and waiting |
//! | [`nmr`] | the Network Module Registrar |
//! | [`ip`], [`ndis`] | the machine's addresses; NICs as a lightweight filter sees them |
//! | [`routine`], [`debug`] | routines by name, debugger output |
//! | [`sim`] | the deterministic mode: seeds, several processors, a clock of its own |
//! | [`sync`] | mutexes for layers that tests put between the driver and something else |
//! | [`wine`] | what is different where the shipped image runs without Windows |
//! | [`wsk`] | the system's own Winsock Kernel, over a network in memory |
//! | [`bare`], [`tally`] | measurements: without the checks; what is done to the kernel, counted |
//! | [`client`], [`buffer`] | what a test needs to call a WSK provider: IRPs that record, MDL chains with guards |
//!
//! It is made of threads and locks of the host. In the threaded mode time is real and schedules are the host's; in the
//! [deterministic mode](sim) a seed decides both. Nothing here ships.

pub mod bare;
pub mod buffer;
pub mod client;
pub mod debug;
pub mod dpc;
pub mod etw;
pub mod event;
pub mod io;
pub mod ip;
pub mod irp;
pub mod mdl;
pub mod ndis;
pub mod nmr;
pub mod pool;
pub mod processor;
pub mod routine;
pub mod sim;
pub mod stop;
pub mod sync;
pub mod tally;
pub mod thread;
pub mod timer;
pub mod wine;
pub mod work;
pub mod wsk;

mod host;
mod object;
mod spinlock;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use object::{device, references};
pub use stop::{Stop, stops};

/// Waits until no DPC and no work item is queued or running, and no expired timer is being served.
///
/// Timers that are set for later do not count.
pub fn quiesce() {
    loop {
        dpc::drain();
        work::drain();
        if dpc::is_idle() && work::is_idle() && timer::is_idle() {
            return;
        }
        host::yield_now();
    }
}

/// What is still allocated, by tag; empty in a process that has cleaned up.
///
/// It counts the whole process. In a test that runs beside others use [`pool::Scope`].
#[must_use]
pub fn leaks() -> Vec<pool::Usage> {
    pool::usage()
}

/// Lets one test of this process run alone among those that ask for it: for what is process-wide.
#[must_use = "others run again when the guard is dropped"]
pub fn exclusive() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
