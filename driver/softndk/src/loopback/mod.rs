//! The in-memory fabric: both ends of a connection are on this adapter, and the processor copies.
//!
//! [`Link`] is one connection and decides what each consumer is told; [`perform`] carries one request out. A fabric that
//! reaches other machines offers the same two things beside this one; objects, completion queues, memory and ports do not
//! change.

mod buffer;
mod link;
mod teardown;
mod transfer;

use kernel::pool::Shared;

use crate::qp::Qp;

pub(crate) use link::{Cause, DisconnectEvent, Handshake, Link, PrivateData, ReadLimits};
pub(crate) use transfer::perform;

/// An end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    /// The end that connected.
    Active,
    /// The end that listened.
    Passive,
}

impl Side {
    /// The other end.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Active => Self::Passive,
            Self::Passive => Self::Active,
        }
    }
}

/// What a connected queue pair knows of the other end.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) qp: Shared<Qp>,
    /// Reads this end may have in flight; 0 forbids them. More than one is never in flight here.
    pub(crate) read_limit: u32,
    /// This end may send only once it has heard from the peer.
    pub(crate) listens_first: bool,
}
