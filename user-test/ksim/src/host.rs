//! What the simulation needs of the host: locks, waiting, threads, the clock. The one place where its two modes differ.
//!
//! In the threaded mode these are the host's own. On a task of a [deterministic run](crate::sim) waiting goes through that
//! run's scheduler, and the clock is the run's.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use crate::sim;

/// A mutex of the simulation, and of layers that tests put into it. In a deterministic run nobody else runs while it is held, but
/// for whoever its holder waits for.
#[derive(Default)]
pub struct Mutex<T>(std::sync::Mutex<T>);

/// A mutex that is held.
pub struct MutexGuard<'mutex, T> {
    mutex: &'mutex Mutex<T>,
    guard: std::sync::MutexGuard<'mutex, T>,
    held: Held,
}

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// Counts the mutexes of the simulation that the thread holds.
struct Held(());

impl Held {
    fn new() -> Self {
        HELD.set(HELD.get() + 1);
        Self(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.set(HELD.get() - 1);
    }
}

/// Whether the thread holds a mutex of the simulation. What it does with one is a single step to the tasks of a run.
pub(crate) fn holds_mutex() -> bool {
    HELD.get() != 0
}

impl<T> Mutex<T> {
    /// A mutex that nobody holds.
    pub const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// Locks a mutex of the simulation. A panic elsewhere (a violation some test provokes) does not spoil it: no code that
/// holds one leaves its data half-changed.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    if !sim::is_task() {
        let guard = mutex.0.lock().unwrap_or_else(PoisonError::into_inner);
        return MutexGuard { mutex, guard, held: Held::new() };
    }
    loop {
        match mutex.0.try_lock() {
            Ok(guard) => return MutexGuard { mutex, guard, held: Held::new() },
            Err(TryLockError::Poisoned(poisoned)) => {
                return MutexGuard { mutex, guard: poisoned.into_inner(), held: Held::new() };
            }
            // Whoever has it calls out with it.
            Err(TryLockError::WouldBlock) => sim::pause("a mutex of the simulation"),
        }
    }
}

/// A condition variable of the simulation.
pub(crate) struct Condvar(std::sync::Condvar);

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self(std::sync::Condvar::new())
    }

    fn key(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Wakes everybody who waits.
    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
        sim::wake(self.key());
    }

    /// Wakes everybody who waits for one thing among those that share the variable.
    pub(crate) fn notify_about(&self, thing: usize) {
        self.0.notify_all();
        sim::wake(thing);
    }
}

/// Waits on a condition variable of the simulation; `what` for.
pub(crate) fn wait<'mutex, T>(
    changed: &Condvar,
    guard: MutexGuard<'mutex, T>,
    what: &'static str,
) -> MutexGuard<'mutex, T> {
    wait_about(changed, changed.key(), guard, None, what)
}

/// The same, at the latest until the clock shows `deadline`.
pub(crate) fn wait_until<'mutex, T>(
    changed: &Condvar,
    guard: MutexGuard<'mutex, T>,
    deadline: Duration,
    what: &'static str,
) -> MutexGuard<'mutex, T> {
    wait_about(changed, changed.key(), guard, Some(deadline), what)
}

/// The same for one thing among those that share the variable.
pub(crate) fn wait_about<'mutex, T>(
    changed: &Condvar,
    thing: usize,
    guard: MutexGuard<'mutex, T>,
    deadline: Option<Duration>,
    what: &'static str,
) -> MutexGuard<'mutex, T> {
    let MutexGuard { mutex, guard, held } = guard;
    if sim::is_task() {
        // Nobody else runs between the two.
        drop(guard);
        drop(held);
        sim::block(thing, deadline, what);
        return lock(mutex);
    }
    let guard = match deadline {
        None => changed.0.wait(guard).unwrap_or_else(PoisonError::into_inner),
        Some(deadline) => {
            let left = deadline.saturating_sub(now());
            changed.0.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0
        }
    };
    MutexGuard { mutex, guard, held }
}

/// Lets others go on.
pub(crate) fn yield_now() {
    if sim::is_task() { sim::pause("others") } else { thread::yield_now() }
}

/// The clock: time since the simulation began.
pub(crate) fn now() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    if sim::is_task() { sim::now() } else { START.elapsed() }
}

/// Threads that are started once in each mode, and once in each deterministic run.
pub(crate) struct Started(AtomicU64);

impl Started {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }

    /// Whether this is the first time.
    pub(crate) fn is_first(&self) -> bool {
        let run = sim::run_number();
        self.0.swap(run, Ordering::SeqCst) != run
    }
}

/// Starts a thread of the simulation. A panic on it would otherwise go unnoticed, so it ends the process.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) {
    if sim::is_task() {
        drop(sim::spawn(name, body));
        return;
    }
    sim::threaded_mode_begins();
    spawn_thread(name, body);
}

/// A thread of the host's that ends the process if it panics.
pub(crate) fn spawn_thread(name: &str, body: impl FnOnce() + Send + 'static) {
    let guarded = move || {
        if catch_unwind(AssertUnwindSafe(body)).is_err() {
            std::process::abort();
        }
    };
    if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(guarded) {
        crate::stop!(crate::stop::HOST, "no thread for {name}: {error}");
    }
}
