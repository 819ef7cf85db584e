//! The ways to carry octets that are measured side by side.
//!
//! All of a kind do the same: so many exchanges of a message and an answer as long, or so many messages one way, all of them taken
//! by a receiver. What is inside this process runs on one thread, because the simulated kernel's processors run their own DPCs.

pub(crate) mod host;
pub(crate) mod raw;
pub(crate) mod ring;
pub(crate) mod wsk;

use std::thread;

use anyhow::{Result, anyhow};

/// Something that can be measured.
pub(crate) trait Way: Send {
    /// Does it so many times.
    ///
    /// # Errors
    /// What went wrong; the way is of no use then.
    fn run(&mut self, times: u64) -> Result<()>;
}

/// Several at once, each on a thread of its own; the times are divided among them.
pub(crate) struct Together<'a>(Vec<Box<dyn Way + 'a>>);

impl<'a> Together<'a> {
    /// So many of what `make` makes.
    ///
    /// # Errors
    /// What it ran into.
    pub(crate) fn new(count: usize, make: impl Fn() -> Result<Box<dyn Way + 'a>>) -> Result<Self> {
        Ok(Self((0..count).map(|_| make()).collect::<Result<_>>()?))
    }
}

impl Way for Together<'_> {
    fn run(&mut self, times: u64) -> Result<()> {
        let each = times.div_ceil(self.0.len().max(1) as u64);
        thread::scope(|scope| {
            let all: Vec<_> = self.0.iter_mut().map(|way| scope.spawn(|| way.run(each))).collect();
            let joined = all.into_iter().map(|one| one.join().unwrap_or_else(|_| Err(anyhow!("a panic"))));
            joined.collect::<Result<Vec<()>>>().map(drop)
        })
    }
}
