//! The driver object: what the I/O manager knows this driver by.

use crate::raw;
use abi::nt::DRIVER_OBJECT;
use core::ptr::NonNull;

/// This driver's `DRIVER_OBJECT`.
#[derive(Debug)]
pub struct DriverObject(NonNull<DRIVER_OBJECT>);

// SAFETY: its references may be counted from any thread; nothing else is done with it.
unsafe impl Send for DriverObject {}
// SAFETY: as above.
unsafe impl Sync for DriverObject {}

impl DriverObject {
    /// `None` for a null pointer.
    ///
    /// # Safety
    /// `driver` is null or an object of the I/O manager's that outlives the value.
    #[must_use]
    pub unsafe fn new(driver: *mut DRIVER_OBJECT) -> Option<Self> {
        NonNull::new(driver).map(Self)
    }

    /// Keeps the image in memory for good (`ObReferenceObject`): the I/O manager frees it with the last reference to the
    /// driver object, and this one is never given back. For code that may be called although nobody should. IRQL <= DISPATCH_LEVEL.
    pub fn keep_loaded(&self) {
        // SAFETY: an object that is there (`new`).
        unsafe { raw::reference(self.0.as_ptr().cast()) };
    }
}
