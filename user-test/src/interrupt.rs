//! Ctrl-C: a flag that loops look at, and what ends a request that waits in the driver.

use crate::failure::Failure;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is done when Ctrl-C comes.
type Action = Box<dyn FnMut() + Send>;

static PRESSED: AtomicBool = AtomicBool::new(false);
static ACTIONS: Mutex<Vec<(u64, Action)>> = Mutex::new(Vec::new());
static NEXT: AtomicU64 = AtomicU64::new(0);
static WAKE: Condvar = Condvar::new();

fn actions() -> MutexGuard<'static, Vec<(u64, Action)>> {
    ACTIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on Ctrl-C does not end the process, but sets the flag and runs the actions.
///
/// # Errors
/// The system cannot tell of Ctrl-C.
pub(crate) fn listen() -> Result<(), Failure> {
    let set = ctrlc::set_handler(|| {
        let mut actions = actions();
        PRESSED.store(true, Ordering::Release);
        actions.iter_mut().for_each(|(_, action)| action());
        WAKE.notify_all();
    });
    set.map_err(|e| Failure::Failed(format!("cannot listen for Ctrl-C: {e}")))
}

/// An action that is wanted for as long as this lives.
pub(crate) struct Wanted(u64);

impl Drop for Wanted {
    /// Waits while the actions are run.
    fn drop(&mut self) {
        actions().retain(|(number, _)| *number != self.0);
    }
}

/// Runs `action` when Ctrl-C comes, or now if it has come. The action drops no [`Wanted`].
pub(crate) fn also(mut action: impl FnMut() + Send + 'static) -> Wanted {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut actions = actions();
    if pressed() {
        action();
    } else {
        actions.push((number, Box::new(action)));
    }
    Wanted(number)
}

/// Whether Ctrl-C has come.
pub(crate) fn pressed() -> bool {
    PRESSED.load(Ordering::Acquire)
}

/// Waits so long, or until Ctrl-C; whether the time is over.
pub(crate) fn sleep(time: Duration) -> bool {
    let end = Instant::now() + time;
    let mut guard = actions();
    loop {
        if pressed() {
            return false;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        guard = WAKE.wait_timeout(guard, left).map_or_else(|e| e.into_inner().0, |(guard, _)| guard);
    }
}
