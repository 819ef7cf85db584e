//! The invariants of this crate, each with the code that a violation leaves in the first parameter of bug check
//! `DRIVER_VIOLATION`. None of them can be broken by a client or a peer.

use kernel::bugcheck::{DRIVER_VIOLATION, FIRST_FREE, bugcheck};

/// An `OwnedIrp` was dropped instead of completed. Second parameter: the IRP.
pub(crate) const IRP_DROPPED: usize = FIRST_FREE;
/// An IRP was to be completed with `STATUS_PENDING`. Second parameter: the IRP.
pub(crate) const IRP_COMPLETED_AS_PENDING: usize = FIRST_FREE + 1;
/// A queue or list was dropped with IRPs in it. Second parameter: how many.
pub(crate) const QUEUE_DROPPED: usize = FIRST_FREE + 2;
/// An IRP was parked with an owner that does not contain the queue. Second parameter: the queue.
pub(crate) const QUEUE_OF_ANOTHER_OWNER: usize = FIRST_FREE + 3;
/// An IRP that belongs to one owner was given another. Second parameter: the IRP.
pub(crate) const IRP_OF_ANOTHER_OWNER: usize = FIRST_FREE + 6;
/// A posted request was forgotten before the hardware was done with it. Second parameter: the request.
pub(crate) const HARDWARE_SIDE_DROPPED: usize = FIRST_FREE + 4;
/// IRPs are outstanding at unload. Second parameter: how many.
pub(crate) const IRPS_OUTSTANDING: usize = FIRST_FREE + 5;

/// Stops the machine: invariant `which` does not hold.
pub(crate) fn violated(which: usize, parameter: usize) -> ! {
    bugcheck(DRIVER_VIOLATION, which, parameter, 0, 0)
}
