use core::sync::atomic::AtomicU64;

use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicU64 as LoomU64;
use loom::sync::{Arc, Condvar, Mutex};

use super::*;

impl Word for LoomU64 {
    fn load(&self, order: Ordering) -> u64 {
        self.load(order)
    }

    fn store(&self, value: u64, order: Ordering) {
        self.store(value, order);
    }

    fn compare_exchange(&self, current: u64, new: u64, ok: Ordering, failed: Ordering) -> Result<u64, u64> {
        self.compare_exchange(current, new, ok, failed)
    }
}

#[test]
fn nothing_gets_into_a_block_that_is_not_registered() {
    for refused in [false, true] {
        let word = AtomicU64::new(0);
        if refused {
            State(&word).refuse();
        }
        assert!(!State(&word).enter(Purpose::Ask));
        assert!(!State(&word).enter(Purpose::Release));
        assert!(!State(&word).close());
    }
}

#[test]
fn only_releases_get_in_while_the_provider_deregisters() {
    let word = AtomicU64::new(0);
    let state = State(&word);
    state.open();
    assert!(state.enter(Purpose::Ask));
    assert!(!state.leave());
    assert!(state.close());
    assert!(!state.close());
    assert!(!state.enter(Purpose::Ask));
    assert!(state.enter(Purpose::Release));
    assert!(!state.leave());
    assert!(!state.closed());
    assert!(!state.enter(Purpose::Release));
}

#[test]
fn the_last_call_out_is_told_so() {
    let word = AtomicU64::new(0);
    let state = State(&word);
    state.open();
    assert!(state.enter(Purpose::Ask));
    assert!(state.enter(Purpose::Ask));
    assert!(state.close());
    assert!(!state.leave());
    assert!(state.closed());
    assert!(state.leave());
}

#[test]
fn a_block_can_be_registered_again() {
    let word = AtomicU64::new(0);
    let state = State(&word);
    for _ in 0..2 {
        state.open();
        assert!(state.enter(Purpose::Ask));
        assert!(!state.leave());
        assert!(state.close());
        assert!(!state.closed());
        assert!(!state.enter(Purpose::Ask));
    }
}

/// What `binding` does with the word. The explorer fails if the binding is freed while a call may still look
/// at it.
struct Model {
    word: LoomU64,
    last_out: (Mutex<bool>, Condvar),
    binding: UnsafeCell<u32>,
}

impl Model {
    fn call(&self, purpose: Purpose) {
        if !State(&self.word).enter(purpose) {
            return;
        }
        self.binding.with(|_| ());
        if State(&self.word).leave() {
            let (set, changed) = &self.last_out;
            *set.lock().unwrap() = true;
            changed.notify_one();
        }
    }

    fn deregister(&self) {
        if !State(&self.word).close() {
            return;
        }
        if State(&self.word).closed() {
            let (set, changed) = &self.last_out;
            let mut set = set.lock().unwrap();
            while !*set {
                set = changed.wait(set).unwrap();
            }
        }
        self.binding.with_mut(|freed| {
            // SAFETY: the explorer checks that nobody else is inside.
            let freed = unsafe { &mut *freed };
            *freed += 1;
            assert_eq!(*freed, 1);
        });
    }
}

// SAFETY: that the cell is not shared at the wrong moment is what the explorer checks.
unsafe impl Sync for Model {}

/// Every interleaving, with up to three preemptions, of the given calls with one `WskDeregister` or two.
fn explore(calls: &'static [Purpose], deregistrations: usize) {
    let mut explorer = loom::model::Builder::new();
    explorer.preemption_bound = Some(3);
    explorer.check(move || {
        let model = Arc::new(Model {
            word: LoomU64::new(0),
            last_out: (Mutex::new(false), Condvar::new()),
            binding: UnsafeCell::new(0),
        });
        State(&model.word).open();
        let mut threads = std::vec::Vec::new();
        for &purpose in calls {
            let model = Arc::clone(&model);
            threads.push(loom::thread::spawn(move || model.call(purpose)));
        }
        for _ in 1..deregistrations {
            let model = Arc::clone(&model);
            threads.push(loom::thread::spawn(move || model.deregister()));
        }
        model.deregister();
        for thread in threads {
            thread.join().unwrap();
        }
        // SAFETY: all threads have ended.
        model.binding.with(|freed| assert_eq!(unsafe { *freed }, 1));
    });
}

#[test]
fn no_call_is_inside_a_freed_binding() {
    explore(&[Purpose::Ask, Purpose::Ask], 1);
    explore(&[Purpose::Ask, Purpose::Release], 1);
}

#[test]
fn only_one_deregistration_frees() {
    explore(&[Purpose::Ask], 2);
}
