//! The dispatch tables: the only place that sees a client's raw pointers.
//!
//! Every function that takes an IRP enters it first and returns PENDING, whatever becomes of the request. What this
//! provider does not serve completes with NOT_SUPPORTED.

use crate::buffer::ClientBuffer;
use crate::client::Client;
use crate::connection::{Connection, ReceiveRequest, SendRequest};
use crate::listen::{Accept, ListenSocket};
use crate::registration::VERSION;
use abi::NTSTATUS;
use abi::nt::{GUID, IRP, PEPROCESS, PETHREAD, PSECURITY_DESCRIPTOR, UNICODE_STRING};
use abi::status::{
    STATUS_DEVICE_NOT_READY, STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED,
};
use abi::wsk::*;
use core::ffi::c_void;
use core::net::SocketAddr;
use irp::{Outcome, OwnedIrp, fail_unmarked, pend};
use kernel::pool::Shared;

/// WSK_PROVIDER_DISPATCH.
pub(crate) static PROVIDER_DISPATCH: WSK_PROVIDER_DISPATCH = WSK_PROVIDER_DISPATCH {
    Version: VERSION,
    Reserved: 0,
    WskSocket: wsk_socket,
    WskSocketConnect: wsk_socket_connect,
    WskControlClient: wsk_control_client,
    WskGetAddressInfo: wsk_get_address_info,
    WskFreeAddressInfo: wsk_free_address_info,
    WskGetNameInfo: wsk_get_name_info,
};

/// WSK_PROVIDER_LISTEN_DISPATCH.
pub(crate) static LISTEN_DISPATCH: WSK_PROVIDER_LISTEN_DISPATCH = WSK_PROVIDER_LISTEN_DISPATCH {
    Basic: WSK_PROVIDER_BASIC_DISPATCH {
        WskControlSocket: wsk_control_socket,
        WskCloseSocket: wsk_close_listen,
    },
    WskBind: wsk_bind_listen,
    WskAccept: wsk_accept,
    WskInspectComplete: wsk_inspect_complete,
    WskGetLocalAddress: wsk_get_local_address_listen,
};

