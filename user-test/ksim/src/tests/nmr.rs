//! The Network Module Registrar: who is offered to whom, how bindings end, and what misuse leads to.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use abi::NTSTATUS;
use abi::nmr::*;
use abi::nt::{GUID, HANDLE};
use abi::status::{STATUS_INVALID_PARAMETER, STATUS_NOINTERFACE, STATUS_PENDING, STATUS_SUCCESS};

use crate::nmr::registered;
use crate::stop::{IRQL_NOT_LESS_OR_EQUAL, NMR_INVALID_STATE};
use crate::stops;

unsafe extern "C-unwind" {
    fn NmrRegisterProvider(
        characteristics: *const NPI_PROVIDER_CHARACTERISTICS,
        context: *mut c_void,
        handle: *mut HANDLE,
    ) -> NTSTATUS;
    fn NmrRegisterClient(
        characteristics: *const NPI_CLIENT_CHARACTERISTICS,
        context: *mut c_void,
        handle: *mut HANDLE,
    ) -> NTSTATUS;
    safe fn NmrDeregisterProvider(handle: HANDLE) -> NTSTATUS;
    safe fn NmrDeregisterClient(handle: HANDLE) -> NTSTATUS;
    safe fn NmrWaitForProviderDeregisterComplete(handle: HANDLE) -> NTSTATUS;
    safe fn NmrWaitForClientDeregisterComplete(handle: HANDLE) -> NTSTATUS;
    fn NmrClientAttachProvider(
        binding: HANDLE,
        client_context: *mut c_void,
        client_dispatch: *const c_void,
        provider_context: *mut *mut c_void,
        provider_dispatch: *mut *const c_void,
    ) -> NTSTATUS;
    safe fn NmrProviderDetachClientComplete(binding: HANDLE);
    safe fn NmrClientDetachProviderComplete(binding: HANDLE);
    fn KfRaiseIrql(new: u8) -> u8;
    fn KeLowerIrql(new: u8);
}

static NPI_A: GUID = GUID { Data1: 1, Data2: 2, Data3: 3, Data4: [4; 8] };
static NPI_B: GUID = GUID { Data1: 9, Data2: 2, Data3: 3, Data4: [4; 8] };

/// A module of either side that writes down what happens to it.
struct Module {
    name: char,
    id: NPI_MODULEID,
    /// What its attach callback answers; a client attaches first if it is SUCCESS.
    attach: AtomicI32,
    /// How often a client tries.
    attempts: AtomicUsize,
    detach: AtomicI32,
    binding: AtomicUsize,
    handle: AtomicUsize,
    log: &'static Mutex<String>,
}

