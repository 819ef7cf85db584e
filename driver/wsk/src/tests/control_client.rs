//! WskControlClient, the name functions, and NDK adapters for other consumers.

use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, Ordering};
use std::boxed::Box;
use std::sync::Arc;
use std::thread;
use std::vec::Vec;

use abi::NTSTATUS;
use abi::ndis::NDIS_STATUS_BAD_VERSION;
use abi::ndk::*;
use abi::nt::{DISPATCH_LEVEL, GUID, PASSIVE_LEVEL, UNICODE_STRING};
use abi::status::*;
use abi::wsk::*;
use ksim::client::TestIrp;
use softndk::SoftNdk;

use super::control::{Answered, Form, Numbers};
use super::harness::{Connection, ListenSocket, World, block};
use crate::control::ndk::OPEN_MAX;
use crate::{NdkSource, Settings};

const ANOTHER_NPI: GUID = GUID { Data1: 1, Data2: 2, Data3: 3, Data4: [4; 8] };
const VERSION: NDK_VERSION = NDK_VERSION { Major: 2, Minor: 0 };
const INTERFACE: u32 = 77;

impl Form<'_> {
    fn control_client(&self, npi: WSK_PROVIDER_NPI, code: u32) -> Answered {
        // SAFETY: captured, so the provider's table is valid.
        let control = unsafe { (*npi.Dispatch).WskControlClient };
        // SAFETY: a call as its page says, or wrong in the way that is tested.
        self.make(|input, output, returned, irp| unsafe {
            control(npi.Client, code, self.input_size, input, self.output_size, output, returned, irp)
        })
    }
}

/// The table for NDK consumers, in every form, before there is a socket and after.
#[test]
fn the_ndk_dispatch_in_every_form() {
    let world = World::new(Settings::DEFAULT);
    let octets = [0; 32];
    for sockets in [false, true] {
        if sockets {
            Connection::from_accept(world.socket(WSK_FLAG_CONNECTION_SOCKET).expose_provenance()).close();
        }
        {
            let (code, input, output) = (WSKNDK_GET_WSK_PROVIDER_NDK_DISPATCH, 0, 16);
            let check = |form: Form<'_>| {
                let answered = form.control_client(world.npi(), code);
                let expected = if form.output_size < output {
                    STATUS_BUFFER_TOO_SMALL
                } else if !form.output {
                    STATUS_INVALID_PARAMETER
                } else {
                    STATUS_SUCCESS
                };
                assert_eq!(answered.status, expected, "{code:#x} {form:?}");
                for size in answered.information.into_iter().chain(answered.returned) {
                    let told = expected == STATUS_SUCCESS;
                    assert_eq!(size, if told { output } else { 0 }, "{code:#x} {form:?}");
                }
            };
            for irp in [true, false] {
                for returned in [true, false] {
                    for level in [PASSIVE_LEVEL, DISPATCH_LEVEL] {
                        let right = Form { irp, returned, level, ..Form::new(&octets[..input], output) };
                        check(Form { input: None, ..right });
                        check(Form { output: false, ..right });
                        for size in 0..=input + 8 {
                            check(Form { input: Some(&octets[..size]), input_size: size, ..right });
                        }
                        for output_size in 0..=output + 8 {
                            check(Form { output_size, ..right });
                        }
                    }
                }
            }
        }
    }
    world.finish();
}

/// The way known clients ask for the transports: again and again, with the size they are told.
#[test]
fn the_list_of_transports() {
    let world = World::new(Settings::DEFAULT);
    let mut size = 0;
    let answered = loop {
        let answered =
            Form::new(&[], size).without_irp().control_client(world.npi(), WSK_TRANSPORT_LIST_QUERY);
        if answered.status != STATUS_BUFFER_OVERFLOW {
            break answered;
        }
        assert!(answered.returned.unwrap() > size);
        size = answered.returned.unwrap();
    };
    assert_eq!(answered.status, STATUS_SUCCESS);
    let mut octets = answered.output;
    octets.resize(size, 0);
    let streams = octets.chunks(28).filter(|entry| {
        u16::from_le_bytes([entry[2], entry[3]]) == SOCK_STREAM
            && u32::from_le_bytes(entry[4..8].try_into().unwrap()) == IPPROTO_TCP
    });
    let families: Vec<u16> = streams.map(|entry| u16::from_le_bytes([entry[8], entry[9]])).collect();
    assert_eq!(families, [AF_INET, AF_INET6]);
    world.finish();
}

