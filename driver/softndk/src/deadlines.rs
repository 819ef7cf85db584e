//! What must not take longer than a given time: a disconnect whose peer takes its time, a handshake, the end of a stream.
//!
//! A graceful disconnect needs both consumers. One that waits longer than the adapter allows ends with `STATUS_IO_TIMEOUT`
//! (NetworkDirect disconnect scheme).

use kernel::lock::SpinLock;
use kernel::pool::{AllocError, PoolBox, Shared};
use kernel::time::interrupt_time_100ns;
use kernel::timer::Timer;

use crate::fabric::Side;
use crate::loopback::Link;
use crate::stream::Stream;
use crate::tag;
use crate::tcp::Acceptor;

/// Connections one run of the timer's routine ends; more are left to the next run.
const ENDED_PER_RUN: usize = 16;
/// Interrupt time that never comes.
const NEVER: u64 = u64::MAX;

/// Who has a deadline.
#[derive(Clone, Debug)]
pub(crate) enum Waiting {
    /// A disconnect.
    Link(Shared<Link>, Side),
    Stream(Shared<Stream>),
    /// Makes its next attempt then.
    Acceptor(Shared<Acceptor>),
}

/// The same, to look for it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    Link(&'a Link, Side),
    Stream(&'a Stream),
    Acceptor(&'a Acceptor),
}

/// One deadline.
#[derive(Debug)]
pub(crate) struct Deadline {
    next: Option<PoolBox<Self>>,
    waiting: Waiting,
    /// Interrupt time, in units of 100 ns.
    due: u64,
}

impl Deadline {
    /// Room for a deadline, before it is known whether one is needed.
    pub(crate) fn new(waiting: Waiting) -> Result<PoolBox<Self>, AllocError> {
        PoolBox::try_new(tag::JOB, Self { next: None, waiting, due: NEVER })
    }

    fn is_of(&self, target: Target<'_>) -> bool {
        match (&self.waiting, target) {
            (Waiting::Link(link, side), Target::Link(other, other_side)) => {
                core::ptr::eq(Shared::as_ptr(link), other) && *side == other_side
            }
            (Waiting::Stream(stream), Target::Stream(other)) => core::ptr::eq(Shared::as_ptr(stream), other),
            (Waiting::Acceptor(acceptor), Target::Acceptor(other)) => {
                core::ptr::eq(Shared::as_ptr(acceptor), other)
            }
            _ => false,
        }
    }
}

/// The deadlines of one open adapter.
#[derive(Debug)]
pub(crate) struct Deadlines(SpinLock<State>);

#[derive(Debug)]
struct State {
    /// Newest first.
    first: Option<PoolBox<Deadline>>,
    /// Interrupt time for which the timer is set.
    set_for: u64,
    /// Gone once the adapter is closed.
    timer: Option<Timer>,
}

impl Deadlines {
    /// No deadlines, and `timer` to call [`run`](Self::run).
    pub(crate) const fn new(timer: Timer) -> Self {
        Self(SpinLock::new(State { first: None, set_for: NEVER, timer: Some(timer) }))
    }

    /// A deadline begins, of `patience` in units of 100 ns. IRQL ≤ DISPATCH_LEVEL.
    pub(crate) fn add(&self, mut deadline: PoolBox<Deadline>, patience: u64) {
        let now = interrupt_time_100ns();
        deadline.due = now.saturating_add(patience);
        let due = deadline.due;
        let mut state = self.0.lock();
        deadline.next = state.first.take();
        state.first = Some(deadline);
        state.be_called(due, now);
    }

    /// A deadline that was added is another one from now on: `patience` is in units of 100 ns, and `None` is none for now. It
    /// does nothing to one that was overdue and is being told. IRQL ≤ DISPATCH_LEVEL.
    pub(crate) fn change(&self, target: Target<'_>, patience: Option<u64>) {
        let now = interrupt_time_100ns();
        let due = patience.map_or(NEVER, |patience| now.saturating_add(patience));
        let mut state = self.0.lock();
        if let Some(deadline) = state.find(target) {
            deadline.due = due;
            state.be_called(due, now);
        }
    }

    /// A deadline is none any more. IRQL ≤ DISPATCH_LEVEL.
    pub(crate) fn remove(&self, target: Target<'_>) {
        let gone = self.0.lock().take(|deadline| deadline.is_of(target));
        drop(gone);
    }

    /// Tells whose deadline is over. Called by the timer alone.
    pub(crate) fn run(&self) {
        for _ in 0..ENDED_PER_RUN {
            let now = interrupt_time_100ns();
            let overdue = {
                let mut state = self.0.lock();
                let overdue = state.overdue(now);
                if overdue.is_none() {
                    state.set_for = NEVER;
                    let earliest = state.earliest();
                    state.be_called(earliest, now);
                    return;
                }
                overdue
            };
            match overdue {
                Some(Waiting::Link(link, side)) => Link::time_out(&link, side),
                Some(Waiting::Stream(stream)) => Stream::time_out(&stream),
                Some(Waiting::Acceptor(acceptor)) => Acceptor::retry(&acceptor),
                None => {}
            }
        }
        let mut state = self.0.lock();
        let now = interrupt_time_100ns();
        state.set_for = NEVER;
        state.be_called(now, now);
    }

    /// Takes the timer away and waits until it has returned. PASSIVE_LEVEL.
    pub(crate) fn stop(&self) {
        let timer = self.0.lock().timer.take();
        drop(timer);
        while let Some(deadline) = self.take_any() {
            drop(deadline);
        }
    }

    fn take_any(&self) -> Option<PoolBox<Deadline>> {
        self.0.lock().take(|_| true)
    }
}

impl State {
    /// Has the timer's routine called at `due`, or before.
    fn be_called(&mut self, due: u64, now: u64) {
        if due >= self.set_for {
            return;
        }
        self.set_for = due;
        if let Some(timer) = &self.timer {
            timer.set(due.saturating_sub(now));
        }
    }

    /// Who has waited too long, and does not any more. Who may wait again keeps its place.
    fn overdue(&mut self, now: u64) -> Option<Waiting> {
        let mut next = self.first.as_mut();
        loop {
            let deadline = next?;
            if deadline.due <= now {
                deadline.due = NEVER;
                return Some(deadline.waiting.clone());
            }
            next = deadline.next.as_mut();
        }
    }

    fn find(&mut self, target: Target<'_>) -> Option<&mut Deadline> {
        let mut next = self.first.as_mut();
        loop {
            let deadline = next?;
            if deadline.is_of(target) {
                return Some(deadline);
            }
            next = deadline.next.as_mut();
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

    /// [`NEVER`] if there is none.
    fn earliest(&self) -> u64 {
        let mut next = self.first.as_ref();
        let dues = core::iter::from_fn(|| {
            let deadline = next?;
            next = deadline.next.as_ref();
            Some(deadline.due)
        });
        dues.min().unwrap_or(NEVER)
    }
}
