//! The rsockets version 1 stream engine: a byte stream over one reliable-connected queue pair, in
//! Write-then-Send form.
//!
//! The engine is sans-IO. It knows stream offsets, credits and 32-bit messages, and nothing of IRPs, NDK
//! objects, locks or clocks. Its owner holds the memory that the peer writes into, posts what
//! [`Engine::poll_transmit`] hands out, and reports completions and arrivals back. One engine serves one
//! connection; the owner calls it under one lock, at any IRQL, for no call waits, allocates or panics, and
//! each does bounded work.
//!
//! # What the owner does
//!
//! 1. Registers a *ring* ([`Config::ring_len`] octets) and a zeroed *target list* ([`Config::list_len`]
//!    octets), both remotely writable and each with its own key, and posts [`Config::receive_depth`] receives
//!    of [`Config::message_len`] octets in memory that is *not* remotely writable. All before the handshake.
//! 2. Builds the engine ([`Engine::new`]), sends [`Engine::local_conn_data`] as private data, and passes the
//!    peer's private data to [`Engine::establish`] when the connection is up.
//! 3. After every other call that may have made work, takes work from [`Engine::poll_transmit`] until it is
//!    `None`, and posts it in that order. A [`Transmit`] is one RDMA Write (or none) followed by one Send (or
//!    none). The Write before a Send may be deferred and silent; the last request is signalled.
//! 4. For each Send that completed, in posting order: [`Engine::handle_transmit_complete`].
//! 5. For each receive that completed, in order: posts that receive again *first*, then calls
//!    [`Engine::handle_message`] with a copy of the message and of the target entry at [`Engine::wanted_entry`].
//!    The engine advertises a receive as free again on the strength of that order. Stream octets in the message
//!    are then put into the ring ([`Event::Place`]).
//! 6. Hands octets at [`Engine::readable_span`] to the reader and returns their room with
//!    [`Engine::consume`]. The peer can still change octets that it reported: they are copied once, or used
//!    as what they are, untrusted memory. A ring may begin small: asks [`Engine::growth_pays`] then, and gives a longer
//!    one ([`Engine::grow`]) when it has the memory.
//! 7. Tells the time when it was asked to ([`Engine::handle_time`]): a peer that vanished is found so.
//! 8. Before it aborts the transport, posts what [`Engine::abort`] returns.
//!
//! What goes beyond version 1 is in force only where both ends offer it ([`Extensions`]).
//!
//! A failed post, a failed completion or a disconnect event of the transport is
//! [`Engine::handle_connection_lost`].
//!
//! The protocol is that of Linux `librdmacm` (`rsocket(7)`), whose unmodified programs over iWARP are peers.
//! The peer is taken to be hostile: whatever breaks a rule ends the engine in [`State::Failed`].
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

#[cfg(test)]
extern crate std;

mod config;
mod counters;
mod engine;
mod error;
pub mod wire;

#[cfg(test)]
mod tests;

pub use config::{
    Config, ConfigError, LocalMemory, MAX_CREDITS, MAX_LIST_ENTRIES, MAX_MESSAGE_LEN, MAX_RING_LEN,
    MAX_SEND_QUEUE_DEPTH, MIN_CREDITS, MIN_RESERVE, MIN_SEND_QUEUE_DEPTH, Role,
};
pub use counters::Counters;
pub use engine::{Engine, Event, Keepalive, MAX_HEAD_LEN, Publish, Span, State, Transmit};
pub use error::{ProtocolError, UsageError};
pub use wire::{
    AbortReason, Advert, CONN_DATA_LEN, ConnData, ConnDataError, Extensions, MESSAGE_LEN, Offer,
    PROGRAM_REFUSAL, TARGET_ENTRY_LEN, TargetEntry, TargetList, Word, WordError, refused_by_program,
};
