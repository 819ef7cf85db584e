//! Shared receive queues: receives that any of several queue pairs takes for its next send.

use core::ffi::c_void;

use abi::NTSTATUS;
use abi::ndk::{
    NDK_FN_REQUEST_COMPLETION, NDK_FN_SRQ_NOTIFICATION_CALLBACK, NDK_SGE, NDK_SRQ, NDK_SRQ_DISPATCH,
    NdkObjectTypeSrq,
};
use abi::status::{STATUS_BUFFER_OVERFLOW, STATUS_INVALID_PARAMETER, STATUS_NO_MORE_ENTRIES, STATUS_SUCCESS};
use kernel::lock::SpinLock;
use kernel::pool::{PoolBox, Shared};

use crate::adapter::Adapter;
use crate::answer::{Holder, Request};
use crate::config::{ELEMENTS_MAX, QUEUE_DEPTH_MAX};
use crate::events::{Action, Job};
use crate::life::{AnyObject, Hold, Life, Object, close, from_handle};
use crate::opaque::Opaque;
use crate::pd::Pd;
use crate::public::{Public, header, query_extension};
use crate::qp::{Credits, Element, QueueKind, Receives, element_list, total_bytes};
use crate::tag;

/// A shared receive queue (`NDK_SRQ`).
///
/// A receive belongs to the queue until a send takes it, then to the queue pair that the send came in on: only the entry on
/// that queue pair's completion queue frees the slot.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Srq {
    public: Public<NDK_SRQ>,
    life: Life,
    pd: Hold<Pd>,
    notification: Option<NDK_FN_SRQ_NOTIFICATION_CALLBACK>,
    notification_context: Opaque,
    elements_max: u32,
    credits: Shared<Credits>,
    state: SpinLock<State>,
}

#[derive(Debug)]
struct State {
    depth: u32,
    receives: Receives,
    /// Receives; with fewer than that in the queue the consumer is told.
    threshold: u32,
    /// Room for the notification, while it is armed.
    armed: Option<PoolBox<Job>>,
}

/// Sizes a shared receive queue is created with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) depth: u32,
    pub(crate) elements: u32,
    /// 0: no notification.
    pub(crate) threshold: u32,
}

