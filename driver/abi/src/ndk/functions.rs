//! Entry points of a provider (`ndkpi.h`).
//!
//! IRQL up to `DISPATCH_LEVEL` unless a type says otherwise. Functions with a completion parameter return
//! `STATUS_PENDING` and call it exactly once, or return anything else and never call it. A create writes its
//! out parameter only when it returns `STATUS_SUCCESS`; after `STATUS_PENDING` the object comes with the
//! completion.

use core::ffi::c_void;

use super::{
    NDK_ADAPTER, NDK_ADAPTER_INFO, NDK_CONNECTOR, NDK_CQ, NDK_CQ_NOTIFY, NDK_EXTENSION_INTERFACE,
    NDK_FN_CLOSE_COMPLETION, NDK_FN_CONNECT_EVENT_CALLBACK, NDK_FN_CQ_NOTIFICATION_CALLBACK,
    NDK_FN_CREATE_COMPLETION, NDK_FN_DISCONNECT_EVENT_CALLBACK, NDK_FN_DISCONNECT_EVENT_CALLBACK_EX,
    NDK_FN_REQUEST_COMPLETION, NDK_FN_SRQ_NOTIFICATION_CALLBACK, NDK_LISTENER, NDK_LOGICAL_ADDRESS,
    NDK_LOGICAL_ADDRESS_MAPPING, NDK_MR, NDK_MW, NDK_OBJECT_HEADER, NDK_PD, NDK_QP, NDK_RESULT,
    NDK_RESULT_EX, NDK_SGE, NDK_SHARED_ENDPOINT, NDK_SRQ, NDK_VERSION,
};
use crate::NTSTATUS;
use crate::nt::{BOOLEAN, GROUP_AFFINITY, GUID, MDL};
use crate::wsk::SOCKADDR;

/// Closes any object but the adapter (`NDK_FN_CLOSE_OBJECT`).
///
/// `STATUS_SUCCESS` (closed, no callback) or `STATUS_PENDING`; never a failure. From the call on the consumer
/// leaves the object alone.
pub type NDK_FN_CLOSE_OBJECT = unsafe extern "system" fn(
    pNdkObject: *mut NDK_OBJECT_HEADER,
    CloseCompletion: NDK_FN_CLOSE_COMPLETION,
    RequestContext: *mut c_void,
) -> NTSTATUS;

/// Asks any object for an extension (`NDK_FN_QUERY_EXTENSION_INTERFACE`); `STATUS_NOT_SUPPORTED` if there is
/// none.
pub type NDK_FN_QUERY_EXTENSION_INTERFACE = unsafe extern "system" fn(
    pNdkObject: *mut NDK_OBJECT_HEADER,
    ExtensionInterfaceID: *const GUID,
    ExtensionInterfaceVersion: NDK_VERSION,
    pExtensionInterface: *mut NDK_EXTENSION_INTERFACE,
) -> NTSTATUS;

// Adapter.

/// Reads limits and abilities (`NDK_FN_QUERY_ADAPTER_INFO`). **`PASSIVE_LEVEL`**, blocks.
///
/// `*pBufferSize` is the room in bytes, then the bytes written or needed (`STATUS_BUFFER_TOO_SMALL`).
pub type NDK_FN_QUERY_ADAPTER_INFO = unsafe extern "system" fn(
    pNdkAdapter: *mut NDK_ADAPTER,
    pInfo: *mut NDK_ADAPTER_INFO,
    pBufferSize: *mut u32,
) -> NTSTATUS;

/// Creates a completion queue (`NDK_FN_CREATE_CQ`). `Affinity` may be null and is a hint.
pub type NDK_FN_CREATE_CQ = unsafe extern "system" fn(
    pNdkAdapter: *mut NDK_ADAPTER,
    CqDepth: u32,
    CqNotification: NDK_FN_CQ_NOTIFICATION_CALLBACK,
    CqNotificationContext: *mut c_void,
    Affinity: *const GROUP_AFFINITY,
    CreateCompletion: NDK_FN_CREATE_COMPLETION,
    RequestContext: *mut c_void,
    ppNdkCq: *mut *mut NDK_CQ,
) -> NTSTATUS;

