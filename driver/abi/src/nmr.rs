//! Network Module Registrar (`netioddk.h`): how providers and clients of a programming interface find each other.
//!
//! Characteristics, identifiers and module identifiers stay in place until deregistration has completed.

use core::ffi::c_void;

use crate::nt::{GUID, HANDLE, LUID};
use crate::{NTSTATUS, layout};

/// Identifies a network programming interface (`netioddk.h`).
pub type NPIID = GUID;
/// Pointer to an [`NPIID`].
pub type PNPIID = *const NPIID;

/// Which member of [`NPI_MODULEID_u`] is in use (`netioddk.h`).
pub type NPI_MODULEID_TYPE = i32;

pub const MIT_GUID: NPI_MODULEID_TYPE = 1;
pub const MIT_IF_LUID: NPI_MODULEID_TYPE = 2;

/// Identifies a module (`netioddk.h`).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NPI_MODULEID {
    /// Size of this structure in bytes.
    pub Length: u16,
    pub Type: NPI_MODULEID_TYPE,
    /// An anonymous union in C.
    pub u: NPI_MODULEID_u,
}
layout!(NPI_MODULEID: 24, 4; Length 0x0, Type 0x4, u 0x8);
/// Pointer to an [`NPI_MODULEID`].
pub type PNPI_MODULEID = *const NPI_MODULEID;

/// The identifier itself.
#[repr(C)]
#[derive(Clone, Copy)]
pub union NPI_MODULEID_u {
    pub Guid: GUID,
    pub IfLuid: LUID,
}
layout!(NPI_MODULEID_u: 16, 4; Guid 0x0, IfLuid 0x0);

/// One registration of a module with an interface (`netioddk.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NPI_REGISTRATION_INSTANCE {
    /// Zero.
    pub Version: u16,
    /// Size of this structure in bytes.
    pub Size: u16,
    pub NpiId: PNPIID,
    pub ModuleId: PNPI_MODULEID,
    /// Tells registrations of one module apart.
    pub Number: u32,
    /// For WSK providers a [`WSK_PROVIDER_CHARACTERISTICS`](crate::wsk::WSK_PROVIDER_CHARACTERISTICS).
    pub NpiSpecificCharacteristics: *const c_void,
}
layout!(NPI_REGISTRATION_INSTANCE: 40, 8;
    Version 0x0, Size 0x2, NpiId 0x8, ModuleId 0x10, Number 0x18, NpiSpecificCharacteristics 0x20);

/// A client wants to attach (`ProviderAttachClient`). `PASSIVE_LEVEL`; may run more than once per binding.
///
/// `STATUS_NOINTERFACE` declines.
pub type PNPI_PROVIDER_ATTACH_CLIENT_FN = unsafe extern "system" fn(
    NmrBindingHandle: HANDLE,
    ProviderContext: *mut c_void,
    ClientRegistrationInstance: *const NPI_REGISTRATION_INSTANCE,
    ClientBindingContext: *mut c_void,
    ClientDispatch: *const c_void,
    ProviderBindingContext: *mut *mut c_void,
    ProviderDispatch: *mut *const c_void,
) -> NTSTATUS;

/// The binding ends (`ProviderDetachClient`). IRQL up to `DISPATCH_LEVEL`; no new call into the client from here on.
///
/// `STATUS_SUCCESS`, or `STATUS_PENDING` and later `NmrProviderDetachClientComplete`.
pub type PNPI_PROVIDER_DETACH_CLIENT_FN =
    unsafe extern "system" fn(ProviderBindingContext: *mut c_void) -> NTSTATUS;

/// Both sides are detached, the context may be freed (`ProviderCleanupBindingContext`). IRQL up to `DISPATCH_LEVEL`.
pub type PNPI_PROVIDER_CLEANUP_BINDING_CONTEXT_FN =
    unsafe extern "system" fn(ProviderBindingContext: *mut c_void);

/// A provider is there (`ClientAttachProvider`). `PASSIVE_LEVEL`; called once for each, also for later ones.
pub type PNPI_CLIENT_ATTACH_PROVIDER_FN = unsafe extern "system" fn(
    NmrBindingHandle: HANDLE,
    ClientContext: *mut c_void,
    ProviderRegistrationInstance: *const NPI_REGISTRATION_INSTANCE,
) -> NTSTATUS;

/// The binding ends (`ClientDetachProvider`). IRQL up to `DISPATCH_LEVEL`.
///
/// `STATUS_SUCCESS`, or `STATUS_PENDING` and later `NmrClientDetachProviderComplete`.
pub type PNPI_CLIENT_DETACH_PROVIDER_FN =
    unsafe extern "system" fn(ClientBindingContext: *mut c_void) -> NTSTATUS;

/// Both sides are detached, the context may be freed (`ClientCleanupBindingContext`). IRQL up to `DISPATCH_LEVEL`.
pub type PNPI_CLIENT_CLEANUP_BINDING_CONTEXT_FN =
    unsafe extern "system" fn(ClientBindingContext: *mut c_void);