fn change(npi: WSK_PROVIDER_NPI, irp: *mut abi::nt::IRP) -> NTSTATUS {
    let null = ptr::null_mut();
    // SAFETY: captured, so the provider's table is valid.
    let control = unsafe { (*npi.Dispatch).WskControlClient };
    // SAFETY: a call as its page says.
    unsafe { control(npi.Client, WSK_TRANSPORT_LIST_CHANGE, 0, null, 0, null, ptr::null_mut(), irp) }
}

/// The list never changes: the IRP waits for its cancel, which completes it before it returns.
#[test]
fn the_change_of_transports_is_cancelled() {
    let world = World::new(Settings::DEFAULT);
    assert_eq!(change(world.npi(), ptr::null_mut()), STATUS_REQUEST_NOT_ACCEPTED);
    let (one, other) = (TestIrp::new(), TestIrp::new());
    for irp in [&one, &other] {
        irp.assert_pending(change(world.npi(), irp.submit()));
        assert!(irp.completion().is_none());
    }
    assert!(other.cancel());
    assert_eq!(other.completion().unwrap().status, STATUS_CANCELLED);
    assert!(one.completion().is_none());
    assert!(one.cancel());
    let dead = TestIrp::new();
    let pointer = dead.submit();
    dead.cancel();
    dead.assert_pending(change(world.npi(), pointer));
    assert_eq!(dead.wait().status, STATUS_CANCELLED);
    world.finish();
}

/// WskDeregister cancels it; what asks afterwards is not served.
#[test]
fn the_deregistration_cancels_the_change_of_transports() {
    let world = World::new(Settings::DEFAULT);
    let client = WSK_CLIENT_DISPATCH { Version: 0x0100, Reserved: 0, WskClientEvent: None };
    let mut registration = block();
    let mut npi = WSK_CLIENT_NPI { ClientContext: ptr::null_mut(), Dispatch: &client };
    let mut provider = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
    // SAFETY: block and table outlive the registration.
    assert_eq!(unsafe { crate::wsk_register(&mut npi, &mut *registration) }, 0);
    // SAFETY: registered.
    assert_eq!(unsafe { crate::wsk_capture_provider_npi(&mut *registration, 0, &mut provider) }, 0);
    let waiting = TestIrp::new();
    waiting.assert_pending(change(provider, waiting.submit()));
    let address = (&raw mut *registration).expose_provenance();
    let ending = thread::spawn(move || {
        // SAFETY: registered once; the block outlives this thread, which is joined.
        unsafe { crate::wsk_deregister(ptr::with_exposed_provenance_mut(address)) };
    });
    assert_eq!(waiting.wait().status, STATUS_CANCELLED, "although the provider is captured");
    let late = TestIrp::new();
    late.assert_pending(change(provider, late.submit()));
    let end = late.wait().status;
    assert!([STATUS_CANCELLED, STATUS_DEVICE_NOT_READY].contains(&end), "{end:#x}");
    // SAFETY: captured once.
    unsafe { crate::wsk_release_provider_npi(ptr::with_exposed_provenance_mut(address)) };
    ending.join().unwrap();
    world.finish();
}

fn event_control(npi: *const GUID, mask: u32) -> [u8; 16] {
    let mut octets = [0; 16];
    octets[..8].copy_from_slice(&npi.expose_provenance().to_le_bytes());
    octets[8..12].copy_from_slice(&mask.to_le_bytes());
    octets
}

