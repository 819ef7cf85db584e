//! Calls of functions that take an IRP, as those of WSK, which go on in a continuation.

use crate::irp::{self, InvokeOn, OwnedIrp};
use crate::pool::Shared;
use abi::NTSTATUS;
use abi::nt::{DEVICE_OBJECT, IRP};
use abi::status::{STATUS_MORE_PROCESSING_REQUIRED, STATUS_PENDING};
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// What happens when a call has ended: the owner, `IoStatus.Status` and `IoStatus.Information`. IRQL <= DISPATCH_LEVEL, in
/// any context, also inside [`Call::start`]; no lock is held that the caller of `start` did not hold.
pub type Continuation<T> = fn(Shared<T>, NTSTATUS, usize);

/// An IRP of one owner, for one call at a time.
///
/// It is a field of its owner. From [`start`](Self::start) until the continuation has been called it holds a reference to
/// the owner.
pub struct Call<T> {
    /// NULL until prepared.
    irp: AtomicPtr<IRP>,
    owner: AtomicPtr<T>,
    /// Calls of the completion routine. A count, because the continuation may make the next call before the function that
    /// the present one was made with has returned.
    completions: AtomicUsize,
    then: Continuation<T>,
}

impl<T: Send + Sync + 'static> Call<T> {
    /// A call without its IRP.
    #[must_use]
    pub const fn new(then: Continuation<T>) -> Self {
        Self {
            irp: AtomicPtr::new(ptr::null_mut()),
            owner: AtomicPtr::new(ptr::null_mut()),
            completions: AtomicUsize::new(0),
            then,
        }
    }

    /// Allocates the IRP, unless that is done, so that the call itself cannot fail. One thread at a time.
    /// IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub fn prepare(&self) -> Result<(), NTSTATUS> {
        if self.irp.load(Ordering::Acquire).is_null() {
            let irp = OwnedIrp::try_new(1).map_err(|e| e.status())?;
            self.irp.store(irp.into_raw(), Ordering::Release);
        }
        Ok(())
    }

    /// Makes the call. `owner` holds this very field; the continuation is called exactly once. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Safety
    /// Prepared, and no call is outstanding nor begins meanwhile.
    pub unsafe fn start(&self, owner: &Shared<T>, invoke: impl FnOnce(*mut IRP) -> NTSTATUS) {
        let irp = self.irp.load(Ordering::Acquire);
        // SAFETY: from `prepare`; taken back only to reuse it.
        let owned = unsafe { OwnedIrp::from_raw(irp) };
        // SAFETY: not outstanding, as promised.
        unsafe { owned.reuse(STATUS_PENDING) };
        let irp = owned.into_raw();
        let before = self.completions.load(Ordering::Relaxed);
        self.owner.store(Shared::into_raw(owner.clone()).cast_mut(), Ordering::Relaxed);
        let context: *mut c_void = ptr::from_ref(self).cast_mut().cast();
        // SAFETY: a fresh IRP with one location; this field lives as long as the reference just stored.
        unsafe { irp::set_completion_routine(irp, completed::<T>, context, InvokeOn::ALL) };
        let returned = invoke(irp);
        // `owner` keeps this field until here. A function that is not served may leave the IRP alone: by contract a
        // completion comes before such a return.
        if returned != STATUS_PENDING && self.completions.load(Ordering::Acquire) == before {
            self.go_on(returned, 0);
        }
    }

    /// Asks for the outstanding call to end early.
    ///
    /// # Safety
    /// A call was started, and none begins meanwhile.
    pub unsafe fn cancel(&self) {
        // SAFETY: from `prepare`; freed with the owner, whom the caller holds.
        let irp = unsafe { OwnedIrp::from_raw(self.irp.load(Ordering::Acquire)) };
        // SAFETY: as promised by the caller.
        unsafe { irp.cancel() };
        let _kept = irp.into_raw();
    }

    fn go_on(&self, status: NTSTATUS, information: usize) {
        let owner = self.owner.swap(ptr::null_mut(), Ordering::Relaxed);
        let then = self.then;
        // SAFETY: the reference that `start` stored, taken once.
        let owner = unsafe { Shared::from_raw(owner.cast_const()) };
        then(owner, status, information);
    }
}

impl<T> core::fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        let irp = *self.irp.get_mut();
        if !irp.is_null() {
            // SAFETY: from `prepare`; not outstanding, because a call holds the owner.
            drop(unsafe { OwnedIrp::from_raw(irp) });
        }
    }
}

/// # Safety
/// `context` is the [`Call`] that `irp` belongs to, with its owner's reference stored.
unsafe extern "system" fn completed<T: Send + Sync + 'static>(
    _device: *mut DEVICE_OBJECT,
    irp: *mut IRP,
    context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: the call lives in its owner, whose reference it holds.
    let call = unsafe { &*context.cast::<Call<T>>() };
    // SAFETY: the completion routine holds the IRP.
    let (status, information) = unsafe { irp::result(irp) };
    call.completions.fetch_add(1, Ordering::AcqRel);
    call.go_on(status, information);
    STATUS_MORE_PROCESSING_REQUIRED
}

#[cfg(test)]
mod tests;
