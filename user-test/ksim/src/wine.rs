//! The simulation as Wine: the system the shipped image meets in tests without Windows.

use std::sync::atomic::{AtomicBool, Ordering};

static IMITATED: AtomicBool = AtomicBool::new(false);

/// Makes the simulation what Wine is, for the whole process, from now on; called before anything else.
///
/// Some routines become stubs that report success: `KeInsertQueueDpc` forgets the DPC, `KeFlushQueuedDpcs` returns at
/// once, `MmBuildMdlForNonPagedPool` leaves the MDL as it is, and `MmMapLockedPagesSpecifyCache` maps nothing. The level
/// reads as PASSIVE_LEVEL, `ExAllocatePool2` is missing, and large blocks of pool begin anywhere. A timer still runs its
/// DPC.
pub fn imitate() {
    IMITATED.store(true, Ordering::Release);
}

pub(crate) fn is_imitated() -> bool {
    IMITATED.load(Ordering::Acquire)
}