impl Srq {
    /// # Errors
    /// `STATUS_INVALID_PARAMETER`: a limit of the adapter, or a threshold above the depth; `STATUS_INSUFFICIENT_RESOURCES`.
    pub(crate) fn create(
        pd: &Shared<Pd>,
        sizes: Sizes,
        notification: Option<NDK_FN_SRQ_NOTIFICATION_CALLBACK>,
        notification_context: *mut c_void,
    ) -> Result<Shared<Self>, NTSTATUS> {
        let Sizes { depth, elements, threshold } = sizes;
        if depth == 0 || depth > QUEUE_DEPTH_MAX || elements > ELEMENTS_MAX || threshold > depth {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let armed = if threshold > 0 && notification.is_some() { Some(Job::new()?) } else { None };
        let srq = Self {
            public: Public::new(NDK_SRQ {
                Header: header(pd.adapter().version(), NdkObjectTypeSrq),
                Dispatch: &raw const DISPATCH,
            }),
            life: Life::new()?,
            pd: Hold::new(pd),
            notification,
            notification_context: Opaque(notification_context),
            elements_max: elements,
            credits: Shared::try_new(tag::OBJECT, Credits::default())?,
            state: SpinLock::new(State {
                depth,
                receives: Receives::new(depth, elements)?,
                threshold,
                armed,
            }),
        };
        Ok(Shared::try_new(tag::OBJECT, srq)?)
    }

    /// Elements per receive.
    pub(crate) const fn elements_max(&self) -> u32 {
        self.elements_max
    }

    pub(crate) const fn credits(&self) -> &Shared<Credits> {
        &self.credits
    }

    pub(crate) const fn pd(&self) -> &Shared<Pd> {
        self.pd.shared()
    }

    /// Moves the oldest receive to `to`, which is empty, if there is one. Called with the inbound lock of the taker held.
    pub(crate) fn supply(this: &Shared<Self>, to: &mut Receives) {
        let fallen = {
            let mut state = this.state.lock();
            if state.receives.move_to(to) { state.take_notification() } else { None }
        };
        Self::notify(this, fallen);
    }

    fn notify(this: &Shared<Self>, job: Option<PoolBox<Job>>) {
        if let (Some(mut job), Some(callback)) = (job, this.notification) {
            job.keep(Holder::from(this));
            this.adapter().post(job, Action::Srq { callback, context: this.notification_context });
        }
    }

    /// `NdkModifySrq`: 0 leaves the depth, or threshold and arming, as they are.
    fn modify(this: &Shared<Self>, depth: u32, threshold: u32) -> Result<(), NTSTATUS> {
        if depth > QUEUE_DEPTH_MAX {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let mut room = match depth {
            0 => None,
            depth => Some(Receives::new(depth, this.elements_max)?),
        };
        let mut job = if threshold > 0 && this.notification.is_some() { Some(Job::new()?) } else { None };
        let fallen = {
            let mut state = this.state.lock();
            let depth = if depth == 0 { state.depth } else { depth };
            let in_force = if threshold == 0 { state.threshold } else { threshold };
            if in_force > depth || state.receives.len() > depth as usize {
                return Err(STATUS_INVALID_PARAMETER);
            }
            if let Some(room) = &mut room {
                while state.receives.move_to(room) {}
                core::mem::swap(&mut state.receives, room);
                state.depth = depth;
            }
            if threshold > 0 {
                state.threshold = threshold;
                core::mem::swap(&mut state.armed, &mut job);
                state.take_notification()
            } else {
                None
            }
        };
        Self::notify(this, fallen);
        Ok(())
    }

    /// `NdkSrqReceive`.
    fn post(&self, context: Opaque, sgl: &[NDK_SGE]) -> NTSTATUS {
        if total_bytes(sgl) > u64::from(u32::MAX) {
            return STATUS_BUFFER_OVERFLOW;
        }
        let mut state = self.state.lock();
        if !self.credits.take(QueueKind::Receive, state.depth) {
            return STATUS_NO_MORE_ENTRIES;
        }
        match state.receives.push(context, sgl.iter().map(Element::new)) {
            Ok(()) => STATUS_SUCCESS,
            Err(status) => {
                self.credits.put_back(QueueKind::Receive);
                status
            }
        }
    }
}

impl State {
    /// The room for the notification, if it is due: it is armed, and fewer receives are left than the threshold.
    fn take_notification(&mut self) -> Option<PoolBox<Job>> {
        if self.receives.len() < self.threshold as usize { self.armed.take() } else { None }
    }
}

impl Object for Srq {
    fn life(&self) -> &Life {
        &self.life
    }

    fn adapter(&self) -> &Shared<Adapter> {
        self.pd.shared().adapter()
    }

    fn into_any(this: Shared<Self>) -> AnyObject {
        AnyObject::Srq(this)
    }

    fn close_issued(this: &Shared<Self>) {
        // No notification begins any more.
        let job = this.state.lock().armed.take();
        drop(job);
    }

    fn release_antecedents(&self) {
        self.pd.release();
    }
}

/// The table of every shared receive queue.
static DISPATCH: NDK_SRQ_DISPATCH = NDK_SRQ_DISPATCH {
    NdkCloseSrq: close::<Srq>,
    NdkQueryExtension: query_extension,
    NdkModifySrq: modify,
    NdkSrqReceive: receive,
};

/// `NDK_FN_MODIFY_SRQ`. A threshold arms the notification, and it is due at once if there are fewer receives already: the
/// page does not say, and a consumer that looked before must not wait in vain. `STATUS_INVALID_PARAMETER`: a depth above the
/// adapter's or below what is queued, a threshold above the depth.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn modify(
    srq: *mut NDK_SRQ,
    depth: u32,
    threshold: u32,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: open (consumer).
    let srq: Shared<Srq> = unsafe { from_handle(srq.cast()) };
    // SAFETY: the consumer's promise with the request.
    let request = match unsafe { Request::prompt(Holder::from(&srq), completion, context) } {
        Ok(request) => request,
        Err(status) => return status,
    };
    request.answer(Srq::modify(&srq, depth, threshold).err().unwrap_or(STATUS_SUCCESS))
}

/// `NDK_FN_SRQ_RECEIVE`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn receive(
    srq: *mut NDK_SRQ,
    context: *mut c_void,
    sgl: *const NDK_SGE,
    count: u32,
) -> NTSTATUS {
    // SAFETY: open (consumer).
    let srq: Shared<Srq> = unsafe { from_handle(srq.cast()) };
    // SAFETY: readable (consumer).
    let sgl = unsafe { element_list(sgl, count) };
    srq.post(Opaque(context), sgl)
}
