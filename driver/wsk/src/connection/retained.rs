//! What of the ring the client has been shown, and what of that it has not given back.
//!
//! An indication points into the ring, and the client may keep its nodes for as long as it likes and release them in any
//! order. The ring's room goes back to the peer in the order of the stream: up to the oldest octet that a client holds.
//!
//! A client that keeps nodes takes lists apart and uses `Next` for itself. So what a node stands for is remembered here,
//! and its `Next` is read only in a chain that WskRelease is given.

use crate::TAG_SOCKET;
use abi::wsk::{WSK_BUF, WSK_DATA_INDICATION};
use core::cell::UnsafeCell;
use core::ptr;
use kernel::pool::{AllocError, PoolBox};

/// Nodes of a connection. With all of them out nothing more is indicated until one is released.
pub(super) const NODES: usize = 32;
/// Nodes of one indication: the octets at the end of the ring, and those at its beginning or in the next ring.
const PIECES: usize = 2;

/// A node, which is the client's to write while it is out.
struct Node(UnsafeCell<WSK_DATA_INDICATION>);

// SAFETY: a node is written before the client gets it, and read in the chain that the client passes to WskRelease.
unsafe impl Send for Node {}
// SAFETY: as above; both happen under the socket's lock.
unsafe impl Sync for Node {}

impl Node {
    const fn empty() -> Self {
        let buffer = WSK_BUF { Mdl: ptr::null_mut(), Offset: 0, Length: 0 };
        Self(UnsafeCell::new(WSK_DATA_INDICATION { Next: ptr::null_mut(), Buffer: buffer }))
    }
}

/// One indication: what the callback gets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Indication {
    /// The first node.
    pub(super) list: *mut WSK_DATA_INDICATION,
    /// Octets of all nodes.
    pub(super) octets: usize,
}

/// What becomes of an indication when the callback has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// STATUS_PENDING: the client has all the octets, and each node until it is released.
    Kept,
    /// The client is done with so many of the octets. The others stay to be read, and every node comes back.
    Done(usize),
}

/// The nodes of a connection. Positions count octets of the received stream.
pub(super) struct Retained {
    /// In memory of their own, which nothing here refers to while a client uses it.
    nodes: PoolBox<[Node; NODES]>,
    /// The position of the first octet of each node that is out.
    starts: [u64; NODES],
    /// Which nodes the client has, a bit for each.
    out: u32,
    /// Those of them that belong to the call in progress.
    shown: u32,
    /// Up to here the ring's room was given back.
    consumed: u64,
    /// Up to here the client has had the octets.
    taken: u64,
}

impl Retained {
    /// No node is out. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// No memory.
    pub(super) fn new() -> Result<Self, AllocError> {
        let nodes = PoolBox::try_new(TAG_SOCKET, [const { Node::empty() }; NODES])?;
        Ok(Self { nodes, starts: [0; NODES], out: 0, shown: 0, consumed: 0, taken: 0 })
    }

    /// Octets that the client has had, and whose room is not given back.
    pub(super) const fn held(&self) -> u64 {
        self.taken.wrapping_sub(self.consumed)
    }

    /// Whether the client has a node.
    pub(super) const fn any_out(&self) -> bool {
        self.out != 0
    }

    /// Whether there is a node to indicate with.
    pub(super) const fn has_free(&self) -> bool {
        self.out != u32::MAX
    }

    /// The next `octets` were copied out.
    pub(super) const fn take(&mut self, octets: u64) {
        self.taken = self.taken.wrapping_add(octets);
    }

    /// The octets whose room can be given back now: told once.
    pub(super) fn consume(&mut self) -> u64 {
        let starts = self.starts.iter().enumerate().filter(|(index, _)| self.out & (1 << index) != 0);
        let oldest = starts.map(|(_, start)| *start).min().map_or(self.taken, |start| start.min(self.taken));
        let octets = oldest.wrapping_sub(self.consumed);
        self.consumed = oldest;
        octets
    }

    /// Shows the client what it has not had: `span` tells where in a ring the octets are that lie so far behind the first
    /// whose room is not given back, as far as they lie together. `None`: there are none, or no node is free.
    pub(super) fn show(&mut self, span: impl Fn(u64) -> Option<WSK_BUF>) -> Option<Indication> {
        let mut indication: Option<Indication> = None;
        let mut last: *mut WSK_DATA_INDICATION = ptr::null_mut();
        let mut at = self.taken;
        for _ in 0..PIECES {
            let Some(buffer) = span(at.wrapping_sub(self.consumed)) else { break };
            let index = self.out.trailing_ones();
            let slot = self.nodes.get(index as usize).zip(self.starts.get_mut(index as usize));
            let Some((node, start)) = slot else { break };
            let list = node.0.get();
            let octets = buffer.Length;
            // SAFETY: the node is not out, so nobody else uses it.
            unsafe { list.write(WSK_DATA_INDICATION { Next: ptr::null_mut(), Buffer: buffer }) };
            *start = at;
            match &mut indication {
                None => indication = Some(Indication { list, octets }),
                Some(first) => {
                    first.octets = first.octets.saturating_add(octets);
                    // SAFETY: the node before, written just now; the client does not know it yet.
                    unsafe { (*last).Next = list };
                }
            }
            last = list;
            at = at.wrapping_add(octets as u64);
            self.out |= 1 << index;
            self.shown |= 1 << index;
        }
        indication
    }

    /// The callback has returned. What the client has released meanwhile is not its any more, whatever it answers.
    pub(super) fn answer(&mut self, indication: &Indication, answer: Answer) {
        let octets = match answer {
            Answer::Kept => indication.octets,
            Answer::Done(octets) => {
                self.out &= !self.shown;
                octets.min(indication.octets)
            }
        };
        self.shown = 0;
        self.take(octets as u64);
    }

    /// WskRelease of one node or a chain that ends with NULL. `false`, and nothing is changed: NULL, or one of them is no
    /// node that the client has.
    ///
    /// # Safety
    /// The client does not use the nodes of the chain any more.
    pub(super) unsafe fn release(&mut self, list: *mut WSK_DATA_INDICATION) -> bool {
        let mut released = 0;
        let mut next = list;
        while !next.is_null() {
            // A node that is twice in the chain would make it endless.
            let wanted = self.nodes.iter().position(|node| ptr::eq(node.0.get(), next));
            let Some(bit) = wanted.map(|index| 1 << index).filter(|bit| self.out & !released & bit != 0)
            else {
                return false;
            };
            released |= bit;
            // SAFETY: one of our nodes, given back by the client.
            next = unsafe { (*next).Next };
        }
        self.out &= !released;
        released != 0
    }
}

#[cfg(test)]
mod tests;
