//! A task: a host thread that runs while it has the baton.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{ME, block, wait_for_baton, wake, with};
use crate::host;

/// A task that was started.
#[derive(Debug)]
pub struct Task {
    over: Arc<AtomicBool>,
}

impl Task {
    fn key(&self) -> usize {
        Arc::as_ptr(&self.over).addr()
    }

    /// Whether it has returned.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Waits until it has returned.
    pub fn join(&self) {
        while !self.is_over() {
            block(self.key(), None, "the end of a task");
        }
    }

    /// The same, at the latest until the clock shows `deadline`; whether it has returned.
    #[must_use]
    pub fn join_until(&self, deadline: Duration) -> bool {
        while !self.is_over() && super::now() < deadline {
            block(self.key(), Some(deadline), "the end of a task");
        }
        self.is_over()
    }
}

/// Starts a task. It runs when the scheduler chooses it.
pub(super) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Task {
    let over = Arc::new(AtomicBool::new(false));
    let task = Task { over: Arc::clone(&over) };
    let (say, hear) = std::sync::mpsc::channel();
    let enlist = with(|_, scheduler| scheduler.enlist(name));
    let Some(me) = enlist else { crate::stop!(crate::stop::HOST, "no deterministic run is under way") };
    host::spawn_thread(name, move || {
        let _sent = say.send(std::thread::current());
        ME.set(Some(me));
        wait_for_baton(me);
        body();
        over.store(true, Ordering::SeqCst);
        wake(Arc::as_ptr(&over).addr());
        let next = with(|me, scheduler| scheduler.end(me)).flatten();
        ME.set(None);
        if let Some(next) = next {
            next.unpark();
        }
    });
    if let Ok(thread) = hear.recv() {
        with(|_, scheduler| scheduler.begin(me, thread));
    }
    super::point("a new task");
    task
}
