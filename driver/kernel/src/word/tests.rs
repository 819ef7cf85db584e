//! Every interleaving of the protocols, and every reordering the memory model allows.

use std::vec::Vec;

use core::sync::atomic::Ordering;
use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicUsize;
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::{Begin, Close, End, Ended, GateWord, RefCount, Release, Request, RundownWord, Word};

impl Word for AtomicUsize {
    fn new(value: usize) -> Self {
        Self::new(value)
    }

    fn load(&self, order: Ordering) -> usize {
        self.load(order)
    }

    fn fetch_add(&self, value: usize, order: Ordering) -> usize {
        self.fetch_add(value, order)
    }

    fn fetch_sub(&self, value: usize, order: Ordering) -> usize {
        self.fetch_sub(value, order)
    }

    fn fetch_or(&self, value: usize, order: Ordering) -> usize {
        self.fetch_or(value, order)
    }

    fn compare_exchange(
        &self,
        current: usize,
        new: usize,
        ok: Ordering,
        err: Ordering,
    ) -> Result<usize, usize> {
        self.compare_exchange(current, new, ok, err)
    }
}

/// A notification event.
#[derive(Default)]
struct Event {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Event {
    fn set(&self) {
        *self.set.lock().unwrap() = true;
        self.changed.notify_all();
    }

    fn wait(&self) {
        let mut set = self.set.lock().unwrap();
        while !*set {
            set = self.changed.wait(set).unwrap();
        }
    }
}

/// Memory that somebody uses and somebody frees; loom reports a use beside or after the free.
struct Memory(UnsafeCell<usize>);

impl Memory {
    fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    fn read(&self) -> usize {
        // SAFETY: loom checks that nobody writes meanwhile.
        self.0.with(|value| unsafe { *value })
    }

    fn write(&self) {
        // SAFETY: loom checks that nobody reads or writes meanwhile.
        self.0.with_mut(|value| unsafe { *value += 1 });
    }
}

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn the_last_owner_is_one_and_sees_what_the_others_did() {
    explore(|| {
        let shared = Arc::new((RefCount::<AtomicUsize>::new(), [Memory::new(), Memory::new()]));
        shared.0.acquire().unwrap();
        let threads: Vec<_> = (0..2)
            .map(|number| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let (count, memory) = &*shared;
                    memory[number].write();
                    let last = count.release();
                    if last {
                        memory.iter().for_each(Memory::write);
                    }
                    last
                })
            })
            .collect();
        let last = threads.into_iter().map(|thread| thread.join().unwrap()).filter(|&last| last);
        assert_eq!(last.count(), 1);
    });
}

#[test]
fn an_owner_can_make_another_while_others_leave() {
    explore(|| {
        let shared = Arc::new((RefCount::<AtomicUsize>::new(), Memory::new()));
        shared.0.acquire().unwrap();
        let leave = |shared: &(RefCount<AtomicUsize>, Memory)| {
            if shared.0.release() {
                shared.1.write();
            }
        };
        let other = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            other.0.acquire().unwrap();
            leave(&other);
            other.1.read();
            leave(&other);
        });
        shared.1.read();
        leave(&shared);
        thread.join().unwrap();
    });
}

#[derive(Default)]
struct Rundown {
    word: Option<RundownWord<AtomicUsize>>,
    over: Event,
}

impl Rundown {
    fn new() -> Self {
        Self { word: Some(RundownWord::new()), over: Event::default() }
    }

    fn word(&self) -> &RundownWord<AtomicUsize> {
        self.word.as_ref().unwrap()
    }

    fn release(&self) {
        if self.word().release().unwrap() == Release::Last {
            self.over.set();
        }
    }

    fn wait(&self) {
        if self.word().begin() == Ended::Now {
            self.over.set();
        }
        self.over.wait();
    }
}

#[test]
fn rundown_waits_for_every_user_and_lets_nobody_in_after() {
    explore(|| {
        let shared = Arc::new((Rundown::new(), Memory::new()));
        let users: Vec<_> = (0..2)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    if shared.0.word().acquire().unwrap() {
                        shared.1.read();
                        shared.0.release();
                    }
                })
            })
            .collect();
        shared.0.wait();
        shared.1.write();
        assert!(!shared.0.word().acquire().unwrap());
        users.into_iter().for_each(|user| user.join().unwrap());
    });
}

