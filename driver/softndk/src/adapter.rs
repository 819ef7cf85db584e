//! The adapter object: one open of the software adapter, and the functions of its table but those for mappings.

use core::ffi::c_void;
use core::sync::atomic::{AtomicUsize, Ordering};

use abi::NTSTATUS;
use abi::ndk::{
    NDK_ADAPTER, NDK_ADAPTER_DISPATCH, NDK_ADAPTER_INFO, NDK_CONNECTOR, NDK_CQ,
    NDK_FN_CONNECT_EVENT_CALLBACK, NDK_FN_CQ_NOTIFICATION_CALLBACK, NDK_FN_CREATE_COMPLETION, NDK_LISTENER,
    NDK_PD, NDK_SHARED_ENDPOINT, NDK_VERSION, NdkObjectTypeAdapter,
};
use abi::nt::GROUP_AFFINITY;
use abi::status::{STATUS_BUFFER_TOO_SMALL, STATUS_SUCCESS};
use abi::wsk::SOCKADDR;
use kernel::dpc::Dpc;
use kernel::event::{Event, EventType};
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, PoolBox, Shared};
use kernel::timer::Timer;

use crate::address;
use crate::answer::{Creation, Holder};
use crate::config::{self, AnswerMode};
use crate::connector::Connector;
use crate::cq::{Cq, Notifier};
use crate::deadlines::{Deadline, Deadlines};
use crate::events::{Action, EventQueue, Job};
use crate::lam;
use crate::life::{Held, from_handle};
use crate::listener::Listener;
use crate::pd::Pd;
use crate::provider::Core;
use crate::public::{Public, header, query_extension};
use crate::shared_endpoint::SharedEndpoint;
use crate::tag;

/// One open adapter.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Adapter {
    public: Public<NDK_ADAPTER>,
    version: NDK_VERSION,
    core: Shared<Core>,
    /// The open itself, every object created over it and every callback that is due.
    holds: AtomicUsize,
    /// Set when the last hold is gone.
    idle: Event,
    events: EventQueue,
    deadlines: Deadlines,
    /// Notifiers of closed completion queues, kept because their DPCs may be dropped at PASSIVE_LEVEL only.
    notifiers: SpinLock<Option<PoolBox<Notifier>>>,
}

impl Held for Adapter {
    fn take_hold(&self) {
        self.holds.fetch_add(1, Ordering::Relaxed);
    }

    fn drop_hold(this: &Shared<Self>) {
        if this.holds.fetch_sub(1, Ordering::AcqRel) == 1 {
            this.idle.set();
        }
    }
}

impl Adapter {
    /// Opens the adapter. PASSIVE_LEVEL.
    pub(crate) fn open(core: &Shared<Core>, version: NDK_VERSION) -> Result<Shared<Self>, AllocError> {
        Shared::try_new_cyclic(tag::OBJECT, |this: *const Self| {
            // SAFETY: `run_events` takes the adapter as its context; `close` drops the DPC before the adapter's memory goes.
            let dpc = unsafe { Dpc::new(tag::OBJECT, run_events, this.cast_mut().cast()) }?;
            // SAFETY: as for the DPC.
            let timer = unsafe { Timer::new(tag::OBJECT, run_deadlines, this.cast_mut().cast()) }?;
            Ok(Self {
                public: Public::new(NDK_ADAPTER {
                    Header: header(version, NdkObjectTypeAdapter),
                    Dispatch: &raw const DISPATCH,
                }),
                version,
                core: core.clone(),
                holds: AtomicUsize::new(1),
                idle: Event::new(EventType::Notification, false)?,
                events: EventQueue::new(dpc),
                deadlines: Deadlines::new(timer),
                notifiers: SpinLock::new(None),
            })
        })
    }

    /// Waits until everything over the adapter is closed and every callback has returned. PASSIVE_LEVEL.
    pub(crate) fn close(this: &Shared<Self>) {
        Self::drop_hold(this);
        this.idle.wait_forever();
        this.events.stop();
        this.deadlines.stop();
        this.core.memory().forget_mappings(this.name());
        let mut rest = this.notifiers.lock().take();
        while let Some(notifier) = rest {
            rest = notifier.take_next();
        }
    }

