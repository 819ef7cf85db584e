//! Names and addresses: literals, and a table that tests fill.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ptr;

use abi::NTSTATUS;
use abi::nt::{DelayedWorkQueue, UNICODE_STRING};
use abi::status::{
    STATUS_BUFFER_TOO_SMALL, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER, STATUS_NO_MATCH,
    STATUS_NOT_FOUND, STATUS_SUCCESS,
};
use abi::wsk::*;

use super::memory::{address_bytes, family_of, write_address};
use super::op::Operation;
use super::request::Request;
use super::world::{self, World};
use crate::stop::DRIVER_VERIFIER_DETECTED_VIOLATION;
use crate::{object, pool, stop, work};

const TAG: u32 = u32::from_le_bytes(*b"AfdN");

/// Addresses by name.
pub(super) type Names = BTreeMap<String, Vec<IpAddr>>;

/// A question that a work item answers.
pub(super) enum Lookup {
    /// `WskGetAddressInfo`.
    Addresses { node: Option<String>, service: Option<String>, hints: Hints, result: *mut *mut ADDRINFOEXW },
    /// `WskGetNameInfo`.
    Names { address: SocketAddr, flags: u32, node: *mut UNICODE_STRING, service: *mut UNICODE_STRING },
}

/// What a client asks of the addresses.
#[derive(Clone, Copy, Default)]
pub(super) struct Hints {
    pub(super) flags: i32,
    pub(super) family: i32,
    pub(super) socket_type: i32,
    pub(super) protocol: i32,
}

/// One address that was found, in one block with its list entry.
#[repr(C, align(8))]
struct Entry {
    info: ADDRINFOEXW,
    address: [u8; 32],
    name: [u16; NAME],
}

/// Characters of a canonical name at most, with the zero at its end.
const NAME: usize = 256;

/// A copy of a client's string; `None` if there is none.
///
/// # Safety
/// `string` is NULL or readable with its buffer.
pub(super) unsafe fn read_string(string: *const UNICODE_STRING) -> Option<String> {
    // SAFETY: as promised by the caller.
    let string = unsafe { string.as_ref() }?;
    if string.Buffer.is_null() || string.Length == 0 {
        return None;
    }
    // SAFETY: as promised by the caller; the length is in bytes.
    let units = unsafe { std::slice::from_raw_parts(string.Buffer, usize::from(string.Length / 2)) };
    Some(String::from_utf16_lossy(units))
}

/// Writes text, with a zero at its end that does not count.
///
/// # Safety
/// `to` is NULL or a client's string with room.
unsafe fn write_string(to: *mut UNICODE_STRING, text: &str) -> Result<(), NTSTATUS> {
    // SAFETY: as promised by the caller.
    let Some(to) = (unsafe { to.as_mut() }) else { return Ok(()) };
    let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
    let bytes = u16::try_from(units.len() * 2).map_err(|_| STATUS_BUFFER_TOO_SMALL)?;
    if bytes > to.MaximumLength {
        return Err(STATUS_BUFFER_TOO_SMALL);
    }
    to.Length = bytes - 2;
    // SAFETY: there is room.
    unsafe { to.Buffer.copy_from_nonoverlapping(units.as_ptr(), units.len()) };
    Ok(())
}

/// # Safety
/// `context` is the number of a lookup.
unsafe extern "system" fn work_routine(_: *mut abi::nt::DEVICE_OBJECT, context: *mut std::ffi::c_void) {
    let mut world = world::lock();
    if let Some(item) = world.lookups.remove(&context.addr()) {
        let item = ptr::with_exposed_provenance_mut(item);
        // SAFETY: its call has begun, so it is queued no more.
        unsafe { work::IoFreeWorkItem(item) };
    }
    world.look_up(context.addr());
    world::finish_now(world, 0);
}

impl World {
    /// Has a work item answer a question.
    pub(super) fn ask(&mut self, request: Request, lookup: Lookup) {
        let item = work::IoAllocateWorkItem(object::device());
        if item.is_null() {
            return self.answer(0, request, STATUS_INSUFFICIENT_RESOURCES, 0);
        }
        let Some(number) = self.park(0, request, Operation::Lookup(lookup)) else {
            // SAFETY: not queued.
            unsafe { work::IoFreeWorkItem(item) };
            return;
        };
        self.lookups.insert(number, item.expose_provenance());
        let context = ptr::without_provenance_mut(number);
        // SAFETY: kept until its call.
        unsafe { work::IoQueueWorkItem(item, work_routine, DelayedWorkQueue, context) };
    }

    /// Answers a question, unless it was cancelled.
    fn look_up(&mut self, number: usize) {
        let Some(Operation::Lookup(lookup)) = self.waiting.get(&number).map(|waiting| &waiting.what) else {
            return;
        };
        let outcome = match lookup {
            Lookup::Addresses { node, service, hints, result } => {
                let (hints, result) = (*hints, *result);
                self.resolve(node.as_deref(), service.as_deref(), hints).and_then(|(found, name)| {
                    let list = self.make_list(&found, name.as_deref(), hints)?;
                    // SAFETY: the client's, valid until the request is completed.
                    unsafe { result.write(list) };
                    Ok(())
                })
            }
            Lookup::Names { address, flags, node, service } => self.name(*address, *flags).and_then(|name| {
                // SAFETY: the client's, valid until the request is completed.
                unsafe { write_string(*node, &name) }?;
                // SAFETY: as above.
                unsafe { write_string(*service, &address.port().to_string()) }
            }),
        };
        self.conclude(number, outcome.err().unwrap_or(STATUS_SUCCESS), 0);
    }

