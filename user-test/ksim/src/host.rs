//! What the simulation needs of the host.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Locks a mutex of the simulation. A panic elsewhere (a violation some test provokes) does not spoil it: no code that
/// holds one leaves its data half-changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits on a condition variable of the simulation.
pub(crate) fn wait<'guard, T>(changed: &Condvar, guard: MutexGuard<'guard, T>) -> MutexGuard<'guard, T> {
    changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

/// Starts a thread of the simulation. A panic on it would otherwise go unnoticed, so it ends the process.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) {
    let guarded = move || {
        if catch_unwind(AssertUnwindSafe(body)).is_err() {
            std::process::abort();
        }
    };
    if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(guarded) {
        crate::stop!(crate::stop::HOST, "no thread for {name}: {error}");
    }
}
