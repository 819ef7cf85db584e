use core::ffi::c_void;
use core::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use ksim::pool::{Scope, fail_after};
use ksim::stop::DRIVER_VIOLATION;

use super::Timer;
use crate::event::{Event, EventType};
use crate::lock::SpinLock;
use crate::pool::{AllocError, PoolTag};
use crate::{irql, time};

const TAG: PoolTag = PoolTag::new(b"TiTe");

struct Fires {
    /// How often the routine sets the timer again.
    again: usize,
    timer: AtomicPtr<Timer>,
    count: AtomicUsize,
    done: Event,
}

impl Fires {
    fn new(again: usize) -> Self {
        let done = Event::new(EventType::Notification, false).unwrap();
        Self { again, timer: AtomicPtr::new(ptr::null_mut()), count: AtomicUsize::new(0), done }
    }

    fn timer(&self) -> Result<Timer, AllocError> {
        let context = ptr::from_ref(self).cast_mut().cast();
        // SAFETY: the tests drop the timer before what it counts in.
        unsafe { Timer::new(TAG, fired, context) }
    }
}

/// # Safety
/// `context` is a `Fires`.
unsafe fn fired(context: *mut c_void) {
    // SAFETY: as promised by the caller.
    let fires = unsafe { &*context.cast::<Fires>() };
    assert_eq!(irql::current(), irql::DISPATCH_LEVEL);
    if fires.count.fetch_add(1, Ordering::SeqCst) < fires.again {
        // SAFETY: a test that asks for this keeps the timer until the last run has set `done`.
        unsafe { (*fires.timer.load(Ordering::SeqCst)).set(1) };
    } else {
        fires.done.set();
    }
}

#[test]
fn a_timer_fires_once_for_each_time_it_is_set() {
    let scope = Scope::new();
    let fires = Fires::new(0);
    let timer = fires.timer().unwrap();
    for round in 1..4 {
        timer.set(time::milliseconds(1));
        fires.done.wait_forever();
        fires.done.clear();
        assert_eq!(fires.count.load(Ordering::SeqCst), round);
    }
    drop((timer, fires));
    scope.assert_empty();
}

#[test]
fn the_routine_may_set_its_timer_again() {
    let fires = Fires::new(3);
    let timer = fires.timer().unwrap();
    fires.timer.store(ptr::from_ref(&timer).cast_mut(), Ordering::SeqCst);
    timer.set(0);
    fires.done.wait_forever();
    drop(timer);
    assert_eq!(fires.count.load(Ordering::SeqCst), 4);
}

#[test]
fn a_timer_that_is_cancelled_or_dropped_does_not_fire() {
    let fires = Fires::new(0);
    let timer = fires.timer().unwrap();
    timer.set(time::milliseconds(1_000_000));
    timer.cancel();
    timer.set(u64::MAX);
    drop(timer);
    assert_eq!(fires.count.load(Ordering::SeqCst), 0);
}

#[test]
fn setting_again_replaces_the_time() {
    let fires = Fires::new(0);
    let timer = fires.timer().unwrap();
    timer.set(time::milliseconds(1_000_000));
    timer.set(0);
    fires.done.wait_forever();
    drop(timer);
    assert_eq!(fires.count.load(Ordering::SeqCst), 1);
}

#[test]
fn a_drop_that_may_have_to_wait_is_refused_at_dispatch_level() {
    let stop = ksim::stops(|| {
        let fires = Fires::new(0);
        let timer = fires.timer().unwrap();
        let lock = SpinLock::new(());
        let _at_dispatch = lock.lock();
        drop(timer);
    });
    assert!(stop.is_some_and(|stop| stop.is(DRIVER_VIOLATION)));
}

#[test]
fn each_failing_allocation_leaves_nothing() {
    let fires = Fires::new(0);
    let scope = Scope::new();
    for successes in 0.. {
        let failing = fail_after(successes);
        let timer = fires.timer();
        assert_eq!(timer.is_err(), failing.has_failed());
        drop(timer);
        scope.assert_empty();
        if !failing.has_failed() {
            break;
        }
    }
}