#[test]
fn two_may_wait_for_the_same_rundown() {
    explore(|| {
        let shared = Arc::new((Rundown::new(), Memory::new()));
        let user = Arc::clone(&shared);
        let user = thread::spawn(move || {
            if user.0.word().acquire().unwrap() {
                user.1.write();
                user.0.release();
            }
        });
        let other = Arc::clone(&shared);
        let other = thread::spawn(move || {
            other.0.wait();
            other.1.read();
        });
        shared.0.wait();
        shared.1.read();
        user.join().unwrap();
        other.join().unwrap();
    });
}

/// A gate whose kernel is a new thread for each insertion.
struct Gate {
    word: GateWord<AtomicUsize>,
    ended: Event,
    /// Written by each run: two runs at once are found.
    run: Memory,
    /// Written by whoever frees, read by whoever uses the gate.
    block: Memory,
    freed: AtomicUsize,
    runs: AtomicUsize,
}

impl Gate {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            word: GateWord::new(),
            ended: Event::default(),
            run: Memory::new(),
            block: Memory::new(),
            freed: AtomicUsize::new(0),
            runs: AtomicUsize::new(0),
        })
    }

    fn request(gate: &Arc<Self>) {
        gate.block.read();
        if gate.word.request() == Request::Insert {
            Self::insert(gate);
        }
    }

    fn insert(gate: &Arc<Self>) {
        let gate = Arc::clone(gate);
        thread::spawn(move || Self::run(&gate));
    }

    fn run(gate: &Arc<Self>) {
        gate.block.read();
        let end = match gate.word.begin() {
            Begin::Free => End::Free,
            Begin::Run => {
                gate.run.write();
                gate.runs.fetch_add(1, Ordering::Relaxed);
                gate.block.read();
                gate.word.end()
            }
        };
        match end {
            End::Idle => {}
            End::Insert => Self::insert(gate),
            End::Wake => gate.ended.set(),
            End::Free => gate.free(),
        }
    }

    fn close(gate: &Arc<Self>, own_run: bool) {
        match gate.word.close(own_run) {
            Close::Leave => return,
            Close::Free => {}
            Close::Wait => gate.ended.wait(),
        }
        gate.free();
    }

    fn free(&self) {
        self.block.write();
        self.freed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        assert_eq!(self.freed.load(Ordering::Relaxed), 1, "freed by exactly one party");
    }
}

#[test]
fn closing_meets_a_run_at_every_point() {
    explore(|| {
        let gate = Gate::new();
        Gate::request(&gate);
        Gate::close(&gate, false);
    });
}

#[test]
fn closing_meets_a_run_that_was_asked_for_twice() {
    explore(|| {
        let gate = Gate::new();
        Gate::request(&gate);
        Gate::request(&gate);
        Gate::close(&gate, false);
    });
}

#[test]
fn requests_from_two_sides_run_once_or_twice_and_never_at_once() {
    explore(|| {
        let gate = Gate::new();
        let other = Arc::clone(&gate);
        let other = thread::spawn(move || Gate::request(&other));
        Gate::request(&gate);
        other.join().unwrap();
        Gate::close(&gate, false);
        assert!(gate.runs.load(Ordering::Relaxed) <= 2);
    });
}

#[test]
fn a_run_sees_what_was_written_before_any_request_it_serves() {
    /// Runs until idle; returns the newest data that a run has seen.
    fn run(word: &GateWord<AtomicUsize>, data: &AtomicUsize) -> usize {
        let mut seen = 0;
        loop {
            assert_eq!(word.begin(), Begin::Run);
            seen = seen.max(data.load(Ordering::Relaxed));
            if word.end() == End::Idle {
                return seen;
            }
        }
    }
    explore(|| {
        let shared = Arc::new((GateWord::<AtomicUsize>::new(), AtomicUsize::new(0)));
        assert_eq!(shared.0.request(), Request::Insert);
        let first = Arc::clone(&shared);
        let first = thread::spawn(move || run(&first.0, &first.1));
        // Meets the run above before, while and after it runs; only its own request orders the write before a run.
        shared.1.store(1, Ordering::Relaxed);
        let own = if shared.0.request() == Request::Insert { run(&shared.0, &shared.1) } else { 0 };
        assert_eq!(own.max(first.join().unwrap()), 1);
    });
}

#[test]
fn the_owner_may_go_away_inside_its_own_run() {
    explore(|| {
        let gate = Gate::new();
        assert_eq!(gate.word.request(), Request::Insert);
        let run = Arc::clone(&gate);
        let run = thread::spawn(move || {
            assert_eq!(run.word.begin(), Begin::Run);
            Gate::close(&run, true);
            assert_eq!(run.word.end(), End::Free);
            run.free();
        });
        run.join().unwrap();
    });
}