/// Creates a protection domain (`NDK_FN_CREATE_PD`).
pub type NDK_FN_CREATE_PD = unsafe extern "system" fn(
    pNdkAdapter: *mut NDK_ADAPTER,
    CreateCompletion: NDK_FN_CREATE_COMPLETION,
    RequestContext: *mut c_void,
    ppNdkPd: *mut *mut NDK_PD,
) -> NTSTATUS;

/// Creates a local address to be shared by connectors (`NDK_FN_CREATE_SHARED_ENDPOINT`); `AddressLength` in
/// bytes.
///
/// `STATUS_SHARING_VIOLATION` (in use), `STATUS_INVALID_ADDRESS` (not of this adapter),
/// `STATUS_TOO_MANY_ADDRESSES` (port 0 and none left).
pub type NDK_FN_CREATE_SHARED_ENDPOINT = unsafe extern "system" fn(
    pNdkAdapter: *mut NDK_ADAPTER,
    pAddress: *const SOCKADDR,
    AddressLength: u32,
    CreateCompletion: NDK_FN_CREATE_COMPLETION,
    RequestContext: *mut c_void,
    ppNdkSharedEndpoint: *mut *mut NDK_SHARED_ENDPOINT,
) -> NTSTATUS;

/// Creates a connector (`NDK_FN_CREATE_CONNECTOR`).
pub type NDK_FN_CREATE_CONNECTOR = unsafe extern "system" fn(
    pNdkAdapter: *mut NDK_ADAPTER,
    CreateCompletion: NDK_FN_CREATE_COMPLETION,
    RequestContext: *mut c_void,
    ppNdkConnector: *mut *mut NDK_CONNECTOR,
) -> NTSTATUS;

/// Creates a listener (`NDK_FN_CREATE_LISTENER`).
pub type NDK_FN_CREATE_LISTENER = unsafe extern "system" fn(
    pNdkAdapter: *mut NDK_ADAPTER,
    ConnectEvent: NDK_FN_CONNECT_EVENT_CALLBACK,
    ConnectEventContext: *mut c_void,
    CreateCompletion: NDK_FN_CREATE_COMPLETION,
    RequestContext: *mut c_void,
    ppNdkListener: *mut *mut NDK_LISTENER,
) -> NTSTATUS;

/// Maps the first `Length` bytes of a locked MDL chain, virtually contiguous, for the adapter
/// (`NDK_FN_BUILD_LAM`).
///
/// `*pLAMSize` is the room in bytes at `pNdkLAM`, then the bytes written or needed
/// (`STATUS_BUFFER_TOO_SMALL`); `*pFBO` is the offset in bytes of the first byte in the first page. The pages
/// stay locked until the mapping is released.
pub type NDK_FN_BUILD_LAM = unsafe extern "system" fn(
    pNdkAdapter: *mut NDK_ADAPTER,
    Mdl: *mut MDL,
    Length: usize,
    RequestCompletion: Option<NDK_FN_REQUEST_COMPLETION>,
    RequestContext: *mut c_void,
    pNdkLAM: *mut NDK_LOGICAL_ADDRESS_MAPPING,
    pLAMSize: *mut u32,
    pFBO: *mut u32,
) -> NTSTATUS;

/// Gives a mapping back (`NDK_FN_RELEASE_LAM`), when no request or registration uses its pages any more.
pub type NDK_FN_RELEASE_LAM =
    unsafe extern "system" fn(pNdkAdapter: *mut NDK_ADAPTER, pNdkLAM: *mut NDK_LOGICAL_ADDRESS_MAPPING);

/// Declared in the header, held by no table (`NDK_FN_QUERY_ADAPTER_INFO_EX`). **`PASSIVE_LEVEL`**.
pub type NDK_FN_QUERY_ADAPTER_INFO_EX = unsafe extern "system" fn(
    pNdkAdapter: *mut NDK_ADAPTER,
    Version: NDK_VERSION,
    pInfo: *mut NDK_ADAPTER_INFO,
    pBufferSize: *mut u32,
) -> NTSTATUS;

// Protection domain.

/// Creates a memory region (`NDK_FN_CREATE_MR`), for fast registration only (`TRUE`) or for `NdkRegisterMr`
/// only.
pub type NDK_FN_CREATE_MR = unsafe extern "system" fn(
    pNdkPd: *mut NDK_PD,
    FastRegister: BOOLEAN,
    CreateCompletion: NDK_FN_CREATE_COMPLETION,
    RequestContext: *mut c_void,
    ppNdkMr: *mut *mut NDK_MR,
) -> NTSTATUS;

