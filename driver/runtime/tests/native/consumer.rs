//! The example of `docs/software-adapter.md`: another NDK consumer, which opens the software adapter through the driver's WSK.

use core::ffi::c_void;
use core::ptr;

use abi::NTSTATUS;
use abi::ndk::*;
use abi::status::{STATUS_PENDING, STATUS_SUCCESS};
use abi::wsk::WSK_PROVIDER_NPI;
use abi::wskrdma::WSKRDMA_SOFTWARE_INTERFACE;
use kernel::event::{Event, EventType};
use wskrdma_runtime::Config;

use crate::stage::MODES;
use crate::world::Native;

// ANCHOR: answer
/// Where a request answers that has returned STATUS_PENDING.
struct Answer {
    done: Event,
    status: NTSTATUS,
    object: *mut NDK_OBJECT_HEADER,
}

impl Answer {
    fn new() -> Result<Self, NTSTATUS> {
        let done = Event::new(EventType::Notification, false).map_err(|e| e.status())?;
        Ok(Self { done, status: STATUS_PENDING, object: ptr::null_mut() })
    }
}

unsafe extern "system" fn created(context: *mut c_void, status: NTSTATUS, object: *mut NDK_OBJECT_HEADER) {
    // SAFETY: the context of the create, who waits for the event.
    let answer = unsafe { &mut *context.cast::<Answer>() };
    (answer.status, answer.object) = (status, object);
    answer.done.set();
}

unsafe extern "system" fn closed(context: *mut c_void) {
    // SAFETY: the context of the close, who waits for the event.
    unsafe { &*context.cast::<Answer>() }.done.set();
}
// ANCHOR_END: answer

// ANCHOR: open
/// What the client control code 0x4E444B44 answers: the two functions that open and close adapters.
fn ndk_functions(npi: &WSK_PROVIDER_NPI) -> Result<WSK_PROVIDER_NDK_DISPATCH, NTSTATUS> {
    let mut functions = core::mem::MaybeUninit::<WSK_PROVIDER_NDK_DISPATCH>::uninit();
    let size = size_of::<WSK_PROVIDER_NDK_DISPATCH>();
    let (code, none) = (WSKNDK_GET_WSK_PROVIDER_NDK_DISPATCH, ptr::null_mut());
    // SAFETY: captured by WskCaptureProviderNPI.
    let control = unsafe { (*npi.Dispatch).WskControlClient };
    let output = functions.as_mut_ptr().cast();
    // SAFETY: as `wskndk.h` says: no input, room for the table, no IRP.
    let status =
        unsafe { control(npi.Client, code, 0, none, size, output, ptr::null_mut(), ptr::null_mut()) };
    if status != STATUS_SUCCESS {
        return Err(status);
    }
    // SAFETY: the call has filled it.
    Ok(unsafe { functions.assume_init() })
}

/// Opens the software adapter, asks for its limits, makes a protection domain, and closes both. PASSIVE_LEVEL.
fn use_the_adapter(npi: &WSK_PROVIDER_NPI) -> Result<NDK_ADAPTER_INFO, NTSTATUS> {
    let functions = ndk_functions(npi)?;
    let version = NDK_VERSION { Major: 2, Minor: 0 };
    let mut adapter = ptr::null_mut();
    // SAFETY: the client is registered as long as the adapter is open: WskDeregister waits for the close.
    let status = unsafe {
        (functions.WskOpenNdkAdapter)(npi.Client, version, WSKRDMA_SOFTWARE_INTERFACE, &raw mut adapter)
    };
    if status != STATUS_SUCCESS {
        return Err(status);
    }
    let used = limits(adapter).and_then(|limits| protection_domain(adapter).map(|()| limits));
    // SAFETY: opened above; every object on it is closed.
    unsafe { (functions.WskCloseNdkAdapter)(npi.Client, adapter) };
    used
}
// ANCHOR_END: open

// ANCHOR: use
fn limits(adapter: *mut NDK_ADAPTER) -> Result<NDK_ADAPTER_INFO, NTSTATUS> {
    let mut limits = NDK_ADAPTER_INFO::default();
    let mut size = size_of::<NDK_ADAPTER_INFO>() as u32;
    // SAFETY: an open adapter.
    let table = unsafe { (*adapter).Dispatch };
    // SAFETY: it lives as long as the adapter.
    let query = unsafe { (*table).NdkQueryAdapterInfo };
    // SAFETY: room for the structure.
    match unsafe { query(adapter, &raw mut limits, &raw mut size) } {
        STATUS_SUCCESS => Ok(limits),
        status => Err(status),
    }
}

/// Makes an object and closes it. The provider may do either in the call, or later, or call back first and then return.
fn protection_domain(adapter: *mut NDK_ADAPTER) -> Result<(), NTSTATUS> {
    let (mut made, mut gone) = (Answer::new()?, Answer::new()?);
    let mut pd = ptr::null_mut();
    // SAFETY: an open adapter.
    let table = unsafe { (*adapter).Dispatch };
    // SAFETY: it lives as long as the adapter.
    let create = unsafe { (*table).NdkCreatePd };
    // SAFETY: the answer stays in place until the event is set.
    match unsafe { create(adapter, created, (&raw mut made).cast(), &raw mut pd) } {
        STATUS_SUCCESS => {}
        STATUS_PENDING => {
            made.done.wait_forever();
            if made.status != STATUS_SUCCESS {
                return Err(made.status);
            }
            pd = made.object.cast();
        }
        status => return Err(status),
    }
    // SAFETY: an open protection domain.
    let table = unsafe { (*pd).Dispatch };
    // SAFETY: it lives as long as the protection domain.
    let close = unsafe { (*table).NdkClosePd };
    // SAFETY: nothing was made of it, and it is not used again.
    if unsafe { close(pd.cast(), closed, (&raw mut gone).cast()) } == STATUS_PENDING {
        gone.done.wait_forever();
    }
    Ok(())
}
// ANCHOR_END: use

#[test]
fn the_example_works_however_the_adapter_answers() {
    let _alone = ksim::exclusive();
    for answers in MODES {
        let world = Native::start(Config { answers, ..Config::default() });
        let limits = use_the_adapter(&world.npi).unwrap();
        assert_eq!((limits.Version.Major, limits.Version.Minor), (2, 1));
        assert_eq!(limits.MaxCallerData, 56);
        world.finish();
    }
}
