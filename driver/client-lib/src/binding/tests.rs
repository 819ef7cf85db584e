//! The five functions over a provider that records what reaches it.

use core::ffi::c_void;
use core::ptr::{self, NonNull};
use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::sync::{Condvar, Mutex, mpsc};
use std::thread;
use std::vec::Vec;

use abi::NTSTATUS;
use abi::status::{
    STATUS_DEVICE_NOT_READY, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER, STATUS_NOINTERFACE,
    STATUS_SUCCESS,
};
use abi::wsk::{
    WSK_CLIENT_DISPATCH, WSK_CLIENT_NPI, WSK_PROVIDER_CHARACTERISTICS, WSK_PROVIDER_NPI, WSK_REGISTRATION,
};

use super::*;

/// The provider's state of one registration, behind `ReservedRegistrationContext` of the inner block.
#[derive(Default)]
struct Provider {
    state: Mutex<ProviderState>,
    changed: Condvar,
}

#[derive(Default)]
struct ProviderState {
    captures: u32,
    waiting: u32,
    deregistering: bool,
    offers: bool,
}

/// What the test wants from the next registration, and what it observed. One per test thread.
#[derive(Default)]
struct Script {
    register_status: Cell<NTSTATUS>,
    memory: Cell<usize>,
    holds: Cell<usize>,
    no_memory: Cell<bool>,
    provider: RefCell<Option<&'static Provider>>,
}

std::thread_local! {
    static SCRIPT: Script = Script::default();
}

struct TestWorld;

struct TestHold;

impl Drop for TestHold {
    fn drop(&mut self) {
        SCRIPT.with(|s| s.holds.set(s.holds.get() - 1));
    }
}

#[derive(Default)]
struct TestEvent {
    set: Mutex<bool>,
    changed: Condvar,
}

impl World for TestWorld {
    type Hold = TestHold;
    type Event = TestEvent;

    fn provider() -> (WSKRDMA_REGISTRATION_ENTRIES, Option<TestHold>) {
        SCRIPT.with(|s| s.holds.set(s.holds.get() + 1));
        (ENTRIES, Some(TestHold))
    }

    fn allocate(bytes: usize) -> Option<NonNull<c_void>> {
        SCRIPT.with(|s| {
            if s.no_memory.get() {
                return None;
            }
            s.memory.set(s.memory.get() + 1);
            let memory: Box<[u128]> = std::vec![0xA5; bytes.div_ceil(16)].into_boxed_slice();
            // The first word of the allocation is its length, so that it can be given back.
            let whole: Box<[u128]> = [&[memory.len() as u128 + 1], &*memory].concat().into_boxed_slice();
            let start = Box::into_raw(whole).cast::<u128>();
            // SAFETY: the slice has at least one element.
            NonNull::new(unsafe { start.add(1) }.cast())
        })
    }

    unsafe fn free(block: NonNull<c_void>) {
        SCRIPT.with(|s| s.memory.set(s.memory.get() - 1));
        // SAFETY: `allocate` put the length there.
        let start = unsafe { block.as_ptr().cast::<u128>().sub(1) };
        // SAFETY: as above.
        let length = unsafe { start.read() } as usize;
        // SAFETY: the very slice that `allocate` leaked.
        drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(start, length)) });
    }

    unsafe fn initialize(event: *mut TestEvent) {
        // SAFETY: the caller gives memory for it.
        unsafe { event.write(TestEvent::default()) };
    }

    unsafe fn set(event: *mut TestEvent) {
        // SAFETY: the caller vouches for it.
        let event = unsafe { &*event };
        let mut set = event.set.lock().unwrap();
        *set = true;
        event.changed.notify_all();
    }

    unsafe fn wait(event: *mut TestEvent) {
        // SAFETY: the caller vouches for it.
        let event = unsafe { &*event };
        let set = event.set.lock().unwrap();
        drop(event.changed.wait_while(set, |set| !*set).unwrap());
    }
}

const ENTRIES: WSKRDMA_REGISTRATION_ENTRIES = WSKRDMA_REGISTRATION_ENTRIES {
    WskRegister: provider_register,
    WskDeregister: provider_deregister,
    WskCaptureProviderNPI: provider_capture,
    WskReleaseProviderNPI: provider_release,
    WskQueryProviderCharacteristics: provider_query,
};

unsafe fn provider_of(block: *mut WSK_REGISTRATION) -> &'static Provider {
    // SAFETY: the block is the provider's.
    let context = unsafe { (*block).ReservedRegistrationContext };
    // SAFETY: `provider_register` leaked it.
    unsafe { &*context.cast::<Provider>() }
}

