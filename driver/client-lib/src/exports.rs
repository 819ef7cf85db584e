//! The C symbols: five functions, and the import pointers that a `dllimport` caller looks for.
//!
//! All of them end up in one object of the archive: whichever of them a linker looks for first, it takes all,
//! and `netio.lib` behind is not asked for any.
#![expect(non_snake_case, reason = "functions and parameters are named by `wsk.h`")]

use core::arch::global_asm;
use core::ffi::c_void;
use core::ptr::NonNull;

use abi::NTSTATUS;
use abi::nt::KEVENT;
use abi::wsk::{WSK_CLIENT_NPI, WSK_PROVIDER_CHARACTERISTICS, WSK_PROVIDER_NPI, WSK_REGISTRATION};

use crate::binding::{self, World};
use crate::driver::{self, Hold};
use crate::{kernel, netio};
use control::provider::WSKRDMA_REGISTRATION_ENTRIES;

/// Windows.
struct Windows;

impl World for Windows {
    type Hold = Hold;
    type Event = KEVENT;

    fn provider() -> (WSKRDMA_REGISTRATION_ENTRIES, Option<Hold>) {
        match driver::find() {
            Some((entries, hold)) => (entries, Some(hold)),
            None => (netio::entries(), None),
        }
    }

    fn allocate(bytes: usize) -> Option<NonNull<c_void>> {
        kernel::allocate(bytes)
    }

    unsafe fn free(block: NonNull<c_void>) {
        // SAFETY: the caller vouches for it.
        unsafe { kernel::free(block) }
    }

    unsafe fn initialize(event: *mut KEVENT) {
        // SAFETY: the caller vouches for it.
        unsafe { kernel::initialize_event(event) }
    }

    unsafe fn set(event: *mut KEVENT) {
        // SAFETY: the caller vouches for it.
        unsafe { kernel::set_event(event) }
    }

    unsafe fn wait(event: *mut KEVENT) {
        // SAFETY: the caller vouches for it.
        unsafe { kernel::wait_for_event(event) }
    }
}

/// `WskRegister` (`wsk.h`). See [`binding::register`].
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WskRegister(
    WskClientNpi: *mut WSK_CLIENT_NPI,
    WskRegistration: *mut WSK_REGISTRATION,
) -> NTSTATUS {
    // SAFETY: the caller vouches for it.
    unsafe { binding::register::<Windows>(WskClientNpi, WskRegistration) }
}

/// `WskDeregister` (`wsk.h`). See [`binding::deregister`].
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WskDeregister(WskRegistration: *mut WSK_REGISTRATION) {
    // SAFETY: the caller vouches for it.
    unsafe { binding::deregister::<Windows>(WskRegistration) }
}

/// `WskCaptureProviderNPI` (`wsk.h`). See [`binding::capture`].
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WskCaptureProviderNPI(
    WskRegistration: *mut WSK_REGISTRATION,
    WaitTimeout: u32,
    WskProviderNpi: *mut WSK_PROVIDER_NPI,
) -> NTSTATUS {
    // SAFETY: the caller vouches for it.
    unsafe { binding::capture::<Windows>(WskRegistration, WaitTimeout, WskProviderNpi) }
}

/// `WskReleaseProviderNPI` (`wsk.h`). See [`binding::release`].
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WskReleaseProviderNPI(WskRegistration: *mut WSK_REGISTRATION) {
    // SAFETY: the caller vouches for it.
    unsafe { binding::release::<Windows>(WskRegistration) }
}

/// `WskQueryProviderCharacteristics` (`wsk.h`). See [`binding::query`].
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WskQueryProviderCharacteristics(
    WskRegistration: *mut WSK_REGISTRATION,
    WskProviderCharacteristics: *mut WSK_PROVIDER_CHARACTERISTICS,
) -> NTSTATUS {
    // SAFETY: the caller vouches for it.
    unsafe { binding::query::<Windows>(WskRegistration, WskProviderCharacteristics) }
}

// What `dllimport` makes of the five names: a pointer to each. Assembler, because a static of this name would
// get one more `__imp_` in front from the compiler.
global_asm!(
    ".section .rdata, \"dr\"",
    ".p2align 3",
    ".globl __imp_WskRegister",
    "__imp_WskRegister:",
    ".quad WskRegister",
    ".globl __imp_WskDeregister",
    "__imp_WskDeregister:",
    ".quad WskDeregister",
    ".globl __imp_WskCaptureProviderNPI",
    "__imp_WskCaptureProviderNPI:",
    ".quad WskCaptureProviderNPI",
    ".globl __imp_WskReleaseProviderNPI",
    "__imp_WskReleaseProviderNPI:",
    ".quad WskReleaseProviderNPI",
    ".globl __imp_WskQueryProviderCharacteristics",
    "__imp_WskQueryProviderCharacteristics:",
    ".quad WskQueryProviderCharacteristics",
    ".text",
);

/// `WskrdmaLibrary` of `wskrdma.h`: a name that only this archive defines. A client that refers to it gets
/// this object wherever the archive stands in the link line. If the linker has taken the system's functions by
/// then, most linkers report them as defined twice; LLVM's takes these instead.
#[unsafe(no_mangle)]
pub static WskrdmaLibrary: u32 = 1;
