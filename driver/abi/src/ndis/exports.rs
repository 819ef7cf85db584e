//! Functions `ndis.sys` exports to filter drivers, as types (`ndis.h`); each is named after its function.
//!
//! `NdisFilterHandle` is what the attach handler received; it is dead once the detach handler has returned.

use core::ffi::c_void;

use super::{
    NDIS_CONFIGURATION_OBJECT, NDIS_FILTER_ATTRIBUTES, NDIS_FILTER_DRIVER_CHARACTERISTICS, NDIS_HANDLE,
    NDIS_STATUS, NDIS_STATUS_INDICATION, NET_DEVICE_PNP_EVENT, NET_IFINDEX, NET_LUID,
    NET_PNP_EVENT_NOTIFICATION,
};
use crate::nt::DRIVER_OBJECT;

/// `NdisFRegisterFilterDriver`. `PASSIVE_LEVEL`. Modules may attach, on other threads, before it returns.
///
/// `NDIS_STATUS_BAD_VERSION`, `NDIS_STATUS_BAD_CHARACTERISTICS`, `NDIS_STATUS_RESOURCES`, and
/// `NDIS_STATUS_FAILURE` above all when the filter is not installed in the network configuration.
pub type PFN_NDIS_F_REGISTER_FILTER_DRIVER = unsafe extern "system" fn(
    DriverObject: *mut DRIVER_OBJECT,
    FilterDriverContext: NDIS_HANDLE,
    FilterDriverCharacteristics: *const NDIS_FILTER_DRIVER_CHARACTERISTICS,
    NdisFilterDriverHandle: *mut NDIS_HANDLE,
) -> NDIS_STATUS;

/// `NdisFDeregisterFilterDriver`. `PASSIVE_LEVEL`. Detaches every module; no handler runs after it.
pub type PFN_NDIS_F_DEREGISTER_FILTER_DRIVER = unsafe extern "system" fn(NdisFilterDriverHandle: NDIS_HANDLE);

/// `NdisFSetAttributes`. `PASSIVE_LEVEL`, the last step of an attach handler; gives the module its context.
pub type PFN_NDIS_F_SET_ATTRIBUTES = unsafe extern "system" fn(
    NdisFilterHandle: NDIS_HANDLE,
    FilterModuleContext: NDIS_HANDLE,
    FilterAttributes: *const NDIS_FILTER_ATTRIBUTES,
) -> NDIS_STATUS;

/// `NdisFNetPnPEvent`. `PASSIVE_LEVEL`. Passes an event up and returns the answer of the layers above; may
/// block.
pub type PFN_NDIS_F_NET_PNP_EVENT = unsafe extern "system" fn(
    NdisFilterHandle: NDIS_HANDLE,
    NetPnPEventNotification: *mut NET_PNP_EVENT_NOTIFICATION,
) -> NDIS_STATUS;

/// `NdisFDevicePnPEventNotify`. `PASSIVE_LEVEL`. Passes an event down.
pub type PFN_NDIS_F_DEVICE_PNP_EVENT_NOTIFY =
    unsafe extern "system" fn(NdisFilterHandle: NDIS_HANDLE, NetDevicePnPEvent: *mut NET_DEVICE_PNP_EVENT);

/// `NdisFIndicateStatus`. IRQL up to `DISPATCH_LEVEL`. Passes an indication up.
pub type PFN_NDIS_F_INDICATE_STATUS =
    unsafe extern "system" fn(NdisFilterHandle: NDIS_HANDLE, StatusIndication: *mut NDIS_STATUS_INDICATION);

/// `NdisFRestartComplete`. `PASSIVE_LEVEL`. Ends a restart that was pending.
pub type PFN_NDIS_F_RESTART_COMPLETE =
    unsafe extern "system" fn(NdisFilterHandle: NDIS_HANDLE, Status: NDIS_STATUS);

/// `NdisFPauseComplete`. IRQL up to `DISPATCH_LEVEL`. Ends a pause that was pending.
pub type PFN_NDIS_F_PAUSE_COMPLETE = unsafe extern "system" fn(NdisFilterHandle: NDIS_HANDLE);

/// `NdisFRestartFilter`. IRQL up to `DISPATCH_LEVEL`. Asks for a pause and restart of the module.
pub type PFN_NDIS_F_RESTART_FILTER = unsafe extern "system" fn(NdisFilterHandle: NDIS_HANDLE) -> NDIS_STATUS;

/// `NdisGetVersion`. IRQL up to `DISPATCH_LEVEL`. Major version in the high half, minor in the low half.
pub type PFN_NDIS_GET_VERSION = unsafe extern "system" fn() -> u32;

/// `NdisIfGetInterfaceIndexFromNetLuid`. `PASSIVE_LEVEL`.
pub type PFN_NDIS_IF_GET_INTERFACE_INDEX_FROM_NET_LUID =
    unsafe extern "system" fn(NetLuid: NET_LUID, pIfIndex: *mut NET_IFINDEX) -> NDIS_STATUS;

/// `NdisIfGetNetLuidFromInterfaceIndex`. `PASSIVE_LEVEL`.
pub type PFN_NDIS_IF_GET_NET_LUID_FROM_INTERFACE_INDEX =
    unsafe extern "system" fn(IfIndex: NET_IFINDEX, pNetLuid: *mut NET_LUID) -> NDIS_STATUS;

/// `NdisOpenConfigurationEx`. `PASSIVE_LEVEL`.
pub type PFN_NDIS_OPEN_CONFIGURATION_EX = unsafe extern "system" fn(
    ConfigObject: *const NDIS_CONFIGURATION_OBJECT,
    ConfigurationHandle: *mut NDIS_HANDLE,
) -> NDIS_STATUS;

/// `NdisEnumerateFilterModules`. `PASSIVE_LEVEL`. Fills an [`NDIS_ENUM_FILTERS`](super::NDIS_ENUM_FILTERS);
/// lengths in bytes.
pub type PFN_NDIS_ENUMERATE_FILTER_MODULES = unsafe extern "system" fn(
    NdisHandle: NDIS_HANDLE,
    InterfaceBuffer: *mut c_void,
    InterfaceBufferLength: u32,
    BytesNeeded: *mut u32,
    BytesWritten: *mut u32,
) -> NDIS_STATUS;
