//! Status indications, which travel up the stack (`ndis.h`).

use core::ffi::c_void;

use super::{NDIS_HANDLE, NDIS_OBJECT_HEADER, NDIS_PORT_NUMBER, NDIS_STATUS};
use crate::layout;
use crate::nt::GUID;

/// What a status handler receives and passes up unchanged (`NDIS_STATUS_INDICATION`).
///
/// Belongs to the caller, valid during the call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NDIS_STATUS_INDICATION {
    pub Header: NDIS_OBJECT_HEADER,
    /// Who made the indication.
    pub SourceHandle: NDIS_HANDLE,
    pub PortNumber: NDIS_PORT_NUMBER,
    /// One of the `NDIS_STATUS_*` indication codes.
    pub StatusCode: NDIS_STATUS,
    pub Flags: u32,
    pub DestinationHandle: NDIS_HANDLE,
    pub RequestId: *mut c_void,
    /// What the code defines; may be null.
    pub StatusBuffer: *mut c_void,
    /// Bytes at `StatusBuffer`.
    pub StatusBufferSize: u32,
    pub Guid: GUID,
    pub NdisReserved: [*mut c_void; 4],
}

layout!(NDIS_STATUS_INDICATION: 0x70, 8;
    Header 0x00, SourceHandle 0x08, PortNumber 0x10, StatusCode 0x14, Flags 0x18, DestinationHandle 0x20,
    RequestId 0x28, StatusBuffer 0x30, StatusBufferSize 0x38, Guid 0x3C, NdisReserved 0x50,
);

pub const NDIS_STATUS_INDICATION_REVISION_1: u8 = 1;
pub const NDIS_SIZEOF_STATUS_INDICATION_REVISION_1: u16 = 0x70;
