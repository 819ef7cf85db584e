//! The dispatch tables: the only place that sees a client's raw pointers.
//!
//! A function that takes an IRP decides first, without touching it, whether the request is the system's: then the system's
//! function gets it as it is. Otherwise it enters the IRP and returns PENDING, whatever becomes of the request. What would be
//! the system's and finds none completes with NOT_SUPPORTED.
//!
//! | module | has |
//! |---|---|
//! | `provider`, `client`, `names` | WSK_PROVIDER_DISPATCH |
//! | `listen`, `connection`, `stream` | the tables of the categories of sockets |
//! | `control` | WskControlSocket of all of them |

mod client;
mod connection;
mod control;
mod listen;
mod names;
mod provider;
mod stream;

pub(crate) use connection::CONNECTION_DISPATCH;
pub(crate) use listen::LISTEN_DISPATCH;
pub(crate) use provider::PROVIDER_DISPATCH;
pub(crate) use stream::STREAM_DISPATCH;

use abi::NTSTATUS;
use abi::nt::IRP;
use abi::status::{STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED};
use abi::wsk::{SOCKADDR, WSK_SOCKET};
use core::net::SocketAddr;
use irp::{Outcome, OwnedIrp, fail_unmarked, pend};
use kernel::pool::Shared;

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
