//! One routine that may be asked for from anywhere: coalesced, never twice at once, and safe to take away.
//!
//! The word says where the routine is. Its memory is freed by exactly one party: the owner, who closes the gate, or the
//! runner, who finds it closed.

use core::sync::atomic::Ordering;

use super::Word;

/// A run has been asked for and has not begun.
const QUEUED: usize = 1;
/// The routine is running.
const RUNNING: usize = 2;
/// The owner is gone or going: no run begins any more.
const CLOSED: usize = 4;
/// The owner waits for the run to end, and frees the memory itself.
const AWAITED: usize = 8;

/// What asking for a run needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Request {
    /// The caller hands the routine to the kernel.
    Insert,
    /// The runner will do that when the present run ends.
    AfterRun,
    /// A run that has not begun yet serves this request too.
    Coalesced,
    /// The gate is closed.
    Refused,
}

/// What the kernel's call of the routine is to do first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Begin {
    /// Run it.
    Run,
    /// The owner is gone: free the memory.
    Free,
}

/// What is to be done after a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// Nothing; the memory may be gone already.
    Idle,
    /// Hand the routine to the kernel again.
    Insert,
    /// Wake the owner, who frees the memory.
    Wake,
    /// The owner is gone: free the memory.
    Free,
}

/// What the owner does to take the routine away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Close {
    /// Free the memory: the kernel does not have the routine.
    Free,
    /// Leave the memory to the runner, who will find the gate closed.
    Leave,
    /// Wait to be woken by the runner, then free the memory.
    Wait,
}

pub(crate) struct GateWord<W> {
    word: W,
}

impl<W: Word> GateWord<W> {
    pub(crate) fn new() -> Self {
        Self { word: W::new(0) }
    }

    /// Asks for a run that begins after this call; what the caller wrote before is seen by it.
    pub(crate) fn request(&self) -> Request {
        // Always a read-modify-write, also when coalescing: only so does the run that comes see the caller's writes.
        let word = self.word.fetch_or(QUEUED, Ordering::AcqRel);
        if word & CLOSED != 0 {
            Request::Refused
        } else if word & QUEUED != 0 {
            Request::Coalesced
        } else if word & RUNNING != 0 {
            Request::AfterRun
        } else {
            Request::Insert
        }
    }

    /// The kernel calls the routine.
    pub(crate) fn begin(&self) -> Begin {
        self.update(|word| match word & CLOSED {
            0 => (Begin::Run, RUNNING),
            _ => (Begin::Free, word),
        })
    }

    /// The routine has returned.
    pub(crate) fn end(&self) -> End {
        self.update(|word| {
            if word & AWAITED != 0 {
                (End::Wake, word)
            } else if word & CLOSED != 0 {
                (End::Free, word)
            } else if word & QUEUED != 0 {
                (End::Insert, QUEUED)
            } else {
                (End::Idle, 0)
            }
        })
    }

    /// The owner takes the routine away, from inside the run if `own_run`.
    pub(crate) fn close(&self, own_run: bool) -> Close {
        self.update(|word| {
            if word & RUNNING != 0 {
                if own_run { (Close::Leave, word | CLOSED) } else { (Close::Wait, word | CLOSED | AWAITED) }
            } else if word & QUEUED != 0 {
                (Close::Leave, word | CLOSED)
            } else {
                (Close::Free, CLOSED)
            }
        })
    }

    /// Moves the word on atomically; `step` gives the answer and the new word for the present one.
    fn update<T>(&self, step: impl Fn(usize) -> (T, usize)) -> T {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let (answer, next) = step(word);
            match self.word.compare_exchange(word, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return answer,
                Err(now) => word = now,
            }
        }
    }
}