/// Creates a memory window (`NDK_FN_CREATE_MW`).
pub type NDK_FN_CREATE_MW = unsafe extern "system" fn(
    pNdkPd: *mut NDK_PD,
    CreateCompletion: NDK_FN_CREATE_COMPLETION,
    RequestContext: *mut c_void,
    ppNdkMw: *mut *mut NDK_MW,
) -> NTSTATUS;

/// Creates a shared receive queue (`NDK_FN_CREATE_SRQ`). `Affinity` may be null.
pub type NDK_FN_CREATE_SRQ = unsafe extern "system" fn(
    pNdkPd: *mut NDK_PD,
    SrqDepth: u32,
    MaxReceiveRequestSge: u32,
    NotifyThreshold: u32,
    SrqNotification: Option<NDK_FN_SRQ_NOTIFICATION_CALLBACK>,
    SrqNotificationContext: *mut c_void,
    Affinity: *const GROUP_AFFINITY,
    CreateCompletion: NDK_FN_CREATE_COMPLETION,
    RequestContext: *mut c_void,
    ppNdkSrq: *mut *mut NDK_SRQ,
) -> NTSTATUS;

/// Creates a queue pair (`NDK_FN_CREATE_QP`). `QPContext` comes back in every completion of it.
pub type NDK_FN_CREATE_QP = unsafe extern "system" fn(
    pNdkPd: *mut NDK_PD,
    pReceiveCq: *mut NDK_CQ,
    pInitiatorCq: *mut NDK_CQ,
    QPContext: *mut c_void,
    ReceiveQueueDepth: u32,
    InitiatorQueueDepth: u32,
    MaxReceiveRequestSge: u32,
    MaxInitiatorRequestSge: u32,
    InlineDataSize: u32,
    CreateCompletion: NDK_FN_CREATE_COMPLETION,
    RequestContext: *mut c_void,
    ppNdkQp: *mut *mut NDK_QP,
) -> NTSTATUS;

/// Creates a queue pair that takes its receives from a shared queue (`NDK_FN_CREATE_QP_WITH_SRQ`).
pub type NDK_FN_CREATE_QP_WITH_SRQ = unsafe extern "system" fn(
    pNdkPd: *mut NDK_PD,
    pReceiveCq: *mut NDK_CQ,
    pInitiatorCq: *mut NDK_CQ,
    pSrq: *mut NDK_SRQ,
    QPContext: *mut c_void,
    InitiatorQueueDepth: u32,
    MaxInitiatorRequestSge: u32,
    InlineDataSize: u32,
    CreateCompletion: NDK_FN_CREATE_COMPLETION,
    RequestContext: *mut c_void,
    ppNdkQp: *mut *mut NDK_QP,
) -> NTSTATUS;

/// Reads the token that gives local access to any logical address, never remote access
/// (`NDK_FN_GET_PRIVILEGED_MEMORY_REGION_TOKEN`).
pub type NDK_FN_GET_PRIVILEGED_MEMORY_REGION_TOKEN =
    unsafe extern "system" fn(pNdkPd: *mut NDK_PD, pToken: *mut u32);

// Completion queue. The consumer never overlaps arm and the two get-results calls on one queue.

/// Changes the depth (`NDK_FN_RESIZE_CQ`); only with `NDK_ADAPTER_FLAG_CQ_RESIZE_SUPPORTED`.
pub type NDK_FN_RESIZE_CQ = unsafe extern "system" fn(
    pNdkCq: *mut NDK_CQ,
    CqDepth: u32,
    RequestCompletion: NDK_FN_REQUEST_COMPLETION,
    RequestContext: *mut c_void,
) -> NTSTATUS;

/// Asks for one notification (`NDK_FN_ARM_CQ`).
pub type NDK_FN_ARM_CQ = unsafe extern "system" fn(pNdkCq: *mut NDK_CQ, Type: NDK_CQ_NOTIFY);

