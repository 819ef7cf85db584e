//! `ndkinfo.h`: version, technology and limits of an adapter.

use crate::layout;
use bitflags::bitflags;

/// NDKPI version (`NDK_VERSION`). Travels by value: one 32-bit argument, `Major` in the low half.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NDK_VERSION {
    pub Major: u16,
    pub Minor: u16,
}

layout!(NDK_VERSION: 4, 2; Major 0x0, Minor 0x2);

/// RDMA transport of an adapter (`NDK_RDMA_TECHNOLOGY`).
pub type NDK_RDMA_TECHNOLOGY = u32;

pub const NdkUndefined: NDK_RDMA_TECHNOLOGY = 0;
pub const NdkiWarp: NDK_RDMA_TECHNOLOGY = 1;
pub const NdkInfiniBand: NDK_RDMA_TECHNOLOGY = 2;
/// RoCE version 1, an Ethernet type of its own.
pub const NdkRoCE: NDK_RDMA_TECHNOLOGY = 3;
/// RoCE version 2, over UDP.
pub const NdkRoCEv2: NDK_RDMA_TECHNOLOGY = 4;
pub const NdkMaxTechnology: NDK_RDMA_TECHNOLOGY = 5;

pub const NDK_ADAPTER_FLAG_IN_ORDER_DMA_SUPPORTED: u32 = 0x0000_0001;
pub const NDK_ADAPTER_FLAG_RDMA_READ_SINK_NOT_REQUIRED: u32 = 0x0000_0002;
pub const NDK_ADAPTER_FLAG_CQ_INTERRUPT_MODERATION_SUPPORTED: u32 = 0x0000_0004;
pub const NDK_ADAPTER_FLAG_MULTI_ENGINE_SUPPORTED: u32 = 0x0000_0008;
pub const NDK_ADAPTER_FLAG_RDMA_READ_LOCAL_INVALIDATE_SUPPORTED: u32 = 0x0000_0010;
pub const NDK_ADAPTER_FLAG_CQ_RESIZE_SUPPORTED: u32 = 0x0000_0100;
pub const NDK_ADAPTER_FLAG_LOOPBACK_CONNECTIONS_SUPPORTED: u32 = 0x0001_0000;

bitflags! {
    /// `NDK_ADAPTER_FLAG_*` (`ndkinfo.h`): abilities of an adapter, in [`NDK_ADAPTER_INFO::AdapterFlags`].
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct NDK_ADAPTER_FLAG: u32 {
        /// Inbound data reaches memory in order.
        const IN_ORDER_DMA_SUPPORTED = NDK_ADAPTER_FLAG_IN_ORDER_DMA_SUPPORTED;
        /// The sink of a read needs no right of its own, and may be named by the privileged token.
        const RDMA_READ_SINK_NOT_REQUIRED = NDK_ADAPTER_FLAG_RDMA_READ_SINK_NOT_REQUIRED;
        /// `NdkControlCqInterruptModeration` may be called.
        const CQ_INTERRUPT_MODERATION_SUPPORTED = NDK_ADAPTER_FLAG_CQ_INTERRUPT_MODERATION_SUPPORTED;
        /// More than one processing engine: queues may be served in parallel.
        const MULTI_ENGINE_SUPPORTED = NDK_ADAPTER_FLAG_MULTI_ENGINE_SUPPORTED;
        /// [`NDK_OP_FLAG::RDMA_READ_LOCAL_INVALIDATE`](super::NDK_OP_FLAG) works (NDKPI 1.2).
        const RDMA_READ_LOCAL_INVALIDATE_SUPPORTED = NDK_ADAPTER_FLAG_RDMA_READ_LOCAL_INVALIDATE_SUPPORTED;
        /// `NdkResizeCq` may be called.
        const CQ_RESIZE_SUPPORTED = NDK_ADAPTER_FLAG_CQ_RESIZE_SUPPORTED;
        /// Connections from a local address to that same address are possible.
        const LOOPBACK_CONNECTIONS_SUPPORTED = NDK_ADAPTER_FLAG_LOOPBACK_CONNECTIONS_SUPPORTED;
    }
}

/// Limits and abilities of an adapter (`NDK_ADAPTER_INFO`), from `NdkQueryAdapterInfo`.
///
/// Providers of the Windows 8 time end before `RdmaTechnology`: zero the buffer first, and read that member
/// only when the returned size covers it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NDK_ADAPTER_INFO {
    /// Version in force, the highest minor of the provider.
    pub Version: NDK_VERSION,
    /// IEEE OUI of the vendor.
    pub VendorId: u32,
    /// The vendor's own device number.
    pub DeviceId: u32,
    /// Bytes in the largest memory region.
    pub MaxRegistrationSize: usize,
    /// Bytes in the largest memory window; 0 without windows.
    pub MaxWindowSize: usize,
    /// Pages per fast-register region at which most of them are available; at least 16.
    pub FRMRPageCount: u32,
    /// Elements in one initiator request, reads excepted.
    pub MaxInitiatorRequestSge: u32,
    /// Elements in one receive.
    pub MaxReceiveRequestSge: u32,
    /// Elements in one read.
    pub MaxReadRequestSge: u32,
    /// Bytes in one request.
    pub MaxTransferLength: u32,
    /// Bytes of inline data in one request; may be 0.
    pub MaxInlineDataSize: u32,
    /// Incoming reads at once per queue pair.
    pub MaxInboundReadLimit: u32,
    /// Outgoing reads at once per queue pair.
    pub MaxOutboundReadLimit: u32,
    /// Receives per queue pair.
    pub MaxReceiveQueueDepth: u32,
    /// Initiator requests per queue pair.
    pub MaxInitiatorQueueDepth: u32,
    /// Receives per shared receive queue; 0 without such queues.
    pub MaxSrqDepth: u32,
    /// Entries per completion queue.
    pub MaxCqDepth: u32,
    /// Bytes above which a read or write is expected to beat a send; a hint.
    pub LargeRequestThreshold: u32,
    /// Bytes of private data with a connect.
    pub MaxCallerData: u32,
    /// Bytes of private data with an accept or reject.
    pub MaxCalleeData: u32,
    /// [`NDK_ADAPTER_FLAG`] bits.
    pub AdapterFlags: u32,
    /// Transport; beyond the end of old providers' answers.
    pub RdmaTechnology: NDK_RDMA_TECHNOLOGY,
}

layout!(NDK_ADAPTER_INFO: 0x68, 8;
    Version 0x00, VendorId 0x04, DeviceId 0x08, MaxRegistrationSize 0x10, MaxWindowSize 0x18,
    FRMRPageCount 0x20, MaxInitiatorRequestSge 0x24, MaxReceiveRequestSge 0x28, MaxReadRequestSge 0x2C,
    MaxTransferLength 0x30, MaxInlineDataSize 0x34, MaxInboundReadLimit 0x38, MaxOutboundReadLimit 0x3C,
    MaxReceiveQueueDepth 0x40, MaxInitiatorQueueDepth 0x44, MaxSrqDepth 0x48, MaxCqDepth 0x4C,
    LargeRequestThreshold 0x50, MaxCallerData 0x54, MaxCalleeData 0x58, AdapterFlags 0x5C,
    RdmaTechnology 0x60,
);
