//! The Network Module Registrar (`netio.sys`): clients and providers of a programming interface are offered to each other.
//!
//! Each client is offered each provider of the same interface, in whichever order they come. The client's attach callback
//! may attach or not; the provider's may refuse, and the client may try again in the same callback. When either side
//! deregisters, each binding has both detach callbacks called once, the provider's first; when both sides are done both
//! cleanup callbacks are called, and when no binding is left the wait for the deregistration ends. Attaching happens on the
//! thread that registers, detaching on the one that deregisters, cleaning up on the one that is done last.
//!
//! Misuse ends in `NMR_INVALID_STATE`, as on Windows: an unknown handle, a second deregistration or completion, a
//! completion that nobody waits for, an attach outside the client's callback.

mod binding;
mod callback;
mod registrar;

use std::ffi::c_void;

use abi::NTSTATUS;
use abi::nmr::{NPI_CLIENT_CHARACTERISTICS, NPI_PROVIDER_CHARACTERISTICS};
use abi::nt::{DISPATCH_LEVEL, HANDLE, PASSIVE_LEVEL};

use crate::processor;
use registrar::Side;

/// How many modules are registered, and how many bindings there are between them.
#[must_use]
pub fn registered() -> (usize, usize) {
    registrar::count()
}

/// `NmrRegisterProvider`.
///
/// # Safety
/// The characteristics and what they point to stay until the deregistration is complete; `handle` is writable; the
/// callbacks may be called with `context`.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn NmrRegisterProvider(
    characteristics: *const NPI_PROVIDER_CHARACTERISTICS,
    context: *mut c_void,
    handle: *mut HANDLE,
) -> NTSTATUS {
    processor::require_at_most(PASSIVE_LEVEL, "NmrRegisterProvider");
    // SAFETY: as promised by the caller.
    unsafe { registrar::register(Side::Provider, characteristics.cast(), context, handle) }
}

/// `NmrRegisterClient`.
///
/// # Safety
/// As for [`NmrRegisterProvider`].
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn NmrRegisterClient(
    characteristics: *const NPI_CLIENT_CHARACTERISTICS,
    context: *mut c_void,
    handle: *mut HANDLE,
) -> NTSTATUS {
    processor::require_at_most(PASSIVE_LEVEL, "NmrRegisterClient");
    // SAFETY: as promised by the caller.
    unsafe { registrar::register(Side::Client, characteristics.cast(), context, handle) }
}

/// `NmrDeregisterProvider`.
#[unsafe(no_mangle)]
extern "C-unwind" fn NmrDeregisterProvider(handle: HANDLE) -> NTSTATUS {
    processor::require_at_most(DISPATCH_LEVEL, "NmrDeregisterProvider");
    registrar::deregister(Side::Provider, handle, "NmrDeregisterProvider")
}

/// `NmrDeregisterClient`.
#[unsafe(no_mangle)]
extern "C-unwind" fn NmrDeregisterClient(handle: HANDLE) -> NTSTATUS {
    processor::require_at_most(DISPATCH_LEVEL, "NmrDeregisterClient");
    registrar::deregister(Side::Client, handle, "NmrDeregisterClient")
}

/// `NmrWaitForProviderDeregisterComplete`.
#[unsafe(no_mangle)]
extern "C-unwind" fn NmrWaitForProviderDeregisterComplete(handle: HANDLE) -> NTSTATUS {
    processor::require_may_wait("NmrWaitForProviderDeregisterComplete");
    registrar::wait(Side::Provider, handle)
}

/// `NmrWaitForClientDeregisterComplete`.
#[unsafe(no_mangle)]
extern "C-unwind" fn NmrWaitForClientDeregisterComplete(handle: HANDLE) -> NTSTATUS {
    processor::require_may_wait("NmrWaitForClientDeregisterComplete");
    registrar::wait(Side::Client, handle)
}

/// `NmrClientAttachProvider`.
///
/// # Safety
/// Both outputs are writable; the dispatch table stays until the binding is cleaned up.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn NmrClientAttachProvider(
    binding: HANDLE,
    client_context: *mut c_void,
    client_dispatch: *const c_void,
    provider_context: *mut *mut c_void,
    provider_dispatch: *mut *const c_void,
) -> NTSTATUS {
    processor::require_at_most(PASSIVE_LEVEL, "NmrClientAttachProvider");
    // SAFETY: as promised by the caller.
    unsafe { binding::attach(binding, client_context, client_dispatch, provider_context, provider_dispatch) }
}

/// `NmrProviderDetachClientComplete`.
#[unsafe(no_mangle)]
extern "C-unwind" fn NmrProviderDetachClientComplete(binding: HANDLE) {
    processor::require_at_most(DISPATCH_LEVEL, "NmrProviderDetachClientComplete");
    binding::complete(Side::Provider, binding, "NmrProviderDetachClientComplete");
}

/// `NmrClientDetachProviderComplete`.
#[unsafe(no_mangle)]
extern "C-unwind" fn NmrClientDetachProviderComplete(binding: HANDLE) {
    processor::require_at_most(DISPATCH_LEVEL, "NmrClientDetachProviderComplete");
    binding::complete(Side::Client, binding, "NmrClientDetachProviderComplete");
}
