//! `DriverEntry`, the ladder of initialisation, and unloading.
//!
//! Each rung of the ladder is a value that undoes itself when dropped, so a failure half way up climbs down by
//! itself. The last rung lets programs in. Unloading is the ladder downwards; the framework's own rungs go after
//! `EvtDriverUnload`.

use abi::NTSTATUS;
use abi::status::{STATUS_OBJECT_NAME_NOT_FOUND, STATUS_SUCCESS};
use core::cell::UnsafeCell;
use kernel::dbg_print;
use kernel::print::Level;
use wdk_sys::{DEVICE_OBJECT, DRIVER_OBJECT, UNICODE_STRING, WDFDRIVER};

use crate::device;
use crate::provider::Provider;
use crate::settings::{Problem, Settings};
use crate::wdf::{Driver, ParametersKey, UnloadRoutine};

/// The rungs that this crate owns while the driver is loaded.
static LOADED: Loaded = Loaded(UnsafeCell::new(None));

/// Entry point, called by the framework's stub. PASSIVE_LEVEL.
///
/// # Safety
///
/// The I/O manager's contract for `DRIVER_INITIALIZE`.
#[unsafe(export_name = "DriverEntry")]
unsafe extern "system" fn driver_entry(
    driver: *mut DRIVER_OBJECT,
    registry_path: *const UNICODE_STRING,
) -> NTSTATUS {
    // SAFETY: the arguments are those of `DriverEntry`.
    match unsafe { climb(driver, registry_path) } {
        Ok(()) => STATUS_SUCCESS,
        Err(status) => {
            dbg_print!(Level::Error, "wskrdma: not started: {status:#010x}");
            status
        }
    }
}

/// # Safety
///
/// As for [`driver_entry`].
unsafe fn climb(driver: *mut DRIVER_OBJECT, registry_path: *const UNICODE_STRING) -> Result<(), NTSTATUS> {
    const UNLOAD: UnloadRoutine = unload;
    // SAFETY: `DriverEntry` runs once, and these are its arguments.
    let framework = unsafe { Driver::create(driver, registry_path, UNLOAD) }?;
    let settings = read_settings(framework)?;
    let device = device::create(framework)?;
    // SAFETY: the device is this driver's and outlives the guard: it is dropped after it below, and at unload the
    // framework deletes the device after the unload routine.
    let kernel = unsafe { KernelGuard::init(device.wdm_object()) };
    let provider = Provider::start(settings, driver)?;
    // SAFETY: no request can be under way, as the device cannot be opened yet.
    unsafe { LOADED.fill(Rungs { provider, kernel }) };
    device.open();
    Ok(())
}

/// `EvtDriverUnload`. PASSIVE_LEVEL. The I/O manager calls it when no handle to the device is open any more.
unsafe extern "C" fn unload(_: WDFDRIVER) {
    // SAFETY: without an open handle no request is under way, and none can come: the driver object is marked for
    // unloading.
    drop(unsafe { LOADED.empty() });
}

/// What answers requests, while the driver is loaded.
pub(crate) fn provider() -> Option<&'static Provider> {
    LOADED.get().map(|rungs| &rungs.provider)
}

fn read_settings(driver: Driver) -> Result<Settings, NTSTATUS> {
    match ParametersKey::open(driver) {
        Ok(key) => Settings::read(&key, report),
        // A service installed by hand may have no such key.
        Err(STATUS_OBJECT_NAME_NOT_FOUND) => Ok(Settings::default()),
        Err(status) => Err(status),
    }
}

fn report(problem: Problem) {
    match problem {
        Problem::Unreadable { name, status } => {
            dbg_print!(Level::Error, "wskrdma: setting {name} cannot be read: {status:#010x}; default used");
        }
        Problem::OutOfRange { name, value, smallest, largest } => {
            dbg_print!(
                Level::Error,
                "wskrdma: setting {name} is {value}, not from {smallest} to {largest}; default used"
            );
        }
        Problem::Entry { name, number } => {
            dbg_print!(Level::Error, "wskrdma: setting {name}: entry {number} has no meaning; not used");
        }
        Problem::Rule { number, error } => {
            dbg_print!(Level::Error, "wskrdma: setting Policy, rule {number}: {error}; rule not used");
        }
    }
}

/// In the order in which they are dropped: the ladder downwards.
struct Rungs {
    provider: Provider,
    #[expect(dead_code, reason = "held for what it undoes when dropped")]
    kernel: KernelGuard,
}

/// The crate `kernel` between its initialisation and its shutdown.
struct KernelGuard;

impl KernelGuard {
    /// # Safety
    ///
    /// As for [`kernel::init`], until the guard is dropped.
    unsafe fn init(device: *mut DEVICE_OBJECT) -> Self {
        // SAFETY: the caller's promise.
        unsafe { kernel::init(device.cast()) };
        Self
    }
}

impl Drop for KernelGuard {
    fn drop(&mut self) {
        kernel::shutdown();
    }
}

/// The rungs, once all of them are there.
struct Loaded(UnsafeCell<Option<Rungs>>);

// SAFETY: written only while no request is under way (`fill`, `empty`), and otherwise only read.
unsafe impl Sync for Loaded {}

impl Loaded {
    /// # Safety
    ///
    /// No request is under way.
    unsafe fn fill(&self, rungs: Rungs) {
        // SAFETY: nobody else looks at the cell, by the caller's promise.
        unsafe { *self.0.get() = Some(rungs) };
    }

    /// # Safety
    ///
    /// No request is under way, and none comes any more.
    unsafe fn empty(&self) -> Option<Rungs> {
        // SAFETY: nobody else looks at the cell, by the caller's promise.
        let cell = unsafe { &mut *self.0.get() };
        cell.take()
    }

    fn get(&self) -> Option<&Rungs> {
        // SAFETY: requests only read, and the writers promise that there is no request.
        let cell = unsafe { &*self.0.get() };
        cell.as_ref()
    }
}
