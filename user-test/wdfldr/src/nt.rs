//! The kernel's routines.

use core::ffi::{c_char, c_void};

use abi::NTSTATUS;
use abi::nt::{
    ACCESS_MASK, BOOLEAN, DEVICE_OBJECT, DRIVER_OBJECT, HANDLE, IRP, OBJECT_ATTRIBUTES, UNICODE_STRING,
};

/// STATUS_INFO_LENGTH_MISMATCH: a structure of another version.
pub(crate) const STATUS_INFO_LENGTH_MISMATCH: NTSTATUS = 0xC000_0004_u32.cast_signed();
/// STATUS_NO_SUCH_DEVICE.
pub(crate) const STATUS_NO_SUCH_DEVICE: NTSTATUS = 0xC000_000E_u32.cast_signed();
/// STATUS_DRIVER_INTERNAL_ERROR.
pub(crate) const STATUS_DRIVER_INTERNAL_ERROR: NTSTATUS = 0xC000_0183_u32.cast_signed();

/// REG_DWORD.
pub(crate) const REG_DWORD: u32 = 4;
/// What a key may be opened for without a warning: KEY_READ.
pub(crate) const KEY_READ: ACCESS_MASK = 0x2_0019;
/// `KeyValuePartialInformation` of `KEY_VALUE_INFORMATION_CLASS`.
pub(crate) const KEY_VALUE_PARTIAL_INFORMATION_CLASS: i32 = 2;
/// NonPagedPoolNx of `POOL_TYPE`.
pub(crate) const NON_PAGED_POOL_NX: i32 = 512;

/// Bytes before the data of `KEY_VALUE_PARTIAL_INFORMATION`.
pub(crate) const KEY_VALUE_HEADER: usize = 12;

/// `KEY_VALUE_PARTIAL_INFORMATION` with room for a number.
#[repr(C)]
#[derive(Default)]
pub(crate) struct KeyValue {
    /// Not used.
    pub(crate) title_index: u32,
    /// REG_xxx.
    pub(crate) kind: u32,
    /// Bytes of data.
    pub(crate) length: u32,
    /// The data, if it has four bytes.
    pub(crate) number: u32,
}

#[link(name = "ntoskrnl", kind = "dylib")]
unsafe extern "system" {
    pub(crate) fn ExAllocatePoolWithTag(pool: i32, bytes: usize, tag: u32) -> *mut c_void;
    pub(crate) fn ExFreePoolWithTag(block: *mut c_void, tag: u32);
    pub(crate) fn IoCreateDevice(
        driver: *mut DRIVER_OBJECT,
        extension_bytes: u32,
        name: *mut UNICODE_STRING,
        kind: u32,
        characteristics: u32,
        exclusive: BOOLEAN,
        device: *mut *mut DEVICE_OBJECT,
    ) -> NTSTATUS;
    pub(crate) fn IoDeleteDevice(device: *mut DEVICE_OBJECT);
    pub(crate) fn IoCreateSymbolicLink(link: *mut UNICODE_STRING, name: *mut UNICODE_STRING) -> NTSTATUS;
    pub(crate) fn IoDeleteSymbolicLink(link: *mut UNICODE_STRING) -> NTSTATUS;
    pub(crate) fn IofCompleteRequest(irp: *mut IRP, boost: i8);
    pub(crate) fn ZwOpenKey(
        key: *mut HANDLE,
        access: ACCESS_MASK,
        attributes: *mut OBJECT_ATTRIBUTES,
    ) -> NTSTATUS;
    pub(crate) fn ZwQueryValueKey(
        key: HANDLE,
        name: *mut UNICODE_STRING,
        class: i32,
        information: *mut c_void,
        bytes: u32,
        needed: *mut u32,
    ) -> NTSTATUS;
    pub(crate) fn ZwClose(handle: HANDLE) -> NTSTATUS;
}

#[link(name = "ntoskrnl", kind = "dylib")]
unsafe extern "C" {
    pub(crate) fn DbgPrint(format: *const c_char, ...) -> u32;
}

/// `text` as a counted string, which lives no longer than `text` does.
pub(crate) fn counted(text: &mut [u16]) -> UNICODE_STRING {
    let length = u16::try_from(size_of_val(text)).unwrap_or(0);
    UNICODE_STRING { Length: length, MaximumLength: length, Buffer: text.as_mut_ptr() }
}
