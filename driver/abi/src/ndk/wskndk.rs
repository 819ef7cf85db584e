//! `wskndk.h`: how a kernel driver opens an NDK adapter through the system's WSK provider.

use super::{NDK_ADAPTER, NDK_VERSION};
use crate::ndis::NET_IFINDEX;
use crate::wsk::PWSK_CLIENT;
use crate::{NTSTATUS, layout};

/// `ControlCode` for `WskControlClient`: fills a [`WSK_PROVIDER_NDK_DISPATCH`].
///
/// Called at `PASSIVE_LEVEL` without an IRP, no input, output of exactly the size of that table.
pub const WSKNDK_GET_WSK_PROVIDER_NDK_DISPATCH: u32 = u32::from_be_bytes(*b"NDKD");

/// Opens an adapter by interface index (`PFN_WSK_NDK_OPEN_ADAPTER`). **`PASSIVE_LEVEL`**.
///
/// `STATUS_NOT_SUPPORTED` (no NDK on that interface), `NDIS_STATUS_ADAPTER_NOT_READY` (NDK is disabled),
/// `NDIS_STATUS_BAD_VERSION`, `NDIS_STATUS_RESOURCES`.
pub type PFN_WSK_NDK_OPEN_ADAPTER = unsafe extern "system" fn(
    Client: PWSK_CLIENT,
    NdkVersion: NDK_VERSION,
    IfIndex: NET_IFINDEX,
    ppNdkAdapter: *mut *mut NDK_ADAPTER,
) -> NTSTATUS;

/// Closes an adapter (`PFN_WSK_NDK_CLOSE_ADAPTER`). **`PASSIVE_LEVEL`**; blocks until everything made from it
/// is closed.
pub type PFN_WSK_NDK_CLOSE_ADAPTER =
    unsafe extern "system" fn(Client: PWSK_CLIENT, pNdkAdapter: *mut NDK_ADAPTER);

/// Table behind [`WSKNDK_GET_WSK_PROVIDER_NDK_DISPATCH`] (`WSK_PROVIDER_NDK_DISPATCH`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WSK_PROVIDER_NDK_DISPATCH {
    pub WskOpenNdkAdapter: PFN_WSK_NDK_OPEN_ADAPTER,
    pub WskCloseNdkAdapter: PFN_WSK_NDK_CLOSE_ADAPTER,
}

layout!(WSK_PROVIDER_NDK_DISPATCH: 0x10, 8; WskOpenNdkAdapter 0x0, WskCloseNdkAdapter 0x8);
