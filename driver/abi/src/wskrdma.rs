//! What `wskrdma.sys` adds to WSK, as its clients see it (`wskrdma.h`).

use crate::layout;
use crate::ndis::NET_IFINDEX;
use crate::nt::GUID;
use crate::wsk::{IOC_OUT, IOC_VENDOR};

/// Vendor number in this provider's IOCTL codes: bits 16 to 26, where Microsoft's own have 0.
const VENDOR: u32 = 0x572 << 16;

/// `WskIoctl` on any stream socket, IRP optional, any state, IRQL <= `DISPATCH_LEVEL`: [`WSKRDMA_PATH`].
///
/// Another provider answers it with a failure, so it also tells whose socket it is.
pub const SIO_WSKRDMA_QUERY_PATH: u32 = IOC_OUT | IOC_VENDOR | VENDOR | 1;

/// Not decided yet.
pub const WSKRDMA_PATH_NONE: u32 = 0;
/// The stream runs over NDK.
pub const WSKRDMA_PATH_RDMA: u32 = 1;
/// The stream is the system's TCP.
pub const WSKRDMA_PATH_TCP: u32 = 2;

/// [`WSKRDMA_PATH::Adapter`] where there is none.
pub const WSKRDMA_NO_ADAPTER: u32 = u32::MAX;

/// Which way a socket's octets go, and why.
///
/// Later versions only add members at the end: ask with a buffer at least as long as the members that are known, and
/// read those that `Size` covers.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WSKRDMA_PATH {
    /// Octets of the structure.
    pub Size: u32,
    /// `WSKRDMA_PATH_*`.
    pub Path: u32,
    /// Number of the reason; the numbers never change their meaning.
    pub Reason: u32,
    /// Number of the adapter, in the order of the status reply; [`WSKRDMA_NO_ADAPTER`].
    pub Adapter: u32,
    /// `NDK_RDMA_TECHNOLOGY` of the adapter, 0 without one.
    pub Technology: u32,
}
layout!(WSKRDMA_PATH: 20, 4; Size 0x0, Path 0x4, Reason 0x8, Adapter 0xC, Technology 0x10);

/// Interface index under which `WskOpenNdkAdapter` of this provider opens the software adapter. The system's own indexes
/// have at most 24 bits.
pub const WSKRDMA_SOFTWARE_INTERFACE: NET_IFINDEX = 0xFF00_0001;

/// `NPI_MODULEID` of this driver as a provider of `NPI_WSK_INTERFACE_ID`, for clients of the Network Module Registrar that
/// choose their provider themselves: `{841045EB-9465-45D4-A37E-2172AA9BE005}`.
pub const WSKRDMA_NMR_MODULE_GUID: GUID = GUID {
    Data1: 0x8410_45EB,
    Data2: 0x9465,
    Data3: 0x45D4,
    Data4: [0xA3, 0x7E, 0x21, 0x72, 0xAA, 0x9B, 0xE0, 0x05],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_c_header() {
        assert_eq!(SIO_WSKRDMA_QUERY_PATH, 0x5D72_0001);
    }
}
