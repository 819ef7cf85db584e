//! Names and addresses of hosts.

use abi::NTSTATUS;
use abi::nt::{GUID, IRP, PASSIVE_LEVEL, PEPROCESS, PETHREAD, UNICODE_STRING};
use abi::status::STATUS_INVALID_PARAMETER;
use abi::wsk::*;

use crate::processor;
use crate::wsk::control::Function;
use crate::wsk::memory::read_address;
use crate::wsk::names::{Hints, Lookup, check_owner, read_string};
use crate::wsk::request::{Request, Target, enter};
use crate::wsk::world::{self, World};

/// WskGetAddressInfo.
pub(super) unsafe extern "system" fn wsk_get_address_info(
    client: PWSK_CLIENT,
    node: *mut UNICODE_STRING,
    service: *mut UNICODE_STRING,
    _name_space: u32,
    _provider: *mut GUID,
    hints: *mut ADDRINFOEXW,
    result: *mut *mut ADDRINFOEXW,
    process: PEPROCESS,
    thread: PETHREAD,
    irp: *mut IRP,
) -> NTSTATUS {
    processor::require_at_most(PASSIVE_LEVEL, "WskGetAddressInfo");
    let work = |world: &mut World, request: Request| {
        // SAFETY: the client's strings.
        let node = unsafe { read_string(node) };
        // SAFETY: as above.
        let service = unsafe { read_string(service) };
        // SAFETY: the client's hints.
        let hints = unsafe { hints.as_ref() }.map_or(Hints::default(), |hints| Hints {
            flags: hints.ai_flags,
            family: hints.ai_family,
            socket_type: hints.ai_socktype,
            protocol: hints.ai_protocol,
        });
        let nothing = (node.is_none() && service.is_none()) || result.is_null();
        match check_owner(process.addr(), thread.addr()) {
            Ok(()) if nothing => world.answer(0, request, STATUS_INVALID_PARAMETER, 0),
            Ok(()) => world.ask(request, Lookup::Addresses { node, service, hints, result }),
            Err(status) => world.answer(0, request, status, 0),
        }
    };
    let target = Target::Client(client.addr());
    // SAFETY: the client's IRP for this call.
    unsafe { enter(Function::WskGetAddressInfo, &target, irp, work) }
}

/// WskFreeAddressInfo.
pub(super) unsafe extern "system" fn wsk_free_address_info(_client: PWSK_CLIENT, list: *mut ADDRINFOEXW) {
    processor::require_at_most(PASSIVE_LEVEL, "WskFreeAddressInfo");
    let mut world = world::lock();
    world.count(Function::WskFreeAddressInfo);
    world.free_list(list);
}

/// WskGetNameInfo.
pub(super) unsafe extern "system" fn wsk_get_name_info(
    client: PWSK_CLIENT,
    address: *mut SOCKADDR,
    length: u32,
    node: *mut UNICODE_STRING,
    service: *mut UNICODE_STRING,
    flags: u32,
    process: PEPROCESS,
    thread: PETHREAD,
    irp: *mut IRP,
) -> NTSTATUS {
    processor::require_at_most(PASSIVE_LEVEL, "WskGetNameInfo");
    let work = |world: &mut World, request: Request| {
        // SAFETY: the client's address.
        let family = unsafe { address.as_ref() }.map_or(AF_UNSPEC, |address| address.sa_family);
        let bytes = if family == AF_INET { 16 } else { 28 };
        let fits = matches!(family, AF_INET | AF_INET6) && (bytes..=128).contains(&length);
        let checked = check_owner(process.addr(), thread.addr()).and_then(|()| {
            if !fits || (node.is_null() && service.is_null()) {
                return Err(STATUS_INVALID_PARAMETER);
            }
            // SAFETY: the client's address.
            unsafe { read_address(address, family) }
        });
        match checked {
            Ok(address) => world.ask(request, Lookup::Names { address, flags, node, service }),
            Err(status) => world.answer(0, request, status, 0),
        }
    };
    let target = Target::Client(client.addr());
    // SAFETY: the client's IRP for this call.
    unsafe { enter(Function::WskGetNameInfo, &target, irp, work) }
}
