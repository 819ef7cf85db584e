//! Interrupt request levels (`KIRQL`).
//!
//! The level of a processor, which says what the code on it may do: at PASSIVE_LEVEL everything; at APC_LEVEL waits
//! but no user-mode callbacks; at DISPATCH_LEVEL only non-paged memory, no waits. Holding a spin lock means
//! DISPATCH_LEVEL.

use core::marker::PhantomData;

use crate::raw;

/// Threads run here; every call is allowed.
pub const PASSIVE_LEVEL: u8 = 0;
/// Asynchronous procedure calls are held off; waits are allowed.
pub const APC_LEVEL: u8 = 1;
/// The scheduler is held off: DPCs and holders of spin locks. No waits, no paged memory.
pub const DISPATCH_LEVEL: u8 = 2;

/// The level this processor runs at (`KeGetCurrentIrql`).
///
/// Keep it off hot paths: under Wine it is trapped, slow, and always PASSIVE_LEVEL, so it may serve to refuse a call but
/// never to choose one.
#[must_use]
pub fn current() -> u8 {
    // SAFETY: reading the level has no precondition.
    unsafe { raw::KeGetCurrentIrql() }
}

/// Raises this processor to DISPATCH_LEVEL until the guard is dropped (`KfRaiseIrql`, `KeLowerIrql`).
///
/// Caller at IRQL ≤ DISPATCH_LEVEL. Guards are dropped in the reverse order of their making.
#[must_use = "the level is lowered again when the guard is dropped"]
pub fn raise_to_dispatch() -> Raised {
    // SAFETY: the caller is at or below DISPATCH_LEVEL; the guard restores the level on the same processor.
    let before = unsafe { raw::KfRaiseIrql(DISPATCH_LEVEL) };
    Raised { before, same_processor: PhantomData }
}

/// Keeps this processor at DISPATCH_LEVEL; dropping it goes back to the level before.
#[derive(Debug)]
pub struct Raised {
    before: u8,
    /// The level belongs to the processor, so the guard must not travel.
    same_processor: PhantomData<*mut ()>,
}

impl Drop for Raised {
    fn drop(&mut self) {
        // SAFETY: `before` was this processor's level when the guard was made, and the guard cannot leave it.
        unsafe { raw::KeLowerIrql(self.before) };
    }
}
