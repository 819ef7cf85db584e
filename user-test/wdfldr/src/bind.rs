//! `WdfVersionBind`, `WdfVersionUnbind`, and what is kept per driver.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ptr;
use core::slice;
use core::sync::atomic::{AtomicPtr, Ordering};

use abi::NTSTATUS;
use abi::nt::{DRIVER_OBJECT, UNICODE_STRING};
use abi::status::{STATUS_INVALID_PARAMETER, STATUS_SUCCESS};

use crate::report::{broken, say};
use crate::wdf::{BIND_INFO_1, BIND_INFO_2, BindInfo, EvtDriverUnload, Globals, Handle};
use crate::{device, rules, table};

/// The only component there is.
const COMPONENT: &str = "KmdfLibrary";

/// How far a driver has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Bound, without a framework driver object.
    Bound,
    /// After WdfDriverCreate.
    Created,
    /// Its unload routine has run.
    Unloaded,
    /// Unbound; it must not call the framework any more.
    Unbound,
}

/// A driver that has bound. Never freed: the address is how a call after unbinding is recognised.
#[repr(C)]
pub(crate) struct Client {
    globals: Globals,
    next: *mut Client,
    /// The I/O manager's object.
    pub(crate) driver_object: *mut DRIVER_OBJECT,
    /// The service's registry path.
    pub(crate) registry_path: Vec<u16>,
    /// How far it has come.
    pub(crate) stage: Cell<Stage>,
    /// Its unload routine.
    pub(crate) evt_driver_unload: Cell<Option<EvtDriverUnload>>,
    /// Its devices, oldest first.
    pub(crate) devices: RefCell<Vec<Handle>>,
}

/// The drivers, newest first.
static CLIENTS: AtomicPtr<Client> = AtomicPtr::new(ptr::null_mut());

impl Client {
    /// The driver that calls `function` with these globals.
    pub(crate) fn calling(globals: *mut Globals, function: &str) -> &'static Self {
        let client = Self::find(|client| ptr::eq(&raw const client.globals, globals));
        let Some(client) = client else { broken!("{function}: {globals:p} are nobody's globals") };
        if client.stage.get() == Stage::Unbound {
            broken!("{function}: called after the driver was unbound");
        }
        client
    }

    /// The driver of an I/O manager's driver object.
    pub(crate) fn of(driver: *mut DRIVER_OBJECT) -> Option<&'static Self> {
        Self::find(|client| client.driver_object == driver && client.stage.get() != Stage::Unbound)
    }

    /// Where the framework keeps what the driver may see.
    pub(crate) fn globals(&self) -> *mut Globals {
        (&raw const self.globals).cast_mut()
    }

    fn find(is_wanted: impl Fn(&Self) -> bool) -> Option<&'static Self> {
        let mut next = CLIENTS.load(Ordering::Acquire);
        // SAFETY: clients are never freed.
        while let Some(client) = unsafe { next.as_ref() } {
            if is_wanted(client) {
                return Some(client);
            }
            next = client.next;
        }
        None
    }
}

/// The characters of a counted string.
///
/// # Safety
///
/// `string` is null or a counted string that lives for `'a`.
pub(crate) unsafe fn characters<'a>(string: *const UNICODE_STRING) -> &'a [u16] {
    // SAFETY: the caller's promise.
    match unsafe { string.as_ref() } {
        Some(string) if !string.Buffer.is_null() => {
            // SAFETY: the buffer of a counted string has as many bytes as it says.
            unsafe { slice::from_raw_parts(string.Buffer, usize::from(string.Length / 2)) }
        }
        _ => &[],
    }
}

/// `WdfVersionBind` (`fxldr.h`): gives the driver the function table. PASSIVE_LEVEL.
///
/// # Safety
///
/// The contract of KMDF's entry stub.
#[unsafe(no_mangle)]
unsafe extern "system" fn WdfVersionBind(
    driver: *mut DRIVER_OBJECT,
    registry_path: *const UNICODE_STRING,
    info: *mut BindInfo,
    globals: *mut *mut Globals,
) -> NTSTATUS {
    // SAFETY: the stub's structure; of the first form only the front is read.
    let size = unsafe { (*info).size };
    if size != BIND_INFO_1 && size != BIND_INFO_2 {
        say!("wdfldr: bind information of {size} bytes");
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: as above.
    let component = unsafe { (*info).component };
    // SAFETY: as above.
    let version = unsafe { (*info).version };
    // SAFETY: as above.
    let count = unsafe { (*info).function_count };
    if !is_component(component) || version.major != 1 || !rules::is_released(count) {
        say!("wdfldr: KMDF {}.{} with {count} functions cannot be bound", version.major, version.minor);
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: the stub's string, which lives during the call.
    let registry_path = unsafe { characters(registry_path) }.to_vec();
    let client = Box::into_raw(Box::new(Client {
        globals: Globals {
            driver: ptr::null_mut(),
            driver_flags: 0,
            driver_tag: u32::from_le_bytes(*b"FxDr"),
            driver_name: [0; 32],
            displace_driver_unload: 0,
        },
        next: CLIENTS.load(Ordering::Acquire),
        driver_object: driver,
        registry_path,
        stage: Cell::new(Stage::Bound),
        evt_driver_unload: Cell::new(None),
        devices: RefCell::new(Vec::new()),
    }));
    CLIENTS.store(client, Ordering::Release);
    // SAFETY: the stub's variables.
    unsafe { publish(info, size) };
    // SAFETY: the stub's variable.
    unsafe { *globals = client.cast() };
    say!("wdfldr: bound a driver for KMDF {}.{}", version.major, version.minor);
    STATUS_SUCCESS
}

/// `WdfVersionUnbind` (`fxldr.h`): the driver has unloaded, or has not started. PASSIVE_LEVEL.
///
/// # Safety
///
/// The contract of KMDF's entry stub.
#[unsafe(no_mangle)]
unsafe extern "system" fn WdfVersionUnbind(
    _registry_path: *const UNICODE_STRING,
    _info: *mut BindInfo,
    globals: *mut Globals,
) -> NTSTATUS {
    let client = Client::calling(globals, "WdfVersionUnbind");
    // A driver that has not started leaves its objects to the framework.
    device::delete_all(client);
    client.stage.set(Stage::Unbound);
    say!("wdfldr: unbound a driver");
    STATUS_SUCCESS
}

/// Stores what the framework has where the client looks.
///
/// # Safety
///
/// `info` is a structure of `size` bytes whose pointers are null or the client's variables.
unsafe fn publish(info: *mut BindInfo, size: u32) {
    // SAFETY: the caller's promise.
    let client_table = unsafe { (*info).function_table };
    // SAFETY: as above.
    unsafe { *client_table = table::start() };
    if size < BIND_INFO_2 {
        return;
    }
    // SAFETY: as above.
    let count = unsafe { (*info).function_count_pointer };
    // SAFETY: as above.
    unsafe { count.write(rules::FUNCTION_COUNT as u32) };
    // SAFETY: as above.
    let higher = unsafe { (*info).client_version_higher_than_framework };
    // SAFETY: as above.
    unsafe { higher.write(0) };
}

fn is_component(mut name: *const u16) -> bool {
    for expected in COMPONENT.encode_utf16().chain([0]) {
        // SAFETY: the name ends in a zero, and the comparison goes no further than that.
        if unsafe { *name } != expected {
            return false;
        }
        // SAFETY: what was compared was not the end, or nothing more is read.
        name = unsafe { name.add(1) };
    }
    true
}
