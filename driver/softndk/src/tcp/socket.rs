//! Sockets of the system's.

use core::ffi::c_void;
use core::ptr::{self, NonNull};

use abi::NTSTATUS;
use abi::nt::IRP;
use abi::wsk::{
    AF_INET, AF_INET6, IPPROTO_TCP, SOCK_STREAM, WSK_BUF, WSK_FLAG_CONNECTION_SOCKET, WSK_FLAG_LISTEN_SOCKET,
    WSK_PROVIDER_BASIC_DISPATCH, WSK_PROVIDER_CONNECTION_DISPATCH, WSK_PROVIDER_LISTEN_DISPATCH, WSK_SOCKET,
};

use super::SystemWsk;
use crate::address::SockAddr;

/// Which of the two kinds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Listen,
    Connection,
}

/// The pointer of an open socket. A copy is a copy of the pointer: who closes it is the owner's to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Socket(NonNull<WSK_SOCKET>);

// SAFETY: the system's functions take a socket from any thread.
unsafe impl Send for Socket {}
// SAFETY: as for `Send`.
unsafe impl Sync for Socket {}

impl Socket {
    /// What a request that makes a socket has put into `Information`.
    pub(crate) fn from_information(information: usize) -> Option<Self> {
        NonNull::new(ptr::with_exposed_provenance_mut(information)).map(Self)
    }

    /// WskSocket, for TCP, without callbacks, in the name of the System process. IRQL ≤ DISPATCH_LEVEL.
    ///
    /// # Safety
    /// A fresh IRP.
    pub(crate) unsafe fn make(system: SystemWsk, kind: Kind, ipv4: bool, irp: *mut IRP) -> NTSTATUS {
        let family = if ipv4 { AF_INET } else { AF_INET6 };
        let flags = match kind {
            Kind::Listen => WSK_FLAG_LISTEN_SOCKET,
            Kind::Connection => WSK_FLAG_CONNECTION_SOCKET,
        };
        let (context, callbacks): (*mut c_void, *const c_void) = (ptr::null_mut(), ptr::null());
        let nobody = ptr::null_mut();
        // SAFETY: the captured client (`SystemWsk::new`), and a fresh IRP (caller).
        unsafe {
            (system.dispatch.WskSocket)(
                system.client,
                family,
                SOCK_STREAM,
                IPPROTO_TCP,
                flags,
                context,
                callbacks,
                nobody,
                ptr::null_mut(),
                ptr::null_mut(),
                irp,
            )
        }
    }

    /// # Safety
    /// The socket is open.
    unsafe fn table<'a, T>(self) -> &'a T {
        // SAFETY: an open socket (caller).
        let dispatch = unsafe { self.0.as_ref() }.Dispatch;
        // SAFETY: the table of the socket's kind, which lives as long as the socket.
        unsafe { &*dispatch.cast() }
    }

    /// WskBind of either kind. IRQL ≤ DISPATCH_LEVEL.
    ///
    /// # Safety
    /// An open socket, a fresh IRP.
    pub(crate) unsafe fn bind(self, address: &SockAddr, irp: *mut IRP) -> NTSTATUS {
        // SAFETY: open (caller); both kinds have the function at the same place.
        let table: &WSK_PROVIDER_LISTEN_DISPATCH = unsafe { self.table() };
        // SAFETY: as promised by the caller; the address need not outlive the call.
        unsafe { (table.WskBind)(self.0.as_ptr(), address.as_ptr().cast_mut(), 0, irp) }
    }

    /// WskConnect. IRQL ≤ DISPATCH_LEVEL.
    ///
    /// # Safety
    /// An open, bound connection socket, a fresh IRP.
    pub(crate) unsafe fn connect(self, remote: &SockAddr, irp: *mut IRP) -> NTSTATUS {
        // SAFETY: open (caller).
        let table: &WSK_PROVIDER_CONNECTION_DISPATCH = unsafe { self.table() };
        // SAFETY: as promised by the caller; the address need not outlive the call.
        unsafe { (table.WskConnect)(self.0.as_ptr(), remote.as_ptr().cast_mut(), 0, irp) }
    }

    /// WskAccept of a socket without callbacks; the peer's address is written to `remote`. IRQL ≤ DISPATCH_LEVEL.
    ///
    /// # Safety
    /// An open, bound listening socket, a fresh IRP; `remote` stays until it is completed.
    pub(crate) unsafe fn accept(self, remote: *mut SockAddr, irp: *mut IRP) -> NTSTATUS {
        // SAFETY: open (caller).
        let table: &WSK_PROVIDER_LISTEN_DISPATCH = unsafe { self.table() };
        let (context, callbacks) = (ptr::null_mut(), ptr::null());
        // SAFETY: as promised by the caller.
        unsafe {
            (table.WskAccept)(self.0.as_ptr(), 0, context, callbacks, ptr::null_mut(), remote.cast(), irp)
        }
    }

    /// WskSend. IRQL ≤ DISPATCH_LEVEL.
    ///
    /// # Safety
    /// An open, connected socket, a fresh IRP; MDL and octets stay until it is completed.
    pub(crate) unsafe fn send(self, mut buffer: WSK_BUF, irp: *mut IRP) -> NTSTATUS {
        // SAFETY: open (caller).
        let table: &WSK_PROVIDER_CONNECTION_DISPATCH = unsafe { self.table() };
        // SAFETY: as promised by the caller; the description need not outlive the call.
        unsafe { (table.WskSend)(self.0.as_ptr(), &mut buffer, 0, irp) }
    }

    /// WskReceive. IRQL ≤ DISPATCH_LEVEL.
    ///
    /// # Safety
    /// As for [`send`](Self::send); the octets are written until the IRP is completed.
    pub(crate) unsafe fn receive(self, mut buffer: WSK_BUF, irp: *mut IRP) -> NTSTATUS {
        // SAFETY: open (caller).
        let table: &WSK_PROVIDER_CONNECTION_DISPATCH = unsafe { self.table() };
        // SAFETY: as promised by the caller; the description need not outlive the call.
        unsafe { (table.WskReceive)(self.0.as_ptr(), &mut buffer, 0, irp) }
    }

    /// WskDisconnect: no octet will follow. IRQL ≤ DISPATCH_LEVEL.
    ///
    /// # Safety
    /// An open, connected socket, a fresh IRP.
    pub(crate) unsafe fn disconnect(self, irp: *mut IRP) -> NTSTATUS {
        // SAFETY: open (caller).
        let table: &WSK_PROVIDER_CONNECTION_DISPATCH = unsafe { self.table() };
        // SAFETY: as promised by the caller.
        unsafe { (table.WskDisconnect)(self.0.as_ptr(), ptr::null_mut(), 0, irp) }
    }

    /// WskCloseSocket: what is outstanding on the socket is cancelled; a connection that is not finished in both directions is
    /// reset. IRQL ≤ DISPATCH_LEVEL.
    ///
    /// # Safety
    /// An open socket, on which no call begins any more; a fresh IRP.
    pub(crate) unsafe fn close(self, irp: *mut IRP) -> NTSTATUS {
        // SAFETY: open (caller); every kind's table begins with these functions.
        let table: &WSK_PROVIDER_BASIC_DISPATCH = unsafe { self.table() };
        // SAFETY: as promised by the caller.
        unsafe { (table.WskCloseSocket)(self.0.as_ptr(), irp) }
    }
}
