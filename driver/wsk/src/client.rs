//! A registered client: what `PWSK_CLIENT` points to.

use crate::TAG_PROVIDER;
use crate::provider::{Provider, Use};
use kernel::pool::{AllocError, Shared};
use kernel::rundown::Rundown;

/// One registration.
pub(crate) struct Client {
    provider: Use,
    /// Captures, sockets and calls: WskDeregister waits for them.
    uses: Rundown,
}

impl Client {
    pub(crate) fn new(provider: Use) -> Result<Shared<Self>, AllocError> {
        Shared::try_new(TAG_PROVIDER, Self { provider, uses: Rundown::new()? })
    }

    /// A use of the client; `None` once it deregisters.
    pub(crate) fn enter(this: &Shared<Self>) -> Option<ClientUse> {
        this.uses.acquire()?.forget();
        Some(ClientUse(this.clone()))
    }

    /// Gives back a capture, whose guard was forgotten.
    ///
    /// # Safety
    /// Called once for each capture.
    pub(crate) unsafe fn release(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.uses.release_forgotten() };
    }

    /// Takes a capture, to be given back with [`Client::release`]; `false` once it deregisters.
    pub(crate) fn capture(&self) -> bool {
        match self.uses.acquire() {
            Some(guard) => {
                guard.forget();
                true
            }
            None => false,
        }
    }

    /// Waits until captures, sockets and calls are gone. IRQL: PASSIVE_LEVEL.
    pub(crate) fn wait(&self) {
        self.uses.wait();
    }
}

/// Keeps WskDeregister waiting, and the client and the provider alive.
pub(crate) struct ClientUse(Shared<Client>);

impl ClientUse {
    /// One more use, for an accepted socket.
    pub(crate) fn try_clone(&self) -> Option<Self> {
        Client::enter(&self.0)
    }

    pub(crate) fn provider(&self) -> &Provider {
        &self.0.provider
    }
}

impl Drop for ClientUse {
    fn drop(&mut self) {
        // SAFETY: one release for the guard forgotten in `enter`; the client outlives this call through `self.0`.
        unsafe { self.0.uses.release_forgotten() };
    }
}
