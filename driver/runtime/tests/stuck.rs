//! The stop of the driver while an adapter's driver does not let go of the adapter. In a process of its own: what stays, stays.
#![cfg(test)]

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use abi::ndk::NDK_ADAPTER;
use kernel::time::milliseconds;
use ndk::CloseAdapter;
use ndkcheck::{Act, Checker, Slot, When};
use wskrdma_runtime::{Config, LOOPBACK_ADDRESSES, Runtime};

// What the package's other tests need.
use {cases as _, client as _, control as _, irp as _, softndk as _, trace as _};

static CHECKER: OnceLock<Checker> = OnceLock::new();
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Puts the checks in between, and has the close of the protection domain wait.
///
/// # Safety
/// As for [`Config::layer`].
unsafe fn layer(adapter: NonNull<NDK_ADAPTER>, close: CloseAdapter) -> (NonNull<NDK_ADAPTER>, CloseAdapter) {
    // SAFETY: the caller's promise.
    let adapter = unsafe { ndkcheck::wrap(adapter) };
    // SAFETY: wrapped just now.
    let checker = unsafe { ndkcheck::of(adapter) };
    checker.always(Slot::ClosePd, Act::Answer(When::Turn));
    assert!(CHECKER.set(checker).is_ok(), "one adapter");
    let context = Box::into_raw(Box::new(close)).cast();
    (adapter, CloseAdapter { close: close_layer, context })
}

/// # Safety
/// As for [`CloseAdapter::close`]; the context is that of [`layer`].
unsafe fn close_layer(context: *mut c_void, adapter: NonNull<NDK_ADAPTER>) {
    // SAFETY: boxed by `layer`; an adapter is closed once.
    let inner = unsafe { Box::from_raw(context.cast::<CloseAdapter>()) };
    // SAFETY: the caller's promise, for the adapter behind the checks.
    let give_back = |adapter| unsafe { (inner.close)(inner.context, adapter) };
    // SAFETY: wrapped by `layer`.
    unsafe { ndkcheck::close(adapter, give_back) };
    CLOSED.store(true, Ordering::Release);
}

/// The stop ends, the image stays, and the late answer finds everything that it needs.
#[test]
fn the_image_stays_while_an_adapter_is_not_closed() {
    let device = ksim::device();
    // SAFETY: the simulated device lives as long as the process.
    unsafe { kernel::init(device) };
    let settings =
        wsk::Settings { answer_limit: milliseconds(50), prepared_endpoints: 2, ..wsk::Settings::DEFAULT };
    let config = Config {
        settings,
        software_adapter: Some(LOOPBACK_ADDRESSES),
        layer,
        hardware_adapters: false,
        // Any object will do: nothing is done with it but counting its references.
        driver: device.cast(),
        ..Config::default()
    };
    let runtime = Runtime::start(&config).unwrap();
    ksim::quiesce();
    let before = ksim::references(device.cast());
    assert!(!runtime.stop());
    ksim::quiesce();
    assert_eq!(ksim::references(device.cast()), before + 1);
    assert!(!CLOSED.load(Ordering::Acquire));
    let checker = CHECKER.get().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !CLOSED.load(Ordering::Acquire) {
        assert!(Instant::now() < deadline, "the adapter is not closed");
        checker.turn_all();
        thread::yield_now();
    }
}
