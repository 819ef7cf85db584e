//! What every kind of socket has.

use std::ffi::c_void;

use abi::NTSTATUS;
use abi::nt::IRP;
use abi::status::{
    STATUS_BUFFER_OVERFLOW, STATUS_FILE_FORCED_CLOSED, STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_HANDLE,
    STATUS_INVALID_PARAMETER, STATUS_REQUEST_NOT_ACCEPTED, STATUS_SUCCESS, nt_success,
};
use abi::wsk::*;

use crate::wsk::control::{Function, begin_call};
use crate::wsk::lists::write_address_list;
use crate::wsk::memory::{read_address, read_bytes, write_address, write_bytes};
use crate::wsk::options::{ControlCall, Controlled};
use crate::wsk::request::{Request, Target, enter};
use crate::wsk::world::{self, World};

/// Enters a call on a socket that has to be functional; a dead one fails.
///
/// # Safety
/// `irp` is NULL or a client's, given for this call.
pub(super) unsafe fn on(
    function: Function,
    socket: *mut WSK_SOCKET,
    irp: *mut IRP,
    work: impl FnOnce(&mut World, usize, Request),
) -> NTSTATUS {
    let at = socket.addr();
    let work = |world: &mut World, request| {
        if world.sockets.get(&at).is_some_and(|socket| socket.dead) {
            return world.answer(at, request, STATUS_FILE_FORCED_CLOSED, 0);
        }
        work(world, at, request);
    };
    // SAFETY: as promised by the caller.
    unsafe { enter(function, &Target::Socket(at), irp, work) }
}

/// WskCloseSocket.
pub(super) unsafe extern "system" fn wsk_close_socket(socket: *mut WSK_SOCKET, irp: *mut IRP) -> NTSTATUS {
    let at = socket.addr();
    // SAFETY: the client's IRP for this call.
    unsafe {
        enter(Function::WskCloseSocket, &Target::Socket(at), irp, |world, request| world.close(at, request))
    }
}

/// WskBind.
pub(super) unsafe extern "system" fn wsk_bind(
    socket: *mut WSK_SOCKET,
    address: *mut SOCKADDR,
    flags: u32,
    irp: *mut IRP,
) -> NTSTATUS {
    let work = |world: &mut World, at: usize, request: Request| {
        let family = world.sockets.get(&at).map_or(AF_INET, |socket| socket.kind.family);
        // SAFETY: the client's address, readable during the call.
        let result = match unsafe { read_address(address, family) } {
            _ if flags != 0 => Err(STATUS_INVALID_PARAMETER),
            Ok(to) => world.bind(at, to),
            Err(status) => Err(status),
        };
        world.answer_result(at, request, result);
    };
    // SAFETY: the client's IRP for this call.
    unsafe { on(Function::WskBind, socket, irp, work) }
}

/// Answers with an address of the socket's, if it has it.
///
/// # Safety
/// `to` is NULL or the client's, valid until the request is completed.
pub(super) unsafe fn answer_address(
    world: &mut World,
    at: usize,
    request: Request,
    to: *mut SOCKADDR,
    remote: bool,
) {
    let socket = world.sockets.get(&at);
    let family = socket.map_or(AF_INET, |socket| socket.kind.family);
    let address = socket.and_then(|socket| if remote { socket.remote } else { socket.local });
    let status = match address {
        _ if to.is_null() => STATUS_INVALID_PARAMETER,
        None => STATUS_INVALID_DEVICE_STATE,
        Some(address) => {
            // SAFETY: as promised by the caller.
            unsafe { write_address(to, address, family) };
            STATUS_SUCCESS
        }
    };
    world.answer(at, request, status, 0);
}

/// WskGetLocalAddress.
pub(super) unsafe extern "system" fn wsk_get_local_address(
    socket: *mut WSK_SOCKET,
    address: *mut SOCKADDR,
    irp: *mut IRP,
) -> NTSTATUS {
    let work = |world: &mut World, at: usize, request: Request| {
        // SAFETY: the client's room, until the IRP is completed.
        unsafe { answer_address(world, at, request, address, false) };
    };
    // SAFETY: the client's IRP for this call.
    unsafe { on(Function::WskGetLocalAddress, socket, irp, work) }
}

