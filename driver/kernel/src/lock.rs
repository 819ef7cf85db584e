//! Spin locks (`KSPIN_LOCK`), each owning what it protects.

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use crate::raw;

/// A spin lock and the data under it.
///
/// While the guard lives the processor is at DISPATCH_LEVEL: no waits, no paged memory, no calls out of this driver, and
/// no second `lock` of the same lock (it would never return). Hold it for microseconds. Guards of different locks are
/// dropped in the reverse order of their making, because each restores the level it found.
pub struct SpinLock<T> {
    /// `KSPIN_LOCK`: one word, zero when free (`KeInitializeSpinLock` does no more).
    word: UnsafeCell<usize>,
    value: UnsafeCell<T>,
}

// SAFETY: the lock gives its value to one processor at a time, which may be another one each time.
unsafe impl<T: Send> Sync for SpinLock<T> {}

impl<T> SpinLock<T> {
    /// A free lock over `value`.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self { word: UnsafeCell::new(0), value: UnsafeCell::new(value) }
    }

    /// Takes the lock, spinning while another processor has it (`KeAcquireSpinLockRaiseToDpc`).
    ///
    /// Caller at IRQL ≤ DISPATCH_LEVEL; DISPATCH_LEVEL until the guard is dropped.
    #[must_use = "the lock is released when the guard is dropped"]
    pub fn lock(&self) -> SpinLockGuard<'_, T> {
        // SAFETY: the word is a free or held spin lock that lives as long as `self`, which the guard borrows.
        let before = unsafe { raw::KeAcquireSpinLockRaiseToDpc(self.word.get()) };
        SpinLockGuard { lock: self, before, same_processor: PhantomData }
    }

    /// The value, without locking: nobody else can have the lock.
    pub const fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Takes the lock apart.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T> fmt::Debug for SpinLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpinLock").finish_non_exhaustive()
    }
}

impl<T: Default> Default for SpinLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

/// Holds a [`SpinLock`]; dropping it releases the lock and restores the IRQL.
pub struct SpinLockGuard<'lock, T> {
    lock: &'lock SpinLock<T>,
    before: u8,
    /// The level belongs to the processor, so the guard must not travel.
    same_processor: PhantomData<*mut ()>,
}

// SAFETY: sharing the guard shares the value under it, nothing else.
unsafe impl<T: Sync> Sync for SpinLockGuard<'_, T> {}

impl<T> Deref for SpinLockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held, so nobody else has the value.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for SpinLockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held, and the guard is borrowed exclusively.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for SpinLockGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: this guard took the lock on this processor and knows the level from before.
        unsafe { raw::KeReleaseSpinLock(self.lock.word.get(), self.before) };
    }
}

#[cfg(test)]
mod tests;
