//! Ancillary data (`ws2def.h`, `ws2ipdef.h`).

use super::{IN_ADDR, IN6_ADDR};
use crate::layout;

/// Header of one piece of ancillary data (`ws2def.h`); the data follow at [`CMSG_DATA_OFFSET`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CMSGHDR {
    /// Bytes of header and data, without padding at the end.
    pub cmsg_len: usize,
    pub cmsg_level: i32,
    pub cmsg_type: i32,
}
layout!(CMSGHDR: 16, 8; cmsg_len 0x0, cmsg_level 0x8, cmsg_type 0xC);
/// Pointer to [`CMSGHDR`].
pub type PCMSGHDR = *mut CMSGHDR;

/// Local address and interface of an IPv4 datagram (`ws2ipdef.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IN_PKTINFO {
    pub ipi_addr: IN_ADDR,
    pub ipi_ifindex: u32,
}
layout!(IN_PKTINFO: 8, 4; ipi_addr 0x0, ipi_ifindex 0x4);

/// Local address and interface of an IPv6 datagram (`ws2ipdef.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IN6_PKTINFO {
    pub ipi6_addr: IN6_ADDR,
    pub ipi6_ifindex: u32,
}
layout!(IN6_PKTINFO: 20, 4; ipi6_addr 0x0, ipi6_ifindex 0x10);

/// Alignment of ancillary data (`MAX_NATURAL_ALIGNMENT`, `ws2def.h`).
pub const MAX_NATURAL_ALIGNMENT: usize = 8;
/// From a header to its data, in bytes.
pub const CMSG_DATA_OFFSET: usize = size_of::<CMSGHDR>();

/// `WSA_CMSG_LEN` (`ws2def.h`): value of `cmsg_len` for `length` bytes of data; `None` if that overflows.
#[must_use]
pub const fn CMSG_LEN(length: usize) -> Option<usize> {
    CMSG_DATA_OFFSET.checked_add(length)
}

/// `WSA_CMSG_SPACE` (`ws2def.h`): bytes up to the next header for `length` bytes of data; `None` if that overflows.
#[must_use]
pub const fn CMSG_SPACE(length: usize) -> Option<usize> {
    match length.checked_next_multiple_of(MAX_NATURAL_ALIGNMENT) {
        Some(padded) => CMSG_DATA_OFFSET.checked_add(padded),
        None => None,
    }
}
