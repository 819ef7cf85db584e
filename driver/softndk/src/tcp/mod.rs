//! The system's TCP, under the second fabric: this adapter as a client of the system's WSK.
//!
//! Only listening and connection sockets without callbacks are used, and no control operation that has to work: Wine's provider
//! has no more. Every call has an IRP of this driver's own, and goes on in a continuation ([`kernel::call`]).

mod acceptor;
mod socket;
mod staging;

use core::fmt;

use abi::wsk::{PWSK_CLIENT, WSK_PROVIDER_DISPATCH};

pub(crate) use acceptor::{Acceptor, HalfOpen, NewAcceptor};
pub(crate) use socket::{Kind, Socket};
pub(crate) use staging::Staging;

/// The captured NPI of the system's WSK.
#[derive(Clone, Copy)]
pub struct SystemWsk {
    client: PWSK_CLIENT,
    dispatch: &'static WSK_PROVIDER_DISPATCH,
}

// SAFETY: the client is a name for the system's functions, which take it from any thread.
unsafe impl Send for SystemWsk {}
// SAFETY: as for `Send`.
unsafe impl Sync for SystemWsk {}

impl SystemWsk {
    /// What WskCaptureProviderNPI has given.
    ///
    /// # Safety
    /// The capture is released only when every software adapter that was started with it is stopped.
    #[must_use]
    pub const unsafe fn new(client: PWSK_CLIENT, dispatch: &'static WSK_PROVIDER_DISPATCH) -> Self {
        Self { client, dispatch }
    }
}

impl fmt::Debug for SystemWsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemWsk").finish_non_exhaustive()
    }
}