/// Static events: input, identifier and bits are checked, in every state; they are for clients without sockets.
#[test]
fn static_events() {
    let world = World::new(Settings::DEFAULT);
    let npi = NPI_WSK_INTERFACE_ID;
    let all = WSK_EVENT_ACCEPT
        | WSK_EVENT_RECEIVE
        | WSK_EVENT_DISCONNECT
        | WSK_EVENT_SEND_BACKLOG
        | WSK_EVENT_RECEIVE_FROM;
    for sockets in [false, true] {
        if sockets {
            Connection::from_accept(world.socket(WSK_FLAG_CONNECTION_SOCKET).expose_provenance()).close();
        }
        for irp in [true, false] {
            let ask = |octets: &[u8]| {
                let form = Form { irp, ..Form::new(octets, 0) };
                form.control_client(world.npi(), WSK_SET_STATIC_EVENT_CALLBACKS).status
            };
            for size in 0..16 {
                assert_eq!(ask(&event_control(&npi, WSK_EVENT_ACCEPT)[..size]), STATUS_INVALID_PARAMETER);
            }
            assert_eq!(ask(&event_control(ptr::null(), WSK_EVENT_ACCEPT)), STATUS_INVALID_PARAMETER);
            assert_eq!(ask(&event_control(&ANOTHER_NPI, WSK_EVENT_ACCEPT)), STATUS_NOT_SUPPORTED);
            for wrong in [0, 1, all | 1, WSK_EVENT_DISABLE, WSK_EVENT_ACCEPT | WSK_EVENT_DISABLE] {
                assert_eq!(ask(&event_control(&npi, wrong)), STATUS_INVALID_PARAMETER, "{wrong:#x}");
            }
            let expected = if sockets { STATUS_INVALID_DEVICE_STATE } else { STATUS_SUCCESS };
            assert_eq!(ask(&event_control(&npi, WSK_EVENT_RECEIVE_FROM)), expected);
            assert_eq!(ask(&event_control(&npi, all & !WSK_EVENT_ACCEPT)), expected);
            let mut longer = event_control(&npi, WSK_EVENT_ACCEPT).to_vec();
            longer.extend([0xFF; 8]);
            assert_eq!(ask(&longer), expected);
        }
    }
    world.finish();
}

/// A static event is on from the beginning, for good, on the sockets whose event it is.
#[test]
fn static_events_cannot_be_disabled() {
    let world = World::new(Settings::DEFAULT);
    let npi = NPI_WSK_INTERFACE_ID;
    for mask in [WSK_EVENT_ACCEPT, WSK_EVENT_DISCONNECT] {
        let octets = event_control(&npi, mask);
        let answered =
            Form::new(&octets, 0).without_irp().control_client(world.npi(), WSK_SET_STATIC_EVENT_CALLBACKS);
        assert_eq!(answered.status, STATUS_SUCCESS, "bits add up");
    }
    let listener = ListenSocket::from_raw(world.socket(WSK_FLAG_LISTEN_SOCKET));
    listener.bind(0);
    for (event, expected) in
        [(WSK_EVENT_ACCEPT, STATUS_INVALID_PARAMETER), (WSK_EVENT_RECEIVE, STATUS_SUCCESS)]
    {
        // Only what is not static may be changed; enabling changes nothing.
        let on = event_control(&npi, event);
        let what = (WskSetOption, SO_WSK_EVENT_CALLBACK, SOL_SOCKET);
        assert_eq!(Form::new(&on, 0).without_irp().control(listener.raw(), what).status, STATUS_SUCCESS);
        if event == WSK_EVENT_ACCEPT {
            let off = event_control(&npi, event | WSK_EVENT_DISABLE);
            assert_eq!(Form::new(&off, 0).without_irp().control(listener.raw(), what).status, expected);
        }
    }
    listener.close();
    world.finish();
}

