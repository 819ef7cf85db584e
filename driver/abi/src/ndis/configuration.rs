//! Registry parameters through NDIS (`ndis.h`), and the keywords of NDK in the INF (`ndisndk.h`).

use core::ffi::c_void;

use super::{NDIS_HANDLE, NDIS_OBJECT_HEADER, NDIS_STATUS, NDIS_STRING};
use crate::layout;

/// In [`NDIS_CONFIGURATION_OBJECT::Flags`]: parameters of one instance; only for monitoring filters, which
/// may have several on a NIC.
pub const NDIS_CONFIG_FLAG_FILTER_INSTANCE_CONFIGURATION: u32 = 0x0000_0001;

/// What `NdisOpenConfigurationEx` opens (`NDIS_CONFIGURATION_OBJECT`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NDIS_CONFIGURATION_OBJECT {
    pub Header: NDIS_OBJECT_HEADER,
    /// Handle of the filter driver for its own parameters, of a module for those on that NIC.
    pub NdisHandle: NDIS_HANDLE,
    /// `NDIS_CONFIG_FLAG_*`.
    pub Flags: u32,
}

layout!(NDIS_CONFIGURATION_OBJECT: 0x18, 8; Header 0x0, NdisHandle 0x8, Flags 0x10);

pub const NDIS_CONFIGURATION_OBJECT_REVISION_1: u8 = 1;
pub const NDIS_SIZEOF_CONFIGURATION_OBJECT_REVISION_1: u16 = 0x14;

/// Kind of a registry value (`NDIS_PARAMETER_TYPE`).
pub type NDIS_PARAMETER_TYPE = i32;

pub const NdisParameterInteger: NDIS_PARAMETER_TYPE = 0;
pub const NdisParameterHexInteger: NDIS_PARAMETER_TYPE = 1;
pub const NdisParameterString: NDIS_PARAMETER_TYPE = 2;
pub const NdisParameterMultiString: NDIS_PARAMETER_TYPE = 3;
pub const NdisParameterBinary: NDIS_PARAMETER_TYPE = 4;

/// Bytes of a registry value (`BINARY_DATA`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct BINARY_DATA {
    /// Bytes.
    pub Length: u16,
    pub Buffer: *mut c_void,
}

layout!(BINARY_DATA: 0x10, 8; Length 0x0, Buffer 0x8);

/// The value itself; the [`NDIS_PARAMETER_TYPE`] names the member. An unnamed union in C.
#[repr(C)]
#[derive(Clone, Copy)]
pub union NDIS_CONFIGURATION_PARAMETER_DATA {
    pub IntegerData: u32,
    pub StringData: NDIS_STRING,
    pub BinaryData: BINARY_DATA,
}

layout!(NDIS_CONFIGURATION_PARAMETER_DATA: 0x10, 8; IntegerData 0x0, StringData 0x0, BinaryData 0x0);

/// A registry value (`NDIS_CONFIGURATION_PARAMETER`), valid until the configuration it was read from is closed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_CONFIGURATION_PARAMETER {
    pub ParameterType: NDIS_PARAMETER_TYPE,
    pub ParameterData: NDIS_CONFIGURATION_PARAMETER_DATA,
}

layout!(NDIS_CONFIGURATION_PARAMETER: 0x18, 8; ParameterType 0x0, ParameterData 0x8);

/// `NdisReadConfiguration`. `PASSIVE_LEVEL`. The result is in `*Status`.
pub type PFN_NDIS_READ_CONFIGURATION = unsafe extern "system" fn(
    Status: *mut NDIS_STATUS,
    ParameterValue: *mut *mut NDIS_CONFIGURATION_PARAMETER,
    ConfigurationHandle: NDIS_HANDLE,
    Keyword: *mut NDIS_STRING,
    ParameterType: NDIS_PARAMETER_TYPE,
);

/// `NdisCloseConfiguration`. `PASSIVE_LEVEL`.
pub type PFN_NDIS_CLOSE_CONFIGURATION = unsafe extern "system" fn(ConfigurationHandle: NDIS_HANDLE);

/// Keyword: 0 NDK disabled, 1 enabled (`NETWORK_DIRECT_KEYWORD`, an `NDIS_STRING` in C).
pub const NETWORK_DIRECT_KEYWORD: &str = "*NetworkDirect";
/// Keyword: an [`NDK_RDMA_TECHNOLOGY`](crate::ndk::NDK_RDMA_TECHNOLOGY) value. The header has no name for it.
pub const NETWORK_DIRECT_TECHNOLOGY_KEYWORD: &str = "*NetworkDirectTechnology";
/// Keyword: bytes, a power of two from 256 to 4096, RoCE only. The header has no name for it.
pub const NETWORK_DIRECT_ROCE_FRAME_SIZE_KEYWORD: &str = "*NetworkDirectRoCEFrameSize";
/// Keyword: `NETWORK_DIRECT_GLOBAL_FLAGS_*` bits (`NETWORK_DIRECT_GLOBAL_FLAGS_KEYWORD`, an `NDIS_STRING` in
/// C).
pub const NETWORK_DIRECT_GLOBAL_FLAGS_KEYWORD: &str = "*NetworkDirectGlobalFlags";

/// Value of [`NETWORK_DIRECT_GLOBAL_FLAGS_KEYWORD`] (`ndisndk.h`).
pub const NETWORK_DIRECT_GLOBAL_FLAGS_ALLOW_REMOTE_IP_SUBNET: u32 = 0x0000_0001;
