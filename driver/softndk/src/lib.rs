//! A software NDK provider: an RDMA adapter that needs no hardware.
//!
//! [`SoftNdk`] hands out genuine `NDK_ADAPTER` objects behind genuine dispatch tables ([`abi::ndk`], NDKPI 2.1). Its peers are on the
//! adapter itself, by memory, and wherever iWARP is spoken, over the system's TCP.
//!
//! It is strict where real providers are merely undefined, because it is what consumers are tested against:
//!
//! * A wrong token, range or right is found before a byte moves, and ends the connection. Tokens and logical addresses
//!   carry a key, so stale ones fail; local and remote tokens differ; memory outside the consumer's MDL is out of reach even
//!   within its pages.
//! * A send that meets no receive, or one too small, ends the connection.
//! * Queue slots are free again when the completion entry has been taken, not before; those of silent requests with the entry
//!   after them. Deferred requests really wait.
//! * The consumer's code never runs inside a post: completion queues notify, and connectors report, from DPCs.
//! * [`AnswerMode`] chooses whether control requests complete inline, later, or before the call returns.
//!
//! | module | is |
//! |---|---|
//! | `provider`, `adapter`, `pd`, `cq`, `mr`, `mw`, `qp`, `srq`, `connector`, `listener`, `shared_endpoint`, `lam` | the NDK objects and their tables |
//! | `life`, `events`, `answer`, `deadlines` | closes, callbacks, the three ways to answer, and patience |
//! | `memory` | tokens, logical addresses, rights, copies |
//! | `ports`, `address` | local addresses and the port space |
//! | `loopback` | the in-memory fabric |
//! | `fabric` | the two ways to a peer behind one face |
//! | [`iwarp`] | MPA, DDP and RDMAP without a socket |
//! | `stream`, `tcp` | the fabric to other machines: `iwarp` joined to NDK objects, and to the system's WSK |
//!
//! What it must never do: follow an address a consumer or peer gives without looking it up, call a consumer with a lock held,
//! or read the public part of an object.
//!
//! Lock order, outermost first: link or stream, initiator queue, inbound side, then a shared receive queue, memory places, a completion
//! queue and its notifier, or the queue of events.
//! Port space before listener; the adapter's list of notifiers before their links. Every other lock is taken alone.
#![no_std]

#[cfg(test)]
extern crate std;

mod adapter;
mod address;
mod answer;
mod buffer;
mod config;
mod connector;
mod counters;
mod cq;
mod deadlines;
mod events;
mod fabric;
pub mod iwarp;
mod lam;
mod life;
mod listener;
mod loopback;
mod memory;
mod mr;
mod mw;
mod opaque;
mod pd;
mod ports;
mod provider;
mod public;
mod qp;
mod shared_endpoint;
mod srq;
mod stream;
mod tag;
mod tcp;
#[cfg(test)]
mod tests;

pub use config::{AnswerMode, Config, Iwarp, LOOPBACK_ADDRESSES, MAPPINGS_MAX, REGIONS_MAX};
pub use counters::Counters;
pub use provider::SoftNdk;
pub use tcp::SystemWsk;
