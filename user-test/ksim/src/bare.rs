//! The simulation as a machine for measurements: what a kernel does, and nothing that only a test wants.

use std::sync::atomic::{AtomicBool, Ordering};

static OWN_DPCS: AtomicBool = AtomicBool::new(false);
static UNCHECKED: AtomicBool = AtomicBool::new(false);

/// From now on, for the whole process, a DPC runs on the processor that has queued it, as soon as that is below
/// DISPATCH_LEVEL: inside the call that lowers the level, or that queues. So a thread does all of its own work in one order,
/// and what it costs can be counted ([`tally`](crate::tally)). Called before anything else.
///
/// Otherwise DPCs run on two threads of their own, which finds more faults.
pub fn run_own_dpcs() {
    OWN_DPCS.store(true, Ordering::Release);
}

/// From now on, for the whole process, nothing is checked or counted: no rules of IRPs, levels and locks, no guard octets and
/// no quarantine of freed memory. What is left is what a kernel does: locks exclude, levels rise and fall, memory comes from the
/// host's heap. DPCs run as [`run_own_dpcs`] says. For measurements of time and instructions; a test that uses it finds
/// little. Called before anything else.
pub fn without_checks() {
    run_own_dpcs();
    UNCHECKED.store(true, Ordering::Release);
}

pub(crate) fn runs_own_dpcs() -> bool {
    OWN_DPCS.load(Ordering::Relaxed)
}

/// Whether [`without_checks`] was called.
#[must_use]
pub fn is_unchecked() -> bool {
    UNCHECKED.load(Ordering::Relaxed)
}
