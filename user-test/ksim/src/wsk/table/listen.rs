//! What listeners have.

use std::ffi::c_void;

use abi::NTSTATUS;
use abi::nt::IRP;
use abi::status::STATUS_INVALID_PARAMETER;
use abi::wsk::*;

use super::socket::on;
use crate::wsk::control::Function;
use crate::wsk::op::Accept;

/// WskAccept.
pub(super) unsafe extern "system" fn wsk_accept(
    socket: *mut WSK_SOCKET,
    flags: u32,
    context: *mut c_void,
    dispatch: *const WSK_CLIENT_CONNECTION_DISPATCH,
    local: *mut SOCKADDR,
    remote: *mut SOCKADDR,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's IRP for this call.
    unsafe {
        on(Function::WskAccept, socket, irp, |world, at, request| {
            if flags != 0 {
                return world.answer(at, request, STATUS_INVALID_PARAMETER, 0);
            }
            world.accept(at, request, Accept { context, dispatch, local, remote });
        })
    }
}

/// WskListen.
pub(super) unsafe extern "system" fn wsk_listen(socket: *mut WSK_SOCKET, irp: *mut IRP) -> NTSTATUS {
    // SAFETY: the client's IRP for this call.
    unsafe {
        on(Function::WskListen, socket, irp, |world, at, request| {
            let result = world.listen(at);
            world.answer_result(at, request, result);
        })
    }
}

/// WskInspectComplete.
pub(super) unsafe extern "system" fn wsk_inspect_complete(
    socket: *mut WSK_SOCKET,
    id: *mut WSK_INSPECT_ID,
    action: WSK_INSPECT_ACTION,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's own copy, readable during the call.
    let id = unsafe { id.as_ref() }.copied();
    // SAFETY: the client's IRP for this call.
    unsafe {
        on(Function::WskInspectComplete, socket, irp, |world, at, request| {
            let result = match id {
                Some(id) => world.inspect_complete(at, id, action),
                None => Err(STATUS_INVALID_PARAMETER),
            };
            world.answer_result(at, request, result);
        })
    }
}