/// WSK_PROVIDER_CONNECTION_DISPATCH, in its longest form.
pub(crate) static CONNECTION_DISPATCH: WSK_PROVIDER_CONNECTION_DISPATCH = WSK_PROVIDER_CONNECTION_DISPATCH {
    Basic: WSK_PROVIDER_BASIC_DISPATCH {
        WskControlSocket: wsk_control_socket,
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

/// Answers a call of a function that is not served: NOT_SUPPORTED, or INVALID_HANDLE where even `on`, the client or
/// socket, is NULL.
///
/// # Safety
/// `irp` is a client's IRP, entered here.
unsafe fn refuse<T>(on: *const T, irp: *mut IRP) -> NTSTATUS {
    if on.is_null() {
        // SAFETY: the caller's promise.
        return unsafe { fail_unmarked(irp, STATUS_INVALID_HANDLE) };
    }
    // SAFETY: the caller's promise.
    unsafe { pend(irp, |irp| irp.complete(Outcome::failure(STATUS_NOT_SUPPORTED))) }
}

/// The socket behind a client's pointer, with a reference of its own: a completion routine may close it.
///
/// # Safety
/// `socket` is a socket of kind `T` that was given to the client and is not closed, or NULL.
unsafe fn socket<T>(socket: *mut WSK_SOCKET) -> Option<Shared<T>> {
    let socket = socket.cast_const().cast::<T>();
    // SAFETY: the client's pointer is the address of the value inside a `Shared`, whose client reference lives.
    (!socket.is_null()).then(|| unsafe { Shared::clone_from_raw(socket) })
}

/// Enters `irp` and runs `work` with the socket, which the IRP keeps until its completion routine has returned; a NULL
/// socket is answered INVALID_HANDLE.
///
/// # Safety
/// As for [`socket`] and [`pend`].
unsafe fn on<T>(target: *mut WSK_SOCKET, irp: *mut IRP, work: impl FnOnce(Shared<T>, OwnedIrp)) -> NTSTATUS {
    // SAFETY: the caller's promise.
    unsafe {
        enter(target, irp, |socket: Shared<T>, irp| {
            let irp = irp.keep(&socket);
            work(socket, irp);
        })
    }
}

/// As [`on`], for the close: its IRP keeps nothing, because the socket's end completes it.
///
/// # Safety
/// As for [`on`].
unsafe fn enter<T>(
    target: *mut WSK_SOCKET,
    irp: *mut IRP,
    work: impl FnOnce(Shared<T>, OwnedIrp),
) -> NTSTATUS {
    // SAFETY: the caller's promise.
    match unsafe { socket::<T>(target) } {
        // SAFETY: as above.
        Some(socket) => unsafe { pend(irp, |irp| work(socket, irp)) },
        // SAFETY: as above.
        None => unsafe { fail_unmarked(irp, STATUS_INVALID_HANDLE) },
    }
}

unsafe extern "system" fn wsk_socket(
    client: PWSK_CLIENT,
    family: u16,
    socket_type: u16,
    protocol: u32,
    flags: u32,
    _context: *mut c_void,
    _dispatch: *const c_void,
    _process: PEPROCESS,
    _thread: PETHREAD,
    _descriptor: PSECURITY_DESCRIPTOR,
    irp: *mut IRP,
) -> NTSTATUS {
    let client = client.cast_const().cast::<Client>();
    if client.is_null() {
        // SAFETY: the client's IRP, entered once.
        return unsafe { fail_unmarked(irp, STATUS_INVALID_HANDLE) };
    }
    // SAFETY: the client captured the provider and has not released it, which keeps the registration.
    let client = unsafe { Shared::clone_from_raw(client) };
    let create = || {
        let ipv4 = match family {
            AF_INET => true,
            AF_INET6 => false,
            _ => return Err(STATUS_NOT_SUPPORTED),
        };
        if socket_type != SOCK_STREAM || protocol != IPPROTO_TCP {
            return Err(STATUS_NOT_SUPPORTED);
        }
        let user = Client::enter(&client).ok_or(STATUS_DEVICE_NOT_READY)?;
        // The reference that becomes the client's pointer: taken back by WskCloseSocket.
        match flags {
            WSK_FLAG_LISTEN_SOCKET => ListenSocket::new(user, ipv4).map(|s| Shared::into_raw(s).addr()),
            WSK_FLAG_CONNECTION_SOCKET => Connection::new(user, ipv4).map(|s| Shared::into_raw(s).addr()),
            _ => Err(STATUS_NOT_SUPPORTED),
        }
    };
    // SAFETY: the client's IRP, entered once.
    unsafe { pend(irp, |irp| irp.complete(create().map_or_else(Outcome::failure, Outcome::success))) }
}

unsafe extern "system" fn wsk_socket_connect(
    client: PWSK_CLIENT,
    _socket_type: u16,
    _protocol: u32,
    _local: *mut SOCKADDR,
    _remote: *mut SOCKADDR,
    _flags: u32,
    _context: *mut c_void,
    _dispatch: *const WSK_CLIENT_CONNECTION_DISPATCH,
    _process: PEPROCESS,
    _thread: PETHREAD,
    _descriptor: PSECURITY_DESCRIPTOR,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's IRP, entered once.
    unsafe { refuse(client, irp) }
}

unsafe extern "system" fn wsk_control_client(
    client: PWSK_CLIENT,
    _code: u32,
    _input_size: usize,
    _input: *mut c_void,
    _output_size: usize,
    _output: *mut c_void,
    _returned: *mut usize,
    irp: *mut IRP,
) -> NTSTATUS {
    if irp.is_null() {
        // The IRP is optional here.
        return STATUS_NOT_SUPPORTED;
    }
    // SAFETY: the client's IRP, entered once.
    unsafe { refuse(client, irp) }
}

unsafe extern "system" fn wsk_get_address_info(
    client: PWSK_CLIENT,
    _node: *mut UNICODE_STRING,
    _service: *mut UNICODE_STRING,
    _name_space: u32,
    _provider: *mut GUID,
    _hints: *mut ADDRINFOEXW,
    _result: *mut *mut ADDRINFOEXW,
    _process: PEPROCESS,
    _thread: PETHREAD,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's IRP, entered once.
    unsafe { refuse(client, irp) }
}

/// No address list was ever given out, so there is nothing to free.
unsafe extern "system" fn wsk_free_address_info(_client: PWSK_CLIENT, _info: *mut ADDRINFOEXW) {}

unsafe extern "system" fn wsk_get_name_info(
    client: PWSK_CLIENT,
    _address: *mut SOCKADDR,
    _address_length: u32,
    _node: *mut UNICODE_STRING,
    _service: *mut UNICODE_STRING,
    _flags: u32,
    _process: PEPROCESS,
    _thread: PETHREAD,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's IRP, entered once.
    unsafe { refuse(client, irp) }
}

unsafe extern "system" fn wsk_control_socket(
    socket: *mut WSK_SOCKET,
    _request: WSK_CONTROL_SOCKET_TYPE,
    _code: u32,
    _level: u32,
    _input_size: usize,
    _input: *mut c_void,
    _output_size: usize,
    _output: *mut c_void,
    _returned: *mut usize,
    irp: *mut IRP,
) -> NTSTATUS {
    if irp.is_null() {
        // The IRP is optional for some requests.
        return STATUS_NOT_SUPPORTED;
    }
    // SAFETY: the client's IRP, entered once.
    unsafe { refuse(socket, irp) }
}

unsafe extern "system" fn wsk_close_listen(socket: *mut WSK_SOCKET, irp: *mut IRP) -> NTSTATUS {
    // SAFETY: the client's socket and IRP.
    unsafe {
        enter::<ListenSocket>(socket, irp, |this, irp| {
            take_back(&this);
            ListenSocket::close(this, irp);
        })
    }
}

unsafe extern "system" fn wsk_close_connection(socket: *mut WSK_SOCKET, irp: *mut IRP) -> NTSTATUS {
    // SAFETY: the client's socket and IRP.
    unsafe {
        enter::<Connection>(socket, irp, |this, irp| {
            take_back(&this);
            Connection::close(this, irp);
        })
    }
}

/// Ends the client's reference: after WskCloseSocket the client does not use its pointer any more.
fn take_back<T>(socket: &Shared<T>) {
    // SAFETY: the reference was given to the client by `into_raw`, and a socket is closed once.
    drop(unsafe { Shared::from_raw(Shared::as_ptr(socket)) });
}

/// Reads an address that need not outlive the call.
///
/// # Safety
/// `address` is NULL or a socket address of the size that its family has.
unsafe fn address(address: *mut SOCKADDR) -> Option<SocketAddr> {
    // SAFETY: the caller's promise.
    unsafe { ndk::socket_addr_from_raw(address) }
}

unsafe extern "system" fn wsk_bind_listen(
    socket: *mut WSK_SOCKET,
    local: *mut SOCKADDR,
    _flags: u32,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's address, readable during the call.
    let local = unsafe { address(local) };
    // SAFETY: the client's socket and IRP.
    unsafe { on::<ListenSocket>(socket, irp, |this, irp| ListenSocket::bind(&this, local, irp)) }
}

unsafe extern "system" fn wsk_bind_connection(
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

unsafe extern "system" fn wsk_accept(
    socket: *mut WSK_SOCKET,
    _flags: u32,
    _context: *mut c_void,
    _dispatch: *const WSK_CLIENT_CONNECTION_DISPATCH,
    local: *mut SOCKADDR,
    remote: *mut SOCKADDR,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's socket and IRP; the addresses are the client's until completion.
    unsafe {
        on::<ListenSocket>(socket, irp, |this, irp| {
            ListenSocket::accept(&this, Accept { local, remote }, irp)
        })
    }
}

unsafe extern "system" fn wsk_inspect_complete(
    socket: *mut WSK_SOCKET,
    _id: *mut WSK_INSPECT_ID,
    _action: WSK_INSPECT_ACTION,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's IRP, entered once.
    unsafe { refuse(socket, irp) }
}

unsafe extern "system" fn wsk_connect(
    socket: *mut WSK_SOCKET,
    remote: *mut SOCKADDR,
    _flags: u32,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's address, readable during the call.
    let remote = unsafe { address(remote) };
    // SAFETY: the client's socket and IRP.
    unsafe { on::<Connection>(socket, irp, |this, irp| Connection::connect(&this, remote, irp)) }
}

/// Answers an address request.
fn tell(address: Result<SocketAddr, NTSTATUS>, to: *mut SOCKADDR, irp: OwnedIrp) {
    let outcome = match address {
        Ok(_) if to.is_null() => Outcome::failure(STATUS_INVALID_PARAMETER),
        Ok(address) => {
            // SAFETY: the client's buffer is valid for the family of the socket until its IRP is completed.
            unsafe { ndk::write_raw(to, address) };
            Outcome::success(0)
        }
        Err(status) => Outcome::failure(status),
    };
    irp.complete(outcome);
}

unsafe extern "system" fn wsk_get_local_address_listen(
    socket: *mut WSK_SOCKET,
    local: *mut SOCKADDR,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's socket and IRP.
    unsafe { on::<ListenSocket>(socket, irp, |this, irp| tell(this.local(), local, irp)) }
}

unsafe extern "system" fn wsk_get_local_address_connection(
    socket: *mut WSK_SOCKET,
    local: *mut SOCKADDR,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's socket and IRP.
    unsafe { on::<Connection>(socket, irp, |this, irp| tell(this.local(), local, irp)) }
}

unsafe extern "system" fn wsk_get_remote_address(
    socket: *mut WSK_SOCKET,
    remote: *mut SOCKADDR,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's socket and IRP.
    unsafe { on::<Connection>(socket, irp, |this, irp| tell(this.remote(), remote, irp)) }
}

unsafe extern "system" fn wsk_send(
    socket: *mut WSK_SOCKET,
    buffer: *mut WSK_BUF,
    flags: u32,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's structure, readable during the call; its chain is valid until completion.
    let buffer = unsafe { ClientBuffer::from_client(buffer) };
    let work = |this: Shared<Connection>, irp: OwnedIrp| match buffer {
        // Known clients pass other bits through; only urgent data cannot be ignored.
        _ if flags & WSK_FLAG_OOB != 0 => irp.complete(Outcome::failure(STATUS_NOT_SUPPORTED)),
        Some(buffer) => Connection::send(&this, SendRequest::new(buffer, false), irp),
        None => irp.complete(Outcome::failure(STATUS_INVALID_PARAMETER)),
    };
    // SAFETY: the client's socket and IRP.
    unsafe { on(socket, irp, work) }
}

unsafe extern "system" fn wsk_receive(
    socket: *mut WSK_SOCKET,
    buffer: *mut WSK_BUF,
    flags: u32,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's structure, readable during the call; its chain is valid until completion.
    let buffer = unsafe { ClientBuffer::from_client(buffer) };
    let work = |this: Shared<Connection>, irp: OwnedIrp| {
        let refused = match (WSK_RECEIVE_FLAGS::from_bits(flags), buffer) {
            (None, _) => STATUS_NOT_SUPPORTED,
            (Some(flags), Some(buffer)) => {
                let wait_all = flags.contains(WSK_RECEIVE_FLAGS::WAITALL);
                let drain = flags.contains(WSK_RECEIVE_FLAGS::DRAIN);
                if !(drain && (wait_all || buffer.len() != 0)) {
                    return Connection::receive(&this, ReceiveRequest::new(buffer, wait_all, drain), irp);
                }
                STATUS_INVALID_PARAMETER
            }
            (Some(_), None) => STATUS_INVALID_PARAMETER,
        };
        irp.complete(Outcome::failure(refused));
    };
    // SAFETY: the client's socket and IRP.
    unsafe { on(socket, irp, work) }
}

unsafe extern "system" fn wsk_disconnect(
    socket: *mut WSK_SOCKET,
    buffer: *mut WSK_BUF,
    flags: u32,
    irp: *mut IRP,
) -> NTSTATUS {
    let data = if buffer.is_null() {
        Some(ClientBuffer::EMPTY)
    } else {
        // SAFETY: the client's structure, readable during the call; its chain is valid until completion.
        unsafe { ClientBuffer::from_client(buffer) }
    };
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

/// Nothing was ever indicated, so nothing can be released.
unsafe extern "system" fn wsk_release(_socket: *mut WSK_SOCKET, _list: *mut WSK_DATA_INDICATION) -> NTSTATUS {
    STATUS_INVALID_PARAMETER
}

unsafe extern "system" fn wsk_connect_ex(
    socket: *mut WSK_SOCKET,
    _remote: *mut SOCKADDR,
    _buffer: *mut WSK_BUF,
    _flags: u32,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's IRP, entered once.
    unsafe { refuse(socket, irp) }
}

unsafe extern "system" fn wsk_send_ex(
    socket: *mut WSK_SOCKET,
    _buffer: *mut WSK_BUF,
    _flags: u32,
    _control_length: u32,
    _control: *mut CMSGHDR,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's IRP, entered once.
    unsafe { refuse(socket, irp) }
}

unsafe extern "system" fn wsk_receive_ex(
    socket: *mut WSK_SOCKET,
    _buffer: *mut WSK_BUF,
    _flags: u32,
    _control_length: *mut u32,
    _control: *mut CMSGHDR,
    _control_flags: *mut u32,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's IRP, entered once.
    unsafe { refuse(socket, irp) }
}
