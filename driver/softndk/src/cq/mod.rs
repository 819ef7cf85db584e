//! Completion queues: the object, its notifications and its table.

mod notifier;
mod queue;
#[cfg(test)]
mod tests;

use core::ffi::c_void;

use abi::NTSTATUS;
use abi::ndk::{
    NDK_CQ, NDK_CQ_DISPATCH, NDK_CQ_NOTIFY, NDK_FN_CQ_NOTIFICATION_CALLBACK, NDK_FN_REQUEST_COMPLETION,
    NDK_RESULT, NDK_RESULT_EX, NdkObjectTypeCq,
};
use abi::status::{STATUS_INVALID_PARAMETER, STATUS_INVALID_PARAMETER_MIX, STATUS_SUCCESS};
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, PoolBox, PoolSlice, Shared};

use crate::adapter::Adapter;
use crate::answer::{Holder, Request};
use crate::config::CQ_DEPTH_MAX;
use crate::life::{AnyObject, Hold, Life, Object, close, from_handle};
use crate::opaque::Opaque;
use crate::public::{Public, header, query_extension};
use crate::tag;

use queue::{Moderation, Queue};

pub(crate) use notifier::Notifier;
pub(crate) use queue::{Completion, Overrun};

/// One microsecond, in units of 100 ns.
const MICROSECOND: u64 = 10;
/// The longest that a notification is held back, in units of 100 ns: 100 ms.
const MODERATION_MAX: u64 = 100_000 * MICROSECOND;

/// A completion queue (`NDK_CQ`).
///
/// After an overrun it takes nothing any more. Each queue pair on it dies when it next has something to complete or to post.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Cq {
    public: Public<NDK_CQ>,
    life: Life,
    adapter: Hold<Adapter>,
    notification: NDK_FN_CQ_NOTIFICATION_CALLBACK,
    notification_context: Opaque,
    state: SpinLock<State>,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    /// Runs the notifications; back with the adapter once the object is closed.
    notifier: Option<PoolBox<Notifier>>,
}

impl Cq {
    pub(crate) fn create(
        adapter: &Shared<Adapter>,
        depth: u32,
        notification: NDK_FN_CQ_NOTIFICATION_CALLBACK,
        notification_context: *mut c_void,
    ) -> Result<Shared<Self>, NTSTATUS> {
        if depth == 0 || depth > CQ_DEPTH_MAX {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let queue = Queue::new(new_ring(depth)?);
        let life = Life::new()?;
        let cq = Shared::try_new(
            tag::OBJECT,
            Self {
                public: Public::new(NDK_CQ {
                    Header: header(adapter.version(), NdkObjectTypeCq),
                    Dispatch: &raw const DISPATCH,
                }),
                life,
                adapter: Hold::new(adapter),
                notification,
                notification_context: Opaque(notification_context),
                state: SpinLock::new(State { queue, notifier: None }),
            },
        )?;
        let notifier = adapter.take_notifier()?;
        cq.state.lock().notifier = Some(notifier);
        Ok(cq)
    }

    /// Places an entry and notifies as armed. IRQL ≤ DISPATCH_LEVEL, also under the locks of a queue pair.
    ///
    /// # Errors
    /// [`Overrun`]: the queue is dead, now or since earlier; the caller's queue pair must die too.
    pub(crate) fn push(this: &Shared<Self>, completion: Completion) -> Result<(), Overrun> {
        let mut state = this.state.lock();
        let was_dead = state.queue.is_dead();
        let pushed = state.queue.push(completion);
        if pushed.is_err() && !was_dead {
            this.adapter.core().counters().cq_errors.add(1);
        }
        Self::wake(this, &mut state);
        pushed
    }

    /// Whether the queue has overrun.
    pub(crate) fn is_dead(&self) -> bool {
        self.state.lock().queue.is_dead()
    }

    fn wake(this: &Shared<Self>, state: &mut State) {
        if state.queue.take_wakeup()
            && let Some(notifier) = &state.notifier
        {
            notifier.start(Hold::new(this));
        }
        if let (Some(delay), Some(notifier)) = (state.queue.patience(), &state.notifier) {
            notifier.hold(this, delay);
        }
    }

    /// The notification has been held back long enough.
    fn let_go(this: &Shared<Self>) {
        let mut state = this.state.lock();
        state.queue.let_go();
        Self::wake(this, &mut state);
    }

    /// `interval` in microseconds, `count` in entries; `u32::MAX` is without end, and so is a count above the depth.
    fn moderate(this: &Shared<Self>, interval: u32, count: u32) -> Result<(), NTSTATUS> {
        let held = {
            let mut state = this.state.lock();
            let endless = count == u32::MAX || count as usize > state.queue.depth();
            let wanted = match (interval, count) {
                (u32::MAX, _) if endless => return Err(STATUS_INVALID_PARAMETER_MIX),
                (0, _) | (_, 0 | 1) => None,
                _ => {
                    let limit = (u64::from(interval) * MICROSECOND).min(MODERATION_MAX);
                    let interval = (interval != u32::MAX).then_some(limit);
                    Some(Moderation { interval, entries: (!endless).then_some(count) })
                }
            };
            let Some(notifier) = &state.notifier else { return Ok(()) };
            if wanted.is_some_and(|wanted| wanted.interval.is_some()) {
                notifier.prepare_timer()?;
            }
            let held = notifier.stop_holding();
            state.queue.moderate(wanted);
            Self::wake(this, &mut state);
            held
        };
        drop(held);
        Ok(())
    }

    /// One run of the notification routine: at most one callback.
    fn notify(this: &Shared<Self>) {
        let due = this.state.lock().queue.begin();
        if let Some(status) = due {
            // SAFETY: the consumer's promise with the create: at IRQL ≤ DISPATCH_LEVEL, until the queue is closed, which
            // waits for this run.
            unsafe { (this.notification)(this.notification_context.0, status) };
        }
        let mut state = this.state.lock();
        if state.queue.end()
            && let Some(notifier) = &state.notifier
        {
            notifier.start(Hold::new(this));
        }
        if let (Some(delay), Some(notifier)) = (state.queue.patience(), &state.notifier) {
            notifier.hold(this, delay);
        }
    }

    fn pop(&self) -> Option<Completion> {
        let mut completion = self.state.lock().queue.pop()?;
        if let Some(debt) = completion.debt.take() {
            debt.settle();
        }
        Some(completion)
    }
}

impl Object for Cq {
    fn life(&self) -> &Life {
        &self.life
    }

