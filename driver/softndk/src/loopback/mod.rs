//! The in-memory fabric: both ends of a connection are on this adapter, and the processor copies.
//!
//! [`Link`] is one connection and decides what each consumer is told; [`perform`] carries one request out.

mod link;
mod teardown;
mod transfer;

use kernel::pool::Shared;

use crate::qp::Qp;

pub(crate) use link::Link;
pub(crate) use transfer::perform;

/// What a connected queue pair knows of the other end.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) qp: Shared<Qp>,
    /// Reads this end may have in flight; 0 forbids them. More than one is never in flight here.
    pub(crate) read_limit: u32,
    /// This end may send only once it has heard from the peer.
    pub(crate) listens_first: bool,
}
