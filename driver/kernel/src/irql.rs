//! Interrupt request levels (`KIRQL`).
//!
//! The level of a processor, which says what the code on it may do: at PASSIVE_LEVEL everything; at APC_LEVEL waits
//! but no user-mode callbacks; at DISPATCH_LEVEL only non-paged memory, no waits. Holding a spin lock means
//! DISPATCH_LEVEL.

use crate::{environment, raw};

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

/// Whether this processor is known to be at DISPATCH_LEVEL: what WSK_FLAG_AT_DISPATCH_LEVEL tells a client. Cheap
/// everywhere: `false` where the system has no levels.
#[must_use]
pub fn is_known_dispatch() -> bool {
    environment::runs_dpcs() && current() == DISPATCH_LEVEL
}
