//! How a miniport offers NDK to NDIS (`ndisndk.h`) and answers questions about it (`ntddndis.h`).

use super::{
    NDIS_HANDLE, NDIS_NIC_SWITCH_ID, NDIS_NIC_SWITCH_VPORT_ID, NDIS_OBJECT_HEADER, NDIS_OID, NDIS_STATUS,
};
use crate::layout;
use crate::ndk::{NDK_ADAPTER, NDK_ADAPTER_INFO, NDK_VERSION};
use crate::nt::{BOOLEAN, GUID};
use crate::wsk::SOCKADDR_INET;

/// Set, one [`BOOLEAN`]: enable or disable NDK. Never pends; the event it causes is raised from elsewhere.
pub const OID_NDK_SET_STATE: NDIS_OID = 0xFC04_0201;
/// Query, also by the direct path: [`NDIS_NDK_STATISTICS_INFO`].
pub const OID_NDK_STATISTICS: NDIS_OID = 0xFC04_0202;
/// Query: [`NDIS_NDK_CONNECTIONS`].
pub const OID_NDK_CONNECTIONS: NDIS_OID = 0xFC04_0203;
/// Query: [`NDIS_NDK_LOCAL_ENDPOINTS`].
pub const OID_NDK_LOCAL_ENDPOINTS: NDIS_OID = 0xFC04_0204;

/// WMI class of the capabilities (`ntddndis.h`).
pub const GUID_NDIS_NDK_CAPABILITIES: GUID = GUID {
    Data1: 0x7969_ba4d,
    Data2: 0xdd80,
    Data3: 0x4bc7,
    Data4: [0xb3, 0xe6, 0x68, 0x04, 0x39, 0x97, 0xe5, 0x19],
};
/// WMI class of the state (`ntddndis.h`).
pub const GUID_NDIS_NDK_STATE: GUID = GUID {
    Data1: 0x530c_69c9,
    Data2: 0x2f51,
    Data3: 0x49de,
    Data4: [0xa1, 0xaf, 0x08, 0x8d, 0x54, 0xff, 0xa4, 0x74],
};

/// What a consumer asks for (`NDIS_OPEN_NDK_ADAPTER_PARAMETERS`). Before NDIS 6.50 there is only `Version`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NDIS_OPEN_NDK_ADAPTER_PARAMETERS {
    /// Major version, and the lowest minor version the consumer can do with.
    pub Version: NDK_VERSION,
    pub SwitchId: NDIS_NIC_SWITCH_ID,
    pub VPortId: NDIS_NIC_SWITCH_VPORT_ID,
}

layout!(NDIS_OPEN_NDK_ADAPTER_PARAMETERS: 0xC, 4; Version 0x0, SwitchId 0x4, VPortId 0x8);

/// Opens an adapter for a consumer (`OPEN_NDK_ADAPTER_HANDLER`). **`PASSIVE_LEVEL`**.
///
/// `NDIS_STATUS_BAD_VERSION`, `NDIS_STATUS_ADAPTER_NOT_READY` (NDK is disabled), `NDIS_STATUS_RESOURCES`.
pub type OPEN_NDK_ADAPTER_HANDLER = unsafe extern "system" fn(
    MiniportAdapterContext: NDIS_HANDLE,
    Parameters: *const NDIS_OPEN_NDK_ADAPTER_PARAMETERS,
    ppNdkAdapter: *mut *mut NDK_ADAPTER,
) -> NDIS_STATUS;

/// Closes an adapter (`CLOSE_NDK_ADAPTER_HANDLER`). **`PASSIVE_LEVEL`**; blocks until everything made from it
/// is closed and every callback has returned.
pub type CLOSE_NDK_ADAPTER_HANDLER =
    unsafe extern "system" fn(MiniportAdapterContext: NDIS_HANDLE, pNdkAdapter: *mut NDK_ADAPTER);

/// What a miniport gives `NdisSetOptionalHandlers` (`NDIS_NDK_PROVIDER_CHARACTERISTICS`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NDIS_NDK_PROVIDER_CHARACTERISTICS {
    pub Header: NDIS_OBJECT_HEADER,
    /// 0.
    pub Flags: u32,
    pub OpenNDKAdapterHandler: OPEN_NDK_ADAPTER_HANDLER,
    pub CloseNDKAdapterHandler: CLOSE_NDK_ADAPTER_HANDLER,
}

