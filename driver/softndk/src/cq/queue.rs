//! The state of a completion queue: a ring of entries and the rules of arming (NDKPI completion handling requirements).
//!
//! No lock, no callback, no clock: [`Cq`](super::Cq) puts a spin lock around it and runs the notifications it asks for.

use abi::NTSTATUS;
use abi::ndk::{
    NDK_CQ_NOTIFY, NDK_CQ_NOTIFY_ANY, NDK_CQ_NOTIFY_ERRORS, NDK_CQ_NOTIFY_SOLICITED, NDK_OPERATION_TYPE,
};
use abi::status::{STATUS_BUFFER_OVERFLOW, STATUS_SUCCESS};
use kernel::pool::PoolSlice;

use crate::opaque::Opaque;
use crate::qp::Debt;

/// One completion entry.
#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) status: NTSTATUS,
    /// Bytes placed by a receive.
    pub(crate) bytes: u32,
    pub(crate) qp_context: Opaque,
    pub(crate) request_context: Opaque,
    pub(crate) operation: NDK_OPERATION_TYPE,
    /// The token a remote invalidation ended.
    pub(crate) token: u32,
    /// A receive that took a send with the solicit flag.
    pub(crate) solicited: bool,
    /// Queue slots that are free again once this entry has been taken.
    pub(crate) debt: Option<Debt>,
}

impl Completion {
    /// Whether the entry satisfies `NDK_CQ_NOTIFY_SOLICITED`.
    fn solicits(&self) -> bool {
        self.solicited || self.status != STATUS_SUCCESS
    }
}

/// The queue is full: it is dead, and so is every queue pair on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Overrun;

/// What an arm waits for, weakest first: a second arm before the first is satisfied leaves the stronger of both.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Arm {
    Errors,
    Solicited,
    Any,
}

impl Arm {
    fn from_type(kind: NDK_CQ_NOTIFY) -> Option<Self> {
        match kind {
            NDK_CQ_NOTIFY_ERRORS => Some(Self::Errors),
            NDK_CQ_NOTIFY_SOLICITED => Some(Self::Solicited),
            NDK_CQ_NOTIFY_ANY => Some(Self::Any),
            _ => None,
        }
    }
}

/// How long a notification that is due is held back (`NdkControlCqInterruptModeration`): until one of the two is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Moderation {
    /// Since the notification fell due, in units of 100 ns; `None`: however long it takes.
    pub(crate) interval: Option<u64>,
    /// Entries placed since the last callback; `None`: however many there are.
    pub(crate) entries: Option<u32>,
}

/// Where the notification routine is; it never runs twice at once for one queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Routine {
    Idle,
    Queued,
    Running,
}

/// Ring and arming of one completion queue.
///
/// Positions in the stream of all entries ever placed are plain counts: `placed` is the number of entries placed so far.
#[derive(Debug)]
pub(crate) struct Queue {
    ring: PoolSlice<Option<Completion>>,
    head: usize,
    len: usize,
    placed: u64,
    /// `placed` just after the last entry that satisfies `NDK_CQ_NOTIFY_SOLICITED`.
    solicited: u64,
    /// `placed` when the last notification callback was called.
    notified: u64,
    arm: Option<Arm>,
    /// `placed` when the arm was made or last made stronger.
    armed: u64,
    /// A satisfied arm whose callback has not been called yet.
    due: Option<NTSTATUS>,
    moderation: Option<Moderation>,
    /// What is due is held back.
    held: bool,
    /// A failure of the queue that no callback has told yet.
    failure: Option<NTSTATUS>,
    dead: bool,
    /// The object's close has been issued: no notification starts any more.
    closed: bool,
    routine: Routine,
}

impl Queue {
    /// An empty, unarmed queue whose depth is the length of `ring`.
    pub(crate) const fn new(ring: PoolSlice<Option<Completion>>) -> Self {
        Self {
            ring,
            head: 0,
            len: 0,
            placed: 0,
            solicited: 0,
            notified: 0,
            arm: None,
            armed: 0,
            due: None,
            moderation: None,
            held: false,
            failure: None,
            dead: false,
            closed: false,
            routine: Routine::Idle,
        }
    }

    /// Entries there is room for.
    pub(crate) fn depth(&self) -> usize {
        self.ring.len()
    }

    /// Whether the queue has overrun.
    pub(crate) const fn is_dead(&self) -> bool {
        self.dead
    }

    /// Appends an entry.
    ///
    /// # Errors
    /// [`Overrun`]: no room, now or earlier; the queue is dead and takes nothing more.
    pub(crate) fn push(&mut self, completion: Completion) -> Result<(), Overrun> {
        if self.dead {
            return Err(Overrun);
        }
        let depth = self.ring.len();
        let at = (self.head + self.len).checked_rem(depth).unwrap_or(0);
        let solicits = completion.solicits();
        match self.ring.get_mut(at) {
            Some(place) if self.len < depth => *place = Some(completion),
            _ => {
                self.dead = true;
                self.held = false;
                self.failure = Some(STATUS_BUFFER_OVERFLOW);
                self.evaluate();
                return Err(Overrun);
            }
        }
        self.len += 1;
        self.placed += 1;
        if solicits {
            self.solicited = self.placed;
        }
        self.evaluate();
        self.held &= self.must_wait();
        Ok(())
    }