/// WskControlSocket.
pub(super) unsafe extern "system" fn wsk_control_socket(
    socket: *mut WSK_SOCKET,
    request_type: WSK_CONTROL_SOCKET_TYPE,
    code: u32,
    level: u32,
    input_size: usize,
    input: *mut c_void,
    output_size: usize,
    output: *mut c_void,
    returned: *mut usize,
    irp: *mut IRP,
) -> NTSTATUS {
    let room = if output.is_null() { 0 } else { output_size };
    let out = Output { to: output.cast(), room, returned };
    // SAFETY: the client's input.
    let input = unsafe { read_bytes(input.cast(), input_size) };
    let (has_irp, has_size) = (!irp.is_null(), !returned.is_null());
    let call = ControlCall { request_type, code, level, input, room, has_irp, has_size };
    if has_irp {
        let work = |world: &mut World, at: usize, request: Request| match world.control(at, &call) {
            Controlled::Events(mask) => {
                world.set_events(at, mask, Some(request));
            }
            Controlled::AddressWatch => {
                let family = world.sockets.get(&at).map(|socket| socket.kind.family);
                world.watch(at, request, family);
            }
            over => {
                // SAFETY: the client's output, valid until the request is completed.
                let (status, size) = unsafe { out.write(world, at, over) };
                world.answer(at, request, status, if nt_success(status) { size } else { 0 });
            }
        };
        // SAFETY: the client's IRP for this call.
        return unsafe { on(Function::WskControlSocket, socket, irp, work) };
    }
    let at = socket.addr();
    begin_call(Function::WskControlSocket);
    let mut world = world::lock();
    world.count(Function::WskControlSocket);
    if at == 0 {
        return STATUS_INVALID_HANDLE;
    }
    let _client = world.client_of(at, Function::WskControlSocket);
    let status = if let Some(status) = world.fault(Function::WskControlSocket) {
        status
    } else if world.sockets.get(&at).is_some_and(|socket| socket.dead) {
        STATUS_FILE_FORCED_CLOSED
    } else {
        match world.control(at, &call) {
            Controlled::Events(mask) => world.set_events(at, mask, None),
            Controlled::AddressWatch => STATUS_REQUEST_NOT_ACCEPTED,
            // SAFETY: the client's output, valid during the call.
            over => unsafe { out.write(&mut world, at, over) }.0,
        }
    };
    // Without an IRP there is nothing to complete here.
    world::finish(world, 0);
    status
}

/// Where a client wants output.
struct Output {
    to: *mut u8,
    room: usize,
    returned: *mut usize,
}

impl Output {
    /// Writes what a control call gives; returns the status and the size.
    ///
    /// # Safety
    /// The client's output is valid.
    unsafe fn write(&self, world: &mut World, at: usize, over: Controlled) -> (NTSTATUS, usize) {
        let (status, size) = match over {
            Controlled::Done(status, bytes) => {
                if !bytes.is_empty() {
                    // SAFETY: as promised by the caller; the room was checked.
                    unsafe { write_bytes(self.to, &bytes) };
                }
                (status, bytes.len())
            }
            Controlled::TooSmall(status, size) => (status, size),
            Controlled::AddressList => {
                let family = world.sockets.get(&at).map_or(AF_INET, |socket| socket.kind.family);
                let (size, addresses) = world.address_list(family);
                if size > self.room {
                    (STATUS_BUFFER_OVERFLOW, size)
                } else {
                    // SAFETY: as promised by the caller, with room.
                    unsafe { write_address_list(self.to, &addresses) };
                    (STATUS_SUCCESS, size)
                }
            }
            Controlled::Events(_) | Controlled::AddressWatch => (STATUS_INVALID_PARAMETER, 0),
        };
        if !self.returned.is_null() {
            // SAFETY: as promised by the caller.
            unsafe { self.returned.write(size) };
        }
        (status, size)
    }
}

/// WskRelease, with how to follow the nodes of this kind of socket.
///
/// # Safety
/// The nodes are the client's, of the type that `next` follows.
pub(super) unsafe fn release(
    socket: *mut WSK_SOCKET,
    list: usize,
    next: unsafe fn(usize) -> usize,
) -> NTSTATUS {
    let at = socket.addr();
    let mut world = world::lock();
    world.count(Function::WskRelease);
    if list == 0 || at == 0 {
        return STATUS_INVALID_PARAMETER;
    }
    let _client = world.client_of(at, Function::WskRelease);
    // SAFETY: as promised by the caller.
    let status = unsafe { world.release(at, list, next) };
    // There is no IRP that could be completed here.
    world::finish(world, 0);
    status
}
