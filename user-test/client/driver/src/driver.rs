//! The driver: DriverEntry, the device, and WSK registration through `wskrdma.lib`.
//!
//! A plain WDM driver, as many WSK clients are. Each open handle has a [`Handle`] in its file object.

use abi::NTSTATUS;
use abi::nt::{DEVICE_OBJECT, DRIVER_OBJECT, FILE_OBJECT, IO_NO_INCREMENT, IRP, UNICODE_STRING};
use abi::status::{STATUS_DEVICE_NOT_READY, STATUS_SUCCESS, nt_success};
use abi::wsk::{
    PFN_WSK_CAPTURE_PROVIDER_NPI, PFN_WSK_DEREGISTER, PFN_WSK_REGISTER, PFN_WSK_RELEASE_PROVIDER_NPI,
    WSK_CLIENT_DISPATCH, WSK_CLIENT_NPI, WSK_INFINITE_WAIT, WSK_PROVIDER_NPI, WSK_REGISTRATION,
};
use client::{Client, Handle, RegistrationFunctions};
use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::ptr::{self, NonNull};
use kernel::bugcheck::{DRIVER_VIOLATION, bugcheck};
use kernel::dbg_print;
use kernel::pool::Shared;
use kernel::print::Level;
use wdk_sys::ntddk;

// What a C driver declares through wsk.h; `wskrdma.lib` defines it.
unsafe extern "system" {
    fn WskRegister(npi: *mut WSK_CLIENT_NPI, registration: *mut WSK_REGISTRATION) -> NTSTATUS;
    fn WskDeregister(registration: *mut WSK_REGISTRATION);
    fn WskCaptureProviderNPI(
        registration: *mut WSK_REGISTRATION,
        wait: u32,
        npi: *mut WSK_PROVIDER_NPI,
    ) -> NTSTATUS;
    fn WskReleaseProviderNPI(registration: *mut WSK_REGISTRATION);
}

// The system's functions: `wskrdma.lib`, which stands in front of `netio.lib` and so takes its names, imports them under these.
unsafe extern "C" {
    #[link_name = "wskrdma_netio_WskRegister"]
    static SYSTEM_REGISTER: PFN_WSK_REGISTER;
    #[link_name = "wskrdma_netio_WskDeregister"]
    static SYSTEM_DEREGISTER: PFN_WSK_DEREGISTER;
    #[link_name = "wskrdma_netio_WskCaptureProviderNPI"]
    static SYSTEM_CAPTURE: PFN_WSK_CAPTURE_PROVIDER_NPI;
    #[link_name = "wskrdma_netio_WskReleaseProviderNPI"]
    static SYSTEM_RELEASE: PFN_WSK_RELEASE_PROVIDER_NPI;
}

/// FILE_DEVICE_SECURE_OPEN.
const SECURE_OPEN: u32 = 0x100;
/// DO_DEVICE_INITIALIZING.
const INITIALIZING: u32 = 0x80;

static DISPATCH: WSK_CLIENT_DISPATCH =
    WSK_CLIENT_DISPATCH { Version: 0x0100, Reserved: 0, WskClientEvent: None };

/// A name in the image, in the UTF-16 units that the kernel takes.
struct Name<const N: usize>([u16; N]);

impl<const N: usize> Name<N> {
    /// The units of an ASCII name.
    const fn new(text: &str) -> Self {
        let (mut units, mut bytes) = ([0; N], text.as_bytes());
        let mut rest = units.as_mut_slice();
        while let (Some((unit, units_left)), Some((byte, bytes_left))) =
            (rest.split_first_mut(), bytes.split_first())
        {
            *unit = *byte as u16;
            (rest, bytes) = (units_left, bytes_left);
        }
        Self(units)
    }

    fn string(&'static self) -> UNICODE_STRING {
        let length = size_of_val(&self.0) as u16;
        UNICODE_STRING { Length: length, MaximumLength: length, Buffer: self.0.as_ptr().cast_mut() }
    }
}

const LINK_TEXT: &str = "\\DosDevices\\wskrdma-client";
static DEVICE_NAME: Name<{ control::client::DEVICE_NAME.len() }> = Name::new(control::client::DEVICE_NAME);
static LINK_NAME: Name<{ LINK_TEXT.len() }> = Name::new(LINK_TEXT);

