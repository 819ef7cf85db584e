//! What clients pass by pointer: socket addresses and buffers of MDLs.

use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ptr;

use abi::NTSTATUS;
use abi::nt::MDL;
use abi::status::{STATUS_INVALID_ADDRESS, STATUS_INVALID_PARAMETER};
use abi::wsk::{AF_INET, AF_INET6, SOCKADDR, SOCKADDR_IN, SOCKADDR_IN6, WSK_BUF};

/// The family a socket of this address has.
pub(super) fn family_of(address: IpAddr) -> u16 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

/// IPv4 addresses in their IPv6 form are IPv4 addresses inside the system.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Bytes of an address of that family.
pub(super) fn address_bytes(family: u16) -> usize {
    if family == AF_INET { size_of::<SOCKADDR_IN>() } else { size_of::<SOCKADDR_IN6>() }
}

/// Reads an address that a client gives for a socket of that family.
///
/// # Errors
/// NULL, or another family.
///
/// # Safety
/// `at` is NULL or readable for as much as its family says.
pub(crate) unsafe fn read_address(at: *const SOCKADDR, family: u16) -> Result<SocketAddr, NTSTATUS> {
    if at.is_null() {
        return Err(STATUS_INVALID_PARAMETER);
    }
    // SAFETY: as promised by the caller; every address begins with its family.
    let found = unsafe { at.cast::<u16>().read_unaligned() };
    if found != family {
        return Err(STATUS_INVALID_ADDRESS);
    }
    if family == AF_INET {
        // SAFETY: as promised by the caller.
        let v4 = unsafe { at.cast::<SOCKADDR_IN>().read_unaligned() };
        return Ok(SocketAddr::V4(SocketAddrV4::new(v4.sin_addr.into(), u16::from_be(v4.sin_port))));
    }
    // SAFETY: as promised by the caller.
    let v6 = unsafe { at.cast::<SOCKADDR_IN6>().read_unaligned() };
    let port = u16::from_be(v6.sin6_port);
    Ok(canonical(SocketAddr::V6(SocketAddrV6::new(v6.sin6_addr.into(), port, v6.sin6_flowinfo, 0))))
}

/// Writes an address as a socket of that family sees it; nothing if `to` is NULL.
///
/// # Safety
/// `to` is NULL or writable for an address of that family.
pub(crate) unsafe fn write_address(to: *mut SOCKADDR, address: SocketAddr, family: u16) {
    if to.is_null() {
        return;
    }
    let port = address.port().to_be();
    if let (AF_INET, IpAddr::V4(ip)) = (family, address.ip()) {
        let v4 = SOCKADDR_IN { sin_family: family, sin_port: port, sin_addr: ip.octets(), sin_zero: [0; 8] };
        // SAFETY: as promised by the caller.
        unsafe { to.cast::<SOCKADDR_IN>().write_unaligned(v4) };
        return;
    }
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => [0; 16],
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    let v6 = SOCKADDR_IN6 {
        sin6_family: AF_INET6,
        sin6_port: port,
        sin6_flowinfo: 0,
        sin6_addr: ip,
        sin6_scope_id: 0,
    };
    // SAFETY: as promised by the caller.
    unsafe { to.cast::<SOCKADDR_IN6>().write_unaligned(v6) };
}

/// What a `WSK_BUF` names. The memory stays valid until the request's IRP is completed.
#[derive(Clone, Copy)]
pub(super) struct Buffer {
    mdl: *mut MDL,
    offset: usize,
    /// Bytes.
    pub(super) length: usize,
}

impl Buffer {
    /// No bytes.
    pub(super) const EMPTY: Self = Self { mdl: ptr::null_mut(), offset: 0, length: 0 };

    /// Reads a client's `WSK_BUF`.
    ///
    /// # Errors
    /// NULL, or a chain that does not hold what it says. Windows does not look, and ends in a bug check.
    ///
    /// # Safety
    /// `buffer` is NULL or readable, and its chain stays valid until the request's IRP is completed.
    pub(super) unsafe fn read_from(buffer: *const WSK_BUF) -> Result<Self, NTSTATUS> {
        // SAFETY: as promised by the caller.
        let Some(&WSK_BUF { Mdl, Offset, Length }) = (unsafe { buffer.as_ref() }) else {
            return Err(STATUS_INVALID_PARAMETER);
        };
        let buffer = Self { mdl: Mdl, offset: Offset as usize, length: Length };
        if buffer.pieces(0, Length).iter().map(|piece| piece.1).sum::<usize>() != Length {
            return Err(STATUS_INVALID_PARAMETER);
        }
        Ok(buffer)
    }

    /// Where `count` bytes lie, beginning with byte `at`.
    fn pieces(&self, at: usize, count: usize) -> Vec<(*mut u8, usize)> {
        let mut pieces = Vec::new();
        let mut skip = self.offset.saturating_add(at);
        let (mut mdl, mut left) = (self.mdl, count);
        while left != 0 {
            // SAFETY: the chain stays valid until the request is completed.
            let Some(link) = (unsafe { mdl.as_ref() }) else { break };
            let bytes = link.ByteCount as usize;
            if skip < bytes {
                let start = link.StartVa.wrapping_byte_add(link.ByteOffset as usize + skip);
                let taken = left.min(bytes - skip);
                pieces.push((start.cast(), taken));
                left -= taken;
            }
            skip = skip.saturating_sub(bytes);
            mdl = link.Next;
        }
        pieces
    }

    /// A copy of up to `count` bytes from byte `at` on.
    pub(super) fn read(&self, at: usize, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count);
        for (start, length) in self.pieces(at, count) {
            let old = bytes.len();
            bytes.resize(old + length, 0);
            let Some(to) = bytes.get_mut(old..) else { break };
            // SAFETY: memory of an MDL, which is mapped, and a fresh vector.
            unsafe { to.as_mut_ptr().copy_from_nonoverlapping(start, length) };
        }
        bytes
    }

    /// Writes bytes from byte `at` on.
    pub(super) fn write(&self, at: usize, bytes: &[u8]) {
        let mut rest = bytes;
        for (start, length) in self.pieces(at, bytes.len()) {
            let (now, later) = rest.split_at(length.min(rest.len()));
            // SAFETY: memory of an MDL, which is mapped and the request's.
            unsafe { start.copy_from_nonoverlapping(now.as_ptr(), now.len()) };
            rest = later;
        }
    }
}

/// A copy of a client's input.
///
/// # Safety
/// `at` is NULL or readable for `size` bytes.
pub(super) unsafe fn read_bytes(at: *const u8, size: usize) -> Vec<u8> {
    if at.is_null() || size == 0 {
        return Vec::new();
    }
    // SAFETY: as promised by the caller.
    unsafe { std::slice::from_raw_parts(at, size) }.to_vec()
}

/// Writes a client's output.
///
/// # Safety
/// `to` is writable for that many bytes.
pub(super) unsafe fn write_bytes(to: *mut u8, bytes: &[u8]) {
    // SAFETY: as promised by the caller.
    unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
}
