//! Registration of clients (`wsk.h`): what `netio.sys` exports, or a library in its place.

use core::ffi::c_void;

use super::{PWSK_CLIENT, WSK_CLIENT_DISPATCH, WSK_PROVIDER_DISPATCH};
use crate::nt::{GUID, KSPIN_LOCK};
use crate::{NTSTATUS, layout};

/// A client as it registers (`wsk.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WSK_CLIENT_NPI {
    /// Given to `WskClientEvent`.
    pub ClientContext: *mut c_void,
    pub Dispatch: *const WSK_CLIENT_DISPATCH,
}
layout!(WSK_CLIENT_NPI: 16, 8; ClientContext 0x0, Dispatch 0x8);
/// Pointer to [`WSK_CLIENT_NPI`].
pub type PWSK_CLIENT_NPI = *mut WSK_CLIENT_NPI;

/// A captured provider (`wsk.h`); valid until `WskReleaseProviderNPI`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WSK_PROVIDER_NPI {
    /// First argument of every function in the table.
    pub Client: PWSK_CLIENT,
    pub Dispatch: *const WSK_PROVIDER_DISPATCH,
}
layout!(WSK_PROVIDER_NPI: 16, 8; Client 0x0, Dispatch 0x8);
/// Pointer to [`WSK_PROVIDER_NPI`].
pub type PWSK_PROVIDER_NPI = *mut WSK_PROVIDER_NPI;

/// A registration (`wsk.h`): memory of the client, contents of the registration library, unmoved until
/// `WskDeregister` and every other registration call have returned.
#[repr(C)]
#[derive(Debug)]
pub struct WSK_REGISTRATION {
    pub ReservedRegistrationState: u64,
    pub ReservedRegistrationContext: *mut c_void,
    pub ReservedRegistrationLock: KSPIN_LOCK,
}
layout!(WSK_REGISTRATION: 24, 8;
    ReservedRegistrationState 0x0, ReservedRegistrationContext 0x8, ReservedRegistrationLock 0x10);
/// Pointer to [`WSK_REGISTRATION`].
pub type PWSK_REGISTRATION = *mut WSK_REGISTRATION;

/// Versions a provider speaks (`wsk.h`); its NMR registration points to one.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WSK_PROVIDER_CHARACTERISTICS {
    pub HighestVersion: u16,
    pub LowestVersion: u16,
}
layout!(WSK_PROVIDER_CHARACTERISTICS: 4, 2; HighestVersion 0x0, LowestVersion 0x2);
/// Pointer to [`WSK_PROVIDER_CHARACTERISTICS`].
pub type PWSK_PROVIDER_CHARACTERISTICS = *mut WSK_PROVIDER_CHARACTERISTICS;

/// One entry of [`WSK_TRANSPORT_LIST_QUERY`](super::WSK_TRANSPORT_LIST_QUERY) (`wsk.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WSK_TRANSPORT {
    /// The transport's own.
    pub Version: u16,
    pub SocketType: u16,
    pub Protocol: u32,
    /// `AF_UNSPEC` stands for every family.
    pub AddressFamily: u16,
    pub ProviderId: GUID,
}
layout!(WSK_TRANSPORT: 28, 4; Version 0x0, SocketType 0x2, Protocol 0x4, AddressFamily 0x8, ProviderId 0xC);

/// `MAKE_WSK_VERSION` (`wsk.h`).
#[must_use]
pub const fn MAKE_WSK_VERSION(Mj: u8, Mn: u8) -> u16 {
    u16::from_be_bytes([Mj, Mn])
}

/// `WSK_MAJOR_VERSION` (`wsk.h`).
#[must_use]
pub const fn WSK_MAJOR_VERSION(V: u16) -> u8 {
    V.to_be_bytes()[0]
}

/// `WSK_MINOR_VERSION` (`wsk.h`).
#[must_use]
pub const fn WSK_MINOR_VERSION(V: u16) -> u8 {
    V.to_be_bytes()[1]
}

/// Identifier of the WSK programming interface in the Network Module Registrar. Compared by content: clients have
/// copies of their own.
pub const NPI_WSK_INTERFACE_ID: GUID = GUID {
    Data1: 0x2227_E803,
    Data2: 0x8D8B,
    Data3: 0x11D4,
    Data4: [0xAB, 0xAD, 0x00, 0x90, 0x27, 0x71, 0x9E, 0x09],
};

/// `WskRegister`. `PASSIVE_LEVEL`. Each success needs one `WskDeregister`.
pub type PFN_WSK_REGISTER = unsafe extern "system" fn(
    WskClientNpi: *mut WSK_CLIENT_NPI,
    WskRegistration: *mut WSK_REGISTRATION,
) -> NTSTATUS;

/// `WskDeregister`. `PASSIVE_LEVEL`; blocks until all captures are released, all calls returned, all their IRPs completed and
/// all sockets closed.
pub type PFN_WSK_DEREGISTER = unsafe extern "system" fn(WskRegistration: *mut WSK_REGISTRATION);

/// `WskCaptureProviderNPI`. `PASSIVE_LEVEL`, or up to `DISPATCH_LEVEL` with [`WSK_NO_WAIT`](super::WSK_NO_WAIT).
///
/// `STATUS_DEVICE_NOT_READY` (no provider within `WaitTimeout` milliseconds, or deregistered), `STATUS_NOINTERFACE`
/// (version refused). Each success needs one `WskReleaseProviderNPI`.
pub type PFN_WSK_CAPTURE_PROVIDER_NPI = unsafe extern "system" fn(
    WskRegistration: *mut WSK_REGISTRATION,
    WaitTimeout: u32,
    WskProviderNpi: *mut WSK_PROVIDER_NPI,
) -> NTSTATUS;

/// `WskReleaseProviderNPI`.
pub type PFN_WSK_RELEASE_PROVIDER_NPI = unsafe extern "system" fn(WskRegistration: *mut WSK_REGISTRATION);

/// `WskQueryProviderCharacteristics`. `STATUS_DEVICE_NOT_READY` without a provider.
pub type PFN_WSK_QUERY_PROVIDER_CHARACTERISTICS = unsafe extern "system" fn(
    WskRegistration: *mut WSK_REGISTRATION,
    WskProviderCharacteristics: *mut WSK_PROVIDER_CHARACTERISTICS,
) -> NTSTATUS;
