use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use ksim::pool::Scope;
use ksim::stop::DRIVER_VIOLATION;

use super::Rundown;

#[test]
fn users_come_and_go_until_rundown_begins() {
    let scope = Scope::new();
    let rundown = Rundown::new().unwrap();
    let one = rundown.acquire().unwrap();
    let two = rundown.acquire().unwrap();
    drop(one);
    rundown.begin();
    assert!(rundown.acquire().is_none());
    drop(two);
    rundown.wait();
    rundown.wait();
    assert!(rundown.acquire().is_none());
    drop(rundown);
    scope.assert_empty();
}

#[test]
fn the_wait_ends_with_the_last_user() {
    for _ in 0..200 {
        let rundown = Rundown::new().unwrap();
        let (inside, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while let Some(_guard) = rundown.acquire() {
                        inside.fetch_add(1, Ordering::SeqCst);
                        assert!(!over.load(Ordering::SeqCst));
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
            rundown.wait();
            assert_eq!(inside.load(Ordering::SeqCst), 0);
            over.store(true, Ordering::SeqCst);
        });
    }
}

#[test]
fn somebody_else_may_begin() {
    let rundown = Rundown::new().unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            rundown.wait_until_over();
            assert!(over.load(Ordering::SeqCst));
        });
        let user = rundown.acquire().unwrap();
        // Waiting for it does not begin it.
        drop(rundown.acquire().unwrap());
        rundown.begin();
        over.store(true, Ordering::SeqCst);
        drop(user);
        waiting.join().unwrap();
    });
}

#[test]
fn a_forgotten_guard_still_counts() {
    let rundown = Rundown::new().unwrap();
    rundown.acquire().unwrap().forget();
    thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: one guard was forgotten.
            unsafe { rundown.release_forgotten() };
        });
        rundown.wait();
    });
}

#[test]
fn leaving_once_too_often_stops_the_machine() {
    let stop = ksim::stops(|| {
        let rundown = Rundown::new().unwrap();
        // SAFETY: it is not: no guard was forgotten, which must be found.
        unsafe { rundown.release_forgotten() };
    });
    assert!(stop.is_some_and(|stop| stop.is(DRIVER_VIOLATION)));
}
