//! What a thread does to the simulated kernel: locks and allocations by pool tag, DPCs, completed IRPs.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::pool;

/// Numbers by the pool tag of the memory that something is in; what is in no pool is `static`.
pub type ByTag = BTreeMap<String, u64>;

/// What has happened on one thread.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Spin locks taken, by the memory that the lock lies in.
    pub locks: ByTag,
    /// Blocks of pool allocated; IRPs, MDLs and work items among them.
    pub allocations: ByTag,
    /// DPCs that ran here.
    pub dpcs: u64,
    /// IRPs completed.
    pub completed_irps: u64,
    /// Work items queued.
    pub work_items: u64,
    /// Timers set.
    pub timers: u64,
    /// Reads of the interrupt time.
    pub clock_reads: u64,
}

thread_local! {
    static COUNTS: RefCell<Option<Counts>> = const { RefCell::new(None) };
}

/// Counts what this thread does in `body`. With [`run_own_dpcs`](crate::bare::run_own_dpcs) that is all of its doing. Not
/// nested, and not [`without_checks`](crate::bare::without_checks), where no block of memory is known.
pub fn count(body: impl FnOnce()) -> Counts {
    COUNTS.set(Some(Counts::default()));
    body();
    COUNTS.take().unwrap_or_default()
}

/// Notes something, if this thread counts.
pub(crate) fn note(what: impl FnOnce(&mut Counts)) {
    COUNTS.with_borrow_mut(|counts| {
        if let Some(counts) = counts {
            what(counts);
        }
    });
}

pub(crate) fn note_lock(address: usize) {
    note(|counts| {
        let tag = pool::tag_of(address).unwrap_or_else(|| "static".to_owned());
        *counts.locks.entry(tag).or_default() += 1;
    });
}

pub(crate) fn note_allocation(tag: u32) {
    note(|counts| *counts.allocations.entry(pool::text(tag)).or_default() += 1);
}
