//! What a provider does although its interface forbids it.
//!
//! It is contained and counted. A callback is found by a number ([`handles`](crate::handles)), so one for an object that is
//! gone finds nothing. The provider's own objects are pointers: those that it names are taken at its word.

use core::sync::atomic::{AtomicU32, Ordering};

/// A promise of NDKPI that a provider has broken. The numbers are stable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Fault {
    /// A completion was called twice, also when its object is gone, or called although the call did not return PENDING.
    AnsweredTwice = 0,
    /// A disconnect event came twice, or an event after the close of its object.
    EventTooMany = 1,
    /// A completion entry came for no request, or for no queue pair.
    EntryTooMany = 2,
    /// A request that was posted got no completion entry.
    EntryMissing = 3,
    /// A request or a close was not answered in time.
    Unanswered = 4,
}

impl Fault {
    /// How many there are.
    pub const COUNT: usize = 5;
    /// All of them, by their numbers.
    pub const ALL: [Self; Self::COUNT] =
        [Self::AnsweredTwice, Self::EventTooMany, Self::EntryTooMany, Self::EntryMissing, Self::Unanswered];
}

/// How often each has happened on one adapter.
#[derive(Debug, Default)]
pub(crate) struct Faults([AtomicU32; Fault::COUNT]);

impl Faults {
    pub(crate) fn note(&self, fault: Fault) {
        if let Some(count) = self.0.get(fault as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn count(&self, fault: Fault) -> u32 {
        self.0.get(fault as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}
