//! The linear token for an IRP.

use core::mem::ManuallyDrop;
use core::ptr::NonNull;

use abi::NTSTATUS;
use abi::nt::{IO_NETWORK_INCREMENT, IO_NO_INCREMENT, IRP};
use abi::status::{STATUS_PENDING, STATUS_SUCCESS};

use kernel::irp::skip_current_irp_stack_location;
use kernel::pool::Shared;

use crate::account::account;
use crate::batch::CompletionBatch;
use crate::invariant::{self, IRP_COMPLETED_AS_PENDING, IRP_DROPPED, IRP_OF_ANOTHER_OWNER};
use crate::keeper::Keeper;
use crate::outcome::Outcome;
use crate::scratch;
use crate::sync;

/// An IRP that this driver took and has not completed: the holder owes the client exactly one completion.
///
/// The location was taken and (except in [`fail_unmarked`](crate::fail_unmarked)) marked pending, no cancel routine
/// is set, and nobody else in the driver knows the IRP. `IoCancelIrp` by the client does no more than set the flag
/// that [`is_cancelled`](Self::is_cancelled) reads.
///
/// There is no `Clone`, and dropping one is a violated invariant: bug check `DRIVER_VIOLATION` in every build.
#[derive(Debug)]
#[must_use = "an IRP must be completed, parked, held or batched"]
pub struct OwnedIrp {
    irp: NonNull<IRP>,
}

// SAFETY: an IRP belongs to no thread while a driver holds it; ownership may move between processors.
unsafe impl Send for OwnedIrp {}

impl OwnedIrp {
    /// Completes the IRP with `outcome`. IRQL ≤ DISPATCH_LEVEL, **no lock held**.
    ///
    /// The client's completion routine runs inside this call and may free or reuse the IRP and call back into the
    /// driver; where such calls nest too deeply the completion happens a little later instead ([`CompletionBatch`]).
    pub fn complete(self, outcome: Outcome) {
        let mut batch = CompletionBatch::new();
        batch.push(self, outcome);
        batch.flush();
    }

    /// Makes the IRP hold one reference to `owner` until its completion routine has returned.
    ///
    /// For every IRP of a socket's function but the close: then the socket's last reference, whose drop completes the
    /// close IRP, comes after all other completions of the socket, also after those that were deferred. Parking does
    /// it too. An IRP that has an owner already must have the same; another one is bug check `DRIVER_VIOLATION`.
    pub fn keep<O>(self, owner: &Shared<O>) -> Self {
        // SAFETY: the token is the right to the scratch words.
        let keeper = unsafe { scratch::keeper(self.irp) };
        if !keeper.is_some() {
            // SAFETY: as above, and no cancel routine is set.
            unsafe { scratch::set_keeper(self.irp, Keeper::of(owner)) };
        } else if !keeper.is(owner) {
            invariant::violated(IRP_OF_ANOTHER_OWNER, self.into_raw().addr().get());
        }
        self
    }

    /// Gives the IRP to another provider, which owes the completion from here on: `to` gets it with its location not
    /// taken, as the client handed it in, but marked pending, because the client was told so. What it answers does not
    /// matter any more. The owner that the IRP [keeps](Self::keep) is held until `to` has returned. No lock held; the
    /// IRQL that `to` asks for.
    pub fn hand_on(self, to: impl FnOnce(*mut IRP) -> NTSTATUS) {
        let irp = self.into_raw();
        // SAFETY: the token was the right to the scratch words.
        let keeper = unsafe { scratch::keeper(irp) };
        account().count_handed_on();
        // SAFETY: owned until now, with its location taken.
        unsafe { skip_current_irp_stack_location(irp.as_ptr()) };
        let _told_already = to(irp.as_ptr());
        // SAFETY: read from the IRP, which is another's, so nobody else releases it; no lock is held.
        unsafe { keeper.release() };
    }

    /// Whether the client has called `IoCancelIrp` on it. Once true it stays true.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        // SAFETY: the IRP is not completed while this token lives.
        unsafe { sync::is_cancelled(self.irp.as_ptr()) }
    }

    /// The address, for traces. It dangles as soon as the token is gone.
    #[must_use]
    pub const fn as_ptr(&self) -> *mut IRP {
        self.irp.as_ptr()
    }

    /// Makes the token.
    ///
    /// # Safety
    /// The driver owns `irp` (taken, not completed), its cancel routine is clear and cannot run, and no other token
    /// or list has it.
    pub(crate) unsafe fn from_raw(irp: NonNull<IRP>) -> Self {
        Self { irp }
    }

    /// Gives the token up; whoever takes the pointer owes the completion.
    pub(crate) fn into_raw(self) -> NonNull<IRP> {
        ManuallyDrop::new(self).irp
    }

    /// Stores `outcome` in `IoStatus` and gives the token up.
    pub(crate) fn conclude(self, outcome: Outcome) -> NonNull<IRP> {
        let irp = self.into_raw();
        if outcome.status() == STATUS_PENDING {
            invariant::violated(IRP_COMPLETED_AS_PENDING, irp.addr().get());
        }
        // SAFETY: the token was the right to write `IoStatus`.
        unsafe { scratch::set_io_status(irp, outcome) };
        irp
    }

    /// Completes here and now, whatever the nesting: for a cancel routine and for a call that will not return
    /// `STATUS_PENDING`, where the client relies on it.
    pub(crate) fn complete_now(self, outcome: Outcome) {
        let irp = self.conclude(outcome);
        // SAFETY: concluded just now.
        unsafe { finish(irp) };
    }
}

impl Drop for OwnedIrp {
    fn drop(&mut self) {
        invariant::violated(IRP_DROPPED, self.irp.addr().get());
    }
}

/// Hands a concluded IRP back, and then lets go of its owner: the one place of the driver that calls
/// `IoCompleteRequest`.
///
/// # Safety
/// `irp` came from [`OwnedIrp::conclude`] and is finished once. No lock is held. Afterwards the IRP is gone.
pub(crate) unsafe fn finish(irp: NonNull<IRP>) {
    // SAFETY: the IRP is not completed yet.
    let outcome = unsafe { scratch::io_status(irp) };
    let (status, information) = (outcome.status(), outcome.information());
    let boost = if status == STATUS_SUCCESS { IO_NETWORK_INCREMENT } else { IO_NO_INCREMENT };
    // SAFETY: as above.
    let keeper = unsafe { scratch::keeper(irp) };
    account().count_completed();
    // SAFETY: owned, concluded, no cancel routine, no lock held: what IoCompleteRequest asks for.
    unsafe { sync::complete(irp.as_ptr(), status, information, boost) };
    // SAFETY: read from the IRP, which is gone, so nobody else releases it; no lock is held.
    unsafe { keeper.release() };
}