    pub(crate) fn core(&self) -> &Shared<Core> {
        &self.core
    }

    /// The version in force, for the header of every object.
    pub(crate) const fn version(&self) -> NDK_VERSION {
        self.version
    }

    /// How to answer a request whose outcome is known.
    pub(crate) fn answers(&self) -> AnswerMode {
        self.core.answers()
    }

    /// The adapter's name as an owner of memory.
    pub(crate) fn name(&self) -> usize {
        (&raw const *self).addr()
    }

    /// Queues a callback; see [`EventQueue::post`].
    pub(crate) fn post(&self, job: PoolBox<Job>, action: Action) {
        self.events.post(job, action);
    }

    /// A disconnect begins to wait for the other side's.
    pub(crate) fn add_disconnect_deadline(&self, deadline: PoolBox<Deadline>) {
        self.deadlines.add(deadline, self.core.disconnect_timeout());
    }

    /// What must not take too long.
    pub(crate) const fn deadlines(&self) -> &Deadlines {
        &self.deadlines
    }

    /// A notifier for a new completion queue.
    pub(crate) fn take_notifier(&self) -> Result<PoolBox<Notifier>, AllocError> {
        let kept = {
            let mut first = self.notifiers.lock();
            let kept = first.take();
            if let Some(notifier) = &kept {
                *first = notifier.take_next();
            }
            kept
        };
        match kept {
            Some(notifier) => Ok(notifier),
            None => Notifier::new(),
        }
    }

    /// Keeps the notifier of a closed completion queue.
    pub(crate) fn keep_notifier(&self, notifier: PoolBox<Notifier>) {
        let mut first = self.notifiers.lock();
        notifier.set_next(first.take());
        *first = Some(notifier);
    }
}

/// The routine of the adapter's DPC.
///
/// # Safety
/// `context` is the adapter that owns the DPC.
unsafe fn run_events(context: *mut c_void) {
    // SAFETY: `close` waits for this routine before the adapter's memory can go.
    let adapter = unsafe { &*context.cast::<Adapter>() };
    adapter.events.run();
}

/// The routine of the adapter's timer.
///
/// # Safety
/// `context` is the adapter that owns the timer.
unsafe fn run_deadlines(context: *mut c_void) {
    // SAFETY: `close` waits for this routine before the adapter's memory can go.
    let adapter = unsafe { &*context.cast::<Adapter>() };
    adapter.deadlines.run();
}

/// The table of every adapter object.
static DISPATCH: NDK_ADAPTER_DISPATCH = NDK_ADAPTER_DISPATCH {
    NdkQueryExtension: query_extension,
    NdkQueryAdapterInfo: query_adapter_info,
    NdkCreateCq: create_cq,
    NdkCreatePd: create_pd,
    NdkCreateSharedEndpoint: create_shared_endpoint,
    NdkCreateConnector: create_connector,
    NdkCreateListener: create_listener,
    NdkBuildLAM: lam::build,
    NdkReleaseLAM: lam::release,
};

/// `NDK_FN_QUERY_ADAPTER_INFO`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn query_adapter_info(
    adapter: *mut NDK_ADAPTER,
    info: *mut NDK_ADAPTER_INFO,
    buffer_size: *mut u32,
) -> NTSTATUS {
    // SAFETY: an open adapter (consumer).
    let adapter: Shared<Adapter> = unsafe { from_handle(adapter.cast()) };
    let needed = size_of::<NDK_ADAPTER_INFO>() as u32;
    // SAFETY: valid (consumer).
    let room = unsafe { buffer_size.read() };
    // SAFETY: valid (consumer).
    unsafe { buffer_size.write(needed) };
    if room < needed {
        return STATUS_BUFFER_TOO_SMALL;
    }
    // SAFETY: room for the structure (checked).
    unsafe { info.write(config::adapter_info(adapter.version)) };
    STATUS_SUCCESS
}

