//! A count of calls in flight that can be closed for new ones.

use core::sync::atomic::Ordering;

use super::Word;

/// Set once rundown has begun; the count is in the bits above.
const ENDING: usize = 1;
const ONE: usize = 2;
const LIMIT: usize = isize::MAX.unsigned_abs();

/// The count went out of its range: acquires and releases do not match.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RundownError;

/// What a release leaves behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Release {
    /// Nothing for the caller to do, and nothing it may touch: whoever waits may be gone.
    Done,
    /// The last call in flight has ended after rundown began: the caller wakes the waiters.
    Last,
}

/// What the beginning of rundown found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// No call in flight, and the caller is the first to begin: it wakes the other waiters.
    Now,
    /// Somebody else wakes the waiters: the last call in flight, or whoever began first.
    Later,
}

pub(crate) struct RundownWord<W> {
    word: W,
}

impl<W: Word> RundownWord<W> {
    pub(crate) fn new() -> Self {
        Self { word: W::new(0) }
    }

    /// Counts a call in; `Ok(false)` once rundown has begun.
    pub(crate) fn acquire(&self) -> Result<bool, RundownError> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & ENDING != 0 {
                return Ok(false);
            }
            if word >= LIMIT {
                return Err(RundownError);
            }
            match self.word.compare_exchange(word, word + ONE, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Ok(true),
                Err(now) => word = now,
            }
        }
    }

    /// Counts a call out.
    pub(crate) fn release(&self) -> Result<Release, RundownError> {
        match self.word.fetch_sub(ONE, Ordering::AcqRel) {
            word if word < ONE => Err(RundownError),
            word if word == ENDING + ONE => Ok(Release::Last),
            _ => Ok(Release::Done),
        }
    }

    /// Refuses new calls from now on.
    pub(crate) fn begin(&self) -> Ended {
        if self.word.fetch_or(ENDING, Ordering::AcqRel) == 0 { Ended::Now } else { Ended::Later }
    }
}
