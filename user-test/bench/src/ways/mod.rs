//! The ways to carry octets that are measured side by side.
//!
//! All of a kind do the same: so many exchanges of a message and an answer as long, or so many messages one way, all of them taken
//! by a receiver. What is inside this process runs on one thread, because the simulated kernel's processors run their own DPCs.

pub(crate) mod host;
pub(crate) mod raw;
pub(crate) mod ring;
pub(crate) mod wsk;

use anyhow::Result;

/// Something that can be measured.
pub(crate) trait Way {
    /// Does it so many times.
    ///
    /// # Errors
    /// What went wrong; the way is of no use then.
    fn run(&mut self, times: u64) -> Result<()>;
}
