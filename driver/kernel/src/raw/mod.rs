//! The kernel's routines under their own names, with this project's types.
//!
//! On Windows targets each is a call through `wdk-sys`; on any other target each is an extern symbol that the simulated
//! kernel defines. Nothing outside this module knows which.

#[cfg(not(windows))]
mod host;
mod optional;
#[cfg(windows)]
mod windows;

use core::ffi::c_void;

#[cfg(not(windows))]
pub(crate) use host::*;
#[cfg(windows)]
pub(crate) use windows::*;

use abi::nt::{KernelMode, MDL, MmCached};

pub(crate) use optional::allocate_zeroed;

/// Maps the pages of an MDL for the kernel; null if there is no room for a mapping. IRQL ≤ DISPATCH_LEVEL.
///
/// # Safety
/// `mdl` describes locked pages that are not mapped, and nobody else maps it meanwhile.
pub(crate) unsafe fn map_locked_pages(mdl: *mut MDL, priority: u32) -> *mut c_void {
    // SAFETY: as promised by the caller; any address will do, and failure gives null instead of a bug check.
    unsafe { MmMapLockedPagesSpecifyCache(mdl, KernelMode, MmCached, core::ptr::null_mut(), 0, priority) }
}

/// A number for the present thread: the same inside one thread, different between threads that live at the same time.
pub(crate) fn current_thread() -> usize {
    // SAFETY: reads the present thread's identity.
    unsafe { PsGetCurrentThreadId() }.addr()
}
