//! Socket addresses at the edge: `SOCKADDR` outside, [`SocketAddr`] inside.

use abi::wsk::{AF_INET, AF_INET6, SOCKADDR, SOCKADDR_IN, SOCKADDR_IN6, SOCKADDR_INET};
use core::mem::size_of;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// An address in the form that providers take: 28 octets are enough for both families.
#[derive(Clone, Copy)]
pub struct SockAddr {
    raw: SOCKADDR_INET,
    length: u32,
}

impl SockAddr {
    /// The address for a `pAddress` parameter; valid as long as `self`.
    #[must_use]
    pub fn as_ptr(&self) -> *const SOCKADDR {
        (&raw const self.raw).cast()
    }

    /// Its length in octets: 16 or 28.
    #[must_use]
    pub fn length(&self) -> u32 {
        self.length
    }
}

impl From<SocketAddr> for SockAddr {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(a) => Self {
                raw: SOCKADDR_INET {
                    Ipv4: SOCKADDR_IN {
                        sin_family: AF_INET,
                        sin_port: a.port().to_be(),
                        sin_addr: a.ip().octets(),
                        sin_zero: [0; 8],
                    },
                },
                length: size_of::<SOCKADDR_IN>() as u32,
            },
            SocketAddr::V6(a) => Self {
                raw: SOCKADDR_INET {
                    Ipv6: SOCKADDR_IN6 {
                        sin6_family: AF_INET6,
                        sin6_port: a.port().to_be(),
                        sin6_flowinfo: a.flowinfo(),
                        sin6_addr: a.ip().octets(),
                        sin6_scope_id: a.scope_id(),
                    },
                },
                length: size_of::<SOCKADDR_IN6>() as u32,
            },
        }
    }
}

/// Reads an address: 16 octets for AF_INET, 28 for AF_INET6, by its own family. `None` for NULL and other families.
///
/// # Safety
/// `address` is NULL or points to a socket address of at least the size that its family has, for this call.
#[must_use]
pub unsafe fn socket_addr_from_raw(address: *const SOCKADDR) -> Option<SocketAddr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: every socket address begins with its family; a client's buffer need not be aligned.
    let family = unsafe { address.cast::<u16>().read_unaligned() };
    match family {
        AF_INET => {
            // SAFETY: the family says that 16 octets are there.
            let a = unsafe { address.cast::<SOCKADDR_IN>().read_unaligned() };
            Some(SocketAddrV4::new(Ipv4Addr::from(a.sin_addr), u16::from_be(a.sin_port)).into())
        }
        AF_INET6 => {
            // SAFETY: the family says that 28 octets are there.
            let a = unsafe { address.cast::<SOCKADDR_IN6>().read_unaligned() };
            let ip = Ipv6Addr::from(a.sin6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(a.sin6_port), a.sin6_flowinfo, a.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// Writes an address: 16 octets for IPv4, 28 for IPv6.
///
/// # Safety
/// `to` points to that many writable octets, of any alignment.
pub unsafe fn write_raw(to: *mut SOCKADDR, address: SocketAddr) {
    let from = SockAddr::from(address);
    let length = from.length as usize;
    // SAFETY: both are valid for `length` octets and do not overlap: `from` is ours.
    unsafe { core::ptr::copy_nonoverlapping(from.as_ptr().cast::<u8>(), to.cast::<u8>(), length) };
}
