//! What needs no socket.

use std::ffi::c_void;

use abi::NTSTATUS;
use abi::nt::{IRP, PEPROCESS, PETHREAD, PSECURITY_DESCRIPTOR};
use abi::status::{STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER, STATUS_SUCCESS};
use abi::wsk::*;

use crate::wsk::control::Function;
use crate::wsk::memory::{read_address, read_bytes, write_bytes};
use crate::wsk::request::{Request, Target, enter};
use crate::wsk::socket::{Kind, Owner};
use crate::wsk::world::{self, World};

/// WskSocket.
pub(super) unsafe extern "system" fn wsk_socket(
    client: PWSK_CLIENT,
    family: u16,
    socket_type: u16,
    protocol: u32,
    flags: u32,
    context: *mut c_void,
    dispatch: *const c_void,
    process: PEPROCESS,
    _thread: PETHREAD,
    descriptor: PSECURITY_DESCRIPTOR,
    irp: *mut IRP,
) -> NTSTATUS {
    let work = |world: &mut World, request: Request| {
        let owner = Owner {
            client: client.addr(),
            context,
            dispatch,
            process: process.addr(),
            descriptor: descriptor.addr(),
        };
        match world.create(flags, Kind { family, socket_type, protocol }, &owner) {
            Ok(socket) => world.answer(0, request, STATUS_SUCCESS, socket),
            Err(status) => world.answer(0, request, status, 0),
        }
    };
    // SAFETY: the client's IRP for this call.
    unsafe { enter(Function::WskSocket, &Target::Client(client.addr()), irp, work) }
}

/// WskSocketConnect.
pub(super) unsafe extern "system" fn wsk_socket_connect(
    client: PWSK_CLIENT,
    socket_type: u16,
    protocol: u32,
    local: *mut SOCKADDR,
    remote: *mut SOCKADDR,
    flags: u32,
    context: *mut c_void,
    dispatch: *const WSK_CLIENT_CONNECTION_DISPATCH,
    process: PEPROCESS,
    _thread: PETHREAD,
    descriptor: PSECURITY_DESCRIPTOR,
    irp: *mut IRP,
) -> NTSTATUS {
    let work = |world: &mut World, request: Request| {
        // SAFETY: the client's address, readable during the call.
        let family = unsafe { local.as_ref() }.map_or(AF_UNSPEC, |address| address.sa_family);
        // SAFETY: as above.
        let here = unsafe { read_address(local, family) };
        // SAFETY: as above.
        let to = unsafe { read_address(remote, family) };
        let owner = Owner {
            client: client.addr(),
            context,
            dispatch: dispatch.cast(),
            process: process.addr(),
            descriptor: descriptor.addr(),
        };
        let (here, to) = match (here, to) {
            _ if flags != 0 => return world.answer(0, request, STATUS_INVALID_PARAMETER, 0),
            (Err(status), _) | (_, Err(status)) => return world.answer(0, request, status, 0),
            (Ok(here), Ok(to)) => (here, to),
        };
        let kind = Kind { family, socket_type, protocol };
        match world.create(WSK_FLAG_CONNECTION_SOCKET, kind, &owner) {
            Err(status) => world.answer(0, request, status, 0),
            Ok(socket) => match world.bind(socket, here) {
                Err(status) => world.abandon_with(socket, request, status),
                Ok(()) => world.connect(socket, request, to, &[], true),
            },
        }
    };
    // SAFETY: the client's IRP for this call.
    unsafe { enter(Function::WskSocketConnect, &Target::Client(client.addr()), irp, work) }
}

/// WskControlClient.
pub(super) unsafe extern "system" fn wsk_control_client(
    client: PWSK_CLIENT,
    code: u32,
    input_size: usize,
    input: *mut c_void,
    output_size: usize,
    output: *mut c_void,
    returned: *mut usize,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's input.
    let input = unsafe { read_bytes(input.cast(), input_size) };
    if !irp.is_null() {
        let work = |world: &mut World, request: Request| {
            if code == WSK_TRANSPORT_LIST_CHANGE {
                world.watch(0, request, None);
            } else {
                // All other codes ask for none, and an IRP all the same has to be completed.
                world.answer(0, request, STATUS_INVALID_PARAMETER, 0);
            }
        };
        // SAFETY: the client's IRP for this call.
        return unsafe { enter(Function::WskControlClient, &Target::Client(client.addr()), irp, work) };
    }
    let mut world = world::lock();
    world.count(Function::WskControlClient);
    if client.is_null() {
        return STATUS_INVALID_HANDLE;
    }
    world.require_client(client.addr(), Function::WskControlClient);
    if let Some(status) = world.fault(Function::WskControlClient) {
        return status;
    }
    let room = if output.is_null() { 0 } else { output_size };
    let (status, bytes, size) = world.control_client(client.addr(), code, &input, room);
    drop(world);
    if !bytes.is_empty() {
        // SAFETY: the client's output, whose room was checked.
        unsafe { write_bytes(output.cast(), &bytes) };
    }
    if !returned.is_null() {
        // SAFETY: the client's.
        unsafe { returned.write(size) };
    }
    status
}
