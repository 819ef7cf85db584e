//! A request that the hardware has, and that the client may cancel: who completes it is decided on one word.
//!
//! Taking the cancel routine out of the IRP is not enough here. When the hardware finds it gone, the routine may still
//! be about to read `CancelIrql` and `DriverContext`; completing then would let the client free the IRP under it. And
//! when the routine runs first, the adapter may still be using the MDL; completing then would let the client free that.
//! So the one that comes *second* completes, and "second" is decided by an atomic word outside the IRP.

use core::ffi::c_void;
use core::fmt;
use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicUsize, Ordering};

use abi::nt::{DEVICE_OBJECT, IRP};
use kernel::pool::Shared;

use crate::account::account;
use crate::invariant::{self, HARDWARE_SIDE_DROPPED};
use crate::keeper::Keeper;
use crate::outcome::Outcome;
use crate::owned::OwnedIrp;
use crate::scratch;
use crate::sync::{self, AtomicU32};

/// Nobody uses the request object.
const FREE: u32 = 0;
/// The hardware will not touch the request's memory again, and the result is stored.
const HW_DONE: u32 = 1;
/// The cancel routine will not touch the IRP again.
const CANCEL_DONE: u32 = 2;
/// The request object is in use.
const ARMED: u32 = 4;

/// What the owner of a posted request adds to it.
pub trait PostedRequest: Send + Sync + 'static {
    /// The client cancelled: start to make the hardware give the request back (move the queue pair to the error state,
    /// flush), or do nothing and let it finish. Called by the cancel routine, IRQL ≤ DISPATCH_LEVEL, no lock held. The
    /// hardware may answer inside this call.
    fn abort(&self) {}
}

/// A request object: the meeting place of a posted IRP's hardware completion and its cancellation.
///
/// It is allocated beforehand and used again and again, one request at a time: [`arm`](Self::arm) before posting the
/// work request, [`HardwareSide::done`] when the adapter reports it. The IRP is completed only when the hardware is
/// done with its memory, so a cancel does not complete it inside `IoCancelIrp`. Requests whose data were copied do not
/// need this: park them in an [`IrpQueue`](crate::IrpQueue).
pub struct Posted<T> {
    word: AtomicU32,
    irp: AtomicPtr<IRP>,
    status: AtomicI32,
    information: AtomicUsize,
    request: T,
}

/// What became of [`Posted::arm`].
#[derive(Debug)]
#[must_use = "the variants say who completes the IRP"]
pub enum Armed<T: PostedRequest> {
    /// Post the work request with this as its context.
    Post(HardwareSide<T>),
    /// Cancelled before: do not post; complete it [`Outcome::CANCELLED`] with no lock held.
    Cancelled(OwnedIrp),
    /// Being cancelled: do not post; the cancel routine completes it.
    LeftToCancel,
    /// The object still serves an earlier request, whose cancel routine has not returned yet: use another one.
    Busy(OwnedIrp),
}

impl<T: PostedRequest> Posted<T> {
    /// A free request object, to be put into a [`Shared`].
    #[must_use]
    pub const fn new(request: T) -> Self {
        Self {
            word: AtomicU32::new(FREE),
            irp: AtomicPtr::new(ptr::null_mut()),
            status: AtomicI32::new(0),
            information: AtomicUsize::new(0),
            request,
        }
    }

    /// What was given to [`new`](Self::new).
    #[must_use]
    pub const fn request(&self) -> &T {
        &self.request
    }

    /// Makes `irp` cancellable through this object. Call it before posting. IRQL ≤ DISPATCH_LEVEL; locks may be held,
    /// but not one that [`PostedRequest::abort`] takes.
    pub fn arm(this: &Shared<Self>, irp: OwnedIrp) -> Armed<T> {
        if this.word.compare_exchange(FREE, ARMED, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return Armed::Busy(irp);
        }
        let hardware = HardwareSide { posted: ManuallyDrop::new(this.clone()) };
        let irp = irp.into_raw();
        this.irp.store(irp.as_ptr(), Ordering::Release);
        // SAFETY: ours by the token, with no cancel routine that could read it.
        let owner = unsafe { scratch::keeper(irp) };
        // A posted IRP has no record, so its place keeps the reference to the owner meanwhile.
        // SAFETY: as above.
        unsafe { scratch::store_record(irp, &owner) };
        // SAFETY: as above.
        unsafe { scratch::set_keeper(irp, Keeper::of(this)) };
        // SAFETY: ours; the routine finds what was stored above.
        unsafe { sync::set_cancel_routine(irp.as_ptr(), Some(cancel::<T>)) };
        // A cancel before this point saw no routine, so the flag is the only trace of it.
        // SAFETY: not completed: the cancel routine alone cannot, while the hardware side is not done.
        if !unsafe { sync::is_cancelled(irp.as_ptr()) } {
            return Armed::Post(hardware);
        }
        hardware.done(Outcome::CANCELLED).map_or(Armed::LeftToCancel, |(irp, _)| Armed::Cancelled(irp))
    }

