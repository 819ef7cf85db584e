//! How full the queues of a queue pair are, as its consumer may know it.

use core::sync::atomic::{AtomicU32, Ordering};

use kernel::pool::Shared;

/// Which of the two queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum QueueKind {
    Receive,
    Initiator,
}

/// Slots in use. A slot is taken when a request is posted and free again when its entry has been taken out of the completion
/// queue; that of a silent request, when the entry of a later one has.
#[derive(Debug, Default)]
pub(crate) struct Credits {
    receive: AtomicU32,
    initiator: AtomicU32,
}

impl Credits {
    fn of(&self, queue: QueueKind) -> &AtomicU32 {
        match queue {
            QueueKind::Receive => &self.receive,
            QueueKind::Initiator => &self.initiator,
        }
    }

    /// Takes a slot of `queue`, which has `depth`. Returns whether one was free. Serialised by the queue's own lock.
    #[must_use]
    pub(crate) fn take(&self, queue: QueueKind, depth: u32) -> bool {
        let used = self.of(queue);
        if used.load(Ordering::Acquire) >= depth {
            return false;
        }
        used.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Gives back a slot whose request was not posted after all.
    pub(crate) fn put_back(&self, queue: QueueKind) {
        self.of(queue).fetch_sub(1, Ordering::Release);
    }
}

/// Slots that come back when the entry that carries this is taken.
#[derive(Debug)]
pub(crate) struct Debt {
    pub(crate) credits: Shared<Credits>,
    pub(crate) queue: QueueKind,
    pub(crate) slots: u32,
}

impl Debt {
    /// Gives the slots back.
    pub(crate) fn settle(self) {
        self.credits.of(self.queue).fetch_sub(self.slots, Ordering::Release);
    }
}