layout!(NDIS_NDK_PROVIDER_CHARACTERISTICS: 0x18, 8;
    Header 0x0, Flags 0x4, OpenNDKAdapterHandler 0x8, CloseNDKAdapterHandler 0x10,
);

pub const NDIS_NDK_PROVIDER_CHARACTERISTICS_REVISION_1: u8 = 1;
pub const NDIS_SIZEOF_NDK_PROVIDER_CHARACTERISTICS_REVISION_1: u16 = 0x18;

/// What a miniport gives `NdisMSetMiniportAttributes`, NDK enabled or not
/// (`NDIS_MINIPORT_ADAPTER_NDK_ATTRIBUTES`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NDIS_MINIPORT_ADAPTER_NDK_ATTRIBUTES {
    pub Header: NDIS_OBJECT_HEADER,
    pub Enabled: BOOLEAN,
    pub NdkCapabilities: *mut NDIS_NDK_CAPABILITIES,
}

layout!(NDIS_MINIPORT_ADAPTER_NDK_ATTRIBUTES: 0x10, 8; Header 0x0, Enabled 0x4, NdkCapabilities 0x8);

pub const NDIS_MINIPORT_ADAPTER_NDK_ATTRIBUTES_REVISION_1: u8 = 1;
pub const NDIS_SIZEOF_MINIPORT_ADAPTER_NDK_ATTRIBUTES_REVISION_1: u16 = 0x10;

/// Limits of the whole adapter (`NDIS_NDK_CAPABILITIES`); those of one consumer are behind `NdkInfo`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NDIS_NDK_CAPABILITIES {
    pub Header: NDIS_OBJECT_HEADER,
    /// 0.
    pub Flags: u32,
    pub MaxQpCount: u32,
    pub MaxCqCount: u32,
    pub MaxMrCount: u32,
    pub MaxPdCount: u32,
    /// 0 when there is no limit for the whole adapter.
    pub MaxInboundReadLimit: u32,
    /// 0 when there is no limit for the whole adapter.
    pub MaxOutboundReadLimit: u32,
    pub MaxMwCount: u32,
    pub MaxSrqCount: u32,
    /// Bit `i` set: counter `i` of [`NDIS_NDK_PERFORMANCE_COUNTERS`] is not kept.
    pub MissingCounterMask: u64,
    pub NdkInfo: *mut NDK_ADAPTER_INFO,
}

layout!(NDIS_NDK_CAPABILITIES: 0x38, 8;
    Header 0x00, Flags 0x04, MaxQpCount 0x08, MaxCqCount 0x0C, MaxMrCount 0x10, MaxPdCount 0x14,
    MaxInboundReadLimit 0x18, MaxOutboundReadLimit 0x1C, MaxMwCount 0x20, MaxSrqCount 0x24,
    MissingCounterMask 0x28, NdkInfo 0x30,
);

pub const NDIS_NDK_CAPABILITIES_REVISION_1: u8 = 1;
pub const NDIS_SIZEOF_NDK_CAPABILITIES_REVISION_1: u16 = 0x38;

/// Counters of an adapter (`NDIS_NDK_PERFORMANCE_COUNTERS`), over all kernel and user consumers.
///
/// Octets and frames count layer-2 overhead too.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NDIS_NDK_PERFORMANCE_COUNTERS {
    /// Outgoing connections established.
    pub Connect: u64,
    /// Incoming connections established.
    pub Accept: u64,
    /// Attempts that failed, in both directions.
    pub ConnectFailure: u64,
    /// Connections that broke before the consumer disconnected.
    pub ConnectionError: u64,
    /// Connections now.
    pub ActiveConnection: u64,
    /// `Reserved01` to `Reserved20` in C; zero.
    pub Reserved: [u64; 20],
    pub CQError: u64,
    pub RDMAInOctets: u64,
    pub RDMAOutOctets: u64,
    pub RDMAInFrames: u64,
    pub RDMAOutFrames: u64,
}

