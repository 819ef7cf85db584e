//! What the client's socket pointer leads to.

use crate::connection::Connection;
use crate::listen::ListenSocket;
use abi::wsk::WSK_SOCKET;
use kernel::pool::Shared;

/// The front of every socket: what the client sees, and what tells the kinds apart.
#[repr(C)]
pub(crate) struct Front {
    /// First: the client reads `Dispatch` here.
    public: WSK_SOCKET,
}

// SAFETY: the structure is read-only after creation and points to a static table.
unsafe impl Send for Front {}
// SAFETY: as above.
unsafe impl Sync for Front {}

impl Front {
    pub(crate) const fn new<T>(dispatch: &'static T) -> Self {
        Self { public: WSK_SOCKET { Dispatch: core::ptr::from_ref(dispatch).cast() } }
    }
}

/// A socket of either kind, for the table of sockets.
#[derive(Clone)]
pub(crate) enum Socket {
    /// A listening socket.
    Listen(Shared<ListenSocket>),
    /// A connection socket.
    Connection(Shared<Connection>),
}