unsafe extern "system" fn provider_register(
    npi: *mut WSK_CLIENT_NPI,
    block: *mut WSK_REGISTRATION,
) -> NTSTATUS {
    // SAFETY: the test's NPI.
    assert_eq!(unsafe { (*npi).ClientContext }, ptr::without_provenance_mut(7));
    // SAFETY: the block is the provider's.
    let block = unsafe { &mut *block };
    assert_eq!(block.ReservedRegistrationState, 0);
    assert!(block.ReservedRegistrationContext.is_null());
    assert_eq!(block.ReservedRegistrationLock, 0);
    SCRIPT.with(|s| {
        let provider: &'static Provider = Box::leak(Box::default());
        provider.state.lock().unwrap().offers = true;
        block.ReservedRegistrationContext = ptr::from_ref(provider).cast_mut().cast();
        *s.provider.borrow_mut() = Some(provider);
        s.register_status.get()
    })
}

unsafe extern "system" fn provider_deregister(block: *mut WSK_REGISTRATION) {
    // SAFETY: a registered block.
    let provider = unsafe { provider_of(block) };
    let mut state = provider.state.lock().unwrap();
    assert!(!state.deregistering, "deregistered twice");
    state.deregistering = true;
    provider.changed.notify_all();
    drop(provider.changed.wait_while(state, |s| s.captures > 0).unwrap());
}

unsafe extern "system" fn provider_capture(
    block: *mut WSK_REGISTRATION,
    milliseconds: u32,
    npi: *mut WSK_PROVIDER_NPI,
) -> NTSTATUS {
    // SAFETY: a registered block.
    let provider = unsafe { provider_of(block) };
    let mut state = provider.state.lock().unwrap();
    if milliseconds != 0 {
        state.waiting += 1;
        provider.changed.notify_all();
        state = provider.changed.wait_while(state, |s| !s.offers && !s.deregistering).unwrap();
        state.waiting -= 1;
    }
    if state.deregistering || !state.offers {
        return STATUS_DEVICE_NOT_READY;
    }
    state.captures += 1;
    // SAFETY: the caller's output.
    unsafe { (*npi).Client = block.cast() };
    STATUS_SUCCESS
}

unsafe extern "system" fn provider_release(block: *mut WSK_REGISTRATION) {
    // SAFETY: a registered block.
    let provider = unsafe { provider_of(block) };
    provider.state.lock().unwrap().captures -= 1;
    provider.changed.notify_all();
}

unsafe extern "system" fn provider_query(
    block: *mut WSK_REGISTRATION,
    characteristics: *mut WSK_PROVIDER_CHARACTERISTICS,
) -> NTSTATUS {
    // SAFETY: a registered block.
    unsafe { provider_of(block) };
    // SAFETY: the caller's output.
    unsafe {
        characteristics.write(WSK_PROVIDER_CHARACTERISTICS { HighestVersion: 0x0101, LowestVersion: 0x0100 })
    };
    STATUS_SUCCESS
}

static DISPATCH: WSK_CLIENT_DISPATCH =
    WSK_CLIENT_DISPATCH { Version: 0x0100, Reserved: 0, WskClientEvent: None };

/// A client with a block full of what was in the memory before.
struct Client {
    npi: Box<WSK_CLIENT_NPI>,
    block: *mut WSK_REGISTRATION,
}

impl Client {
    fn new() -> Self {
        let block = WSK_REGISTRATION {
            ReservedRegistrationState: 0xDDDD_DDDD_DDDD_DDDD,
            ReservedRegistrationContext: ptr::without_provenance_mut(0xDDDD),
            ReservedRegistrationLock: 0xDDDD,
        };
        let npi =
            WSK_CLIENT_NPI { ClientContext: ptr::without_provenance_mut(7), Dispatch: &raw const DISPATCH };
        Self { npi: Box::new(npi), block: Box::into_raw(Box::new(block)) }
    }

    fn register(&mut self) -> NTSTATUS {
        // SAFETY: both live as long as this client.
        unsafe { register::<TestWorld>(&raw mut *self.npi, self.block) }
    }

    fn calls(&self) -> Calls {
        Calls(self.block)
    }

    fn deregister(&self) {
        // SAFETY: the block is intact.
        unsafe { deregister::<TestWorld>(self.block) };
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: no call is outstanding at the end of a test.
        drop(unsafe { Box::from_raw(self.block) });
    }
}

/// The calls that other threads may make.
#[derive(Clone, Copy)]
struct Calls(*mut WSK_REGISTRATION);

// SAFETY: that is what the functions promise.
unsafe impl Send for Calls {}

impl Calls {
    fn capture(self, milliseconds: u32) -> NTSTATUS {
        let mut npi = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
        // SAFETY: the block is intact.
        unsafe { capture::<TestWorld>(self.0, milliseconds, &raw mut npi) }
    }

    fn release(self) {
        // SAFETY: the block is intact.
        unsafe { release::<TestWorld>(self.0) };
    }