    /// Frees the object and takes the IRP out of it.
    ///
    /// # Safety
    /// The caller is the one that completes the IRP, and the other side will not touch it any more.
    unsafe fn settle(&self) -> Option<OwnedIrp> {
        let irp = NonNull::new(self.irp.swap(ptr::null_mut(), Ordering::AcqRel))?;
        self.word.store(FREE, Ordering::Release);
        // SAFETY: not completed, and `arm` stored a record of this type.
        let owner: Keeper = unsafe { scratch::load_record(irp) };
        // SAFETY: not completed, and the cancel routine is done with the words.
        unsafe { scratch::set_keeper(irp, owner) };
        // SAFETY: as for this function; the cancel routine has run or was taken out.
        Some(unsafe { OwnedIrp::from_raw(irp) })
    }
}

impl<T: fmt::Debug> fmt::Debug for Posted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Posted").field("request", &self.request).finish_non_exhaustive()
    }
}

/// The hardware's claim on a posted request: one reference to the request object, and the duty to report.
///
/// It becomes the work request's context and comes back with its completion. Dropping it unreported is bug check
/// `DRIVER_VIOLATION`.
#[derive(Debug)]
#[must_use = "the hardware side has to report"]
pub struct HardwareSide<T: PostedRequest> {
    posted: ManuallyDrop<Shared<Posted<T>>>,
}

impl<T: PostedRequest> HardwareSide<T> {
    /// The hardware will not touch the request's memory again; `outcome` is what the client is to find, by the
    /// hardware's report, cancelled or not.
    ///
    /// Returns the IRP if this side completes it; otherwise the cancel routine does, with the same outcome. Call it
    /// once, also when posting fails. IRQL ≤ DISPATCH_LEVEL; locks may be held.
    #[must_use = "the IRP has to be completed, or nothing does"]
    pub fn done(self, outcome: Outcome) -> Option<(OwnedIrp, Outcome)> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: taken once; `this` is not dropped.
        let posted = unsafe { ManuallyDrop::take(&mut this.posted) };
        let irp = posted.irp.load(Ordering::Acquire);
        // SAFETY: not completed: the cancel routine alone cannot, while the hardware side is not done.
        let routine = unsafe { sync::set_cancel_routine(irp, None) };
        if routine.is_some() {
            let irp = NonNull::new(irp)?;
            // SAFETY: not completed.
            let cancel_side = unsafe { scratch::keeper(irp) };
            // Never the last reference: this side has one.
            // SAFETY: stored by `arm`; the cancel routine, which would have released it, will never run.
            unsafe { cancel_side.release() };
        } else {
            posted.status.store(outcome.status(), Ordering::Relaxed);
            posted.information.store(outcome.information(), Ordering::Relaxed);
            if posted.word.fetch_or(HW_DONE, Ordering::AcqRel) & CANCEL_DONE == 0 {
                return None;
            }
        }
        // SAFETY: the cancel routine will never run, or was done before this side.
        let irp = unsafe { posted.settle() }?;
        Some((irp, outcome))
    }

    /// The claim as a work request's context.
    #[must_use = "the claim is lost unless it is taken back"]
    pub fn into_context(self) -> *mut c_void {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: taken once; `this` is not dropped.
        let posted = unsafe { ManuallyDrop::take(&mut this.posted) };
        Shared::into_raw(posted).cast_mut().cast()
    }

    /// Takes back the claim.
    ///
    /// # Safety
    /// `context` came from [`into_context`](Self::into_context) of the same `T` and is taken back once.
    pub unsafe fn from_context(context: *mut c_void) -> Self {
        // SAFETY: as for this function.
        let posted = unsafe { Shared::from_raw(context.cast_const().cast()) };
        Self { posted: ManuallyDrop::new(posted) }
    }

    /// The request object.
    #[must_use]
    pub fn posted(&self) -> &Shared<Posted<T>> {
        &self.posted
    }
}

impl<T: PostedRequest> Drop for HardwareSide<T> {
    fn drop(&mut self) {
        invariant::violated(HARDWARE_SIDE_DROPPED, Shared::as_ptr(&self.posted).addr());
    }
}

/// The cancel routine of every posted IRP (`DRIVER_CANCEL`).
///
/// # Safety
/// Called by `IoCancelIrp`, once, with the system's cancel spin lock held, for an IRP that [`Posted::arm`] armed.
unsafe extern "system" fn cancel<T: PostedRequest>(_device: *mut DEVICE_OBJECT, irp: *mut IRP) {
    let Some(irp) = NonNull::new(irp) else { return };
    // SAFETY: not completed before this routine is done.
    let keeper = unsafe { scratch::keeper(irp) };
    // SAFETY: stored by `arm`; whoever finds the routine gone leaves the reference to it.
    let posted: Shared<Posted<T>> = unsafe { keeper.into_shared() };
    // The last touch of the IRP by this routine, unless it turns out to be the one that completes.
    // SAFETY: this is the IRP's cancel routine, and the lock is not released yet.
    let irql = unsafe { sync::cancel_irql(irp.as_ptr()) };
    // SAFETY: as above, once.
    unsafe { sync::release_cancel_spin_lock(irql) };
    posted.request.abort();
    if posted.word.fetch_or(CANCEL_DONE, Ordering::AcqRel) & HW_DONE == 0 {
        return;
    }
    let outcome =
        Outcome::partial(posted.status.load(Ordering::Relaxed), posted.information.load(Ordering::Relaxed));
    // SAFETY: the hardware was done before this side.
    if let Some(owned) = unsafe { posted.settle() } {
        account().count_cancelled();
        owned.complete_now(outcome);
    }
}
