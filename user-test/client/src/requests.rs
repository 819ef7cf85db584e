//! What each request asks of WSK.

use crate::handle::Handle;
use crate::operation::{Ioctl, Kind, Operation};
use crate::slots::Socket;
use abi::NTSTATUS;
use abi::status::{
    STATUS_BUFFER_TOO_SMALL, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_BUFFER_SIZE,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER,
};
use abi::wsk::*;
use control::client::*;
use control::driver::Version;
use control::{Address, Record};
use core::net::SocketAddr;
use core::ptr;
use kernel::mdl::OwnedMdl;
use kernel::pool::{PoolBox, Shared};

/// Reads the record of a request, which is exactly the input unless octets may follow.
fn record<R: Record>(ioctl: &Ioctl, octets_follow: bool) -> Result<R, NTSTATUS> {
    let request = ioctl.request();
    let record = R::decode(request).map_err(|_| STATUS_BUFFER_TOO_SMALL)?;
    if request.len() > R::SIZE && !octets_follow {
        return Err(STATUS_INVALID_BUFFER_SIZE);
    }
    Ok(record)
}

/// The reply of `R` must fit before anything is done.
fn room<R: Record>(ioctl: &Ioctl) -> Result<(), NTSTATUS> {
    if ioctl.output < R::SIZE { Err(STATUS_BUFFER_TOO_SMALL) } else { Ok(()) }
}

/// Takes a request apart and starts it. Whatever happens, the IOCTL is completed.
pub(crate) fn dispatch(handle: &Shared<Handle>, code: u32, ioctl: Ioctl) {
    let checked = match code {
        IOCTL_VERSION if ioctl.input != 0 => Err(STATUS_INVALID_BUFFER_SIZE),
        IOCTL_VERSION => return ioctl.answer(&Version::CURRENT),
        IOCTL_SOCKET => record::<SocketRequest>(&ioctl, false)
            .and_then(|r| room::<SocketReply>(&ioctl).map(|()| r))
            .map(Request::Socket),
        IOCTL_BIND => record(&ioctl, false).and_then(|r| address(&r)).map(|(s, a)| Request::Bind(s, a)),
        IOCTL_CONNECT => record(&ioctl, false).and_then(|r| address(&r)).map(|(s, a)| Request::Connect(s, a)),
        IOCTL_ACCEPT => id(&ioctl).and_then(|s| room::<AcceptReply>(&ioctl).map(|()| Request::Accept(s))),
        IOCTL_SEND => record::<SendRequest>(&ioctl, true)
            .and_then(|r| room::<SendReply>(&ioctl).map(|()| r))
            .and_then(|r| limit(ioctl.input.saturating_sub(SendRequest::SIZE)).map(|n| Request::Send(r, n))),
        IOCTL_RECEIVE => record::<ReceiveRequest>(&ioctl, false)
            .and_then(|r| limit(ioctl.output).map(|n| Request::Receive(r, n))),
        IOCTL_DISCONNECT => record::<DisconnectRequest>(&ioctl, false).map(Request::Disconnect),
        IOCTL_LOCAL_ADDRESS => {
            id(&ioctl).and_then(|s| room::<Address>(&ioctl).map(|()| Request::LocalAddress(s)))
        }
        IOCTL_REMOTE_ADDRESS => {
            id(&ioctl).and_then(|s| room::<Address>(&ioctl).map(|()| Request::RemoteAddress(s)))
        }
        IOCTL_CLOSE => id(&ioctl).map(Request::Close),
        _ => Err(STATUS_INVALID_DEVICE_REQUEST),
    };
    match checked {
        Ok(request) => start(handle, request, ioctl),
        Err(status) => ioctl.complete(status, 0),
    }
}

enum Request {
    Socket(SocketRequest),
    Bind(u32, SocketAddr),
    Connect(u32, SocketAddr),
    Accept(u32),
    Send(SendRequest, usize),
    Receive(ReceiveRequest, usize),
    Disconnect(DisconnectRequest),
    LocalAddress(u32),
    RemoteAddress(u32),
    Close(u32),
}

fn id(ioctl: &Ioctl) -> Result<u32, NTSTATUS> {
    record::<SocketId>(ioctl, false).map(|r| r.socket)
}

