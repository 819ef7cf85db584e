//! Socket addresses and name lookup results (`ws2def.h`, `ws2ipdef.h`).
//!
//! Ports and addresses are in network byte order, everything else in the machine's.

use core::ffi::c_void;

use crate::layout;
use crate::nt::{GUID, WCHAR};

/// Address family: `AF_*` (`ws2def.h`).
pub type ADDRESS_FAMILY = u16;

pub const AF_UNSPEC: ADDRESS_FAMILY = 0;
pub const AF_INET: ADDRESS_FAMILY = 2;
pub const AF_INET6: ADDRESS_FAMILY = 23;

pub const SOCK_STREAM: u16 = 1;
pub const SOCK_DGRAM: u16 = 2;
pub const SOCK_RAW: u16 = 3;

/// An IPv4 address, byte by byte as written (`IN_ADDR`, `inaddr.h`): the byte view of the C union.
pub type IN_ADDR = [u8; 4];
/// An IPv6 address, byte by byte as written (`IN6_ADDR`, `in6addr.h`): the byte view of the C union.
pub type IN6_ADDR = [u8; 16];

pub const INADDR_ANY: IN_ADDR = [0; 4];
pub const INADDR_LOOPBACK: IN_ADDR = [127, 0, 0, 1];
pub const IN6ADDR_ANY: IN6_ADDR = [0; 16];
pub const IN6ADDR_LOOPBACK: IN6_ADDR = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// A socket address of any family (`ws2def.h`). Its true size follows from the family: WSK passes no length.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SOCKADDR {
    pub sa_family: ADDRESS_FAMILY,
    pub sa_data: [u8; 14],
}
layout!(SOCKADDR: 16, 2; sa_family 0x0, sa_data 0x2);
/// Pointer to [`SOCKADDR`].
pub type PSOCKADDR = *mut SOCKADDR;

/// An IPv4 socket address (`ws2def.h`).
#[repr(C, align(4))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SOCKADDR_IN {
    pub sin_family: ADDRESS_FAMILY,
    /// Network order.
    pub sin_port: u16,
    pub sin_addr: IN_ADDR,
    pub sin_zero: [u8; 8],
}
layout!(SOCKADDR_IN: 16, 4; sin_family 0x0, sin_port 0x2, sin_addr 0x4, sin_zero 0x8);

/// An IPv6 socket address (`ws2ipdef.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SOCKADDR_IN6 {
    pub sin6_family: ADDRESS_FAMILY,
    /// Network order.
    pub sin6_port: u16,
    pub sin6_flowinfo: u32,
    pub sin6_addr: IN6_ADDR,
    /// Zone index; zero where the address needs none.
    pub sin6_scope_id: u32,
}
layout!(SOCKADDR_IN6: 28, 4;
    sin6_family 0x0, sin6_port 0x2, sin6_flowinfo 0x4, sin6_addr 0x8, sin6_scope_id 0x18);

/// An IPv4 or IPv6 socket address (`ws2ipdef.h`).
#[repr(C)]
#[derive(Clone, Copy)]
pub union SOCKADDR_INET {
    pub Ipv4: SOCKADDR_IN,
    pub Ipv6: SOCKADDR_IN6,
    pub si_family: ADDRESS_FAMILY,
}
layout!(SOCKADDR_INET: 28, 4; Ipv4 0x0, Ipv6 0x0, si_family 0x0);

/// Room for a socket address of any family (`ws2def.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SOCKADDR_STORAGE {
    pub ss_family: ADDRESS_FAMILY,
    pub __ss_pad1: [u8; 6],
    pub __ss_align: i64,
    pub __ss_pad2: [u8; 112],
}
layout!(SOCKADDR_STORAGE: 128, 8; ss_family 0x0, __ss_pad1 0x2, __ss_align 0x8, __ss_pad2 0x10);

/// A socket address with its length (`ws2def.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct SOCKET_ADDRESS {
    pub lpSockaddr: *mut SOCKADDR,
    /// Bytes.
    pub iSockaddrLength: i32,
}
layout!(SOCKET_ADDRESS: 16, 8; lpSockaddr 0x0, iSockaddrLength 0x8);

/// Output of [`SIO_ADDRESS_LIST_QUERY`](super::SIO_ADDRESS_LIST_QUERY) (`ws2def.h`): the array goes on, and its
/// pointers point into the same buffer.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct SOCKET_ADDRESS_LIST {
    pub iAddressCount: i32,
    pub Address: [SOCKET_ADDRESS; 1],
}
layout!(SOCKET_ADDRESS_LIST: 24, 8; iAddressCount 0x0, Address 0x8);

/// One result, or the hints, of `WskGetAddressInfo` (`ws2def.h`). Results are freed by `WskFreeAddressInfo` only.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct ADDRINFOEXW {
    /// `AI_*`.
    pub ai_flags: i32,
    pub ai_family: i32,
    pub ai_socktype: i32,
    pub ai_protocol: i32,
    /// Bytes at `ai_addr`.
    pub ai_addrlen: usize,
    pub ai_canonname: *mut WCHAR,
    pub ai_addr: *mut SOCKADDR,
    pub ai_blob: *mut c_void,
    pub ai_bloblen: usize,
    pub ai_provider: *mut GUID,
    pub ai_next: *mut ADDRINFOEXW,
}
layout!(ADDRINFOEXW: 72, 8;
    ai_flags 0x0, ai_family 0x4, ai_socktype 0x8, ai_protocol 0xC, ai_addrlen 0x10, ai_canonname 0x18, ai_addr 0x20,
    ai_blob 0x28, ai_bloblen 0x30, ai_provider 0x38, ai_next 0x40);
/// Pointer to [`ADDRINFOEXW`].
pub type PADDRINFOEXW = *mut ADDRINFOEXW;

pub const NS_ALL: u32 = 0;
pub const NS_DNS: u32 = 12;

pub const AI_PASSIVE: i32 = 0x1;
pub const AI_CANONNAME: i32 = 0x2;
pub const AI_NUMERICHOST: i32 = 0x4;
pub const AI_NUMERICSERV: i32 = 0x8;

pub const NI_NOFQDN: u32 = 0x01;
pub const NI_NUMERICHOST: u32 = 0x02;
pub const NI_NAMEREQD: u32 = 0x04;
pub const NI_NUMERICSERV: u32 = 0x08;
pub const NI_DGRAM: u32 = 0x10;
