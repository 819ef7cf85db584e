//! Winsock Kernel sockets whose streams run over NDK.
//!
//! | module | is |
//! |---|---|
//! | [`Provider`] | what all clients share: adapters, the table of sockets, totals |
//! | `registration`, `client` | WSK registration and the functions of WSK_PROVIDER_DISPATCH |
//! | `listen` | listening sockets |
//! | `connection` | connection sockets: one stream engine, one NDK endpoint, queues of IRPs |
//! | `edge` | the dispatch tables: the only place that sees a client's raw pointers |
//!
//! The IRP law holds everywhere: every IRP is marked pending, PENDING is returned, and it is completed exactly once,
//! with no lock held. What this crate must never do: complete an IRP or call an adapter's control function with a
//! socket's lock held, hold the locks of two sockets, or let a peer decide how much memory is used.
//!
//! Contract: `wsk.h` and the Winsock Kernel pages.
#![no_std]

#[cfg(test)]
extern crate std;

mod buffer;
mod client;
mod connection;
mod edge;
mod listen;
mod provider;
mod registration;
mod socket;
mod table;

pub use provider::{AdapterView, Provider, Settings, SocketView, View};
pub use registration::{
    wsk_capture_provider_npi, wsk_deregister, wsk_query_provider_characteristics, wsk_register,
    wsk_release_provider_npi,
};

use kernel::pool::PoolTag;

/// Pool tag of sockets.
pub(crate) const TAG_SOCKET: PoolTag = PoolTag::new(b"WrSk");
/// Pool tag of the provider, its clients and tables.
pub(crate) const TAG_PROVIDER: PoolTag = PoolTag::new(b"WrPr");

#[cfg(test)]
mod tests;
