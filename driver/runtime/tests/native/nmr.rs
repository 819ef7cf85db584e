//! Clients that come by way of the Network Module Registrar.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU16, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use abi::NTSTATUS;
use abi::nmr::*;
use abi::nt::{DISPATCH_LEVEL, GUID, HANDLE};
use abi::status::{
    STATUS_DEVICE_NOT_READY, STATUS_INVALID_PARAMETER, STATUS_NOINTERFACE, STATUS_PENDING, STATUS_SUCCESS,
};
use abi::wsk::*;
use abi::wskrdma::WSKRDMA_NMR_MODULE_GUID;
use cases::PATIENCE;
use cases::world::Call;
use wskrdma_runtime::{Config, LOOPBACK_ADDRESSES, Runtime};

use crate::stage::{Stage, close};
use crate::world::{Native, boot, checked, left};

unsafe extern "system" {
    fn KfRaiseIrql(new: u8) -> u8;
    fn KeLowerIrql(new: u8);
}

static INTERFACE: GUID = NPI_WSK_INTERFACE_ID;

/// A client that attaches to the provider with this driver's module identifier, and to no other.
struct Client {
    id: NPI_MODULEID,
    dispatch: WSK_CLIENT_DISPATCH,
    characteristics: NPI_CLIENT_CHARACTERISTICS,
    handle: AtomicPtr<c_void>,
    binding: AtomicPtr<c_void>,
    /// What the provider gave.
    provider: AtomicPtr<c_void>,
    table: AtomicPtr<c_void>,
    /// The version it asks for first; 1.0 is the second.
    first: AtomicU16,
    /// How often it asked.
    asked: AtomicUsize,
    /// What its detach callback answers.
    detach: AtomicI32,
    detached: AtomicUsize,
    cleaned: AtomicUsize,
}

impl Client {
    /// Never freed: the test process is its life.
    fn new(module: u32) -> &'static Self {
        let guid = GUID { Data1: module, Data2: 7, Data3: 7, Data4: [7; 8] };
        let client = Box::leak(Box::new(Self {
            id: NPI_MODULEID { Length: 24, Type: MIT_GUID, u: NPI_MODULEID_u { Guid: guid } },
            dispatch: WSK_CLIENT_DISPATCH { Version: 0x0100, Reserved: 0, WskClientEvent: None },
            characteristics: NPI_CLIENT_CHARACTERISTICS {
                Version: 0,
                Length: 72,
                ClientAttachProvider: attach,
                ClientDetachProvider: detach,
                ClientCleanupBindingContext: Some(clean_up),
                ClientRegistrationInstance: NPI_REGISTRATION_INSTANCE {
                    Version: 0,
                    Size: 40,
                    NpiId: &INTERFACE,
                    ModuleId: ptr::null(),
                    Number: 0,
                    NpiSpecificCharacteristics: ptr::null(),
                },
            },
            handle: AtomicPtr::default(),
            binding: AtomicPtr::default(),
            provider: AtomicPtr::default(),
            table: AtomicPtr::default(),
            first: AtomicU16::new(0x0100),
            asked: AtomicUsize::new(0),
            detach: AtomicI32::new(STATUS_PENDING),
            detached: AtomicUsize::new(0),
            cleaned: AtomicUsize::new(0),
        }));
        client.characteristics.ClientRegistrationInstance.ModuleId = &raw const client.id;
        client
    }

    fn register(&'static self) {
        let (context, mut handle) = (ptr::from_ref(self).cast_mut().cast(), ptr::null_mut());
        // SAFETY: the client is never freed.
        let status = unsafe { kernel::nmr::register_client(&self.characteristics, context, &mut handle) };
        assert_eq!(status, STATUS_SUCCESS);
        self.handle.store(handle, Ordering::SeqCst);
    }

    fn is_attached(&self) -> bool {
        !self.table.load(Ordering::SeqCst).is_null()
    }

    /// The provider, as its client sees it.
    fn npi(&self) -> WSK_PROVIDER_NPI {
        assert!(self.is_attached());
        WSK_PROVIDER_NPI {
            Client: self.provider.load(Ordering::SeqCst),
            Dispatch: self.table.load(Ordering::SeqCst).cast_const().cast(),
        }
    }

    fn stage(&self) -> Stage {
        Stage { world: Native::of(self.npi()) }
    }

    fn deregister(&self) {
        // SAFETY: registered once.
        let status = unsafe { kernel::nmr::deregister_client(self.handle.load(Ordering::SeqCst)) };
        assert_eq!(status, STATUS_PENDING);
    }

    fn report_detached(&self) {
        // SAFETY: the detach callback has answered PENDING.
        unsafe { kernel::nmr::client_detach_complete(self.binding.load(Ordering::SeqCst)) };
    }

    fn wait(&self) {
        // SAFETY: deregistered.
        let status = unsafe { kernel::nmr::wait_for_client(self.handle.load(Ordering::SeqCst)) };
        assert_eq!(status, STATUS_SUCCESS);
    }

    fn end(&self) {
        self.detach.store(STATUS_SUCCESS, Ordering::SeqCst);
        self.deregister();
        self.wait();
    }
}

