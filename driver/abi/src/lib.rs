//! Foreign types: NT, WSK, NMR, NDK and NDIS, under their C names, with fixed-width integers.
//!
//! This crate holds no code that runs in the driver: it is the one place where the layout of somebody else's
//! structure is written down and proved. It must never gain behaviour, and it must compile the same on every
//! 64-bit target.
#![no_std]
#![forbid(unsafe_code)]
#![expect(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    reason = "foreign names are spelt and documented by their owners; each type names its header or page"
)]

mod layout;

pub mod etw;
pub mod ndis;
pub mod ndk;
pub mod netio;
pub mod nmr;
pub mod nt;
pub mod status;
pub mod wsk;
pub mod wskrdma;

/// `NTSTATUS` (`ntdef.h`): a signed 32-bit status; non-negative is success or information.
pub type NTSTATUS = i32;
