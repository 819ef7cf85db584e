//! What NDIS tells a filter module when it attaches, restarts and pauses it (`ndis.h`).

use core::ffi::c_void;

use bitflags::bitflags;

use super::{
    NDIS_MEDIUM, NDIS_OBJECT_HEADER, NDIS_OID, NDIS_PHYSICAL_MEDIUM, NDIS_STRING, NET_IF_MEDIA_CONNECT_STATE,
    NET_IF_MEDIA_DUPLEX_STATE, NET_IFINDEX, NET_LUID,
};
use crate::layout;
use crate::nt::{BOOLEAN, DEVICE_OBJECT};

/// Bytes of `CurrentMacAddress` (`NDIS_MAX_PHYS_ADDRESS_LENGTH`, `ntddndis.h`).
pub const NDIS_MAX_PHYS_ADDRESS_LENGTH: usize = 32;

/// In [`NDIS_FILTER_ATTACH_PARAMETERS::Flags`]: set by a mandatory filter that fails an attach but lets the
/// stack start without it.
pub const NDIS_FILTER_ATTACH_FLAGS_IGNORE_MANDATORY: u32 = 0x0000_0001;

/// The NIC a filter module is attached to (`NDIS_FILTER_ATTACH_PARAMETERS`).
///
/// Belongs to NDIS with all its strings, valid during the attach call. The NIC as WSK, IP and NDK know it is
/// `BaseMiniportIfIndex` and `BaseMiniportNetLuid`; `IfIndex` and `NetLuid` are those of the filter module
/// itself.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NDIS_FILTER_ATTACH_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    /// Interface index of the filter module.
    pub IfIndex: NET_IFINDEX,
    /// LUID of the filter module.
    pub NetLuid: NET_LUID,
    pub FilterModuleGuidName: *mut NDIS_STRING,
    /// Interface index of the NIC.
    pub BaseMiniportIfIndex: NET_IFINDEX,
    /// Friendly name of the NIC.
    pub BaseMiniportInstanceName: *mut NDIS_STRING,
    /// Device name of the NIC.
    pub BaseMiniportName: *mut NDIS_STRING,
    pub MediaConnectState: NET_IF_MEDIA_CONNECT_STATE,
    pub MediaDuplexState: NET_IF_MEDIA_DUPLEX_STATE,
    /// Bits per second, or [`NDIS_LINK_SPEED_UNKNOWN`](super::NDIS_LINK_SPEED_UNKNOWN).
    pub XmitLinkSpeed: u64,
    /// Bits per second, or [`NDIS_LINK_SPEED_UNKNOWN`](super::NDIS_LINK_SPEED_UNKNOWN).
    pub RcvLinkSpeed: u64,
    pub MiniportMediaType: NDIS_MEDIUM,
    pub MiniportPhysicalMediaType: NDIS_PHYSICAL_MEDIUM,
    pub MiniportMediaSpecificAttributes: *mut c_void,
    /// `NDIS_OFFLOAD`; may be null.
    pub DefaultOffloadConfiguration: *mut c_void,
    /// Bytes of `CurrentMacAddress` in use.
    pub MacAddressLength: u16,
    pub CurrentMacAddress: [u8; NDIS_MAX_PHYS_ADDRESS_LENGTH],
    /// LUID of the NIC.
    pub BaseMiniportNetLuid: NET_LUID,
    /// Next lower interface of the stack: another filter module, or the NIC.
    pub LowerIfIndex: NET_IFINDEX,
    pub LowerIfNetLuid: NET_LUID,
    /// `NDIS_FILTER_ATTACH_FLAGS_*`, in and out.
    pub Flags: u32,
    /// `NDIS_HD_SPLIT_CURRENT_CONFIG`. Revision 2 (NDIS 6.1).
    pub HDSplitCurrentConfig: *mut c_void,
    /// `NDIS_RECEIVE_FILTER_CAPABILITIES`. Revision 3 (NDIS 6.20).
    pub ReceiveFilterCapabilities: *mut c_void,
    /// Physical device object of the NIC. Revision 3.
    pub MiniportPhysicalDeviceObject: *mut DEVICE_OBJECT,
    /// `NDIS_NIC_SWITCH_CAPABILITIES`. Revision 3.
    pub NicSwitchCapabilities: *mut c_void,
    /// Whether there is a real connector, so hardware. Revision 4 (NDIS 6.30).
    pub BaseMiniportIfConnectorPresent: BOOLEAN,
    /// `NDIS_SRIOV_CAPABILITIES`. Revision 4.
    pub SriovCapabilities: *mut c_void,
    /// `NDIS_NIC_SWITCH_INFO_ARRAY`. Revision 4.
    pub NicSwitchArray: *mut c_void,
}

