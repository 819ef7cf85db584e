//! Media, link and interface states (`ntddndis.h`, `ifdef.h`).

use bitflags::bitflags;

use super::NDIS_OBJECT_HEADER;
use crate::layout;

/// Medium a miniport presents (`NDIS_MEDIUM`); only the values a filter over NICs can meet.
pub type NDIS_MEDIUM = i32;

pub const NdisMedium802_3: NDIS_MEDIUM = 0;
pub const NdisMediumWan: NDIS_MEDIUM = 3;
pub const NdisMediumWirelessWan: NDIS_MEDIUM = 9;
pub const NdisMediumInfiniBand: NDIS_MEDIUM = 14;
pub const NdisMediumTunnel: NDIS_MEDIUM = 15;
pub const NdisMediumNative802_11: NDIS_MEDIUM = 16;
pub const NdisMediumLoopback: NDIS_MEDIUM = 17;
pub const NdisMediumWiMAX: NDIS_MEDIUM = 18;
pub const NdisMediumIP: NDIS_MEDIUM = 19;

/// Medium behind the one presented (`NDIS_PHYSICAL_MEDIUM`); only the values a filter over NICs can meet.
pub type NDIS_PHYSICAL_MEDIUM = i32;

pub const NdisPhysicalMediumUnspecified: NDIS_PHYSICAL_MEDIUM = 0;
pub const NdisPhysicalMediumNative802_11: NDIS_PHYSICAL_MEDIUM = 9;
pub const NdisPhysicalMediumInfiniband: NDIS_PHYSICAL_MEDIUM = 11;
pub const NdisPhysicalMedium802_3: NDIS_PHYSICAL_MEDIUM = 14;
pub const NdisPhysicalMediumOther: NDIS_PHYSICAL_MEDIUM = 19;

/// Whether a cable or its like is connected (`NET_IF_MEDIA_CONNECT_STATE`).
pub type NET_IF_MEDIA_CONNECT_STATE = i32;

/// Also what a NIC in low power reports.
pub const MediaConnectStateUnknown: NET_IF_MEDIA_CONNECT_STATE = 0;
pub const MediaConnectStateConnected: NET_IF_MEDIA_CONNECT_STATE = 1;
pub const MediaConnectStateDisconnected: NET_IF_MEDIA_CONNECT_STATE = 2;

/// Duplex of a link (`NET_IF_MEDIA_DUPLEX_STATE`).
pub type NET_IF_MEDIA_DUPLEX_STATE = i32;

pub const MediaDuplexStateUnknown: NET_IF_MEDIA_DUPLEX_STATE = 0;
pub const MediaDuplexStateHalf: NET_IF_MEDIA_DUPLEX_STATE = 1;
pub const MediaDuplexStateFull: NET_IF_MEDIA_DUPLEX_STATE = 2;

/// Operational state of an interface, the values of RFC 2863 `ifOperStatus` (`NET_IF_OPER_STATUS`).
pub type NET_IF_OPER_STATUS = i32;

pub const NET_IF_OPER_STATUS_UP: NET_IF_OPER_STATUS = 1;
pub const NET_IF_OPER_STATUS_DOWN: NET_IF_OPER_STATUS = 2;
pub const NET_IF_OPER_STATUS_TESTING: NET_IF_OPER_STATUS = 3;
pub const NET_IF_OPER_STATUS_UNKNOWN: NET_IF_OPER_STATUS = 4;
pub const NET_IF_OPER_STATUS_DORMANT: NET_IF_OPER_STATUS = 5;
pub const NET_IF_OPER_STATUS_NOT_PRESENT: NET_IF_OPER_STATUS = 6;
pub const NET_IF_OPER_STATUS_LOWER_LAYER_DOWN: NET_IF_OPER_STATUS = 7;

/// Link speed nobody knows, in [`NDIS_LINK_STATE`] and the attach parameters (`NDIS_LINK_SPEED_UNKNOWN`).
pub const NDIS_LINK_SPEED_UNKNOWN: u64 = u64::MAX;

/// Flow control in use (`NDIS_SUPPORTED_PAUSE_FUNCTIONS`).
pub type NDIS_SUPPORTED_PAUSE_FUNCTIONS = i32;

