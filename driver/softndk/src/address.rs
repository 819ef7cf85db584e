//! `SOCKADDR` in and out.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use abi::NTSTATUS;
use abi::status::{STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_PARAMETER, STATUS_SUCCESS};
use abi::wsk::SOCKADDR;

/// `AF_INET`.
const FAMILY_V4: u16 = 2;
/// `AF_INET6` of Windows.
const FAMILY_V6: u16 = 23;
/// Bytes in `SOCKADDR_IN`.
const BYTES_V4: usize = 16;
/// Bytes in `SOCKADDR_IN6`, the larger of the two.
const BYTES_V6: usize = 28;

/// A socket address as the system's functions take it, and leave it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(crate) struct SockAddr([u8; BYTES_V6]);

impl SockAddr {
    /// Room for an address.
    pub(crate) const EMPTY: Self = Self([0; BYTES_V6]);

    pub(crate) fn new(address: &SocketAddr) -> Self {
        Self(encode(address).0)
    }

    pub(crate) const fn as_ptr(&self) -> *const SOCKADDR {
        self.0.as_ptr().cast()
    }

    /// The address; `None` if it is of neither family.
    pub(crate) fn get(&self) -> Option<SocketAddr> {
        parse(&self.0, BYTES_V6)
    }
}

/// Whether both name the same local endpoint: address and port. Flow and scope tell nothing in one machine.
pub(crate) fn same_endpoint(a: &SocketAddr, b: &SocketAddr) -> bool {
    a.ip() == b.ip() && a.port() == b.port()
}

/// Reads a socket address of either family.
///
/// # Errors
/// `STATUS_INVALID_PARAMETER`: another family, or fewer bytes than the family has.
///
/// # Safety
/// `address` is null or readable for `length` bytes.
pub(crate) unsafe fn read(address: *const SOCKADDR, length: u32) -> Result<SocketAddr, NTSTATUS> {
    let mut bytes = [0; BYTES_V6];
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(BYTES_V6);
    if !address.is_null() {
        // SAFETY: readable for at least `length` bytes (caller), and the array holds that many.
        unsafe { core::ptr::copy_nonoverlapping(address.cast::<u8>(), bytes.as_mut_ptr(), length) };
        return parse(&bytes, length).ok_or(STATUS_INVALID_PARAMETER);
    }
    Err(STATUS_INVALID_PARAMETER)
}

fn parse(bytes: &[u8; BYTES_V6], length: usize) -> Option<SocketAddr> {
    let (family, rest) = bytes.split_first_chunk::<2>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let port = u16::from_be_bytes(*port);
    match u16::from_ne_bytes(*family) {
        FAMILY_V4 if length >= BYTES_V4 => {
            let ip = Ipv4Addr::from(*rest.first_chunk::<4>()?);
            Some(SocketAddr::new(IpAddr::V4(ip), port))
        }
        FAMILY_V6 if length >= BYTES_V6 => {
            let (_flow, rest) = rest.split_first_chunk::<4>()?;
            let (ip, rest) = rest.split_first_chunk::<16>()?;
            let scope = u32::from_ne_bytes(*rest.first_chunk::<4>()?);
            Some(SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(*ip), port, 0, scope)))
        }
        _ => None,
    }
}

/// Writes a socket address; `*length` is the room in bytes, then the bytes the address has.
///
/// Returns `STATUS_SUCCESS`, or `STATUS_BUFFER_TOO_SMALL` with nothing but `*length` written.
///
/// # Safety
/// `length` is valid for reading and writing, and `buffer` for writing `*length` bytes.
pub(crate) unsafe fn write(address: &SocketAddr, buffer: *mut SOCKADDR, length: *mut u32) -> NTSTATUS {
    let (bytes, needed) = encode(address);
    // SAFETY: valid (caller).
    let room = unsafe { length.read() };
    let needed_u32 = needed as u32;
    // SAFETY: valid (caller).
    unsafe { length.write(needed_u32) };
    if room < needed_u32 {
        return STATUS_BUFFER_TOO_SMALL;
    }
    // SAFETY: room for `needed` bytes (checked), and the array holds at least that many.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.cast::<u8>(), needed) };
    STATUS_SUCCESS
}

fn encode(address: &SocketAddr) -> ([u8; BYTES_V6], usize) {
    let mut bytes = [0; BYTES_V6];
    let mut put = |at: usize, part: &[u8]| {
        if let Some(place) = bytes.get_mut(at..at + part.len()) {
            place.copy_from_slice(part);
        }
    };
    put(2, &address.port().to_be_bytes());
    let length = match address {
        SocketAddr::V4(v4) => {
            put(0, &FAMILY_V4.to_ne_bytes());
            put(4, &v4.ip().octets());
            BYTES_V4
        }
        SocketAddr::V6(v6) => {
            put(0, &FAMILY_V6.to_ne_bytes());
            put(8, &v6.ip().octets());
            put(24, &v6.scope_id().to_ne_bytes());
            BYTES_V6
        }
    };
    (bytes, length)
}
