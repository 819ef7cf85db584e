//! The kernel's routines under their own names, with this project's types.
//!
//! On Windows targets each is a call through `wdk-sys`; on any other target each is an extern symbol that the simulated
//! kernel defines. Nothing outside this module knows which.

#[cfg(not(windows))]
mod host;
mod optional;
#[cfg(windows)]
mod windows;

#[cfg(not(windows))]
pub(crate) use host::*;
#[cfg(windows)]
pub(crate) use windows::*;

pub(crate) use optional::{allocate_zeroed, current_processor, etw, resolve};

/// `THREAD_ALL_ACCESS` (`wdm.h`).
const THREAD_ALL_ACCESS: u32 = 0x001F_FFFF;

/// A number for the present thread: the same inside one thread, different between threads that live at the same time.
pub(crate) fn current_thread() -> usize {
    // SAFETY: reads the present thread's identity.
    unsafe { PsGetCurrentThreadId() }.addr()
}
