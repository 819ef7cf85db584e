//! What connections have.

use std::ptr;

use abi::NTSTATUS;
use abi::nt::IRP;
use abi::status::{STATUS_BUFFER_OVERFLOW, STATUS_INVALID_PARAMETER};
use abi::wsk::*;

use super::socket::{answer_address, on, release};
use crate::wsk::control::Function;
use crate::wsk::memory::{Buffer, read_address};
use crate::wsk::op::Receive;
use crate::wsk::request::{Request, Target, enter_unless};
use crate::wsk::world::World;

/// What WskConnectEx takes along at most, in bytes.
const FIRST: usize = 65535;

/// # Safety
/// The arguments are the client's, and `buffer` is NULL or readable.
unsafe fn connect(
    function: Function,
    socket: *mut WSK_SOCKET,
    remote: *mut SOCKADDR,
    buffer: *mut WSK_BUF,
    flags: u32,
    irp: *mut IRP,
) -> NTSTATUS {
    let at = socket.addr();
    let work = |world: &mut World, request: Request| {
        let Some(state) = world.sockets.get(&at) else { return };
        if state.dead {
            return world.answer(at, request, abi::status::STATUS_FILE_FORCED_CLOSED, 0);
        }
        // SAFETY: as promised by the caller.
        let to = unsafe { read_address(remote, state.kind.family) };
        let first = if buffer.is_null() {
            Ok(Buffer::EMPTY)
        } else {
            // SAFETY: as promised by the caller.
            unsafe { Buffer::read_from(buffer) }
        };
        let to = match (to, first) {
            _ if flags != 0 => Err(STATUS_INVALID_PARAMETER),
            (Err(status), _) | (_, Err(status)) => Err(status),
            (_, Ok(first)) if first.length > FIRST => Err(STATUS_BUFFER_OVERFLOW),
            (Ok(to), Ok(first)) => Ok((to, first)),
        };
        match to {
            Ok((to, first)) => world.connect(at, request, to, &first.read(0, first.length), false),
            Err(status) => world.answer(at, request, status, 0),
        }
    };
    // SAFETY: as promised by the caller.
    unsafe { enter_unless(function, &Target::Socket(at), irp, |world| world.refuses_connect(at), work) }
}

/// WskConnect.
pub(super) unsafe extern "system" fn wsk_connect(
    socket: *mut WSK_SOCKET,
    remote: *mut SOCKADDR,
    flags: u32,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's arguments.
    unsafe { connect(Function::WskConnect, socket, remote, ptr::null_mut(), flags, irp) }
}

/// WskConnectEx.
pub(super) unsafe extern "system" fn wsk_connect_ex(
    socket: *mut WSK_SOCKET,
    remote: *mut SOCKADDR,
    buffer: *mut WSK_BUF,
    flags: u32,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's arguments.
    unsafe { connect(Function::WskConnectEx, socket, remote, buffer, flags, irp) }
}

/// WskGetRemoteAddress.
pub(super) unsafe extern "system" fn wsk_get_remote_address(
    socket: *mut WSK_SOCKET,
    address: *mut SOCKADDR,
    irp: *mut IRP,
) -> NTSTATUS {
    let work = |world: &mut World, at: usize, request: Request| {
        // SAFETY: the client's room, until the IRP is completed.
        unsafe { answer_address(world, at, request, address, true) };
    };
    // SAFETY: the client's IRP for this call.
    unsafe { on(Function::WskGetRemoteAddress, socket, irp, work) }
}

/// # Safety
/// The arguments are the client's.
unsafe fn send(
    function: Function,
    socket: *mut WSK_SOCKET,
    buffer: *mut WSK_BUF,
    flags: u32,
    irp: *mut IRP,
) -> NTSTATUS {
    let work = |world: &mut World, at: usize, request: Request| {
        // SAFETY: as promised by the caller.
        match unsafe { Buffer::read_from(buffer) } {
            Ok(buffer) => world.send(at, request, buffer, flags),
            Err(status) => world.answer(at, request, status, 0),
        }
    };
    // SAFETY: as promised by the caller.
    unsafe { on(function, socket, irp, work) }
}

