//! Functions that the provider calls in the client, and the client's tables (`wsk.h`).

use core::ffi::c_void;

use super::{
    CMSGHDR, SOCKADDR, WSK_DATA_INDICATION, WSK_DATAGRAM_INDICATION, WSK_INSPECT_ACTION, WSK_INSPECT_ID,
    WSK_SOCKET,
};
use crate::{NTSTATUS, layout};

/// Event of a registration (`WskClientEvent`); no events are defined, so answer `STATUS_NOT_IMPLEMENTED`.
pub type PFN_WSK_CLIENT_EVENT = unsafe extern "system" fn(
    ClientContext: *mut c_void,
    EventType: u32,
    Information: *mut c_void,
    InformationLength: usize,
) -> NTSTATUS;

/// A connection has come in (`WskAcceptEvent`). `Flags`: [`WSK_EVENT_FLAGS`](super::WSK_EVENT_FLAGS).
///
/// `STATUS_SUCCESS` takes the socket over, with the context and table written to the two out parameters;
/// `STATUS_REQUEST_NOT_ACCEPTED` leaves it to the provider, which drops it. A null `AcceptSocket` says that the listener
/// is dead. The addresses are gone when the callback returns.
pub type PFN_WSK_ACCEPT_EVENT = unsafe extern "system" fn(
    SocketContext: *mut c_void,
    Flags: u32,
    LocalAddress: *mut SOCKADDR,
    RemoteAddress: *mut SOCKADDR,
    AcceptSocket: *mut WSK_SOCKET,
    AcceptSocketContext: *mut *mut c_void,
    AcceptSocketDispatch: *mut *const WSK_CLIENT_CONNECTION_DISPATCH,
) -> NTSTATUS;

/// A connection request is there to be judged (`WskInspectEvent`). A null `InspectID` says that the listener is dead.
pub type PFN_WSK_INSPECT_EVENT = unsafe extern "system" fn(
    SocketContext: *mut c_void,
    LocalAddress: *mut SOCKADDR,
    RemoteAddress: *mut SOCKADDR,
    InspectID: *mut WSK_INSPECT_ID,
) -> WSK_INSPECT_ACTION;

/// An inspected connection request was dropped (`WskAbortEvent`). Always `STATUS_SUCCESS`.
pub type PFN_WSK_ABORT_EVENT =
    unsafe extern "system" fn(SocketContext: *mut c_void, InspectID: *mut WSK_INSPECT_ID) -> NTSTATUS;

/// Datagrams have come in (`WskReceiveFromEvent`).
/// `Flags`: [`WSK_RECEIVE_FROM_EVENT_FLAGS`](super::WSK_RECEIVE_FROM_EVENT_FLAGS).
///
/// `STATUS_SUCCESS` (done with them), `STATUS_PENDING` (kept until `WskRelease`), `STATUS_DATA_NOT_ACCEPTED` (indicate
/// again after the next `WskReceiveFrom`). A null list says that the socket is dead.
pub type PFN_WSK_RECEIVE_FROM_EVENT = unsafe extern "system" fn(
    SocketContext: *mut c_void,
    Flags: u32,
    DataIndication: *mut WSK_DATAGRAM_INDICATION,
) -> NTSTATUS;

/// Stream data have come in (`WskReceiveEvent`).
/// `Flags`: [`WSK_RECEIVE_EVENT_FLAGS`](super::WSK_RECEIVE_EVENT_FLAGS).
///
/// `*BytesAccepted` holds `BytesIndicated` on entry; a client that takes less lowers it and answers `STATUS_SUCCESS`.
/// `STATUS_PENDING` keeps the list until `WskRelease`, `STATUS_DATA_NOT_ACCEPTED` takes nothing. A null list says that
/// the socket is dead.
pub type PFN_WSK_RECEIVE_EVENT = unsafe extern "system" fn(
    SocketContext: *mut c_void,
    Flags: u32,
    DataIndication: *mut WSK_DATA_INDICATION,
    BytesIndicated: usize,
    BytesAccepted: *mut usize,
) -> NTSTATUS;

