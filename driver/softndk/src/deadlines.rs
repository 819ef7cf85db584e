//! Disconnects whose peer takes its time.
//!
//! A graceful disconnect needs both consumers. One that waits longer than the adapter allows ends with `STATUS_IO_TIMEOUT`
//! (NetworkDirect disconnect scheme).

use kernel::lock::SpinLock;
use kernel::pool::{AllocError, PoolBox, Shared};
use kernel::time::interrupt_time_100ns;
use kernel::timer::Timer;

use crate::loopback::{Link, Side};
use crate::tag;

/// Connections one run of the timer's routine ends; more are left to the next run.
const ENDED_PER_RUN: usize = 16;

/// One disconnect that waits.
#[derive(Debug)]
pub(crate) struct Deadline {
    next: Option<PoolBox<Self>>,
    link: Shared<Link>,
    side: Side,
    /// Interrupt time, in units of 100 ns.
    due: u64,
}

impl Deadline {
    /// Room for a deadline, before it is known whether one is needed.
    pub(crate) fn new(link: &Shared<Link>, side: Side) -> Result<PoolBox<Self>, AllocError> {
        PoolBox::try_new(tag::JOB, Self { next: None, link: link.clone(), side, due: 0 })
    }

    fn is_of(&self, link: &Link, side: Side) -> bool {
        core::ptr::eq(Shared::as_ptr(&self.link), link) && self.side == side
    }
}

/// The deadlines of one open adapter.
#[derive(Debug)]
pub(crate) struct Deadlines {
    /// In units of 100 ns; the same for all, so the first one added is the first one due.
    patience: u64,
    state: SpinLock<State>,
}

#[derive(Debug)]
struct State {
    /// Newest first.
    first: Option<PoolBox<Deadline>>,
    /// Gone once the adapter is closed.
    timer: Option<Timer>,
}

impl Deadlines {
    /// No deadlines, and `timer` to call [`run`](Self::run).
    pub(crate) const fn new(timer: Timer, patience: u64) -> Self {
        Self { patience, state: SpinLock::new(State { first: None, timer: Some(timer) }) }
    }

    /// A disconnect begins to wait. IRQL ≤ DISPATCH_LEVEL.
    pub(crate) fn add(&self, mut deadline: PoolBox<Deadline>) {
        deadline.due = interrupt_time_100ns().saturating_add(self.patience);
        let mut state = self.state.lock();
        deadline.next = state.first.take();
        if deadline.next.is_none() {
            state.set_timer(self.patience);
        }
        state.first = Some(deadline);
    }

    /// A disconnect does not wait any more. IRQL ≤ DISPATCH_LEVEL.
    pub(crate) fn remove(&self, link: &Link, side: Side) {
        let gone = self.state.lock().take(|deadline| deadline.is_of(link, side));
        drop(gone);
    }

    /// Ends what is overdue. Called by the timer alone.
    pub(crate) fn run(&self) {
        for _ in 0..ENDED_PER_RUN {
            let now = interrupt_time_100ns();
            let overdue = {
                let mut state = self.state.lock();
                let overdue = state.take(|deadline| deadline.due <= now);
                if overdue.is_none() {
                    if let Some(due) = state.earliest() {
                        state.set_timer(due.saturating_sub(now));
                    }
                    return;
                }
                overdue
            };
            if let Some(deadline) = overdue {
                Link::time_out(&deadline.link, deadline.side);
            }
        }
        self.state.lock().set_timer(0);
    }

    /// Takes the timer away and waits until it has returned. PASSIVE_LEVEL.
    pub(crate) fn stop(&self) {
        let timer = self.state.lock().timer.take();
        drop(timer);
        while let Some(deadline) = self.take_any() {
            drop(deadline);
        }
    }

    fn take_any(&self) -> Option<PoolBox<Deadline>> {
        self.state.lock().take(|_| true)
    }
}

impl State {
    fn set_timer(&self, delay: u64) {
        if let Some(timer) = &self.timer {
            timer.set(delay);
        }
    }

    fn take(&mut self, which: impl Fn(&Deadline) -> bool) -> Option<PoolBox<Deadline>> {
        let mut link = &mut self.first;
        while link.as_ref().is_some_and(|deadline| !which(deadline)) {
            link = &mut link.as_mut()?.next;
        }
        let mut taken = link.take()?;
        *link = taken.next.take();
        Some(taken)
    }

    fn earliest(&self) -> Option<u64> {
        let mut next = self.first.as_ref();
        core::iter::from_fn(|| {
            let deadline = next?;
            next = deadline.next.as_ref();
            Some(deadline.due)
        })
        .min()
    }
}