/// What the loaded driver has. Written by DriverEntry before the device can be opened, and by unload after the last
/// handle was closed; read in between.
struct Loaded {
    device: *mut DEVICE_OBJECT,
    client: Option<Client>,
    registration: WSK_REGISTRATION,
    /// The registration with the system's own WSK, past `wskrdma.lib`, and whether it has captured a provider.
    system_registration: WSK_REGISTRATION,
    has_system: bool,
}

struct Global(UnsafeCell<Loaded>);

// SAFETY: see `Loaded`: writers are alone.
unsafe impl Sync for Global {}

static LOADED: Global = Global(UnsafeCell::new(Loaded {
    device: ptr::null_mut(),
    client: None,
    registration: NOT_REGISTERED,
    system_registration: NOT_REGISTERED,
    has_system: false,
}));

const NOT_REGISTERED: WSK_REGISTRATION = WSK_REGISTRATION {
    ReservedRegistrationState: 0,
    ReservedRegistrationContext: ptr::null_mut(),
    ReservedRegistrationLock: 0,
};

/// Entry point. PASSIVE_LEVEL.
///
/// # Safety
/// The I/O manager's contract for DRIVER_INITIALIZE.
#[unsafe(export_name = "DriverEntry")]
unsafe extern "system" fn driver_entry(driver: *mut DRIVER_OBJECT, _path: *const UNICODE_STRING) -> NTSTATUS {
    // SAFETY: nobody else uses the state before the device is there.
    let loaded = unsafe { &mut *LOADED.0.get() };
    match start(driver, loaded) {
        Ok(()) => {
            // SAFETY: the driver object is ours during DriverEntry.
            let driver = unsafe { &mut *driver };
            for (major, routine) in driver.MajorFunction.iter_mut().enumerate() {
                *routine = Some(match major as u8 {
                    abi::nt::IRP_MJ_CREATE => create,
                    abi::nt::IRP_MJ_CLEANUP => cleanup,
                    abi::nt::IRP_MJ_CLOSE => close,
                    abi::nt::IRP_MJ_DEVICE_CONTROL => device_control,
                    _ => refuse,
                });
            }
            driver.DriverUnload = Some(unload);
            // SAFETY: the device was created by `start`; from here on it may be opened.
            unsafe { (*loaded.device).Flags &= !INITIALIZING };
            STATUS_SUCCESS
        }
        Err(status) => {
            dbg_print!(Level::Error, "wskrdma-client: not started: {status:#010x}");
            status
        }
    }
}

/// Climbs: device, kernel, link, registration, capture; a failure climbs down again.
fn start(driver: *mut DRIVER_OBJECT, loaded: &mut Loaded) -> Result<(), NTSTATUS> {
    let (mut name, mut device) = (DEVICE_NAME.string(), ptr::null_mut::<DEVICE_OBJECT>());
    let kind = control::DEVICE_TYPE;
    // SAFETY: the driver object is ours; the name is static; the device pointer is written during the call.
    check(unsafe {
        ntddk::IoCreateDevice(
            driver.cast(),
            0,
            (&raw mut name).cast(),
            kind,
            SECURE_OPEN,
            0,
            (&raw mut device).cast(),
        )
    })?;
    loaded.device = device;
    // SAFETY: the device lives until `shutdown` was called, below or at unload.
    unsafe { kernel::init(device) };
    let started = link(true).and_then(|()| {
        register(loaded).inspect_err(|_| {
            let _unlinked = link(false);
        })
    });
    started.inspect_err(|_| {
        kernel::shutdown();
        // SAFETY: the device cannot be open yet.
        unsafe { ntddk::IoDeleteDevice(device.cast()) };
    })
}

fn link(make: bool) -> Result<(), NTSTATUS> {
    let (mut link, mut name) = (LINK_NAME.string(), DEVICE_NAME.string());
    let link = (&raw mut link).cast();
    check(if make {
        // SAFETY: both names are static.
        unsafe { ntddk::IoCreateSymbolicLink(link, (&raw mut name).cast()) }
    } else {
        // SAFETY: the name is static.
        unsafe { ntddk::IoDeleteSymbolicLink(link) }
    })
}

