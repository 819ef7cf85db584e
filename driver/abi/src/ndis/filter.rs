//! A filter driver's handlers and their table (`ndis.h`).
//!
//! `FilterModuleContext` is what the attach handler gave `NdisFSetAttributes`. A handler that is left out
//! makes NDIS pass that operation to the next layer by itself.

use core::ffi::c_void;

use bitflags::bitflags;

use super::{
    NDIS_FILTER_ATTACH_PARAMETERS, NDIS_FILTER_PAUSE_PARAMETERS, NDIS_FILTER_RESTART_PARAMETERS, NDIS_HANDLE,
    NDIS_OBJECT_HEADER, NDIS_OID_REQUEST, NDIS_PORT_NUMBER, NDIS_STATUS, NDIS_STATUS_INDICATION, NDIS_STRING,
    NET_BUFFER_LIST, NET_DEVICE_PNP_EVENT, NET_IFINDEX, NET_LUID, NET_PNP_EVENT_NOTIFICATION,
};
use crate::layout;

/// `FilterSetOptions`, run inside the registration (`SET_OPTIONS`). `PASSIVE_LEVEL`.
pub type SET_OPTIONS_HANDLER =
    unsafe extern "system" fn(NdisDriverHandle: NDIS_HANDLE, DriverContext: NDIS_HANDLE) -> NDIS_STATUS;

/// `FilterSetModuleOptions`, run before each restart (`FILTER_SET_MODULE_OPTIONS`). `PASSIVE_LEVEL`.
pub type FILTER_SET_FILTER_MODULE_OPTIONS_HANDLER =
    unsafe extern "system" fn(FilterModuleContext: NDIS_HANDLE) -> NDIS_STATUS;

/// `FilterAttach` (`FILTER_ATTACH`). `PASSIVE_LEVEL`. Calls `NdisFSetAttributes` before it succeeds.
pub type FILTER_ATTACH_HANDLER = unsafe extern "system" fn(
    NdisFilterHandle: NDIS_HANDLE,
    FilterDriverContext: NDIS_HANDLE,
    AttachParameters: *mut NDIS_FILTER_ATTACH_PARAMETERS,
) -> NDIS_STATUS;

/// `FilterDetach` (`FILTER_DETACH`). `PASSIVE_LEVEL`. Cannot fail; the NDIS handle is dead when it returns.
pub type FILTER_DETACH_HANDLER = unsafe extern "system" fn(FilterModuleContext: NDIS_HANDLE);