/// # Safety
/// `context` is a leaked [`Client`].
unsafe fn client<'a>(context: *mut c_void) -> &'a Client {
    // SAFETY: the caller's promise.
    unsafe { &*context.cast::<Client>() }
}

unsafe extern "system" fn attach(
    binding: HANDLE,
    context: *mut c_void,
    provider: *const NPI_REGISTRATION_INSTANCE,
) -> NTSTATUS {
    // SAFETY: as registered.
    let client = unsafe { client(context) };
    // SAFETY: the provider's instance.
    let provider = unsafe { &*provider };
    // SAFETY: a module has an identifier.
    let id = unsafe { &*provider.ModuleId };
    // SAFETY: either member is plain octets.
    if id.Type != MIT_GUID || unsafe { id.u.Guid } != WSKRDMA_NMR_MODULE_GUID {
        return STATUS_NOINTERFACE;
    }
    // SAFETY: what a WSK provider registers.
    let served = unsafe { &*provider.NpiSpecificCharacteristics.cast::<WSK_PROVIDER_CHARACTERISTICS>() };
    assert_eq!((served.LowestVersion, served.HighestVersion), (0x0100, 0x0100));
    let first = client.first.load(Ordering::SeqCst);
    let other: &'static WSK_CLIENT_DISPATCH =
        Box::leak(Box::new(WSK_CLIENT_DISPATCH { Version: first, ..client.dispatch }));
    let mut status = STATUS_NOINTERFACE;
    for dispatch in [other, &client.dispatch] {
        let (mut theirs, mut table) = (ptr::null_mut(), ptr::null());
        let dispatch = ptr::from_ref(dispatch).cast();
        // SAFETY: inside the attach callback.
        status = unsafe { kernel::nmr::client_attach(binding, context, dispatch, &mut theirs, &mut table) };
        client.asked.fetch_add(1, Ordering::SeqCst);
        if status == STATUS_SUCCESS {
            client.binding.store(binding, Ordering::SeqCst);
            client.provider.store(theirs, Ordering::SeqCst);
            client.table.store(table.cast_mut(), Ordering::SeqCst);
            break;
        }
        assert!(theirs.is_null() && table.is_null());
        if status != STATUS_NOINTERFACE {
            break;
        }
    }
    status
}

unsafe extern "system" fn detach(context: *mut c_void) -> NTSTATUS {
    // SAFETY: as registered.
    let client = unsafe { client(context) };
    client.detached.fetch_add(1, Ordering::SeqCst);
    client.detach.load(Ordering::SeqCst)
}

unsafe extern "system" fn clean_up(context: *mut c_void) {
    // SAFETY: as registered.
    let client = unsafe { client(context) };
    client.table.store(ptr::null_mut(), Ordering::SeqCst);
    client.cleaned.fetch_add(1, Ordering::SeqCst);
}

fn config() -> Config<'static> {
    Config { software_adapter: Some(LOOPBACK_ADDRESSES), layer: checked, ..Config::default() }
}

fn start() -> Runtime {
    boot();
    Runtime::start(&config()).unwrap()
}

#[track_caller]
fn finish(runtime: Runtime) {
    assert!(runtime.stop());
    ksim::quiesce();
    assert_eq!(left(), [], "still allocated");
}

#[track_caller]
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let limit = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < limit, "{what}");
        thread::yield_now();
    }
}

#[test]
fn a_client_finds_the_provider_by_its_module_identifier() {
    let _alone = ksim::exclusive();
    let early = Client::new(1);
    early.register();
    let runtime = start();
    let late = Client::new(2);
    late.register();
    assert!(early.is_attached() && late.is_attached(), "in either order");
    assert_ne!(early.npi().Client, late.npi().Client, "each is a client of its own");
    for client in [early, late] {
        let mut stage = client.stage();
        let (_, near, far) = stage.pair();
        stage.talk(near, far);
        stage.talk(far, near);
        stage.world.clear();
    }
    early.end();
    late.end();
    finish(runtime);
}

#[test]
fn without_the_setting_nobody_finds_it() {
    let _alone = ksim::exclusive();
    boot();
    let client = Client::new(3);
    client.register();
    let runtime = Runtime::start(&Config { register_with_nmr: false, ..config() }).unwrap();
    assert!(!client.is_attached());
    client.end();
    finish(runtime);
}

