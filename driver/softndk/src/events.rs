//! Callbacks that must not run inside a consumer's call: they wait here for the adapter's DPC.
//!
//! One queue per open adapter, first in first out, served by one DPC that never runs twice at once. So the callbacks of one
//! adapter, other than those of completion queues, come one at a time and in the order they fell due.

use core::fmt;

use abi::NTSTATUS;
use abi::ndk::{
    NDK_FN_CLOSE_COMPLETION, NDK_FN_CREATE_COMPLETION, NDK_FN_DISCONNECT_EVENT_CALLBACK,
    NDK_FN_DISCONNECT_EVENT_CALLBACK_EX, NDK_FN_REQUEST_COMPLETION, NDK_FN_SRQ_NOTIFICATION_CALLBACK,
    NDK_OBJECT_HEADER,
};
use abi::status::STATUS_SUCCESS;
use kernel::dpc::Dpc;
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, PoolBox, Shared};

use crate::answer::Holder;
use crate::connector::Connector;
use crate::life::{AnyObject, Hold};
use crate::listener::{self, Listener};
use crate::opaque::Opaque;
use crate::stream::Stream;
use crate::tag;
use crate::tcp::{Acceptor, Socket};

/// Callbacks one run of the DPC makes; more are left to the next run.
const CALLBACKS_PER_RUN: usize = 16;

/// The object a create completion carries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handle(pub(crate) *mut NDK_OBJECT_HEADER);

// SAFETY: the address of an object that may be used from any processor.
unsafe impl Send for Handle {}

/// A disconnect event in either width.
#[derive(Clone, Copy)]
pub(crate) enum DisconnectCallback {
    Plain(NDK_FN_DISCONNECT_EVENT_CALLBACK),
    WithReason(NDK_FN_DISCONNECT_EVENT_CALLBACK_EX),
}

/// One callback that is due.
pub(crate) enum Action {
    /// Not known yet: the job was only set aside.
    None,
    Request {
        completion: NDK_FN_REQUEST_COMPLETION,
        context: Opaque,
        status: NTSTATUS,
    },
    Create {
        completion: NDK_FN_CREATE_COMPLETION,
        context: Opaque,
        status: NTSTATUS,
        object: Handle,
    },
    Close {
        completion: NDK_FN_CLOSE_COMPLETION,
        context: Opaque,
        object: AnyObject,
    },
    ConnectRequest {
        listener: Hold<Listener>,
        connector: Shared<Connector>,
    },
    Disconnect {
        callback: DisconnectCallback,
        context: Opaque,
        /// `ProviderDisconnectReason`.
        reason: u32,
    },
    /// A socket of the system's is to be closed, which must not happen inside a completion of its own: Wine's provider waits in
    /// WskCloseSocket until they have returned.
    CloseSocket(Closing),
    /// A shared receive queue has fewer receives than its threshold.
    Srq {
        callback: NDK_FN_SRQ_NOTIFICATION_CALLBACK,
        context: Opaque,
    },
}

/// Whose socket is to be closed.
pub(crate) enum Closing {
    Stream(Shared<Stream>, Socket),
    Acceptor(Shared<Acceptor>, Socket),
}

/// Room for one callback, allocated before anything can go wrong.
pub(crate) struct Job {
    next: Option<PoolBox<Self>>,
    action: Action,
    /// What the callback keeps open until it has returned.
    holder: Option<Holder>,
}

impl Job {
    /// A job with nothing to do yet.
    pub(crate) fn new() -> Result<PoolBox<Self>, AllocError> {
        PoolBox::try_new(tag::JOB, Self { next: None, action: Action::None, holder: None })
    }

    /// Keeps `holder` open until the callback has returned.
    pub(crate) fn keep(&mut self, holder: Holder) {
        self.holder = Some(holder);
    }

    /// Makes the callback.
    fn run(mut this: PoolBox<Self>) {
        match core::mem::replace(&mut this.action, Action::None) {
            Action::None => {}
            Action::Request { completion, context, status } => {
                // SAFETY: the consumer's promise with the request: once, at IRQL ≤ DISPATCH_LEVEL.
                unsafe { completion(context.0, status) };
            }
            Action::Create { completion, context, status, object } => {
                // SAFETY: as for requests.
                unsafe { completion(context.0, status, object.0) };
            }
            Action::Close { completion, context, object } => {
                // SAFETY: as for requests.
                unsafe { completion(context.0) };
                object.release_antecedents();
            }
            Action::ConnectRequest { listener, connector } => listener::deliver(&listener, connector),
            Action::Disconnect { callback: DisconnectCallback::Plain(event), context, .. } => {
                // SAFETY: the consumer's promise with the event: at most once, at IRQL ≤ DISPATCH_LEVEL.
                unsafe { event(context.0) };
            }
            Action::Disconnect { callback: DisconnectCallback::WithReason(event), context, reason } => {
                // SAFETY: as for the plain event.
                unsafe { event(context.0, reason) };
            }
            Action::CloseSocket(Closing::Stream(stream, socket)) => Stream::close_socket(&stream, socket),
            Action::CloseSocket(Closing::Acceptor(acceptor, socket)) => {
                Acceptor::close_socket(&acceptor, socket);
            }
            Action::Srq { callback, context } => {
                // SAFETY: the consumer's promise with the create: at IRQL ≤ DISPATCH_LEVEL, until the queue is closed.
                unsafe { callback(context.0, STATUS_SUCCESS) };
            }
        }
        // The holder goes last, with the job.
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").finish_non_exhaustive()
    }
}

/// The queue of one open adapter.
#[derive(Debug)]
pub(crate) struct EventQueue(SpinLock<State>);

#[derive(Debug)]
struct State {
    /// Newest first.
    incoming: Option<PoolBox<Job>>,
    /// Oldest first; all older than those in `incoming`.
    outgoing: Option<PoolBox<Job>>,
    /// Gone once the adapter is closed.
    dpc: Option<Dpc>,
}

impl EventQueue {
    /// An empty queue that asks `dpc` to call [`run`](Self::run).
    pub(crate) const fn new(dpc: Dpc) -> Self {
        Self(SpinLock::new(State { incoming: None, outgoing: None, dpc: Some(dpc) }))
    }

    /// Queues a callback. IRQL ≤ DISPATCH_LEVEL. The caller keeps the queue's memory alive during the call.
    pub(crate) fn post(&self, mut job: PoolBox<Job>, action: Action) {
        job.action = action;
        let mut state = self.0.lock();
        job.next = state.incoming.take();
        state.incoming = Some(job);
        if let Some(dpc) = &state.dpc {
            dpc.queue();
        }
    }

    /// Makes a bounded number of the callbacks that are due. Called by the DPC alone.
    pub(crate) fn run(&self) {
        for _ in 0..CALLBACKS_PER_RUN {
            let Some(job) = self.0.lock().pop() else { return };
            Job::run(job);
        }
        if let Some(dpc) = &self.0.lock().dpc {
            dpc.queue();
        }
    }

    /// Takes the DPC away and waits until it has returned. PASSIVE_LEVEL.
    pub(crate) fn stop(&self) {
        let dpc = self.0.lock().dpc.take();
        drop(dpc);
    }
}

impl State {
    fn pop(&mut self) -> Option<PoolBox<Job>> {
        if self.outgoing.is_none() {
            let mut rest = self.incoming.take();
            while let Some(mut job) = rest {
                rest = job.next.take();
                job.next = self.outgoing.take();
                self.outgoing = Some(job);
            }
        }
        let mut job = self.outgoing.take()?;
        self.outgoing = job.next.take();
        Some(job)
    }
}