    /// The addresses of a name, and its canonical form.
    fn resolve(
        &self,
        node: Option<&str>,
        service: Option<&str>,
        hints: Hints,
    ) -> Result<(Vec<SocketAddr>, Option<String>), NTSTATUS> {
        let port = match service {
            None => 0,
            Some(text) => text.parse().map_err(|_| STATUS_NOT_FOUND)?,
        };
        let passive = hints.flags & AI_PASSIVE != 0;
        let ips = match node {
            None if passive => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            None => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            Some(text) => {
                // The zone index is a number without meaning here.
                let literal = text.split_once('%').map_or(text, |(address, _)| address);
                match literal.parse::<IpAddr>() {
                    Ok(ip) => vec![ip],
                    Err(_) if hints.flags & AI_NUMERICHOST != 0 => return Err(STATUS_NOT_FOUND),
                    Err(_) => self.names.get(&text.to_ascii_lowercase()).cloned().ok_or(STATUS_NOT_FOUND)?,
                }
            }
        };
        let wanted = |ip: &IpAddr| hints.family == 0 || hints.family == i32::from(family_of(*ip));
        let found: Vec<_> = ips.into_iter().filter(wanted).map(|ip| SocketAddr::new(ip, port)).collect();
        if found.is_empty() {
            return Err(STATUS_NOT_FOUND);
        }
        let canonical = (hints.flags & AI_CANONNAME != 0).then(|| node.unwrap_or("localhost").to_owned());
        Ok((found, canonical))
    }

    /// Makes the list, one entry for each socket type that was not ruled out.
    fn make_list(
        &mut self,
        found: &[SocketAddr],
        canonical: Option<&str>,
        hints: Hints,
    ) -> Result<*mut ADDRINFOEXW, NTSTATUS> {
        let kinds = [(1, 6), (2, 17)].into_iter().filter(|&(kind, protocol)| {
            (hints.socket_type == 0 || hints.socket_type == kind)
                && (hints.protocol == 0 || hints.protocol == protocol)
        });
        let kinds: Vec<(i32, i32)> = kinds.collect();
        let mut next: *mut ADDRINFOEXW = ptr::null_mut();
        for (at, &address) in found.iter().enumerate().rev() {
            for &(socket_type, protocol) in kinds.iter().rev() {
                let entry = pool::allocate(size_of::<Entry>(), TAG, 0).cast::<Entry>();
                // SAFETY: a fresh allocation of zeroes, which are a value of it, if there is one.
                let Some(fields) = (unsafe { entry.as_mut() }) else {
                    self.free_list(next);
                    return Err(STATUS_INSUFFICIENT_RESOURCES);
                };
                let family = family_of(address.ip());
                let info = &mut fields.info;
                info.ai_flags = hints.flags;
                info.ai_family = family.into();
                info.ai_socktype = socket_type;
                info.ai_protocol = protocol;
                info.ai_addrlen = address_bytes(family);
                info.ai_addr = fields.address.as_mut_ptr().cast();
                info.ai_next = next;
                // SAFETY: room for every family's.
                unsafe { write_address(info.ai_addr, address, family) };
                if let (0, Some(name)) = (at, canonical) {
                    for (to, unit) in fields.name.iter_mut().take(NAME - 1).zip(name.encode_utf16()) {
                        *to = unit;
                    }
                    fields.info.ai_canonname = fields.name.as_mut_ptr();
                }
                next = entry.cast();
                self.address_infos.insert(next.expose_provenance());
            }
        }
        if next.is_null() { Err(STATUS_NOT_FOUND) } else { Ok(next) }
    }

    /// `WskFreeAddressInfo`.
    pub(super) fn free_list(&mut self, list: *mut ADDRINFOEXW) {
        let mut entry = list;
        while !entry.is_null() {
            if !self.address_infos.remove(&entry.expose_provenance()) {
                stop!(
                    DRIVER_VERIFIER_DETECTED_VIOLATION,
                    "WskFreeAddressInfo of {:#x}, which WskGetAddressInfo did not give, or freed",
                    entry.addr()
                );
            }
            // SAFETY: an entry that was given out and is not freed.
            let next = unsafe { (*entry).ai_next };
            pool::free(entry.cast(), TAG);
            entry = next;
        }
    }

    /// The name of an address.
    fn name(&self, address: SocketAddr, flags: u32) -> Result<String, NTSTATUS> {
        let ip = address.ip();
        let known = self.names.iter().find(|(_, ips)| ips.contains(&ip)).map(|(name, _)| name.clone());
        match known {
            Some(name) if flags & NI_NUMERICHOST == 0 => {
                let short = flags & NI_NOFQDN != 0;
                let host = name.split('.').next().unwrap_or(&name);
                Ok(if short { host.to_owned() } else { name })
            }
            _ if flags & NI_NAMEREQD != 0 => Err(STATUS_NO_MATCH),
            _ => Ok(ip.to_string()),
        }
    }
}

/// What both functions ask of whose name the client asks in.
///
/// # Errors
/// A thread without its process.
pub(super) fn check_owner(process: usize, thread: usize) -> Result<(), NTSTATUS> {
    if thread != 0 && process == 0 { Err(STATUS_INVALID_PARAMETER) } else { Ok(()) }
}
