//! Who is declined: this driver's own half, and the library that acts for it.

use super::OwnRegistration;
use crate::system::CLIENT_DISPATCH;
use crate::tests::harness::World;
use crate::{NmrRegistration, Settings};
use abi::NTSTATUS;
use abi::nmr::*;
use abi::nt::{GUID, HANDLE};
use abi::status::{STATUS_NOINTERFACE, STATUS_PENDING, STATUS_SUCCESS};
use abi::wsk::{NPI_WSK_INTERFACE_ID, WSK_CLIENT_DISPATCH};
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicI32, Ordering};
use std::boxed::Box;
use std::thread;

static INTERFACE: GUID = NPI_WSK_INTERFACE_ID;
static DISPATCH: WSK_CLIENT_DISPATCH =
    WSK_CLIENT_DISPATCH { Version: 0x0100, Reserved: 0, WskClientEvent: None };

/// What a client's callbacks need.
struct Context {
    dispatch: &'static WSK_CLIENT_DISPATCH,
    answer: AtomicI32,
}

/// Registers as a client with this module identifier, attaches where it is offered, and leaves again. Returns what the
/// provider answered.
fn attach(module: u32, dispatch: &'static WSK_CLIENT_DISPATCH) -> NTSTATUS {
    let guid = GUID { Data1: module, Data2: 0, Data3: 1, Data4: [2; 8] };
    let id = Box::new(NPI_MODULEID { Length: 24, Type: MIT_GUID, u: NPI_MODULEID_u { Guid: guid } });
    let context = Box::new(Context { dispatch, answer: AtomicI32::new(STATUS_PENDING) });
    let characteristics = Box::new(NPI_CLIENT_CHARACTERISTICS {
        Version: 0,
        Length: 72,
        ClientAttachProvider: on_attach,
        ClientDetachProvider: on_detach,
        ClientCleanupBindingContext: None,
        ClientRegistrationInstance: NPI_REGISTRATION_INSTANCE {
            Version: 0,
            Size: 40,
            NpiId: &raw const INTERFACE,
            ModuleId: &raw const *id,
            Number: 0,
            NpiSpecificCharacteristics: ptr::null(),
        },
    });
    let (address, mut handle) = (ptr::from_ref(&*context).cast_mut().cast(), ptr::null_mut());
    // SAFETY: the boxes outlive the wait below.
    let registered = unsafe { kernel::nmr::register_client(&*characteristics, address, &mut handle) };
    assert_eq!(registered, STATUS_SUCCESS);
    // SAFETY: registered above.
    assert_eq!(unsafe { kernel::nmr::deregister_client(handle) }, STATUS_PENDING);
    // SAFETY: deregistered above.
    assert_eq!(unsafe { kernel::nmr::wait_for_client(handle) }, STATUS_SUCCESS);
    context.answer.load(Ordering::SeqCst)
}

unsafe extern "system" fn on_attach(
    binding: HANDLE,
    context: *mut c_void,
    _provider: *const NPI_REGISTRATION_INSTANCE,
) -> NTSTATUS {
    // SAFETY: the context that was registered.
    let client = unsafe { &*context.cast::<Context>() };
    let (mut theirs, mut table) = (ptr::null_mut(), ptr::null());
    let dispatch = ptr::from_ref(client.dispatch).cast();
    // SAFETY: inside the attach callback.
    let status = unsafe { kernel::nmr::client_attach(binding, context, dispatch, &mut theirs, &mut table) };
    client.answer.store(status, Ordering::SeqCst);
    status
}

unsafe extern "system" fn on_detach(_context: *mut c_void) -> NTSTATUS {
    STATUS_SUCCESS
}

/// A world whose provider is registered, during `check`.
fn registered(check: impl FnOnce()) {
    let world = World::new(Settings::DEFAULT);
    let registration = NmrRegistration::start(&world.provider).unwrap();
    check();
    registration.stop();
    world.finish();
}

#[test]
fn whoever_attaches_inside_a_registration_of_our_own_is_declined() {
    registered(|| {
        let (library, stranger) = (71, 72);
        assert_eq!(attach(library, &DISPATCH), STATUS_SUCCESS, "not known yet");
        let own = OwnRegistration::begin();
        let inner = OwnRegistration::begin();
        drop(inner);
        assert_eq!(attach(library, &DISPATCH), STATUS_NOINTERFACE);
        // Another thread registers nothing of ours, but the library is known by now.
        thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(attach(library, &DISPATCH), STATUS_NOINTERFACE);
                assert_eq!(attach(stranger, &DISPATCH), STATUS_SUCCESS);
            });
        });
        drop(own);
        assert_eq!(attach(library, &DISPATCH), STATUS_NOINTERFACE);
        assert_eq!(attach(stranger, &DISPATCH), STATUS_SUCCESS);
    });
}

#[test]
fn our_own_table_is_known_on_any_thread() {
    registered(|| {
        assert_eq!(attach(73, &CLIENT_DISPATCH), STATUS_NOINTERFACE);
        assert_eq!(attach(74, &DISPATCH), STATUS_SUCCESS);
    });
}

#[test]
fn with_more_registrations_than_can_be_told_apart_nobody_attaches() {
    registered(|| {
        let many: std::vec::Vec<_> = thread::scope(|scope| {
            let begin = || scope.spawn(OwnRegistration::begin).join().unwrap();
            (0..=super::own::THREADS).map(|_| begin()).collect()
        });
        assert_eq!(attach(75, &DISPATCH), STATUS_NOINTERFACE);
        drop(many);
        assert_eq!(attach(75, &DISPATCH), STATUS_SUCCESS, "declined for the moment only");
    });
}
