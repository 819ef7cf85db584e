//! Control devices.

use alloc::vec::Vec;
use core::cell::RefCell;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use abi::NTSTATUS;
use abi::nt::{
    DEVICE_OBJECT, DO_BUFFERED_IO, DO_DEVICE_INITIALIZING, DO_DIRECT_IO, FILE_DEVICE_UNKNOWN, UNICODE_STRING,
};
use abi::status::{STATUS_INVALID_DEVICE_STATE, STATUS_SUCCESS, nt_success};

use crate::bind::{Client, characters};
use crate::driver::Driver;
use crate::nt::{self, counted};
use crate::object::{self, Behind, Kind, check_attributes};
use crate::queue::Queue;
use crate::report::broken;
use crate::request::REQUESTS;
use crate::wdf::{Globals, Handle, ObjectAttributes};

/// `WdfDeviceIoBuffered`, which is also the default.
const IO_BUFFERED: i32 = 2;
/// `WdfDeviceIoDirect`.
const IO_DIRECT: i32 = 3;

/// What PWDFDEVICE_INIT points to.
pub(crate) struct DeviceInit {
    client: &'static Client,
    name: RefCell<Vec<u16>>,
    kind: AtomicU32,
    characteristics: AtomicU32,
    is_exclusive: AtomicBool,
    is_direct: AtomicBool,
}

impl Behind for DeviceInit {
    const KIND: Kind = Kind::DeviceInit;
}

/// What WDFDEVICE points to.
pub(crate) struct Device {
    /// The I/O manager's object; its extension holds the handle of this.
    wdm: *mut DEVICE_OBJECT,
    name: Vec<u16>,
    link: RefCell<Option<Vec<u16>>>,
    /// Handle of the default queue, or null.
    queue: RefCell<Handle>,
    /// Files that are open.
    pub(crate) opens: AtomicU32,
    is_finished: AtomicBool,
}

impl Behind for Device {
    const KIND: Kind = Kind::Device;
}

impl Device {
    /// Whether it may be opened.
    pub(crate) fn is_finished(&self) -> bool {
        self.is_finished.load(Ordering::Acquire)
    }

    /// The default queue, if it has one.
    pub(crate) fn queue(&self) -> Option<&Queue> {
        let handle = *self.queue.borrow();
        (!handle.is_null()).then(|| object::borrow(handle, "the default queue"))
    }

    /// Handle of the default queue, or null.
    pub(crate) fn queue_handle(&self) -> Handle {
        *self.queue.borrow()
    }

    /// Makes `queue` the default; false if there is one.
    pub(crate) fn set_queue(&self, queue: Handle) -> bool {
        let mut current = self.queue.borrow_mut();
        if current.is_null() {
            *current = queue;
            return true;
        }
        false
    }
}

/// Handle of the device that the I/O manager knows as `wdm`.
pub(crate) fn handle_of(wdm: *mut DEVICE_OBJECT) -> Handle {
    // SAFETY: the I/O manager's object of one of our devices, whose extension has room for a handle.
    let extension = unsafe { (*wdm).DeviceExtension };
    // SAFETY: as above; written before anyone could send a request.
    unsafe { *extension.cast::<Handle>() }
}

/// WdfControlDeviceInitAllocate.
pub(crate) unsafe extern "system" fn control_device_init_allocate(
    globals: *mut Globals,
    driver: Handle,
    sddl: *const UNICODE_STRING,
) -> Handle {
    const NAME: &str = "WdfControlDeviceInitAllocate";
    Client::calling(globals, NAME);
    let client = object::borrow::<Driver>(driver, NAME).client();
    // SAFETY: the driver's string, which lives during the call.
    let sddl = unsafe { characters(sddl) };
    if !sddl.starts_with(&[u16::from(b'D'), u16::from(b':')]) {
        broken!("{NAME}: the security descriptor has no DACL");
    }
    object::create(DeviceInit {
        client,
        name: RefCell::new(Vec::new()),
        kind: AtomicU32::new(FILE_DEVICE_UNKNOWN),
        characteristics: AtomicU32::new(0),
        is_exclusive: AtomicBool::new(false),
        is_direct: AtomicBool::new(false),
    })
}

/// WdfDeviceInitFree.
pub(crate) unsafe extern "system" fn device_init_free(globals: *mut Globals, init: Handle) {
    const NAME: &str = "WdfDeviceInitFree";
    Client::calling(globals, NAME);
    drop(object::delete::<DeviceInit>(init, NAME));
}

