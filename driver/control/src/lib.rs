//! The IOCTL contract between kernel and user mode, and its pure handlers: bytes in, reply out.
//!
//! Two devices answer: `\\.\wskrdma` (the driver: [`driver`]) and `\\.\wskrdma-client` (the test client:
//! [`client`]). Every request is METHOD_BUFFERED, every structure has a fixed little-endian layout with a
//! version, and no pointer crosses the boundary. This crate knows no kernel and no Win32; both sides link it.
#![no_std]
#![forbid(unsafe_code)]

mod address;
pub mod client;
pub mod driver;
pub mod provider;
mod record;
pub mod reference;

pub use address::Address;
pub use record::{FieldLayout, Layout, Malformed, Record};

#[cfg(test)]
mod tests;

/// The device type of both devices: FILE_DEVICE_NETWORK.
pub const DEVICE_TYPE: u32 = 0x12;
/// FILE_READ_ACCESS: the handle was opened for reading.
pub const READ_ACCESS: u32 = 1;
/// FILE_WRITE_ACCESS: the handle was opened for writing.
pub const WRITE_ACCESS: u32 = 2;

/// `CTL_CODE` for METHOD_BUFFERED (page "Defining I/O Control Codes"). `function` is 0x800 or higher: private.
pub(crate) const fn ctl_code(function: u32, access: u32) -> u32 {
    (DEVICE_TYPE << 16) | (access << 14) | (function << 2)
}