impl Module {
    fn new(name: char, log: &'static Mutex<String>) -> &'static Self {
        Box::leak(Box::new(Self {
            name,
            id: NPI_MODULEID { Length: 24, Type: MIT_GUID, u: NPI_MODULEID_u { Guid: NPI_A } },
            attach: AtomicI32::new(STATUS_SUCCESS),
            attempts: AtomicUsize::new(1),
            detach: AtomicI32::new(STATUS_SUCCESS),
            binding: AtomicUsize::new(0),
            handle: AtomicUsize::new(0),
            log,
        }))
    }

    fn note(&self, what: &str) {
        self.log.lock().unwrap().push_str(&format!("{}{what} ", self.name));
    }

    fn instance(&'static self, npi: &'static GUID) -> NPI_REGISTRATION_INSTANCE {
        NPI_REGISTRATION_INSTANCE {
            Version: 0,
            Size: 40,
            NpiId: npi,
            ModuleId: &self.id,
            Number: 0,
            NpiSpecificCharacteristics: ptr::null(),
        }
    }

    fn context(&'static self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }

    fn provide(&'static self, npi: &'static GUID) -> NTSTATUS {
        let characteristics = Box::leak(Box::new(NPI_PROVIDER_CHARACTERISTICS {
            Version: 0,
            Length: 72,
            ProviderAttachClient: provider_attach,
            ProviderDetachClient: detach,
            ProviderCleanupBindingContext: Some(clean_up),
            ProviderRegistrationInstance: self.instance(npi),
        }));
        let mut handle = ptr::null_mut();
        // SAFETY: leaked, and the callbacks take the context.
        let status = unsafe { NmrRegisterProvider(characteristics, self.context(), &mut handle) };
        self.handle.store(handle.addr(), Ordering::SeqCst);
        status
    }

    fn consume(&'static self, npi: &'static GUID) -> NTSTATUS {
        let characteristics = Box::leak(Box::new(NPI_CLIENT_CHARACTERISTICS {
            Version: 0,
            Length: 72,
            ClientAttachProvider: client_attach,
            ClientDetachProvider: detach,
            ClientCleanupBindingContext: Some(clean_up),
            ClientRegistrationInstance: self.instance(npi),
        }));
        let mut handle = ptr::null_mut();
        // SAFETY: leaked, and the callbacks take the context.
        let status = unsafe { NmrRegisterClient(characteristics, self.context(), &mut handle) };
        self.handle.store(handle.addr(), Ordering::SeqCst);
        status
    }

    fn handle(&self) -> HANDLE {
        ptr::without_provenance_mut(self.handle.load(Ordering::SeqCst))
    }

    fn binding(&self) -> HANDLE {
        ptr::without_provenance_mut(self.binding.load(Ordering::SeqCst))
    }
}

unsafe extern "system" fn provider_attach(
    binding: HANDLE,
    context: *mut c_void,
    client: *const NPI_REGISTRATION_INSTANCE,
    _client_context: *mut c_void,
    _client_dispatch: *const c_void,
    out: *mut *mut c_void,
    dispatch: *mut *const c_void,
) -> NTSTATUS {
    // SAFETY: the context of a leaked module.
    let module = unsafe { &*context.cast::<Module>() };
    // SAFETY: the other side's instance.
    assert_eq!(unsafe { (*client).Size }, 40);
    module.note("+");
    module.binding.store(binding.addr(), Ordering::SeqCst);
    // SAFETY: the registrar's variables.
    unsafe { *out = context };
    // SAFETY: as above.
    unsafe { *dispatch = ptr::from_ref(&NPI_A).cast() };
    module.attach.load(Ordering::SeqCst)
}

unsafe extern "system" fn client_attach(
    binding: HANDLE,
    context: *mut c_void,
    provider: *const NPI_REGISTRATION_INSTANCE,
) -> NTSTATUS {
    // SAFETY: the context of a leaked module.
    let module = unsafe { &*context.cast::<Module>() };
    // SAFETY: the other side's instance.
    assert_eq!(unsafe { (*provider).Size }, 40);
    module.note("?");
    let mut status = module.attach.load(Ordering::SeqCst);
    if status != STATUS_SUCCESS {
        return status;
    }
    for _ in 0..module.attempts.load(Ordering::SeqCst) {
        let (mut theirs, mut table) = (ptr::null_mut(), ptr::null());
        // SAFETY: inside the attach callback.
        status = unsafe { NmrClientAttachProvider(binding, context, ptr::null(), &mut theirs, &mut table) };
        if status == STATUS_SUCCESS {
            assert!(!theirs.is_null() && !table.is_null());
            module.binding.store(binding.addr(), Ordering::SeqCst);
            module.note("+");
            break;
        }
        module.note("!");
    }
    status
}

unsafe extern "system" fn detach(context: *mut c_void) -> NTSTATUS {
    // SAFETY: the context of a leaked module.
    let module = unsafe { &*context.cast::<Module>() };
    module.note("-");
    module.detach.load(Ordering::SeqCst)
}

unsafe extern "system" fn clean_up(context: *mut c_void) {
    // SAFETY: the context of a leaked module.
    unsafe { &*context.cast::<Module>() }.note("~");
}

fn log() -> &'static Mutex<String> {
    Box::leak(Box::default())
}

fn taken(log: &Mutex<String>) -> String {
    std::mem::take(&mut *log.lock().unwrap())
}

fn end_client(module: &Module) {
    assert_eq!(NmrDeregisterClient(module.handle()), STATUS_PENDING);
    assert_eq!(NmrWaitForClientDeregisterComplete(module.handle()), STATUS_SUCCESS);
}

fn end_provider(module: &Module) {
    assert_eq!(NmrDeregisterProvider(module.handle()), STATUS_PENDING);
    assert_eq!(NmrWaitForProviderDeregisterComplete(module.handle()), STATUS_SUCCESS);
}

#[test]
fn each_client_is_offered_each_provider_of_its_interface() {
    let _alone = crate::exclusive();
    let log = log();
    let [p, q, other, a, b] = ['p', 'q', 'o', 'a', 'b'].map(|name| Module::new(name, log));
    assert_eq!(p.provide(&NPI_A), STATUS_SUCCESS);
    assert_eq!(other.provide(&NPI_B), STATUS_SUCCESS);
    assert_eq!(a.consume(&NPI_A), STATUS_SUCCESS);
    assert_eq!(taken(log), "a? p+ a+ ");
    b.attach.store(STATUS_NOINTERFACE, Ordering::SeqCst);
    assert_eq!(b.consume(&NPI_A), STATUS_SUCCESS);
    assert_eq!(taken(log), "b? ");
    assert_eq!(q.provide(&NPI_A), STATUS_SUCCESS);
    assert_eq!(taken(log), "a? q+ a+ b? ");
    assert_eq!(registered(), (5, 2));
    end_client(a);
    assert_eq!(taken(log), "p- a- p~ a~ q- a- q~ a~ ");
    end_client(b);
    [p, q, other].into_iter().for_each(end_provider);
    assert_eq!((taken(log), registered()), (String::new(), (0, 0)));
}

#[test]
fn a_client_that_is_refused_may_try_again() {
    let _alone = crate::exclusive();
    let log = log();
    let (p, a) = (Module::new('p', log), Module::new('a', log));
    p.attach.store(STATUS_NOINTERFACE, Ordering::SeqCst);
    a.attempts.store(2, Ordering::SeqCst);
    assert_eq!((p.provide(&NPI_A), a.consume(&NPI_A)), (STATUS_SUCCESS, STATUS_SUCCESS));
    assert_eq!((taken(log).as_str(), registered()), ("a? p+ a! p+ a! ", (2, 0)));
    end_provider(p);
    end_client(a);
    assert_eq!(taken(log), "");
}

#[test]
fn the_wait_ends_when_both_sides_are_done() {
    let _alone = crate::exclusive();
    let log = log();
    let (p, a) = (Module::new('p', log), Module::new('a', log));
    for module in [p, a] {
        module.detach.store(STATUS_PENDING, Ordering::SeqCst);
    }
    assert_eq!((p.provide(&NPI_A), a.consume(&NPI_A)), (STATUS_SUCCESS, STATUS_SUCCESS));
    assert_eq!(NmrWaitForProviderDeregisterComplete(p.handle()), STATUS_INVALID_PARAMETER, "too early");
    assert_eq!(NmrDeregisterProvider(p.handle()), STATUS_PENDING);
    assert_eq!(taken(log), "a? p+ a+ p- a- ");
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            assert_eq!(NmrWaitForProviderDeregisterComplete(p.handle()), STATUS_SUCCESS);
            tell.send(()).unwrap();
        });
        NmrClientDetachProviderComplete(a.binding());
        assert_eq!(taken(log), "", "the provider is not done");
        assert!(told.try_recv().is_err());
        NmrProviderDetachClientComplete(p.binding());
        told.recv_timeout(Duration::from_secs(20)).unwrap();
    });
    assert_eq!(taken(log), "p~ a~ ");
    end_client(a);
}

