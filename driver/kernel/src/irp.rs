//! What C drivers do to an IRP with macros, and the I/O manager's services for it.
//!
//! Nothing here decides who owns a completion; that is the caller's, by the value [`set_cancel_routine`] returns.
//! "Synchronizing IRP Cancellation" and the pages of the routines named at each function are the source.

use core::mem::size_of;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

use abi::NTSTATUS;
use abi::nt::{
    IO_STACK_LOCATION, IRP, LIST_ENTRY, PDRIVER_CANCEL, PIO_COMPLETION_ROUTINE, SL_INVOKE_ON_CANCEL,
    SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS, SL_PENDING_RETURNED,
};

use crate::pool::AllocError;
use crate::raw;

/// Words of `Tail.Overlay.DriverContext`.
pub const DRIVER_CONTEXT_WORDS: usize = 4;

/// Bytes an IRP with `stack_size` locations takes (`IoSizeOfIrp`).
#[must_use]
pub const fn size_of_irp(stack_size: u8) -> usize {
    // Lossless: there is no `From` in a constant function.
    size_of::<IRP>() + stack_size as usize * size_of::<IO_STACK_LOCATION>()
}

/// The stack location of the party that holds the IRP (`IoGetCurrentIrpStackLocation`). Any IRQL.
///
/// # Safety
/// `irp` is an IRP the caller holds, and a location has been taken (by the caller of the driver, or by
/// [`set_next_irp_stack_location`]).
#[must_use]
pub unsafe fn current_stack_location(irp: *mut IRP) -> *mut IO_STACK_LOCATION {
    // SAFETY: as promised by the caller.
    let place = unsafe { current_stack_location_place(irp) };
    // SAFETY: a field of the IRP, which the caller holds.
    unsafe { *place }
}

/// Where the IRP keeps its current location.
///
/// # Safety
/// `irp` is valid.
unsafe fn current_stack_location_place(irp: *mut IRP) -> *mut *mut IO_STACK_LOCATION {
    // SAFETY: the IRP is valid; only an address is computed.
    unsafe { &raw mut (*irp).Tail.Overlay.CurrentStackLocation }
}

/// The location the next party will take (`IoGetNextIrpStackLocation`). Any IRQL.
///
/// # Safety
/// `irp` is an IRP the caller holds, with a location left.
#[must_use]
pub unsafe fn next_stack_location(irp: *mut IRP) -> *mut IO_STACK_LOCATION {
    // SAFETY: as promised by the caller.
    let current = unsafe { current_stack_location(irp) };
    // SAFETY: locations are an array that is used downwards, and one is left.
    unsafe { current.sub(1) }
}

/// Takes the next location (`IoSetNextIrpStackLocation`): the first thing a WSK provider does with an IRP. Any IRQL.
///
/// # Safety
/// `irp` is an IRP the caller has just been handed, with a location left ([`locations_left`] is not zero).
pub unsafe fn set_next_irp_stack_location(irp: *mut IRP) {
    // SAFETY: as promised by the caller.
    let next = unsafe { next_stack_location(irp) };
    // SAFETY: the IRP is valid and the caller holds it.
    unsafe { (*irp).CurrentLocation -= 1 };
    // SAFETY: as above.
    let place = unsafe { current_stack_location_place(irp) };
    // SAFETY: a field of the IRP, which the caller holds.
    unsafe { *place = next };
}

/// Gives the current location back, as if it had not been taken (`IoSkipCurrentIrpStackLocation`): before the IRP goes
/// on to another provider in the same place. Any IRQL.
///
/// # Safety
/// The caller holds `irp` and has taken its current location.
pub unsafe fn skip_current_irp_stack_location(irp: *mut IRP) {
    // SAFETY: as promised by the caller.
    let current = unsafe { current_stack_location(irp) };
    // SAFETY: the IRP is valid and the caller holds it.
    unsafe { (*irp).CurrentLocation += 1 };
    // SAFETY: one past a taken location is at most the end of the array.
    let above = unsafe { current.add(1) };
    // SAFETY: the IRP is valid.
    let place = unsafe { current_stack_location_place(irp) };
    // SAFETY: a field of the IRP, which the caller holds.
    unsafe { *place = above };
}

/// How many locations are left to take. Any IRQL.
///
/// A client that hands over an IRP with none has made an error that C providers do not survive.
///
/// # Safety
/// `irp` is an IRP the caller holds.
#[must_use]
pub unsafe fn locations_left(irp: *const IRP) -> usize {
    // SAFETY: the IRP is valid and the caller holds it.
    let location = unsafe { (*irp).CurrentLocation };
    usize::try_from(i32::from(location) - 1).unwrap_or(0)
}

/// Marks the current location pending (`IoMarkIrpPending`): the call that got the IRP must return `STATUS_PENDING`.
/// Any IRQL; before the IRP becomes visible to anybody else.
///
/// # Safety
/// The caller holds `irp` and has taken its current location.
pub unsafe fn mark_pending(irp: *mut IRP) {
    // SAFETY: as promised by the caller.
    let current = unsafe { current_stack_location(irp) };
    // SAFETY: the location is the caller's.
    unsafe { (*current).Control |= SL_PENDING_RETURNED };
}

