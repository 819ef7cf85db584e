//! Runs the notifications of one completion queue after another.

use core::ffi::c_void;

use kernel::dpc::Dpc;
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, PoolBox};

use super::Cq;
use crate::life::Hold;
use crate::tag;

/// A DPC on loan to a completion queue.
///
/// A queue may be closed at DISPATCH_LEVEL, even inside its own notification, while the routine of its DPC is in its last
/// instructions; a DPC can be dropped only where one may wait for those. So the DPC outlives the queue: the adapter keeps
/// it, gives it to the next queue, and drops it at PASSIVE_LEVEL when the adapter is closed.
#[derive(Debug)]
pub(crate) struct Notifier {
    dpc: Dpc,
    /// The queue of the run that has been asked for.
    target: SpinLock<Option<Hold<Cq>>>,
    /// Link of the adapter's list.
    next: SpinLock<Option<PoolBox<Self>>>,
}

impl Notifier {
    pub(crate) fn new() -> Result<PoolBox<Self>, AllocError> {
        PoolBox::try_new_cyclic(tag::OBJECT, |this: *const Self| {
            // SAFETY: `run` takes the notifier as its context, and the notifier drops the DPC with itself.
            let dpc = unsafe { Dpc::new(tag::OBJECT, run, this.cast_mut().cast()) }?;
            Ok(Self { dpc, target: SpinLock::new(None), next: SpinLock::new(None) })
        })
    }

    /// Asks for one run for the queue that `target` keeps open until then. The queue asks once, and again after the run.
    pub(super) fn start(&self, target: Hold<Cq>) {
        *self.target.lock() = Some(target);
        self.dpc.queue();
    }

    pub(crate) fn take_next(&self) -> Option<PoolBox<Self>> {
        self.next.lock().take()
    }

    pub(crate) fn set_next(&self, next: Option<PoolBox<Self>>) {
        *self.next.lock() = next;
    }
}

/// The routine of the DPC.
///
/// # Safety
/// `context` is the notifier that owns the DPC.
unsafe fn run(context: *mut c_void) {
    // SAFETY: the drop of the notifier waits for this routine.
    let notifier = unsafe { &*context.cast::<Notifier>() };
    let target = notifier.target.lock().take();
    if let Some(cq) = target {
        Cq::notify(cq.shared());
        // Giving the hold back may close the queue and hand this notifier on.
    }
}
