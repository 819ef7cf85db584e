//! Memory descriptor lists. Every address is mapped here; the flags say what a driver may rely on.

use std::ffi::c_void;
use std::ptr;

use abi::nt::{
    BOOLEAN, CSHORT, DISPATCH_LEVEL, IRP, KPROCESSOR_MODE, MDL, MDL_ALLOCATED_FIXED_SIZE, MDL_IO_PAGE_READ,
    MDL_IO_SPACE, MDL_MAPPED_TO_SYSTEM_VA, MDL_PAGES_LOCKED, MDL_PARENT_MAPPED_SYSTEM_VA, MDL_PARTIAL,
    MDL_PARTIAL_HAS_BEEN_MAPPED, MDL_SOURCE_IS_NONPAGED_POOL, MDL_WRITE_OPERATION, MEMORY_CACHING_TYPE,
    PAGE_SIZE, PFN_NUMBER,
};

use crate::stop::DRIVER_VERIFIER_DETECTED_VIOLATION;
use crate::{pool, processor, stop, wine};

const TAG: u32 = u32::from_le_bytes(*b"Mdl ");

/// What a partial MDL takes over from the flags of its source.
const INHERITED: CSHORT = MDL_SOURCE_IS_NONPAGED_POOL
    | MDL_MAPPED_TO_SYSTEM_VA
    | MDL_IO_PAGE_READ
    | MDL_WRITE_OPERATION
    | MDL_IO_SPACE;

/// How many pages `length` bytes at `address` touch.
fn pages_spanned(address: usize, length: usize) -> usize {
    (address % PAGE_SIZE + length).div_ceil(PAGE_SIZE)
}

/// Stops unless a call about `mdl` is allowed now.
fn require_allowed(mdl: *mut MDL, routine: &str) {
    processor::require_at_most(DISPATCH_LEVEL, routine);
    if mdl.is_null() {
        stop!(DRIVER_VERIFIER_DETECTED_VIOLATION, "{routine} without an MDL");
    }
}

/// Points `mdl` at a range, leaving its flags and size alone.
fn describe(mdl: &mut MDL, address: *mut c_void, length: u32) {
    let offset = address.addr() % PAGE_SIZE;
    mdl.StartVa = address.wrapping_byte_sub(offset);
    mdl.ByteOffset = u32::try_from(offset).unwrap_or(0);
    mdl.ByteCount = length;
}

fn first_byte(mdl: &MDL) -> *mut c_void {
    mdl.StartVa.wrapping_byte_add(mdl.ByteOffset as usize)
}

/// Where the page numbers are.
fn page_numbers(mdl: *mut MDL) -> *mut PFN_NUMBER {
    mdl.wrapping_add(1).cast()
}

/// `IoAllocateMdl`.
///
/// # Safety
/// `irp` is valid or null.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn IoAllocateMdl(
    address: *mut c_void,
    length: u32,
    secondary: BOOLEAN,
    _charge_quota: BOOLEAN,
    irp: *mut IRP,
) -> *mut MDL {
    if secondary != 0 {
        stop!(DRIVER_VERIFIER_DETECTED_VIOLATION, "IoAllocateMdl of a secondary buffer: not simulated");
    }
    let pages = pages_spanned(address.addr(), length as usize);
    let bytes = size_of::<MDL>() + pages * size_of::<PFN_NUMBER>();
    let mdl = pool::allocate(bytes, TAG, 0).cast::<MDL>();
    // SAFETY: a fresh allocation of zeroes, if there is one.
    let Some(fields) = (unsafe { mdl.as_mut() }) else {
        return ptr::null_mut();
    };
    // As in the kernel, the size of a large MDL does not fit.
    fields.Size = CSHORT::try_from(bytes).unwrap_or(CSHORT::MAX);
    fields.MdlFlags = MDL_ALLOCATED_FIXED_SIZE;
    describe(fields, address, length);
    if !irp.is_null() {
        // SAFETY: as promised by the caller.
        unsafe { (*irp).MdlAddress = mdl };
    }
    mdl
}

/// `IoFreeMdl`.
///
/// # Safety
/// `mdl` came from `IoAllocateMdl`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn IoFreeMdl(mdl: *mut MDL) {
    require_allowed(mdl, "IoFreeMdl");
    // SAFETY: as promised by the caller.
    let flags = unsafe { (*mdl).MdlFlags };
    if flags & MDL_PAGES_LOCKED != 0 {
        stop!(
            DRIVER_VERIFIER_DETECTED_VIOLATION,
            "the MDL at {:#x} is freed with its pages locked",
            mdl.addr()
        );
    }
    pool::free(mdl.cast(), TAG);
}

/// Writes the page numbers: the simulation's physical addresses are the virtual ones.
///
/// # Safety
/// `mdl` has room for the pages it describes.
unsafe fn fill_page_numbers(mdl: *mut MDL) {
    // SAFETY: as promised by the caller.
    let fields = unsafe { &*mdl };
    let pages = pages_spanned(first_byte(fields).addr(), fields.ByteCount as usize);
    let first = fields.StartVa.addr() / PAGE_SIZE;
    for page in 0..pages {
        // SAFETY: page `page` is one of those the MDL has room for.
        unsafe { page_numbers(mdl).wrapping_add(page).write(first + page) };
    }
}

