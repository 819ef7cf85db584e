//! `ndkrss.h`: an extension of the adapter that tells which processors its interrupts use.

use super::NDK_ADAPTER;
use crate::layout;
use crate::ndis::{NDIS_RSS_PROCESSOR_INFO, NDIS_STATUS};
use crate::nt::GUID;

/// `ExtensionInterfaceID` for `NdkQueryExtension`: fills an [`NDK_EXTENSION_ADAPTER_RSS_DISPATCH`].
pub const NDK_EXTENSION_ID_ADAPTER_RSS_DISPATCH: GUID = GUID {
    Data1: 0xbab2_7026,
    Data2: 0x86c3,
    Data3: 0x4e31,
    Data4: [0x9f, 0x72, 0x49, 0x36, 0xde, 0xd7, 0x6d, 0x42],
};

/// Reads the processors of receive side scaling (`NDK_FN_GET_RSS_PROCESSOR_INFO`), a help in choosing the
/// affinity of a completion queue. IRQL up to `DISPATCH_LEVEL`; `*Size` is the room in bytes, then the bytes
/// written or needed.
pub type NDK_FN_GET_RSS_PROCESSOR_INFO = unsafe extern "system" fn(
    pNdkAdapter: *mut NDK_ADAPTER,
    RssProcessorInfo: *mut NDIS_RSS_PROCESSOR_INFO,
    Size: *mut usize,
) -> NDIS_STATUS;

/// Table of that extension (`NDK_EXTENSION_ADAPTER_RSS_DISPATCH`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NDK_EXTENSION_ADAPTER_RSS_DISPATCH {
    pub NdkGetRssProcessorInfo: NDK_FN_GET_RSS_PROCESSOR_INFO,
}

layout!(NDK_EXTENSION_ADAPTER_RSS_DISPATCH: 8, 8; NdkGetRssProcessorInfo 0x0);