/// `FilterRestart` (`FILTER_RESTART`). `PASSIVE_LEVEL`. Pending ends with `NdisFRestartComplete`.
pub type FILTER_RESTART_HANDLER = unsafe extern "system" fn(
    FilterModuleContext: NDIS_HANDLE,
    RestartParameters: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS;

/// `FilterPause` (`FILTER_PAUSE`). `PASSIVE_LEVEL`. Cannot fail; pending ends with `NdisFPauseComplete`.
pub type FILTER_PAUSE_HANDLER = unsafe extern "system" fn(
    FilterModuleContext: NDIS_HANDLE,
    PauseParameters: *mut NDIS_FILTER_PAUSE_PARAMETERS,
) -> NDIS_STATUS;

/// `FilterSendNetBufferLists` (`FILTER_SEND_NET_BUFFER_LISTS`). IRQL up to `DISPATCH_LEVEL`.
pub type FILTER_SEND_NET_BUFFER_LISTS_HANDLER = unsafe extern "system" fn(
    FilterModuleContext: NDIS_HANDLE,
    NetBufferList: *mut NET_BUFFER_LIST,
    PortNumber: NDIS_PORT_NUMBER,
    SendFlags: u32,
);

/// `FilterSendNetBufferListsComplete` (`FILTER_SEND_NET_BUFFER_LISTS_COMPLETE`). IRQL up to `DISPATCH_LEVEL`.
pub type FILTER_SEND_NET_BUFFER_LISTS_COMPLETE_HANDLER = unsafe extern "system" fn(
    FilterModuleContext: NDIS_HANDLE,
    NetBufferList: *mut NET_BUFFER_LIST,
    SendCompleteFlags: u32,
);

/// `FilterCancelSendNetBufferLists` (`FILTER_CANCEL_SEND_NET_BUFFER_LISTS`). IRQL up to `DISPATCH_LEVEL`.
pub type FILTER_CANCEL_SEND_HANDLER =
    unsafe extern "system" fn(FilterModuleContext: NDIS_HANDLE, CancelId: *mut c_void);

/// `FilterReceiveNetBufferLists` (`FILTER_RECEIVE_NET_BUFFER_LISTS`). IRQL up to `DISPATCH_LEVEL`.
pub type FILTER_RECEIVE_NET_BUFFER_LISTS_HANDLER = unsafe extern "system" fn(
    FilterModuleContext: NDIS_HANDLE,
    NetBufferLists: *mut NET_BUFFER_LIST,
    PortNumber: NDIS_PORT_NUMBER,
    NumberOfNetBufferLists: u32,
    ReceiveFlags: u32,
);

/// `FilterReturnNetBufferLists` (`FILTER_RETURN_NET_BUFFER_LISTS`). IRQL up to `DISPATCH_LEVEL`.
pub type FILTER_RETURN_NET_BUFFER_LISTS_HANDLER = unsafe extern "system" fn(
    FilterModuleContext: NDIS_HANDLE,
    NetBufferLists: *mut NET_BUFFER_LIST,
    ReturnFlags: u32,
);

/// `FilterOidRequest` (`FILTER_OID_REQUEST`). IRQL up to `DISPATCH_LEVEL`. If present, clones and forwards
/// what it does not know.
pub type FILTER_OID_REQUEST_HANDLER = unsafe extern "system" fn(
    FilterModuleContext: NDIS_HANDLE,
    OidRequest: *mut NDIS_OID_REQUEST,
) -> NDIS_STATUS;

/// `FilterOidRequestComplete` (`FILTER_OID_REQUEST_COMPLETE`). IRQL up to `DISPATCH_LEVEL`.
pub type FILTER_OID_REQUEST_COMPLETE_HANDLER = unsafe extern "system" fn(
    FilterModuleContext: NDIS_HANDLE,
    OidRequest: *mut NDIS_OID_REQUEST,
    Status: NDIS_STATUS,
);

/// `FilterCancelOidRequest` (`FILTER_CANCEL_OID_REQUEST`). IRQL up to `DISPATCH_LEVEL`.
pub type FILTER_CANCEL_OID_REQUEST_HANDLER =
    unsafe extern "system" fn(FilterModuleContext: NDIS_HANDLE, RequestId: *mut c_void);

/// `FilterDevicePnPEventNotify` (`FILTER_DEVICE_PNP_EVENT_NOTIFY`). `PASSIVE_LEVEL`. If present, passes the
/// event down with `NdisFDevicePnPEventNotify` before it returns.
pub type FILTER_DEVICE_PNP_EVENT_NOTIFY_HANDLER =
    unsafe extern "system" fn(FilterModuleContext: NDIS_HANDLE, NetDevicePnPEvent: *mut NET_DEVICE_PNP_EVENT);

/// `FilterNetPnPEvent` (`FILTER_NET_PNP_EVENT`). `PASSIVE_LEVEL`. Passes the event up with `NdisFNetPnPEvent`
/// and returns the answer; never pending.
pub type FILTER_NET_PNP_EVENT_HANDLER = unsafe extern "system" fn(
    FilterModuleContext: NDIS_HANDLE,
    NetPnPEventNotification: *mut NET_PNP_EVENT_NOTIFICATION,
) -> NDIS_STATUS;

/// `FilterStatus` (`FILTER_STATUS`). IRQL up to `DISPATCH_LEVEL`. If present, passes the indication up with
/// `NdisFIndicateStatus`, outside of any lock.
pub type FILTER_STATUS_HANDLER = unsafe extern "system" fn(
    FilterModuleContext: NDIS_HANDLE,
    StatusIndication: *mut NDIS_STATUS_INDICATION,
);

/// `FilterDirectOidRequest` (`FILTER_DIRECT_OID_REQUEST`). IRQL up to `DISPATCH_LEVEL`.
pub type FILTER_DIRECT_OID_REQUEST_HANDLER = unsafe extern "system" fn(
    FilterModuleContext: NDIS_HANDLE,
    OidRequest: *mut NDIS_OID_REQUEST,
) -> NDIS_STATUS;

/// `FilterDirectOidRequestComplete` (`FILTER_DIRECT_OID_REQUEST_COMPLETE`). IRQL up to `DISPATCH_LEVEL`.
pub type FILTER_DIRECT_OID_REQUEST_COMPLETE_HANDLER = unsafe extern "system" fn(
    FilterModuleContext: NDIS_HANDLE,
    OidRequest: *mut NDIS_OID_REQUEST,
    Status: NDIS_STATUS,
);

/// `FilterCancelDirectOidRequest` (`FILTER_CANCEL_DIRECT_OID_REQUEST`). IRQL up to `DISPATCH_LEVEL`.
pub type FILTER_CANCEL_DIRECT_OID_REQUEST_HANDLER =
    unsafe extern "system" fn(FilterModuleContext: NDIS_HANDLE, RequestId: *mut c_void);

/// `FilterSynchronousOidRequest` (`FILTER_SYNCHRONOUS_OID_REQUEST`, NDIS 6.80). IRQL up to `DISPATCH_LEVEL`.
pub type FILTER_SYNCHRONOUS_OID_REQUEST_HANDLER = unsafe extern "system" fn(
    FilterModuleContext: NDIS_HANDLE,
    OidRequest: *mut NDIS_OID_REQUEST,
    CallContext: *mut *mut c_void,
) -> NDIS_STATUS;

/// `FilterSynchronousOidRequestComplete` (`FILTER_SYNCHRONOUS_OID_REQUEST_COMPLETE`, NDIS 6.80). IRQL up to
/// `DISPATCH_LEVEL`.
pub type FILTER_SYNCHRONOUS_OID_REQUEST_COMPLETE_HANDLER = unsafe extern "system" fn(
    FilterModuleContext: NDIS_HANDLE,
    OidRequest: *mut NDIS_OID_REQUEST,
    Status: *mut NDIS_STATUS,
    CallContext: *mut c_void,
);

pub const NDIS_FILTER_DRIVER_MANDATORY: u32 = 0x0000_0001;
pub const NDIS_FILTER_DRIVER_SUPPORTS_CURRENT_MAC_ADDRESS_CHANGE: u32 = 0x0000_0002;
pub const NDIS_FILTER_DRIVER_SUPPORTS_L2_MTU_SIZE_CHANGE: u32 = 0x0000_0004;

bitflags! {
    /// `NDIS_FILTER_DRIVER_*` in [`NDIS_FILTER_DRIVER_CHARACTERISTICS::Flags`].
    ///
    /// Whether a filter is mandatory is taken from its INF, so 0 does.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct NDIS_FILTER_DRIVER: u32 {
        const MANDATORY = NDIS_FILTER_DRIVER_MANDATORY;
        /// NDIS 6.50.
        const SUPPORTS_CURRENT_MAC_ADDRESS_CHANGE = NDIS_FILTER_DRIVER_SUPPORTS_CURRENT_MAC_ADDRESS_CHANGE;
        /// NDIS 6.50.
        const SUPPORTS_L2_MTU_SIZE_CHANGE = NDIS_FILTER_DRIVER_SUPPORTS_L2_MTU_SIZE_CHANGE;
    }
}

