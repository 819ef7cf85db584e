//! Lists of addresses and transports, and who waits for them to change.

use std::net::{IpAddr, SocketAddr};

use abi::NTSTATUS;
use abi::nt::GUID;
use abi::status::STATUS_SUCCESS;
use abi::wsk::*;

use super::memory::{address_bytes, family_of, write_address, write_bytes};
use super::op::Operation;
use super::request::{Request, Waiting};
use super::world::World;

/// `ProviderId` of the simulated transports.
const PROVIDER_ID: GUID =
    GUID { Data1: 0x6B73_696D, Data2: 0x7773, Data3: 0x4B74, Data4: [0x80, 0, 0, 0, 0, 0, 0, 1] };

/// The transports there are at first: TCP, UDP and raw for both families.
pub(super) fn first_transports() -> Vec<WSK_TRANSPORT> {
    let kinds = [(SOCK_STREAM, IPPROTO_TCP), (SOCK_DGRAM, IPPROTO_UDP), (SOCK_RAW, 0)];
    let transport = |family, (socket_type, protocol)| WSK_TRANSPORT {
        Version: 1,
        SocketType: socket_type,
        Protocol: protocol,
        AddressFamily: family,
        ProviderId: PROVIDER_ID,
    };
    [AF_INET, AF_INET6].into_iter().flat_map(|family| kinds.map(|kind| transport(family, kind))).collect()
}

impl World {
    /// Has a request wait until the addresses of a family change (or, with `None`, the transports).
    pub(super) fn watch(&mut self, socket: usize, request: Request, family: Option<u16>) {
        let watch = match family {
            Some(family) => Operation::AddressWatch { family },
            None => Operation::TransportWatch,
        };
        self.park(socket, request, watch);
    }

    /// Ends what waits for changes, where `wanted` says so.
    pub(super) fn end_watches(&mut self, wanted: impl Fn(&Request) -> bool, status: NTSTATUS) {
        self.end_operations(status, |waiting| {
            wanted(&waiting.request) && matches!(waiting.what, Operation::TransportWatch)
        });
    }

    /// Ends operations that are in no queue.
    pub(super) fn end_operations(&mut self, status: NTSTATUS, wanted: impl Fn(&Waiting) -> bool) {
        let numbers: Vec<usize> =
            self.waiting.iter().filter(|(_, waiting)| wanted(waiting)).map(|(&number, _)| number).collect();
        for number in numbers {
            self.conclude(number, status, 0);
        }
    }

    /// The addresses of a family have changed.
    pub(super) fn addresses_changed(&mut self, family: u16) {
        self.end_operations(
            STATUS_SUCCESS,
            |waiting| matches!(waiting.what, Operation::AddressWatch { family: watched } if watched == family),
        );
    }

    /// Bytes of a list of the addresses of a family, and the addresses.
    pub(super) fn address_list(&self, family: u16) -> (usize, Vec<IpAddr>) {
        let addresses = self.local_addresses(family == AF_INET);
        let each = size_of::<SOCKET_ADDRESS>() + address_bytes(family).next_multiple_of(8);
        (8 + each * addresses.len(), addresses)
    }
}

/// Writes a `SOCKET_ADDRESS_LIST` whose pointers point into the same buffer.
///
/// # Safety
/// `to` is writable for as many bytes as [`World::address_list`] says.
pub(super) unsafe fn write_address_list(to: *mut u8, addresses: &[IpAddr]) {
    let count = i32::try_from(addresses.len()).unwrap_or(i32::MAX);
    // SAFETY: as promised by the caller.
    unsafe { write_bytes(to, &i64::from(count).to_le_bytes()) };
    let mut entry = to.wrapping_add(8);
    let mut room = entry.wrapping_add(size_of::<SOCKET_ADDRESS>() * addresses.len());
    for &ip in addresses {
        let family = family_of(ip);
        let bytes = address_bytes(family);
        let address =
            SOCKET_ADDRESS { lpSockaddr: room.cast(), iSockaddrLength: i32::try_from(bytes).unwrap_or(0) };
        // SAFETY: as promised by the caller.
        unsafe { entry.cast::<SOCKET_ADDRESS>().write_unaligned(address) };
        // SAFETY: as promised by the caller.
        unsafe { write_address(room.cast(), SocketAddr::new(ip, 0), family) };
        entry = entry.wrapping_add(size_of::<SOCKET_ADDRESS>());
        room = room.wrapping_add(bytes.next_multiple_of(8));
    }
}

/// The bytes of the transports.
pub(super) fn transport_bytes(transports: &[WSK_TRANSPORT]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size_of_val(transports));
    for transport in transports {
        bytes.extend(transport.Version.to_le_bytes());
        bytes.extend(transport.SocketType.to_le_bytes());
        bytes.extend(transport.Protocol.to_le_bytes());
        bytes.extend(u32::from(transport.AddressFamily).to_le_bytes());
        bytes.extend(transport.ProviderId.Data1.to_le_bytes());
        bytes.extend(transport.ProviderId.Data2.to_le_bytes());
        bytes.extend(transport.ProviderId.Data3.to_le_bytes());
        bytes.extend(transport.ProviderId.Data4);
    }
    bytes
}
