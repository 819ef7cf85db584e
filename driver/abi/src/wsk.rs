//! Winsock Kernel (`wsk.h`) and the Winsock types that go through it (`ws2def.h`, `ws2ipdef.h`, `mswsock.h`).
//!
//! Provider functions run at IRQL up to `DISPATCH_LEVEL` unless they say otherwise and take an IRP last: returning
//! `STATUS_PENDING` means it will be completed, anything else that it was, with that very status. Callbacks run at IRQL
//! up to `DISPATCH_LEVEL` and must not wait for WSK requests.
//!
//! Members of provider tables are never null; members of client tables are `Option`. Where the C header has an unnamed
//! member (its C++ form calls it `Basic`), the Rust field is `Basic`.
//!
//! Constants carry their C names as plain integers. One C prefix, `WSK_FLAG_`, serves several name spaces that reuse
//! bits; each has a `bitflags` type of its own.

mod address;
mod buffer;
mod client;
mod cmsg;
mod control;
mod flags;
mod functions;
mod ioctl;
mod options;
mod provider;
mod registration;

pub use address::*;
pub use buffer::*;
pub use client::*;
pub use cmsg::*;
pub use control::*;
pub use flags::*;
pub use functions::*;
pub use ioctl::*;
pub use options::*;
pub use provider::*;
pub use registration::*;

#[cfg(test)]
mod tests;
