//! The calls of the framework (KMDF), each with the types of this crate.
//!
//! A handle is the framework's: it lives until the framework deletes the object, which for everything here is after
//! `EvtDriverUnload` has returned, unless an owner in this module deletes it first.

mod device;
mod driver;
mod registry;
mod request;
mod string;

pub(crate) use device::{ControlDevice, QueueRoutines};
pub(crate) use driver::{Driver, UnloadRoutine};
pub(crate) use registry::ParametersKey;
pub(crate) use request::{Buffers, Request};

use abi::NTSTATUS;

/// Turns a status into a `Result`.
fn check(status: NTSTATUS) -> Result<(), NTSTATUS> {
    if abi::status::nt_success(status) { Ok(()) } else { Err(status) }
}

/// `size_of::<T>()` as the `Size` member of the framework's structures.
const fn size<T>() -> u32 {
    size_of::<T>() as u32
}
