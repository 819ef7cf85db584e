//! Pool memory (`wdm.h`, `ExAllocatePool2`) and lookaside lists.

use bitflags::bitflags;

use crate::layout;

pub const POOL_FLAG_USE_QUOTA: u64 = 0x01;
pub const POOL_FLAG_UNINITIALIZED: u64 = 0x02;
pub const POOL_FLAG_SESSION: u64 = 0x04;
pub const POOL_FLAG_CACHE_ALIGNED: u64 = 0x08;
pub const POOL_FLAG_RAISE_ON_FAILURE: u64 = 0x20;
pub const POOL_FLAG_NON_PAGED: u64 = 0x40;
pub const POOL_FLAG_NON_PAGED_EXECUTE: u64 = 0x80;
pub const POOL_FLAG_PAGED: u64 = 0x100;
pub const POOL_FLAG_SPECIAL_POOL: u64 = 0x1_0000_0000;

bitflags! {
    /// `POOL_FLAGS` of `ExAllocatePool2` (`wdm.h`). Exactly one of the three kinds of pool must be named.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct POOL_FLAGS: u64 {
        const USE_QUOTA = POOL_FLAG_USE_QUOTA;
        /// Without it the block is zeroed.
        const UNINITIALIZED = POOL_FLAG_UNINITIALIZED;
        const SESSION = POOL_FLAG_SESSION;
        const CACHE_ALIGNED = POOL_FLAG_CACHE_ALIGNED;
        /// Raises instead of returning null; unusable from Rust.
        const RAISE_ON_FAILURE = POOL_FLAG_RAISE_ON_FAILURE;
        const NON_PAGED = POOL_FLAG_NON_PAGED;
        const NON_PAGED_EXECUTE = POOL_FLAG_NON_PAGED_EXECUTE;
        const PAGED = POOL_FLAG_PAGED;
        /// Optional flags start here: unknown ones above bit 31 are ignored.
        const SPECIAL_POOL = POOL_FLAG_SPECIAL_POOL;
    }
}

/// Kind of pool for the older allocators and lookaside lists (`POOL_TYPE`, `wdm.h`).
pub type POOL_TYPE = i32;

/// Executable; not used here.
pub const NonPagedPool: POOL_TYPE = 0;
pub const PagedPool: POOL_TYPE = 1;
pub const NonPagedPoolNx: POOL_TYPE = 512;

/// Lookaside list (`wdm.h`, `ExInitializeLookasideListEx`); nobody but the kernel looks inside.
#[repr(C, align(16))]
#[derive(Debug)]
pub struct LOOKASIDE_LIST_EX {
    Opaque: [u64; 12],
}
layout!(LOOKASIDE_LIST_EX: 96, 16; Opaque 0x0);