/// What a provider registers (`netioddk.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NPI_PROVIDER_CHARACTERISTICS {
    /// Zero.
    pub Version: u16,
    /// Size of this structure in bytes.
    pub Length: u16,
    pub ProviderAttachClient: PNPI_PROVIDER_ATTACH_CLIENT_FN,
    pub ProviderDetachClient: PNPI_PROVIDER_DETACH_CLIENT_FN,
    pub ProviderCleanupBindingContext: Option<PNPI_PROVIDER_CLEANUP_BINDING_CONTEXT_FN>,
    pub ProviderRegistrationInstance: NPI_REGISTRATION_INSTANCE,
}
layout!(NPI_PROVIDER_CHARACTERISTICS: 72, 8;
    Version 0x0, Length 0x2, ProviderAttachClient 0x8, ProviderDetachClient 0x10,
    ProviderCleanupBindingContext 0x18, ProviderRegistrationInstance 0x20);

/// What a client registers (`netioddk.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NPI_CLIENT_CHARACTERISTICS {
    /// Zero.
    pub Version: u16,
    /// Size of this structure in bytes.
    pub Length: u16,
    pub ClientAttachProvider: PNPI_CLIENT_ATTACH_PROVIDER_FN,
    pub ClientDetachProvider: PNPI_CLIENT_DETACH_PROVIDER_FN,
    pub ClientCleanupBindingContext: Option<PNPI_CLIENT_CLEANUP_BINDING_CONTEXT_FN>,
    pub ClientRegistrationInstance: NPI_REGISTRATION_INSTANCE,
}
layout!(NPI_CLIENT_CHARACTERISTICS: 72, 8;
    Version 0x0, Length 0x2, ClientAttachProvider 0x8, ClientDetachProvider 0x10, ClientCleanupBindingContext 0x18,
    ClientRegistrationInstance 0x20);

/// One side of a binding as the other sees it (`netioddk.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NPI {
    pub Handle: HANDLE,
    pub Dispatch: *const c_void,
}
layout!(NPI: 16, 8; Handle 0x0, Dispatch 0x8);

/// `NmrRegisterProvider`. `PASSIVE_LEVEL`.
pub type PFN_NMR_REGISTER_PROVIDER = unsafe extern "system" fn(
    ProviderCharacteristics: *const NPI_PROVIDER_CHARACTERISTICS,
    ProviderContext: *mut c_void,
    NmrProviderHandle: *mut HANDLE,
) -> NTSTATUS;

/// `NmrDeregisterProvider`. IRQL up to `DISPATCH_LEVEL`; `STATUS_PENDING` is its success.
pub type PFN_NMR_DEREGISTER_PROVIDER = unsafe extern "system" fn(NmrProviderHandle: HANDLE) -> NTSTATUS;

/// `NmrWaitForProviderDeregisterComplete`. Below `DISPATCH_LEVEL`; blocks until every binding is gone.
pub type PFN_NMR_WAIT_FOR_PROVIDER_DEREGISTER_COMPLETE =
    unsafe extern "system" fn(NmrProviderHandle: HANDLE) -> NTSTATUS;

/// `NmrProviderDetachClientComplete`. IRQL up to `DISPATCH_LEVEL`.
pub type PFN_NMR_PROVIDER_DETACH_CLIENT_COMPLETE = unsafe extern "system" fn(NmrBindingHandle: HANDLE);

/// `NmrRegisterClient`. `PASSIVE_LEVEL`.
pub type PFN_NMR_REGISTER_CLIENT = unsafe extern "system" fn(
    ClientCharacteristics: *const NPI_CLIENT_CHARACTERISTICS,
    ClientContext: *mut c_void,
    NmrClientHandle: *mut HANDLE,
) -> NTSTATUS;

/// `NmrDeregisterClient`. IRQL up to `DISPATCH_LEVEL`; `STATUS_PENDING` is its success.
pub type PFN_NMR_DEREGISTER_CLIENT = unsafe extern "system" fn(NmrClientHandle: HANDLE) -> NTSTATUS;

/// `NmrWaitForClientDeregisterComplete`. Below `DISPATCH_LEVEL`; blocks until every binding is gone.
pub type PFN_NMR_WAIT_FOR_CLIENT_DEREGISTER_COMPLETE =
    unsafe extern "system" fn(NmrClientHandle: HANDLE) -> NTSTATUS;

/// `NmrClientAttachProvider`. `PASSIVE_LEVEL`, only inside `ClientAttachProvider`; returns what the provider's attach
/// callback returned.
pub type PFN_NMR_CLIENT_ATTACH_PROVIDER = unsafe extern "system" fn(
    NmrBindingHandle: HANDLE,
    ClientBindingContext: *mut c_void,
    ClientDispatch: *const c_void,
    ProviderBindingContext: *mut *mut c_void,
    ProviderDispatch: *mut *const c_void,
) -> NTSTATUS;

/// `NmrClientDetachProviderComplete`. IRQL up to `DISPATCH_LEVEL`.
pub type PFN_NMR_CLIENT_DETACH_PROVIDER_COMPLETE = unsafe extern "system" fn(NmrBindingHandle: HANDLE);
