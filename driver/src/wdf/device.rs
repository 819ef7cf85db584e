//! A control device with one queue (`wdfcontrol.h`, `wdfdevice.h`, `wdfio.h`).

use abi::NTSTATUS;
use abi::status::STATUS_INSUFFICIENT_RESOURCES;
use core::ptr;
use wdk_sys::{
    _WDF_IO_QUEUE_DISPATCH_TYPE, _WDF_TRI_STATE, DEVICE_OBJECT, FILE_DEVICE_NETWORK, FILE_DEVICE_SECURE_OPEN,
    PFN_WDF_IO_QUEUE_IO_DEVICE_CONTROL, PFN_WDF_IO_QUEUE_IO_INTERNAL_DEVICE_CONTROL, PWDFDEVICE_INIT,
    WDF_IO_QUEUE_CONFIG, WDF_NO_OBJECT_ATTRIBUTES, WDFDEVICE, call_unsafe_wdf_function_binding,
};

use super::string::counted;
use super::{Driver, check, size};

/// TRUE of `BOOLEAN`.
const TRUE: u8 = 1;

/// As many requests at a time as arrive: `WDF_IO_QUEUE_CONFIG_INIT_DEFAULT_QUEUE` for a parallel queue.
const UNLIMITED: u32 = u32::MAX;

/// What a queue calls. IRQL ≤ DISPATCH_LEVEL by contract; PASSIVE_LEVEL for requests of programs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueRoutines {
    /// `EvtIoDeviceControl`.
    pub(crate) device_control: PFN_WDF_IO_QUEUE_IO_DEVICE_CONTROL,
    /// `EvtIoInternalDeviceControl`.
    pub(crate) internal_device_control: PFN_WDF_IO_QUEUE_IO_INTERNAL_DEVICE_CONTROL,
}

/// What a device is made from; freed when dropped unless a device was made.
struct DeviceInit(PWDFDEVICE_INIT);

impl DeviceInit {
    fn allocate(driver: Driver, sddl: &'static [u16]) -> Result<Self, NTSTATUS> {
        let sddl = counted(sddl);
        // SAFETY: the driver's own handle; the string lives during the call.
        let init = unsafe {
            call_unsafe_wdf_function_binding!(WdfControlDeviceInitAllocate, driver.0, &raw const sddl)
        };
        if init.is_null() { Err(STATUS_INSUFFICIENT_RESOURCES) } else { Ok(Self(init)) }
    }

    fn describe(&mut self, name: &'static [u16]) -> Result<(), NTSTATUS> {
        // SAFETY: the structure is allocated and not yet used up.
        unsafe { call_unsafe_wdf_function_binding!(WdfDeviceInitSetDeviceType, self.0, FILE_DEVICE_NETWORK) };
        // SAFETY: as above.
        unsafe {
            call_unsafe_wdf_function_binding!(
                WdfDeviceInitSetCharacteristics,
                self.0,
                FILE_DEVICE_SECURE_OPEN,
                TRUE
            );
        };
        let name = counted(name);
        // SAFETY: as above; the name lives during the call.
        check(unsafe { call_unsafe_wdf_function_binding!(WdfDeviceInitAssignName, self.0, &raw const name) })
    }

    fn create(mut self) -> Result<WDFDEVICE, NTSTATUS> {
        let mut device: WDFDEVICE = ptr::null_mut();
        // SAFETY: the structure is allocated; on success the framework takes it and leaves null behind.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfDeviceCreate,
                &raw mut self.0,
                WDF_NO_OBJECT_ATTRIBUTES,
                &raw mut device,
            )
        };
        check(status).map(|()| device)
    }
}

impl Drop for DeviceInit {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: no device was made of it, so it is still ours.
            unsafe { call_unsafe_wdf_function_binding!(WdfDeviceInitFree, self.0) };
        }
    }
}

/// A device that nobody can open yet; deleted when dropped.
#[derive(Debug)]
pub(crate) struct ControlDevice(WDFDEVICE);

impl ControlDevice {
    /// Makes the device, its symbolic link and its queue. PASSIVE_LEVEL.
    ///
    /// # Errors
    ///
    /// What the framework returns, for example OBJECT_NAME_COLLISION; nothing is left behind then.
    pub(crate) fn create(
        driver: Driver,
        name: &'static [u16],
        link: &'static [u16],
        sddl: &'static [u16],
        routines: QueueRoutines,
    ) -> Result<Self, NTSTATUS> {
        let mut init = DeviceInit::allocate(driver, sddl)?;
        init.describe(name)?;
        let device = Self(init.create()?);
        device.link(link)?;
        device.add_queue(routines)?;
        Ok(device)
    }

    /// The I/O manager's object. It lives as long as the framework's.
    pub(crate) fn wdm_object(&self) -> *mut DEVICE_OBJECT {
        // SAFETY: the device exists.
        unsafe { call_unsafe_wdf_function_binding!(WdfDeviceWdmGetDeviceObject, self.0) }
    }

    /// Lets the device be opened. From here on the framework owns it, and deletes it after the unload routine.
    pub(crate) fn open(self) {
        // SAFETY: the device exists and is a control device.
        unsafe { call_unsafe_wdf_function_binding!(WdfControlFinishInitializing, self.0) };
        core::mem::forget(self);
    }

    fn link(&self, name: &'static [u16]) -> Result<(), NTSTATUS> {
        let name = counted(name);
        // SAFETY: the device exists and has a name; the link's name lives during the call.
        check(unsafe {
            call_unsafe_wdf_function_binding!(WdfDeviceCreateSymbolicLink, self.0, &raw const name)
        })
    }

    fn add_queue(&self, routines: QueueRoutines) -> Result<(), NTSTATUS> {
        let mut config = WDF_IO_QUEUE_CONFIG {
            Size: size::<WDF_IO_QUEUE_CONFIG>(),
            DispatchType: _WDF_IO_QUEUE_DISPATCH_TYPE::WdfIoQueueDispatchParallel,
            PowerManaged: _WDF_TRI_STATE::WdfUseDefault,
            DefaultQueue: TRUE,
            EvtIoDeviceControl: routines.device_control,
            EvtIoInternalDeviceControl: routines.internal_device_control,
            ..WDF_IO_QUEUE_CONFIG::default()
        };
        config.Settings.Parallel.NumberOfPresentedRequests = UNLIMITED;
        // SAFETY: the device exists; the configuration lives during the call; the handle is not asked for.
        check(unsafe {
            call_unsafe_wdf_function_binding!(
                WdfIoQueueCreate,
                self.0,
                &raw mut config,
                WDF_NO_OBJECT_ATTRIBUTES,
                ptr::null_mut(),
            )
        })
    }
}

impl Drop for ControlDevice {
    fn drop(&mut self) {
        // SAFETY: the device exists, and as nobody could open it no request is under way.
        unsafe { call_unsafe_wdf_function_binding!(WdfObjectDelete, self.0.cast()) };
    }
}
