//! The system's TCP, for the software adapter.

use abi::NTSTATUS;
use softndk::SystemWsk;
use wsk::SystemClient;

/// How long the start waits for the system's WSK, in milliseconds. It is there unless the driver is started with the system.
const PATIENCE_MS: u32 = 2_000;

/// A registration with the system's WSK, captured as long as it lives.
pub struct SystemTcp(SystemClient);

impl SystemTcp {
    /// Registers. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// DEVICE_NOT_READY: the system's WSK is not there. NOINTERFACE, INSUFFICIENT_RESOURCES.
    pub fn start() -> Result<Self, NTSTATUS> {
        SystemClient::start(PATIENCE_MS).map(Self)
    }

    /// For [`Iwarp::new`](softndk::Iwarp::new).
    ///
    /// # Safety
    /// Every runtime that is started with it is stopped before this is dropped.
    #[must_use]
    pub unsafe fn wsk(&self) -> SystemWsk {
        let (client, dispatch) = self.0.provider();
        // SAFETY: the promise of the caller.
        unsafe { SystemWsk::new(client, dispatch) }
    }
}
