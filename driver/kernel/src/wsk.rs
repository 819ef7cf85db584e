//! The system's Winsock Kernel registration functions (exports of `netio.sys`, `wsk.h`).
//!
//! Thin: the parameters and their lifetimes are those of the pages of the same names.

use abi::NTSTATUS;
use abi::wsk::{WSK_CLIENT_NPI, WSK_PROVIDER_NPI, WSK_REGISTRATION};

use crate::raw;

/// `WskRegister`. IRQL: PASSIVE_LEVEL.
///
/// # Errors
/// What the system answers.
///
/// # Safety
/// `npi` is readable now, its dispatch table until [`deregister`] has returned; `registration` is memory for a block that
/// stays in place until then.
pub unsafe fn register(npi: *mut WSK_CLIENT_NPI, registration: *mut WSK_REGISTRATION) -> NTSTATUS {
    // SAFETY: as promised by the caller.
    unsafe { raw::WskRegister(npi, registration) }
}

/// `WskCaptureProviderNPI`. IRQL: PASSIVE_LEVEL, or <= DISPATCH_LEVEL if `wait_timeout`, in milliseconds, is
/// `WSK_NO_WAIT`.
///
/// # Errors
/// DEVICE_NOT_READY: no provider in time. NOINTERFACE: it does not serve the version.
///
/// # Safety
/// `registration` is registered; `npi` is writable.
pub unsafe fn capture(
    registration: *mut WSK_REGISTRATION,
    wait_timeout: u32,
    npi: *mut WSK_PROVIDER_NPI,
) -> NTSTATUS {
    // SAFETY: as promised by the caller.
    unsafe { raw::WskCaptureProviderNPI(registration, wait_timeout, npi) }
}

/// `WskReleaseProviderNPI`. IRQL <= DISPATCH_LEVEL.
///
/// # Safety
/// Once for each capture that succeeded.
pub unsafe fn release(registration: *mut WSK_REGISTRATION) {
    // SAFETY: as promised by the caller.
    unsafe { raw::WskReleaseProviderNPI(registration) };
}

/// `WskDeregister`: waits until captures, calls, IRPs and sockets are gone. IRQL: PASSIVE_LEVEL.
///
/// # Safety
/// Once for each registration that succeeded.
pub unsafe fn deregister(registration: *mut WSK_REGISTRATION) {
    // SAFETY: as promised by the caller.
    unsafe { raw::WskDeregister(registration) };
}
