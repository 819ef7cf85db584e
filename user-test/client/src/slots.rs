//! Sockets by number.

use abi::NTSTATUS;
use abi::status::{STATUS_INVALID_HANDLE, STATUS_TOO_MANY_OPENED_FILES};
use abi::wsk::{PWSK_SOCKET, WSK_FLAG_LISTEN_SOCKET};
use control::client::MAX_SOCKETS;
use core::ptr;
use kernel::pool::{AllocError, PoolSlice};

use crate::operation::Operation;
use kernel::pool::PoolBox;

/// A socket, and which of its kinds' tables is behind its pointer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Socket {
    pub(crate) pointer: PWSK_SOCKET,
    /// WSK_FLAG_LISTEN_SOCKET or WSK_FLAG_CONNECTION_SOCKET.
    pub(crate) kind: u32,
}

impl Socket {
    pub(crate) fn listens(&self) -> bool {
        self.kind == WSK_FLAG_LISTEN_SOCKET
    }
}

// SAFETY: a socket may be used from any thread.
unsafe impl Send for Socket {}

#[derive(Default)]
struct Slot {
    socket: Option<Socket>,
    /// Calls into the provider under way: a close waits for them.
    calls: u32,
    close: Option<PoolBox<Operation>>,
    closing: bool,
}

/// The table of one handle, to be kept under a lock.
pub(crate) struct Slots {
    slots: PoolSlice<Slot>,
    /// The handle is closed: no socket may be added.
    closed: bool,
}

/// What is to be closed now, outside the lock.
pub(crate) type Close = Option<(Socket, Option<PoolBox<Operation>>)>;

impl Slots {
    pub(crate) fn new() -> Result<Self, AllocError> {
        let slots = PoolSlice::try_new_with(crate::handle::TAG, MAX_SOCKETS, |_| Slot::default())?;
        Ok(Self { slots, closed: false })
    }

    /// Gives a new socket its number.
    ///
    /// # Errors
    /// TOO_MANY_OPENED_FILES, or INVALID_HANDLE when the handle is closed. The socket is the caller's to close.
    pub(crate) fn add(&mut self, socket: Socket) -> Result<u32, NTSTATUS> {
        if self.closed {
            return Err(STATUS_INVALID_HANDLE);
        }
        let free = self.slots.iter_mut().enumerate().find(|(_, s)| s.socket.is_none());
        let (number, slot) = free.ok_or(STATUS_TOO_MANY_OPENED_FILES)?;
        *slot = Slot { socket: Some(socket), ..Slot::default() };
        Ok(number as u32)
    }

    fn slot(&mut self, number: u32) -> Result<&mut Slot, NTSTATUS> {
        self.slots.get_mut(number as usize).ok_or(STATUS_INVALID_HANDLE)
    }

    /// Begins a call on a socket.
    ///
    /// # Errors
    /// INVALID_HANDLE: no such socket, or it is being closed.
    pub(crate) fn begin(&mut self, number: u32) -> Result<Socket, NTSTATUS> {
        let slot = self.slot(number)?;
        if slot.closing {
            return Err(STATUS_INVALID_HANDLE);
        }
        let socket = slot.socket.ok_or(STATUS_INVALID_HANDLE)?;
        slot.calls = slot.calls.saturating_add(1);
        Ok(socket)
    }

    /// Ends a call; the last one lets a waiting close go.
    pub(crate) fn end(&mut self, number: u32) -> Close {
        let slot = self.slot(number).ok()?;
        slot.calls = slot.calls.saturating_sub(1);
        slot.take_if_idle()
    }

    /// Takes a socket out to be closed, at once or when the last call on it has returned.
    ///
    /// # Errors
    /// INVALID_HANDLE, with the operation.
    pub(crate) fn close(
        &mut self,
        number: u32,
        operation: PoolBox<Operation>,
    ) -> Result<Close, PoolBox<Operation>> {
        match self.slots.get_mut(number as usize) {
            Some(slot) if slot.socket.is_some() && !slot.closing => {
                slot.closing = true;
                slot.close = Some(operation);
                Ok(slot.take_if_idle())
            }
            _ => Err(operation),
        }
    }

    /// Marks the handle closed and takes the next socket that can be closed. Sockets with calls under way follow by
    /// themselves.
    pub(crate) fn close_next(&mut self) -> Close {
        self.closed = true;
        self.slots.iter_mut().find_map(|slot| {
            if slot.socket.is_none() || slot.closing {
                return None;
            }
            slot.closing = true;
            slot.take_if_idle()
        })
    }
}

impl Slot {
    fn take_if_idle(&mut self) -> Close {
        if !self.closing || self.calls != 0 {
            return None;
        }
        let socket = self.socket.take()?;
        let close = self.close.take();
        self.closing = false;
        Some((socket, close))
    }
}

impl Socket {
    /// No socket, for comparisons.
    pub(crate) const fn at(pointer: usize, kind: u32) -> Self {
        Self { pointer: ptr::with_exposed_provenance_mut(pointer), kind }
    }
}
