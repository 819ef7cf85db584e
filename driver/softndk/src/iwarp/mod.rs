//! iWARP: RDMA over a TCP stream, without a TCP stream.
//!
//! MPA (RFC 5044, 6581), DDP (RFC 5041) and RDMAP (RFC 5040) as state machines: octets of the stream in, events out; work
//! requests in, octets of the stream out. Nothing here allocates, waits, panics, takes a lock, knows the time, or moves an octet to
//! or from memory that an STag names: that is [`Memory`], which the adapter implements, so that protection has one place.
//! Every octet of the peer is taken to be hostile.
//!
//! | module | is |
//! |---|---|
//! | [`mpa`] | the request and reply frames and what they agree on; FPDUs and their CRC |
//! | [`ddp`] | the headers of tagged and untagged segments |
//! | [`rdmap`] | opcodes, the Read Request, the Terminate with every error code |
//! | [`Connection`] | full operation: segments, message numbers, reads, completions, failure |
//!
//! # What the owner does
//!
//! 1. Connects or accepts TCP, and runs an [`mpa::Initiator`] or an [`mpa::Responder`] to an [`mpa::Agreement`], under a time
//!    limit of its own.
//! 2. Builds the [`Connection`]. Octets that followed the peer's frame are its first.
//! 3. Gives every octet that arrives to [`Connection::receive`] until none is left and there is no event.
//! 4. Posts work requests one after the other ([`Connection::post`]), and sends what [`Connection::transmit`] writes, in order.
//!    What TCP does not take waits with the owner, who asks for no more meanwhile. It asks after every post, every
//!    [`Connection::receive`], and whenever TCP has room again.
//! 5. After [`Event::Failed`] sends the Terminate that `transmit` still writes, then closes TCP gracefully, and lingers a moment:
//!    a reset would overtake the Terminate. After [`Event::Terminated`] closes TCP.
//! 6. To disconnect posts nothing more, waits for [`Connection::is_idle`], and closes TCP gracefully. To abort calls
//!    [`Connection::abort`], and goes on as after a failure.
//!
//! No call may be made while another runs: the owner has a lock for that. Calls are legal at any IRQL; what [`Memory`] does may
//! not be.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

mod connection;
pub mod ddp;
pub mod mpa;
mod octets;
pub mod rdmap;
#[cfg(test)]
pub(crate) mod tests;

pub use connection::{
    Connection, ConnectionError, Event, Invalidation, LocalFault, Memory, PostError, Request, TaggedFault,
    Transmitted, WorkRequest,
};
