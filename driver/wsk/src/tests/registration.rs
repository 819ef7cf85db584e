//! Registering, capturing, and their ends.

use core::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use abi::status::{STATUS_DEVICE_NOT_READY, STATUS_INVALID_PARAMETER, STATUS_NOINTERFACE, STATUS_SUCCESS};
use abi::wsk::*;

use ksim::wsk::{Config, Function, calls};

use super::harness::{PATIENCE, World, block, boot, left};
use crate::{Provider, Settings};

const fn dispatch(version: u16) -> WSK_CLIENT_DISPATCH {
    WSK_CLIENT_DISPATCH { Version: version, Reserved: 0, WskClientEvent: None }
}

static V1_0: WSK_CLIENT_DISPATCH = dispatch(0x0100);
static V1_1: WSK_CLIENT_DISPATCH = dispatch(0x0101);
static V2_0: WSK_CLIENT_DISPATCH = dispatch(0x0200);

fn register(table: &'static WSK_CLIENT_DISPATCH, block: *mut WSK_REGISTRATION) -> i32 {
    let mut npi = WSK_CLIENT_NPI { ClientContext: ptr::null_mut(), Dispatch: table };
    // SAFETY: the table is static; the caller keeps the block.
    unsafe { crate::wsk_register(&mut npi, block) }
}

fn capture(block: *mut WSK_REGISTRATION) -> (i32, WSK_PROVIDER_NPI) {
    let mut npi = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
    // SAFETY: the caller has registered the block.
    (unsafe { crate::wsk_capture_provider_npi(block, 0, &mut npi) }, npi)
}

/// Parameters that are missing are refused; nothing is registered.
#[test]
fn null_parameters() {
    let _alone = boot();
    let mut block = block();
    let (block, mut npi) =
        (&raw mut *block, WSK_CLIENT_NPI { ClientContext: ptr::null_mut(), Dispatch: ptr::null() });
    let npi = &raw mut npi;
    for (npi, block) in [(ptr::null_mut(), block), (npi, ptr::null_mut()), (npi, block)] {
        // SAFETY: NULL is what is tested; the others are valid.
        assert_eq!(unsafe { crate::wsk_register(npi, block) }, STATUS_INVALID_PARAMETER);
    }
}

/// Without a running provider nobody registers.
#[test]
fn no_provider() {
    let _alone = boot();
    assert_eq!(register(&V1_0, &mut *block()), STATUS_DEVICE_NOT_READY);
    assert_eq!(left(), []);
}

/// A version that is not served is told at the capture, and can be asked about before.
#[test]
fn versions() {
    let world = World::new(Settings::DEFAULT);
    for (table, expected) in
        [(&V1_0, STATUS_SUCCESS), (&V1_1, STATUS_NOINTERFACE), (&V2_0, STATUS_NOINTERFACE)]
    {
        let mut block = block();
        assert_eq!(register(table, &mut *block), STATUS_SUCCESS);
        let mut served = WSK_PROVIDER_CHARACTERISTICS { HighestVersion: 0, LowestVersion: 0 };
        // SAFETY: registered above.
        let asked = unsafe { crate::wsk_query_provider_characteristics(&mut *block, &mut served) };
        assert_eq!(asked, STATUS_SUCCESS);
        assert_eq!((served.LowestVersion, served.HighestVersion), (0x0100, 0x0100));
        let (status, npi) = capture(&mut *block);
        assert_eq!(status, expected);
        if status == STATUS_SUCCESS {
            // SAFETY: captured, so the table is valid.
            assert_eq!(unsafe { (*npi.Dispatch).Version }, 0x0100);
            // SAFETY: captured once.
            unsafe { crate::wsk_release_provider_npi(&mut *block) };
        }
        // SAFETY: registered once.
        unsafe { crate::wsk_deregister(&mut *block) };
        assert_eq!(capture(&mut *block).0, STATUS_DEVICE_NOT_READY, "after the deregistration");
    }
    world.finish();
}

/// A deregistration waits for the last capture; captures from then on are refused.
#[test]
fn the_deregistration_waits_for_captures() {
    let world = World::new(Settings::DEFAULT);
    let mut block = block();
    assert_eq!(register(&V1_0, &mut *block), STATUS_SUCCESS);
    assert_eq!(capture(&mut *block).0, STATUS_SUCCESS);
    assert_eq!(capture(&mut *block).0, STATUS_SUCCESS);
    let address = ptr::from_mut::<WSK_REGISTRATION>(&mut block).expose_provenance();
    let over = Arc::new(AtomicBool::new(false));
    let flag = over.clone();
    let ending = thread::spawn(move || {
        // SAFETY: registered once; the block outlives this thread, which is joined.
        unsafe { crate::wsk_deregister(ptr::with_exposed_provenance_mut(address)) };
        flag.store(true, Ordering::SeqCst);
    });
    let registration = ptr::with_exposed_provenance_mut::<WSK_REGISTRATION>(address);
    while capture(registration).0 == STATUS_SUCCESS {
        // SAFETY: captured just now.
        unsafe { crate::wsk_release_provider_npi(registration) };
        thread::yield_now();
    }
    for _ in 0..2 {
        assert!(!over.load(Ordering::SeqCst), "it does not wait for the captures");
        // SAFETY: captured above.
        unsafe { crate::wsk_release_provider_npi(registration) };
    }
    ending.join().unwrap();
    assert!(over.load(Ordering::SeqCst));
    world.finish();
}

/// A capture that waits for a provider of the system's for ever ends with the deregistration.
#[test]
fn the_deregistration_ends_the_wait_of_a_capture() {
    let world = World::new(Settings::DEFAULT);
    ksim::wsk::reset();
    let mut block = block();
    assert_eq!(register(&V1_0, &mut *block), STATUS_SUCCESS);
    ksim::wsk::configure(Config { present: false, ..Config::default() });
    let address = ptr::from_mut::<WSK_REGISTRATION>(&mut block).expose_provenance();
    let before = calls(Function::WskCaptureProviderNPI);
    let capturing = thread::spawn(move || {
        let mut npi = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
        let registration = ptr::with_exposed_provenance_mut(address);
        // SAFETY: registered; the block outlives this thread, which is joined.
        unsafe { crate::wsk_capture_provider_npi(registration, WSK_INFINITE_WAIT, &mut npi) }
    });
    while calls(Function::WskCaptureProviderNPI) == before {
        thread::yield_now();
    }
    let (told, over) = mpsc::channel();
    let ending = thread::spawn(move || {
        // SAFETY: registered once; the block outlives this thread, which is joined.
        unsafe { crate::wsk_deregister(ptr::with_exposed_provenance_mut(address)) };
        told.send(()).unwrap();
    });
    assert!(over.recv_timeout(PATIENCE).is_ok(), "each waits for the other");
    ending.join().unwrap();
    assert_eq!(capturing.join().unwrap(), STATUS_DEVICE_NOT_READY);
    ksim::wsk::reset();
    world.finish();
}

/// One provider runs at a time, and a withdrawn one lets nobody register.
#[test]
fn one_provider_at_a_time() {
    let world = World::new(Settings::DEFAULT);
    let other = Provider::new(Settings::DEFAULT).unwrap();
    assert!(!Provider::publish(&other));
    assert!(other.stop());
    drop(other);
    Provider::withdraw();
    assert_eq!(register(&V1_0, &mut *block()), STATUS_DEVICE_NOT_READY);
    assert!(Provider::publish(&world.provider));
    world.finish();
}
