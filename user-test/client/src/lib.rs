//! `wskrdma-client.sys`: an ordinary WSK client driver that does what it is told by IOCTL.
//!
//! | module | is |
//! |---|---|
//! | [`Client`], [`Handle`] | the client's side of WSK: sockets by number, one WSK call for one request |
//! | `driver` (Windows) | DriverEntry, the device, WSK registration through `wskrdma.lib` |
//!
//! Every request is asynchronous: the IOCTL is marked pending and completed by the completion routine of the WSK
//! call's IRP, so any number may be outstanding. The crate must never know which provider it talks to.
//!
//! UNSAFETY: it calls through WSK dispatch tables and completes IRPs.
#![cfg_attr(windows, no_std)]

#[cfg(windows)]
mod driver;
mod handle;
mod operation;
mod requests;
mod slots;

pub use handle::{Client, Handle};
