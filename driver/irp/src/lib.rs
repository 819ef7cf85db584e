//! The IRP completion manager: every IRP that enters the driver is completed exactly once.
//!
//! "Exactly once" is a matter of types here. An [`OwnedIrp`] is a linear token: whoever holds it owes the client one
//! completion, giving it up is the only way to complete, and dropping it stops the machine. Between entry and
//! completion the token is in one place only:
//!
//! | place | cancel | for |
//! |---|---|---|
//! | an [`OwnedIrp`] in a variable or field | only sets the flag | work in progress, the close IRP |
//! | [`IrpQueue`] | completes at once, inside `IoCancelIrp` | requests that wait: accept, receive, connect, a send without credit |
//! | [`Posted`] | decided between the canceller and the adapter | requests whose memory an adapter has |
//! | [`CompletionBatch`] | only sets the flag | decided, waiting for the lock to be dropped |
//!
//! An IRP also holds its owner: a socket's last reference goes after the completion of every IRP that was
//! [kept](OwnedIrp::keep) for it or parked, so the close IRP, completed by the socket's drop, is the last one by itself.
//!
//! While the driver holds an IRP it may write `Tail.Overlay.DriverContext`, `Tail.Overlay.ListEntry` and the
//! parameters of its own stack location, so parking, holding and batching never allocate and never fail for memory.
//! The only allocation of this crate is the work item of [`CompletionWorker`], made when the driver starts.
//!
//! What this crate must never do: complete an IRP with a lock held, touch an IRP after completing it, or know what
//! a socket is. Rules: "Canceling IRPs", "Completing IRPs" and "Using IRPs with Winsock Kernel Functions"
//! (Microsoft).
#![no_std]

#[cfg(test)]
extern crate std;

mod account;
mod batch;
mod entry;
mod invariant;
mod keeper;
mod nesting;
mod outcome;
mod owned;
mod posted;
mod queue;
mod raw_list;
mod scratch;

#[cfg(not(test))]
mod sync;
#[cfg(test)]
#[path = "tests/sync.rs"]
mod sync;

#[cfg(test)]
mod tests;

pub use account::{Account, account};
pub use batch::CompletionBatch;
pub use entry::{Refused, enter, fail_unmarked, pend};
pub use nesting::CompletionWorker;
pub use outcome::Outcome;
pub use owned::OwnedIrp;
pub use posted::{Armed, HardwareSide, Posted, PostedRequest};
pub use queue::{IrpQueue, QueueKind};
pub use scratch::RECORD_BYTES;
