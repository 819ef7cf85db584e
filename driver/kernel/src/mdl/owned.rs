//! MDLs this driver makes.

use core::ffi::c_void;
use core::ptr::{self, NonNull};

use abi::nt::MDL;

use crate::pool::AllocError;
use crate::raw;

/// Owns one MDL (not what it describes, nor a chain behind it); dropping it frees it. IRQL ≤ DISPATCH_LEVEL.
#[derive(Debug)]
pub struct OwnedMdl {
    mdl: NonNull<MDL>,
}

// SAFETY: an MDL may be used and freed on any thread, by one at a time.
unsafe impl Send for OwnedMdl {}
// SAFETY: `&OwnedMdl` only gives the address away.
unsafe impl Sync for OwnedMdl {}

impl OwnedMdl {
    /// An MDL that describes `length` bytes of non-paged pool at `address` (`IoAllocateMdl`,
    /// `MmBuildMdlForNonPagedPool`). IRQL ≤ DISPATCH_LEVEL. It needs no mapping, now or later.
    ///
    /// # Errors
    /// [`AllocError`]: no memory, or `length` does not fit into 32 bits.
    ///
    /// # Safety
    /// The bytes are non-paged pool and stay allocated while the MDL is used.
    pub unsafe fn for_non_paged_pool(address: *mut u8, length: usize) -> Result<Self, AllocError> {
        let mdl = Self::allocate(address.cast(), length)?;
        // SAFETY: a fresh MDL over non-paged pool, as promised by the caller.
        unsafe { raw::MmBuildMdlForNonPagedPool(mdl.as_ptr()) };
        Ok(mdl)
    }

    fn allocate(address: *mut c_void, length: usize) -> Result<Self, AllocError> {
        let length = u32::try_from(length).map_err(|_| AllocError)?;
        // SAFETY: an MDL only describes the range; not a secondary buffer, no quota, no IRP.
        let mdl = unsafe { raw::IoAllocateMdl(address, length, 0, 0, ptr::null_mut()) };
        NonNull::new(mdl).map(|mdl| Self { mdl }).ok_or(AllocError)
    }

    /// The MDL; valid while `self` lives.
    #[must_use]
    pub const fn as_ptr(&self) -> *mut MDL {
        self.mdl.as_ptr()
    }
}

impl Drop for OwnedMdl {
    fn drop(&mut self) {
        // SAFETY: allocated by `IoAllocateMdl` and owned.
        unsafe { raw::IoFreeMdl(self.as_ptr()) };
    }
}
