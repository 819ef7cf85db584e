//! A timer without the kernel's: a thread that sleeps until it is time.

use core::ffi::c_void;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::dpc::Dpc;
use crate::event::{Event, EventType};
use crate::pool::{AllocError, PoolBox, PoolTag};
use crate::thread::Thread;
use crate::time::interrupt_time_100ns;

/// In [`Shared::due`]: not set.
const NEVER: u64 = u64::MAX;
/// In [`Shared::due`]: the thread is to end.
const END: u64 = 0;

/// What the thread works with.
struct Shared {
    wake: Event,
    /// When it is time, in units of 100 ns of interrupt time.
    due: AtomicU64,
    run: Dpc,
}

/// The thread, and what it works with.
pub(super) struct Sleeper {
    /// Ends before what it works with.
    thread: Option<Thread>,
    shared: PoolBox<Shared>,
}

impl Sleeper {
    /// One that is not set and asks for a run of `run`. IRQL: PASSIVE_LEVEL.
    pub(super) fn new(tag: PoolTag, run: Dpc) -> Result<Self, AllocError> {
        let wake = Event::new(EventType::Synchronization, false)?;
        let shared = PoolBox::try_new(tag, Shared { wake, due: AtomicU64::new(NEVER), run })?;
        // SAFETY: the drop ends the thread before what it works with.
        let thread = unsafe { Thread::spawn(tag, sleep, shared.as_ptr().cast()) };
        // A thread fails for want of memory only.
        Ok(Self { thread: Some(thread.map_err(|_| AllocError)?), shared })
    }

    pub(super) fn set(&self, delay: u64) {
        let due = interrupt_time_100ns().saturating_add(delay).clamp(END + 1, NEVER - 1);
        self.shared.due.store(due, Ordering::Release);
        self.shared.wake.set();
    }

    pub(super) fn cancel(&self) {
        self.shared.due.store(NEVER, Ordering::Release);
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.shared.due.store(END, Ordering::Release);
        self.shared.wake.set();
        drop(self.thread.take());
    }
}

/// The thread.
///
/// # Safety
/// `context` is the [`Shared`] of a sleeper, which waits for the return.
unsafe fn sleep(context: *mut c_void) {
    // SAFETY: the caller's promise.
    let shared = unsafe { &*context.cast::<Shared>() };
    loop {
        let due = shared.due.load(Ordering::Acquire);
        let left = match due {
            END => return,
            NEVER => None,
            due => Some(due.saturating_sub(interrupt_time_100ns())),
        };
        if left == Some(0) {
            // Set again meanwhile: that is another time.
            if shared.due.compare_exchange(due, NEVER, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                shared.run.queue();
            }
            continue;
        }
        // Woken or not, there is a time to look at.
        let _woken = shared.wake.wait(left);
    }
}