/// When a completion routine is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvokeOn {
    /// On a success status.
    pub success: bool,
    /// On any other status.
    pub error: bool,
    /// When the IRP was cancelled, whatever its status.
    pub cancel: bool,
}

impl InvokeOn {
    /// Always.
    pub const ALL: Self = Self { success: true, error: true, cancel: true };

    const fn control(self) -> u8 {
        let success = if self.success { SL_INVOKE_ON_SUCCESS } else { 0 };
        let error = if self.error { SL_INVOKE_ON_ERROR } else { 0 };
        let cancel = if self.cancel { SL_INVOKE_ON_CANCEL } else { 0 };
        success | error | cancel
    }
}

/// Sets the routine that is called when the next party has completed the IRP (`IoSetCompletionRoutine`). Any IRQL.
///
/// # Safety
/// The caller holds `irp` with a location left; `routine` may be called with `context` once the next party has completed
/// the IRP, at IRQL ≤ DISPATCH_LEVEL.
pub unsafe fn set_completion_routine(
    irp: *mut IRP,
    routine: PIO_COMPLETION_ROUTINE,
    context: *mut core::ffi::c_void,
    when: InvokeOn,
) {
    // SAFETY: as promised by the caller.
    let next = unsafe { next_stack_location(irp) };
    // SAFETY: the location below the caller's is the caller's to fill.
    unsafe { (*next).CompletionRoutine = Some(routine) };
    // SAFETY: as above.
    unsafe { (*next).Context = context };
    // SAFETY: as above.
    unsafe { (*next).Control = when.control() };
}

/// Sets or takes back the cancel routine, and returns the one that was set before (`IoSetCancelRoutine`). Any IRQL.
///
/// The ownership law: taking back (`None`) and getting a routine means that it will never run and the caller owns the
/// completion. Getting `None` means that the routine has run, is running or is about to: it owns the completion.
///
/// # Safety
/// `irp` is an IRP that cannot be freed during this call: the caller holds it, or the cancel routine cannot get past a lock
/// that the caller has.
pub unsafe fn set_cancel_routine(irp: *mut IRP, routine: Option<PDRIVER_CANCEL>) -> Option<PDRIVER_CANCEL> {
    // SAFETY: the IRP is valid during this call.
    let slot = unsafe { &raw mut (*irp).CancelRoutine };
    // SAFETY: a nullable function pointer is one word, 8-aligned in an IRP, and everybody exchanges it atomically.
    let slot = unsafe { AtomicPtr::from_ptr(slot.cast()) };
    let new = routine.map_or(core::ptr::null_mut(), |routine| routine as *mut ());
    let old: *mut () = slot.swap(new, Ordering::AcqRel);
    // SAFETY: null is `None`, and anything else was stored as a function pointer of this type.
    unsafe { core::mem::transmute::<*mut (), Option<PDRIVER_CANCEL>>(old) }
}

/// Whether the IRP has been cancelled (`Irp->Cancel`). Any IRQL.
///
/// # Safety
/// As for [`set_cancel_routine`].
#[must_use]
pub unsafe fn is_cancelled(irp: *mut IRP) -> bool {
    // SAFETY: the IRP is valid during this call.
    let cancel = unsafe { &raw mut (*irp).Cancel };
    // SAFETY: a byte inside a valid IRP, which `IoCancelIrp` may write at any time.
    let cancel = unsafe { AtomicU8::from_ptr(cancel) };
    cancel.load(Ordering::Acquire) != 0
}

/// Releases the cancel spin lock from inside a cancel routine, and goes back to the IRQL from before
/// (`IoReleaseCancelSpinLock`). It is the first thing a cancel routine does.
///
/// # Safety
/// Called once, by the cancel routine of an IRP, with the IRP's `CancelIrql` ([`cancel_irql`]).
pub unsafe fn release_cancel_spin_lock(irql: u8) {
    // SAFETY: as promised by the caller.
    unsafe { raw::IoReleaseCancelSpinLock(irql) };
}

/// The IRQL [`release_cancel_spin_lock`] goes back to (`Irp->CancelIrql`).
///
/// # Safety
/// Called by the cancel routine of `irp`, before it releases the cancel spin lock.
#[must_use]
pub unsafe fn cancel_irql(irp: *const IRP) -> u8 {
    // SAFETY: the cancel routine has the IRP.
    unsafe { (*irp).CancelIrql }
}

/// The four words a party may use while it holds the IRP (`Tail.Overlay.DriverContext`).
///
/// # Safety
/// `irp` is a valid IRP; the pointer may be followed while the caller holds it.
#[must_use]
pub unsafe fn driver_context(irp: *mut IRP) -> *mut [*mut core::ffi::c_void; DRIVER_CONTEXT_WORDS] {
    // SAFETY: the IRP is valid; only an address is computed.
    unsafe { &raw mut (*irp).Tail.Overlay.DriverContext }
}