layout!(NDIS_FILTER_ATTACH_PARAMETERS: 0xE0, 8;
    Header 0x00, IfIndex 0x04, NetLuid 0x08, FilterModuleGuidName 0x10, BaseMiniportIfIndex 0x18,
    BaseMiniportInstanceName 0x20, BaseMiniportName 0x28, MediaConnectState 0x30, MediaDuplexState 0x34,
    XmitLinkSpeed 0x38, RcvLinkSpeed 0x40, MiniportMediaType 0x48, MiniportPhysicalMediaType 0x4C,
    MiniportMediaSpecificAttributes 0x50, DefaultOffloadConfiguration 0x58, MacAddressLength 0x60,
    CurrentMacAddress 0x62, BaseMiniportNetLuid 0x88, LowerIfIndex 0x90, LowerIfNetLuid 0x98, Flags 0xA0,
    HDSplitCurrentConfig 0xA8, ReceiveFilterCapabilities 0xB0, MiniportPhysicalDeviceObject 0xB8,
    NicSwitchCapabilities 0xC0, BaseMiniportIfConnectorPresent 0xC8, SriovCapabilities 0xD0,
    NicSwitchArray 0xD8,
);

pub const NDIS_FILTER_ATTACH_PARAMETERS_REVISION_1: u8 = 1;
pub const NDIS_FILTER_ATTACH_PARAMETERS_REVISION_2: u8 = 2;
pub const NDIS_FILTER_ATTACH_PARAMETERS_REVISION_3: u8 = 3;
pub const NDIS_FILTER_ATTACH_PARAMETERS_REVISION_4: u8 = 4;
pub const NDIS_SIZEOF_FILTER_ATTACH_PARAMETERS_REVISION_1: u16 = 0xA4;
pub const NDIS_SIZEOF_FILTER_ATTACH_PARAMETERS_REVISION_2: u16 = 0xB0;
pub const NDIS_SIZEOF_FILTER_ATTACH_PARAMETERS_REVISION_3: u16 = 0xC8;
pub const NDIS_SIZEOF_FILTER_ATTACH_PARAMETERS_REVISION_4: u16 = 0xE0;

/// What a filter gives `NdisFSetAttributes` in its attach handler (`NDIS_FILTER_ATTRIBUTES`). NDIS copies it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NDIS_FILTER_ATTRIBUTES {
    pub Header: NDIS_OBJECT_HEADER,
    /// 0.
    pub Flags: u32,
}

layout!(NDIS_FILTER_ATTRIBUTES: 8, 4; Header 0x0, Flags 0x4);

pub const NDIS_FILTER_ATTRIBUTES_REVISION_1: u8 = 1;
pub const NDIS_SIZEOF_FILTER_ATTRIBUTES_REVISION_1: u16 = 8;

/// What a restart handler receives (`NDIS_FILTER_RESTART_PARAMETERS`). Belongs to NDIS, valid during the
/// call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NDIS_FILTER_RESTART_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub MiniportMediaType: NDIS_MEDIUM,
    pub MiniportPhysicalMediaType: NDIS_PHYSICAL_MEDIUM,
    /// What the layers below offer; may be null.
    pub RestartAttributes: *mut NDIS_RESTART_ATTRIBUTES,
    pub LowerIfIndex: NET_IFINDEX,
    pub LowerIfNetLuid: NET_LUID,
    pub Flags: u32,
}

layout!(NDIS_FILTER_RESTART_PARAMETERS: 0x30, 8;
    Header 0x00, MiniportMediaType 0x04, MiniportPhysicalMediaType 0x08, RestartAttributes 0x10,
    LowerIfIndex 0x18, LowerIfNetLuid 0x20, Flags 0x28,
);

pub const NDIS_FILTER_RESTART_PARAMETERS_REVISION_1: u8 = 1;
pub const NDIS_SIZEOF_FILTER_RESTART_PARAMETERS_REVISION_1: u16 = 0x2C;

/// `Oid` of the node whose data is an [`NDIS_RESTART_GENERAL_ATTRIBUTES`]; the first of the list.
pub const OID_GEN_MINIPORT_RESTART_ATTRIBUTES: NDIS_OID = 0x0001_021D;

/// Node of the list of restart attributes (`NDIS_RESTART_ATTRIBUTES`).
#[repr(C, align(16))]
#[derive(Debug, Clone, Copy)]
pub struct NDIS_RESTART_ATTRIBUTES {
    /// Null at the end.
    pub Next: *mut NDIS_RESTART_ATTRIBUTES,
    /// What `Data` holds.
    pub Oid: NDIS_OID,
    /// Bytes of `Data`.
    pub DataLength: u32,
    /// Variable length; the declared 1 stands for `DataLength`. Aligned to 16 bytes.
    pub Data: [u8; 1],
}

layout!(NDIS_RESTART_ATTRIBUTES: 0x20, 16; Next 0x0, Oid 0x8, DataLength 0xC, Data 0x10);

/// Direction a packet may take (`NET_IF_ACCESS_TYPE`, `ifdef.h`).
pub type NET_IF_ACCESS_TYPE = i32;
/// How an interface connects (`NET_IF_CONNECTION_TYPE`, `ifdef.h`).
pub type NET_IF_CONNECTION_TYPE = i32;

