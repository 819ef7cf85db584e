//! WSK client test cases, run in every world.
//!
//! A case is a function that talks to a [`World`]: a WSK client with a captured provider, which makes the calls and sees how
//! their IRPs end. Where the world runs (a process over the simulated kernel, a driver under Wine, a driver on Windows)
//! no case knows, so one table serves all of them. [`CASES`] is that table.
//!
//! | module | is |
//! |---|---|
//! | [`world`] | what a case can ask for, and what it gets to see |
//! | [`watch`] | event callbacks: what a case sets beforehand, and what it sees afterwards |
//! | [`pattern`] | the octets of every stream |
//! | `tools` | the steps that many cases share, and the rules that hold for every IRP |
//! | `cases` | the cases, one file for each function of WSK |
//!
//! A case fails with a [`Failure`], never with a panic, and leaves the clearing away to whoever runs it: sockets still
//! open and requests still pending after a case belong to the world. What a case must never do: sleep, or depend
//! on how long something takes.
#![no_std]
#![forbid(unsafe_code)]

mod cases;
mod failure;
pub mod pattern;
mod tools;
pub mod watch;
pub mod world;

pub use cases::CASES;
pub use failure::{Check, Failure, Found};
pub use tools::PATIENCE;
pub use world::World;

/// One test case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// A name that is unique in [`CASES`]: lower case with hyphens.
    pub name: &'static str,
    /// What of the WSK contract it looks at: the name of the page, or of the rule.
    pub section: &'static str,
    /// Runs it.
    pub run: fn(&mut dyn World) -> Check,
}

#[cfg(test)]
mod tests;
