//! Functions of the provider (`wsk.h`).
//!
//! `Flags` without a type named beside it is reserved and zero. Buffers are described by a [`WSK_BUF`] that is read
//! before the function returns; their memory, and out parameters, belong to the request until its IRP is completed.

use core::ffi::c_void;

use super::{
    ADDRINFOEXW, CMSGHDR, PWSK_CLIENT, SOCKADDR, WSK_BUF, WSK_BUF_LIST, WSK_CLIENT_CONNECTION_DISPATCH,
    WSK_CONTROL_SOCKET_TYPE, WSK_DATA_INDICATION, WSK_DATAGRAM_INDICATION, WSK_INSPECT_ACTION,
    WSK_INSPECT_ID, WSK_SOCKET,
};
use crate::NTSTATUS;
use crate::nt::{GUID, IRP, PEPROCESS, PETHREAD, PSECURITY_DESCRIPTOR, UNICODE_STRING};

/// Makes a socket (`WskSocket`); `Information` is the [`WSK_SOCKET`]. `Flags`: one `WSK_FLAG_*_SOCKET`.
///
/// `Dispatch` is the client's table for that category, or null.
pub type PFN_WSK_SOCKET = unsafe extern "system" fn(
    Client: PWSK_CLIENT,
    AddressFamily: u16,
    SocketType: u16,
    Protocol: u32,
    Flags: u32,
    SocketContext: *mut c_void,
    Dispatch: *const c_void,
    OwningProcess: PEPROCESS,
    OwningThread: PETHREAD,
    SecurityDescriptor: PSECURITY_DESCRIPTOR,
    Irp: *mut IRP,
) -> NTSTATUS;

/// Makes, binds and connects a connection socket (`WskSocketConnect`); `Information` is the [`WSK_SOCKET`].
pub type PFN_WSK_SOCKET_CONNECT = unsafe extern "system" fn(
    Client: PWSK_CLIENT,
    SocketType: u16,
    Protocol: u32,
    LocalAddress: *mut SOCKADDR,
    RemoteAddress: *mut SOCKADDR,
    Flags: u32,
    SocketContext: *mut c_void,
    Dispatch: *const WSK_CLIENT_CONNECTION_DISPATCH,
    OwningProcess: PEPROCESS,
    OwningThread: PETHREAD,
    SecurityDescriptor: PSECURITY_DESCRIPTOR,
    Irp: *mut IRP,
) -> NTSTATUS;

/// Control operation without a socket (`WskControlClient`). Whether `Irp` must or must not be null depends on the code;
/// with one, `OutputSizeReturned` is ignored and `Information` holds the size.
pub type PFN_WSK_CONTROL_CLIENT = unsafe extern "system" fn(
    Client: PWSK_CLIENT,
    ControlCode: u32,
    InputSize: usize,
    InputBuffer: *mut c_void,
    OutputSize: usize,
    OutputBuffer: *mut c_void,
    OutputSizeReturned: *mut usize,
    Irp: *mut IRP,
) -> NTSTATUS;

/// Names to addresses (`WskGetAddressInfo`). `PASSIVE_LEVEL`. The list goes back through `WskFreeAddressInfo`.
pub type PFN_WSK_GET_ADDRESS_INFO = unsafe extern "system" fn(
    Client: PWSK_CLIENT,
    NodeName: *mut UNICODE_STRING,
    ServiceName: *mut UNICODE_STRING,
    NameSpace: u32,
    Provider: *mut GUID,
    Hints: *mut ADDRINFOEXW,
    Result: *mut *mut ADDRINFOEXW,
    OwningProcess: PEPROCESS,
    OwningThread: PETHREAD,
    Irp: *mut IRP,
) -> NTSTATUS;

/// Frees a list of `WskGetAddressInfo` (`WskFreeAddressInfo`). `PASSIVE_LEVEL`.
pub type PFN_WSK_FREE_ADDRESS_INFO =
    unsafe extern "system" fn(Client: PWSK_CLIENT, AddrInfo: *mut ADDRINFOEXW);

/// Address to names (`WskGetNameInfo`). `PASSIVE_LEVEL`. `Flags`: `NI_*`; the strings are buffers of the caller's.
pub type PFN_WSK_GET_NAME_INFO = unsafe extern "system" fn(
    Client: PWSK_CLIENT,
    SockAddr: *mut SOCKADDR,
    SockAddrLength: u32,
    NodeName: *mut UNICODE_STRING,
    ServiceName: *mut UNICODE_STRING,
    Flags: u32,
    OwningProcess: PEPROCESS,
    OwningThread: PETHREAD,
    Irp: *mut IRP,
) -> NTSTATUS;