/// Takes up to `nResults` entries, oldest first, and returns how many; 0 when empty
/// (`NDK_FN_GET_CQ_RESULTS`).
pub type NDK_FN_GET_CQ_RESULTS =
    unsafe extern "system" fn(pNdkCq: *mut NDK_CQ, Results: *mut NDK_RESULT, nResults: u32) -> u32;

/// Sets interrupt moderation (`NDK_FN_CONTROL_CQ_INTERRUPT_MODERATION`): interval in microseconds, count of
/// entries.
///
/// 0 turns it off; 0xFFFFFFFF ignores that criterion; both ignored gives `STATUS_INVALID_PARAMETER_MIX`.
pub type NDK_FN_CONTROL_CQ_INTERRUPT_MODERATION =
    unsafe extern "system" fn(pNdkCq: *mut NDK_CQ, ModerationInterval: u32, ModerationCount: u32) -> NTSTATUS;

/// As [`NDK_FN_GET_CQ_RESULTS`] with the longer entry (`NDK_FN_GET_CQ_RESULTS_EX`, NDKPI 1.2).
pub type NDK_FN_GET_CQ_RESULTS_EX =
    unsafe extern "system" fn(pNdkCq: *mut NDK_CQ, Results: *mut NDK_RESULT_EX, nResults: u32) -> u32;

// Memory region and memory window.

/// Registers the first `Length` bytes of a locked MDL chain, virtually contiguous (`NDK_FN_REGISTER_MR`).
///
/// `Flags` are [`NDK_MR_FLAG`](super::NDK_MR_FLAG) bits.
pub type NDK_FN_REGISTER_MR = unsafe extern "system" fn(
    pNdkMr: *mut NDK_MR,
    Mdl: *mut MDL,
    Length: usize,
    Flags: u32,
    RequestCompletion: NDK_FN_REQUEST_COMPLETION,
    RequestContext: *mut c_void,
) -> NTSTATUS;

/// Ends an ordinary registration (`NDK_FN_DEREGISTER_MR`).
pub type NDK_FN_DEREGISTER_MR = unsafe extern "system" fn(
    pNdkMr: *mut NDK_MR,
    RequestCompletion: NDK_FN_REQUEST_COMPLETION,
    RequestContext: *mut c_void,
) -> NTSTATUS;

/// Prepares a region for fast registration of up to `AdapterPageCount` pages
/// (`NDK_FN_INITIALIZE_FAST_REGISTER_MR`).
pub type NDK_FN_INITIALIZE_FAST_REGISTER_MR = unsafe extern "system" fn(
    pNdkMr: *mut NDK_MR,
    AdapterPageCount: u32,
    RemoteAccess: BOOLEAN,
    RequestCompletion: NDK_FN_REQUEST_COMPLETION,
    RequestContext: *mut c_void,
) -> NTSTATUS;

/// Token for the peer (`NDK_FN_GET_REMOTE_TOKEN_FROM_MR`). Read it anew after every fast registration.
pub type NDK_FN_GET_REMOTE_TOKEN_FROM_MR = unsafe extern "system" fn(pNdkMr: *mut NDK_MR) -> u32;

/// Token for elements of local requests (`NDK_FN_GET_LOCAL_TOKEN_FROM_MR`).
pub type NDK_FN_GET_LOCAL_TOKEN_FROM_MR = unsafe extern "system" fn(pNdkMr: *mut NDK_MR) -> u32;

/// Token for the peer (`NDK_FN_GET_REMOTE_TOKEN_FROM_MW`), valid once the bind has been posted.
pub type NDK_FN_GET_REMOTE_TOKEN_FROM_MW = unsafe extern "system" fn(pNdkMw: *mut NDK_MW) -> u32;

// Shared receive queue.

/// Changes depth and threshold; 0 keeps the old value (`NDK_FN_MODIFY_SRQ`).
pub type NDK_FN_MODIFY_SRQ = unsafe extern "system" fn(
    pNdkSrq: *mut NDK_SRQ,
    SrqDepth: u32,
    NotifyThreshold: u32,
    RequestCompletion: NDK_FN_REQUEST_COMPLETION,
    RequestContext: *mut c_void,
) -> NTSTATUS;

/// Posts a receive to a shared queue (`NDK_FN_SRQ_RECEIVE`).
pub type NDK_FN_SRQ_RECEIVE = unsafe extern "system" fn(
    pNdkSrq: *mut NDK_SRQ,
    RequestContext: *mut c_void,
    pSgl: *const NDK_SGE,
    nSge: u32,
) -> NTSTATUS;

