//! The deterministic mode: the same seed gives the same run, other seeds give others, and what never ends is reported.

#![cfg(test)]

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use abi::nt::{KEVENT, SynchronizationEvent};
use wskrdma_ksim::sim::{self, Settings, Strategy, Summary};

unsafe extern "C-unwind" {
    fn KeInitializeEvent(event: *mut KEVENT, kind: i32, state: u8);
    fn KeSetEvent(event: *mut KEVENT, increment: i32, wait: u8) -> i32;
    fn KeWaitForSingleObject(
        object: *mut c_void,
        reason: i32,
        mode: i8,
        alertable: u8,
        due: *const i64,
    ) -> i32;
    fn KeAcquireSpinLockRaiseToDpc(lock: *mut usize) -> u8;
    fn KeReleaseSpinLock(lock: *mut usize, new: u8);
    fn KeQueryInterruptTime() -> u64;
}

const STATUS_TIMEOUT: i32 = 0x102;

const OFTEN: Settings = Settings {
    processors: 2,
    switches_of_1024: 512,
    strategy: Strategy::Uniform,
    steps_max: 100_000,
    trace_switches: false,
};

/// A kernel event in memory that stays where it is.
struct Event(Box<UnsafeCell<KEVENT>>);

// SAFETY: an event is for any thread.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    fn new() -> Self {
        // SAFETY: integers and pointers, for which zero is a value.
        let event = Box::new(UnsafeCell::new(unsafe { std::mem::zeroed::<KEVENT>() }));
        // SAFETY: fresh memory of an event's size.
        unsafe { KeInitializeEvent(event.get(), SynchronizationEvent, 0) };
        Self(event)
    }

    fn set(&self) {
        // SAFETY: initialised.
        unsafe { KeSetEvent(self.0.get(), 0, 0) };
    }

    fn wait(&self, due: Option<i64>) -> i32 {
        let due = due.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: initialised, and it stays.
        unsafe { KeWaitForSingleObject(self.0.get().cast(), 0, 0, 0, due) }
    }
}

/// A word behind a spin lock.
#[derive(Default)]
struct Locked {
    lock: UnsafeCell<usize>,
    word: AtomicU32,
}

// SAFETY: the lock is used through the kernel's functions only.
unsafe impl Send for Locked {}
// SAFETY: as above.
unsafe impl Sync for Locked {}

impl Locked {
    fn add(&self) {
        // SAFETY: a spin lock.
        let level = unsafe { KeAcquireSpinLockRaiseToDpc(self.lock.get()) };
        // Not one step: the lock is what keeps it whole.
        let word = self.word.load(Ordering::Relaxed);
        self.word.store(word + 1, Ordering::Relaxed);
        // SAFETY: taken above.
        unsafe { KeReleaseSpinLock(self.lock.get(), level) };
    }
}

/// Three tasks that count under a lock and note who is first.
fn counting(seed: u64, settings: Settings) -> (Vec<usize>, Summary) {
    sim::run(seed, settings, || {
        let locked = Arc::new(Locked::default());
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..3)
            .map(|number| {
                let (locked, order) = (Arc::clone(&locked), Arc::clone(&order));
                sim::spawn("counter", move || {
                    for _ in 0..10 {
                        locked.add();
                        order.lock().unwrap().push(number);
                    }
                })
            })
            .collect();
        tasks.iter().for_each(sim::Task::join);
        assert_eq!(locked.word.load(Ordering::Relaxed), 30);
        order.lock().unwrap().clone()
    })
}

#[test]
fn the_same_seed_gives_the_same_run_and_others_give_others() {
    let _alone = wskrdma_ksim::exclusive();
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..20 {
        for settings in [OFTEN, Settings { processors: 1, strategy: Strategy::Priorities, ..OFTEN }] {
            let (first, again) = (counting(seed, settings), counting(seed, settings));
            assert_eq!(first, again, "seed {seed}");
            orders.insert(first.0);
        }
    }
    assert!(orders.len() > 20, "only {} different orders", orders.len());
}

#[test]
fn the_clock_jumps_to_the_next_deadline_when_nobody_can_run() {
    let _alone = wskrdma_ksim::exclusive();
    let (waited, summary) = sim::run(1, OFTEN, || {
        let event = Event::new();
        // SAFETY: any IRQL.
        let before = unsafe { KeQueryInterruptTime() };
        // A hundred days.
        assert_eq!(event.wait(Some(-100 * 24 * 3600 * 10_000_000)), STATUS_TIMEOUT);
        // SAFETY: as above.
        unsafe { KeQueryInterruptTime() - before }
    });
    assert_eq!(waited, 100 * 24 * 3600 * 10_000_000);
    assert_eq!(summary.time, Duration::from_secs(100 * 24 * 3600));
}

#[test]
fn an_event_that_is_set_before_its_deadline_ends_the_wait() {
    let _alone = wskrdma_ksim::exclusive();
    for seed in 0..10 {
        sim::run(seed, OFTEN, || {
            let event = Arc::new(Event::new());
            let setter = Arc::clone(&event);
            let task = sim::spawn("setter", move || {
                sim::sleep(Duration::from_secs(1));
                setter.set();
            });
            assert_eq!(event.wait(Some(-20_000_000)), 0);
            assert_eq!(sim::now(), Duration::from_secs(1));
            task.join();
        });
    }
}

/// What the first task of a run panics with.
fn verdict(body: impl FnOnce()) -> String {
    let run = AssertUnwindSafe(|| sim::run(7, OFTEN, body));
    let payload = catch_unwind(run).expect_err("the run ends well");
    payload.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn a_run_in_which_nobody_can_go_on_says_who_waits_for_what() {
    let _alone = wskrdma_ksim::exclusive();
    let text = verdict(|| {
        // Nobody sets it.
        let event = Arc::new(Event::new());
        let waiting = Arc::clone(&event);
        let task = sim::spawn("waiter", move || {
            waiting.wait(None);
        });
        task.join();
    });
    assert!(text.contains("nobody can run"), "{text}");
    assert!(text.contains("0 first: waits for the end of a task"), "{text}");
    assert!(text.contains("1 waiter: waits for a dispatcher object"), "{text}");
}

#[test]
fn a_run_in_circles_is_ended() {
    let _alone = wskrdma_ksim::exclusive();
    let text = verdict(|| {
        let locked = Locked::default();
        loop {
            locked.add();
        }
    });
    assert!(text.contains("runs in circles"), "{text}");
}

#[test]
fn two_locks_in_both_orders_meet() {
    let _alone = wskrdma_ksim::exclusive();
    // The machine must find the classic: with two processors some seeds stand still, with one none can.
    let stands = |seed, processors| {
        let settings = Settings { processors, ..OFTEN };
        let run = AssertUnwindSafe(|| {
            sim::run(seed, settings, || {
                let locks = Arc::new((Locked::default(), Locked::default()));
                let other = Arc::clone(&locks);
                let both = |first: &Locked, second: &Locked| {
                    // SAFETY: a spin lock.
                    let level = unsafe { KeAcquireSpinLockRaiseToDpc(first.lock.get()) };
                    second.add();
                    // SAFETY: taken above.
                    unsafe { KeReleaseSpinLock(first.lock.get(), level) };
                };
                let task = sim::spawn("other order", move || both(&other.1, &other.0));
                let mine = sim::spawn("one order", move || both(&locks.0, &locks.1));
                task.join();
                mine.join();
            })
        });
        catch_unwind(run).is_err()
    };
    assert!((0..40).any(|seed| stands(seed, 2)));
    assert!(!(0..40).any(|seed| stands(seed, 1)));
}