/// What a filter driver registers (`NDIS_FILTER_DRIVER_CHARACTERISTICS`). NDIS copies it; the strings stay
/// valid as long as the registration.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NDIS_FILTER_DRIVER_CHARACTERISTICS {
    pub Header: NDIS_OBJECT_HEADER,
    pub MajorNdisVersion: u8,
    /// Decimal: 85 for NDIS 6.85.
    pub MinorNdisVersion: u8,
    pub MajorDriverVersion: u8,
    pub MinorDriverVersion: u8,
    /// [`NDIS_FILTER_DRIVER`] bits.
    pub Flags: u32,
    pub FriendlyName: NDIS_STRING,
    /// `NetCfgInstanceId` of the INF: a GUID in braces.
    pub UniqueName: NDIS_STRING,
    /// Service name of the INF.
    pub ServiceName: NDIS_STRING,
    pub SetOptionsHandler: Option<SET_OPTIONS_HANDLER>,
    pub SetFilterModuleOptionsHandler: Option<FILTER_SET_FILTER_MODULE_OPTIONS_HANDLER>,
    pub AttachHandler: FILTER_ATTACH_HANDLER,
    pub DetachHandler: FILTER_DETACH_HANDLER,
    pub RestartHandler: FILTER_RESTART_HANDLER,
    pub PauseHandler: FILTER_PAUSE_HANDLER,
    pub SendNetBufferListsHandler: Option<FILTER_SEND_NET_BUFFER_LISTS_HANDLER>,
    pub SendNetBufferListsCompleteHandler: Option<FILTER_SEND_NET_BUFFER_LISTS_COMPLETE_HANDLER>,
    pub CancelSendNetBufferListsHandler: Option<FILTER_CANCEL_SEND_HANDLER>,
    pub ReceiveNetBufferListsHandler: Option<FILTER_RECEIVE_NET_BUFFER_LISTS_HANDLER>,
    pub ReturnNetBufferListsHandler: Option<FILTER_RETURN_NET_BUFFER_LISTS_HANDLER>,
    pub OidRequestHandler: Option<FILTER_OID_REQUEST_HANDLER>,
    pub OidRequestCompleteHandler: Option<FILTER_OID_REQUEST_COMPLETE_HANDLER>,
    pub CancelOidRequestHandler: Option<FILTER_CANCEL_OID_REQUEST_HANDLER>,
    pub DevicePnPEventNotifyHandler: Option<FILTER_DEVICE_PNP_EVENT_NOTIFY_HANDLER>,
    pub NetPnPEventHandler: Option<FILTER_NET_PNP_EVENT_HANDLER>,
    pub StatusHandler: Option<FILTER_STATUS_HANDLER>,
    /// Revision 2 (NDIS 6.1).
    pub DirectOidRequestHandler: Option<FILTER_DIRECT_OID_REQUEST_HANDLER>,
    /// Revision 2 (NDIS 6.1).
    pub DirectOidRequestCompleteHandler: Option<FILTER_DIRECT_OID_REQUEST_COMPLETE_HANDLER>,
    /// Revision 2 (NDIS 6.1).
    pub CancelDirectOidRequestHandler: Option<FILTER_CANCEL_DIRECT_OID_REQUEST_HANDLER>,
    /// Revision 3 (NDIS 6.80).
    pub SynchronousOidRequestHandler: Option<FILTER_SYNCHRONOUS_OID_REQUEST_HANDLER>,
    /// Revision 3 (NDIS 6.80).
    pub SynchronousOidRequestCompleteHandler: Option<FILTER_SYNCHRONOUS_OID_REQUEST_COMPLETE_HANDLER>,
}

