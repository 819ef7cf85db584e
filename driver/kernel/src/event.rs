//! Events (`KEVENT`): waiting at PASSIVE_LEVEL for something done elsewhere.

use core::cell::UnsafeCell;
use core::fmt;
use core::mem::MaybeUninit;

use abi::nt::KEVENT;

use crate::pool::{AllocError, PoolBox, PoolTag};
use crate::{bugcheck, invariant, irql, raw, time};

/// What happens to an event when a waiter gets through (`EVENT_TYPE`, `wdm.h`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventType {
    /// Stays set and lets every waiter through until it is cleared.
    Notification,
    /// Lets one waiter through and is then clear.
    Synchronization,
}

/// A kernel event.
///
/// It lives in pool, because the kernel links waiters through its address, which therefore must not change.
pub struct Event {
    event: PoolBox<RawEvent>,
}

impl Event {
    /// An event that is set if `signaled`. IRQL ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// [`AllocError`]: no memory.
    pub fn new(kind: EventType, signaled: bool) -> Result<Self, AllocError> {
        let event = PoolBox::try_new(PoolTag::new(b"WrEv"), RawEvent::zeroed())?;
        // SAFETY: freshly allocated, so at its final address and without waiters.
        unsafe { event.initialize(kind, signaled) };
        Ok(Self { event })
    }

    /// Sets the event (`KeSetEvent` without a priority boost). IRQL ≤ DISPATCH_LEVEL.
    ///
    /// The last access of this call comes before a waiter gets through, so a waiter may free what holds the event.
    pub fn set(&self) {
        // SAFETY: the event is initialised and lives as long as `self`.
        unsafe { self.event.set() };
    }

    /// Clears the event (`KeClearEvent`). IRQL ≤ DISPATCH_LEVEL.
    pub fn clear(&self) {
        // SAFETY: the event is initialised and lives as long as `self`.
        unsafe { raw::KeClearEvent(self.event.get()) };
    }

    /// Waits until the event is set, or until `timeout` (in units of 100 ns) has passed; `None` waits for ever.
    ///
    /// Returns whether the event was set. IRQL ≤ APC_LEVEL (with a timeout of zero, ≤ DISPATCH_LEVEL).
    #[must_use = "false means that the time is over and the event was not set"]
    pub fn wait(&self, timeout: Option<u64>) -> bool {
        // SAFETY: the event is initialised and lives as long as `self`.
        unsafe { self.event.wait(timeout) }
    }

    /// Waits until the event is set, however long that takes. IRQL ≤ APC_LEVEL.
    pub fn wait_forever(&self) {
        let set = self.wait(None);
        debug_assert!(set, "a wait without a timeout ends only by the event");
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").finish_non_exhaustive()
    }
}

/// A `KEVENT` inside a larger object that already lives in pool.
pub(crate) struct RawEvent(UnsafeCell<MaybeUninit<KEVENT>>);

// SAFETY: the kernel's event routines may be called from any thread and processor at once.
unsafe impl Send for RawEvent {}
// SAFETY: as for `Send`: the bytes are only touched by those routines.
unsafe impl Sync for RawEvent {}

impl RawEvent {
    pub(crate) const fn zeroed() -> Self {
        Self(UnsafeCell::new(MaybeUninit::zeroed()))
    }

    fn get(&self) -> *mut KEVENT {
        self.0.get().cast()
    }

    /// # Safety
    /// The event is at its final address and nobody waits for it.
    pub(crate) unsafe fn initialize(&self, kind: EventType, signaled: bool) {
        // SAFETY: memory of a `KEVENT`'s size and alignment, unused so far.
        unsafe { raw::initialize_event(self.get(), kind == EventType::Synchronization, signaled) };
    }

    /// # Safety
    /// The event is initialised.
    pub(crate) unsafe fn set(&self) {
        // SAFETY: as promised by the caller; no priority boost, and no wait follows that must keep the dispatcher lock.
        unsafe { raw::KeSetEvent(self.get(), 0, 0) };
    }

    /// # Safety
    /// The event is initialised.
    pub(crate) unsafe fn wait(&self, timeout: Option<u64>) -> bool {
        if timeout != Some(0) {
            let level = irql::current();
            invariant!(level <= irql::APC_LEVEL, bugcheck::IRQL_TOO_HIGH, usize::from(level));
        }
        // SAFETY: as promised by the caller.
        unsafe { wait_for_object(self.get().cast(), timeout) }
    }
}

/// Waits for a dispatcher object (event, timer, thread); see [`Event::wait`] for the timeout.
///
/// # Safety
/// `object` is an initialised dispatcher object that stays valid during the wait, at an IRQL that allows it.
pub(crate) unsafe fn wait_for_object(object: *mut core::ffi::c_void, timeout: Option<u64>) -> bool {
    /// `STATUS_TIMEOUT`, a success code of the wait functions.
    const STATUS_TIMEOUT: abi::NTSTATUS = 0x102;
    let due = timeout.map(time::relative_due);
    let due = due.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: `object` as promised by the caller; `due` is null or points to a live local.
    let status = unsafe { raw::wait(object, due) };
    status != STATUS_TIMEOUT
}

#[cfg(test)]
mod tests;