fn register(loaded: &mut Loaded) -> Result<(), NTSTATUS> {
    let mut npi = WSK_CLIENT_NPI { ClientContext: ptr::null_mut(), Dispatch: &DISPATCH };
    // SAFETY: the registration block and the table are static.
    check(unsafe { WskRegister(&mut npi, &mut loaded.registration) })?;
    let mut provider = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
    // SAFETY: registered above; PASSIVE_LEVEL.
    let captured =
        check(unsafe { WskCaptureProviderNPI(&mut loaded.registration, WSK_INFINITE_WAIT, &mut provider) });
    if captured.is_err() || provider.Dispatch.is_null() {
        // SAFETY: registered, nothing captured.
        unsafe { WskDeregister(&mut loaded.registration) };
        return captured.and(Err(STATUS_DEVICE_NOT_READY));
    }
    let system = register_with_system(loaded);
    let functions = RegistrationFunctions {
        register: WskRegister,
        capture: WskCaptureProviderNPI,
        release: WskReleaseProviderNPI,
        deregister: WskDeregister,
    };
    // SAFETY: both are released at unload, when no handle is open and the client was stopped; the functions are this image's.
    match unsafe { Client::new(provider, system, functions) } {
        Ok(client) => {
            loaded.client = Some(client);
            Ok(())
        }
        Err(status) => {
            deregister(loaded);
            Err(status)
        }
    }
}

/// Registers with the system's own WSK. Its provider is for comparisons only, so the client does without.
fn register_with_system(loaded: &mut Loaded) -> Option<WSK_PROVIDER_NPI> {
    let mut npi = WSK_CLIENT_NPI { ClientContext: ptr::null_mut(), Dispatch: &DISPATCH };
    // SAFETY: the loader has filled it in.
    let (register, capture) = (unsafe { SYSTEM_REGISTER }, unsafe { SYSTEM_CAPTURE });
    // SAFETY: the registration block and the table are static.
    check(unsafe { register(&mut npi, &mut loaded.system_registration) }).ok()?;
    let mut provider = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
    // SAFETY: registered above; PASSIVE_LEVEL.
    let captured = unsafe { capture(&mut loaded.system_registration, WSK_INFINITE_WAIT, &mut provider) };
    loaded.has_system = nt_success(captured);
    if !loaded.has_system {
        // SAFETY: the loader has filled it in.
        let deregister = unsafe { SYSTEM_DEREGISTER };
        // SAFETY: registered, nothing captured.
        unsafe { deregister(&mut loaded.system_registration) };
    }
    (loaded.has_system && !provider.Dispatch.is_null()).then_some(provider)
}

/// Releases both providers and takes both registrations back; waits for the closes that are under way.
fn deregister(loaded: &mut Loaded) {
    if loaded.has_system {
        // SAFETY: the loader has filled it in.
        let (release, deregister) = (unsafe { SYSTEM_RELEASE }, unsafe { SYSTEM_DEREGISTER });
        // SAFETY: captured once.
        unsafe { release(&mut loaded.system_registration) };
        // SAFETY: registered once.
        unsafe { deregister(&mut loaded.system_registration) };
        loaded.has_system = false;
    }
    // SAFETY: captured once.
    unsafe { WskReleaseProviderNPI(&mut loaded.registration) };
    // SAFETY: registered once.
    unsafe { WskDeregister(&mut loaded.registration) };
}

/// The unload routine. PASSIVE_LEVEL. No handle is open any more.
unsafe extern "system" fn unload(_driver: *mut DRIVER_OBJECT) {
    // SAFETY: no handle is open, so nobody else uses the state.
    let loaded = unsafe { &mut *LOADED.0.get() };
    if let Some(client) = loaded.client.take() {
        client.stop();
    }
    deregister(loaded);
    let _gone = link(false);
    kernel::shutdown();
    // SAFETY: created by `start`.
    unsafe { ntddk::IoDeleteDevice(loaded.device.cast()) };
}

/// The current stack location's file object.
///
/// # Safety
/// `irp` is held by the caller, with its location current.
unsafe fn file(irp: *mut IRP) -> *mut FILE_OBJECT {
    // SAFETY: the caller's promise.
    let location = unsafe { kernel::irp::current_stack_location(irp) };
    // SAFETY: as above.
    unsafe { (*location).FileObject }
}

