//! Sockets as clients see them, data buffers and indications (`wsk.h`).

use core::ffi::c_void;

use super::{CMSGHDR, SOCKADDR};
use crate::layout;
use crate::nt::MDL;

/// A socket (`wsk.h`). The provider allocates it as the head of a larger object; it lives until the IRP of
/// `WskCloseSocket` is completed.
#[repr(C)]
#[derive(Debug)]
pub struct WSK_SOCKET {
    /// The `WSK_PROVIDER_*_DISPATCH` of the socket's category; constant data.
    pub Dispatch: *const c_void,
}
layout!(WSK_SOCKET: 8, 8; Dispatch 0x0);
/// Pointer to [`WSK_SOCKET`].
pub type PWSK_SOCKET = *mut WSK_SOCKET;

/// What the provider calls a client: its own binding context, opaque to the client (`wsk.h`).
pub type PWSK_CLIENT = *mut c_void;

/// A run of bytes in an MDL chain (`wsk.h`).
///
/// The chain stays valid until the request is completed; this structure only until the function returns.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WSK_BUF {
    /// Head of the chain; may be null when `Length` is zero.
    pub Mdl: *mut MDL,
    /// Bytes to skip, all within the first MDL.
    pub Offset: u32,
    /// Bytes; the chain may hold more.
    pub Length: usize,
}
layout!(WSK_BUF: 24, 8; Mdl 0x0, Offset 0x8, Length 0x10);
/// Pointer to [`WSK_BUF`].
pub type PWSK_BUF = *mut WSK_BUF;

/// Datagrams for `WskSendMessages`, one per link (`wsk.h`). The list is the client's until the request is completed.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WSK_BUF_LIST {
    pub Next: *mut WSK_BUF_LIST,
    pub Buffer: WSK_BUF,
}
layout!(WSK_BUF_LIST: 32, 8; Next 0x0, Buffer 0x8);
/// Pointer to [`WSK_BUF_LIST`].
pub type PWSK_BUF_LIST = *mut WSK_BUF_LIST;

/// Received stream data, one buffer per link (`wsk.h`).
///
/// The provider's; a client that answered `STATUS_PENDING` holds the whole list until it passes it to `WskRelease`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WSK_DATA_INDICATION {
    pub Next: *mut WSK_DATA_INDICATION,
    pub Buffer: WSK_BUF,
}
layout!(WSK_DATA_INDICATION: 32, 8; Next 0x0, Buffer 0x8);
/// Pointer to [`WSK_DATA_INDICATION`].
pub type PWSK_DATA_INDICATION = *mut WSK_DATA_INDICATION;

/// Received datagrams, one per link (`wsk.h`). Owned as [`WSK_DATA_INDICATION`] is.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WSK_DATAGRAM_INDICATION {
    pub Next: *mut WSK_DATAGRAM_INDICATION,
    pub Buffer: WSK_BUF,
    /// Null when there is none.
    pub ControlInfo: *mut CMSGHDR,
    /// Bytes.
    pub ControlInfoLength: u32,
    /// Sender, of the socket's family.
    pub RemoteAddress: *mut SOCKADDR,
}
layout!(WSK_DATAGRAM_INDICATION: 56, 8;
    Next 0x0, Buffer 0x8, ControlInfo 0x20, ControlInfoLength 0x28, RemoteAddress 0x30);
/// Pointer to [`WSK_DATAGRAM_INDICATION`].
pub type PWSK_DATAGRAM_INDICATION = *mut WSK_DATAGRAM_INDICATION;

/// Names a connection request under conditional accept (`wsk.h`); compared by content, unique while unresolved.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WSK_INSPECT_ID {
    pub Key: usize,
    pub SerialNumber: u32,
}
layout!(WSK_INSPECT_ID: 16, 8; Key 0x0, SerialNumber 0x8);
/// Pointer to [`WSK_INSPECT_ID`].
pub type PWSK_INSPECT_ID = *mut WSK_INSPECT_ID;

/// What to do with an inspected connection request (`wsk.h`).
pub type WSK_INSPECT_ACTION = i32;

/// Refuse it.
pub const WskInspectReject: WSK_INSPECT_ACTION = 0;
/// Go on with the handshake.
pub const WskInspectAccept: WSK_INSPECT_ACTION = 1;
/// Hold it until `WskInspectComplete`.
pub const WskInspectPend: WSK_INSPECT_ACTION = 2;
pub const WskInspectMax: WSK_INSPECT_ACTION = 3;