    fn adapter(&self) -> &Shared<Adapter> {
        self.adapter.shared()
    }

    fn into_any(this: Shared<Self>) -> AnyObject {
        AnyObject::Cq(this)
    }

    fn close_issued(this: &Shared<Self>) {
        let held = {
            let mut state = this.state.lock();
            state.queue.close();
            state.notifier.as_ref().and_then(|notifier| notifier.stop_holding())
        };
        drop(held);
    }

    fn closed(&self) {
        let notifier = self.state.lock().notifier.take();
        if let Some(notifier) = notifier {
            self.adapter.keep_notifier(notifier);
        }
    }

    fn release_antecedents(&self) {
        self.adapter.release();
    }
}

fn new_ring(depth: u32) -> Result<PoolSlice<Option<Completion>>, AllocError> {
    PoolSlice::try_new_with(tag::OBJECT, depth as usize, |_| None)
}

/// The table of every completion queue.
static DISPATCH: NDK_CQ_DISPATCH = NDK_CQ_DISPATCH {
    NdkCloseCq: close::<Cq>,
    NdkQueryExtension: query_extension,
    NdkResizeCq: resize,
    NdkArmCq: arm,
    NdkGetCqResults: get_results,
    NdkControlCqInterruptModeration: control_interrupt_moderation,
    NdkGetCqResultsEx: get_results_ex,
};

/// `NDK_FN_RESIZE_CQ`. A depth below the number of entries present is `STATUS_INVALID_PARAMETER`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn resize(
    cq: *mut NDK_CQ,
    depth: u32,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: open (consumer).
    let cq: Shared<Cq> = unsafe { from_handle(cq.cast()) };
    // SAFETY: the consumer's promise with the request.
    let request = match unsafe { Request::prompt(Holder::from(&cq), completion, context) } {
        Ok(request) => request,
        Err(status) => return status,
    };
    request.answer(resize_now(&cq, depth))
}

fn resize_now(cq: &Cq, depth: u32) -> NTSTATUS {
    if depth == 0 || depth > CQ_DEPTH_MAX {
        return STATUS_INVALID_PARAMETER;
    }
    let ring = match new_ring(depth) {
        Ok(ring) => ring,
        Err(error) => return error.status(),
    };
    // Whichever ring is left over is freed after the lock.
    let resized = cq.state.lock().queue.resize(ring);
    if resized.is_ok() { STATUS_SUCCESS } else { STATUS_INVALID_PARAMETER }
}

/// `NDK_FN_ARM_CQ`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn arm(cq: *mut NDK_CQ, kind: NDK_CQ_NOTIFY) {
    // SAFETY: open (consumer).
    let cq: Shared<Cq> = unsafe { from_handle(cq.cast()) };
    let mut state = cq.state.lock();
    state.queue.arm(kind);
    Cq::wake(&cq, &mut state);
}

/// `NDK_FN_GET_CQ_RESULTS`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn get_results(cq: *mut NDK_CQ, results: *mut NDK_RESULT, count: u32) -> u32 {
    // SAFETY: open (consumer).
    let cq: Shared<Cq> = unsafe { from_handle(cq.cast()) };
    for taken in 0..count {
        let Some(completion) = cq.pop() else { return taken };
        let result = NDK_RESULT {
            Status: completion.status,
            BytesTransferred: completion.bytes,
            QPContext: completion.qp_context.0,
            RequestContext: completion.request_context.0,
        };
        // SAFETY: the array has room for `count` results (consumer).
        unsafe { results.wrapping_add(taken as usize).write(result) };
    }
    count
}

/// `NDK_FN_CONTROL_CQ_INTERRUPT_MODERATION`. Intervals above [`MODERATION_MAX`] count as that long.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn control_interrupt_moderation(
    cq: *mut NDK_CQ,
    interval: u32,
    count: u32,
) -> NTSTATUS {
    // SAFETY: open (consumer).
    let cq: Shared<Cq> = unsafe { from_handle(cq.cast()) };
    Cq::moderate(&cq, interval, count).err().unwrap_or(STATUS_SUCCESS)
}

/// `NDK_FN_GET_CQ_RESULTS_EX`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn get_results_ex(cq: *mut NDK_CQ, results: *mut NDK_RESULT_EX, count: u32) -> u32 {
    // SAFETY: open (consumer).
    let cq: Shared<Cq> = unsafe { from_handle(cq.cast()) };
    for taken in 0..count {
        let Some(completion) = cq.pop() else { return taken };
        let result = NDK_RESULT_EX {
            Status: completion.status,
            BytesTransferred: completion.bytes,
            QPContext: completion.qp_context.0,
            RequestContext: completion.request_context.0,
            Type: completion.operation,
            ProviderErrorCode: 0,
            TypeSpecificCompletionOutput: completion.token as usize,
        };
        // SAFETY: the array has room for `count` results (consumer).
        unsafe { results.wrapping_add(taken as usize).write(result) };
    }
    count
}
