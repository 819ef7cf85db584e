//! Registry parameters through NDIS (`ndis.h`), and the keywords of NDK in the INF (`ndisndk.h`).

use super::{NDIS_HANDLE, NDIS_OBJECT_HEADER};
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
