//! The whole driver in this process, and WSK clients: one of it, one of the simulated system.

use std::ptr;
use std::sync::Once;

use abi::wsk::{WSK_CLIENT_DISPATCH, WSK_CLIENT_NPI, WSK_INFINITE_WAIT, WSK_PROVIDER_NPI, WSK_REGISTRATION};
use anyhow::{Result, anyhow};
use runtime::{Config, LOOPBACK_ADDRESSES, Runtime};
use wsk::Settings;
use wsk::policy::PolicyBuilder;

use crate::layer;

/// What every registration is made with.
static CLIENT_DISPATCH: WSK_CLIENT_DISPATCH =
    WSK_CLIENT_DISPATCH { Version: 0x0100, Reserved: 0, WskClientEvent: None };

const NOT_REGISTERED: WSK_REGISTRATION = WSK_REGISTRATION {
    ReservedRegistrationState: 0,
    ReservedRegistrationContext: ptr::null_mut(),
    ReservedRegistrationLock: 0,
};

/// What a status of the kernel's says in a sentence.
pub(crate) fn failed(what: &str, status: i32) -> anyhow::Error {
    anyhow!("{what}: status {:#010x}", status.cast_unsigned())
}

/// An error, if the status is one.
pub(crate) fn check(what: &str, status: i32) -> Result<()> {
    if status < 0 { Err(failed(what, status)) } else { Ok(()) }
}

/// Makes the simulated kernel ready. What it is like is chosen before.
pub(crate) fn boot() {
    static BOOT: Once = Once::new();
    // SAFETY: the simulated device lives as long as the process.
    BOOT.call_once(|| unsafe { kernel::init(ksim::device()) });
}

/// Whose WSK a client uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Of {
    Driver,
    System,
}

/// A registered WSK client.
pub(crate) struct Client {
    of: Of,
    registration: Box<WSK_REGISTRATION>,
    pub(crate) provider: WSK_PROVIDER_NPI,
}

// SAFETY: a provider may be called from any thread; the registration is touched by the drop alone.
unsafe impl Sync for Client {}

impl Client {
    /// Registers. There is a running [`Driver`], if it is the driver's.
    ///
    /// # Errors
    /// The provider's status.
    pub(crate) fn register(of: Of) -> Result<Self> {
        boot();
        let mut registration = Box::new(NOT_REGISTERED);
        let mut npi = WSK_CLIENT_NPI { ClientContext: ptr::null_mut(), Dispatch: &CLIENT_DISPATCH };
        let block = &raw mut *registration;
        let registered = match of {
            // SAFETY: the block stays in its box until it is deregistered; the table is static.
            Of::Driver => unsafe { wsk::wsk_register(&mut npi, block) },
            // SAFETY: as above.
            Of::System => unsafe { kernel::wsk::register(&mut npi, block) },
        };
        check("WskRegister", registered)?;
        let mut provider = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
        let captured = match of {
            // SAFETY: registered above.
            Of::Driver => unsafe { wsk::wsk_capture_provider_npi(block, WSK_INFINITE_WAIT, &mut provider) },
            // SAFETY: as above.
            Of::System => unsafe { kernel::wsk::capture(block, WSK_INFINITE_WAIT, &mut provider) },
        };
        check("WskCaptureProviderNPI", captured)?;
        Ok(Self { of, registration, provider })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let block = &raw mut *self.registration;
        match self.of {
            Of::Driver => {
                // SAFETY: captured once; no call is under way.
                unsafe { wsk::wsk_release_provider_npi(block) };
                // SAFETY: registered once; waits for the last socket.
                unsafe { wsk::wsk_deregister(block) };
            }
            Of::System => {
                // SAFETY: as above.
                unsafe { kernel::wsk::release(block) };
                // SAFETY: as above.
                unsafe { kernel::wsk::deregister(block) };
            }
        }
    }
}

/// Regions that the software adapter can register: enough for ten thousand sockets, each of which takes three.
const REGIONS: u32 = 1 << 16;

/// Memory that connections may have: more than the machine.
const OCTETS: u64 = 1 << 40;

/// How long the rings of connections are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rings {
    /// As they are without settings: short, until time and traffic say that a longer one pays.
    Growing,
    /// At full length from the beginning, so that time decides nothing.
    Whole,
}

/// The running driver, with its software adapter.
pub(crate) struct Driver(Option<Runtime>);

impl Driver {
    /// Starts it; its sockets obey the one rule, `require any any` or `never any any`.
    ///
    /// # Errors
    /// The driver's status.
    pub(crate) fn start(rule: &str, rings: Rings) -> Result<Self> {
        boot();
        let mut policy = PolicyBuilder::new();
        policy.add(rule).map_err(|error| anyhow!("{error:?}"))?;
        let policy = policy.build().map_err(|error| anyhow!("{error:?}"))?;
        let mut settings = Settings { policy, ..Settings::DEFAULT };
        // One peer on one adapter has all the sockets.
        (settings.adapter_octets, settings.peer_octets) = (OCTETS, OCTETS);
        if rings == Rings::Whole {
            settings.first_ring_octets = settings.ring_octets;
        }
        let counts = !ksim::bare::is_unchecked();
        if counts {
            // A work item would make endpoints while something is counted.
            settings.prepared_endpoints = 0;
        }
        let layer = if counts { layer::put } else { Config::default().layer };
        let software_adapter = Some(LOOPBACK_ADDRESSES);
        let config =
            Config { software_adapter, software_regions: REGIONS, layer, settings, ..Config::default() };
        let runtime = Runtime::start(&config).map_err(|status| failed("start the driver", status))?;
        Ok(Self(Some(runtime)))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            assert!(runtime.stop(), "something of the driver is still open");
        }
        ksim::quiesce();
    }
}
