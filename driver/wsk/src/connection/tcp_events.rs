//! What the system calls on a twin: the client's callbacks, with the client's context.

use super::Connection;
use abi::NTSTATUS;
use abi::status::{STATUS_DATA_NOT_ACCEPTED, STATUS_PENDING, STATUS_SUCCESS};
use abi::wsk::{CMSGHDR, WSK_CLIENT_CONNECTION_DISPATCH, WSK_DATA_INDICATION};
use core::ffi::c_void;

/// The system calls these; they lead to the callbacks of the client, whose table may come later than the socket.
pub(super) static EVENTS: WSK_CLIENT_CONNECTION_DISPATCH = WSK_CLIENT_CONNECTION_DISPATCH {
    WskReceiveEvent: Some(receive_event),
    WskDisconnectEvent: Some(disconnect_event),
    WskSendBacklogEvent: Some(send_backlog_event),
};

/// The connection that a context of the system's stands for, its client's table, and its client's context.
///
/// # Safety
/// `context` is a connection whose twin is not closed.
unsafe fn client(context: *mut c_void) -> Option<(WSK_CLIENT_CONNECTION_DISPATCH, *mut c_void)> {
    // SAFETY: the connection lives at least as long as its twin, which calls.
    let connection = unsafe { &*context.cast::<Connection>() };
    // SAFETY: the twin is closed before the socket's close IRP is completed.
    let table = unsafe { connection.callbacks.table() }?;
    Some((table, connection.callbacks.context()))
}

unsafe extern "system" fn receive_event(
    ours: *mut c_void,
    flags: u32,
    data: *mut WSK_DATA_INDICATION,
    indicated: usize,
    accepted: *mut usize,
) -> NTSTATUS {
    // SAFETY: the twin's context.
    let Some((WSK_CLIENT_CONNECTION_DISPATCH { WskReceiveEvent: Some(event), .. }, context)) =
        (unsafe { client(ours) })
    else {
        return STATUS_DATA_NOT_ACCEPTED;
    };
    // SAFETY: the client's callback with the system's parameters.
    let status = unsafe { event(context, flags, data, indicated, accepted) };
    // SAFETY: the twin is not closed before this callback has returned; the system's variable.
    unsafe { count_indicated(ours, status, indicated, accepted) };
    status
}

/// Counts what the client has taken of an indication.
///
/// # Safety
/// `context` is a connection whose twin is not closed; `accepted` is NULL or readable.
unsafe fn count_indicated(context: *mut c_void, status: NTSTATUS, indicated: usize, accepted: *const usize) {
    // SAFETY: the caller's promise.
    let accepted = unsafe { accepted.as_ref() };
    let taken = match status {
        STATUS_SUCCESS => accepted.map_or(indicated, |accepted| (*accepted).min(indicated)),
        STATUS_PENDING => indicated,
        _ => 0,
    };
    // SAFETY: the caller's promise.
    unsafe { &*context.cast::<Connection>() }.counters.tcp_octets_indicated.add(taken as u64);
}

/// As [`receive_event`], for the callback of SIO_WSK_SET_RECEIVE_EX_CALLBACK.
pub(super) unsafe extern "system" fn receive_ex_event(
    ours: *mut c_void,
    flags: u32,
    data: *mut WSK_DATA_INDICATION,
    control: *mut CMSGHDR,
    control_length: u32,
    indicated: usize,
    accepted: *mut usize,
) -> NTSTATUS {
    // SAFETY: the connection lives at least as long as its twin, which calls.
    let connection = unsafe { &*ours.cast::<Connection>() };
    let event = connection.state.lock().pump.receive_ex;
    let Some(event) = event else { return STATUS_DATA_NOT_ACCEPTED };
    let context = connection.callbacks.context();
    // SAFETY: the client's callback with the system's parameters.
    let status = unsafe { event(context, flags, data, control, control_length, indicated, accepted) };
    // SAFETY: as in `receive_event`.
    unsafe { count_indicated(ours, status, indicated, accepted) };
    status
}

unsafe extern "system" fn disconnect_event(context: *mut c_void, flags: u32) -> NTSTATUS {
    // SAFETY: the twin's context.
    match unsafe { client(context) } {
        Some((WSK_CLIENT_CONNECTION_DISPATCH { WskDisconnectEvent: Some(event), .. }, context)) => {
            // SAFETY: the client's callback with the system's parameters.
            unsafe { event(context, flags) }
        }
        _ => STATUS_SUCCESS,
    }
}

unsafe extern "system" fn send_backlog_event(context: *mut c_void, ideal: usize) -> NTSTATUS {
    // SAFETY: the twin's context.
    match unsafe { client(context) } {
        Some((WSK_CLIENT_CONNECTION_DISPATCH { WskSendBacklogEvent: Some(event), .. }, context)) => {
            // SAFETY: the client's callback with the system's parameters.
            unsafe { event(context, ideal) }
        }
        _ => STATUS_SUCCESS,
    }
}
