//! The shipped crates composed into one running provider, on any host.
//!
//! `wskrdma.sys` and the native harness start and stop the same thing: this. It holds no policy of its own and must
//! never know on which kernel it runs.
#![no_std]

mod filter;
mod status;
mod tcp;

use abi::NTSTATUS;
use abi::ndk::{NDK_ADAPTER, NDK_VERSION};
use abi::nt::DRIVER_OBJECT;
use abi::status::{STATUS_INTERNAL_ERROR, STATUS_INVALID_DEVICE_STATE, STATUS_NOT_SUPPORTED};
use abi::wskrdma::WSKRDMA_SOFTWARE_INTERFACE;
use core::ffi::c_void;
use core::net::IpAddr;
use core::ptr::{self, NonNull};
use filter::Filter;
use irp::CompletionWorker;
use kernel::dbg_print;
use kernel::driver::DriverObject;
use kernel::pool::{PoolTag, Shared};
use kernel::print::Level;
use ndk::{Adapter, CloseAdapter};
use softndk::SoftNdk;
pub use softndk::{AnswerMode, Iwarp, LOOPBACK_ADDRESSES, SystemWsk};
pub use tcp::SystemTcp;
use trace::{Event, Kind};
use wsk::{Hardware, Interface, NdkSource, NmrRegistration, Provider, Settings, telemetry};

/// Pool tag of the composition.
const TAG: PoolTag = PoolTag::new(b"WrRt");
/// The NDKPI version asked for at the software adapter.
const NDK_REQUEST: NDK_VERSION = NDK_VERSION { Major: 2, Minor: 0 };

/// What to run.
#[derive(Clone, Debug)]
pub struct Config<'a> {
    /// Sizes of connections, time limits, and the policy.
    pub settings: Settings,
    /// Whether the software adapter is there, and which addresses it owns.
    pub software_adapter: Option<&'a [IpAddr]>,
    /// Regions of memory that the software adapter can register: each connection takes three at each end.
    pub software_regions: u32,
    /// The software adapter's way to other machines; without it every peer is on this one.
    pub iwarp: Option<Iwarp<'a>>,
    /// How the software adapter answers control requests.
    pub answers: AnswerMode,
    /// Stands between the driver and the software adapter: takes over the adapter that was opened, with its close, and gives
    /// an open adapter and its close for them. In the driver these are the same; tests put a provider there that checks
    /// its consumer. IRQL: PASSIVE_LEVEL.
    pub layer: unsafe fn(NonNull<NDK_ADAPTER>, CloseAdapter) -> (NonNull<NDK_ADAPTER>, CloseAdapter),
    /// Whether the provider registers with the Network Module Registrar, which not every system has.
    pub register_with_nmr: bool,
    /// Whether the NDK adapters of the machine's NICs are used, for which not every system has what it takes.
    pub hardware_adapters: bool,
    /// In whose name the NDIS filter registers, and what keeps the code in memory; null where there is none.
    pub driver: *mut DRIVER_OBJECT,
}

impl Default for Config<'_> {
    /// Common sizes, no software adapter, every hardware adapter, registered.
    fn default() -> Self {
        Self {
            settings: Settings::DEFAULT,
            software_adapter: None,
            software_regions: softndk::Config::default().regions_max,
            iwarp: None,
            answers: AnswerMode::Inline,
            layer: |adapter, close| (adapter, close),
            register_with_nmr: true,
            hardware_adapters: true,
            driver: ptr::null_mut(),
        }
    }
}

/// A running provider.
pub struct Runtime {
    provider: Shared<Provider>,
    /// Where clients find the provider that choose it by its module identifier.
    nmr: Option<NmrRegistration>,
    // Until the provider is stopped: completions that nest too deeply go on there.
    worker: Option<CompletionWorker>,
    // After the provider: they are stopped when nothing uses their adapters any more.
    software: Option<Shared<SoftNdk>>,
    hardware: Option<Shared<Hardware>>,
    // Before the hardware, which it tells.
    filter: Option<Filter>,
    driver: Option<DriverObject>,
    #[expect(dead_code, reason = "held for what it undoes when dropped, last")]
    telemetry: Telemetry,
}

/// Events are offered to ETW.
struct Telemetry;

impl Telemetry {
    fn open() -> Self {
        telemetry::open();
        Self
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        telemetry::close();
    }
}

impl Runtime {
    /// Starts adapters and provider and lets clients register. Every rung is undone when a later one fails.
    /// IRQL: PASSIVE_LEVEL, after [`kernel::init`].
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, INVALID_DEVICE_STATE (a provider runs already), or an adapter's status.
    pub fn start(config: &Config<'_>) -> Result<Self, NTSTATUS> {
        let telemetry = Telemetry::open();
        let provider = Provider::new(config.settings.clone()).map_err(|e| e.status())?;
        let worker = CompletionWorker::start(TAG).map_err(|e| e.status())?;
        let mut runtime = Self {
            provider,
            nmr: None,
            worker: Some(worker),
            software: None,
            hardware: None,
            filter: None,
            // SAFETY: the I/O manager's object for this driver, which is there as long as the driver runs.
            driver: unsafe { DriverObject::new(config.driver) },
            telemetry,
        };
        let started = runtime
            .start_software(config)
            .and_then(|()| runtime.start_hardware(config))
            .and_then(|()| runtime.publish(config));
        match started {
            Ok(()) => {
                telemetry::tell(&Event::new(Kind::DriverStarted));
                Ok(runtime)
            }
            Err(status) => {
                runtime.stop_adapters();
                Err(status)
            }
        }
    }

