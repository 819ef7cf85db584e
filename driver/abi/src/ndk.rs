//! Network Direct Kernel Provider Interface: `ndkpi.h`, `ndkinfo.h`, `ndkrss.h` and `wskndk.h`, NDKPI 1.1 to
//! 2.1.
//!
//! Objects are two-part structures, [`NDK_OBJECT_HEADER`] and a pointer to a constant table of functions; the
//! first parameter of every function is the object. Table members are never null. Callbacks which a consumer
//! must supply are plain function pointers, the others are `Option`.
//!
//! One word differs from the headers: where C has an anonymous member, the Rust field is called `Anonymous`.
//! Flags exist as plain constants under their C names, and where one word is a set of them also as a
//! `bitflags` type named by their prefix: [`NDK_OP_FLAG_INLINE`] and [`NDK_OP_FLAG::INLINE`]. Functions and
//! structures hold the plain integer, because the other side may set bits that are not known here.

mod callbacks;
mod constants;
mod data;
mod dispatch;
mod functions;
mod info;
mod objects;
mod rss;
mod wskndk;

#[cfg(test)]
pub(crate) mod tests;

pub use callbacks::*;
pub use constants::*;
pub use data::*;
pub use dispatch::*;
pub use functions::*;
pub use info::*;
pub use objects::*;
pub use rss::*;
pub use wskndk::*;
