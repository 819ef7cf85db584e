//! The Network Module Registrar (exports of `netio.sys`, `netioddk.h`), by which providers and clients of a programming
//! interface find each other.
//!
//! Thin: the parameters and their lifetimes are those of the pages of the same names. Not every system has it: where it is
//! missing, a call raises an exception.

use core::ffi::c_void;

use abi::NTSTATUS;
use abi::nmr::{NPI_CLIENT_CHARACTERISTICS, NPI_PROVIDER_CHARACTERISTICS};
use abi::nt::HANDLE;

use crate::raw;

/// `NmrRegisterProvider`. IRQL: PASSIVE_LEVEL. The provider may be attached to clients before this returns.
///
/// # Errors
/// INSUFFICIENT_RESOURCES, or what else the registrar answers.
///
/// # Safety
/// The characteristics and what they point to stay in place until [`wait_for_provider`] has returned; until then the
/// callbacks may be called with `context`. `handle` is writable.
pub unsafe fn register_provider(
    characteristics: *const NPI_PROVIDER_CHARACTERISTICS,
    context: *mut c_void,
    handle: *mut HANDLE,
) -> NTSTATUS {
    // SAFETY: as promised by the caller.
    unsafe { raw::NmrRegisterProvider(characteristics, context, handle) }
}

/// `NmrDeregisterProvider`: detaches from every client. IRQL <= DISPATCH_LEVEL. PENDING is its success.
///
/// # Safety
/// Once for each registration.
pub unsafe fn deregister_provider(handle: HANDLE) -> NTSTATUS {
    // SAFETY: as promised by the caller.
    unsafe { raw::NmrDeregisterProvider(handle) }
}

/// `NmrWaitForProviderDeregisterComplete`: waits until no client is attached. IRQL < DISPATCH_LEVEL.
///
/// # Safety
/// Once, after [`deregister_provider`].
pub unsafe fn wait_for_provider(handle: HANDLE) -> NTSTATUS {
    // SAFETY: as promised by the caller.
    unsafe { raw::NmrWaitForProviderDeregisterComplete(handle) }
}

/// `NmrProviderDetachClientComplete`. IRQL <= DISPATCH_LEVEL. The cleanup callbacks may be called inside.
///
/// # Safety
/// Once for each detach callback of the provider's that answers PENDING.
pub unsafe fn provider_detach_complete(binding: HANDLE) {
    // SAFETY: as promised by the caller.
    unsafe { raw::NmrProviderDetachClientComplete(binding) };
}

/// `NmrRegisterClient`. IRQL: PASSIVE_LEVEL.
///
/// # Errors
/// As for [`register_provider`].
///
/// # Safety
/// As for [`register_provider`], until [`wait_for_client`] has returned.
pub unsafe fn register_client(
    characteristics: *const NPI_CLIENT_CHARACTERISTICS,
    context: *mut c_void,
    handle: *mut HANDLE,
) -> NTSTATUS {
    // SAFETY: as promised by the caller.
    unsafe { raw::NmrRegisterClient(characteristics, context, handle) }
}

/// `NmrDeregisterClient`: detaches from every provider. IRQL <= DISPATCH_LEVEL. PENDING is its success.
///
/// # Safety
/// Once for each registration.
pub unsafe fn deregister_client(handle: HANDLE) -> NTSTATUS {
    // SAFETY: as promised by the caller.
    unsafe { raw::NmrDeregisterClient(handle) }
}

/// `NmrWaitForClientDeregisterComplete`: waits until no provider is attached. IRQL < DISPATCH_LEVEL.
///
/// # Safety
/// Once, after [`deregister_client`].
pub unsafe fn wait_for_client(handle: HANDLE) -> NTSTATUS {
    // SAFETY: as promised by the caller.
    unsafe { raw::NmrWaitForClientDeregisterComplete(handle) }
}

/// `NmrClientAttachProvider`: asks the provider, inside the client's attach callback. IRQL: PASSIVE_LEVEL.
///
/// # Errors
/// What the provider's attach callback answers.
///
/// # Safety
/// `binding` is that of the callback; both outputs are writable; the dispatch table stays until the binding is cleaned up.
pub unsafe fn client_attach(
    binding: HANDLE,
    client_context: *mut c_void,
    client_dispatch: *const c_void,
    provider_context: *mut *mut c_void,
    provider_dispatch: *mut *const c_void,
) -> NTSTATUS {
    // SAFETY: as promised by the caller.
    unsafe {
        raw::NmrClientAttachProvider(
            binding,
            client_context,
            client_dispatch,
            provider_context,
            provider_dispatch,
        )
    }
}

/// `NmrClientDetachProviderComplete`. IRQL <= DISPATCH_LEVEL. The cleanup callbacks may be called inside.
///
/// # Safety
/// Once for each detach callback of the client's that answers PENDING.
pub unsafe fn client_detach_complete(binding: HANDLE) {
    // SAFETY: as promised by the caller.
    unsafe { raw::NmrClientDetachProviderComplete(binding) };
}