// Queue pair. `STATUS_SUCCESS` means posted; any other status means not posted and no completion entry.
// `Flags` are `NDK_OP_FLAG` bits. Remote addresses are numbers in host order; tokens travel between the
// consumers unchanged.

/// Ends all posted requests with `STATUS_CANCELLED` (`NDK_FN_FLUSH`).
pub type NDK_FN_FLUSH = unsafe extern "system" fn(pNdkQp: *mut NDK_QP);

/// Posts a send (`NDK_FN_SEND`).
pub type NDK_FN_SEND = unsafe extern "system" fn(
    pNdkQp: *mut NDK_QP,
    RequestContext: *mut c_void,
    pSgl: *const NDK_SGE,
    nSge: u32,
    Flags: u32,
) -> NTSTATUS;

/// Posts a receive (`NDK_FN_RECEIVE`); allowed before the queue pair is connected.
pub type NDK_FN_RECEIVE = unsafe extern "system" fn(
    pNdkQp: *mut NDK_QP,
    RequestContext: *mut c_void,
    pSgl: *const NDK_SGE,
    nSge: u32,
) -> NTSTATUS;

/// Posts the binding of a window to a part of a region (`NDK_FN_BIND`).
pub type NDK_FN_BIND = unsafe extern "system" fn(
    pNdkQp: *mut NDK_QP,
    RequestContext: *mut c_void,
    pMr: *mut NDK_MR,
    pMw: *mut NDK_MW,
    VirtualAddress: *const c_void,
    Length: usize,
    Flags: u32,
) -> NTSTATUS;

/// Posts a fast registration of logical pages (`NDK_FN_FAST_REGISTER`). `FBO` is the offset in bytes of the
/// first byte in the first page, and `BaseVirtualAddress` equals it modulo `PAGE_SIZE`.
pub type NDK_FN_FAST_REGISTER = unsafe extern "system" fn(
    pNdkQp: *mut NDK_QP,
    RequestContext: *mut c_void,
    pMr: *mut NDK_MR,
    AdapterPageCount: u32,
    AdapterPageArray: *const NDK_LOGICAL_ADDRESS,
    FBO: u32,
    Length: usize,
    BaseVirtualAddress: *const c_void,
    Flags: u32,
) -> NTSTATUS;

/// Posts the invalidation of a fast-register region or a window (`NDK_FN_INVALIDATE`).
pub type NDK_FN_INVALIDATE = unsafe extern "system" fn(
    pNdkQp: *mut NDK_QP,
    RequestContext: *mut c_void,
    pNdkMrOrMw: *mut NDK_OBJECT_HEADER,
    Flags: u32,
) -> NTSTATUS;

/// Posts a read of the peer's memory into the elements (`NDK_FN_READ`).
pub type NDK_FN_READ = unsafe extern "system" fn(
    pNdkQp: *mut NDK_QP,
    RequestContext: *mut c_void,
    pSgl: *const NDK_SGE,
    nSge: u32,
    RemoteAddress: u64,
    RemoteToken: u32,
    Flags: u32,
) -> NTSTATUS;

/// Posts a write of the elements into the peer's memory (`NDK_FN_WRITE`).
pub type NDK_FN_WRITE = unsafe extern "system" fn(
    pNdkQp: *mut NDK_QP,
    RequestContext: *mut c_void,
    pSgl: *const NDK_SGE,
    nSge: u32,
    RemoteAddress: u64,
    RemoteToken: u32,
    Flags: u32,
) -> NTSTATUS;

/// Posts a send that also invalidates one of the peer's tokens (`NDK_FN_SEND_AND_INVALIDATE`, NDKPI 1.2).
pub type NDK_FN_SEND_AND_INVALIDATE = unsafe extern "system" fn(
    pNdkQp: *mut NDK_QP,
    RequestContext: *mut c_void,
    pSgl: *const NDK_SGE,
    nSge: u32,
    Flags: u32,
    RemoteToken: u32,
) -> NTSTATUS;

// Connector. Lengths are in bytes, read limits in requests, private data may be null.

