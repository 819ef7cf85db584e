//! NDIS 6: what a lightweight filter driver, and a provider of NDK adapters, need of `ndis.h`, `ntddndis.h`,
//! `ndisndk.h` and `ifdef.h`.
//!
//! The filter is there to watch NICs come, go and change, so the packet path is declared only as far as the
//! tables that mention it: [`NET_BUFFER_LIST`] and [`NDIS_OID_REQUEST`] are opaque.
//!
//! Nearly every structure starts with an [`NDIS_OBJECT_HEADER`]. Its `Size` is the `NDIS_SIZEOF_…_REVISION_n`
//! number: the end of the last member of that revision, which is not always `size_of`. A reader accepts the
//! right `Type`, a `Revision` at least the one it needs, and a `Size` that covers the members it reads.
//!
//! Flags exist as plain constants and where one word is a set of them also as a `bitflags` type, as in
//! [`crate::ndk`].

mod attach;
mod configuration;
mod device;
mod event;
mod exports;
mod filter;
mod header;
mod indication;
mod link;
mod ndk;
mod status;

#[cfg(test)]
mod tests;

pub use attach::*;
pub use configuration::*;
pub use device::*;
pub use event::*;
pub use exports::*;
pub use filter::*;
pub use header::*;
pub use indication::*;
pub use link::*;
pub use ndk::*;
pub use status::*;
