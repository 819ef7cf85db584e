//! Registration, capture, release, deregistration.

use std::ptr;
use std::thread;
use std::time::Duration;

use abi::nt::IRP;
use abi::status::*;
use abi::wsk::*;

use crate::harness::*;
use ksim::client::TestIrp;
use ksim::stop::DRIVER_VERIFIER_DETECTED_VIOLATION;
use ksim::wsk::{self, Config, Function, Outstanding};

fn register(version: u16) -> (Box<WSK_REGISTRATION>, Box<WSK_CLIENT_DISPATCH>) {
    let dispatch = Box::new(WSK_CLIENT_DISPATCH { Version: version, ..CLIENT_DISPATCH });
    let mut npi = WSK_CLIENT_NPI { ClientContext: ptr::null_mut(), Dispatch: &raw const *dispatch };
    let mut registration = block();
    // SAFETY: both are valid.
    assert_eq!(unsafe { WskRegister(&raw mut npi, &raw mut *registration) }, 0);
    (registration, dispatch)
}

fn capture(registration: *mut WSK_REGISTRATION, wait: u32) -> i32 {
    let mut npi = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
    // SAFETY: a block that was registered.
    let status = unsafe { WskCaptureProviderNPI(registration, wait, &raw mut npi) };
    if status == 0 {
        assert!(!npi.Client.is_null());
        // SAFETY: captured.
        assert!(unsafe { (*npi.Dispatch).Version } >= 0x0100);
    }
    status
}

fn release(registration: *mut WSK_REGISTRATION) {
    // SAFETY: a block that was registered.
    unsafe { WskReleaseProviderNPI(registration) };
}

fn deregister(registration: *mut WSK_REGISTRATION) {
    // SAFETY: a block that was registered.
    unsafe { WskDeregister(registration) };
}

#[test]
fn several_clients_register_and_leave() {
    let _machine = Machine::new();
    let (first, second) = (Client::new(), Client::new());
    assert_ne!(first.npi.Client, second.npi.Client);
    let expected = Outstanding { registrations: 2, captures: 2, ..Outstanding::default() };
    assert_eq!(wsk::outstanding(), expected);
    assert_eq!(wsk::calls(Function::WskRegister), 2);
    let mut versions = WSK_PROVIDER_CHARACTERISTICS { HighestVersion: 0, LowestVersion: 0 };
    let mut client = first;
    // SAFETY: registered.
    let status = unsafe { WskQueryProviderCharacteristics(&raw mut *client.registration, &raw mut versions) };
    assert_eq!((status, versions.HighestVersion, versions.LowestVersion), (0, 0x0101, 0x0100));
}

#[test]
fn a_version_nobody_speaks_is_refused() {
    let _machine = Machine::new();
    for (version, status) in
        [(0x0100, 0), (0x0101, 0), (0x0102, STATUS_NOINTERFACE), (0x0200, STATUS_NOINTERFACE)]
    {
        let (mut registration, _dispatch) = register(version);
        assert_eq!(capture(&raw mut *registration, WSK_NO_WAIT), status, "{version:#x}");
        if status == 0 {
            release(&raw mut *registration);
        }
        deregister(&raw mut *registration);
        assert_eq!(capture(&raw mut *registration, WSK_INFINITE_WAIT), STATUS_DEVICE_NOT_READY);
    }
}

#[test]
fn a_capture_waits_for_the_provider_or_the_deregistration() {
    let _machine = Machine::with(Config { present: false, ..Config::default() });
    let (mut registration, _dispatch) = register(0x0100);
    let address = (&raw mut *registration).expose_provenance();
    assert_eq!(capture(&raw mut *registration, WSK_NO_WAIT), STATUS_DEVICE_NOT_READY);
    assert_eq!(capture(&raw mut *registration, 1), STATUS_DEVICE_NOT_READY);
    thread::scope(|scope| {
        let waiter =
            scope.spawn(move || capture(ptr::with_exposed_provenance_mut(address), WSK_INFINITE_WAIT));
        while wsk::calls(Function::WskCaptureProviderNPI) < 3 {
            thread::yield_now();
        }
        wsk::configure(Config::default());
        assert_eq!(waiter.join().unwrap(), 0);
    });
    release(&raw mut *registration);
    wsk::configure(Config { present: false, ..Config::default() });
    thread::scope(|scope| {
        let waiter =
            scope.spawn(move || capture(ptr::with_exposed_provenance_mut(address), WSK_INFINITE_WAIT));
        while wsk::calls(Function::WskCaptureProviderNPI) < 4 {
            thread::yield_now();
        }
        deregister(&raw mut *registration);
        assert_eq!(waiter.join().unwrap(), STATUS_DEVICE_NOT_READY);
    });
}

