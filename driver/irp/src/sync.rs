//! The primitives the protocols of this crate stand on: every step that another processor can see.
//!
//! The unit tests put another file in this one's place, which lets a scheduler decide at each of these steps who runs
//! next.

pub(crate) use core::sync::atomic::AtomicU32;

pub(crate) use kernel::irp::{
    cancel_irql, complete, is_cancelled, release_cancel_spin_lock, set_cancel_routine,
};
pub(crate) use kernel::lock::SpinLock;