/// Stream data with ancillary data have come in (`PFN_WSK_RECEIVE_EX_EVENT`); answers as [`PFN_WSK_RECEIVE_EVENT`].
pub type PFN_WSK_RECEIVE_EX_EVENT = unsafe extern "system" fn(
    SocketContext: *mut c_void,
    Flags: u32,
    DataIndication: *mut WSK_DATA_INDICATION,
    ControlInfo: *mut CMSGHDR,
    ControlInfoLength: u32,
    BytesIndicated: usize,
    BytesAccepted: *mut usize,
) -> NTSTATUS;

/// The peer has closed (`WskDisconnectEvent`).
/// `Flags`: [`WSK_DISCONNECT_EVENT_FLAGS`](super::WSK_DISCONNECT_EVENT_FLAGS). Always `STATUS_SUCCESS`.
pub type PFN_WSK_DISCONNECT_EVENT =
    unsafe extern "system" fn(SocketContext: *mut c_void, Flags: u32) -> NTSTATUS;

/// The ideal amount of outstanding send data, in bytes, has changed (`WskSendBacklogEvent`). Always `STATUS_SUCCESS`.
pub type PFN_WSK_SEND_BACKLOG_EVENT =
    unsafe extern "system" fn(SocketContext: *mut c_void, IdealBacklogSize: usize) -> NTSTATUS;

/// What a client registers with (`wsk.h`); valid as long as the registration.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WSK_CLIENT_DISPATCH {
    /// [`MAKE_WSK_VERSION`](super::MAKE_WSK_VERSION).
    pub Version: u16,
    /// Zero.
    pub Reserved: u16,
    pub WskClientEvent: Option<PFN_WSK_CLIENT_EVENT>,
}
layout!(WSK_CLIENT_DISPATCH: 16, 8; Version 0x0, Reserved 0x2, WskClientEvent 0x8);

/// Callbacks of a listening socket (`wsk.h`); valid as long as the socket.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WSK_CLIENT_LISTEN_DISPATCH {
    pub WskAcceptEvent: Option<PFN_WSK_ACCEPT_EVENT>,
    pub WskInspectEvent: Option<PFN_WSK_INSPECT_EVENT>,
    pub WskAbortEvent: Option<PFN_WSK_ABORT_EVENT>,
}
layout!(WSK_CLIENT_LISTEN_DISPATCH: 24, 8; WskAcceptEvent 0x0, WskInspectEvent 0x8, WskAbortEvent 0x10);

/// Callbacks of a datagram socket (`wsk.h`); valid as long as the socket.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WSK_CLIENT_DATAGRAM_DISPATCH {
    pub WskReceiveFromEvent: Option<PFN_WSK_RECEIVE_FROM_EVENT>,
}
layout!(WSK_CLIENT_DATAGRAM_DISPATCH: 8, 8; WskReceiveFromEvent 0x0);

/// Callbacks of a connection socket (`wsk.h`); valid as long as the socket.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WSK_CLIENT_CONNECTION_DISPATCH {
    pub WskReceiveEvent: Option<PFN_WSK_RECEIVE_EVENT>,
    pub WskDisconnectEvent: Option<PFN_WSK_DISCONNECT_EVENT>,
    pub WskSendBacklogEvent: Option<PFN_WSK_SEND_BACKLOG_EVENT>,
}
layout!(WSK_CLIENT_CONNECTION_DISPATCH: 24, 8;
    WskReceiveEvent 0x0, WskDisconnectEvent 0x8, WskSendBacklogEvent 0x10);

/// Callbacks of a stream socket, whichever role it takes (`wsk.h`); valid as long as the socket.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WSK_CLIENT_STREAM_DISPATCH {
    pub Listen: *const WSK_CLIENT_LISTEN_DISPATCH,
    pub Connect: *const WSK_CLIENT_CONNECTION_DISPATCH,
}
layout!(WSK_CLIENT_STREAM_DISPATCH: 16, 8; Listen 0x0, Connect 0x8);
