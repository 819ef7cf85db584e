//! What the library keeps in the client's `WSK_REGISTRATION` (`wsk.h`: 24 bytes, opaque to the client).
//!
//! | member | holds |
//! |---|---|
//! | `ReservedRegistrationState` | the state word of this module |
//! | `ReservedRegistrationContext` | the binding to a provider, while there is one |
//! | `ReservedRegistrationLock` | zero |
//!
//! The word answers the one hard question of the five functions: when may the binding, and the driver behind
//! it, go away? A client may call `WskCaptureProviderNPI` at any time, also during and after `WskDeregister`,
//! as long as the block is intact (page *WskCaptureProviderNPI*). So each call is counted in and out, and
//! `WskDeregister` ends with the last one out. The provider's own bookkeeping cannot do that: its code may be
//! unloaded at the end.

use core::sync::atomic::{AtomicU64, Ordering};

/// The two lowest bits: what may come in. Zero, a block that was never registered, lets nothing in.
const PHASE: u64 = 0b11;
/// Between `WskRegister` and `WskDeregister`.
const OPEN: u64 = 0b01;
/// The provider's `WskDeregister` runs: captures are still released, nothing else comes in.
const CLOSING: u64 = 0b10;
/// The provider is done with the registration.
const CLOSED: u64 = 0b11;
/// One call that is inside.
const CALL: u64 = 0b100;

/// An atomic 64-bit word. The library's is an [`AtomicU64`]; the tests explore another.
pub trait Word {
    /// Reads.
    fn load(&self, order: Ordering) -> u64;
    /// Writes.
    fn store(&self, value: u64, order: Ordering);
    /// Replaces `current` by `new`; an error carries what was there.
    ///
    /// # Errors
    /// The value found, where it was not `current`.
    fn compare_exchange(&self, current: u64, new: u64, ok: Ordering, failed: Ordering) -> Result<u64, u64>;
}

impl Word for AtomicU64 {
    fn load(&self, order: Ordering) -> u64 {
        self.load(order)
    }

    fn store(&self, value: u64, order: Ordering) {
        self.store(value, order);
    }

    fn compare_exchange(&self, current: u64, new: u64, ok: Ordering, failed: Ordering) -> Result<u64, u64> {
        self.compare_exchange(current, new, ok, failed)
    }
}

/// What a call wants inside for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `WskCaptureProviderNPI`, `WskQueryProviderCharacteristics`: not any more once `WskDeregister` has
    /// begun.
    Ask,
    /// `WskReleaseProviderNPI`: what `WskDeregister` waits for.
    Release,
}

/// The state word of one registration. No call waits or fails spuriously; any IRQL.
#[derive(Debug)]
pub struct State<'a, W>(
    /// `ReservedRegistrationState`.
    pub &'a W,
);

impl<W: Word> State<'_, W> {
    /// End of a successful `WskRegister`: what was stored in the block before is seen by every call that gets
    /// in.
    pub fn open(&self) {
        self.0.store(OPEN, Ordering::Release);
    }

    /// End of a failed `WskRegister`: nothing gets in.
    pub fn refuse(&self) {
        self.0.store(CLOSED, Ordering::Release);
    }

    /// Counts a call in. `false`: it must not touch the binding.
    #[must_use]
    pub fn enter(&self, purpose: Purpose) -> bool {
        let admitted = |word: u64| match word & PHASE {
            OPEN => true,
            CLOSING => purpose == Purpose::Release,
            _ => false,
        };
        self.change(|word| admitted(word).then(|| word.wrapping_add(CALL))).is_some()
    }

    /// Counts a call out. `true`: it was the last one and `WskDeregister` waits for it to say so.
    #[must_use]
    pub fn leave(&self) -> bool {
        self.change(|word| (word >= CALL).then(|| word.wrapping_sub(CALL))) == Some(CLOSED)
    }

    /// First step of `WskDeregister`. `false`: not registered, or already being deregistered.
    #[must_use]
    pub fn close(&self) -> bool {
        self.change(|word| (word & PHASE == OPEN).then_some(word ^ (OPEN | CLOSING))).is_some()
    }

    /// Second step, after the provider's own `WskDeregister`. `true`: calls are still inside; the last one
    /// out will say so. In either case nothing gets in any more.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.change(|word| Some(word | CLOSED)).is_some_and(|word| word >= CALL)
    }

    /// Applies `step` until no other call interferes; the new word, or nothing where `step` declines.
    fn change(&self, step: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let next = step(word)?;
            match self.0.compare_exchange(word, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(next),
                Err(found) => word = found,
            }
        }
    }
}

#[cfg(test)]
mod tests;
