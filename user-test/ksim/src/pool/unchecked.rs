//! Pool without checks: the host's heap, and before each block where it begins there.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use std::ffi::c_void;
use std::ptr;

use abi::nt::{MEMORY_ALLOCATION_ALIGNMENT, PAGE_SIZE};

/// What lies before a block.
#[derive(Clone, Copy)]
struct Header {
    bytes: usize,
    /// From the beginning of the host's memory to the block.
    offset: usize,
}

/// Where a block of so many bytes lies.
fn place(bytes: usize) -> Option<(Layout, usize)> {
    let offset = if bytes >= PAGE_SIZE { PAGE_SIZE } else { MEMORY_ALLOCATION_ALIGNMENT };
    Some((Layout::from_size_align(offset.checked_add(bytes)?, offset).ok()?, offset))
}

/// Allocates a block, or null.
pub(super) fn allocate(bytes: usize, zeroed: bool) -> *mut c_void {
    let Some((layout, offset)) = place(bytes) else { return ptr::null_mut() };
    let allocate = if zeroed { alloc_zeroed } else { alloc };
    // SAFETY: the size is not zero.
    let base = unsafe { allocate(layout) };
    if base.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: the block lies at this offset.
    let memory = unsafe { base.add(offset) };
    // SAFETY: there is room for a header before every block.
    let header = unsafe { memory.cast::<Header>().sub(1) };
    // SAFETY: as above, and aligned.
    unsafe { header.write(Header { bytes, offset }) };
    memory.cast()
}

/// Frees a block.
///
/// # Safety
/// `memory` came from [`allocate`] and is freed once.
pub(super) unsafe fn free(memory: *mut c_void) {
    // SAFETY: every block has a header before it.
    let header = unsafe { memory.cast::<Header>().sub(1) };
    // SAFETY: as above.
    let Header { bytes, offset } = unsafe { *header };
    let Some((layout, _)) = place(bytes) else { return };
    // SAFETY: the beginning of the host's memory.
    let base = unsafe { memory.cast::<u8>().sub(offset) };
    // SAFETY: allocated with this layout.
    unsafe { dealloc(base, layout) };
}