#[test]
fn detaching_may_happen_at_dispatch_level() {
    let _alone = crate::exclusive();
    let log = log();
    let (p, a) = (Module::new('p', log), Module::new('a', log));
    assert_eq!((p.provide(&NPI_A), a.consume(&NPI_A)), (STATUS_SUCCESS, STATUS_SUCCESS));
    // SAFETY: lowered below.
    let level = unsafe { KfRaiseIrql(2) };
    assert_eq!(NmrDeregisterClient(a.handle()), STATUS_PENDING);
    // SAFETY: the level before.
    unsafe { KeLowerIrql(level) };
    assert_eq!(NmrWaitForClientDeregisterComplete(a.handle()), STATUS_SUCCESS);
    assert_eq!(taken(log), "a? p+ a+ p- a- p~ a~ ");
    end_provider(p);
}

#[test]
fn misuse_is_a_bug_check() {
    let _alone = crate::exclusive();
    let log = log();
    let (p, a) = (Module::new('p', log), Module::new('a', log));
    assert_eq!((p.provide(&NPI_A), a.consume(&NPI_A)), (STATUS_SUCCESS, STATUS_SUCCESS));
    let invalid =
        |code: &(dyn Fn() + Sync)| assert!(stops(code).is_some_and(|stop| stop.is(NMR_INVALID_STATE)));
    invalid(&|| assert_ne!(NmrDeregisterProvider(ptr::null_mut()), 0));
    invalid(&|| assert_ne!(NmrDeregisterClient(p.handle()), 0));
    invalid(&|| NmrProviderDetachClientComplete(p.binding()));
    invalid(&|| NmrClientDetachProviderComplete(ptr::null_mut()));
    invalid(&|| {
        let (mut theirs, mut table) = (ptr::null_mut(), ptr::null());
        // SAFETY: outside of the attach callback, which is what is tested.
        unsafe {
            NmrClientAttachProvider(a.binding(), ptr::null_mut(), ptr::null(), &mut theirs, &mut table)
        };
    });
    end_client(a);
    invalid(&|| assert_ne!(NmrDeregisterClient(a.handle()), 0));
    invalid(&|| NmrProviderDetachClientComplete(p.binding()));
    let high = stops(|| {
        // SAFETY: ends in a bug check.
        unsafe { KfRaiseIrql(2) };
        p.provide(&NPI_A);
    });
    assert!(high.is_some_and(|stop| stop.is(IRQL_NOT_LESS_OR_EQUAL)));
    end_provider(p);
}

#[test]
fn malformed_characteristics_are_refused() {
    let mut handle = ptr::null_mut();
    // SAFETY: NULL is what is tested.
    let status = unsafe { NmrRegisterProvider(ptr::null(), ptr::null_mut(), &mut handle) };
    assert_eq!(status, STATUS_INVALID_PARAMETER);
    let module = Module::new('m', log());
    let characteristics = NPI_CLIENT_CHARACTERISTICS {
        Version: 0,
        Length: 64,
        ClientAttachProvider: client_attach,
        ClientDetachProvider: detach,
        ClientCleanupBindingContext: None,
        ClientRegistrationInstance: module.instance(&NPI_A),
    };
    // SAFETY: refused, so nothing is kept.
    let status = unsafe { NmrRegisterClient(&characteristics, module.context(), &mut handle) };
    assert_eq!(status, STATUS_INVALID_PARAMETER);
}
