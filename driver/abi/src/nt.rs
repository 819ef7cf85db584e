//! The NT kernel's types (`wdm.h`, `ntddk.h`, `ntdef.h`): what a driver shares with the I/O manager and the executive.
//!
//! Layouts are those of 64-bit Windows. Three liberties against the headers, none of which moves a byte:
//! anonymous unions and structures are flattened into the member that matters (`IRP.IoStatus.Status`,
//! `IRP.Tail.Overlay.DriverContext`), named ones are separate types (`IRP_TAIL`, `IRP_TAIL_OVERLAY`), and members that
//! C aligns to a pointer are followed by a `Pad` member.
//!
//! Constants carry their C names as plain integers of the width of the field they belong to; where one word is a set of
//! flags there is a `bitflags` type as well.

mod basic;
mod csq;
mod dispatcher;
mod file;
mod ioctl;
mod irp;
mod mdl;
mod object;
mod pool;
mod stack;
mod work;

pub use basic::*;
pub use csq::*;
pub use dispatcher::*;
pub use file::*;
pub use ioctl::*;
pub use irp::*;
pub use mdl::*;
pub use object::*;
pub use pool::*;
pub use stack::*;
pub use work::*;

#[cfg(test)]
mod tests;
