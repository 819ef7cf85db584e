//! An NDK provider that stands between a consumer and another provider and checks the consumer.
//!
//! [`wrap`] takes an open `NDK_ADAPTER` and gives another one whose every object is a proxy: each call is held against the
//! [rules](Rule) of NDKPI and then handed on. A broken rule ends the process with the rule's name, on whatever thread it
//! happens, as a bug check would; a test that breaks one on purpose [expects](Checker::expect) it.
//!
//! Beyond that the proxies are the strictest provider the interface allows: callbacks come at DISPATCH_LEVEL. By
//! [script](Act) they also answer early, late or never, with any status, and do what no provider may
//! ([`EntryAct`], [`Checker::disconnect_event`], [`Checker::repeat`]).
//!
//! | module | is |
//! |---|---|
//! | `rule`, `check` | the rules, and what happens to who breaks one |
//! | `object`, `request` | proxies, calls into them, control requests and their completions |
//! | `script` | answers out of the ordinary |
//! | `memory`, `work` | regions, mappings and the buffers of posted requests |
//! | `table` | the slots, a file for each table |
//!
//! What it must never do: change what a consumer that keeps the rules sees, unless a script says so; take memory from the
//! simulated pool, whose shortage tests play with.

mod check;
mod memory;
mod object;
mod request;
mod rule;
mod script;
mod table;
mod work;

pub use check::{Checker, Violation, close, of, wrap};
pub use rule::Rule;
pub use script::{Act, Chooser, EntryAct, Slot, When};

#[cfg(test)]
mod tests;
