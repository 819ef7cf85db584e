//! Kernel objects: reference counts, handles, and the one device object of the simulation.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr;
use std::sync::LazyLock;

use abi::NTSTATUS;
use abi::nt::{DEVICE_OBJECT, HANDLE, IO_TYPE_DEVICE, KPROCESSOR_MODE, OBJECT_TYPE, PASSIVE_LEVEL};
use abi::status::{STATUS_INVALID_HANDLE, STATUS_SUCCESS};

use crate::host::{self, Mutex};
use crate::stop::REFERENCE_BY_POINTER;
use crate::{processor, stop};

struct Object {
    references: usize,
    /// Called with the address when the last reference goes.
    delete: fn(usize),
}

#[derive(Default)]
struct Objects {
    by_address: HashMap<usize, Object>,
    handles: HashMap<usize, usize>,
    next_handle: usize,
}

static OBJECTS: LazyLock<Mutex<Objects>> = LazyLock::new(Mutex::default);

/// The device object that stands for the driver's: for `kernel::init`. The same every time; it is never freed.
#[must_use]
pub fn device() -> *mut DEVICE_OBJECT {
    static DEVICE: LazyLock<usize> = LazyLock::new(|| {
        let layout = Layout::new::<DEVICE_OBJECT>();
        // SAFETY: a device object has a size.
        let device = unsafe { alloc_zeroed(layout) }.cast::<DEVICE_OBJECT>();
        if device.is_null() {
            handle_alloc_error(layout);
        }
        // SAFETY: fresh memory of that size.
        unsafe { (*device).Type = IO_TYPE_DEVICE };
        let address = device.expose_provenance();
        register(address, |_| {});
        address
    });
    ptr::with_exposed_provenance_mut(*DEVICE)
}

/// How many references there are on an object; 0: it is none.
#[must_use]
pub fn references(object: *const c_void) -> usize {
    host::lock(&OBJECTS).by_address.get(&object.addr()).map_or(0, |object| object.references)
}

/// Makes the thing at `address` an object with one reference.
pub(crate) fn register(address: usize, delete: fn(usize)) {
    host::lock(&OBJECTS).by_address.insert(address, Object { references: 1, delete });
}

/// Stops unless there is an object at `address`.
pub(crate) fn require(address: usize, routine: &str) {
    if !host::lock(&OBJECTS).by_address.contains_key(&address) {
        stop!(REFERENCE_BY_POINTER, "{routine}: {address:#x} is no object");
    }
}

/// Adds a reference; returns how many there are.
pub(crate) fn reference(address: usize) -> usize {
    let mut objects = host::lock(&OBJECTS);
    let Some(object) = objects.by_address.get_mut(&address) else {
        stop!(REFERENCE_BY_POINTER, "{address:#x} is referenced but is no object");
    };
    object.references += 1;
    object.references
}

/// Drops a reference, and with the last one the object; returns how many are left.
pub(crate) fn dereference(address: usize) -> usize {
    let mut objects = host::lock(&OBJECTS);
    let Some(object) = objects.by_address.get_mut(&address) else {
        stop!(REFERENCE_BY_POINTER, "{address:#x} is dereferenced but is no object");
    };
    object.references -= 1;
    let left = object.references;
    if left == 0 {
        let removed = objects.by_address.remove(&address);
        drop(objects);
        if let Some(Object { delete, .. }) = removed {
            delete(address);
        }
    }
    left
}

/// Makes a handle for an object, which holds a reference of its own.
pub(crate) fn open_handle(address: usize) -> HANDLE {
    reference(address);
    let mut objects = host::lock(&OBJECTS);
    objects.next_handle += 4;
    let handle = objects.next_handle;
    objects.handles.insert(handle, address);
    ptr::without_provenance_mut(handle)
}

/// `ObReferenceObjectByHandle`.
///
/// # Safety
/// `object` is writable.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn ObReferenceObjectByHandle(
    handle: HANDLE,
    _access: u32,
    _kind: *mut OBJECT_TYPE,
    _mode: KPROCESSOR_MODE,
    object: *mut *mut c_void,
    _information: *mut c_void,
) -> NTSTATUS {
    processor::require_at_most(PASSIVE_LEVEL, "ObReferenceObjectByHandle");
    let Some(address) = host::lock(&OBJECTS).handles.get(&handle.addr()).copied() else {
        return STATUS_INVALID_HANDLE;
    };
    reference(address);
    // SAFETY: as promised by the caller.
    unsafe { object.write(ptr::with_exposed_provenance_mut(address)) };
    STATUS_SUCCESS
}

/// `ObfReferenceObject`.
#[unsafe(no_mangle)]
extern "C-unwind" fn ObfReferenceObject(object: *mut c_void) -> isize {
    isize::try_from(reference(object.addr())).unwrap_or(isize::MAX)
}

/// `ObfDereferenceObject`.
#[unsafe(no_mangle)]
extern "C-unwind" fn ObfDereferenceObject(object: *mut c_void) -> isize {
    isize::try_from(dereference(object.addr())).unwrap_or(isize::MAX)
}

/// `ZwClose`.
#[unsafe(no_mangle)]
extern "C-unwind" fn ZwClose(handle: HANDLE) -> NTSTATUS {
    processor::require_at_most(PASSIVE_LEVEL, "ZwClose");
    let address = host::lock(&OBJECTS).handles.remove(&handle.addr());
    match address {
        None => STATUS_INVALID_HANDLE,
        Some(address) => {
            dereference(address);
            STATUS_SUCCESS
        }
    }
}
