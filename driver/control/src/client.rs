//! `\\.\wskrdma-client`: the test client driver, an ordinary WSK client that does what it is told.
//!
//! Each request is one WSK call; the IOCTL completes when the WSK request does, with its status. Sockets are
//! named by a number that is valid on the handle that created it; closing the handle closes them.
//!
//! | code | in | out |
//! |---|---|---|
//! | [`IOCTL_VERSION`] | nothing | `driver::Version` |
//! | [`IOCTL_SOCKET`] | [`SocketRequest`] | [`SocketReply`] |
//! | [`IOCTL_BIND`], [`IOCTL_CONNECT`] | [`AddressRequest`] | nothing |
//! | [`IOCTL_ACCEPT`] | [`SocketId`] | [`AcceptReply`] |
//! | [`IOCTL_SEND`] | [`SendRequest`], then the octets | [`SendReply`] |
//! | [`IOCTL_RECEIVE`] | [`ReceiveRequest`] | the octets; none at the end of the stream |
//! | [`IOCTL_DISCONNECT`] | [`DisconnectRequest`] | nothing |
//! | [`IOCTL_LOCAL_ADDRESS`], [`IOCTL_REMOTE_ADDRESS`] | [`SocketId`] | [`Address`](crate::Address) |
//! | [`IOCTL_CLOSE`] | [`SocketId`] | nothing |
//!
//! The conformance cases have requests of their own: [`cases`].
//!
//! Statuses beside those of WSK: BUFFER_TOO_SMALL (input or output shorter than its record), INVALID_BUFFER_SIZE
//! (longer than the record, or than [`MAX_TRANSFER`]), INVALID_HANDLE (no such socket),
//! TOO_MANY_OPENED_FILES ([`MAX_SOCKETS`] are open), INVALID_DEVICE_REQUEST (unknown code),
//! DEVICE_NOT_READY (no WSK provider).

pub mod cases;

pub use cases::FUNCTIONS;

use crate::record::record;
use crate::{Address, READ_ACCESS, WRITE_ACCESS, ctl_code};

/// The NT name of the device.
pub const DEVICE_NAME: &str = "\\Device\\wskrdma-client";
/// The Win32 name of the device.
pub const WIN32_NAME: &str = "\\\\.\\wskrdma-client";
/// The service's name.
pub const SERVICE_NAME: &str = "wskrdma-client";

/// Octets of user data in one send or receive, at most.
pub const MAX_TRANSFER: u32 = 4 << 20;
/// Sockets one handle may have, at most.
pub const MAX_SOCKETS: usize = 1024;

/// Asks for the driver's version record.
pub const IOCTL_VERSION: u32 = ctl_code(0x840, READ_ACCESS);
/// WskSocket.
pub const IOCTL_SOCKET: u32 = ctl_code(0x841, READ_ACCESS | WRITE_ACCESS);
/// WskBind.
pub const IOCTL_BIND: u32 = ctl_code(0x842, READ_ACCESS | WRITE_ACCESS);
/// WskAccept.
pub const IOCTL_ACCEPT: u32 = ctl_code(0x843, READ_ACCESS | WRITE_ACCESS);
/// WskConnect.
pub const IOCTL_CONNECT: u32 = ctl_code(0x844, READ_ACCESS | WRITE_ACCESS);
/// WskSend.
pub const IOCTL_SEND: u32 = ctl_code(0x845, READ_ACCESS | WRITE_ACCESS);
/// WskReceive.
pub const IOCTL_RECEIVE: u32 = ctl_code(0x846, READ_ACCESS | WRITE_ACCESS);
/// WskDisconnect.
pub const IOCTL_DISCONNECT: u32 = ctl_code(0x847, READ_ACCESS | WRITE_ACCESS);
/// WskGetLocalAddress.
pub const IOCTL_LOCAL_ADDRESS: u32 = ctl_code(0x848, READ_ACCESS);
/// WskGetRemoteAddress.
pub const IOCTL_REMOTE_ADDRESS: u32 = ctl_code(0x849, READ_ACCESS);
/// WskCloseSocket.
pub const IOCTL_CLOSE: u32 = ctl_code(0x84A, READ_ACCESS | WRITE_ACCESS);

record! {
    /// Creates a socket.
    pub struct SocketRequest {
        /// Address family: 2 AF_INET, 23 AF_INET6.
        family: u16,
        /// SOCK_STREAM 1.
        socket_type: u16,
        /// IPPROTO_TCP 6.
        protocol: u32,
        /// WSK_FLAG_LISTEN_SOCKET or WSK_FLAG_CONNECTION_SOCKET.
        flags: u32,
    }
}

record! {
    /// The new socket.
    pub struct SocketReply {
        /// Its number on this handle.
        socket: u32,
    }
}

record! {
    /// Names a socket.
    pub struct SocketId {
        /// Its number on this handle.
        socket: u32,
    }
}

record! {
    /// Binds or connects.
    pub struct AddressRequest {
        /// The socket.
        socket: u32,
        /// Zero.
        reserved: u32,
        /// Local address to bind to, or remote address to connect to.
        address: Address,
    }
}

record! {
    /// An accepted connection.
    pub struct AcceptReply {
        /// The new socket's number.
        socket: u32,
        /// Zero.
        reserved: u32,
        /// Its local address.
        local: Address,
        /// Its remote address.
        remote: Address,
    }
}

record! {
    /// Sends the octets that follow this record.
    pub struct SendRequest {
        /// The socket.
        socket: u32,
        /// Flags of WskSend.
        flags: u32,
    }
}

record! {
    /// What a send did.
    pub struct SendReply {
        /// Octets sent.
        sent: u32,
    }
}

record! {
    /// Receives up to the length of the output buffer.
    pub struct ReceiveRequest {
        /// The socket.
        socket: u32,
        /// Flags of WskReceive.
        flags: u32,
    }
}

record! {
    /// Disconnects.
    pub struct DisconnectRequest {
        /// The socket.
        socket: u32,
        /// 0 graceful, 1 WSK_FLAG_ABORTIVE.
        flags: u32,
    }
}