/// Connects a queue pair (`NDK_FN_CONNECT`); completes when the peer has accepted or rejected.
pub type NDK_FN_CONNECT = unsafe extern "system" fn(
    pNdkConnector: *mut NDK_CONNECTOR,
    pNdkQp: *mut NDK_QP,
    pSrcAddress: *const SOCKADDR,
    SrcAddressLength: u32,
    pDestAddress: *const SOCKADDR,
    DestAddressLength: u32,
    InboundReadLimit: u32,
    OutboundReadLimit: u32,
    pPrivateData: *const c_void,
    PrivateDataLength: u32,
    RequestCompletion: NDK_FN_REQUEST_COMPLETION,
    RequestContext: *mut c_void,
) -> NTSTATUS;

/// As [`NDK_FN_CONNECT`] from the address of a shared endpoint (`NDK_FN_CONNECT_WITH_SHARED_ENDPOINT`).
pub type NDK_FN_CONNECT_WITH_SHARED_ENDPOINT = unsafe extern "system" fn(
    pNdkConnector: *mut NDK_CONNECTOR,
    pNdkQp: *mut NDK_QP,
    pNdkSharedEndpoint: *mut NDK_SHARED_ENDPOINT,
    pDestAddress: *const SOCKADDR,
    DestAddressLength: u32,
    InboundReadLimit: u32,
    OutboundReadLimit: u32,
    pPrivateData: *const c_void,
    PrivateDataLength: u32,
    RequestCompletion: NDK_FN_REQUEST_COMPLETION,
    RequestContext: *mut c_void,
) -> NTSTATUS;

/// Finishes an active connect and registers the disconnect event (`NDK_FN_COMPLETE_CONNECT`).
pub type NDK_FN_COMPLETE_CONNECT = unsafe extern "system" fn(
    pNdkConnector: *mut NDK_CONNECTOR,
    DisconnectEvent: Option<NDK_FN_DISCONNECT_EVENT_CALLBACK>,
    DisconnectEventContext: *mut c_void,
    RequestCompletion: NDK_FN_REQUEST_COMPLETION,
    RequestContext: *mut c_void,
) -> NTSTATUS;

/// Accepts a request with a queue pair (`NDK_FN_ACCEPT`); completes when the peer has finished its connect.
pub type NDK_FN_ACCEPT = unsafe extern "system" fn(
    pNdkConnector: *mut NDK_CONNECTOR,
    pNdkQp: *mut NDK_QP,
    InboundReadLimit: u32,
    OutboundReadLimit: u32,
    pPrivateData: *const c_void,
    PrivateDataLength: u32,
    DisconnectEvent: Option<NDK_FN_DISCONNECT_EVENT_CALLBACK>,
    DisconnectEventContext: *mut c_void,
    RequestCompletion: NDK_FN_REQUEST_COMPLETION,
    RequestContext: *mut c_void,
) -> NTSTATUS;

/// Refuses a request, or an accept on the active side (`NDK_FN_REJECT`). Never pends.
pub type NDK_FN_REJECT = unsafe extern "system" fn(
    pNdkConnector: *mut NDK_CONNECTOR,
    pPrivateData: *const c_void,
    PrivateDataLength: u32,
) -> NTSTATUS;

/// Reads the peer's private data and the read limits in force (`NDK_FN_GET_CONNECTION_DATA`). Limits may be
/// null.
///
/// `*pPrivateDataLength` is the room in bytes, then the size the transport carries, not what the peer sent.
pub type NDK_FN_GET_CONNECTION_DATA = unsafe extern "system" fn(
    pNdkConnector: *mut NDK_CONNECTOR,
    pInboundReadLimit: *mut u32,
    pOutboundReadLimit: *mut u32,
    pPrivateData: *mut c_void,
    pPrivateDataLength: *mut u32,
) -> NTSTATUS;

/// Local address of a connector (`NDK_FN_GET_LOCAL_ADDRESS`); `*pAddressLength` is room, then bytes written
/// or needed.
pub type NDK_FN_GET_LOCAL_ADDRESS = unsafe extern "system" fn(
    pNdkConnector: *mut NDK_CONNECTOR,
    pAddress: *mut SOCKADDR,
    pAddressLength: *mut u32,
) -> NTSTATUS;

