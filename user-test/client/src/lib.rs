//! The test client: an ordinary WSK client that does what it is told by IOCTL. `wskrdma-client.sys` is this crate with a
//! driver around it; the native world calls it directly.
//!
//! A [`Client`] has captured a provider; a [`Handle`] has sockets by number and makes one WSK call for one request.
//!
//! The conformance [`cases`] run here as well: [`world`] is their client, `desk` the thread that they run on, and [`calls`] makes
//! their calls, in the native tests too.
//!
//! Every request is asynchronous: the IOCTL is marked pending and completed by the completion routine of the WSK
//! call's IRP, so any number may be outstanding. The crate must never know which provider it talks to.
//!
//! It may use unsafe: it calls through WSK dispatch tables and completes IRPs.
#![no_std]

pub mod calls;
mod case_requests;
mod desk;
mod handle;
mod operation;
mod registration;
mod requests;
mod slots;
mod verdict;
pub mod watch;
pub mod world;

pub use handle::{Client, Handle};
pub use registration::RegistrationFunctions;
