//! Name functions: the system's provider resolves names, with the client's own IRP.
//!
//! What the parameters have to be is the system's to check. Where there is no system's provider: NOT_SUPPORTED.

use super::provider::{client, user};
use super::refuse;
use crate::client::ClientUse;
use abi::NTSTATUS;
use abi::nt::{GUID, IRP, PEPROCESS, PETHREAD, UNICODE_STRING};
use abi::wsk::{ADDRINFOEXW, PWSK_CLIENT, SOCKADDR};

/// WskGetAddressInfo. IRQL: PASSIVE_LEVEL.
pub(super) unsafe extern "system" fn wsk_get_address_info(
    target: PWSK_CLIENT,
    node: *mut UNICODE_STRING,
    service: *mut UNICODE_STRING,
    name_space: u32,
    provider: *mut GUID,
    hints: *mut ADDRINFOEXW,
    result: *mut *mut ADDRINFOEXW,
    process: PEPROCESS,
    thread: PETHREAD,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's pointer.
    let user = unsafe { user(target) };
    if let Some((system, functions)) = user.as_ref().and_then(ClientUse::system)
        && !irp.is_null()
    {
        // SAFETY: the client's own parameters and its untouched IRP, for the function that they are meant for.
        return unsafe {
            (functions.WskGetAddressInfo)(
                system, node, service, name_space, provider, hints, result, process, thread, irp,
            )
        };
    }
    // SAFETY: the client's IRP, entered once.
    unsafe { refuse(target, irp) }
}

/// WskFreeAddressInfo: the list is the system's. IRQL: PASSIVE_LEVEL.
pub(super) unsafe extern "system" fn wsk_free_address_info(target: PWSK_CLIENT, info: *mut ADDRINFOEXW) {
    // SAFETY: the client's pointer.
    if let Some((system, functions)) = unsafe { client(target) }.and_then(|client| client.system()) {
        // SAFETY: a list that the same provider has given out, freed once.
        unsafe { (functions.WskFreeAddressInfo)(system, info) };
    }
}

/// WskGetNameInfo. IRQL: PASSIVE_LEVEL.
pub(super) unsafe extern "system" fn wsk_get_name_info(
    target: PWSK_CLIENT,
    address: *mut SOCKADDR,
    address_length: u32,
    node: *mut UNICODE_STRING,
    service: *mut UNICODE_STRING,
    flags: u32,
    process: PEPROCESS,
    thread: PETHREAD,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's pointer.
    let user = unsafe { user(target) };
    if let Some((system, functions)) = user.as_ref().and_then(ClientUse::system)
        && !irp.is_null()
    {
        // SAFETY: the client's own parameters and its untouched IRP, for the function that they are meant for.
        return unsafe {
            (functions.WskGetNameInfo)(
                system,
                address,
                address_length,
                node,
                service,
                flags,
                process,
                thread,
                irp,
            )
        };
    }
    // SAFETY: the client's IRP, entered once.
    unsafe { refuse(target, irp) }
}
