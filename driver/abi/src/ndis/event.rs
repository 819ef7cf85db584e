//! Plug and Play events: `NET_PNP_EVENT` goes up the stack, `NET_DEVICE_PNP_EVENT` goes down (`ndis.h`,
//! `netpnp.h`).

use core::ffi::c_void;

use bitflags::bitflags;

use super::{NDIS_NIC_SWITCH_ID, NDIS_NIC_SWITCH_VPORT_ID, NDIS_OBJECT_HEADER, NDIS_PORT_NUMBER, NET_LUID};
use crate::layout;

/// Kind of a network Plug and Play event (`NET_PNP_EVENT_CODE`).
pub type NET_PNP_EVENT_CODE = i32;

/// The buffer is an [`NDIS_DEVICE_POWER_STATE`]: the NIC goes to that state.
pub const NetEventSetPower: NET_PNP_EVENT_CODE = 0;
/// The buffer is an [`NDIS_DEVICE_POWER_STATE`]; the answer counts.
pub const NetEventQueryPower: NET_PNP_EVENT_CODE = 1;
/// The answer counts: a failure vetoes the removal.
pub const NetEventQueryRemoveDevice: NET_PNP_EVENT_CODE = 2;
pub const NetEventCancelRemoveDevice: NET_PNP_EVENT_CODE = 3;
pub const NetEventReconfigure: NET_PNP_EVENT_CODE = 4;
pub const NetEventBindList: NET_PNP_EVENT_CODE = 5;
pub const NetEventBindsComplete: NET_PNP_EVENT_CODE = 6;
pub const NetEventPnPCapabilities: NET_PNP_EVENT_CODE = 7;
pub const NetEventPause: NET_PNP_EVENT_CODE = 8;
pub const NetEventRestart: NET_PNP_EVENT_CODE = 9;
pub const NetEventPortActivation: NET_PNP_EVENT_CODE = 10;
pub const NetEventPortDeactivation: NET_PNP_EVENT_CODE = 11;
pub const NetEventIMReEnableDevice: NET_PNP_EVENT_CODE = 12;
/// NDK adapters of this NIC may be opened again.
pub const NetEventNDKEnable: NET_PNP_EVENT_CODE = 13;
/// Every NDK adapter open over this NIC must be closed; the event stays pending until that is done.
pub const NetEventNDKDisable: NET_PNP_EVENT_CODE = 14;
/// This filter module is about to be detached; does not come on every path to a detach.
pub const NetEventFilterPreDetach: NET_PNP_EVENT_CODE = 15;
/// The buffer is an [`NDIS_BIND_FAILED_NOTIFICATION`].
pub const NetEventBindFailed: NET_PNP_EVENT_CODE = 16;
pub const NetEventSwitchActivate: NET_PNP_EVENT_CODE = 17;
pub const NetEventAllowBindsAbove: NET_PNP_EVENT_CODE = 18;
pub const NetEventInhibitBindsAbove: NET_PNP_EVENT_CODE = 19;
pub const NetEventAllowStart: NET_PNP_EVENT_CODE = 20;
pub const NetEventRequirePause: NET_PNP_EVENT_CODE = 21;
pub const NetEventUploadGftFlowEntries: NET_PNP_EVENT_CODE = 22;

/// Power state of a NIC (`NDIS_DEVICE_POWER_STATE`); everything but D0 is a lower one.
pub type NDIS_DEVICE_POWER_STATE = i32;

pub const NdisDeviceStateUnspecified: NDIS_DEVICE_POWER_STATE = 0;
pub const NdisDeviceStateD0: NDIS_DEVICE_POWER_STATE = 1;
pub const NdisDeviceStateD1: NDIS_DEVICE_POWER_STATE = 2;
pub const NdisDeviceStateD2: NDIS_DEVICE_POWER_STATE = 3;
pub const NdisDeviceStateD3: NDIS_DEVICE_POWER_STATE = 4;

/// A network Plug and Play event (`NET_PNP_EVENT`, `netpnp.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NET_PNP_EVENT {
    /// One of the `NetEvent*` values.
    pub NetEvent: NET_PNP_EVENT_CODE,
    /// What the code defines; null for the NDK events.
    pub Buffer: *mut c_void,
    /// Bytes at `Buffer`.
    pub BufferLength: u32,
    pub NdisReserved: [usize; 4],
    pub TransportReserved: [usize; 4],
    pub TdiReserved: [usize; 4],
    pub TdiClientReserved: [usize; 4],
}

layout!(NET_PNP_EVENT: 0x98, 8;
    NetEvent 0x00, Buffer 0x08, BufferLength 0x10, NdisReserved 0x18, TransportReserved 0x38,
    TdiReserved 0x58, TdiClientReserved 0x78,
);

pub const NET_EVENT_HALT_MINIPORT_ON_LOW_POWER: u32 = 0x0000_0001;
pub const NET_EVENT_FLAGS_VPORT_ID_VALID: u32 = 0x0000_0002;