pub const NdisPauseFunctionsUnsupported: NDIS_SUPPORTED_PAUSE_FUNCTIONS = 0;
pub const NdisPauseFunctionsSendOnly: NDIS_SUPPORTED_PAUSE_FUNCTIONS = 1;
pub const NdisPauseFunctionsReceiveOnly: NDIS_SUPPORTED_PAUSE_FUNCTIONS = 2;
pub const NdisPauseFunctionsSendAndReceive: NDIS_SUPPORTED_PAUSE_FUNCTIONS = 3;
pub const NdisPauseFunctionsUnknown: NDIS_SUPPORTED_PAUSE_FUNCTIONS = 4;

pub const NDIS_LINK_STATE_XMIT_LINK_SPEED_AUTO_NEGOTIATED: u32 = 0x0000_0001;
pub const NDIS_LINK_STATE_RCV_LINK_SPEED_AUTO_NEGOTIATED: u32 = 0x0000_0002;
pub const NDIS_LINK_STATE_DUPLEX_AUTO_NEGOTIATED: u32 = 0x0000_0004;
pub const NDIS_LINK_STATE_PAUSE_FUNCTIONS_AUTO_NEGOTIATED: u32 = 0x0000_0008;

bitflags! {
    /// `NDIS_LINK_STATE_*` in [`NDIS_LINK_STATE::AutoNegotiationFlags`]: what was negotiated, not configured.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct NDIS_LINK_STATE_FLAGS: u32 {
        const XMIT_LINK_SPEED_AUTO_NEGOTIATED = NDIS_LINK_STATE_XMIT_LINK_SPEED_AUTO_NEGOTIATED;
        const RCV_LINK_SPEED_AUTO_NEGOTIATED = NDIS_LINK_STATE_RCV_LINK_SPEED_AUTO_NEGOTIATED;
        const DUPLEX_AUTO_NEGOTIATED = NDIS_LINK_STATE_DUPLEX_AUTO_NEGOTIATED;
        const PAUSE_FUNCTIONS_AUTO_NEGOTIATED = NDIS_LINK_STATE_PAUSE_FUNCTIONS_AUTO_NEGOTIATED;
    }
}

/// Buffer of [`NDIS_STATUS_LINK_STATE`](super::NDIS_STATUS_LINK_STATE) (`NDIS_LINK_STATE`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NDIS_LINK_STATE {
    pub Header: NDIS_OBJECT_HEADER,
    pub MediaConnectState: NET_IF_MEDIA_CONNECT_STATE,
    pub MediaDuplexState: NET_IF_MEDIA_DUPLEX_STATE,
    /// Bits per second, or [`NDIS_LINK_SPEED_UNKNOWN`].
    pub XmitLinkSpeed: u64,
    /// Bits per second, or [`NDIS_LINK_SPEED_UNKNOWN`].
    pub RcvLinkSpeed: u64,
    pub PauseFunctions: NDIS_SUPPORTED_PAUSE_FUNCTIONS,
    /// [`NDIS_LINK_STATE_FLAGS`] bits.
    pub AutoNegotiationFlags: u32,
}

layout!(NDIS_LINK_STATE: 0x28, 8;
    Header 0x0, MediaConnectState 0x4, MediaDuplexState 0x8, XmitLinkSpeed 0x10, RcvLinkSpeed 0x18,
    PauseFunctions 0x20, AutoNegotiationFlags 0x24,
);

pub const NDIS_LINK_STATE_REVISION_1: u8 = 1;
pub const NDIS_SIZEOF_LINK_STATE_REVISION_1: u16 = 0x28;

/// Buffer of [`NDIS_STATUS_OPER_STATUS`](super::NDIS_STATUS_OPER_STATUS) (`NDIS_OPER_STATE`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NDIS_OPER_STATE {
    pub Header: NDIS_OBJECT_HEADER,
    pub OperationalStatus: NET_IF_OPER_STATUS,
    /// Why it is down or dormant (`NET_IF_OPER_STATUS_DOWN_*`, `NET_IF_OPER_STATUS_DORMANT_*`).
    pub OperationalStatusFlags: u32,
}

layout!(NDIS_OPER_STATE: 0xC, 4; Header 0x0, OperationalStatus 0x4, OperationalStatusFlags 0x8);

pub const NDIS_OPER_STATE_REVISION_1: u8 = 1;
pub const NDIS_SIZEOF_OPER_STATE_REVISION_1: u16 = 0xC;
