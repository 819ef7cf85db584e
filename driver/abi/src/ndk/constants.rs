//! Enumerations and flag words of `ndkpi.h`.

use bitflags::bitflags;

/// Kind of an NDK object, kept in its header for debuggers; 0 is not allowed in a live object
/// (`NDK_OBJECT_TYPE`).
pub type NDK_OBJECT_TYPE = u32;

pub const NdkObjectTypeUndefined: NDK_OBJECT_TYPE = 0;
pub const NdkObjectTypeAdapter: NDK_OBJECT_TYPE = 1;
pub const NdkObjectTypeQp: NDK_OBJECT_TYPE = 2;
pub const NdkObjectTypeCq: NDK_OBJECT_TYPE = 3;
pub const NdkObjectTypeMr: NDK_OBJECT_TYPE = 4;
pub const NdkObjectTypeMw: NDK_OBJECT_TYPE = 5;
pub const NdkObjectTypePd: NDK_OBJECT_TYPE = 6;
pub const NdkObjectTypeSharedEndpoint: NDK_OBJECT_TYPE = 7;
pub const NdkObjectTypeConnector: NDK_OBJECT_TYPE = 8;
pub const NdkObjectTypeListener: NDK_OBJECT_TYPE = 9;
pub const NdkObjectTypeSrq: NDK_OBJECT_TYPE = 10;
/// One past the last type known here; newer headers may move it.
pub const NdkObjectTypeMax: NDK_OBJECT_TYPE = 11;

/// Kind of the request a completion belongs to (`NDK_OPERATION_TYPE`, NDKPI 1.2).
pub type NDK_OPERATION_TYPE = u32;

/// A receive consumed by an ordinary send.
pub const NdkOperationTypeReceive: NDK_OPERATION_TYPE = 0x0001;
/// A receive consumed by a send that also invalidated a token on this side.
pub const NdkOperationTypeReceiveAndInvalidate: NDK_OPERATION_TYPE = 0x8001;
/// Both `NdkSend` and `NdkSendAndInvalidate`, as seen by the sender.
pub const NdkOperationTypeSend: NDK_OPERATION_TYPE = 0x0002;
pub const NdkOperationTypeFastRegister: NDK_OPERATION_TYPE = 0x0004;
pub const NdkOperationTypeBind: NDK_OPERATION_TYPE = 0x0008;
pub const NdkOperationTypeInvalidate: NDK_OPERATION_TYPE = 0x0010;
pub const NdkOperationTypeRead: NDK_OPERATION_TYPE = 0x0020;
pub const NdkOperationTypeWrite: NDK_OPERATION_TYPE = 0x0040;

/// What an armed completion queue waits for: one of the `NDK_CQ_NOTIFY_*` values (`NDK_FN_ARM_CQ`).
///
/// A failure of the queue itself is reported whatever the type.
pub type NDK_CQ_NOTIFY = u32;

/// Only failures of the queue itself.
pub const NDK_CQ_NOTIFY_ERRORS: NDK_CQ_NOTIFY = 0;
/// Any completion.
pub const NDK_CQ_NOTIFY_ANY: NDK_CQ_NOTIFY = 1;
/// A receive that took a send with [`NDK_OP_FLAG::SEND_AND_SOLICIT_EVENT`], or any request that failed.
pub const NDK_CQ_NOTIFY_SOLICITED: NDK_CQ_NOTIFY = 2;

pub const NDK_OP_FLAG_SILENT_SUCCESS: u32 = 0x0000_0001;
pub const NDK_OP_FLAG_READ_FENCE: u32 = 0x0000_0002;
pub const NDK_OP_FLAG_SEND_AND_SOLICIT_EVENT: u32 = 0x0000_0004;
pub const NDK_OP_FLAG_ALLOW_REMOTE_READ: u32 = 0x0000_0008;
pub const NDK_OP_FLAG_ALLOW_LOCAL_WRITE: u32 = 0x0000_0010;
pub const NDK_OP_FLAG_ALLOW_REMOTE_WRITE: u32 = 0x0000_0030;
pub const NDK_OP_FLAG_INLINE: u32 = 0x0000_0040;
pub const NDK_OP_FLAG_RDMA_READ_SINK: u32 = 0x0000_0080;
pub const NDK_OP_FLAG_RDMA_READ_LOCAL_INVALIDATE: u32 = 0x0000_0100;
pub const NDK_OP_FLAG_DEFER: u32 = 0x0000_0200;