bitflags! {
    /// `NET_EVENT_*` in [`NET_PNP_EVENT_NOTIFICATION::Flags`].
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct NET_EVENT_FLAGS: u32 {
        const HALT_MINIPORT_ON_LOW_POWER = NET_EVENT_HALT_MINIPORT_ON_LOW_POWER;
        /// `SwitchId` and `VPortId` tell which virtual port is meant.
        const VPORT_ID_VALID = NET_EVENT_FLAGS_VPORT_ID_VALID;
    }
}

/// What a NetPnP handler receives and passes up unchanged (`NET_PNP_EVENT_NOTIFICATION`).
///
/// Belongs to the caller, valid during the call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NET_PNP_EVENT_NOTIFICATION {
    pub Header: NDIS_OBJECT_HEADER,
    pub PortNumber: NDIS_PORT_NUMBER,
    pub NetPnPEvent: NET_PNP_EVENT,
    /// [`NET_EVENT_FLAGS`] bits.
    pub Flags: u32,
    /// Revision 2 (NDIS 6.50).
    pub SwitchId: NDIS_NIC_SWITCH_ID,
    /// Revision 2 (NDIS 6.50).
    pub VPortId: NDIS_NIC_SWITCH_VPORT_ID,
}

layout!(NET_PNP_EVENT_NOTIFICATION: 0xB0, 8;
    Header 0x00, PortNumber 0x04, NetPnPEvent 0x08, Flags 0xA0, SwitchId 0xA4, VPortId 0xA8,
);

pub const NET_PNP_EVENT_NOTIFICATION_REVISION_1: u8 = 1;
pub const NET_PNP_EVENT_NOTIFICATION_REVISION_2: u8 = 2;
pub const NDIS_SIZEOF_NET_PNP_EVENT_NOTIFICATION_REVISION_1: u16 = 0xA4;
pub const NDIS_SIZEOF_NET_PNP_EVENT_NOTIFICATION_REVISION_2: u16 = 0xAC;

/// Buffer of [`NetEventBindFailed`] (`NDIS_BIND_FAILED_NOTIFICATION`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NDIS_BIND_FAILED_NOTIFICATION {
    pub Header: NDIS_OBJECT_HEADER,
    /// Interface on which the binding failed.
    pub NetLuid: NET_LUID,
}

layout!(NDIS_BIND_FAILED_NOTIFICATION: 0x10, 8; Header 0x0, NetLuid 0x8);

pub const NDIS_BIND_FAILED_NOTIFICATION_REVISION_1: u8 = 1;
pub const NDIS_SIZEOF_NDIS_BIND_FAILED_NOTIFICATION_REVISION_1: u16 = 0x10;

/// Kind of a device Plug and Play event (`NDIS_DEVICE_PNP_EVENT`).
pub type NDIS_DEVICE_PNP_EVENT = i32;

pub const NdisDevicePnPEventQueryRemoved: NDIS_DEVICE_PNP_EVENT = 0;
pub const NdisDevicePnPEventRemoved: NDIS_DEVICE_PNP_EVENT = 1;
/// The hardware is gone: stop all work towards it.
pub const NdisDevicePnPEventSurpriseRemoved: NDIS_DEVICE_PNP_EVENT = 2;
pub const NdisDevicePnPEventQueryStopped: NDIS_DEVICE_PNP_EVENT = 3;
pub const NdisDevicePnPEventStopped: NDIS_DEVICE_PNP_EVENT = 4;
/// The buffer is a `u32`: 0 battery, 1 mains.
pub const NdisDevicePnPEventPowerProfileChanged: NDIS_DEVICE_PNP_EVENT = 5;
/// The filter modules over the miniport have changed.
pub const NdisDevicePnPEventFilterListChanged: NDIS_DEVICE_PNP_EVENT = 6;

/// What a device Plug and Play handler receives and passes down unchanged (`NET_DEVICE_PNP_EVENT`).
///
/// Belongs to the caller, valid during the call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NET_DEVICE_PNP_EVENT {
    pub Header: NDIS_OBJECT_HEADER,
    pub PortNumber: NDIS_PORT_NUMBER,
    /// One of the `NdisDevicePnPEvent*` values.
    pub DevicePnPEvent: NDIS_DEVICE_PNP_EVENT,
    /// What the code defines; may be null.
    pub InformationBuffer: *mut c_void,
    /// Bytes at `InformationBuffer`.
    pub InformationBufferLength: u32,
    pub NdisReserved: [u8; 16],
}

layout!(NET_DEVICE_PNP_EVENT: 0x30, 8;
    Header 0x00, PortNumber 0x04, DevicePnPEvent 0x08, InformationBuffer 0x10, InformationBufferLength 0x18,
    NdisReserved 0x1C,
);

pub const NET_DEVICE_PNP_EVENT_REVISION_1: u8 = 1;
pub const NDIS_SIZEOF_NET_DEVICE_PNP_EVENT_REVISION_1: u16 = 0x2C;