/// The handle of a file object, with a reference of its own.
///
/// # Safety
/// `irp` is held by the caller; its file object was opened by [`create`] and is not closed.
unsafe fn handle(irp: *mut IRP) -> Option<Shared<Handle>> {
    // SAFETY: the caller's promise.
    let file = unsafe { file(irp) };
    if file.is_null() {
        return None;
    }
    // SAFETY: the file object is open.
    let handle = unsafe { (*file).FsContext }.cast_const().cast::<Handle>();
    // SAFETY: the context holds a reference from `create` to `close`.
    (!handle.is_null()).then(|| unsafe { Shared::clone_from_raw(handle) })
}

/// Completes an IRP whose dispatch routine is about to return the same status.
///
/// # Safety
/// `irp` is held by the caller and given up.
unsafe fn done(irp: *mut IRP, status: NTSTATUS) -> NTSTATUS {
    // SAFETY: the caller's promise.
    unsafe { kernel::irp::complete(irp, status, 0, IO_NO_INCREMENT) };
    status
}

unsafe extern "system" fn create(_device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    // SAFETY: the state is not written while the device can be opened.
    let loaded = unsafe { &*LOADED.0.get() };
    // SAFETY: the I/O manager's IRP.
    let file = unsafe { file(irp) };
    let opened = loaded.client.as_ref().ok_or(STATUS_DEVICE_NOT_READY).and_then(Handle::open);
    let status = match opened {
        Ok(handle) if !file.is_null() => {
            // SAFETY: the file object is being opened, and its context is this driver's.
            unsafe { (*file).FsContext = Shared::into_raw(handle).cast_mut().cast() };
            STATUS_SUCCESS
        }
        Ok(_) => STATUS_DEVICE_NOT_READY,
        Err(status) => status,
    };
    // SAFETY: the I/O manager's IRP.
    unsafe { done(irp, status) }
}

unsafe extern "system" fn cleanup(_device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    // SAFETY: the I/O manager's IRP, for an open file.
    if let Some(handle) = unsafe { handle(irp) } {
        Handle::cleanup(&handle);
    }
    // SAFETY: the I/O manager's IRP.
    unsafe { done(irp, STATUS_SUCCESS) }
}

unsafe extern "system" fn close(_device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    // SAFETY: the I/O manager's IRP.
    let file = unsafe { file(irp) };
    if let Some(file) = NonNull::new(file) {
        // SAFETY: the last IRP of the file: nobody else uses its context.
        let file = unsafe { &mut *file.as_ptr() };
        let context = core::mem::replace(&mut file.FsContext, ptr::null_mut());
        if !context.is_null() {
            // SAFETY: the reference that `create` put there.
            drop(unsafe { Shared::<Handle>::from_raw(context.cast()) });
        }
    }
    // SAFETY: the I/O manager's IRP.
    unsafe { done(irp, STATUS_SUCCESS) }
}

unsafe extern "system" fn device_control(_device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    // SAFETY: the I/O manager's IRP, for an open file.
    let handle = unsafe { handle(irp) };
    match (handle, NonNull::new(irp)) {
        // SAFETY: an IRP_MJ_DEVICE_CONTROL that is held here; every code of this device is METHOD_BUFFERED, and
        // one that is not is refused by its number before its buffer is looked at.
        (Some(handle), Some(irp)) => unsafe { Handle::device_control(&handle, irp) },
        // SAFETY: the I/O manager's IRP.
        _ => unsafe { done(irp, STATUS_DEVICE_NOT_READY) },
    }
}

unsafe extern "system" fn refuse(_device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    // SAFETY: the I/O manager's IRP.
    unsafe { done(irp, abi::status::STATUS_INVALID_DEVICE_REQUEST) }
}

fn check(status: NTSTATUS) -> Result<(), NTSTATUS> {
    if nt_success(status) { Ok(()) } else { Err(status) }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    dbg_print!(Level::Error, "wskrdma-client: {info}");
    bugcheck(DRIVER_VIOLATION, 0, 0, 0, 0)
}
