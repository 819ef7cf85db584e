//! The whole driver in this process: its software adapter speaks iWARP over the host's TCP, and its WSK carries nothing else.

use std::net::SocketAddr;
use std::ptr;

use abi::wsk::{WSK_CLIENT_DISPATCH, WSK_CLIENT_NPI, WSK_INFINITE_WAIT, WSK_PROVIDER_NPI, WSK_REGISTRATION};
use anyhow::{Context, Result, anyhow, bail};
use runtime::{Config, Iwarp, LOOPBACK_ADDRESSES, Runtime, SystemWsk};

/// What both registrations are made with; it lives as long as the process.
static CLIENT_DISPATCH: WSK_CLIENT_DISPATCH =
    WSK_CLIENT_DISPATCH { Version: 0x0100, Reserved: 0, WskClientEvent: None };

const NOT_REGISTERED: WSK_REGISTRATION = WSK_REGISTRATION {
    ReservedRegistrationState: 0,
    ReservedRegistrationContext: ptr::null_mut(),
    ReservedRegistrationLock: 0,
};

/// A registration with the simulated system's WSK, whose TCP carries iWARP.
pub(crate) struct System {
    registration: Box<WSK_REGISTRATION>,
    /// For the software adapter.
    pub(crate) tcp: SystemWsk,
}

/// The running driver and a WSK client of it.
pub(crate) struct World {
    runtime: Option<Runtime>,
    system: System,
    /// With the driver.
    registration: Box<WSK_REGISTRATION>,
    pub(crate) provider: WSK_PROVIDER_NPI,
}

// SAFETY: the provider may be called from any thread; the registrations are used by `start` and `stop` only.
unsafe impl Sync for World {}

/// A status that is none of success.
pub(crate) fn failed(what: &str, status: i32) -> anyhow::Error {
    anyhow!("{what}: status {:#010x}", status.cast_unsigned())
}

impl System {
    /// Starts the simulated kernel, joined to the host's TCP. It listens on `port` there, if on any.
    ///
    /// # Errors
    ///
    /// A status of the simulated system's.
    pub(crate) fn start(port: u16) -> Result<Self> {
        // SAFETY: the simulated device lives as long as the process.
        unsafe { kernel::init(ksim::device()) };
        ksim::wsk::join_host(port..=port);
        let mut registration = Box::new(NOT_REGISTERED);
        let mut npi = WSK_CLIENT_NPI { ClientContext: ptr::null_mut(), Dispatch: &CLIENT_DISPATCH };
        let mut captured = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
        // SAFETY: the block stays in its box until it is deregistered; the table is static.
        let status = unsafe { kernel::wsk::register(&mut npi, &mut *registration) };
        if status < 0 {
            bail!(failed("WskRegister of the simulated system", status));
        }
        // SAFETY: registered above.
        let status = unsafe { kernel::wsk::capture(&mut *registration, WSK_INFINITE_WAIT, &mut captured) };
        if status < 0 {
            bail!(failed("WskCaptureProviderNPI of the simulated system", status));
        }
        // SAFETY: the simulated system's table is static.
        let dispatch = unsafe { captured.Dispatch.as_ref() }.context("the system has no table")?;
        // SAFETY: released by `stop`, after the adapter.
        let tcp = unsafe { SystemWsk::new(captured.Client, dispatch) };
        Ok(Self { registration, tcp })
    }

    /// Stops the simulated kernel. Who used its TCP is stopped, and has left nothing.
    pub(crate) fn stop(mut self) {
        // SAFETY: captured once; the adapter that used it is stopped.
        unsafe { kernel::wsk::release(&mut *self.registration) };
        // SAFETY: registered once.
        unsafe { kernel::wsk::deregister(&mut *self.registration) };
        ksim::quiesce();
        kernel::shutdown();
    }
}

impl World {
    /// Starts the driver. Connections from and to `at` go over the host's TCP by iWARP.
    ///
    /// # Errors
    ///
    /// A status of the driver's or the simulated system's.
    pub(crate) fn start(at: SocketAddr, crc: bool) -> Result<Self> {
        let system = System::start(at.port())?;
        let mut registration = Box::new(NOT_REGISTERED);
        let mut npi = WSK_CLIENT_NPI { ClientContext: ptr::null_mut(), Dispatch: &CLIENT_DISPATCH };

        let mut policy = wsk::policy::PolicyBuilder::new();
        policy.add("require any any").map_err(|error| anyhow!("{error:?}"))?;
        let policy = policy.build().map_err(|error| anyhow!("{error:?}"))?;
        let ports = [(at.port(), at.port())];
        let mut iwarp = Iwarp::new(system.tcp, &ports);
        iwarp.crc = crc;
        let mut config =
            Config { software_adapter: Some(LOOPBACK_ADDRESSES), iwarp: Some(iwarp), ..Config::default() };
        config.settings.policy = policy;
        // The peer is emulated.
        config.settings.rdma_connect_limit = kernel::time::milliseconds(60_000);
        let runtime = Runtime::start(&config).map_err(|status| failed("start the driver", status))?;

        // SAFETY: as above.
        let status = unsafe { wsk::wsk_register(&mut npi, &mut *registration) };
        if status < 0 {
            bail!(failed("WskRegister", status));
        }
        let mut provider = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
        // SAFETY: registered above.
        let status =
            unsafe { wsk::wsk_capture_provider_npi(&mut *registration, WSK_INFINITE_WAIT, &mut provider) };
        if status < 0 {
            bail!(failed("WskCaptureProviderNPI", status));
        }
        Ok(Self { runtime: Some(runtime), system, registration, provider })
    }

    /// Stops the driver, which has to leave nothing behind. Every socket is closed.
    pub(crate) fn stop(mut self) {
        // SAFETY: captured once; no call is under way.
        unsafe { wsk::wsk_release_provider_npi(&mut *self.registration) };
        // SAFETY: registered once; waits for the last socket.
        unsafe { wsk::wsk_deregister(&mut *self.registration) };
        if let Some(runtime) = self.runtime.take() {
            assert!(runtime.stop(), "an adapter is not closed");
        }
        self.system.stop();
    }
}
