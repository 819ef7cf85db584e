//! The framework's structures that cross its boundary (`fxldr.h`, `wdfglobals.h`, `wdfdriver.h`, `wdfio.h`,
//! `wdfobject.h`).

use core::ffi::c_void;

use abi::NTSTATUS;

/// A handle, whatever the object.
pub(crate) type Handle = *mut c_void;

/// `WDF_VERSION`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) build: u32,
}

/// `WDF_BIND_INFO2`; older clients have only what comes before `minimum_version_required`.
#[repr(C)]
pub(crate) struct BindInfo {
    pub(crate) size: u32,
    pub(crate) component: *const u16,
    pub(crate) version: Version,
    pub(crate) function_count: u32,
    /// The client's pointer to the function table.
    pub(crate) function_table: *mut *const *const (),
    pub(crate) module: *mut c_void,
    pub(crate) minimum_version_required: *mut u32,
    pub(crate) client_version_higher_than_framework: *mut u8,
    pub(crate) function_count_pointer: *mut u32,
    pub(crate) structure_count_pointer: *mut u32,
    pub(crate) structure_table: *mut *mut usize,
}

/// Size of the first form.
pub(crate) const BIND_INFO_1: u32 = 48;
/// Size of the second form.
pub(crate) const BIND_INFO_2: u32 = 88;

/// `WDF_DRIVER_GLOBALS`.
#[repr(C)]
pub(crate) struct Globals {
    pub(crate) driver: Handle,
    pub(crate) driver_flags: u32,
    pub(crate) driver_tag: u32,
    pub(crate) driver_name: [u8; 32],
    pub(crate) displace_driver_unload: u8,
}

/// `EVT_WDF_DRIVER_UNLOAD`.
pub(crate) type EvtDriverUnload = unsafe extern "system" fn(driver: Handle);
/// `EVT_WDF_IO_QUEUE_IO_DEVICE_CONTROL`, and the same for internal ones.
pub(crate) type EvtIoDeviceControl =
    unsafe extern "system" fn(queue: Handle, request: Handle, output: usize, input: usize, code: u32);

/// `WDF_DRIVER_CONFIG`.
#[repr(C)]
pub(crate) struct DriverConfig {
    pub(crate) size: u32,
    pub(crate) evt_driver_device_add: Option<unsafe extern "system" fn(Handle, Handle) -> NTSTATUS>,
    pub(crate) evt_driver_unload: Option<EvtDriverUnload>,
    pub(crate) driver_init_flags: u32,
    pub(crate) driver_pool_tag: u32,
}

/// `WdfDriverInitNonPnpDriver`.
pub(crate) const NON_PNP_DRIVER: u32 = 1;

/// `WDF_OBJECT_ATTRIBUTES`; only its size and its context type are looked at.
#[repr(C)]
pub(crate) struct ObjectAttributes {
    pub(crate) size: u32,
    pub(crate) evt_cleanup: *mut c_void,
    pub(crate) evt_destroy: *mut c_void,
    pub(crate) execution_level: i32,
    pub(crate) synchronization_scope: i32,
    pub(crate) parent: Handle,
    pub(crate) context_size_override: usize,
    pub(crate) context_type: *const c_void,
}

/// `WDF_IO_QUEUE_CONFIG`.
#[repr(C)]
pub(crate) struct QueueConfig {
    pub(crate) size: u32,
    pub(crate) dispatch_type: i32,
    pub(crate) power_managed: i32,
    pub(crate) allow_zero_length_requests: u8,
    pub(crate) default_queue: u8,
    pub(crate) evt_io_default: *mut c_void,
    pub(crate) evt_io_read: *mut c_void,
    pub(crate) evt_io_write: *mut c_void,
    pub(crate) evt_io_device_control: Option<EvtIoDeviceControl>,
    pub(crate) evt_io_internal_device_control: Option<EvtIoDeviceControl>,
    pub(crate) evt_io_stop: *mut c_void,
    pub(crate) evt_io_resume: *mut c_void,
    pub(crate) evt_io_canceled_on_queue: *mut c_void,
    pub(crate) number_of_presented_requests: u32,
    pub(crate) driver: Handle,
}

/// `WdfIoQueueDispatchParallel`.
pub(crate) const DISPATCH_PARALLEL: i32 = 2;

const _: () = {
    assert!(size_of::<BindInfo>() == BIND_INFO_2 as usize);
    assert!(core::mem::offset_of!(BindInfo, minimum_version_required) == BIND_INFO_1 as usize);
    assert!(size_of::<Globals>() == 56);
    assert!(size_of::<DriverConfig>() == 32);
    assert!(size_of::<ObjectAttributes>() == 56);
    assert!(size_of::<QueueConfig>() == 96);
};
