//! Room for an address that a provider writes.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use abi::wsk::{AF_INET, AF_INET6};
use cases::pattern::UNTOUCHED;

/// Octets of room: more than any address takes.
pub const ROOM: usize = 64;

/// Room for an address, and for finding out that more than one is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct AddressRoom(pub [u8; ROOM]);

/// Something was written behind an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenBehind;

impl AddressRoom {
    /// Room in which nothing is written.
    pub const UNTOUCHED: Self = Self([UNTOUCHED; ROOM]);

    /// The address that was written, if one was.
    ///
    /// # Errors
    /// [`WrittenBehind`].
    pub fn address(&self) -> Result<Option<SocketAddr>, WrittenBehind> {
        let (family, port) = (self.u16(0), u16::from_be(self.u16(2)));
        let (address, length): (Option<SocketAddr>, usize) = match family {
            AF_INET => (Some(SocketAddrV4::new(Ipv4Addr::from(self.octets::<4>(4)), port).into()), 16),
            AF_INET6 => {
                let (flow, scope) = (u32::from_ne_bytes(self.octets(4)), u32::from_ne_bytes(self.octets(24)));
                let ip = Ipv6Addr::from(self.octets::<16>(8));
                (Some(SocketAddrV6::new(ip, port, flow, scope).into()), 28)
            }
            _ => (None, 0),
        };
        let behind = self.0.get(length..).unwrap_or_default();
        if behind.iter().all(|&octet| octet == UNTOUCHED) { Ok(address) } else { Err(WrittenBehind) }
    }

    fn octets<const N: usize>(&self, from: usize) -> [u8; N] {
        let octets = self.0.get(from..).and_then(|rest| rest.first_chunk::<N>());
        octets.copied().unwrap_or([UNTOUCHED; N])
    }

    fn u16(&self, from: usize) -> u16 {
        u16::from_ne_bytes(self.octets(from))
    }
}
