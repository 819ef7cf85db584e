//! Runs the notifications of one completion queue after another.

use core::ffi::c_void;

use kernel::dpc::Dpc;
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, PoolBox, Shared};
use kernel::timer::Timer;

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
    /// Made for the first queue that wants its notifications held back; kept as the DPC is.
    timer: SpinLock<Option<Timer>>,
    /// The queue whose notification is held back.
    held: SpinLock<Option<Hold<Cq>>>,
    /// Link of the adapter's list.
    next: SpinLock<Option<PoolBox<Self>>>,
}

impl Notifier {
    pub(crate) fn new() -> Result<PoolBox<Self>, AllocError> {
        PoolBox::try_new_cyclic(tag::OBJECT, |this: *const Self| {
            // SAFETY: `run` takes the notifier as its context, and the notifier drops the DPC with itself.
            let dpc = unsafe { Dpc::new(tag::OBJECT, run, this.cast_mut().cast()) }?;
            Ok(Self {
                dpc,
                target: SpinLock::new(None),
                timer: SpinLock::new(None),
                held: SpinLock::new(None),
                next: SpinLock::new(None),
            })
        })
    }

    /// Asks for one run for the queue that `target` keeps open until then. The queue asks once, and again after the run.
    pub(super) fn start(&self, target: Hold<Cq>) {
        *self.target.lock() = Some(target);
        self.dpc.queue();
    }

    /// Makes what [`hold`](Self::hold) needs.
    ///
    /// # Errors
    /// No memory.
    pub(super) fn prepare_timer(&self) -> Result<(), AllocError> {
        if self.timer.lock().is_some() {
            return Ok(());
        }
        let context = core::ptr::from_ref(self).cast_mut().cast();
        // SAFETY: `expire` takes the notifier as its context, and the notifier drops the timer with itself.
        let timer = unsafe { Timer::new(tag::OBJECT, expire, context) }?;
        // Moderation is not controlled twice at once, so there is none yet.
        *self.timer.lock() = Some(timer);
        Ok(())
    }

    /// Lets go of the notification of `target` after `delay`, in units of 100 ns; not if one is held back already.
    pub(super) fn hold(&self, target: &Shared<Cq>, delay: u64) {
        let mut held = self.held.lock();
        if held.is_none() {
            *held = Some(Hold::new(target));
            if let Some(timer) = &*self.timer.lock() {
                timer.set(delay);
            }
        }
    }

    /// The queue is being closed, or does not want to wait any more. The result is dropped without locks.
    pub(super) fn stop_holding(&self) -> Option<Hold<Cq>> {
        let held = self.held.lock().take();
        if held.is_some()
            && let Some(timer) = &*self.timer.lock()
        {
            timer.cancel();
        }
        held
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

/// The routine of the timer.
///
/// # Safety
/// `context` is the notifier that owns the timer.
unsafe fn expire(context: *mut c_void) {
    // SAFETY: the drop of the notifier waits for this routine.
    let notifier = unsafe { &*context.cast::<Notifier>() };
    let held = notifier.held.lock().take();
    if let Some(cq) = held {
        Cq::let_go(cq.shared());
    }
}