    /// Lets clients in, by either way.
    fn publish(&mut self, config: &Config<'_>) -> Result<(), NTSTATUS> {
        if !Provider::publish(&self.provider) {
            return Err(STATUS_INVALID_DEVICE_STATE);
        }
        if config.register_with_nmr {
            let registered = NmrRegistration::start(&self.provider).inspect_err(|_| Provider::withdraw())?;
            self.nmr = Some(registered);
        }
        Ok(())
    }

    fn start_software(&mut self, config: &Config<'_>) -> Result<(), NTSTATUS> {
        let Some(addresses) = config.software_adapter else { return Ok(()) };
        let software = SoftNdk::start(softndk::Config {
            addresses,
            answers: config.answers,
            iwarp: config.iwarp,
            regions_max: config.software_regions,
            ..softndk::Config::default()
        })?;
        let software = self.software.insert(Shared::try_new(TAG, software).map_err(|e| e.status())?);
        let object = NonNull::new(software.open_adapter(NDK_REQUEST)?).ok_or(STATUS_INTERNAL_ERROR)?;
        let close =
            CloseAdapter { close: close_software, context: Shared::as_ptr(software).cast_mut().cast() };
        let source = NdkSource { open: open_software, close: close_software, context: close.context };
        // SAFETY: the software adapter outlives the provider.
        unsafe { self.provider.set_ndk_source(source) };
        // SAFETY: the adapter was opened just now, and nobody else uses it.
        let (object, close) = unsafe { (config.layer)(object, close) };
        // SAFETY: the adapter was opened just now, and `close` closes it at the one that opened it, which outlives the
        // provider.
        let adapter = unsafe { Adapter::adopt(object, close, self.provider.adapter_limits()) }?;
        let interface = Interface { luid: 0, index: 0, name: "software adapter (loopback)" };
        let added = self.provider.add_adapter(adapter.clone(), interface, addresses);
        added.inspect_err(|_| self.provider.give_back(adapter, interface))
    }

    fn start_hardware(&mut self, config: &Config<'_>) -> Result<(), NTSTATUS> {
        if !config.hardware_adapters {
            return Ok(());
        }
        let hardware = Shared::try_new(TAG, Hardware::start(&self.provider)?).map_err(|e| e.status())?;
        let hardware = self.hardware.insert(hardware);
        match Filter::start(config.driver, hardware) {
            Ok(filter) => self.filter = Some(filter),
            Err(status) => filter::report(status),
        }
        Ok(())
    }

    /// Stops: no further client registers; waits for the clients there are, then closes adapters.
    /// IRQL: PASSIVE_LEVEL.
    ///
    /// `false`: the driver of an adapter has not let go of it within the limit, and may call this code at any time. It stays in
    /// memory, with what that driver may use, and nothing else runs any more.
    #[must_use = "what is not closed has to stay"]
    pub fn stop(mut self) -> bool {
        telemetry::tell(&Event::new(Kind::DriverStopping));
        Provider::withdraw();
        if let Some(nmr) = self.nmr.take() {
            nmr.stop();
        }
        self.stop_adapters()
    }

    fn stop_adapters(&mut self) -> bool {
        let closed =
            self.provider.stop() && self.hardware.as_ref().is_none_or(|hardware| hardware.all_closed());
        drop(self.worker.take());
        irp::account().assert_idle();
        drop(self.filter.take());
        drop(self.hardware.take());
        let software = self.software.take();
        if closed {
            drop(software);
        } else {
            dbg_print!(Level::Error, "wskrdma: the driver of an adapter does not let go of it");
            // The adapter may be its own.
            core::mem::forget(software);
            if let Some(driver) = &self.driver {
                driver.keep_loaded();
            }
        }
        closed
    }

    /// Answers a request of the control device. `buffer` is the METHOD_BUFFERED system buffer with `input` octets of
    /// request and room for `output` octets of reply. IRQL: PASSIVE_LEVEL.
    pub fn device_control(
        &self,
        code: u32,
        buffer: &mut [u8],
        input: usize,
        output: usize,
    ) -> (NTSTATUS, usize) {
        control::driver::handle(
            code,
            buffer,
            input,
            output,
            &status::Tree(&self.provider, self.hardware.as_deref()),
        )
    }
}

/// Opens the software adapter for another NDK consumer.
///
/// # Safety
/// `context` is the [`SoftNdk`], and lives. IRQL: PASSIVE_LEVEL.
unsafe fn open_software(
    context: *mut c_void,
    version: NDK_VERSION,
    if_index: u32,
) -> Result<NonNull<NDK_ADAPTER>, NTSTATUS> {
    if if_index != WSKRDMA_SOFTWARE_INTERFACE {
        return Err(STATUS_NOT_SUPPORTED);
    }
    // SAFETY: the caller's promise.
    let software = unsafe { &*context.cast::<SoftNdk>() };
    NonNull::new(software.open_adapter(version)?).ok_or(STATUS_INTERNAL_ERROR)
}

/// Gives the software adapter back.
///
/// # Safety
/// `context` is the [`SoftNdk`] that opened `adapter`, and lives.
unsafe fn close_software(context: *mut c_void, adapter: NonNull<NDK_ADAPTER>) {
    // SAFETY: the caller's promise.
    let software = unsafe { &*context.cast::<SoftNdk>() };
    // SAFETY: the adapter is open, was opened here, and every object on it is closed.
    unsafe { software.close_adapter(adapter.as_ptr()) };
}
