//! Counts of IRPs, and the proof at unload that none is left.

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::invariant::{self, IRPS_OUTSTANDING};

/// Counters of one population of IRPs. The driver has one, [`account`]; tests make their own.
///
/// An IRP is outstanding from the moment it is entered until it is handed to `IoCompleteRequest`. It no longer counts
/// while its completion routine runs: that code is the client's, and it may be the very code that lets the driver go.
/// That the *driver's* code around it has returned is for the caller's rundown to prove.
#[derive(Debug, Default)]
pub struct Account {
    entered: AtomicUsize,
    completed: AtomicUsize,
    cancelled: AtomicUsize,
}

static ACCOUNT: Account = Account::new();

/// The driver's account.
#[must_use]
pub fn account() -> &'static Account {
    &ACCOUNT
}

impl Account {
    /// An account with nothing in it.
    #[must_use]
    pub const fn new() -> Self {
        Self { entered: AtomicUsize::new(0), completed: AtomicUsize::new(0), cancelled: AtomicUsize::new(0) }
    }

    /// IRPs taken so far, without those that were handed on. Any IRQL, as all of this type.
    #[must_use]
    pub fn entered(&self) -> usize {
        self.entered.load(Ordering::Acquire)
    }

    /// IRPs completed so far, for whatever reason.
    #[must_use]
    pub fn completed(&self) -> usize {
        self.completed.load(Ordering::Acquire)
    }

    /// Those of the completed IRPs that were completed by a cancel routine.
    #[must_use]
    pub fn cancelled(&self) -> usize {
        self.cancelled.load(Ordering::Acquire)
    }

    /// IRPs owed to clients now. A snapshot: exact only while nobody enters or completes.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        // Completions first: an IRP that comes and goes between the two reads must not make this negative.
        let completed = self.completed();
        self.entered().wrapping_sub(completed)
    }

    /// Bug check `DRIVER_VIOLATION` if an IRP is outstanding. For unload, after every client has detached.
    pub fn assert_idle(&self) {
        let outstanding = self.outstanding();
        if outstanding != 0 {
            invariant::violated(IRPS_OUTSTANDING, outstanding);
        }
    }

    pub(crate) fn count_entered(&self) {
        self.entered.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn count_handed_on(&self) {
        self.entered.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn count_completed(&self) {
        self.completed.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn count_cancelled(&self) {
        self.cancelled.fetch_add(1, Ordering::AcqRel);
    }
}
