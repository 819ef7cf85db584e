//! WSK_PROVIDER_CONNECTION_DISPATCH.

use super::control::wsk_control_socket;
use super::{address, enter, on, take_back, tell};
use crate::buffer::ClientBuffer;
use crate::connection::{ConnectRequest, Connection, ReceiveRequest, SendRequest};
use abi::NTSTATUS;
use abi::nt::IRP;
use abi::status::{STATUS_BUFFER_OVERFLOW, STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED};
use abi::wsk::*;
use irp::{Outcome, OwnedIrp};
use kernel::pool::Shared;

/// Octets that a WskConnectEx may carry ("WskConnectEx").
const CONNECT_EX_MAX: usize = 65_535;

/// WSK_PROVIDER_CONNECTION_DISPATCH, in its longest form.
pub(crate) static CONNECTION_DISPATCH: WSK_PROVIDER_CONNECTION_DISPATCH = WSK_PROVIDER_CONNECTION_DISPATCH {
    Basic: WSK_PROVIDER_BASIC_DISPATCH {
        WskControlSocket: wsk_control_socket::<Connection>,
        WskCloseSocket: wsk_close_connection,
    },
    WskBind: wsk_bind_connection,
    WskConnect: wsk_connect,
    WskGetLocalAddress: wsk_get_local_address_connection,
    WskGetRemoteAddress: wsk_get_remote_address,
    WskSend: wsk_send,
    WskReceive: wsk_receive,
    WskDisconnect: wsk_disconnect,
    WskRelease: wsk_release,
    WskConnectEx: wsk_connect_ex,
    WskSendEx: wsk_send_ex,
    WskReceiveEx: wsk_receive_ex,
};

/// The system's socket that serves this one, and its functions, if its connection runs over TCP: the IRP goes there as it is.
///
/// # Safety
/// `socket` is an open connection socket that was given to the client, or NULL.
unsafe fn tcp<'a>(
    socket: *mut WSK_SOCKET,
) -> Option<(*mut WSK_SOCKET, &'a WSK_PROVIDER_CONNECTION_DISPATCH)> {
    // SAFETY: the client's pointer is the address of the value inside a `Shared`, whose client reference lives.
    let connection = unsafe { socket.cast_const().cast::<Connection>().as_ref() }?;
    let twin = connection.tcp()?;
    connection.count_tcp_call();
    // SAFETY: a connection's twin is an open connection socket as long as the client's is open.
    Some((twin.as_ptr(), unsafe { twin.connection() }))
}

/// Counts the octets of a send that goes to the system.
///
/// # Safety
/// As for [`tcp`]; `buffer` is NULL or readable.
unsafe fn count_octets(socket: *mut WSK_SOCKET, buffer: *const WSK_BUF) {
    // SAFETY: the caller's promise.
    let connection = unsafe { socket.cast_const().cast::<Connection>().as_ref() };
    if let (Some(connection), false) = (connection, buffer.is_null()) {
        // SAFETY: the caller's promise; a client's structure need not be aligned.
        let buffer = unsafe { buffer.read_unaligned() };
        connection.count_tcp_octets_sent(buffer.Length);
    }
}

pub(super) unsafe extern "system" fn wsk_close_connection(
    socket: *mut WSK_SOCKET,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's socket and IRP.
    unsafe {
        enter::<Connection>(socket, irp, |this, irp| {
            take_back(&this);
            Connection::close(this, irp);
        })
    }
}

pub(super) unsafe extern "system" fn wsk_bind_connection(
    socket: *mut WSK_SOCKET,
    local: *mut SOCKADDR,
    _flags: u32,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's address, readable during the call.
    let local = unsafe { address(local) };
    // SAFETY: the client's socket and IRP.
    unsafe { on::<Connection>(socket, irp, |this, irp| Connection::bind(&this, local, irp)) }
}

pub(super) unsafe extern "system" fn wsk_connect(
    socket: *mut WSK_SOCKET,
    remote: *mut SOCKADDR,
    flags: u32,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's socket.
    if let Some((twin, functions)) = unsafe { tcp(socket) } {
        // SAFETY: the system's function with the client's parameters.
        return unsafe { (functions.WskConnect)(twin, remote, flags, irp) };
    }
    // SAFETY: the client's address, readable during the call.
    let remote = unsafe { address(remote) };
    // SAFETY: the client's socket and IRP.
    unsafe {
        on::<Connection>(socket, irp, |this, irp| {
            Connection::connect(&this, remote, ConnectRequest::PLAIN, irp)
        })
    }
}

