//! Intake: what happens first with every IRP that a WSK function is given.

use core::ptr::NonNull;

use abi::NTSTATUS;
use abi::nt::IRP;
use abi::status::{STATUS_INVALID_PARAMETER, STATUS_PENDING};

use kernel::bugcheck::bugcheck;
use kernel::irp::{locations_left, mark_pending, set_next_irp_stack_location};

use crate::account::account;
use crate::keeper::Keeper;
use crate::outcome::Outcome;
use crate::owned::OwnedIrp;
use crate::scratch;

/// `NO_MORE_IRP_STACK_LOCATIONS` (`bugcodes.h`): what the system's own `IofCallDriver` stops with.
const NO_MORE_IRP_STACK_LOCATIONS: u32 = 0x35;

/// Why an IRP was not taken. There is nothing to complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The caller passed NULL where the function requires an IRP.
    NoIrp,
}

impl Refused {
    /// What the function returns.
    #[must_use]
    pub const fn status(self) -> NTSTATUS {
        match self {
            Self::NoIrp => STATUS_INVALID_PARAMETER,
        }
    }
}

/// Takes the next stack location of `irp`, marks it pending, and gives out the token.
///
/// The client's `CompletionRoutine`, `Context` and `Control` bits in that location are left as they are. The calling
/// function must return `STATUS_PENDING`, whatever becomes of the request: clients decide by `PendingReturned` who
/// cleans up ([`pend`] sees to it). IRQL ≤ DISPATCH_LEVEL.
///
/// An IRP without a free location is a fatal error of the client, as on the system's own paths: bug check
/// `NO_MORE_IRP_STACK_LOCATIONS`.
///
/// # Errors
/// [`Refused`]: `irp` is NULL.
///
/// # Safety
/// `irp` is NULL, or an IRP that the client passes to this driver according to "Using IRPs with Winsock Kernel
/// Functions", entered once.
pub unsafe fn enter(irp: *mut IRP) -> Result<OwnedIrp, Refused> {
    // SAFETY: as for this function.
    let owned = unsafe { take(irp) }?;
    // SAFETY: the location was taken just now.
    unsafe { mark_pending(owned.as_ptr()) };
    Ok(owned)
}

/// Enters `irp`, runs `work` with the token, and returns what the WSK function must return: `STATUS_PENDING`, or
/// `STATUS_INVALID_PARAMETER` for a NULL `irp` without running `work`.
///
/// # Safety
/// As for [`enter`].
pub unsafe fn pend(irp: *mut IRP, work: impl FnOnce(OwnedIrp)) -> NTSTATUS {
    // SAFETY: as for this function.
    match unsafe { enter(irp) } {
        Ok(owned) => {
            work(owned);
            STATUS_PENDING
        }
        Err(refused) => refused.status(),
    }
}

/// Fails a call at once: takes the location, does *not* mark it pending, completes `irp` with `status` and
/// `Information` 0 before it returns, and returns `status`.
///
/// For calls that reach no object to work on (a NULL client or socket). The completion routine has run when this
/// returns, and it saw `PendingReturned` FALSE. A NULL `irp` completes nothing and gives `STATUS_INVALID_PARAMETER`.
/// IRQL ≤ DISPATCH_LEVEL, no lock held.
///
/// # Safety
/// As for [`enter`]; the calling function must return the value.
pub unsafe fn fail_unmarked(irp: *mut IRP, status: NTSTATUS) -> NTSTATUS {
    // SAFETY: as for this function.
    match unsafe { take(irp) } {
        Ok(owned) => {
            owned.complete_now(Outcome::failure(status));
            status
        }
        Err(refused) => refused.status(),
    }
}

/// Takes the next stack location.
///
/// # Safety
/// As for [`enter`].
unsafe fn take(irp: *mut IRP) -> Result<OwnedIrp, Refused> {
    let irp = NonNull::new(irp).ok_or(Refused::NoIrp)?;
    // SAFETY: a live IRP that belongs to this driver from here on.
    if unsafe { locations_left(irp.as_ptr()) } == 0 {
        bugcheck(NO_MORE_IRP_STACK_LOCATIONS, irp.addr().get(), 0, 0, 0);
    }
    // SAFETY: a live IRP of this driver's, with a location left.
    unsafe { set_next_irp_stack_location(irp.as_ptr()) };
    // SAFETY: the scratch words are the driver's from here on.
    unsafe { scratch::set_keeper(irp, Keeper::NONE) };
    account().count_entered();
    // SAFETY: taken just now; the client set no cancel routine and passes the IRP once.
    Ok(unsafe { OwnedIrp::from_raw(irp) })
}
