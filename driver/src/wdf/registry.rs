//! The service's `Parameters` key (`wdfregistry.h`).

use abi::NTSTATUS;
use abi::status::STATUS_OBJECT_TYPE_MISMATCH;
use kernel::pool::{PoolSlice, PoolTag};
use wdk_sys::{KEY_READ, WDF_NO_OBJECT_ATTRIBUTES, WDFKEY, call_unsafe_wdf_function_binding};

use super::string::counted;
use super::{Driver, check};
use crate::settings::{LONGEST_LIST, Values};

/// Pool tag of what is read from the registry.
const TAG: PoolTag = PoolTag::new(b"WrRg");
/// REG_MULTI_SZ (`winnt.h`).
const REG_MULTI_SZ: u32 = 7;

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

    fn strings(&self, name: &'static [u16], take: &mut dyn FnMut(&[u16])) -> Result<(), NTSTATUS> {
        let name = counted(name);
        let mut units = PoolSlice::try_new_with(TAG, LONGEST_LIST, |_| 0).map_err(|e| e.status())?;
        let room = u32::try_from(size_of_val(&*units)).unwrap_or(0);
        let (mut length, mut kind) = (0, 0);
        // SAFETY: the key is open; name, buffer and both words live during the call, which writes at most `room` bytes.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfRegistryQueryValue,
                self.0,
                &raw const name,
                room,
                units.as_mut_ptr().cast(),
                &raw mut length,
                &raw mut kind,
            )
        };
        check(status)?;
        if kind != REG_MULTI_SZ {
            return Err(STATUS_OBJECT_TYPE_MISMATCH);
        }
        take(units.get(..length as usize / size_of::<u16>()).unwrap_or_default());
        Ok(())
    }
}

impl Drop for ParametersKey {
    fn drop(&mut self) {
        // SAFETY: the key is open and nobody uses it any more.
        unsafe { call_unsafe_wdf_function_binding!(WdfRegistryClose, self.0) };
    }
}
