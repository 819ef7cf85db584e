//! Scalars, opaque types and the header common to NDIS structures.

use core::ffi::c_void;

use crate::layout;
use crate::nt::UNICODE_STRING;

/// A handle NDIS gave out, or a context given to NDIS (`NDIS_HANDLE`).
pub type NDIS_HANDLE = *mut c_void;
/// Status of an NDIS call (`NDIS_STATUS`), in the numbering of `NTSTATUS`.
pub type NDIS_STATUS = i32;
/// Text (`NDIS_STRING`).
pub type NDIS_STRING = UNICODE_STRING;
/// Object identifier of a request (`NDIS_OID`).
pub type NDIS_OID = u32;
/// Port of a miniport adapter (`NDIS_PORT_NUMBER`); 0 is the default port.
pub type NDIS_PORT_NUMBER = u32;
/// NIC switch (`NDIS_NIC_SWITCH_ID`); 0 is the default switch.
pub type NDIS_NIC_SWITCH_ID = u32;
/// Virtual port of a NIC switch (`NDIS_NIC_SWITCH_VPORT_ID`); 0 is the default port.
pub type NDIS_NIC_SWITCH_VPORT_ID = u32;

/// Interface index (`NET_IFINDEX`, `ifdef.h`); 0 is no interface. Used again after an interface has gone.
pub type NET_IFINDEX = u32;
/// Locally unique identifier of an interface (`NET_LUID`, `ifdef.h`), the same after a restart of the
/// machine.
///
/// Bits 24 to 47 number the interface within its type, bits 48 to 63 are the IANA type.
pub type NET_LUID = u64;

/// Chain of packets (`NET_BUFFER_LIST`, `nbl.h`); opaque, because this filter never sees one.
#[repr(C)]
#[derive(Debug)]
pub struct NET_BUFFER_LIST {
    opaque: [u8; 0],
}

/// Query or setting under way (`NDIS_OID_REQUEST`); opaque, because this filter never sees one.
#[repr(C)]
#[derive(Debug)]
pub struct NDIS_OID_REQUEST {
    opaque: [u8; 0],
}

/// Processors of receive side scaling (`NDIS_RSS_PROCESSOR_INFO`); opaque, only its address is passed on.
#[repr(C)]
#[derive(Debug)]
pub struct NDIS_RSS_PROCESSOR_INFO {
    opaque: [u8; 0],
}

/// First member of nearly every NDIS structure (`NDIS_OBJECT_HEADER`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NDIS_OBJECT_HEADER {
    /// One of the `NDIS_OBJECT_TYPE_*` values.
    pub Type: u8,
    /// Revision of the structure.
    pub Revision: u8,
    /// Bytes of that revision.
    pub Size: u16,
}

layout!(NDIS_OBJECT_HEADER: 4, 2; Type 0x0, Revision 0x1, Size 0x2);

pub const NDIS_OBJECT_TYPE_DEFAULT: u8 = 0x80;
pub const NDIS_OBJECT_TYPE_DEVICE_OBJECT_ATTRIBUTES: u8 = 0x85;
pub const NDIS_OBJECT_TYPE_FILTER_DRIVER_CHARACTERISTICS: u8 = 0x8B;
pub const NDIS_OBJECT_TYPE_FILTER_PARTIAL_CHARACTERISTICS: u8 = 0x8C;
pub const NDIS_OBJECT_TYPE_FILTER_ATTRIBUTES: u8 = 0x8D;
pub const NDIS_OBJECT_TYPE_STATUS_INDICATION: u8 = 0x98;
pub const NDIS_OBJECT_TYPE_FILTER_ATTACH_PARAMETERS: u8 = 0x99;
pub const NDIS_OBJECT_TYPE_FILTER_PAUSE_PARAMETERS: u8 = 0x9A;
pub const NDIS_OBJECT_TYPE_FILTER_RESTART_PARAMETERS: u8 = 0x9B;
pub const NDIS_OBJECT_TYPE_RESTART_GENERAL_ATTRIBUTES: u8 = 0xA2;
pub const NDIS_OBJECT_TYPE_CONFIGURATION_OBJECT: u8 = 0xA9;
pub const NDIS_OBJECT_TYPE_NDK_PROVIDER_CHARACTERISTICS: u8 = 0xB2;
pub const NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_NDK_ATTRIBUTES: u8 = 0xB3;