layout!(NDIS_FILTER_DRIVER_CHARACTERISTICS: 0xF0, 8;
    Header 0x00, MajorNdisVersion 0x04, MinorNdisVersion 0x05, MajorDriverVersion 0x06,
    MinorDriverVersion 0x07, Flags 0x08, FriendlyName 0x10, UniqueName 0x20, ServiceName 0x30,
    SetOptionsHandler 0x40, SetFilterModuleOptionsHandler 0x48, AttachHandler 0x50, DetachHandler 0x58,
    RestartHandler 0x60, PauseHandler 0x68, SendNetBufferListsHandler 0x70,
    SendNetBufferListsCompleteHandler 0x78, CancelSendNetBufferListsHandler 0x80,
    ReceiveNetBufferListsHandler 0x88, ReturnNetBufferListsHandler 0x90, OidRequestHandler 0x98,
    OidRequestCompleteHandler 0xA0, CancelOidRequestHandler 0xA8, DevicePnPEventNotifyHandler 0xB0,
    NetPnPEventHandler 0xB8, StatusHandler 0xC0, DirectOidRequestHandler 0xC8,
    DirectOidRequestCompleteHandler 0xD0, CancelDirectOidRequestHandler 0xD8,
    SynchronousOidRequestHandler 0xE0, SynchronousOidRequestCompleteHandler 0xE8,
);

pub const NDIS_FILTER_CHARACTERISTICS_REVISION_1: u8 = 1;
/// For contracts below NDIS 6.80.
pub const NDIS_FILTER_CHARACTERISTICS_REVISION_2: u8 = 2;
/// For contracts of NDIS 6.80 and up.
pub const NDIS_FILTER_CHARACTERISTICS_REVISION_3: u8 = 3;
pub const NDIS_SIZEOF_FILTER_DRIVER_CHARACTERISTICS_REVISION_1: u16 = 0xC8;
pub const NDIS_SIZEOF_FILTER_DRIVER_CHARACTERISTICS_REVISION_2: u16 = 0xE0;
pub const NDIS_SIZEOF_FILTER_DRIVER_CHARACTERISTICS_REVISION_3: u16 = 0xF0;

