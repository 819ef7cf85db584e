//! Memory descriptor lists (`wdm.h`, *Using MDLs*).

use core::ffi::c_void;

use bitflags::bitflags;

use super::{CSHORT, PEPROCESS};
use crate::layout;

/// Page frame number: physical address divided by the page size (`wdm.h`).
pub type PFN_NUMBER = usize;

/// A range of memory and the physical pages behind it (`wdm.h`).
///
/// One [`PFN_NUMBER`] per page follows the structure in memory, from offset 48. Who allocated it frees it; whoever is
/// handed one may walk `Next`, and may map it, until the request it came with is completed.
#[repr(C)]
#[derive(Debug)]
pub struct MDL {
    /// Next of a chain, or null.
    pub Next: *mut MDL,
    /// Bytes of header and page numbers; not dependable for large ranges.
    pub Size: CSHORT,
    /// `MDL_*`.
    pub MdlFlags: CSHORT,
    /// Process whose address space `StartVa` belongs to.
    pub Process: PEPROCESS,
    /// Kernel address of the first byte; valid only under [`MDL_MAPPED_TO_SYSTEM_VA`] or
    /// [`MDL_SOURCE_IS_NONPAGED_POOL`].
    pub MappedSystemVa: *mut c_void,
    /// Start of the first page in the original address space.
    pub StartVa: *mut c_void,
    /// Bytes described.
    pub ByteCount: u32,
    /// Offset of the first byte in the first page.
    pub ByteOffset: u32,
}
layout!(MDL: 48, 8;
    Next 0x0, Size 0x8, MdlFlags 0xA, Process 0x10, MappedSystemVa 0x18, StartVa 0x20, ByteCount 0x28,
    ByteOffset 0x2C);
/// Pointer to [`MDL`].
pub type PMDL = *mut MDL;

pub const MDL_MAPPED_TO_SYSTEM_VA: CSHORT = 0x0001;
pub const MDL_PAGES_LOCKED: CSHORT = 0x0002;
pub const MDL_SOURCE_IS_NONPAGED_POOL: CSHORT = 0x0004;
pub const MDL_ALLOCATED_FIXED_SIZE: CSHORT = 0x0008;
pub const MDL_PARTIAL: CSHORT = 0x0010;
pub const MDL_PARTIAL_HAS_BEEN_MAPPED: CSHORT = 0x0020;
pub const MDL_IO_PAGE_READ: CSHORT = 0x0040;
pub const MDL_WRITE_OPERATION: CSHORT = 0x0080;
/// The newer name of [`MDL_PARENT_MAPPED_SYSTEM_VA`].
pub const MDL_LOCKED_PAGE_TABLES: CSHORT = 0x0100;
pub const MDL_PARENT_MAPPED_SYSTEM_VA: CSHORT = 0x0100;
pub const MDL_FREE_EXTRA_PTES: CSHORT = 0x0200;
pub const MDL_DESCRIBES_AWE: CSHORT = 0x0400;
pub const MDL_IO_SPACE: CSHORT = 0x0800;
pub const MDL_NETWORK_HEADER: CSHORT = 0x1000;
pub const MDL_MAPPING_CAN_FAIL: CSHORT = 0x2000;
pub const MDL_PAGE_CONTENTS_INVARIANT: CSHORT = 0x4000;
pub const MDL_INTERNAL: CSHORT = 0x8000_u16.cast_signed();

bitflags! {
    /// `MDL.MdlFlags` (`wdm.h`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct MDL_FLAGS: CSHORT {
        /// `MappedSystemVa` holds a mapping that was made for this list.
        const MAPPED_TO_SYSTEM_VA = MDL_MAPPED_TO_SYSTEM_VA;
        /// `MmProbeAndLockPages` was called: the pages stay until `MmUnlockPages`.
        const PAGES_LOCKED = MDL_PAGES_LOCKED;
        /// Built over non-paged pool: always mapped, never to be unlocked.
        const SOURCE_IS_NONPAGED_POOL = MDL_SOURCE_IS_NONPAGED_POOL;
        const ALLOCATED_FIXED_SIZE = MDL_ALLOCATED_FIXED_SIZE;
        /// Made by `IoBuildPartialMdl`.
        const PARTIAL = MDL_PARTIAL;
        /// A partial list with a mapping of its own.
        const PARTIAL_HAS_BEEN_MAPPED = MDL_PARTIAL_HAS_BEEN_MAPPED;
        const IO_PAGE_READ = MDL_IO_PAGE_READ;
        /// The pages were locked for writing by the device.
        const WRITE_OPERATION = MDL_WRITE_OPERATION;
        const LOCKED_PAGE_TABLES = MDL_LOCKED_PAGE_TABLES;
        const FREE_EXTRA_PTES = MDL_FREE_EXTRA_PTES;
        const DESCRIBES_AWE = MDL_DESCRIBES_AWE;
        /// Device memory, not RAM.
        const IO_SPACE = MDL_IO_SPACE;
        const NETWORK_HEADER = MDL_NETWORK_HEADER;
        const MAPPING_CAN_FAIL = MDL_MAPPING_CAN_FAIL;
        const PAGE_CONTENTS_INVARIANT = MDL_PAGE_CONTENTS_INVARIANT;
        const INTERNAL = MDL_INTERNAL;
    }
}

/// How badly a mapping is wanted, with `MdlMapping*` flags ored in (`MM_PAGE_PRIORITY`, `wdm.h`).
pub type MM_PAGE_PRIORITY = u32;

pub const LowPagePriority: MM_PAGE_PRIORITY = 0;
pub const NormalPagePriority: MM_PAGE_PRIORITY = 16;
pub const HighPagePriority: MM_PAGE_PRIORITY = 32;

pub const MdlMappingNoWrite: u32 = 0x8000_0000;
pub const MdlMappingNoExecute: u32 = 0x4000_0000;
pub const MdlMappingWithGuardPtes: u32 = 0x2000_0000;

/// What the device will do to pages that are being locked (`LOCK_OPERATION`, `wdm.h`).
pub type LOCK_OPERATION = i32;

pub const IoReadAccess: LOCK_OPERATION = 0;
pub const IoWriteAccess: LOCK_OPERATION = 1;
pub const IoModifyAccess: LOCK_OPERATION = 2;

/// Cache attribute of a mapping (`MEMORY_CACHING_TYPE`, `wdm.h`).
pub type MEMORY_CACHING_TYPE = i32;

pub const MmNonCached: MEMORY_CACHING_TYPE = 0;
pub const MmCached: MEMORY_CACHING_TYPE = 1;
pub const MmWriteCombined: MEMORY_CACHING_TYPE = 2;
