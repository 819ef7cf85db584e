//! Calls under way into something that is to end, and who is told of them.

use crate::endpoint::Handler;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::pool::Shared;

const ENDED: u32 = 1 << 31;

/// Counts the calls under way, until the end is marked. Any IRQL <= DISPATCH_LEVEL.
#[derive(Debug)]
pub(crate) struct Uses(AtomicU32);

/// What marking the end has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// No call is under way: the caller goes on.
    Now,
    /// The last call to leave goes on.
    Later,
    /// It was marked before.
    Already,
}

impl Uses {
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Enters a call; `false` once the end was marked.
    pub(crate) fn enter(&self) -> bool {
        let entered = |n: u32| (n & ENDED == 0).then_some(n.wrapping_add(1));
        self.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, entered).is_ok()
    }

    /// Leaves a call; `true`: the end was marked, and this was the last one, which goes on.
    pub(crate) fn leave(&self) -> bool {
        self.0.fetch_sub(1, Ordering::AcqRel) == ENDED | 1
    }

    /// Marks the end.
    pub(crate) fn end(&self) -> End {
        match self.0.fetch_or(ENDED, Ordering::AcqRel) {
            0 => End::Now,
            n if n & ENDED == 0 => End::Later,
            _ => End::Already,
        }
    }
}

/// Who is told of what happens to an endpoint, until [`end`](Self::end): the last thing told is [`Handler::closed`], when no
/// other call is under way. Then the handler is let go. What holds this may live on for a provider that is not done with it.
pub(crate) struct Audience<H: Handler> {
    calls: Uses,
    /// Gone once the end was marked and the last call has left.
    handler: UnsafeCell<Option<Shared<H>>>,
}

// SAFETY: a handler may be used and dropped anywhere; the cell is only changed by the one party that `Uses` names.
unsafe impl<H: Handler> Send for Audience<H> {}
// SAFETY: as above.
unsafe impl<H: Handler> Sync for Audience<H> {}

impl<H: Handler> Audience<H> {
    /// Nobody yet.
    pub(crate) const fn empty() -> Self {
        Self { calls: Uses::new(), handler: UnsafeCell::new(None) }
    }

    /// From now on `handler` is told.
    ///
    /// # Safety
    /// Called once, before anybody else can call anything here.
    pub(crate) unsafe fn seat(&self, handler: Shared<H>) {
        // SAFETY: the caller is alone.
        unsafe { *self.handler.get() = Some(handler) };
    }

    /// Tells the handler; `None` when there is none, or the end was marked.
    pub(crate) fn tell<R>(&self, call: impl FnOnce(&H) -> R) -> Option<R> {
        if !self.calls.enter() {
            return None;
        }
        // SAFETY: the cell is not changed before this call has left.
        let handler = unsafe { &*self.handler.get() };
        let result = handler.as_deref().map(call);
        if self.calls.leave() {
            // SAFETY: named by `Uses`.
            unsafe { self.finish() };
        }
        result
    }

    /// Marks the end. `false`: it was marked before. Any number of times.
    pub(crate) fn end(&self) -> bool {
        match self.calls.end() {
            End::Now => {
                // SAFETY: named by `Uses`.
                unsafe { self.finish() };
                true
            }
            End::Later => true,
            End::Already => false,
        }
    }

    /// # Safety
    /// `Uses` has named the caller, which it does once.
    unsafe fn finish(&self) {
        // SAFETY: no call looks at the cell any more, nor does another party.
        let handler = unsafe { (*self.handler.get()).take() };
        if let Some(handler) = handler {
            handler.closed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_to_leave_after_the_end_goes_on() {
        let uses = Uses::new();
        assert!(uses.enter() && uses.enter());
        assert!(!uses.leave());
        assert_eq!(uses.end(), End::Later);
        assert!(!uses.enter());
        assert_eq!(uses.end(), End::Already);
        assert!(uses.leave());
        assert_eq!(Uses::new().end(), End::Now);
    }
}