/// Sets or reads an option, or does an IOCTL (`WskControlSocket`). `Level` counts for options only. Without an IRP where one
/// is needed: `STATUS_REQUEST_NOT_ACCEPTED`.
pub type PFN_WSK_CONTROL_SOCKET = unsafe extern "system" fn(
    Socket: *mut WSK_SOCKET,
    RequestType: WSK_CONTROL_SOCKET_TYPE,
    ControlCode: u32,
    Level: u32,
    InputSize: usize,
    InputBuffer: *mut c_void,
    OutputSize: usize,
    OutputBuffer: *mut c_void,
    OutputSizeReturned: *mut usize,
    Irp: *mut IRP,
) -> NTSTATUS;

/// Closes a socket (`WskCloseSocket`); the socket is gone when the IRP completes.
pub type PFN_WSK_CLOSE_SOCKET = unsafe extern "system" fn(Socket: *mut WSK_SOCKET, Irp: *mut IRP) -> NTSTATUS;

/// Binds to a local address (`WskBind`); a listening socket starts to listen.
pub type PFN_WSK_BIND = unsafe extern "system" fn(
    Socket: *mut WSK_SOCKET,
    LocalAddress: *mut SOCKADDR,
    Flags: u32,
    Irp: *mut IRP,
) -> NTSTATUS;

/// Accepts the next connection (`WskAccept`); `Information` is the new [`WSK_SOCKET`].
pub type PFN_WSK_ACCEPT = unsafe extern "system" fn(
    ListenSocket: *mut WSK_SOCKET,
    Flags: u32,
    AcceptSocketContext: *mut c_void,
    AcceptSocketDispatch: *const WSK_CLIENT_CONNECTION_DISPATCH,
    LocalAddress: *mut SOCKADDR,
    RemoteAddress: *mut SOCKADDR,
    Irp: *mut IRP,
) -> NTSTATUS;

/// Answers a held connection request (`WskInspectComplete`): accept or reject.
pub type PFN_WSK_INSPECT_COMPLETE = unsafe extern "system" fn(
    ListenSocket: *mut WSK_SOCKET,
    InspectID: *mut WSK_INSPECT_ID,
    Action: WSK_INSPECT_ACTION,
    Irp: *mut IRP,
) -> NTSTATUS;

/// Reads the local address (`WskGetLocalAddress`).
pub type PFN_WSK_GET_LOCAL_ADDRESS = unsafe extern "system" fn(
    Socket: *mut WSK_SOCKET,
    LocalAddress: *mut SOCKADDR,
    Irp: *mut IRP,
) -> NTSTATUS;

/// Reads the peer's address (`WskGetRemoteAddress`).
pub type PFN_WSK_GET_REMOTE_ADDRESS = unsafe extern "system" fn(
    Socket: *mut WSK_SOCKET,
    RemoteAddress: *mut SOCKADDR,
    Irp: *mut IRP,
) -> NTSTATUS;

/// Connects (`WskConnect`).
pub type PFN_WSK_CONNECT = unsafe extern "system" fn(
    Socket: *mut WSK_SOCKET,
    RemoteAddress: *mut SOCKADDR,
    Flags: u32,
    Irp: *mut IRP,
) -> NTSTATUS;

/// Connects and sends (`WskConnectEx`); `Buffer` may be null.
pub type PFN_WSK_CONNECT_EX = unsafe extern "system" fn(
    Socket: *mut WSK_SOCKET,
    RemoteAddress: *mut SOCKADDR,
    Buffer: *mut WSK_BUF,
    Flags: u32,
    Irp: *mut IRP,
) -> NTSTATUS;

/// Makes a bound stream socket listen (`WskListen`).
pub type PFN_WSK_LISTEN = unsafe extern "system" fn(Socket: *mut WSK_SOCKET, Irp: *mut IRP) -> NTSTATUS;

/// Sends all of a buffer (`WskSend`). `Flags`: [`WSK_SEND_FLAGS`](super::WSK_SEND_FLAGS).
pub type PFN_WSK_SEND = unsafe extern "system" fn(
    Socket: *mut WSK_SOCKET,
    Buffer: *mut WSK_BUF,
    Flags: u32,
    Irp: *mut IRP,
) -> NTSTATUS;

