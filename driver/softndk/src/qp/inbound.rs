//! What a queue pair takes from its peer: the gate, and the receives for its sends.

use kernel::pool::AllocError;

use super::receives::Receives;

/// Whether the peer may reach the memory behind this queue pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Gate {
    /// Not connected yet.
    Idle,
    Open,
    /// For ever.
    Dead,
}

/// The inbound side.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) gate: Gate,
    /// Receives of this queue pair. One with a shared receive queue has room for the one that a send is filling.
    pub(crate) receives: Receives,
}

impl Inbound {
    pub(crate) fn new(depth: u32, elements_max: u32) -> Result<Self, AllocError> {
        Ok(Self { gate: Gate::Idle, receives: Receives::new(depth, elements_max)? })
    }
}