bitflags! {
    /// `NDK_OP_FLAG_*` (`ndkpi.h`): flags of one work request.
    ///
    /// The numbers differ from those of user-mode NDSPI.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct NDK_OP_FLAG: u32 {
        /// No completion entry when the request succeeds.
        const SILENT_SUCCESS = NDK_OP_FLAG_SILENT_SUCCESS;
        /// Do not start before all earlier reads of the queue pair are complete.
        const READ_FENCE = NDK_OP_FLAG_READ_FENCE;
        /// Sends only: the peer's receive satisfies [`NDK_CQ_NOTIFY_SOLICITED`].
        const SEND_AND_SOLICIT_EVENT = NDK_OP_FLAG_SEND_AND_SOLICIT_EVENT;
        /// Bind and fast registration: the peer may read.
        const ALLOW_REMOTE_READ = NDK_OP_FLAG_ALLOW_REMOTE_READ;
        /// Fast registration only: the memory may be a receive buffer or the sink of a read.
        const ALLOW_LOCAL_WRITE = NDK_OP_FLAG_ALLOW_LOCAL_WRITE;
        /// Bind and fast registration: the peer may write. Contains the right to write locally.
        const ALLOW_REMOTE_WRITE = NDK_OP_FLAG_ALLOW_REMOTE_WRITE;
        /// Data is copied while the request is posted; elements hold addresses the processor can read, and no
        /// token.
        const INLINE = NDK_OP_FLAG_INLINE;
        /// Fast registration only: the memory will be the sink of a read.
        const RDMA_READ_SINK = NDK_OP_FLAG_RDMA_READ_SINK;
        /// Read only: the token of the first element is invalid once the read has succeeded. NDKPI 1.2, and
        /// only with [`NDK_ADAPTER_FLAG::RDMA_READ_LOCAL_INVALIDATE_SUPPORTED`](super::NDK_ADAPTER_FLAG).
        const RDMA_READ_LOCAL_INVALIDATE = NDK_OP_FLAG_RDMA_READ_LOCAL_INVALIDATE;
        /// The provider may hold the request back until one without this flag is posted. NDKPI 1.2.
        const DEFER = NDK_OP_FLAG_DEFER;
    }
}

/// Always granted: the empty set of [`NDK_MR_FLAG`].
pub const NDK_MR_FLAG_ALLOW_LOCAL_READ: u32 = 0x0000_0000;
pub const NDK_MR_FLAG_ALLOW_LOCAL_WRITE: u32 = 0x0000_0001;
pub const NDK_MR_FLAG_ALLOW_REMOTE_READ: u32 = 0x0000_0002;
pub const NDK_MR_FLAG_ALLOW_REMOTE_WRITE: u32 = 0x0000_0005;
pub const NDK_MR_FLAG_RDMA_READ_SINK: u32 = 0x0000_0008;

bitflags! {
    /// `NDK_MR_FLAG_*` (`ndkpi.h`): rights of an ordinary registration (`NdkRegisterMr`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct NDK_MR_FLAG: u32 {
        /// The memory may be a receive buffer or the sink of a read.
        const ALLOW_LOCAL_WRITE = NDK_MR_FLAG_ALLOW_LOCAL_WRITE;
        /// The peer may read.
        const ALLOW_REMOTE_READ = NDK_MR_FLAG_ALLOW_REMOTE_READ;
        /// The peer may write. Contains the right to write locally.
        const ALLOW_REMOTE_WRITE = NDK_MR_FLAG_ALLOW_REMOTE_WRITE;
        /// The memory will be the sink of a read.
        const RDMA_READ_SINK = NDK_MR_FLAG_RDMA_READ_SINK;
    }
}