/// Peer address of a connector (`NDK_FN_GET_PEER_ADDRESS`); `*pAddressLength` is room, then bytes written or
/// needed.
pub type NDK_FN_GET_PEER_ADDRESS = unsafe extern "system" fn(
    pNdkConnector: *mut NDK_CONNECTOR,
    pAddress: *mut SOCKADDR,
    pAddressLength: *mut u32,
) -> NTSTATUS;

/// Disconnects gracefully (`NDK_FN_DISCONNECT`).
pub type NDK_FN_DISCONNECT = unsafe extern "system" fn(
    pNdkConnector: *mut NDK_CONNECTOR,
    RequestCompletion: NDK_FN_REQUEST_COMPLETION,
    RequestContext: *mut c_void,
) -> NTSTATUS;

/// As [`NDK_FN_COMPLETE_CONNECT`] with the longer event (`NDK_FN_COMPLETE_CONNECT_EX`, NDKPI 2.1).
pub type NDK_FN_COMPLETE_CONNECT_EX = unsafe extern "system" fn(
    pNdkConnector: *mut NDK_CONNECTOR,
    DisconnectEvent: Option<NDK_FN_DISCONNECT_EVENT_CALLBACK_EX>,
    DisconnectEventContext: *mut c_void,
    RequestCompletion: NDK_FN_REQUEST_COMPLETION,
    RequestContext: *mut c_void,
) -> NTSTATUS;

/// As [`NDK_FN_ACCEPT`] with the longer event (`NDK_FN_ACCEPT_EX`, NDKPI 2.1).
pub type NDK_FN_ACCEPT_EX = unsafe extern "system" fn(
    pNdkConnector: *mut NDK_CONNECTOR,
    pNdkQp: *mut NDK_QP,
    InboundReadLimit: u32,
    OutboundReadLimit: u32,
    pPrivateData: *const c_void,
    PrivateDataLength: u32,
    DisconnectEvent: Option<NDK_FN_DISCONNECT_EVENT_CALLBACK_EX>,
    DisconnectEventContext: *mut c_void,
    RequestCompletion: NDK_FN_REQUEST_COMPLETION,
    RequestContext: *mut c_void,
) -> NTSTATUS;

/// Declared in the header, held by no table (`NDK_FN_DISCONNECT_EX`).
pub type NDK_FN_DISCONNECT_EX = unsafe extern "system" fn(
    pNdkConnector: *mut NDK_CONNECTOR,
    Abortive: BOOLEAN,
    RequestCompletion: NDK_FN_REQUEST_COMPLETION,
    RequestContext: *mut c_void,
) -> NTSTATUS;

// Listener and shared endpoint.

/// Listens on an address of the adapter (`NDK_FN_LISTEN`); port 0 lets the provider choose.
pub type NDK_FN_LISTEN = unsafe extern "system" fn(
    pNdkListener: *mut NDK_LISTENER,
    pAddress: *const SOCKADDR,
    AddressLength: u32,
    RequestCompletion: NDK_FN_REQUEST_COMPLETION,
    RequestContext: *mut c_void,
) -> NTSTATUS;

/// Address of a listener (`NDK_FN_GET_LISTENER_LOCAL_ADDRESS`); `*pAddressLength` is room, then bytes written
/// or needed.
pub type NDK_FN_GET_LISTENER_LOCAL_ADDRESS = unsafe extern "system" fn(
    pNdkListener: *mut NDK_LISTENER,
    pAddress: *mut SOCKADDR,
    pAddressLength: *mut u32,
) -> NTSTATUS;

/// Pauses or resumes a listener (`NDK_FN_CONTROL_CONNECT_EVENTS`): while paused, requests find no listener.
pub type NDK_FN_CONTROL_CONNECT_EVENTS =
    unsafe extern "system" fn(pNdkListener: *mut NDK_LISTENER, Pause: BOOLEAN);

/// Address of a shared endpoint (`NDK_FN_GET_SHARED_ENDPOINT_LOCAL_ADDRESS`); `*pAddressLength` is room, then
/// bytes written or needed.
pub type NDK_FN_GET_SHARED_ENDPOINT_LOCAL_ADDRESS = unsafe extern "system" fn(
    pNdkSharedEndpoint: *mut NDK_SHARED_ENDPOINT,
    pAddress: *mut SOCKADDR,
    pAddressLength: *mut u32,
) -> NTSTATUS;