/// WdfDeviceInitSetIoType.
pub(crate) unsafe extern "system" fn device_init_set_io_type(
    globals: *mut Globals,
    init: Handle,
    io_type: i32,
) {
    const NAME: &str = "WdfDeviceInitSetIoType";
    Client::calling(globals, NAME);
    if io_type != IO_BUFFERED && io_type != IO_DIRECT {
        broken!("{NAME}: I/O type {io_type} is not in this test double");
    }
    object::borrow::<DeviceInit>(init, NAME).is_direct.store(io_type == IO_DIRECT, Ordering::Relaxed);
}

/// WdfDeviceInitSetExclusive.
pub(crate) unsafe extern "system" fn device_init_set_exclusive(
    globals: *mut Globals,
    init: Handle,
    exclusive: u8,
) {
    const NAME: &str = "WdfDeviceInitSetExclusive";
    Client::calling(globals, NAME);
    object::borrow::<DeviceInit>(init, NAME).is_exclusive.store(exclusive != 0, Ordering::Relaxed);
}

/// WdfDeviceInitSetDeviceType.
pub(crate) unsafe extern "system" fn device_init_set_device_type(
    globals: *mut Globals,
    init: Handle,
    kind: u32,
) {
    const NAME: &str = "WdfDeviceInitSetDeviceType";
    Client::calling(globals, NAME);
    object::borrow::<DeviceInit>(init, NAME).kind.store(kind, Ordering::Relaxed);
}

/// WdfDeviceInitSetCharacteristics.
pub(crate) unsafe extern "system" fn device_init_set_characteristics(
    globals: *mut Globals,
    init: Handle,
    characteristics: u32,
    or_in: u8,
) {
    const NAME: &str = "WdfDeviceInitSetCharacteristics";
    Client::calling(globals, NAME);
    let init = object::borrow::<DeviceInit>(init, NAME);
    if or_in == 0 {
        init.characteristics.store(characteristics, Ordering::Relaxed);
    } else {
        init.characteristics.fetch_or(characteristics, Ordering::Relaxed);
    }
}

/// WdfDeviceInitAssignName.
pub(crate) unsafe extern "system" fn device_init_assign_name(
    globals: *mut Globals,
    init: Handle,
    name: *const UNICODE_STRING,
) -> NTSTATUS {
    const NAME: &str = "WdfDeviceInitAssignName";
    Client::calling(globals, NAME);
    // SAFETY: the driver's string, which lives during the call.
    let name = unsafe { characters(name) };
    *object::borrow::<DeviceInit>(init, NAME).name.borrow_mut() = name.to_vec();
    STATUS_SUCCESS
}

/// WdfDeviceCreate.
pub(crate) unsafe extern "system" fn device_create(
    globals: *mut Globals,
    init: *mut Handle,
    attributes: *const ObjectAttributes,
    out: *mut Handle,
) -> NTSTATUS {
    const NAME: &str = "WdfDeviceCreate";
    Client::calling(globals, NAME);
    check_attributes(attributes, NAME);
    // SAFETY: the driver's variable.
    let description = object::borrow::<DeviceInit>(unsafe { *init }, NAME);
    let mut wdm = ptr::null_mut();
    let status = create_wdm(description, &mut wdm);
    if !nt_success(status) {
        return status;
    }
    let handle = object::create(Device {
        wdm,
        name: description.name.borrow().clone(),
        link: RefCell::new(None),
        queue: RefCell::new(ptr::null_mut()),
        opens: AtomicU32::new(0),
        is_finished: AtomicBool::new(false),
    });
    // SAFETY: our own device, which nobody can reach yet.
    let device = unsafe { &mut *wdm };
    device.Flags |= if description.is_direct.load(Ordering::Relaxed) { DO_DIRECT_IO } else { DO_BUFFERED_IO };
    // SAFETY: the extension was asked for with room for a handle.
    unsafe { *device.DeviceExtension.cast::<Handle>() = handle };
    description.client.devices.borrow_mut().push(handle);
    // SAFETY: the driver's variable; the device has taken over what it pointed to.
    drop(object::delete::<DeviceInit>(unsafe { init.replace(ptr::null_mut()) }, NAME));
    // SAFETY: the driver's variable.
    unsafe { *out = handle };
    STATUS_SUCCESS
}

fn create_wdm(description: &DeviceInit, wdm: &mut *mut DEVICE_OBJECT) -> NTSTATUS {
    let mut name = description.name.borrow().clone();
    let mut name = counted(&mut name);
    let name = if name.Length == 0 { ptr::null_mut() } else { &raw mut name };
    // SAFETY: the driver object is the calling driver's; name and result live during the call.
    unsafe {
        nt::IoCreateDevice(
            description.client.driver_object,
            size_of::<Handle>() as u32,
            name,
            description.kind.load(Ordering::Relaxed),
            description.characteristics.load(Ordering::Relaxed),
            u8::from(description.is_exclusive.load(Ordering::Relaxed)),
            wdm,
        )
    }
}

