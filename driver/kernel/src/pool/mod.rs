//! Non-paged pool: every allocation can fail, and every failure leaves nothing behind.
//!
//! All memory of this crate comes from here. It is non-paged and non-executable, 16-byte aligned below a page and
//! page-aligned from one page up (`ExAllocatePool2`, `ExAllocatePoolWithTag`). Allocating and freeing is allowed at
//! IRQL ≤ DISPATCH_LEVEL.

mod boxed;
mod shared;
mod slice;
#[cfg(test)]
mod tests;

use core::ffi::c_void;
use core::ptr::NonNull;

use abi::NTSTATUS;
use abi::status::STATUS_INSUFFICIENT_RESOURCES;

use crate::raw;

pub use boxed::PoolBox;
pub use shared::Shared;
pub use slice::PoolSlice;

/// The alignment every pool allocation has, in bytes.
pub(crate) const POOL_ALIGNMENT: usize = 16;

/// A pool tag: four ASCII characters that name what an allocation is for, in debuggers and leak reports.
///
/// Stored so that the characters appear in reading order in memory, as Microsoft's tools expect.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct PoolTag(u32);

impl PoolTag {
    /// Makes the tag from its four characters in reading order: `PoolTag::new(b"WrSk")`.
    #[must_use]
    pub const fn new(characters: &[u8; 4]) -> Self {
        Self(u32::from_le_bytes(*characters))
    }

    /// The tag as the kernel's `Tag` argument.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The pool had no memory. At the edge it becomes `STATUS_INSUFFICIENT_RESOURCES`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AllocError;

impl AllocError {
    /// The status a caller outside gets: `STATUS_INSUFFICIENT_RESOURCES`.
    #[must_use]
    pub const fn status(self) -> NTSTATUS {
        STATUS_INSUFFICIENT_RESOURCES
    }
}

impl From<AllocError> for NTSTATUS {
    fn from(error: AllocError) -> Self {
        error.status()
    }
}

/// Allocates `bytes` (at least one) of zeroed non-paged memory.
pub(crate) fn allocate(tag: PoolTag, bytes: usize) -> Result<NonNull<c_void>, AllocError> {
    NonNull::new(raw::allocate_zeroed(bytes.max(1), tag.get())).ok_or(AllocError)
}

/// Frees what [`allocate`] gave.
///
/// # Safety
/// `memory` came from [`allocate`], is freed once, and nobody uses it any more.
pub(crate) unsafe fn free(memory: NonNull<c_void>) {
    // SAFETY: the caller gives up an allocation of this pool. Tag 0 stands for whatever tag it was made with.
    unsafe { raw::ExFreePoolWithTag(memory.as_ptr(), 0) };
}
