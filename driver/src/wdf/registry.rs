//! The service's `Parameters` key (`wdfregistry.h`).

use abi::NTSTATUS;
use wdk_sys::{KEY_READ, WDF_NO_OBJECT_ATTRIBUTES, WDFKEY, call_unsafe_wdf_function_binding};

use super::string::counted;
use super::{Driver, check};
use crate::settings::Values;

/// The open key; closed when dropped. PASSIVE_LEVEL.
#[derive(Debug)]
pub(crate) struct ParametersKey(WDFKEY);

impl ParametersKey {
    /// `WdfDriverOpenParametersRegistryKey`, for reading: a driver may not write there.
    ///
    /// # Errors
    ///
    /// OBJECT_NAME_NOT_FOUND if the service has no such key.
    pub(crate) fn open(driver: Driver) -> Result<Self, NTSTATUS> {
        let mut key: WDFKEY = core::ptr::null_mut();
        // SAFETY: the handle is the driver's own and lives until unload; `key` lives during the call.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfDriverOpenParametersRegistryKey,
                driver.0,
                KEY_READ,
                WDF_NO_OBJECT_ATTRIBUTES,
                &raw mut key,
            )
        };
        check(status)?;
        Ok(Self(key))
    }
}

impl Values for ParametersKey {
    fn dword(&self, name: &'static [u16]) -> Result<u32, NTSTATUS> {
        let name = counted(name);
        let mut value = 0;
        // SAFETY: the key is open; name and value live during the call.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(WdfRegistryQueryULong, self.0, &raw const name, &raw mut value)
        };
        check(status)?;
        Ok(value)
    }
}

impl Drop for ParametersKey {
    fn drop(&mut self) {
        // SAFETY: the key is open and nobody uses it any more.
        unsafe { call_unsafe_wdf_function_binding!(WdfRegistryClose, self.0) };
    }
}
