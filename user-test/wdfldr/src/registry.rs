//! The service's `Parameters` key.

use alloc::vec;
use core::cell::Cell;
use core::ptr;

use abi::NTSTATUS;
use abi::nt::{
    ACCESS_MASK, HANDLE, OBJ_CASE_INSENSITIVE, OBJ_KERNEL_HANDLE, OBJECT_ATTRIBUTES, UNICODE_STRING,
};
use abi::status::{STATUS_OBJECT_TYPE_MISMATCH, STATUS_SUCCESS, nt_success};

use crate::bind::{Client, characters};
use crate::driver::Driver;
use crate::nt::{
    self, KEY_READ, KEY_VALUE_HEADER, KEY_VALUE_PARTIAL_INFORMATION_CLASS, KeyValue, REG_DWORD, counted,
};
use crate::object::{self, Behind, Kind, check_attributes};
use crate::report::broken;
use crate::wdf::{Globals, Handle, ObjectAttributes};

/// What WDFKEY points to.
pub(crate) struct Key(Cell<HANDLE>);

impl Behind for Key {
    const KIND: Kind = Kind::Key;
}

/// WdfDriverOpenParametersRegistryKey.
pub(crate) unsafe extern "system" fn driver_open_parameters_registry_key(
    globals: *mut Globals,
    driver: Handle,
    access: ACCESS_MASK,
    attributes: *const ObjectAttributes,
    out: *mut Handle,
) -> NTSTATUS {
    const NAME: &str = "WdfDriverOpenParametersRegistryKey";
    Client::calling(globals, NAME);
    check_attributes(attributes, NAME);
    if access & !KEY_READ != 0 {
        broken!("{NAME}: access {access:#x}: a driver may only read its parameters");
    }
    let mut path = object::borrow::<Driver>(driver, NAME).client().registry_path.clone();
    path.extend("\\Parameters".encode_utf16());
    let mut name = counted(&mut path);
    let mut attributes = OBJECT_ATTRIBUTES {
        Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
        RootDirectory: ptr::null_mut(),
        ObjectName: &raw mut name,
        Attributes: OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE,
        SecurityDescriptor: ptr::null_mut(),
        SecurityQualityOfService: ptr::null_mut(),
    };
    let mut handle = ptr::null_mut();
    // SAFETY: all three live during the call.
    let status = unsafe { nt::ZwOpenKey(&raw mut handle, access, &raw mut attributes) };
    if nt_success(status) {
        // SAFETY: the driver's variable.
        unsafe { *out = object::create(Key(Cell::new(handle))) };
    }
    status
}

/// WdfRegistryQueryULong.
pub(crate) unsafe extern "system" fn registry_query_ulong(
    globals: *mut Globals,
    key: Handle,
    name: *const UNICODE_STRING,
    value: *mut u32,
) -> NTSTATUS {
    const NAME: &str = "WdfRegistryQueryULong";
    Client::calling(globals, NAME);
    let key = object::borrow::<Key>(key, NAME).0.get();
    // SAFETY: the driver's string, which lives during the call.
    let mut name = unsafe { characters(name) }.to_vec();
    let mut found = KeyValue::default();
    let mut needed = 0;
    // SAFETY: the key is open, and the others live during the call.
    let status = unsafe {
        nt::ZwQueryValueKey(
            key,
            &mut counted(&mut name),
            KEY_VALUE_PARTIAL_INFORMATION_CLASS,
            (&raw mut found).cast(),
            size_of::<KeyValue>() as u32,
            &raw mut needed,
        )
    };
    // A value that does not fit has told its type all the same.
    if found.kind != 0 && (found.kind != REG_DWORD || found.length != size_of::<u32>() as u32) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    if !nt_success(status) {
        return status;
    }
    // SAFETY: the driver's variable.
    unsafe { *value = found.number };
    STATUS_SUCCESS
}

/// WdfRegistryQueryValue, with a buffer for the value.
pub(crate) unsafe extern "system" fn registry_query_value(
    globals: *mut Globals,
    key: Handle,
    name: *const UNICODE_STRING,
    bytes: u32,
    value: *mut u8,
    bytes_queried: *mut u32,
    kind: *mut u32,
) -> NTSTATUS {
    const NAME: &str = "WdfRegistryQueryValue";
    Client::calling(globals, NAME);
    let key = object::borrow::<Key>(key, NAME).0.get();
    if value.is_null() || bytes == 0 {
        broken!("{NAME}: without a buffer: not done here");
    }
    // SAFETY: the driver's string, which lives during the call.
    let mut name = unsafe { characters(name) }.to_vec();
    let mut found = vec![0_u8; KEY_VALUE_HEADER + bytes as usize];
    let mut needed = 0;
    // SAFETY: the key is open, and the others live during the call.
    let status = unsafe {
        nt::ZwQueryValueKey(
            key,
            &mut counted(&mut name),
            KEY_VALUE_PARTIAL_INFORMATION_CLASS,
            found.as_mut_ptr().cast(),
            found.len() as u32,
            &raw mut needed,
        )
    };
    if !nt_success(status) {
        return status;
    }
    let word = |at: usize| {
        found.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    };
    let length = word(8).min(bytes);
    if !bytes_queried.is_null() {
        // SAFETY: the driver's variable.
        unsafe { *bytes_queried = length };
    }
    if !kind.is_null() {
        // SAFETY: the driver's variable.
        unsafe { *kind = word(4) };
    }
    for (place, byte) in found.iter().skip(KEY_VALUE_HEADER).take(length as usize).enumerate() {
        // SAFETY: inside the driver's buffer.
        let place = unsafe { value.add(place) };
        // SAFETY: as above.
        unsafe { *place = *byte };
    }
    STATUS_SUCCESS
}

/// WdfRegistryClose.
pub(crate) unsafe extern "system" fn registry_close(globals: *mut Globals, key: Handle) {
    const NAME: &str = "WdfRegistryClose";
    Client::calling(globals, NAME);
    let key = object::delete::<Key>(key, NAME);
    // SAFETY: the key was open, and its handle is gone.
    unsafe { nt::ZwClose(key.0.get()) };
}
