use std::thread;

use ksim::stop::{IRQL_UNEXPECTED_VALUE, SPIN_LOCK_ALREADY_OWNED};

use super::SpinLock;
use crate::irql;

#[test]
fn one_thread_at_a_time_has_the_value() {
    let lock = SpinLock::new(0_u64);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5000).for_each(|_| *lock.lock() += 1));
        }
    });
    assert_eq!(lock.into_inner(), 20_000);
}

#[test]
fn the_holder_is_at_dispatch_level_and_goes_back() {
    let (outer, inner) = (SpinLock::new(1), SpinLock::new(2));
    assert_eq!(irql::current(), irql::PASSIVE_LEVEL);
    let outer_guard = outer.lock();
    assert_eq!(irql::current(), irql::DISPATCH_LEVEL);
    let inner_guard = inner.lock();
    assert_eq!(*outer_guard + *inner_guard, 3);
    drop(inner_guard);
    assert_eq!(irql::current(), irql::DISPATCH_LEVEL);
    drop(outer_guard);
    assert_eq!(irql::current(), irql::PASSIVE_LEVEL);
}

#[test]
fn the_wrong_order_of_release_is_found() {
    let stop = ksim::stops(|| {
        let (outer, inner) = (SpinLock::new(1), SpinLock::new(2));
        let outer_guard = outer.lock();
        let _inner_guard = inner.lock();
        drop(outer_guard);
    });
    assert!(stop.is_some_and(|stop| stop.is(IRQL_UNEXPECTED_VALUE)));
}

#[test]
fn taking_a_lock_twice_is_found() {
    let stop = ksim::stops(|| {
        let lock = SpinLock::new(());
        let _guard = lock.lock();
        drop(lock.lock());
    });
    assert!(stop.is_some_and(|stop| stop.is(SPIN_LOCK_ALREADY_OWNED)));
}