/// WskSend.
pub(super) unsafe extern "system" fn wsk_send(
    socket: *mut WSK_SOCKET,
    buffer: *mut WSK_BUF,
    flags: u32,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's arguments.
    unsafe { send(Function::WskSend, socket, buffer, flags, irp) }
}

/// WskSendEx: ancillary data, of which TCP has none, are ignored.
pub(super) unsafe extern "system" fn wsk_send_ex(
    socket: *mut WSK_SOCKET,
    buffer: *mut WSK_BUF,
    flags: u32,
    _control_length: u32,
    _control: *mut CMSGHDR,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's arguments.
    unsafe { send(Function::WskSendEx, socket, buffer, flags, irp) }
}

/// # Safety
/// The arguments are the client's.
unsafe fn receive(
    function: Function,
    socket: *mut WSK_SOCKET,
    buffer: *mut WSK_BUF,
    flags: u32,
    control: *mut u32,
    irp: *mut IRP,
) -> NTSTATUS {
    let work = |world: &mut World, at: usize, request: Request| {
        // SAFETY: as promised by the caller.
        match unsafe { Buffer::read_from(buffer) } {
            Ok(buffer) => world.receive(at, request, Receive { buffer, flags, placed: 0, control }),
            Err(status) => world.answer(at, request, status, 0),
        }
    };
    // SAFETY: as promised by the caller.
    unsafe { on(function, socket, irp, work) }
}

/// WskReceive.
pub(super) unsafe extern "system" fn wsk_receive(
    socket: *mut WSK_SOCKET,
    buffer: *mut WSK_BUF,
    flags: u32,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's arguments.
    unsafe { receive(Function::WskReceive, socket, buffer, flags, ptr::null_mut(), irp) }
}

/// WskReceiveEx: there never are ancillary data.
pub(super) unsafe extern "system" fn wsk_receive_ex(
    socket: *mut WSK_SOCKET,
    buffer: *mut WSK_BUF,
    flags: u32,
    control_length: *mut u32,
    _control: *mut CMSGHDR,
    _control_flags: *mut u32,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's arguments.
    unsafe { receive(Function::WskReceiveEx, socket, buffer, flags, control_length, irp) }
}

/// WskDisconnect.
pub(super) unsafe extern "system" fn wsk_disconnect(
    socket: *mut WSK_SOCKET,
    buffer: *mut WSK_BUF,
    flags: u32,
    irp: *mut IRP,
) -> NTSTATUS {
    let work = |world: &mut World, at: usize, request: Request| {
        let buffer = if buffer.is_null() {
            Ok(None)
        } else {
            // SAFETY: the client's, readable during the call.
            unsafe { Buffer::read_from(buffer) }.map(Some)
        };
        match buffer {
            Ok(buffer) => world.disconnect(at, request, buffer, flags),
            Err(status) => world.answer(at, request, status, 0),
        }
    };
    // SAFETY: the client's IRP for this call.
    unsafe { on(Function::WskDisconnect, socket, irp, work) }
}

/// The link of a node.
///
/// # Safety
/// `node` is a live node.
unsafe fn next(node: usize) -> usize {
    // SAFETY: as promised by the caller.
    unsafe { (*ptr::with_exposed_provenance::<WSK_DATA_INDICATION>(node)).Next }.expose_provenance()
}

/// WskRelease for stream data.
pub(super) unsafe extern "system" fn wsk_release(
    socket: *mut WSK_SOCKET,
    list: *mut WSK_DATA_INDICATION,
) -> NTSTATUS {
    // SAFETY: the nodes of a connection are of that type.
    unsafe { release(socket, list.addr(), next) }
}
