//! The framework's driver object.

use abi::NTSTATUS;
use abi::nt::{DRIVER_OBJECT, UNICODE_STRING};
use abi::status::{STATUS_INVALID_PARAMETER, STATUS_SUCCESS, nt_success};

use crate::bind::{Client, Stage};
use crate::nt::{STATUS_DRIVER_INTERNAL_ERROR, STATUS_INFO_LENGTH_MISMATCH};
use crate::object::{Behind, Kind, check_attributes};
use crate::report::{broken, say};
use crate::wdf::{DriverConfig, Globals, Handle, NON_PNP_DRIVER, ObjectAttributes};
use crate::{device, object, queue};

/// What WDFDRIVER points to.
pub(crate) struct Driver {
    client: &'static Client,
}

impl Behind for Driver {
    const KIND: Kind = Kind::Driver;
}

impl Driver {
    /// The driver that made it.
    pub(crate) fn client(&self) -> &'static Client {
        self.client
    }
}

/// WdfDriverCreate.
pub(crate) unsafe extern "system" fn driver_create(
    globals: *mut Globals,
    driver: *mut DRIVER_OBJECT,
    _registry_path: *const UNICODE_STRING,
    attributes: *const ObjectAttributes,
    config: *const DriverConfig,
    out: *mut Handle,
) -> NTSTATUS {
    const NAME: &str = "WdfDriverCreate";
    let client = Client::calling(globals, NAME);
    check_attributes(attributes, NAME);
    // SAFETY: the driver's structure, which lives during the call.
    let config = unsafe { &*config };
    let status = refusal(client, config);
    if !nt_success(status) {
        return status;
    }
    if config.driver_init_flags != NON_PNP_DRIVER {
        broken!("{NAME}: flags {:#x}: only NonPnpDriver is in this test double", config.driver_init_flags);
    }
    let handle = object::create(Driver { client });
    // SAFETY: the I/O manager's object, in the driver's DriverEntry.
    unsafe { take_over(driver, config.evt_driver_unload.is_some()) };
    client.evt_driver_unload.set(config.evt_driver_unload);
    client.stage.set(Stage::Created);
    // SAFETY: the globals of a client live for ever; the driver reads them only when this call has returned.
    unsafe { (*globals).driver = handle };
    let displace = u8::from(config.evt_driver_unload.is_some());
    // SAFETY: as above.
    unsafe { (*globals).displace_driver_unload = displace };
    if !out.is_null() {
        // SAFETY: the driver's variable.
        unsafe { *out = handle };
    }
    STATUS_SUCCESS
}

/// WdfDriverWdmGetDriverObject.
pub(crate) unsafe extern "system" fn driver_wdm_get_driver_object(
    globals: *mut Globals,
    driver: Handle,
) -> *mut DRIVER_OBJECT {
    const NAME: &str = "WdfDriverWdmGetDriverObject";
    Client::calling(globals, NAME);
    object::borrow::<Driver>(driver, NAME).client.driver_object
}

fn refusal(client: &Client, config: &DriverConfig) -> NTSTATUS {
    if client.stage.get() != Stage::Bound {
        return STATUS_DRIVER_INTERNAL_ERROR;
    }
    if config.size as usize != size_of::<DriverConfig>() {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    if config.driver_init_flags & NON_PNP_DRIVER != 0 && config.evt_driver_device_add.is_some() {
        return STATUS_INVALID_PARAMETER;
    }
    STATUS_SUCCESS
}

/// Makes the framework the receiver of everything that comes to the driver.
///
/// # Safety
///
/// `driver` is the driver object of the driver that is calling.
unsafe fn take_over(driver: *mut DRIVER_OBJECT, can_unload: bool) {
    // SAFETY: the caller's promise.
    let driver = unsafe { &mut *driver };
    driver.MajorFunction.fill(Some(queue::dispatch));
    driver.DriverUnload = if can_unload { Some(unload) } else { None };
}

/// What the framework leaves in DriverObject.DriverUnload.
unsafe extern "system" fn unload(driver: *mut DRIVER_OBJECT) {
    let Some(client) = Client::of(driver) else { broken!("unload of a driver that is not bound") };
    if client.stage.get() != Stage::Created {
        broken!("unload at stage {:?}", client.stage.get());
    }
    device::check_closed(client);
    if let Some(routine) = client.evt_driver_unload.get() {
        // SAFETY: the globals of a client live for ever.
        let handle = unsafe { (*client.globals()).driver };
        // SAFETY: the driver's own routine, called once, at PASSIVE_LEVEL.
        unsafe { routine(handle) };
    }
    device::delete_all(client);
    client.stage.set(Stage::Unloaded);
    say!("wdfldr: unloaded a driver");
}