/// WdfDeviceCreateSymbolicLink.
pub(crate) unsafe extern "system" fn device_create_symbolic_link(
    globals: *mut Globals,
    device: Handle,
    name: *const UNICODE_STRING,
) -> NTSTATUS {
    const NAME: &str = "WdfDeviceCreateSymbolicLink";
    Client::calling(globals, NAME);
    let device = object::borrow::<Device>(device, NAME);
    if device.link.borrow().is_some() {
        return STATUS_INVALID_DEVICE_STATE;
    }
    // SAFETY: the driver's string, which lives during the call.
    let mut link = unsafe { characters(name) }.to_vec();
    let mut target = device.name.clone();
    // SAFETY: both names live during the call.
    let status = unsafe { nt::IoCreateSymbolicLink(&mut counted(&mut link), &mut counted(&mut target)) };
    if nt_success(status) {
        *device.link.borrow_mut() = Some(link);
    }
    status
}

/// WdfControlFinishInitializing.
pub(crate) unsafe extern "system" fn control_finish_initializing(globals: *mut Globals, device: Handle) {
    const NAME: &str = "WdfControlFinishInitializing";
    Client::calling(globals, NAME);
    let device = object::borrow::<Device>(device, NAME);
    // SAFETY: our own device; only this call changes the flags after its creation.
    unsafe { (*device.wdm).Flags &= !DO_DEVICE_INITIALIZING };
    device.is_finished.store(true, Ordering::Release);
}

/// WdfWdmDeviceGetWdfDeviceHandle.
pub(crate) unsafe extern "system" fn wdm_device_get_wdf_device_handle(
    globals: *mut Globals,
    wdm: *mut DEVICE_OBJECT,
) -> Handle {
    Client::calling(globals, "WdfWdmDeviceGetWdfDeviceHandle");
    handle_of(wdm)
}

/// WdfDeviceWdmGetDeviceObject.
pub(crate) unsafe extern "system" fn device_wdm_get_device_object(
    globals: *mut Globals,
    device: Handle,
) -> *mut DEVICE_OBJECT {
    const NAME: &str = "WdfDeviceWdmGetDeviceObject";
    Client::calling(globals, NAME);
    object::borrow::<Device>(device, NAME).wdm
}

/// WdfDeviceGetDriver.
pub(crate) unsafe extern "system" fn device_get_driver(globals: *mut Globals, device: Handle) -> Handle {
    const NAME: &str = "WdfDeviceGetDriver";
    let client = Client::calling(globals, NAME);
    object::borrow::<Device>(device, NAME);
    // SAFETY: the globals of a client live for ever.
    unsafe { (*client.globals()).driver }
}

/// WdfDeviceGetDefaultQueue.
pub(crate) unsafe extern "system" fn device_get_default_queue(
    globals: *mut Globals,
    device: Handle,
) -> Handle {
    const NAME: &str = "WdfDeviceGetDefaultQueue";
    Client::calling(globals, NAME);
    object::borrow::<Device>(device, NAME).queue_handle()
}

/// WdfObjectDelete, which the framework allows for control devices.
pub(crate) unsafe extern "system" fn object_delete(globals: *mut Globals, handle: Handle) {
    const NAME: &str = "WdfObjectDelete";
    let client = Client::calling(globals, NAME);
    if !object::is::<Device>(handle) {
        broken!("{NAME}: only devices can be deleted in this test double");
    }
    client.devices.borrow_mut().retain(|other| *other != handle);
    delete(handle);
}

/// Deletes whatever devices a driver has left.
pub(crate) fn delete_all(client: &Client) {
    for handle in client.devices.take().into_iter().rev() {
        delete(handle);
    }
}

/// Complains about files that are still open when a driver is unloaded: Windows would wait, Wine does not.
pub(crate) fn check_closed(client: &Client) {
    for handle in client.devices.borrow().iter() {
        let opens = object::borrow::<Device>(*handle, "unload").opens.load(Ordering::Acquire);
        if opens != 0 {
            broken!("unload with {opens} open files");
        }
    }
}

fn delete(handle: Handle) {
    let outstanding = REQUESTS.count(handle.addr());
    if outstanding != 0 {
        broken!("a device is deleted with {outstanding} requests that were never completed");
    }
    let device = object::delete::<Device>(handle, "the deletion of a device");
    if let Some(mut link) = device.link.take() {
        // SAFETY: the name lives during the call. A link that is gone already is no concern of the driver.
        unsafe { nt::IoDeleteSymbolicLink(&mut counted(&mut link)) };
    }
    // SAFETY: our own device; no request to it is under way.
    unsafe { nt::IoDeleteDevice(device.wdm) };
    if !device.queue_handle().is_null() {
        let Queue { .. } = object::delete(device.queue_handle(), "the deletion of a queue");
    }
}
