//! MDLs this driver makes.

use core::ffi::c_void;
use core::ptr::{self, NonNull};

use abi::nt::{MDL, MDL_SOURCE_IS_NONPAGED_POOL};

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
        // SAFETY: as promised by the caller.
        let (mut mdl, built) = unsafe { Self::build(address, length)? };
        if !built {
            // What the kernel's routine would have done, so that everybody who is handed the MDL finds the address.
            // SAFETY: a fresh MDL of this driver's own.
            let fields = unsafe { mdl.mdl.as_mut() };
            fields.MappedSystemVa = address.cast();
            fields.MdlFlags |= MDL_SOURCE_IS_NONPAGED_POOL;
        }
        Ok(mdl)
    }

    /// Has the kernel build the MDL, and tells whether it really did (see `environment`).
    ///
    /// # Safety
    /// As for [`for_non_paged_pool`](Self::for_non_paged_pool).
    pub(crate) unsafe fn build(address: *mut u8, length: usize) -> Result<(Self, bool), AllocError> {
        let mdl = Self::allocate(address.cast(), length)?;
        // SAFETY: a fresh MDL over non-paged pool, as promised by the caller.
        unsafe { raw::MmBuildMdlForNonPagedPool(mdl.as_ptr()) };
        // SAFETY: a valid MDL of this driver's own.
        let flags = unsafe { (*mdl.as_ptr()).MdlFlags };
        Ok((mdl, flags & MDL_SOURCE_IS_NONPAGED_POOL != 0))
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
