//! A control device made through NDIS (`ndis.h`).
//!
//! A KMDF driver makes its device through the framework; this is the way without one. It exists only while the
//! filter driver is registered.

use super::{NDIS_HANDLE, NDIS_OBJECT_HEADER, NDIS_STATUS, NDIS_STRING};
use crate::layout;
use crate::nt::{DEVICE_OBJECT, GUID, PDRIVER_DISPATCH};

/// What `NdisRegisterDeviceEx` makes (`NDIS_DEVICE_OBJECT_ATTRIBUTES`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NDIS_DEVICE_OBJECT_ATTRIBUTES {
    pub Header: NDIS_OBJECT_HEADER,
    pub DeviceName: *mut NDIS_STRING,
    pub SymbolicName: *mut NDIS_STRING,
    /// Table of `IRP_MJ_MAXIMUM_FUNCTION + 1` dispatch routines.
    pub MajorFunctions: *mut Option<PDRIVER_DISPATCH>,
    /// Bytes of the driver's own memory with the device, found by `NdisGetDeviceReservedExtension`.
    pub ExtensionSize: u32,
    /// Security descriptor as text; may be null.
    pub DefaultSDDLString: *const NDIS_STRING,
    /// May be null.
    pub DeviceClassGuid: *const GUID,
}

layout!(NDIS_DEVICE_OBJECT_ATTRIBUTES: 0x38, 8;
    Header 0x00, DeviceName 0x08, SymbolicName 0x10, MajorFunctions 0x18, ExtensionSize 0x20,
    DefaultSDDLString 0x28, DeviceClassGuid 0x30,
);

pub const NDIS_DEVICE_OBJECT_ATTRIBUTES_REVISION_1: u8 = 1;
pub const NDIS_SIZEOF_DEVICE_OBJECT_ATTRIBUTES_REVISION_1: u16 = 0x38;

/// `NdisRegisterDeviceEx`. `PASSIVE_LEVEL`. `NdisObjectHandle` is that of the filter driver.
pub type PFN_NDIS_REGISTER_DEVICE_EX = unsafe extern "system" fn(
    NdisObjectHandle: NDIS_HANDLE,
    DeviceObjectAttributes: *const NDIS_DEVICE_OBJECT_ATTRIBUTES,
    pDeviceObject: *mut *mut DEVICE_OBJECT,
    NdisDeviceHandle: *mut NDIS_HANDLE,
) -> NDIS_STATUS;

/// `NdisDeregisterDeviceEx`. `PASSIVE_LEVEL`, before the filter driver is deregistered.
pub type PFN_NDIS_DEREGISTER_DEVICE_EX = unsafe extern "system" fn(NdisDeviceHandle: NDIS_HANDLE);

/// `NdisGetDeviceReservedExtension`. Any IRQL.
pub type PFN_NDIS_GET_DEVICE_RESERVED_EXTENSION =
    unsafe extern "system" fn(DeviceObject: *mut DEVICE_OBJECT) -> *mut core::ffi::c_void;
