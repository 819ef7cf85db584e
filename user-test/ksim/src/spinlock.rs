//! Spin locks (`KSPIN_LOCK`): the word holds the identity of the thread that has the lock.

use std::hint;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use abi::nt::{DISPATCH_LEVEL, KIRQL, KSPIN_LOCK};

use crate::stop::{
    DPC_WATCHDOG_VIOLATION, IRQL_NOT_GREATER_OR_EQUAL, SPIN_LOCK_ALREADY_OWNED, SPIN_LOCK_NOT_OWNED,
};
use crate::{bare, processor, sim, stop, tally};

/// Far longer than anybody may hold a lock, even on a crowded host.
const WATCHDOG: Duration = Duration::from_secs(20);
/// Who holds a lock where nobody checks it.
const UNCHECKED_HOLDER: usize = 1;

/// Takes the lock and returns the IRQL from before.
pub(crate) fn acquire(lock: &AtomicUsize) -> KIRQL {
    if bare::is_unchecked() {
        let before = processor::irql();
        processor::set_irql(DISPATCH_LEVEL);
        spin(lock, UNCHECKED_HOLDER, |_| ());
        return before;
    }
    processor::require_at_most(DISPATCH_LEVEL, "taking a spin lock");
    let me = processor::identity();
    let address = lock.as_ptr().addr();
    if lock.load(Ordering::Relaxed) == me {
        stop!(SPIN_LOCK_ALREADY_OWNED, "the lock at {address:#x} is taken again by its holder");
    }
    sim::point("taking a spin lock");
    let before = processor::irql();
    processor::set_irql(DISPATCH_LEVEL);
    if sim::is_task() {
        while lock.compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed).is_err() {
            sim::block(address, None, "a spin lock");
        }
        processor::lock_taken(address);
        return before;
    }
    let mut since = None;
    spin(lock, me, |tries| {
        if tries.is_multiple_of(4096) && since.get_or_insert_with(Instant::now).elapsed() > WATCHDOG {
            let holder = lock.load(Ordering::Relaxed);
            stop!(DPC_WATCHDOG_VIOLATION, "the lock at {address:#x} is not released by {holder:#x}");
        }
    });
    processor::lock_taken(address);
    tally::note_lock(address);
    before
}

/// Takes the lock for `me`; calls `waiting` with the number of each try that was in vain.
fn spin(lock: &AtomicUsize, me: usize, mut waiting: impl FnMut(u32)) {
    let mut tries = 0_u32;
    while lock.compare_exchange_weak(0, me, Ordering::Acquire, Ordering::Relaxed).is_err() {
        tries = tries.wrapping_add(1);
        // The holder is a host thread that may not be running, unlike a processor at DISPATCH_LEVEL.
        if tries.is_multiple_of(64) {
            thread::yield_now()
        } else {
            hint::spin_loop()
        }
        waiting(tries);
    }
}

/// Gives the lock back and goes to `new`.
pub(crate) fn release(lock: &AtomicUsize, new: KIRQL) {
    if bare::is_unchecked() {
        lock.store(0, Ordering::Release);
        processor::set_irql(new);
        return;
    }
    let address = lock.as_ptr().addr();
    let level = processor::irql();
    if level < DISPATCH_LEVEL {
        stop!(IRQL_NOT_GREATER_OR_EQUAL, "the lock at {address:#x} is released at IRQL {level}");
    }
    if lock.load(Ordering::Relaxed) != processor::identity() {
        stop!(SPIN_LOCK_NOT_OWNED, "the lock at {address:#x} is not held by who releases it");
    }
    lock.store(0, Ordering::Release);
    processor::lock_released(address, new);
    sim::wake(address);
    sim::point("releasing a spin lock");
}

/// # Safety
/// `lock` is a valid spin lock for `'lock`.
unsafe fn word<'lock>(lock: *mut KSPIN_LOCK) -> &'lock AtomicUsize {
    // SAFETY: as promised by the caller; everybody accesses the word through these routines.
    unsafe { AtomicUsize::from_ptr(lock) }
}

/// `KeAcquireSpinLockRaiseToDpc`.
///
/// # Safety
/// `lock` is a valid spin lock.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn KeAcquireSpinLockRaiseToDpc(lock: *mut KSPIN_LOCK) -> KIRQL {
    // SAFETY: as promised by the caller.
    acquire(unsafe { word(lock) })
}

/// `KeReleaseSpinLock`.
///
/// # Safety
/// `lock` is a valid spin lock.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn KeReleaseSpinLock(lock: *mut KSPIN_LOCK, new: KIRQL) {
    // SAFETY: as promised by the caller.
    release(unsafe { word(lock) }, new);
}