#[test]
fn a_version_that_is_refused_may_be_followed_by_another() {
    let _alone = ksim::exclusive();
    let runtime = start();
    for (module, version) in [(4, 0x0101), (5, 0x0200), (6, 0x0000)] {
        let client = Client::new(module);
        client.first.store(version, Ordering::SeqCst);
        client.register();
        assert!(client.is_attached());
        assert_eq!(client.asked.load(Ordering::SeqCst), 2, "{version:#x} is refused");
        client.end();
    }
    finish(runtime);
}

#[test]
fn detaching_waits_for_the_last_socket_which_works_meanwhile() {
    let _alone = ksim::exclusive();
    let runtime = start();
    let client = Client::new(8);
    client.register();
    let mut stage = client.stage();
    let (listener, near, far) = stage.pair();
    client.deregister();
    assert_eq!(client.detached.load(Ordering::SeqCst), 1);
    // The client has not reported its own end either, so it may still call; a new socket is refused cleanly.
    let (socket_type, protocol) = (SOCK_STREAM, IPPROTO_TCP);
    let refused = stage.start(&Call::Socket {
        null_client: false,
        family: AF_INET,
        socket_type,
        protocol,
        flags: WSK_FLAG_CONNECTION_SOCKET,
    });
    assert_eq!(stage.end(refused).status, STATUS_DEVICE_NOT_READY);
    client.report_detached();
    stage.talk(near, far);
    stage.talk(far, near);
    for socket in [listener, far] {
        stage.succeeds(&close(socket));
    }
    ksim::quiesce();
    assert_eq!(client.cleaned.load(Ordering::SeqCst), 0, "a socket is open");
    stage.succeeds(&close(near));
    client.wait();
    assert_eq!((client.detached.load(Ordering::SeqCst), client.cleaned.load(Ordering::SeqCst)), (1, 1));
    stage.world.clear();
    finish(runtime);
}

#[test]
fn stopping_waits_for_the_clients_that_are_attached() {
    let _alone = ksim::exclusive();
    let runtime = start();
    let (busy, idle) = (Client::new(9), Client::new(10));
    busy.register();
    idle.register();
    idle.detach.store(STATUS_SUCCESS, Ordering::SeqCst);
    let mut stage = busy.stage();
    let (listener, near, far) = stage.pair();
    thread::scope(|scope| {
        let stopping = scope.spawn(|| finish(runtime));
        eventually("the idle client is let go", || idle.cleaned.load(Ordering::SeqCst) == 1);
        eventually("the busy one is told", || busy.detached.load(Ordering::SeqCst) == 1);
        stage.talk(near, far);
        for socket in [near, far, listener] {
            stage.succeeds(&close(socket));
        }
        stage.world.clear();
        assert!(!stopping.is_finished(), "the client has not reported");
        assert_eq!(busy.cleaned.load(Ordering::SeqCst), 0);
        busy.report_detached();
        stopping.join().unwrap();
    });
    assert_eq!(busy.cleaned.load(Ordering::SeqCst), 1);
    busy.end();
    idle.end();
}

/// Threads of bindings that are over are joined by later ones: clients may come and go for ever, also at DISPATCH_LEVEL.
#[test]
fn clients_come_and_go() {
    let _alone = ksim::exclusive();
    let runtime = start();
    for module in 100..150 {
        let client = Client::new(module);
        client.register();
        assert!(client.is_attached());
        client.detach.store(STATUS_SUCCESS, Ordering::SeqCst);
        // SAFETY: lowered below.
        let level = unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
        client.deregister();
        // SAFETY: the level from before.
        unsafe { KeLowerIrql(level) };
        client.wait();
    }
    finish(runtime);
}

#[test]
fn without_memory_a_client_is_not_attached_and_nothing_stays() {
    let _alone = ksim::exclusive();
    let runtime = start();
    let mut attached = false;
    for allocations in 0..100 {
        let client = Client::new(200 + allocations);
        let scarce = ksim::pool::fail_after(u64::from(allocations));
        let (context, mut handle) = (ptr::from_ref(client).cast_mut().cast(), ptr::null_mut());
        // SAFETY: the client is never freed.
        let status = unsafe { kernel::nmr::register_client(&client.characteristics, context, &mut handle) };
        drop(scarce);
        if status != STATUS_SUCCESS {
            assert_ne!(status, STATUS_INVALID_PARAMETER);
            continue;
        }
        client.handle.store(handle, Ordering::SeqCst);
        attached = client.is_attached();
        client.end();
        if attached {
            break;
        }
    }
    assert!(attached, "with enough memory it is attached");
    finish(runtime);
}