/// Without a client: INVALID_HANDLE; after WskDeregister has begun: DEVICE_NOT_READY.
#[test]
fn no_client() {
    let world = World::new(Settings::DEFAULT);
    let nobody = WSK_PROVIDER_NPI { Client: ptr::null_mut(), ..world.npi() };
    for code in [WSK_TRANSPORT_LIST_QUERY, WSKNDK_GET_WSK_PROVIDER_NDK_DISPATCH, u32::MAX] {
        let form = Form::new(&[0; 32], 64).without_irp();
        assert_eq!(form.control_client(nobody, code).status, STATUS_INVALID_HANDLE);
    }
    let irp = TestIrp::new();
    assert_eq!(change(nobody, irp.submit()), STATUS_INVALID_HANDLE);
    let end = irp.completion().unwrap();
    assert_eq!((end.status, end.pending_returned), (STATUS_INVALID_HANDLE, false));
    world.finish();
}

/// Names are the system's: it gets the client's own parameters and IRP.
#[test]
fn names_are_the_systems() {
    let world = World::new(Settings::DEFAULT);
    let npi = world.npi();
    // SAFETY: captured, so the provider's table is valid.
    let table = unsafe { &*npi.Dispatch };
    let mut text: Vec<u16> = "127.0.0.1\0".encode_utf16().collect();
    let length = u16::try_from((text.len() - 1) * 2).unwrap();
    let mut name = UNICODE_STRING { Length: length, MaximumLength: length + 2, Buffer: text.as_mut_ptr() };
    let mut list = ptr::null_mut();
    let null = ptr::null_mut::<c_void>();
    let mut ask = |client, irp| {
        let none = ptr::null_mut();
        // SAFETY: a call as its page says, or wrong in the way that is tested.
        unsafe {
            (table.WskGetAddressInfo)(
                client,
                &raw mut name,
                ptr::null_mut(),
                0,
                none,
                ptr::null_mut(),
                &raw mut list,
                null.cast(),
                null.cast(),
                irp,
            )
        }
    };
    assert_eq!(ask(npi.Client, ptr::null_mut()), STATUS_INVALID_PARAMETER);
    let irp = TestIrp::new();
    assert_eq!(ask(ptr::null_mut(), irp.submit()), STATUS_INVALID_HANDLE);
    assert_eq!(irp.wait().status, STATUS_INVALID_HANDLE);
    irp.assert_pending(ask(npi.Client, irp.submit()));
    assert_eq!(irp.wait().status, STATUS_SUCCESS);
    assert!(!list.is_null());
    // SAFETY: given out just now, freed once.
    unsafe { (table.WskFreeAddressInfo)(npi.Client, list) };
    world.finish();
}

/// Whatever is asked, the IRP law holds: [`Form::make`] checks it.
#[test]
fn random_requests() {
    let world = World::new(Settings::DEFAULT);
    let mut numbers = Numbers(0x4E44_4B44);
    let zeros = [0; 40];
    for _ in 0..20_000 {
        let code = match numbers.below(2) {
            1 => WSK_SET_STATIC_EVENT_CALLBACKS,
            _ => WSKNDK_GET_WSK_PROVIDER_NDK_DISPATCH,
        };
        // Beside an IRP the system may leave the size alone.
        let ours = [WSK_SET_STATIC_EVENT_CALLBACKS, WSKNDK_GET_WSK_PROVIDER_NDK_DISPATCH].contains(&code);
        let (size, irp) = (numbers.below(41), numbers.below(2) != 0);
        let form = Form {
            input: (numbers.below(8) != 0).then_some(&zeros[..size]),
            input_size: size,
            output_size: numbers.below(65),
            output: numbers.below(8) != 0,
            returned: numbers.below(2) != 0 && (ours || !irp),
            irp,
            level: if numbers.below(2) == 0 { PASSIVE_LEVEL } else { DISPATCH_LEVEL },
        };
        if code != WSK_TRANSPORT_LIST_CHANGE {
            form.control_client(world.npi(), code);
        }
    }
    world.finish();
}