/// General attributes of the layers below (`NDIS_RESTART_GENERAL_ATTRIBUTES`); the cheapest source of the
/// MTU.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NDIS_RESTART_GENERAL_ATTRIBUTES {
    pub Header: NDIS_OBJECT_HEADER,
    /// Bytes.
    pub MtuSize: u32,
    /// Bits per second.
    pub MaxXmitLinkSpeed: u64,
    /// Bits per second.
    pub MaxRcvLinkSpeed: u64,
    /// Bytes.
    pub LookaheadSize: u32,
    pub MacOptions: u32,
    pub SupportedPacketFilters: u32,
    /// Addresses.
    pub MaxMulticastListSize: u32,
    /// `NDIS_RECEIVE_SCALE_CAPABILITIES`; may be null.
    pub RecvScaleCapabilities: *mut c_void,
    pub AccessType: NET_IF_ACCESS_TYPE,
    pub Flags: u32,
    pub ConnectionType: NET_IF_CONNECTION_TYPE,
    pub SupportedStatistics: u32,
    /// Bytes.
    pub DataBackFillSize: u32,
    /// Bytes.
    pub ContextBackFillSize: u32,
    pub SupportedOidList: *mut NDIS_OID,
    /// Bytes at `SupportedOidList`.
    pub SupportedOidListLength: u32,
    /// Bytes. Revision 2 (NDIS 6.20).
    pub MaxLookaheadSizeAccessed: u32,
}

layout!(NDIS_RESTART_GENERAL_ATTRIBUTES: 0x58, 8;
    Header 0x00, MtuSize 0x04, MaxXmitLinkSpeed 0x08, MaxRcvLinkSpeed 0x10, LookaheadSize 0x18,
    MacOptions 0x1C, SupportedPacketFilters 0x20, MaxMulticastListSize 0x24, RecvScaleCapabilities 0x28,
    AccessType 0x30, Flags 0x34, ConnectionType 0x38, SupportedStatistics 0x3C, DataBackFillSize 0x40,
    ContextBackFillSize 0x44, SupportedOidList 0x48, SupportedOidListLength 0x50,
    MaxLookaheadSizeAccessed 0x54,
);

pub const NDIS_RESTART_GENERAL_ATTRIBUTES_REVISION_1: u8 = 1;
pub const NDIS_RESTART_GENERAL_ATTRIBUTES_REVISION_2: u8 = 2;
pub const NDIS_SIZEOF_RESTART_GENERAL_ATTRIBUTES_REVISION_1: u16 = 0x54;
pub const NDIS_SIZEOF_RESTART_GENERAL_ATTRIBUTES_REVISION_2: u16 = 0x58;

pub const NDIS_PAUSE_NDIS_INTERNAL: u32 = 0x0000_0001;
pub const NDIS_PAUSE_LOW_POWER: u32 = 0x0000_0002;
pub const NDIS_PAUSE_BIND_PROTOCOL: u32 = 0x0000_0004;
pub const NDIS_PAUSE_UNBIND_PROTOCOL: u32 = 0x0000_0008;
pub const NDIS_PAUSE_ATTACH_FILTER: u32 = 0x0000_0010;
pub const NDIS_PAUSE_DETACH_FILTER: u32 = 0x0000_0020;
pub const NDIS_PAUSE_FILTER_RESTART_STACK: u32 = 0x0000_0040;
pub const NDIS_PAUSE_MINIPORT_DEVICE_REMOVE: u32 = 0x0000_0080;

bitflags! {
    /// `NDIS_PAUSE_*` in [`NDIS_FILTER_PAUSE_PARAMETERS::PauseReason`]. From NDIS 6.40 on always
    /// `NDIS_INTERNAL`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct NDIS_PAUSE: u32 {
        const NDIS_INTERNAL = NDIS_PAUSE_NDIS_INTERNAL;
        const LOW_POWER = NDIS_PAUSE_LOW_POWER;
        const BIND_PROTOCOL = NDIS_PAUSE_BIND_PROTOCOL;
        const UNBIND_PROTOCOL = NDIS_PAUSE_UNBIND_PROTOCOL;
        const ATTACH_FILTER = NDIS_PAUSE_ATTACH_FILTER;
        const DETACH_FILTER = NDIS_PAUSE_DETACH_FILTER;
        const FILTER_RESTART_STACK = NDIS_PAUSE_FILTER_RESTART_STACK;
        const MINIPORT_DEVICE_REMOVE = NDIS_PAUSE_MINIPORT_DEVICE_REMOVE;
    }
}

/// What a pause handler receives (`NDIS_FILTER_PAUSE_PARAMETERS`). Belongs to NDIS, valid during the call.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NDIS_FILTER_PAUSE_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    /// [`NDIS_PAUSE`] bits.
    pub PauseReason: u32,
}

layout!(NDIS_FILTER_PAUSE_PARAMETERS: 0xC, 4; Header 0x0, Flags 0x4, PauseReason 0x8);

pub const NDIS_FILTER_PAUSE_PARAMETERS_REVISION_1: u8 = 1;
pub const NDIS_SIZEOF_FILTER_PAUSE_PARAMETERS_REVISION_1: u16 = 0xC;
