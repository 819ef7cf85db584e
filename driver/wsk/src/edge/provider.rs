//! WSK_PROVIDER_DISPATCH: the functions of a registered client.

use super::address;
use super::client::wsk_control_client;
use super::names::{wsk_free_address_info, wsk_get_address_info, wsk_get_name_info};
use crate::callbacks::Callbacks;
use crate::client::{Client, ClientUse};
use crate::connection::{Connection, StreamSocket};
use crate::listen::ListenSocket;
use crate::registration::VERSION;
use crate::system::Owner;
use abi::NTSTATUS;
use abi::nt::{IRP, PEPROCESS, PETHREAD, PSECURITY_DESCRIPTOR};
use abi::status::{
    STATUS_DEVICE_NOT_READY, STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED,
};
use abi::wsk::*;
use core::ffi::c_void;
use core::ptr;
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

unsafe extern "system" fn wsk_socket(
    client: PWSK_CLIENT,
    family: u16,
    socket_type: u16,
    protocol: u32,
    flags: u32,
    context: *mut c_void,
    dispatch: *const c_void,
    process: PEPROCESS,
    thread: PETHREAD,
    descriptor: PSECURITY_DESCRIPTOR,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's pointer.
    let Some(client) = (unsafe { self::client(client) }) else {
        // SAFETY: the client's IRP, entered once.
        return unsafe { fail_unmarked(irp, STATUS_INVALID_HANDLE) };
    };
    client.begin_sockets();
    let stream = socket_type == SOCK_STREAM && protocol == IPPROTO_TCP;
    let ours = stream
        && matches!(family, AF_INET | AF_INET6)
        && matches!(flags, WSK_FLAG_LISTEN_SOCKET | WSK_FLAG_CONNECTION_SOCKET | WSK_FLAG_STREAM_SOCKET);
    let user = Client::enter(&client);
    if let (false, Some((system, functions))) = (ours, user.as_ref().and_then(ClientUse::system)) {
        // SAFETY: the system's function with the client's parameters; its client lives as long as ours.
        return unsafe {
            (functions.WskSocket)(
                system,
                family,
                socket_type,
                protocol,
                flags,
                context,
                dispatch,
                process,
                thread,
                descriptor,
                irp,
            )
        };
    }
    let owner = Owner { process, thread, descriptor };
    let make = |irp: OwnedIrp| {
        let fail = |irp: OwnedIrp, status| irp.complete(Outcome::failure(status));
        let Some(user) = user else { return fail(irp, STATUS_DEVICE_NOT_READY) };
        let ipv4 = family == AF_INET;
        match flags {
            _ if !ours => fail(irp, STATUS_NOT_SUPPORTED),
            WSK_FLAG_LISTEN_SOCKET => {
                match ListenSocket::new(user, ipv4, Callbacks::new(context, dispatch.cast())) {
                    Ok(socket) => ListenSocket::open(&socket, owner, irp),
                    Err(status) => fail(irp, status),
                }
            }
            _ => {
                let (dispatch, stream) = if flags == WSK_FLAG_STREAM_SOCKET {
                    // SAFETY: NULL, or the client's table for stream sockets, valid as long as the socket.
                    let table = unsafe { dispatch.cast::<WSK_CLIENT_STREAM_DISPATCH>().as_ref() };
                    let (listen, connect) =
                        table.map_or((ptr::null(), ptr::null()), |table| (table.Listen, table.Connect));
                    (connect, Some(StreamSocket { dispatch: listen }))
                } else {
                    (dispatch.cast(), None)
                };
                match Connection::new(user, ipv4, Callbacks::new(context, dispatch), stream) {
                    Ok(socket) => Connection::open(&socket, owner, irp),
                    Err(status) => fail(irp, status),
                }
            }
        }
    };
    // SAFETY: the client's IRP, entered once.
    unsafe { pend(irp, make) }
}

unsafe extern "system" fn wsk_socket_connect(
    client: PWSK_CLIENT,
    socket_type: u16,
    protocol: u32,
    local: *mut SOCKADDR,
    remote: *mut SOCKADDR,
    flags: u32,
    context: *mut c_void,
    dispatch: *const WSK_CLIENT_CONNECTION_DISPATCH,
    process: PEPROCESS,
    thread: PETHREAD,
    descriptor: PSECURITY_DESCRIPTOR,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's pointer.
    let Some(client) = (unsafe { self::client(client) }) else {
        // SAFETY: the client's IRP, entered once.
        return unsafe { fail_unmarked(irp, STATUS_INVALID_HANDLE) };
    };
    client.begin_sockets();
    // SAFETY: the client's address, readable during the call.
    let local_address = unsafe { address(local) };
    // SAFETY: as above.
    let remote_address = unsafe { address(remote) };
    let addresses = local_address.zip(remote_address).filter(|(l, r)| l.is_ipv4() == r.is_ipv4());
    let ours = socket_type == SOCK_STREAM && protocol == IPPROTO_TCP && flags == 0;
    let user = Client::enter(&client);
    match (user.as_ref().and_then(ClientUse::system), addresses) {
        (_, Some((local, remote))) if ours => {
            let make = || {
                let user = user.ok_or(STATUS_DEVICE_NOT_READY)?;
                Connection::new(user, local.is_ipv4(), Callbacks::new(context, dispatch), None)
            };
            let owner = Owner { process, thread, descriptor };
            let work = |irp: OwnedIrp| match make() {
                Ok(socket) => Connection::bind_and_connect(&socket, owner, local, remote, irp),
                Err(status) => irp.complete(Outcome::failure(status)),
            };
            // SAFETY: the client's IRP, entered once.
            unsafe { pend(irp, work) }
        }
        // A provider without control operations has not this either, and leaves the IRP as it is.
        (Some((system, functions)), _) if client.has_system_controls() => {
            // SAFETY: the system's function with the client's parameters; its client lives as long as ours.
            unsafe {
                (functions.WskSocketConnect)(
                    system,
                    socket_type,
                    protocol,
                    local,
                    remote,
                    flags,
                    context,
                    dispatch,
                    process,
                    thread,
                    descriptor,
                    irp,
                )
            }
        }
        // SAFETY: the client's IRP, entered once.
        _ => unsafe { pend(irp, |irp| irp.complete(Outcome::failure(STATUS_INVALID_PARAMETER))) },
    }
}

/// A use of the client, which keeps it from deregistering during a call; `None` also once it deregisters. A client that
/// the registrar has attached holds no capture, so nothing else would keep its registration with the system.
///
/// # Safety
/// As for [`client`].
pub(super) unsafe fn user(target: PWSK_CLIENT) -> Option<ClientUse> {
    // SAFETY: the caller's promise.
    unsafe { client(target) }.and_then(|client| Client::enter(&client))
}

/// The client behind its pointer, with a reference of its own.
///
/// # Safety
/// `client` is NULL, or was captured and is not released, which keeps the registration.
pub(super) unsafe fn client(client: PWSK_CLIENT) -> Option<Shared<Client>> {
    let client = client.cast_const().cast::<Client>();
    // SAFETY: the caller's promise.
    (!client.is_null()).then(|| unsafe { Shared::clone_from_raw(client) })
}
