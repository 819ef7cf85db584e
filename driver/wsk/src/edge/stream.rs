//! WSK_PROVIDER_STREAM_DISPATCH.

use super::connection::*;
use super::control::wsk_control_socket;
use super::{on, socket, tell};
use crate::connection::Connection;
use crate::listen::{Accept, ListenSocket};
use abi::NTSTATUS;
use abi::nt::IRP;
use abi::status::{STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_HANDLE};
use abi::wsk::*;
use core::ffi::c_void;
use irp::{Outcome, fail_unmarked, pend};

/// WSK_PROVIDER_STREAM_DISPATCH, in its longest form.
pub(crate) static STREAM_DISPATCH: WSK_PROVIDER_STREAM_DISPATCH = WSK_PROVIDER_STREAM_DISPATCH {
    Basic: WSK_PROVIDER_BASIC_DISPATCH {
        WskControlSocket: wsk_control_stream,
        WskCloseSocket: wsk_close_connection,
    },
    WskBind: wsk_bind_connection,
    WskAccept: wsk_accept_stream,
    WskConnect: wsk_connect,
    WskListen: wsk_listen,
    WskSend: wsk_send,
    WskReceive: wsk_receive,
    WskDisconnect: wsk_disconnect,
    WskRelease: wsk_release,
    WskGetLocalAddress: wsk_get_local_address_stream,
    WskGetRemoteAddress: wsk_get_remote_address,
    WskConnectEx: wsk_connect_ex,
    WskSendEx: wsk_send_ex,
    WskReceiveEx: wsk_receive_ex,
};

/// The listening socket that a stream socket has become. It is there as long as the client's socket is.
///
/// # Safety
/// `target` is an open stream socket of the client's, or NULL.
unsafe fn listener(target: *mut WSK_SOCKET) -> Option<kernel::pool::Shared<ListenSocket>> {
    // SAFETY: the caller's promise.
    unsafe { socket::<Connection>(target) }?.listener()
}

unsafe extern "system" fn wsk_listen(target: *mut WSK_SOCKET, irp: *mut IRP) -> NTSTATUS {
    // SAFETY: the client's socket.
    match unsafe { socket::<Connection>(target) } {
        // The IRP keeps no socket: it ends with a listening socket that is not there yet, or with the close.
        // SAFETY: the client's IRP, entered once.
        Some(this) => unsafe { pend(irp, |irp| Connection::listen(&this, irp)) },
        // SAFETY: as above.
        None => unsafe { fail_unmarked(irp, STATUS_INVALID_HANDLE) },
    }
}

unsafe extern "system" fn wsk_accept_stream(
    target: *mut WSK_SOCKET,
    _flags: u32,
    context: *mut c_void,
    dispatch: *const WSK_CLIENT_CONNECTION_DISPATCH,
    local: *mut SOCKADDR,
    remote: *mut SOCKADDR,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's socket.
    if let Some(listener) = unsafe { listener(target) } {
        let accept = Accept { local, remote, context, dispatch };
        // SAFETY: the client's IRP, entered once.
        return unsafe {
            pend(irp, |irp| {
                let irp = irp.keep(&listener);
                ListenSocket::accept(&listener, accept, irp);
            })
        };
    }
    let refuse = Outcome::failure(STATUS_INVALID_DEVICE_STATE);
    // SAFETY: the client's socket and IRP.
    unsafe { on::<Connection>(target, irp, |_, irp| irp.complete(refuse)) }
}

unsafe extern "system" fn wsk_get_local_address_stream(
    target: *mut WSK_SOCKET,
    local: *mut SOCKADDR,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's socket.
    if let Some(listener) = unsafe { listener(target) } {
        // SAFETY: the client's IRP, entered once.
        return unsafe { pend(irp, |irp| tell(listener.local(), local, irp.keep(&listener))) };
    }
    // SAFETY: the client's parameters.
    unsafe { wsk_get_local_address_connection(target, local, irp) }
}

unsafe extern "system" fn wsk_control_stream(
    target: *mut WSK_SOCKET,
    request: WSK_CONTROL_SOCKET_TYPE,
    code: u32,
    level: u32,
    input_size: usize,
    input: *mut c_void,
    output_size: usize,
    output: *mut c_void,
    returned: *mut usize,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's socket.
    if let Some(listener) = unsafe { listener(target) } {
        let target = kernel::pool::Shared::as_ptr(&listener).cast_mut().cast();
        // SAFETY: the client's parameters, for the socket that its own has become, which lives during the call.
        return unsafe {
            wsk_control_socket::<ListenSocket>(
                target,
                request,
                code,
                level,
                input_size,
                input,
                output_size,
                output,
                returned,
                irp,
            )
        };
    }
    // SAFETY: the client's parameters.
    unsafe {
        wsk_control_socket::<Connection>(
            target,
            request,
            code,
            level,
            input_size,
            input,
            output_size,
            output,
            returned,
            irp,
        )
    }
}
