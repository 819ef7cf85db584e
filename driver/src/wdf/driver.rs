//! The driver object of the framework (`wdfdriver.h`).

use abi::NTSTATUS;
use wdk_sys::{
    _WDF_DRIVER_INIT_FLAGS, DRIVER_OBJECT, UNICODE_STRING, WDF_DRIVER_CONFIG, WDF_NO_OBJECT_ATTRIBUTES,
    WDFDRIVER, call_unsafe_wdf_function_binding,
};

use super::{check, size};

/// `WdfDriverInitNonPnpDriver` with the type of the member that takes it. The enumeration's own type depends on
/// the headers.
const NON_PNP_DRIVER: u32 = 1;
const _: () = assert!(_WDF_DRIVER_INIT_FLAGS::WdfDriverInitNonPnpDriver as i64 == NON_PNP_DRIVER as i64);

/// `EVT_WDF_DRIVER_UNLOAD`. PASSIVE_LEVEL. Not called if `DriverEntry` fails.
pub(crate) type UnloadRoutine = unsafe extern "C" fn(WDFDRIVER);

/// The driver's handle. The framework deletes the object after the unload routine has returned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Driver(pub(super) WDFDRIVER);

impl Driver {
    /// `WdfDriverCreate` for a driver without devices of its own (NonPnpDriver). PASSIVE_LEVEL.
    ///
    /// # Errors
    ///
    /// What the framework returns; nothing is left behind then.
    ///
    /// # Safety
    ///
    /// Called once, from `DriverEntry`, with its two arguments.
    pub(crate) unsafe fn create(
        object: *mut DRIVER_OBJECT,
        registry_path: *const UNICODE_STRING,
        unload: UnloadRoutine,
    ) -> Result<Self, NTSTATUS> {
        let mut config = WDF_DRIVER_CONFIG {
            Size: size::<WDF_DRIVER_CONFIG>(),
            // Without it the framework makes the driver one that cannot be unloaded.
            EvtDriverUnload: Some(unload),
            DriverInitFlags: NON_PNP_DRIVER,
            ..WDF_DRIVER_CONFIG::default()
        };
        let mut handle: WDFDRIVER = core::ptr::null_mut();
        // SAFETY: the caller's arguments are those of `DriverEntry`; the others live during the call.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfDriverCreate,
                object,
                registry_path,
                WDF_NO_OBJECT_ATTRIBUTES,
                &raw mut config,
                &raw mut handle,
            )
        };
        check(status)?;
        Ok(Self(handle))
    }
}