layout!(NDIS_NDK_PERFORMANCE_COUNTERS: 0xF0, 8;
    Connect 0x00, Accept 0x08, ConnectFailure 0x10, ConnectionError 0x18, ActiveConnection 0x20,
    Reserved 0x28, CQError 0xC8, RDMAInOctets 0xD0, RDMAOutOctets 0xD8, RDMAInFrames 0xE0, RDMAOutFrames 0xE8,
);

/// Answer to [`OID_NDK_STATISTICS`] (`NDIS_NDK_STATISTICS_INFO`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NDIS_NDK_STATISTICS_INFO {
    pub Header: NDIS_OBJECT_HEADER,
    /// 0.
    pub Flags: u32,
    pub CounterSet: NDIS_NDK_PERFORMANCE_COUNTERS,
}

layout!(NDIS_NDK_STATISTICS_INFO: 0xF8, 8; Header 0x0, Flags 0x4, CounterSet 0x8);

pub const NDIS_NDK_STATISTICS_INFO_REVISION_1: u8 = 1;
pub const NDIS_SIZEOF_NDK_STATISTICS_INFO_REVISION_1: u16 = 0xF8;

/// One connection (`NDIS_NDK_CONNECTION_ENTRY`).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_NDK_CONNECTION_ENTRY {
    pub Local: SOCKADDR_INET,
    pub Remote: SOCKADDR_INET,
    pub UserModeOwner: BOOLEAN,
    /// Process, for a user-mode owner.
    pub OwnerPid: u32,
}

layout!(NDIS_NDK_CONNECTION_ENTRY: 64, 4; Local 0, Remote 28, UserModeOwner 56, OwnerPid 60);

/// Answer to [`OID_NDK_CONNECTIONS`] (`NDIS_NDK_CONNECTIONS`). `Header.Size` is the true size or 0xFFFF, the
/// lesser.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_NDK_CONNECTIONS {
    pub Header: NDIS_OBJECT_HEADER,
    /// 0.
    pub Flags: u32,
    /// Entries.
    pub Count: u32,
    /// Entries come in pairs: an even one has the ND addresses and the owner, the next one the TCP addresses.
    pub NDConnectionsMappedtoTCPConnections: BOOLEAN,
    /// Variable length; the declared 1 stands for `Count`.
    pub Connections: [NDIS_NDK_CONNECTION_ENTRY; 1],
}

layout!(NDIS_NDK_CONNECTIONS: 80, 4;
    Header 0, Flags 4, Count 8, NDConnectionsMappedtoTCPConnections 12, Connections 16,
);

pub const NDIS_NDK_CONNECTIONS_REVISION_1: u8 = 1;

/// One listener or shared endpoint (`NDIS_NDK_LOCAL_ENDPOINT_ENTRY`).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_NDK_LOCAL_ENDPOINT_ENTRY {
    pub Local: SOCKADDR_INET,
    pub UserModeOwner: BOOLEAN,
    /// A listener, else a shared endpoint.
    pub Listener: BOOLEAN,
    /// Process, for a user-mode owner.
    pub OwnerPid: u32,
}

layout!(NDIS_NDK_LOCAL_ENDPOINT_ENTRY: 36, 4; Local 0, UserModeOwner 28, Listener 29, OwnerPid 32);

/// Answer to [`OID_NDK_LOCAL_ENDPOINTS`] (`NDIS_NDK_LOCAL_ENDPOINTS`). `Header.Size` is the true size or
/// 0xFFFF, the lesser.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_NDK_LOCAL_ENDPOINTS {
    pub Header: NDIS_OBJECT_HEADER,
    /// 0.
    pub Flags: u32,
    /// Entries.
    pub Count: u32,
    /// Entries come in pairs: an even one has the ND address and the owner, the next one the TCP address.
    pub NDLocalEndpointsMappedtoTCPLocalEndpoints: BOOLEAN,
    /// Variable length; the declared 1 stands for `Count`.
    pub LocalEndpoints: [NDIS_NDK_LOCAL_ENDPOINT_ENTRY; 1],
}

layout!(NDIS_NDK_LOCAL_ENDPOINTS: 52, 4;
    Header 0, Flags 4, Count 8, NDLocalEndpointsMappedtoTCPLocalEndpoints 12, LocalEndpoints 16,
);

pub const NDIS_NDK_LOCAL_ENDPOINTS_REVISION_1: u8 = 1;