/// Packet handlers of one module, exchanged in `FilterSetModuleOptions`
/// (`NDIS_FILTER_PARTIAL_CHARACTERISTICS`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NDIS_FILTER_PARTIAL_CHARACTERISTICS {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub SendNetBufferListsHandler: Option<FILTER_SEND_NET_BUFFER_LISTS_HANDLER>,
    pub SendNetBufferListsCompleteHandler: Option<FILTER_SEND_NET_BUFFER_LISTS_COMPLETE_HANDLER>,
    pub CancelSendNetBufferListsHandler: Option<FILTER_CANCEL_SEND_HANDLER>,
    pub ReceiveNetBufferListsHandler: Option<FILTER_RECEIVE_NET_BUFFER_LISTS_HANDLER>,
    pub ReturnNetBufferListsHandler: Option<FILTER_RETURN_NET_BUFFER_LISTS_HANDLER>,
}

layout!(NDIS_FILTER_PARTIAL_CHARACTERISTICS: 0x30, 8;
    Header 0x00, Flags 0x04, SendNetBufferListsHandler 0x08, SendNetBufferListsCompleteHandler 0x10,
    CancelSendNetBufferListsHandler 0x18, ReceiveNetBufferListsHandler 0x20, ReturnNetBufferListsHandler 0x28,
);

pub const NDIS_FILTER_PARTIAL_CHARACTERISTICS_REVISION_1: u8 = 1;
pub const NDIS_SIZEOF_FILTER_PARTIAL_CHARACTERISTICS_REVISION_1: u16 = 0x30;

pub const NDIS_FILTER_INTERFACE_IM_FILTER: u32 = 0x0000_0001;
pub const NDIS_FILTER_INTERFACE_LW_FILTER: u32 = 0x0000_0002;
pub const NDIS_FILTER_INTERFACE_SEND_BYPASS: u32 = 0x0000_0004;
pub const NDIS_FILTER_INTERFACE_RECEIVE_BYPASS: u32 = 0x0000_0008;

bitflags! {
    /// `NDIS_FILTER_INTERFACE_*` in [`NDIS_FILTER_INTERFACE::Flags`].
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct NDIS_FILTER_INTERFACE_FLAGS: u32 {
        /// An intermediate driver.
        const IM_FILTER = NDIS_FILTER_INTERFACE_IM_FILTER;
        /// A lightweight filter.
        const LW_FILTER = NDIS_FILTER_INTERFACE_LW_FILTER;
        const SEND_BYPASS = NDIS_FILTER_INTERFACE_SEND_BYPASS;
        const RECEIVE_BYPASS = NDIS_FILTER_INTERFACE_RECEIVE_BYPASS;
    }
}

/// One module in the answer of `NdisEnumerateFilterModules` (`NDIS_FILTER_INTERFACE`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NDIS_FILTER_INTERFACE {
    pub Header: NDIS_OBJECT_HEADER,
    /// [`NDIS_FILTER_INTERFACE_FLAGS`] bits.
    pub Flags: u32,
    /// 1 monitoring, 2 modifying.
    pub FilterType: u32,
    /// 1 mandatory, 2 optional.
    pub FilterRunType: u32,
    pub IfIndex: NET_IFINDEX,
    pub NetLuid: NET_LUID,
    pub FilterClass: NDIS_STRING,
    pub FilterInstanceName: NDIS_STRING,
}

layout!(NDIS_FILTER_INTERFACE: 0x40, 8;
    Header 0x00, Flags 0x04, FilterType 0x08, FilterRunType 0x0C, IfIndex 0x10, NetLuid 0x18,
    FilterClass 0x20, FilterInstanceName 0x30,
);

/// Answer of `NdisEnumerateFilterModules` (`NDIS_ENUM_FILTERS`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NDIS_ENUM_FILTERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub NumberOfFilters: u32,
    /// Bytes from the start of this structure to the first module.
    pub OffsetFirstFilter: u32,
    /// Variable length; the declared 1 stands for `NumberOfFilters`.
    pub Filters: [NDIS_FILTER_INTERFACE; 1],
}

layout!(NDIS_ENUM_FILTERS: 0x50, 8;
    Header 0x00, Flags 0x04, NumberOfFilters 0x08, OffsetFirstFilter 0x0C, Filters 0x10,
);
