//! Dispatch tables of the NDK objects (`ndkpi.h`), members in slot order.
//!
//! Tables of providers older than NDKPI 2.1 end earlier. A consumer that may meet one reads a later member
//! only after it has checked the reported version, and without a reference to the whole table (`&raw const
//! (*table).Member`).

use super::*;
use crate::layout;

/// Declares a table and proves that its members are consecutive pointer-sized slots.
macro_rules! table {
    (
        $(#[$doc:meta])* $name:ident: $size:literal;
        $($(#[$member_doc:meta])* $slot:literal $member:ident: $function:ident,)*
    ) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy)]
        pub struct $name {
            $($(#[$member_doc])* pub $member: $function,)*
        }

        layout!($name: $size, 8; $($member 8 * $slot),*);
    };
}

table! {
    /// Functions of [`NDK_ADAPTER`]. There is no close slot: an adapter is closed by whoever opened it.
    NDK_ADAPTER_DISPATCH: 0x48;
    0 NdkQueryExtension: NDK_FN_QUERY_EXTENSION_INTERFACE,
    1 NdkQueryAdapterInfo: NDK_FN_QUERY_ADAPTER_INFO,
    2 NdkCreateCq: NDK_FN_CREATE_CQ,
    3 NdkCreatePd: NDK_FN_CREATE_PD,
    4 NdkCreateSharedEndpoint: NDK_FN_CREATE_SHARED_ENDPOINT,
    5 NdkCreateConnector: NDK_FN_CREATE_CONNECTOR,
    6 NdkCreateListener: NDK_FN_CREATE_LISTENER,
    7 NdkBuildLAM: NDK_FN_BUILD_LAM,
    8 NdkReleaseLAM: NDK_FN_RELEASE_LAM,
}

table! {
    /// Functions of [`NDK_PD`].
    NDK_PD_DISPATCH: 0x40;
    0 NdkClosePd: NDK_FN_CLOSE_OBJECT,
    1 NdkQueryExtension: NDK_FN_QUERY_EXTENSION_INTERFACE,
    2 NdkCreateMr: NDK_FN_CREATE_MR,
    3 NdkCreateMw: NDK_FN_CREATE_MW,
    4 NdkCreateSrq: NDK_FN_CREATE_SRQ,
    5 NdkCreateQp: NDK_FN_CREATE_QP,
    6 NdkCreateQpWithSrq: NDK_FN_CREATE_QP_WITH_SRQ,
    7 NdkGetPrivilegedMemoryRegionToken: NDK_FN_GET_PRIVILEGED_MEMORY_REGION_TOKEN,
}

table! {
    /// Functions of [`NDK_CQ`]. Moderation precedes the longer form of the results.
    NDK_CQ_DISPATCH: 0x38;
    0 NdkCloseCq: NDK_FN_CLOSE_OBJECT,
    1 NdkQueryExtension: NDK_FN_QUERY_EXTENSION_INTERFACE,
    2 NdkResizeCq: NDK_FN_RESIZE_CQ,
    3 NdkArmCq: NDK_FN_ARM_CQ,
    4 NdkGetCqResults: NDK_FN_GET_CQ_RESULTS,
    5 NdkControlCqInterruptModeration: NDK_FN_CONTROL_CQ_INTERRUPT_MODERATION,
    /// NDKPI 1.2.
    6 NdkGetCqResultsEx: NDK_FN_GET_CQ_RESULTS_EX,
}

table! {
    /// Functions of [`NDK_MR`]. The remote token precedes the local one.
    NDK_MR_DISPATCH: 0x38;
    0 NdkCloseMr: NDK_FN_CLOSE_OBJECT,
    1 NdkQueryExtension: NDK_FN_QUERY_EXTENSION_INTERFACE,
    2 NdkRegisterMr: NDK_FN_REGISTER_MR,
    3 NdkDeregisterMr: NDK_FN_DEREGISTER_MR,
    4 NdkInitializeFastRegisterMr: NDK_FN_INITIALIZE_FAST_REGISTER_MR,
    5 NdkGetRemoteTokenFromMr: NDK_FN_GET_REMOTE_TOKEN_FROM_MR,
    6 NdkGetLocalTokenFromMr: NDK_FN_GET_LOCAL_TOKEN_FROM_MR,
}

table! {
    /// Functions of [`NDK_MW`].
    NDK_MW_DISPATCH: 0x18;
    0 NdkCloseMw: NDK_FN_CLOSE_OBJECT,
    1 NdkQueryExtension: NDK_FN_QUERY_EXTENSION_INTERFACE,
    2 NdkGetRemoteTokenFromMw: NDK_FN_GET_REMOTE_TOKEN_FROM_MW,
}

table! {
    /// Functions of [`NDK_SRQ`].
    NDK_SRQ_DISPATCH: 0x20;
    0 NdkCloseSrq: NDK_FN_CLOSE_OBJECT,
    1 NdkQueryExtension: NDK_FN_QUERY_EXTENSION_INTERFACE,
    2 NdkModifySrq: NDK_FN_MODIFY_SRQ,
    3 NdkSrqReceive: NDK_FN_SRQ_RECEIVE,
}

table! {
    /// Functions of [`NDK_QP`].
    NDK_QP_DISPATCH: 0x58;
    0 NdkCloseQp: NDK_FN_CLOSE_OBJECT,
    1 NdkQueryExtension: NDK_FN_QUERY_EXTENSION_INTERFACE,
    2 NdkFlush: NDK_FN_FLUSH,
    3 NdkSend: NDK_FN_SEND,
    4 NdkReceive: NDK_FN_RECEIVE,
    5 NdkBind: NDK_FN_BIND,
    6 NdkFastRegister: NDK_FN_FAST_REGISTER,
    7 NdkInvalidate: NDK_FN_INVALIDATE,
    8 NdkRead: NDK_FN_READ,
    9 NdkWrite: NDK_FN_WRITE,
    /// NDKPI 1.2.
    10 NdkSendAndInvalidate: NDK_FN_SEND_AND_INVALIDATE,
}

table! {
    /// Functions of [`NDK_CONNECTOR`].
    NDK_CONNECTOR_DISPATCH: 0x68;
    0 NdkCloseConnector: NDK_FN_CLOSE_OBJECT,
    1 NdkQueryExtension: NDK_FN_QUERY_EXTENSION_INTERFACE,
    2 NdkConnect: NDK_FN_CONNECT,
    3 NdkConnectWithSharedEndpoint: NDK_FN_CONNECT_WITH_SHARED_ENDPOINT,
    4 NdkCompleteConnect: NDK_FN_COMPLETE_CONNECT,
    5 NdkAccept: NDK_FN_ACCEPT,
    6 NdkReject: NDK_FN_REJECT,
    7 NdkGetConnectionData: NDK_FN_GET_CONNECTION_DATA,
    8 NdkGetLocalAddress: NDK_FN_GET_LOCAL_ADDRESS,
    9 NdkGetPeerAddress: NDK_FN_GET_PEER_ADDRESS,
    10 NdkDisconnect: NDK_FN_DISCONNECT,
    /// NDKPI 2.1.
    11 NdkCompleteConnectEx: NDK_FN_COMPLETE_CONNECT_EX,
    /// NDKPI 2.1.
    12 NdkAcceptEx: NDK_FN_ACCEPT_EX,
}

table! {
    /// Functions of [`NDK_LISTENER`].
    NDK_LISTENER_DISPATCH: 0x28;
    0 NdkCloseListener: NDK_FN_CLOSE_OBJECT,
    1 NdkQueryExtension: NDK_FN_QUERY_EXTENSION_INTERFACE,
    2 NdkListen: NDK_FN_LISTEN,
    3 NdkGetLocalAddress: NDK_FN_GET_LISTENER_LOCAL_ADDRESS,
    4 NdkControlConnectEvents: NDK_FN_CONTROL_CONNECT_EVENTS,
}

table! {
    /// Functions of [`NDK_SHARED_ENDPOINT`].
    NDK_SHARED_ENDPOINT_DISPATCH: 0x18;
    0 NdkCloseSharedEndpoint: NDK_FN_CLOSE_OBJECT,
    1 NdkQueryExtension: NDK_FN_QUERY_EXTENSION_INTERFACE,
    2 NdkGetLocalAddress: NDK_FN_GET_SHARED_ENDPOINT_LOCAL_ADDRESS,
}