pub(super) unsafe extern "system" fn wsk_get_local_address_connection(
    socket: *mut WSK_SOCKET,
    local: *mut SOCKADDR,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's pointer is the address of the value inside a `Shared`, whose client reference lives.
    let connection = unsafe { socket.cast_const().cast::<Connection>().as_ref() };
    let wildcard = connection.is_some_and(|c| c.local().is_ok_and(|local| local.ip().is_unspecified()));
    // SAFETY: the client's socket.
    if let (true, Some((twin, functions))) = (wildcard, unsafe { tcp(socket) }) {
        // Bound to the wildcard: only the system knows what it has chosen.
        // SAFETY: the system's function with the client's parameters.
        return unsafe { (functions.WskGetLocalAddress)(twin, local, irp) };
    }
    // SAFETY: the client's socket and IRP.
    unsafe { on::<Connection>(socket, irp, |this, irp| tell(this.local(), local, irp)) }
}

pub(super) unsafe extern "system" fn wsk_get_remote_address(
    socket: *mut WSK_SOCKET,
    remote: *mut SOCKADDR,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's socket and IRP.
    unsafe { on::<Connection>(socket, irp, |this, irp| tell(this.remote(), remote, irp)) }
}

/// WskSend and WskSendEx.
fn send(
    this: &Shared<Connection>,
    buffer: Option<ClientBuffer>,
    flags: u32,
    has_control: bool,
    irp: OwnedIrp,
) {
    match buffer {
        // Known clients pass other bits through; only urgent data cannot be ignored.
        _ if flags & WSK_FLAG_OOB != 0 || has_control => irp.complete(Outcome::failure(STATUS_NOT_SUPPORTED)),
        Some(buffer) => Connection::send(this, SendRequest::new(buffer, false), irp),
        None => irp.complete(Outcome::failure(STATUS_INVALID_PARAMETER)),
    }
}

/// WskReceive and WskReceiveEx.
fn receive(this: &Shared<Connection>, buffer: Option<ClientBuffer>, flags: u32, irp: OwnedIrp) {
    let refused = match (WSK_RECEIVE_FLAGS::from_bits(flags), buffer) {
        (None, _) => STATUS_NOT_SUPPORTED,
        (Some(flags), Some(buffer)) => {
            let wait_all = flags.contains(WSK_RECEIVE_FLAGS::WAITALL);
            let drain = flags.contains(WSK_RECEIVE_FLAGS::DRAIN);
            if !(drain && (wait_all || buffer.len() != 0)) {
                return Connection::receive(this, ReceiveRequest::new(buffer, wait_all, drain), irp);
            }
            STATUS_INVALID_PARAMETER
        }
        (Some(_), None) => STATUS_INVALID_PARAMETER,
    };
    irp.complete(Outcome::failure(refused));
}

/// A buffer that need not be there.
///
/// # Safety
/// As for [`ClientBuffer::from_client`].
unsafe fn optional(buffer: *mut WSK_BUF) -> Option<ClientBuffer> {
    if buffer.is_null() {
        return Some(ClientBuffer::EMPTY);
    }
    // SAFETY: the caller's promise.
    unsafe { ClientBuffer::from_client(buffer) }
}

pub(super) unsafe extern "system" fn wsk_send(
    socket: *mut WSK_SOCKET,
    buffer: *mut WSK_BUF,
    flags: u32,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's socket.
    if let Some((twin, functions)) = unsafe { tcp(socket) } {
        // SAFETY: the client's socket and structure.
        unsafe { count_octets(socket, buffer) };
        // SAFETY: the system's function with the client's parameters.
        return unsafe { (functions.WskSend)(twin, buffer, flags, irp) };
    }
    // SAFETY: the client's structure, readable during the call; its chain is valid until completion.
    let buffer = unsafe { ClientBuffer::from_client(buffer) };
    // SAFETY: the client's socket and IRP.
    unsafe { on(socket, irp, |this, irp| send(&this, buffer, flags, false, irp)) }
}

pub(super) unsafe extern "system" fn wsk_receive(
    socket: *mut WSK_SOCKET,
    buffer: *mut WSK_BUF,
    flags: u32,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's socket.
    if let Some((twin, functions)) = unsafe { tcp(socket) } {
        // SAFETY: the system's function with the client's parameters.
        return unsafe { (functions.WskReceive)(twin, buffer, flags, irp) };
    }
    // SAFETY: the client's structure, readable during the call; its chain is valid until completion.
    let buffer = unsafe { ClientBuffer::from_client(buffer) };
    // SAFETY: the client's socket and IRP.
    unsafe { on(socket, irp, |this, irp| receive(&this, buffer, flags, irp)) }
}