/// The link a party may use while it holds the IRP (`Tail.Overlay.ListEntry`).
///
/// # Safety
/// As for [`driver_context`].
#[must_use]
pub unsafe fn list_entry(irp: *mut IRP) -> *mut LIST_ENTRY {
    // SAFETY: the IRP is valid; only an address is computed.
    unsafe { &raw mut (*irp).Tail.Overlay.ListEntry }
}

/// Completes the IRP: stores the result and hands it up (`IoCompleteRequest`).
///
/// IRQL ≤ DISPATCH_LEVEL, holding no spin lock. `information` is what the request's page says: bytes moved, or a socket.
/// `boost` is `IO_NO_INCREMENT` or `IO_NETWORK_INCREMENT`. The completion routine above may call back into this driver
/// before this call returns.
///
/// # Safety
/// The caller owns the completion of `irp`: it holds the IRP, no cancel routine is set, and `status` is not
/// `STATUS_PENDING`. After this call the IRP is not touched any more.
pub unsafe fn complete(irp: *mut IRP, status: NTSTATUS, information: usize, boost: i8) {
    // SAFETY: the caller holds the IRP.
    unsafe { (*irp).IoStatus.Status = status };
    // SAFETY: as above.
    unsafe { (*irp).IoStatus.Information = information };
    // SAFETY: as promised by the caller.
    unsafe { raw::IofCompleteRequest(irp, boost) };
}

/// The status and information an IRP was completed with.
///
/// # Safety
/// The caller holds `irp`: in its completion routine, or afterwards if that kept the IRP.
#[must_use]
pub unsafe fn result(irp: *const IRP) -> (NTSTATUS, usize) {
    // SAFETY: the caller holds the IRP.
    let block = unsafe { (*irp).IoStatus };
    (block.Status, block.Information)
}

/// An IRP of our own, to call another provider with.
///
/// Dropping it frees it, so it must not be outstanding then: its completion routine has run and returned
/// `STATUS_MORE_PROCESSING_REQUIRED`, which keeps the IRP.
#[derive(Debug)]
pub struct OwnedIrp {
    irp: NonNull<IRP>,
}

// SAFETY: an IRP may be used from any thread, by one at a time.
unsafe impl Send for OwnedIrp {}
// SAFETY: `&OwnedIrp` only gives the address away.
unsafe impl Sync for OwnedIrp {}

impl OwnedIrp {
    /// An IRP with `stack_size` locations (`IoAllocateIrp`). IRQL ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// [`AllocError`]: no memory, or more locations than an IRP can have.
    pub fn try_new(stack_size: u8) -> Result<Self, AllocError> {
        let stack_size = i8::try_from(stack_size).map_err(|_| AllocError)?;
        // SAFETY: at most DISPATCH_LEVEL; no quota, which would raise an exception.
        let irp = unsafe { raw::IoAllocateIrp(stack_size, 0) };
        NonNull::new(irp).map(|irp| Self { irp }).ok_or(AllocError)
    }

    /// The IRP; valid while `self` lives.
    #[must_use]
    pub const fn as_ptr(&self) -> *mut IRP {
        self.irp.as_ptr()
    }

    /// Makes a completed IRP ready for the next call (`IoReuseIrp`). IRQL ≤ DISPATCH_LEVEL.
    ///
    /// # Safety
    /// The IRP is not outstanding.
    pub unsafe fn reuse(&self, status: NTSTATUS) {
        // SAFETY: allocated by `IoAllocateIrp`, and not outstanding.
        unsafe { raw::IoReuseIrp(self.irp.as_ptr(), status) };
    }

    /// Asks for the outstanding IRP to be completed early (`IoCancelIrp`). IRQL ≤ DISPATCH_LEVEL, holding no spin lock
    /// that a completion routine takes.
    ///
    /// Returns whether a cancel routine was called. Cancelling is a request: the completion comes in any case, before or
    /// after this call returns.
    ///
    /// # Safety
    /// The IRP is outstanding or was at some time, and is neither freed nor reused during this call.
    pub unsafe fn cancel(&self) -> bool {
        // SAFETY: as promised by the caller.
        unsafe { raw::IoCancelIrp(self.irp.as_ptr()) != 0 }
    }

    /// Gives up ownership, for a completion routine that gets the IRP itself.
    #[must_use = "the IRP leaks unless it is taken back"]
    pub fn into_raw(self) -> *mut IRP {
        core::mem::ManuallyDrop::new(self).irp.as_ptr()
    }

    /// Takes back what [`into_raw`](Self::into_raw) gave away.
    ///
    /// # Safety
    /// `irp` came from `into_raw`, is taken back once and is not null.
    #[must_use]
    pub unsafe fn from_raw(irp: *mut IRP) -> Self {
        // SAFETY: as promised by the caller.
        Self { irp: unsafe { NonNull::new_unchecked(irp) } }
    }
}

impl Drop for OwnedIrp {
    fn drop(&mut self) {
        // SAFETY: allocated by `IoAllocateIrp`, owned, and by the type's contract not outstanding.
        unsafe { raw::IoFreeIrp(self.irp.as_ptr()) };
    }
}

#[cfg(test)]
mod tests;
