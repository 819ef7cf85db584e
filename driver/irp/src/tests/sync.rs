//! `sync` for the unit tests: the same primitives, each announcing itself to the explorer first.

use core::ops::{Deref, DerefMut};
use core::ptr;
use core::sync::atomic::Ordering;

use abi::NTSTATUS;
use abi::nt::{IRP, PDRIVER_CANCEL};
use kernel::lock::SpinLockGuard;

use crate::tests::explore::{self, LockId};

pub(crate) use kernel::irp::cancel_irql;

/// The system's cancel spin lock, as the explorer knows it: no object has this address.
pub(crate) const CANCEL_SPIN_LOCK: LockId = 1;

#[derive(Debug)]
pub(crate) struct AtomicU32(core::sync::atomic::AtomicU32);

impl AtomicU32 {
    pub(crate) const fn new(value: u32) -> Self {
        Self(core::sync::atomic::AtomicU32::new(value))
    }

    pub(crate) fn compare_exchange(
        &self,
        current: u32,
        new: u32,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u32, u32> {
        explore::step();
        self.0.compare_exchange(current, new, success, failure)
    }

    pub(crate) fn fetch_or(&self, bits: u32, order: Ordering) -> u32 {
        explore::step();
        self.0.fetch_or(bits, order)
    }

    pub(crate) fn store(&self, value: u32, order: Ordering) {
        explore::step();
        self.0.store(value, order);
    }
}

/// A spin lock that the explorer knows the holder of, so that no party spins for one that cannot run.
#[derive(Debug)]
pub struct SpinLock<T>(kernel::lock::SpinLock<T>);

impl<T> SpinLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(kernel::lock::SpinLock::new(value))
    }

    pub(crate) fn lock(&self) -> Guard<'_, T> {
        let id = ptr::from_ref(self).addr();
        explore::acquire(id);
        Guard { guard: Some(self.0.lock()), id }
    }
}

pub(crate) struct Guard<'lock, T> {
    guard: Option<SpinLockGuard<'lock, T>>,
    id: LockId,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.guard.as_ref().expect("present until dropped")
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.guard.as_mut().expect("present until dropped")
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        drop(self.guard.take());
        explore::release(self.id);
    }
}

/// # Safety
/// As for `kernel::irp::set_cancel_routine`.
pub(crate) unsafe fn set_cancel_routine(
    irp: *mut IRP,
    routine: Option<PDRIVER_CANCEL>,
) -> Option<PDRIVER_CANCEL> {
    explore::step();
    // SAFETY: as for this function.
    unsafe { kernel::irp::set_cancel_routine(irp, routine) }
}

/// # Safety
/// As for `kernel::irp::is_cancelled`.
pub(crate) unsafe fn is_cancelled(irp: *mut IRP) -> bool {
    explore::step();
    // SAFETY: as for this function.
    unsafe { kernel::irp::is_cancelled(irp) }
}

/// # Safety
/// As for `kernel::irp::release_cancel_spin_lock`.
pub(crate) unsafe fn release_cancel_spin_lock(irql: u8) {
    explore::step();
    // SAFETY: as for this function.
    unsafe { kernel::irp::release_cancel_spin_lock(irql) };
    explore::release(CANCEL_SPIN_LOCK);
}

/// # Safety
/// As for `kernel::irp::complete`.
pub(crate) unsafe fn complete(irp: *mut IRP, status: NTSTATUS, information: usize, boost: i8) {
    explore::step();
    // SAFETY: as for this function.
    unsafe { kernel::irp::complete(irp, status, information, boost) };
}