fn address(request: &AddressRequest) -> Result<(u32, SocketAddr), NTSTATUS> {
    let address = request.address.to_socket_addr().ok_or(STATUS_INVALID_PARAMETER)?;
    Ok((request.socket, address))
}

fn limit(octets: usize) -> Result<usize, NTSTATUS> {
    if octets > MAX_TRANSFER as usize { Err(STATUS_INVALID_BUFFER_SIZE) } else { Ok(octets) }
}

fn start(handle: &Shared<Handle>, request: Request, ioctl: Ioctl) {
    let (kind, octets) = match &request {
        Request::Socket(r) => (Kind::Socket(r.flags), None),
        Request::Accept(_) => (Kind::Accept, None),
        // The octets of a send lie behind its record; those of a receive take the place of the request.
        Request::Send(_, n) => (Kind::Send, Some((SendRequest::SIZE, *n))),
        Request::Receive(_, n) => (Kind::Receive, Some((0, *n))),
        Request::LocalAddress(_) | Request::RemoteAddress(_) => (Kind::Address, None),
        _ => (Kind::Plain, None),
    };
    let buffer = ioctl.buffer;
    let Some(mut operation) = Operation::new(handle, kind, Some(ioctl)) else { return };
    if let Some((offset, len)) = octets.filter(|(_, len)| *len != 0) {
        // SAFETY: the system buffer is non-paged pool that stays until the IOCTL is completed, which the operation
        // does after the provider is done with the MDL.
        match unsafe { OwnedMdl::for_non_paged_pool(buffer.wrapping_add(offset), len) } {
            Ok(mdl) => operation.mdl = Some(mdl),
            Err(_) => return Operation::fail(operation, STATUS_INSUFFICIENT_RESOURCES),
        }
    }
    match request {
        Request::Socket(r) => socket(handle, &r, operation),
        Request::Close(number) => Handle::close_socket(handle, number, operation),
        Request::Bind(n, address) => on(handle, n, operation, |s, o| bind(s, address, o)),
        Request::Connect(n, address) => on(handle, n, operation, |s, o| connect(s, address, o)),
        Request::Accept(n) => on(handle, n, operation, accept),
        Request::Send(r, n) => on(handle, r.socket, operation, |s, o| send(s, n, r.flags, o)),
        Request::Receive(r, n) => on(handle, r.socket, operation, |s, o| receive(s, n, r.flags, o)),
        Request::Disconnect(r) => on(handle, r.socket, operation, |s, o| disconnect(s, r.flags, o)),
        Request::LocalAddress(n) => on(handle, n, operation, local_address),
        Request::RemoteAddress(n) => on(handle, n, operation, remote_address),
    }
}

/// Makes a call on a socket of the handle.
fn on(
    handle: &Shared<Handle>,
    number: u32,
    operation: PoolBox<Operation>,
    call: impl FnOnce(Socket, PoolBox<Operation>),
) {
    // A cell, because the operation must survive a call that is not made.
    let mut operation = Some(operation);
    let made = Handle::with_socket(handle, number, |socket| {
        if let Some(operation) = operation.take() {
            call(socket, operation);
        }
    });
    let status = made.map_err(|(status, _)| status).err();
    if let (Some(status), Some(operation)) = (status, operation) {
        Operation::fail(operation, status);
    }
}

/// The table of a connection socket; any other kind is refused.
fn connection(socket: Socket) -> Option<*const WSK_PROVIDER_CONNECTION_DISPATCH> {
    // SAFETY: the socket is open.
    (!socket.listens()).then(|| unsafe { (*socket.pointer).Dispatch }.cast())
}

/// The table of a listening socket; any other kind is refused.
fn listener(socket: Socket) -> Option<*const WSK_PROVIDER_LISTEN_DISPATCH> {
    // SAFETY: the socket is open.
    socket.listens().then(|| unsafe { (*socket.pointer).Dispatch }.cast())
}

/// Starts a call through a function of a table, if the socket has that table.
macro_rules! call {
    ($table:expr, $member:ident, $operation:expr, |$function:ident, $irp:ident, $local:pat_param, $remote:pat_param| $call:expr) => {
        match $table {
            Some(table) => {
                // SAFETY: a provider's table is valid as long as the socket.
                let $function = unsafe { (*table).$member };
                // SAFETY: the socket is open during the call; the IRP and all that it needs belong to the operation.
                Operation::start($operation, |$irp, $local, $remote| unsafe { $call });
            }
            None => Operation::fail($operation, STATUS_INVALID_DEVICE_REQUEST),
        }
    };
}

