//! Memory descriptor lists (`MDL`): their addresses, and the chains of a `WSK_BUF`.

mod chain;
mod owned;
#[cfg(test)]
mod tests;

use core::ffi::c_void;

use abi::nt::{
    MDL, MDL_MAPPED_TO_SYSTEM_VA, MDL_SOURCE_IS_NONPAGED_POOL, MdlMappingNoExecute, NormalPagePriority,
};

use crate::{environment, raw};

pub use chain::{
    ChainError, Part, Parts, Segment, Segments, chain_covers, chain_length, copy_in, copy_out, parts,
    segments,
};
pub use owned::OwnedMdl;

/// The kernel's address of the first byte an MDL describes, mapping its pages if nobody has
/// (`MmGetSystemAddressForMdlSafe`). IRQL ≤ DISPATCH_LEVEL.
///
/// `None`: the system has no room for a mapping now. A mapping made here stays until the MDL's owner unlocks its pages.
///
/// # Safety
/// `mdl` is valid and describes locked pages or non-paged pool, and nobody maps the same MDL at the same time (one
/// `WSK_BUF` belongs to one request).
#[must_use]
pub unsafe fn system_address(mdl: *mut MDL) -> Option<*mut u8> {
    // SAFETY: the MDL is valid.
    let flags = unsafe { (*mdl).MdlFlags };
    let address = if flags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL) != 0 {
        // SAFETY: the MDL is valid, and its flags say that the address is.
        unsafe { (*mdl).MappedSystemVa }
    } else if !environment::maps_mdls() {
        // SAFETY: the MDL is valid, and the address it was made from is the system's address as well.
        unsafe { original_address(mdl) }
    } else {
        // SAFETY: the MDL describes locked pages that are not mapped yet.
        unsafe { raw::map_locked_pages(mdl, NormalPagePriority | MdlMappingNoExecute) }
    };
    (!address.is_null()).then_some(address.cast())
}

/// The number of bytes an MDL describes (`MmGetMdlByteCount`). Any IRQL.
///
/// # Safety
/// `mdl` is valid.
#[must_use]
pub unsafe fn byte_count(mdl: *const MDL) -> usize {
    // SAFETY: the MDL is valid.
    let bytes = unsafe { (*mdl).ByteCount };
    // Lossless: every supported target has 64-bit addresses.
    bytes as usize
}

/// The address an MDL was made from (`MmGetMdlVirtualAddress`). Any IRQL.
///
/// # Safety
/// `mdl` is valid.
unsafe fn original_address(mdl: *const MDL) -> *mut c_void {
    // SAFETY: the MDL is valid.
    let start = unsafe { (*mdl).StartVa };
    // SAFETY: as above.
    let offset = unsafe { (*mdl).ByteOffset };
    // Lossless: every supported target has 64-bit addresses.
    start.wrapping_byte_add(offset as usize)
}