    fn query(self) -> (NTSTATUS, WSK_PROVIDER_CHARACTERISTICS) {
        let mut characteristics = WSK_PROVIDER_CHARACTERISTICS { HighestVersion: 0, LowestVersion: 0 };
        // SAFETY: the block is intact.
        let status = unsafe { query::<TestWorld>(self.0, &raw mut characteristics) };
        (status, characteristics)
    }
}

fn left_over() -> (usize, usize) {
    SCRIPT.with(|s| (s.memory.get(), s.holds.get()))
}

fn provider() -> &'static Provider {
    SCRIPT.with(|s| s.provider.borrow().unwrap())
}

#[test]
fn a_registration_goes_through_and_leaves_nothing() {
    let mut client = Client::new();
    assert_eq!(client.register(), STATUS_SUCCESS);
    assert_eq!(left_over(), (1, 1));
    let calls = client.calls();
    assert_eq!(calls.capture(0), STATUS_SUCCESS);
    let (status, characteristics) = calls.query();
    assert_eq!((status, characteristics.HighestVersion), (STATUS_SUCCESS, 0x0101));
    calls.release();
    client.deregister();
    assert_eq!(left_over(), (0, 0));
}

#[test]
fn after_deregistration_the_provider_is_not_asked() {
    let mut client = Client::new();
    assert_eq!(client.register(), STATUS_SUCCESS);
    client.deregister();
    assert_eq!(client.calls().capture(u32::MAX), STATUS_DEVICE_NOT_READY);
    assert_eq!(client.calls().query().0, STATUS_DEVICE_NOT_READY);
    client.calls().release();
    client.deregister();
    assert_eq!(left_over(), (0, 0));
}

#[test]
fn a_block_serves_again() {
    let mut client = Client::new();
    for _ in 0..2 {
        assert_eq!(client.register(), STATUS_SUCCESS);
        assert_eq!(client.calls().capture(0), STATUS_SUCCESS);
        client.calls().release();
        client.deregister();
        assert_eq!(left_over(), (0, 0));
    }
}

#[test]
fn a_failed_registration_leaves_nothing() {
    let mut client = Client::new();
    SCRIPT.with(|s| s.register_status.set(STATUS_NOINTERFACE));
    assert_eq!(client.register(), STATUS_NOINTERFACE);
    assert_eq!(left_over(), (0, 0));
    assert_eq!(client.calls().capture(u32::MAX), STATUS_DEVICE_NOT_READY);
    client.deregister();

    SCRIPT.with(|s| s.no_memory.set(true));
    assert_eq!(client.register(), STATUS_INSUFFICIENT_RESOURCES);
    assert_eq!(left_over(), (0, 0));
    assert_eq!(client.calls().query().0, STATUS_DEVICE_NOT_READY);
}

#[test]
fn null_pointers_are_refused() {
    let client = Client::new();
    // SAFETY: nothing is read.
    assert_eq!(unsafe { register::<TestWorld>(ptr::null_mut(), client.block) }, STATUS_INVALID_PARAMETER);
    assert_eq!(left_over(), (0, 0));
}

#[test]
fn deregistration_waits_for_the_release() {
    let mut client = Client::new();
    assert_eq!(client.register(), STATUS_SUCCESS);
    let calls = client.calls();
    assert_eq!(calls.capture(0), STATUS_SUCCESS);
    let provider = provider();
    let releaser = thread::spawn(move || {
        let state = provider.state.lock().unwrap();
        drop(provider.changed.wait_while(state, |s| !s.deregistering).unwrap());
        assert_eq!(calls.capture(0), STATUS_DEVICE_NOT_READY);
        assert_eq!(provider.state.lock().unwrap().captures, 1, "deregistration has not returned");
        calls.release();
    });
    client.deregister();
    assert_eq!(provider.state.lock().unwrap().captures, 0);
    releaser.join().unwrap();
    assert_eq!(left_over(), (0, 0));
}

#[test]
fn deregistration_wakes_those_who_wait_for_a_provider() {
    let mut client = Client::new();
    assert_eq!(client.register(), STATUS_SUCCESS);
    let provider = provider();
    provider.state.lock().unwrap().offers = false;
    let calls = client.calls();
    let (sender, receiver) = mpsc::channel();
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let sender = sender.clone();
            thread::spawn(move || sender.send(calls.capture(u32::MAX)).unwrap())
        })
        .collect();
    let state = provider.state.lock().unwrap();
    drop(provider.changed.wait_while(state, |s| s.waiting < 3).unwrap());
    client.deregister();
    assert_eq!(left_over(), (0, 0));
    for waiter in waiters {
        assert_eq!(receiver.recv().unwrap(), STATUS_DEVICE_NOT_READY);
        waiter.join().unwrap();
    }
}
