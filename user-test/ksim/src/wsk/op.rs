//! What operations wait for.

use std::ffi::c_void;

use abi::NTSTATUS;
use abi::status::STATUS_CANCELLED;
use abi::wsk::{SOCKADDR, WSK_CLIENT_CONNECTION_DISPATCH};

use super::datagram::ReceiveFrom;
use super::memory::Buffer;
use super::names::Lookup;
use super::request::Waiting;
use super::socket::State;
use super::world::World;

/// An operation that waits, with what it needs when it ends.
pub(super) enum Operation {
    /// `WskAccept`.
    Accept(Accept),
    /// `WskConnect`, `WskConnectEx`; `hidden` for `WskSocketConnect`, whose socket the client does not have yet.
    Connect { hidden: bool },
    /// `WskSend` and graceful `WskDisconnect`, in one queue: `last` is the disconnect.
    Send { buffer: Buffer, sent: usize, last: bool },
    /// `WskReceive`.
    Receive(Receive),
    /// `WskReceiveFrom`.
    ReceiveFrom(ReceiveFrom),
    /// SIO_ADDRESS_LIST_CHANGE.
    AddressWatch { family: u16 },
    /// WSK_TRANSPORT_LIST_CHANGE.
    TransportWatch,
    /// Name functions.
    Lookup(Lookup),
}

// SAFETY: what the pointers name is the request's until its IRP is completed, on whatever thread.
unsafe impl Send for Operation {}

/// What `WskAccept` asks for.
pub(super) struct Accept {
    pub(super) context: *mut c_void,
    pub(super) dispatch: *const WSK_CLIENT_CONNECTION_DISPATCH,
    pub(super) local: *mut SOCKADDR,
    pub(super) remote: *mut SOCKADDR,
}

/// What `WskReceive` asks for.
pub(super) struct Receive {
    pub(super) buffer: Buffer,
    pub(super) flags: u32,
    /// Bytes that are in the buffer.
    pub(super) placed: usize,
    /// `WskReceiveEx`: where the length of the ancillary data goes, of which there never are any.
    pub(super) control: *mut u32,
}

impl World {
    /// Takes a cancelled operation out of its queue. Returns its outcome; `None` if the socket goes with it.
    pub(super) fn cancelled(&mut self, number: usize, gone: &Waiting) -> Option<(NTSTATUS, usize)> {
        let Some(socket) = self.sockets.get_mut(&gone.socket) else { return Some((STATUS_CANCELLED, 0)) };
        socket.forget(number);
        match &gone.what {
            Operation::Connect { hidden } => {
                self.withdraw_request(gone.socket);
                if *hidden {
                    return None;
                }
                if let Some(socket) = self.sockets.get_mut(&gone.socket) {
                    socket.state = State::Bound;
                }
            }
            // What is half on its way cannot be taken back.
            Operation::Send { sent, last: false, .. } if *sent != 0 => {
                self.abort(gone.socket);
            }
            // The disconnect goes on; nobody waits for it.
            Operation::Send { buffer, sent, last: true } => {
                if let Some(link) = &mut socket.link {
                    link.unsent.extend(buffer.read(*sent, buffer.length - sent));
                    link.finish_unsent = true;
                }
                self.progress(gone.socket);
            }
            Operation::Receive(receive) => return Some((STATUS_CANCELLED, receive.placed)),
            Operation::Accept(_) | Operation::Send { .. } => self.progress(gone.socket),
            Operation::ReceiveFrom(_)
            | Operation::AddressWatch { .. }
            | Operation::TransportWatch
            | Operation::Lookup(_) => {}
        }
        Some((STATUS_CANCELLED, 0))
    }
}