/// `MmBuildMdlForNonPagedPool`.
///
/// # Safety
/// `mdl` is valid, with room for its pages.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn MmBuildMdlForNonPagedPool(mdl: *mut MDL) {
    require_allowed(mdl, "MmBuildMdlForNonPagedPool");
    if wine::is_imitated() {
        return;
    }
    // SAFETY: as promised by the caller.
    unsafe { fill_page_numbers(mdl) };
    // SAFETY: as promised by the caller.
    let fields = unsafe { &mut *mdl };
    fields.MdlFlags |= MDL_SOURCE_IS_NONPAGED_POOL;
    fields.MappedSystemVa = first_byte(fields);
}

/// Makes an MDL that describes locked pages without a mapping, as `MmProbeAndLockPages` leaves it.
///
/// # Safety
/// `mdl` is valid, with room for its pages.
pub(crate) unsafe fn lock_pages(mdl: *mut MDL) {
    // SAFETY: as promised by the caller.
    unsafe { fill_page_numbers(mdl) };
    // SAFETY: as promised by the caller.
    unsafe { (*mdl).MdlFlags |= MDL_PAGES_LOCKED | MDL_WRITE_OPERATION };
}

/// Undoes [`lock_pages`], and a mapping made since.
///
/// # Safety
/// `mdl` is valid.
pub(crate) unsafe fn unlock_pages(mdl: *mut MDL) {
    // SAFETY: as promised by the caller.
    let fields = unsafe { &mut *mdl };
    fields.MdlFlags &= !(MDL_PAGES_LOCKED | MDL_WRITE_OPERATION | MDL_MAPPED_TO_SYSTEM_VA);
    fields.MappedSystemVa = ptr::null_mut();
}

/// `MmMapLockedPagesSpecifyCache`.
///
/// # Safety
/// `mdl` is valid, and nobody else maps it meanwhile.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn MmMapLockedPagesSpecifyCache(
    mdl: *mut MDL,
    mode: KPROCESSOR_MODE,
    _cache: MEMORY_CACHING_TYPE,
    _address: *mut c_void,
    _bug_check: u32,
    _priority: u32,
) -> *mut c_void {
    require_allowed(mdl, "MmMapLockedPagesSpecifyCache");
    if wine::is_imitated() {
        return ptr::null_mut();
    }
    // SAFETY: as promised by the caller.
    let fields = unsafe { &mut *mdl };
    let mappable = fields.MdlFlags & (MDL_PAGES_LOCKED | MDL_PARTIAL) != 0;
    let mapped = fields.MdlFlags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL) != 0;
    if mode != 0 || !mappable || mapped {
        let flags = fields.MdlFlags;
        stop!(DRIVER_VERIFIER_DETECTED_VIOLATION, "mapping an MDL with flags {flags:#x} for mode {mode}");
    }
    if pool::fails_now() {
        return ptr::null_mut();
    }
    fields.MdlFlags |= MDL_MAPPED_TO_SYSTEM_VA;
    if fields.MdlFlags & MDL_PARTIAL != 0 {
        fields.MdlFlags |= MDL_PARTIAL_HAS_BEEN_MAPPED;
    }
    fields.MappedSystemVa = first_byte(fields);
    fields.MappedSystemVa
}

/// `IoBuildPartialMdl`.
///
/// # Safety
/// Both MDLs are valid.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn IoBuildPartialMdl(
    source: *mut MDL,
    target: *mut MDL,
    address: *mut c_void,
    length: u32,
) {
    require_allowed(source, "IoBuildPartialMdl");
    require_allowed(target, "IoBuildPartialMdl");
    // SAFETY: as promised by the caller.
    let source = unsafe { &*source };
    // SAFETY: as promised by the caller.
    let fields = unsafe { &mut *target };
    let start = first_byte(source).addr();
    let end = start + source.ByteCount as usize;
    let length = match length {
        0 => u32::try_from(end.saturating_sub(address.addr())).unwrap_or(u32::MAX),
        length => length,
    };
    let room =
        usize::try_from(fields.Size).unwrap_or(0).saturating_sub(size_of::<MDL>()) / size_of::<PFN_NUMBER>();
    let inside = address.addr() >= start && address.addr() + length as usize <= end;
    if !inside || pages_spanned(address.addr(), length as usize) > room {
        stop!(DRIVER_VERIFIER_DETECTED_VIOLATION, "IoBuildPartialMdl of {length} bytes: outside, or no room");
    }
    if source.MdlFlags & (MDL_PAGES_LOCKED | MDL_SOURCE_IS_NONPAGED_POOL | MDL_PARTIAL) == 0 {
        stop!(DRIVER_VERIFIER_DETECTED_VIOLATION, "IoBuildPartialMdl of an MDL without locked pages");
    }
    describe(fields, address, length);
    fields.MdlFlags = fields.MdlFlags & MDL_ALLOCATED_FIXED_SIZE | source.MdlFlags & INHERITED | MDL_PARTIAL;
    if source.MdlFlags & MDL_MAPPED_TO_SYSTEM_VA != 0 {
        fields.MdlFlags |= MDL_PARENT_MAPPED_SYSTEM_VA;
    }
    fields.MappedSystemVa =
        if source.MappedSystemVa.is_null() { ptr::null_mut() } else { first_byte(fields) };
    // SAFETY: room was checked above.
    unsafe { fill_page_numbers(target) };
}