fn socket(handle: &Shared<Handle>, r: &SocketRequest, operation: PoolBox<Operation>) {
    let npi = handle.client.npi;
    let (null, none) = (ptr::null_mut(), ptr::null());
    call!(Some(npi.Dispatch), WskSocket, operation, |create, irp, _, _| create(
        npi.Client,
        r.family,
        r.socket_type,
        r.protocol,
        r.flags,
        null,
        none,
        null.cast(),
        null.cast(),
        null.cast(),
        irp
    ));
}

/// An address as WSK takes it.
fn raw(address: SocketAddr) -> SOCKADDR_INET {
    match address {
        SocketAddr::V4(a) => SOCKADDR_INET {
            Ipv4: SOCKADDR_IN {
                sin_family: AF_INET,
                sin_port: a.port().to_be(),
                sin_addr: a.ip().octets(),
                sin_zero: [0; 8],
            },
        },
        SocketAddr::V6(a) => SOCKADDR_INET {
            Ipv6: SOCKADDR_IN6 {
                sin6_family: AF_INET6,
                sin6_port: a.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: a.ip().octets(),
                sin6_scope_id: a.scope_id(),
            },
        },
    }
}

fn bind(socket: Socket, address: SocketAddr, operation: PoolBox<Operation>) {
    let mut at = raw(address);
    let at = (&raw mut at).cast();
    if let Some(table) = listener(socket) {
        call!(Some(table), WskBind, operation, |bind, irp, _, _| bind(socket.pointer, at, 0, irp));
    } else {
        call!(connection(socket), WskBind, operation, |bind, irp, _, _| bind(socket.pointer, at, 0, irp));
    }
}

fn connect(socket: Socket, address: SocketAddr, operation: PoolBox<Operation>) {
    let mut to = raw(address);
    let to = (&raw mut to).cast();
    call!(connection(socket), WskConnect, operation, |connect, irp, _, _| connect(
        socket.pointer,
        to,
        0,
        irp
    ));
}

fn accept(socket: Socket, operation: PoolBox<Operation>) {
    call!(listener(socket), WskAccept, operation, |accept, irp, local, remote| accept(
        socket.pointer,
        0,
        ptr::null_mut(),
        ptr::null(),
        local,
        remote,
        irp
    ));
}

/// The buffer of an operation's MDL.
fn buffer(operation: &Operation, len: usize) -> WSK_BUF {
    let mdl = operation.mdl.as_ref().map_or(ptr::null_mut(), OwnedMdl::as_ptr);
    WSK_BUF { Mdl: mdl, Offset: 0, Length: len }
}

fn send(socket: Socket, len: usize, flags: u32, operation: PoolBox<Operation>) {
    let mut buffer = buffer(&operation, len);
    call!(connection(socket), WskSend, operation, |send, irp, _, _| send(
        socket.pointer,
        &mut buffer,
        flags,
        irp
    ));
}

fn receive(socket: Socket, len: usize, flags: u32, operation: PoolBox<Operation>) {
    let mut buffer = buffer(&operation, len);
    call!(connection(socket), WskReceive, operation, |receive, irp, _, _| receive(
        socket.pointer,
        &mut buffer,
        flags,
        irp
    ));
}

fn disconnect(socket: Socket, flags: u32, operation: PoolBox<Operation>) {
    call!(connection(socket), WskDisconnect, operation, |disconnect, irp, _, _| disconnect(
        socket.pointer,
        ptr::null_mut(),
        flags,
        irp
    ));
}

fn local_address(socket: Socket, operation: PoolBox<Operation>) {
    if let Some(table) = listener(socket) {
        call!(Some(table), WskGetLocalAddress, operation, |get, irp, local, _| get(
            socket.pointer,
            local,
            irp
        ));
    } else {
        call!(connection(socket), WskGetLocalAddress, operation, |get, irp, local, _| get(
            socket.pointer,
            local,
            irp
        ));
    }
}

fn remote_address(socket: Socket, operation: PoolBox<Operation>) {
    call!(connection(socket), WskGetRemoteAddress, operation, |get, irp, local, _| get(
        socket.pointer,
        local,
        irp
    ));
}
