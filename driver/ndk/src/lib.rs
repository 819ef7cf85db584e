//! The NDK consumer: owned objects over the dispatch tables of any Network Direct Kernel provider.
//!
//! | module | is |
//! |---|---|
//! | [`Adapter`] | an opened adapter with its protection domain and completion queues |
//! | [`Memory`] | pool memory registered with the adapter |
//! | [`Mapping`], [`FastRegion`], [`Window`] | other memory that a peer is let into for a while |
//! | [`Endpoint`], [`Poster`] | one connection: connector, queue pair, its memory; posting is serialised by ownership |
//! | [`Listener`], [`Incoming`] | incoming connections |
//! | [`SharedEndpoint`] | one local address for many outgoing connections |
//!
//! The crate knows no WSK and no IRP. What it must never do: call a provider while holding a lock of its own, touch
//! an object after its close was issued, believe that a callback comes after the call that causes it has returned.
//!
//! Contract: `ndkpi.h` and the pages "Network Direct Kernel Provider Interface (NDKPI)".
#![no_std]

#[cfg(test)]
extern crate std;

mod adapter;
mod address;
mod attachment;
mod connect;
mod cq;
mod endpoint;
mod fast;
mod faults;
mod gate;
mod handles;
mod lam;
mod listener;
mod memory;
mod object;
mod post;
mod prepared;
mod shared_endpoint;
mod table;
mod teardown;
mod uses;
mod wait;
mod window;

pub use adapter::{Adapter, AdapterInfo, CloseAdapter, Limits};
pub use address::{SockAddr, socket_addr_from_raw, write_raw};
pub use connect::Source;
pub use cq::Completion;
pub use endpoint::{Depths, Endpoint, Handler};
pub use fast::{FastRegion, RegionOwner};
pub use faults::Fault;
pub use handles::stray_callbacks;
pub use lam::Mapping;
pub use listener::{Incoming, ListenHandler, Listener};
pub use memory::{Access, Memory};
pub use post::{Local, Opened, Piece, Poster};
pub use prepared::Prepared;
pub use shared_endpoint::SharedEndpoint;
pub use window::Window;

use kernel::pool::PoolTag;

/// Pool tag of this crate's objects.
pub(crate) const TAG: PoolTag = PoolTag::new(b"WrNd");
/// Pool tag of registered memory.
pub(crate) const TAG_MEMORY: PoolTag = PoolTag::new(b"WrMr");

#[cfg(test)]
mod tests;