/// Opens adapters of `context`, a [`SoftNdk`], under [`INTERFACE`].
///
/// # Safety
/// The software adapter lives.
unsafe fn open(
    context: *mut c_void,
    version: NDK_VERSION,
    index: u32,
) -> Result<NonNull<NDK_ADAPTER>, NTSTATUS> {
    if index != INTERFACE {
        return Err(STATUS_NOT_SUPPORTED);
    }
    // SAFETY: the caller's promise.
    let soft = unsafe { &*context.cast::<SoftNdk>() };
    NonNull::new(soft.open_adapter(version)?).ok_or(STATUS_UNSUCCESSFUL)
}

/// # Safety
/// The software adapter lives, and has opened `adapter`.
unsafe fn close(context: *mut c_void, adapter: NonNull<NDK_ADAPTER>) {
    // SAFETY: the caller's promise.
    let soft = unsafe { &*context.cast::<SoftNdk>() };
    // SAFETY: the caller's promise; closed once.
    unsafe { soft.close_adapter(adapter.as_ptr()) };
}

/// A world whose provider opens the adapters of a software adapter for others.
fn with_source() -> (World, Box<SoftNdk>) {
    let world = World::new(Settings::DEFAULT);
    let soft = Box::new(SoftNdk::start(softndk::Config::default()).unwrap());
    let context = (&raw const *soft).cast_mut().cast();
    // SAFETY: the software adapter is stopped after the provider.
    unsafe { world.provider.set_ndk_source(NdkSource { open, close, context }) };
    (world, soft)
}

fn ndk_dispatch(npi: WSK_PROVIDER_NPI) -> WSK_PROVIDER_NDK_DISPATCH {
    // SAFETY: captured, so the provider's table is valid.
    let control = unsafe { (*npi.Dispatch).WskControlClient };
    let mut table = core::mem::MaybeUninit::<WSK_PROVIDER_NDK_DISPATCH>::uninit();
    let (null, size) = (ptr::null_mut(), size_of::<WSK_PROVIDER_NDK_DISPATCH>());
    let code = WSKNDK_GET_WSK_PROVIDER_NDK_DISPATCH;
    // SAFETY: a call as `wskndk.h` describes it.
    let status = unsafe {
        control(npi.Client, code, 0, null, size, table.as_mut_ptr().cast(), ptr::null_mut(), ptr::null_mut())
    };
    assert_eq!(status, STATUS_SUCCESS);
    // SAFETY: filled.
    unsafe { table.assume_init() }
}

fn open_ndk(npi: WSK_PROVIDER_NPI, version: NDK_VERSION, index: u32) -> Result<*mut NDK_ADAPTER, NTSTATUS> {
    let mut adapter = ptr::null_mut();
    // SAFETY: a call as `wskndk.h` describes it.
    match unsafe { (ndk_dispatch(npi).WskOpenNdkAdapter)(npi.Client, version, index, &raw mut adapter) } {
        STATUS_SUCCESS => Ok(adapter),
        status => {
            assert!(adapter.is_null());
            Err(status)
        }
    }
}

fn close_ndk(npi: WSK_PROVIDER_NPI, adapter: *mut NDK_ADAPTER) {
    // SAFETY: opened by the same client, or a pointer that is not followed.
    unsafe { (ndk_dispatch(npi).WskCloseNdkAdapter)(npi.Client, adapter) };
}

/// Another NDK consumer opens the software adapter by interface index, as many times as it may, and uses it.
#[test]
fn adapters_for_other_consumers() {
    let (world, soft) = with_source();
    let npi = world.npi();
    let adapter = open_ndk(npi, VERSION, INTERFACE).unwrap();
    // SAFETY: an open adapter.
    let dispatch = unsafe { (*adapter).Dispatch };
    // SAFETY: its table is static.
    let dispatch = unsafe { &*dispatch };
    let mut size = 0;
    // SAFETY: a call as its page says.
    let asked = unsafe { (dispatch.NdkQueryAdapterInfo)(adapter, ptr::null_mut(), &raw mut size) };
    assert_eq!(asked, STATUS_BUFFER_TOO_SMALL);
    assert_eq!(open_ndk(npi, VERSION, INTERFACE + 1), Err(STATUS_NOT_SUPPORTED));
    let version = NDK_VERSION { Major: 9, Minor: 0 };
    assert_eq!(open_ndk(npi, version, INTERFACE), Err(NDIS_STATUS_BAD_VERSION));
    let more: Vec<_> = (1..OPEN_MAX).map(|_| open_ndk(npi, VERSION, INTERFACE).unwrap()).collect();
    assert_eq!(open_ndk(npi, VERSION, INTERFACE), Err(STATUS_INSUFFICIENT_RESOURCES));
    assert_eq!(world.provider.ndk().count(), OPEN_MAX);
    close_ndk(npi, adapter);
    // Once is enough; and nobody else's is closed.
    close_ndk(npi, adapter);
    close_ndk(npi, ptr::null_mut());
    let again = open_ndk(npi, VERSION, INTERFACE).unwrap();
    for adapter in more.into_iter().chain([again]) {
        close_ndk(npi, adapter);
    }
    assert_eq!(world.provider.ndk().count(), 0);
    soft.stop();
    world.finish();
}

