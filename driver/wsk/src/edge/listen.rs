//! WSK_PROVIDER_LISTEN_DISPATCH.

use super::control::wsk_control_socket;
use super::{address, enter, on, take_back, tell};
use crate::control::socket::TwinUse;
use crate::listen::{Accept, ListenSocket};
use abi::NTSTATUS;
use abi::nt::IRP;
use abi::wsk::*;
use core::ffi::c_void;

/// WSK_PROVIDER_LISTEN_DISPATCH.
pub(crate) static LISTEN_DISPATCH: WSK_PROVIDER_LISTEN_DISPATCH = WSK_PROVIDER_LISTEN_DISPATCH {
    Basic: WSK_PROVIDER_BASIC_DISPATCH {
        WskControlSocket: wsk_control_socket::<ListenSocket>,
        WskCloseSocket: wsk_close_listen,
    },
    WskBind: wsk_bind_listen,
    WskAccept: wsk_accept,
    WskInspectComplete: wsk_inspect_complete,
    WskGetLocalAddress: wsk_get_local_address_listen,
};

unsafe extern "system" fn wsk_close_listen(socket: *mut WSK_SOCKET, irp: *mut IRP) -> NTSTATUS {
    // SAFETY: the client's socket and IRP.
    unsafe {
        enter::<ListenSocket>(socket, irp, |this, irp| {
            take_back(&this);
            ListenSocket::close(this, Some(irp));
        })
    }
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

unsafe extern "system" fn wsk_accept(
    socket: *mut WSK_SOCKET,
    _flags: u32,
    context: *mut c_void,
    dispatch: *const WSK_CLIENT_CONNECTION_DISPATCH,
    local: *mut SOCKADDR,
    remote: *mut SOCKADDR,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's socket and IRP; the addresses are the client's until completion.
    unsafe {
        on::<ListenSocket>(socket, irp, |this, irp| {
            ListenSocket::accept(&this, Accept { local, remote, context, dispatch }, irp)
        })
    }
}

unsafe extern "system" fn wsk_inspect_complete(
    socket: *mut WSK_SOCKET,
    id: *mut WSK_INSPECT_ID,
    action: WSK_INSPECT_ACTION,
    irp: *mut IRP,
) -> NTSTATUS {
    // The client's copy, which it may take back when the call returns.
    // SAFETY: NULL or the client's, readable during the call.
    let id = unsafe { id.as_ref() }.copied();
    // SAFETY: the client's socket.
    let this = unsafe { super::socket::<ListenSocket>(socket) };
    if let (Some(this), Some(mut id)) = (this, id)
        && !this.owns(&id)
        && let Some(using) = TwinUse::begin(&this)
    {
        let twin = using.twin;
        // SAFETY: an open listening socket until the end of this use.
        let functions = unsafe { twin.listen() };
        // SAFETY: the system's function with the client's parameters.
        return unsafe { (functions.WskInspectComplete)(twin.as_ptr(), &mut id, action, irp) };
    }
    // SAFETY: the client's socket and IRP.
    unsafe {
        on::<ListenSocket>(socket, irp, |this, irp| ListenSocket::inspect_complete(&this, id, action, irp))
    }
}

unsafe extern "system" fn wsk_get_local_address_listen(
    socket: *mut WSK_SOCKET,
    local: *mut SOCKADDR,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's socket and IRP.
    unsafe { on::<ListenSocket>(socket, irp, |this, irp| tell(this.local(), local, irp)) }
}