    /// Whether one more entry fits.
    #[cfg(test)]
    pub(super) fn has_room(&self) -> bool {
        self.len < self.ring.len()
    }

    /// Takes the oldest entry.
    pub(crate) fn pop(&mut self) -> Option<Completion> {
        if self.len == 0 {
            return None;
        }
        let completion = self.ring.get_mut(self.head)?.take();
        self.head = (self.head + 1).checked_rem(self.ring.len()).unwrap_or(0);
        self.len -= 1;
        completion
    }

    /// `NdkArmCq`. An unknown type is ignored.
    pub(crate) fn arm(&mut self, kind: NDK_CQ_NOTIFY) {
        let Some(wanted) = Arm::from_type(kind) else { return };
        if self.closed {
            return;
        }
        if self.arm.is_none_or(|armed| wanted > armed) {
            self.arm = Some(wanted);
            self.armed = self.placed;
        }
        // An entry placed since the last callback and still here satisfies the arm at once; older ones do not, and what
        // has been taken out needs no wake-up.
        let fresh = match self.arm {
            Some(Arm::Any) => self.len > 0 && self.placed > self.notified,
            Some(Arm::Solicited) => {
                let taken = self.placed - self.len as u64;
                self.solicited > self.notified && self.solicited > taken
            }
            Some(Arm::Errors) | None => false,
        };
        // While the callback of an earlier arm has yet to be called, everything here is old by the time it is.
        if fresh && self.due.is_none() {
            self.satisfy(STATUS_SUCCESS);
        }
        self.evaluate();
    }

    /// How notifications are held back from here on; one that is held now is let go if it need not wait any more.
    pub(crate) fn moderate(&mut self, moderation: Option<Moderation>) {
        self.moderation = moderation;
        self.held &= self.must_wait();
    }

    /// How long the notification that is due may be held back still, in units of 100 ns: the caller lets it go by then.
    pub(crate) fn patience(&self) -> Option<u64> {
        self.moderation.filter(|_| self.held).and_then(|moderation| moderation.interval)
    }

    /// It has been held back long enough.
    pub(crate) const fn let_go(&mut self) {
        self.held = false;
    }

    /// Whether too few entries are there for a notification.
    fn must_wait(&self) -> bool {
        self.moderation.is_some_and(|moderation| {
            // More than there is room for never come.
            let enough =
                moderation.entries.map_or(u64::MAX, |entries| u64::from(entries).min(self.ring.len() as u64));
            self.placed - self.notified < enough
        })
    }

    /// The object's close has been issued: arms and due notifications are forgotten.
    pub(crate) const fn close(&mut self) {
        self.closed = true;
        self.arm = None;
        self.due = None;
    }

    /// Replaces the ring by a larger or smaller one and gives back the old one.
    ///
    /// # Errors
    /// Gives `ring` back if the present entries do not fit.
    pub(crate) fn resize(
        &mut self,
        mut ring: PoolSlice<Option<Completion>>,
    ) -> Result<PoolSlice<Option<Completion>>, PoolSlice<Option<Completion>>> {
        if ring.len() < self.len {
            return Err(ring);
        }
        let len = self.len;
        for place in ring.iter_mut().take(len) {
            *place = self.pop();
        }
        self.head = 0;
        self.len = len;
        Ok(core::mem::replace(&mut self.ring, ring))
    }

    /// Whether the notification routine must be queued now; the caller does so if told `true`.
    pub(crate) fn take_wakeup(&mut self) -> bool {
        let wake = self.routine == Routine::Idle && self.due.is_some() && !self.held;
        if wake {
            self.routine = Routine::Queued;
        }
        wake
    }

    /// The queued routine has started: the status to call back with. Nothing more counts as new from here on.
    pub(crate) fn begin(&mut self) -> Option<NTSTATUS> {
        self.routine = Routine::Running;
        self.notified = self.placed;
        self.due.take()
    }

    /// The callback has returned: whether the routine must be queued again.
    pub(crate) fn end(&mut self) -> bool {
        self.routine = Routine::Idle;
        self.evaluate();
        self.take_wakeup()
    }

    fn evaluate(&mut self) {
        let Some(arm) = self.arm else { return };
        if self.due.is_some() {
            return;
        }
        if let Some(failure) = self.failure.take() {
            self.satisfy(failure);
            return;
        }
        let newest = match arm {
            Arm::Any => self.placed,
            Arm::Solicited => self.solicited,
            Arm::Errors => return,
        };
        if newest > self.armed {
            self.satisfy(STATUS_SUCCESS);
        }
    }

    fn satisfy(&mut self, status: NTSTATUS) {
        self.arm = None;
        self.due = Some(status);
        self.held = status == STATUS_SUCCESS && self.must_wait();
    }
}