/// Without a source and without a system there is no adapter; without a client or a place for the answer neither.
#[test]
fn no_adapters_for_other_consumers() {
    let world = World::new(Settings::DEFAULT);
    let npi = world.npi();
    assert_eq!(open_ndk(npi, VERSION, INTERFACE), Err(STATUS_NOT_SUPPORTED));
    let table = ndk_dispatch(npi);
    let mut adapter = NonNull::dangling().as_ptr();
    // SAFETY: NULL is what is tested.
    let status = unsafe { (table.WskOpenNdkAdapter)(ptr::null_mut(), VERSION, INTERFACE, &raw mut adapter) };
    assert_eq!((status, adapter.is_null()), (STATUS_INVALID_HANDLE, true));
    // SAFETY: as above.
    let status = unsafe { (table.WskOpenNdkAdapter)(npi.Client, VERSION, INTERFACE, ptr::null_mut()) };
    assert_eq!(status, STATUS_INVALID_PARAMETER);
    // SAFETY: as above.
    unsafe { (table.WskCloseNdkAdapter)(ptr::null_mut(), ptr::null_mut()) };
    world.finish();
}

/// An open adapter keeps its client's registration, as a socket does.
#[test]
fn the_deregistration_waits_for_adapters() {
    let (world, soft) = with_source();
    let client = WSK_CLIENT_DISPATCH { Version: 0x0100, Reserved: 0, WskClientEvent: None };
    let mut registration = block();
    let mut npi = WSK_CLIENT_NPI { ClientContext: ptr::null_mut(), Dispatch: &client };
    let mut provider = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
    // SAFETY: block and table outlive the registration.
    assert_eq!(unsafe { crate::wsk_register(&mut npi, &mut *registration) }, 0);
    // SAFETY: registered.
    assert_eq!(unsafe { crate::wsk_capture_provider_npi(&mut *registration, 0, &mut provider) }, 0);
    let waits = TestIrp::new();
    waits.assert_pending(change(provider, waits.submit()));
    let adapter = open_ndk(provider, VERSION, INTERFACE).unwrap();
    let table = ndk_dispatch(provider);
    let address = (&raw mut *registration).expose_provenance();
    let over = Arc::new(AtomicBool::new(false));
    let flag = over.clone();
    let ending = thread::spawn(move || {
        let registration = ptr::with_exposed_provenance_mut(address);
        // SAFETY: captured once.
        unsafe { crate::wsk_release_provider_npi(registration) };
        // SAFETY: registered once; the block outlives this thread, which is joined.
        unsafe { crate::wsk_deregister(registration) };
        flag.store(true, Ordering::SeqCst);
    });
    // The deregistration has begun when it cancels what waits for the transports.
    assert_eq!(waits.wait().status, STATUS_CANCELLED);
    assert!(!over.load(Ordering::SeqCst), "it does not wait for the adapter");
    // SAFETY: opened by this client, whose registration it keeps; closed once.
    unsafe { (table.WskCloseNdkAdapter)(provider.Client, adapter) };
    ending.join().unwrap();
    soft.stop();
    world.finish();
}