pub(super) unsafe extern "system" fn wsk_disconnect(
    socket: *mut WSK_SOCKET,
    buffer: *mut WSK_BUF,
    flags: u32,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's socket.
    if let Some((twin, functions)) = unsafe { tcp(socket) } {
        // SAFETY: the system's function with the client's parameters.
        return unsafe { (functions.WskDisconnect)(twin, buffer, flags, irp) };
    }
    // SAFETY: the client's structure, readable during the call; its chain is valid until completion.
    let data = unsafe { optional(buffer) };
    let work = |this: Shared<Connection>, irp: OwnedIrp| match (WSK_DISCONNECT_FLAGS::from_bits(flags), data)
    {
        (None, _) => irp.complete(Outcome::failure(STATUS_NOT_SUPPORTED)),
        (Some(flags), Some(_)) if flags.contains(WSK_DISCONNECT_FLAGS::ABORTIVE) && buffer.is_null() => {
            Connection::abort(&this, irp);
        }
        (Some(flags), Some(data)) if flags.is_empty() => Connection::disconnect(&this, data, irp),
        (Some(_), _) => irp.complete(Outcome::failure(STATUS_INVALID_PARAMETER)),
    };
    // SAFETY: the client's socket and IRP.
    unsafe { on(socket, irp, work) }
}

pub(super) unsafe extern "system" fn wsk_release(
    target: *mut WSK_SOCKET,
    list: *mut WSK_DATA_INDICATION,
) -> NTSTATUS {
    // SAFETY: the client's socket.
    if let Some((twin, functions)) = unsafe { tcp(target) } {
        // SAFETY: the system's function with the client's parameters.
        return unsafe { (functions.WskRelease)(twin, list) };
    }
    // SAFETY: the client's socket; it is not gone while the client has nodes of it, whoever closes it.
    match unsafe { super::socket::<Connection>(target) } {
        // SAFETY: the client gives the nodes up by this call.
        Some(this) => unsafe { Connection::release(&this, list) },
        None => STATUS_INVALID_PARAMETER,
    }
}

pub(super) unsafe extern "system" fn wsk_connect_ex(
    socket: *mut WSK_SOCKET,
    remote: *mut SOCKADDR,
    buffer: *mut WSK_BUF,
    flags: u32,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's socket.
    if let Some((twin, functions)) = unsafe { tcp(socket) } {
        // SAFETY: the system's function with the client's parameters.
        return unsafe { (functions.WskConnectEx)(twin, remote, buffer, flags, irp) };
    }
    // SAFETY: the client's address, readable during the call.
    let remote = unsafe { address(remote) };
    // SAFETY: the client's structure, readable during the call; its chain is valid until completion.
    let buffer = unsafe { optional(buffer) };
    let work = |this: Shared<Connection>, irp: OwnedIrp| match buffer {
        Some(buffer) if flags == 0 && buffer.len() <= CONNECT_EX_MAX => {
            Connection::connect(&this, remote, ConnectRequest::with_data(buffer), irp);
        }
        Some(_) if flags == 0 => irp.complete(Outcome::failure(STATUS_BUFFER_OVERFLOW)),
        _ => irp.complete(Outcome::failure(STATUS_INVALID_PARAMETER)),
    };
    // SAFETY: the client's socket and IRP.
    unsafe { on(socket, irp, work) }
}

pub(super) unsafe extern "system" fn wsk_send_ex(
    socket: *mut WSK_SOCKET,
    buffer: *mut WSK_BUF,
    flags: u32,
    control_length: u32,
    control: *mut CMSGHDR,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's socket.
    if let Some((twin, functions)) = unsafe { tcp(socket) } {
        // SAFETY: the client's socket and structure.
        unsafe { count_octets(socket, buffer) };
        // SAFETY: the system's function with the client's parameters.
        return unsafe { (functions.WskSendEx)(twin, buffer, flags, control_length, control, irp) };
    }
    // A stream has no ancillary data to send: rather refused than lost.
    let has_control = control_length != 0 && !control.is_null();
    // SAFETY: the client's structure, readable during the call; its chain is valid until completion.
    let buffer = unsafe { ClientBuffer::from_client(buffer) };
    // SAFETY: the client's socket and IRP.
    unsafe { on(socket, irp, |this, irp| send(&this, buffer, flags, has_control, irp)) }
}

/// As WskReceive: a stream has no ancillary data, so `*control_length` becomes 0.
pub(super) unsafe extern "system" fn wsk_receive_ex(
    socket: *mut WSK_SOCKET,
    buffer: *mut WSK_BUF,
    flags: u32,
    control_length: *mut u32,
    control: *mut CMSGHDR,
    control_flags: *mut u32,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's socket.
    if let Some((twin, functions)) = unsafe { tcp(socket) } {
        // SAFETY: the system's function with the client's parameters.
        return unsafe {
            (functions.WskReceiveEx)(twin, buffer, flags, control_length, control, control_flags, irp)
        };
    }
    if !irp.is_null() && !socket.is_null() {
        for word in [control_length, control_flags] {
            // SAFETY: NULL, or the client's until completion.
            if let Some(word) = unsafe { word.as_mut() } {
                *word = 0;
            }
        }
    }
    // SAFETY: the client's structure, readable during the call; its chain is valid until completion.
    let buffer = unsafe { ClientBuffer::from_client(buffer) };
    // SAFETY: the client's socket and IRP.
    unsafe { on(socket, irp, |this, irp| receive(&this, buffer, flags, irp)) }
}
