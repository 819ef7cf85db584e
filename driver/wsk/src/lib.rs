//! Winsock Kernel sockets whose streams run over NDK, or over the system's TCP.
//!
//! | module | is |
//! |---|---|
//! | [`NmrRegistration`] | the provider as a module of the Network Module Registrar |
//! | [`Provider`] | what all clients share: adapters, the table of sockets, totals |
//! | `registration`, `client` | WSK registration, and a client: its uses, static events, and its registration at the system's WSK |
//! | [`policy`], [`misses`] | which connections may run over RDMA or TCP, and where RDMA has just failed |
//! | `adapter_status` | what an adapter's status means to a client |
//! | `sharing` | who may use a local address beside whom |
//! | `view` | what the status shows; which way a connect would go |
//! | [`telemetry`], `departures` | events; adding up sockets while some go |
//! | `clock` | one timer for the handshakes of all connections |
//! | `listen` | listening sockets: adapters' listeners, the twin, one queue for both |
//! | `connection` | connection and stream sockets: one stream engine, one NDK endpoint, queues of IRPs, the twin |
//! | `callbacks`, `events` | a client's table of callbacks, and which of them are enabled |
//! | `options` | a socket's options as its client has set them |
//! | `system` | the system's own WSK: the TCP path, and what is not accelerated |
//! | `control` | control operations of clients and sockets, without a client's pointers |
//! | `edge` | the dispatch tables: the only place that sees a client's raw pointers |
//!
//! A socket of ours has a *twin*: a socket of the system's, which has the same address and becomes the connection where RDMA
//! does not.
//!
//! The IRP law holds for every IRP that is entered: it is marked pending, PENDING is returned, and it is completed exactly
//! once, with no lock held. One that is passed to the system is not touched at all. What this crate must never do: complete
//! an IRP, or call a client's callback, an adapter's control function or a function of the system's WSK, with a socket's lock
//! held; hold the locks of two sockets; or let a peer decide how much memory is used.
//!
//! Contract: `wsk.h` and the Winsock Kernel pages.
#![no_std]

#[cfg(test)]
extern crate std;

mod adapter_status;
mod adapters;
mod buffer;
mod callbacks;
mod client;
mod clock;
mod connection;
mod control;
mod departures;
mod edge;
mod events;
mod hardware;
mod listen;
pub mod misses;
mod nmr;
mod options;
mod peers;
pub mod policy;
mod provider;
mod registration;
mod settings;
mod sharing;
mod socket;
mod system;
mod table;
pub mod telemetry;
mod view;

pub use adapters::{AdapterView, Identity, Interface};
pub use connection::PoolView;
pub use control::ndk::NdkSource;
pub use hardware::{Hardware, INTERFACES, InterfaceView, Standing};
pub use nmr::NmrRegistration;
pub use provider::{Provider, Removed};
pub use registration::{
    wsk_capture_provider_npi, wsk_deregister, wsk_query_provider_characteristics, wsk_register,
    wsk_release_provider_npi,
};
pub use settings::Settings;
pub use stream::Keepalive;
pub use system::SystemClient;
pub use view::{SocketView, View, Why};

use kernel::pool::PoolTag;

/// Pool tag of sockets.
pub(crate) const TAG_SOCKET: PoolTag = PoolTag::new(b"WrSk");
/// Pool tag of the provider, its clients and tables.
pub(crate) const TAG_PROVIDER: PoolTag = PoolTag::new(b"WrPr");

#[cfg(test)]
mod tests;