#[test]
fn deregistration_waits_for_captures_sockets_and_irps() {
    let _machine = Machine::new();
    let mut client = std::mem::ManuallyDrop::new(Client::new());
    let (listener, _) = client.listener();
    let watch = TestIrp::new();
    let null = ptr::null_mut();
    // SAFETY: no buffers.
    let returned = unsafe {
        (client.table().WskControlClient)(
            client.npi.Client,
            WSK_TRANSPORT_LIST_CHANGE,
            0,
            null,
            0,
            ptr::null_mut(),
            ptr::null_mut(),
            watch.submit(),
        )
    };
    watch.assert_pending(returned);
    let address = (&raw mut *client.registration).expose_provenance();
    thread::scope(|scope| {
        let leaver = scope.spawn(move || deregister(ptr::with_exposed_provenance_mut(address)));
        assert_eq!(watch.wait().status, STATUS_CANCELLED, "deregistration cancels what waits for transports");
        // The listener and the capture are still there.
        assert!(watch.wait_for(Duration::ZERO).is_some());
        assert!(!leaver.is_finished());
        listener.close();
        assert!(!leaver.is_finished());
        release(ptr::with_exposed_provenance_mut(address));
        leaver.join().unwrap();
    });
    // SAFETY: not dropped otherwise.
    drop(unsafe { ptr::read(&raw const client.registration) });
}

#[test]
fn misuse_is_caught() {
    let _machine = Machine::new();
    let (mut registration, _dispatch) = register(0x0100);
    let address = (&raw mut *registration).expose_provenance();
    let stop = ksim::stops(|| release(ptr::with_exposed_provenance_mut(address)));
    assert!(stop.is_some_and(|stop| stop.is(DRIVER_VERIFIER_DETECTED_VIOLATION)));
    deregister(&raw mut *registration);
    let stop = ksim::stops(|| deregister(ptr::with_exposed_provenance_mut(address)));
    assert!(stop.is_some_and(|stop| stop.is(DRIVER_VERIFIER_DETECTED_VIOLATION)));
}

#[test]
fn calls_without_an_irp_or_a_client_begin_nothing() {
    let _machine = Machine::new();
    let client = Client::new();
    let make = |from: PWSK_CLIENT, irp: *mut IRP| {
        let null = ptr::null_mut();
        // SAFETY: what is missing is what is tested.
        unsafe {
            (client.table().WskSocket)(
                from,
                AF_INET,
                SOCK_STREAM,
                IPPROTO_TCP,
                WSK_FLAG_LISTEN_SOCKET,
                null,
                ptr::null(),
                ptr::null_mut(),
                ptr::null_mut(),
                null,
                irp,
            )
        }
    };
    assert_eq!(make(ptr::null_mut(), ptr::null_mut()), STATUS_INVALID_PARAMETER);
    assert_eq!(make(client.npi.Client, ptr::null_mut()), STATUS_INVALID_PARAMETER);
    let irp = TestIrp::new();
    assert_eq!(make(ptr::null_mut(), irp.submit()), STATUS_INVALID_HANDLE);
    let done = irp.completion().unwrap();
    assert_eq!((done.status, done.pending_returned), (STATUS_INVALID_HANDLE, false));
    let listener = client.tcp(WSK_FLAG_LISTEN_SOCKET);
    // SAFETY: a NULL socket is what is tested.
    let returned = unsafe { (listener.basic().WskCloseSocket)(ptr::null_mut(), irp.submit()) };
    assert_eq!((returned, irp.completion().unwrap().status), (STATUS_INVALID_HANDLE, STATUS_INVALID_HANDLE));
    wsk::fail_next(Function::WskSocket, STATUS_INSUFFICIENT_RESOURCES);
    let kind = (AF_INET, SOCK_STREAM, IPPROTO_TCP);
    let made = client.make(kind, WSK_FLAG_LISTEN_SOCKET, ptr::null_mut(), ptr::null());
    assert_eq!(made, Err(STATUS_INSUFFICIENT_RESOURCES));
    listener.close();
}
