//! A listening socket of the provider's, as its client sees it.

use core::ffi::c_void;
use core::ptr;

use abi::wsk::*;
use ksim::client::TestIrp;

use super::harness::{loopback, request};

/// A listening socket of the provider's.
pub(super) struct ListenSocket(*mut WSK_SOCKET);

// SAFETY: the provider's functions may be called from any thread.
unsafe impl Send for ListenSocket {}
// SAFETY: as above.
unsafe impl Sync for ListenSocket {}

impl ListenSocket {
    pub(super) fn from_raw(socket: *mut WSK_SOCKET) -> Self {
        Self(socket)
    }

    pub(super) fn bind(&self, port: u16) {
        assert_eq!(self.try_bind(port).wait().status, 0);
    }

    pub(super) fn try_bind(&self, port: u16) -> TestIrp {
        let bind = self.table().WskBind;
        let mut at = ndk::SockAddr::from(loopback(port));
        // SAFETY: a call as its page says.
        request(|irp| unsafe { bind(self.0, (&raw mut at).cast(), 0, irp) })
    }

    /// The client's pointer.
    pub(super) fn raw(&self) -> *mut WSK_SOCKET {
        self.0
    }

    fn table(&self) -> &'static WSK_PROVIDER_LISTEN_DISPATCH {
        // SAFETY: the socket is open.
        let table = unsafe { (*self.0).Dispatch };
        // SAFETY: the provider's tables are static.
        unsafe { &*table.cast() }
    }

    pub(super) fn accept(&self) -> TestIrp {
        self.accept_with(ptr::null_mut(), ptr::null())
    }

    /// The same with callbacks.
    pub(super) fn accept_with(
        &self,
        context: *mut c_void,
        dispatch: *const WSK_CLIENT_CONNECTION_DISPATCH,
    ) -> TestIrp {
        let accept = self.table().WskAccept;
        let none = ptr::null_mut();
        // SAFETY: a call as its page says.
        request(|irp| unsafe { accept(self.0, 0, context, dispatch, none, none, irp) })
    }

    pub(super) fn close(self) {
        let close = self.table().Basic.WskCloseSocket;
        // SAFETY: a call as its page says, the last one on the socket.
        assert_eq!(request(|irp| unsafe { close(self.0, irp) }).wait().status, 0);
    }
}