/// `WskSend` with ancillary data (`PFN_WSK_SEND_EX`); `ControlInfoLength` is bytes.
pub type PFN_WSK_SEND_EX = unsafe extern "system" fn(
    Socket: *mut WSK_SOCKET,
    Buffer: *mut WSK_BUF,
    Flags: u32,
    ControlInfoLength: u32,
    ControlInfo: *mut CMSGHDR,
    Irp: *mut IRP,
) -> NTSTATUS;

/// Receives into a buffer (`WskReceive`). `Flags`: [`WSK_RECEIVE_FLAGS`](super::WSK_RECEIVE_FLAGS).
pub type PFN_WSK_RECEIVE = unsafe extern "system" fn(
    Socket: *mut WSK_SOCKET,
    Buffer: *mut WSK_BUF,
    Flags: u32,
    Irp: *mut IRP,
) -> NTSTATUS;

/// `WskReceive` with ancillary data (`PFN_WSK_RECEIVE_EX`). `*ControlInfoLength` is the room in bytes, then the bytes written.
pub type PFN_WSK_RECEIVE_EX = unsafe extern "system" fn(
    Socket: *mut WSK_SOCKET,
    Buffer: *mut WSK_BUF,
    Flags: u32,
    ControlInfoLength: *mut u32,
    ControlInfo: *mut CMSGHDR,
    ControlFlags: *mut u32,
    Irp: *mut IRP,
) -> NTSTATUS;

/// Disconnects (`WskDisconnect`). `Flags`: [`WSK_DISCONNECT_FLAGS`](super::WSK_DISCONNECT_FLAGS); `Buffer`, sent first, may
/// be null.
pub type PFN_WSK_DISCONNECT = unsafe extern "system" fn(
    Socket: *mut WSK_SOCKET,
    Buffer: *mut WSK_BUF,
    Flags: u32,
    Irp: *mut IRP,
) -> NTSTATUS;

/// Gives a kept list of stream data back (`WskRelease`). No IRP.
pub type PFN_WSK_RELEASE_DATA_INDICATION_LIST =
    unsafe extern "system" fn(Socket: *mut WSK_SOCKET, DataIndication: *mut WSK_DATA_INDICATION) -> NTSTATUS;

/// Gives a kept list of datagrams back (`WskRelease`). No IRP.
pub type PFN_WSK_RELEASE_DATAGRAM_INDICATION_LIST = unsafe extern "system" fn(
    Socket: *mut WSK_SOCKET,
    DatagramIndication: *mut WSK_DATAGRAM_INDICATION,
) -> NTSTATUS;

/// Sends a datagram (`WskSendTo`).
pub type PFN_WSK_SEND_TO = unsafe extern "system" fn(
    Socket: *mut WSK_SOCKET,
    Buffer: *mut WSK_BUF,
    Flags: u32,
    RemoteAddress: *mut SOCKADDR,
    ControlInfoLength: u32,
    ControlInfo: *mut CMSGHDR,
    Irp: *mut IRP,
) -> NTSTATUS;

/// Receives a datagram (`WskReceiveFrom`). `*ControlLength` is the room in bytes, then the bytes written;
/// `*ControlFlags` receives [`WSK_MSG_FLAGS`](super::WSK_MSG_FLAGS).
pub type PFN_WSK_RECEIVE_FROM = unsafe extern "system" fn(
    Socket: *mut WSK_SOCKET,
    Buffer: *mut WSK_BUF,
    Flags: u32,
    RemoteAddress: *mut SOCKADDR,
    ControlLength: *mut u32,
    ControlInfo: *mut CMSGHDR,
    ControlFlags: *mut u32,
    Irp: *mut IRP,
) -> NTSTATUS;

/// Sends several datagrams (`WskSendMessages`).
pub type PFN_WSK_SEND_MESSAGES = unsafe extern "system" fn(
    Socket: *mut WSK_SOCKET,
    BufferList: *mut WSK_BUF_LIST,
    Flags: u32,
    RemoteAddress: *mut SOCKADDR,
    ControlInfoLength: u32,
    ControlInfo: *mut CMSGHDR,
    Irp: *mut IRP,
) -> NTSTATUS;
