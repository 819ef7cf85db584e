//! This driver as a client of the system's own WSK: the TCP path, and everything that is not accelerated.
//!
//! | module | is |
//! |---|---|
//! | [`System`] | one registration with the system's provider, for one client of ours |
//! | [`Wait`] | a call that is waited for, at PASSIVE_LEVEL |
//! | [`Call`] | a call that goes on in a continuation |
//! | [`SystemSocket`] | a socket of the system's that belongs to a socket of ours |

mod registration;
mod socket;
mod wait;

pub(crate) use kernel::call::Call;
pub use registration::SystemClient;
pub(crate) use registration::{CLIENT_DISPATCH, System};
pub(crate) use socket::{Owner, SystemSocket};
pub(crate) use wait::Wait;