/// `NDK_FN_CREATE_CQ`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn create_cq(
    adapter: *mut NDK_ADAPTER,
    depth: u32,
    notification: NDK_FN_CQ_NOTIFICATION_CALLBACK,
    notification_context: *mut c_void,
    _affinity: *const GROUP_AFFINITY,
    completion: NDK_FN_CREATE_COMPLETION,
    context: *mut c_void,
    out: *mut *mut NDK_CQ,
) -> NTSTATUS {
    // SAFETY: an open adapter (consumer).
    let adapter: Shared<Adapter> = unsafe { from_handle(adapter.cast()) };
    // SAFETY: the consumer's promise with the create.
    let creation = match unsafe { Creation::new(Holder::from(&adapter), completion, context) } {
        Ok(creation) => creation,
        Err(status) => return status,
    };
    let made = Cq::create(&adapter, depth, notification, notification_context);
    // SAFETY: valid (consumer).
    unsafe { creation.answer(made, out) }
}

/// `NDK_FN_CREATE_PD`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn create_pd(
    adapter: *mut NDK_ADAPTER,
    completion: NDK_FN_CREATE_COMPLETION,
    context: *mut c_void,
    out: *mut *mut NDK_PD,
) -> NTSTATUS {
    // SAFETY: an open adapter (consumer).
    let adapter: Shared<Adapter> = unsafe { from_handle(adapter.cast()) };
    // SAFETY: the consumer's promise with the create.
    let creation = match unsafe { Creation::new(Holder::from(&adapter), completion, context) } {
        Ok(creation) => creation,
        Err(status) => return status,
    };
    let made = Pd::create(&adapter);
    // SAFETY: valid (consumer).
    unsafe { creation.answer(made, out) }
}

/// `NDK_FN_CREATE_SHARED_ENDPOINT`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn create_shared_endpoint(
    adapter: *mut NDK_ADAPTER,
    local: *const SOCKADDR,
    local_length: u32,
    completion: NDK_FN_CREATE_COMPLETION,
    context: *mut c_void,
    out: *mut *mut NDK_SHARED_ENDPOINT,
) -> NTSTATUS {
    // SAFETY: an open adapter (consumer).
    let adapter: Shared<Adapter> = unsafe { from_handle(adapter.cast()) };
    // SAFETY: the consumer's promise with the create.
    let creation = match unsafe { Creation::new(Holder::from(&adapter), completion, context) } {
        Ok(creation) => creation,
        Err(status) => return status,
    };
    // SAFETY: readable for its length (consumer).
    let local = unsafe { address::read(local, local_length) };
    let made = local.and_then(|local| SharedEndpoint::create(&adapter, local));
    // SAFETY: valid (consumer).
    unsafe { creation.answer(made, out) }
}

/// `NDK_FN_CREATE_CONNECTOR`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn create_connector(
    adapter: *mut NDK_ADAPTER,
    completion: NDK_FN_CREATE_COMPLETION,
    context: *mut c_void,
    out: *mut *mut NDK_CONNECTOR,
) -> NTSTATUS {
    // SAFETY: an open adapter (consumer).
    let adapter: Shared<Adapter> = unsafe { from_handle(adapter.cast()) };
    // SAFETY: the consumer's promise with the create.
    let creation = match unsafe { Creation::new(Holder::from(&adapter), completion, context) } {
        Ok(creation) => creation,
        Err(status) => return status,
    };
    let made = Connector::create(&adapter);
    // SAFETY: valid (consumer).
    unsafe { creation.answer(made, out) }
}

/// `NDK_FN_CREATE_LISTENER`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn create_listener(
    adapter: *mut NDK_ADAPTER,
    connect_event: NDK_FN_CONNECT_EVENT_CALLBACK,
    connect_event_context: *mut c_void,
    completion: NDK_FN_CREATE_COMPLETION,
    context: *mut c_void,
    out: *mut *mut NDK_LISTENER,
) -> NTSTATUS {
    // SAFETY: an open adapter (consumer).
    let adapter: Shared<Adapter> = unsafe { from_handle(adapter.cast()) };
    // SAFETY: the consumer's promise with the create.
    let creation = match unsafe { Creation::new(Holder::from(&adapter), completion, context) } {
        Ok(creation) => creation,
        Err(status) => return status,
    };
    let made = Listener::create(&adapter, connect_event, connect_event_context);
    // SAFETY: valid (consumer).
    unsafe { creation.answer(made, out) }
}
