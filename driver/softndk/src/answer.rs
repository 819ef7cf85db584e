//! Answering control requests: inline, later, or before the call returns (see [`AnswerMode`]).

use core::ffi::c_void;

use abi::NTSTATUS;
use abi::ndk::{NDK_FN_CREATE_COMPLETION, NDK_FN_REQUEST_COMPLETION};
use abi::status::{STATUS_PENDING, STATUS_SUCCESS};
use kernel::pool::{PoolBox, Shared};

use crate::adapter::Adapter;
use crate::config::AnswerMode;
use crate::connector::Connector;
use crate::cq::Cq;
use crate::events::{Action, Handle, Job};
use crate::life::{Hold, Object as _};
use crate::listener::Listener;
use crate::mr::Mr;
use crate::opaque::Opaque;
use crate::pd::Pd;
use crate::srq::Srq;

/// What a callback keeps open until it has returned.
#[derive(Debug)]
pub(crate) enum Holder {
    Adapter(Hold<Adapter>),
    Connector(Hold<Connector>),
    Cq(Hold<Cq>),
    Listener(Hold<Listener>),
    Mr(Hold<Mr>),
    Pd(Hold<Pd>),
    Srq(Hold<Srq>),
}

impl Holder {
    fn adapter(&self) -> Shared<Adapter> {
        match self {
            Self::Adapter(object) => object.shared().clone(),
            Self::Connector(object) => object.adapter().clone(),
            Self::Cq(object) => object.adapter().clone(),
            Self::Listener(object) => object.adapter().clone(),
            Self::Mr(object) => object.adapter().clone(),
            Self::Pd(object) => object.adapter().clone(),
            Self::Srq(object) => object.adapter().clone(),
        }
    }
}

macro_rules! holder_from {
    ($($kind:ident),*) => {
        $(impl From<&Shared<$kind>> for Holder {
            fn from(object: &Shared<$kind>) -> Self {
                Self::$kind(Hold::new(object))
            }
        })*
    };
}

holder_from!(Adapter, Connector, Cq, Listener, Mr, Pd, Srq);

/// A control request that has not been answered; it is answered once, by value.
#[derive(Debug)]
pub(crate) struct Request {
    completion: NDK_FN_REQUEST_COMPLETION,
    context: Opaque,
    /// Room for the callback, where one may be needed.
    job: Option<PoolBox<Job>>,
    holder: Holder,
}

impl Request {
    /// A request whose outcome will be known before the call returns.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: the adapter answers later, and there is no room for the callback.
    ///
    /// # Safety
    /// `completion` may be called with `context` once, at any IRQL up to DISPATCH_LEVEL.
    pub(crate) unsafe fn prompt(
        holder: Holder,
        completion: NDK_FN_REQUEST_COMPLETION,
        context: *mut c_void,
    ) -> Result<Self, NTSTATUS> {
        let later = holder.adapter().answers() == AnswerMode::Later;
        let job = if later { Some(Job::new()?) } else { None };
        Ok(Self { completion, context: Opaque(context), job, holder })
    }

    /// A request whose outcome depends on somebody else.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: no room for the callback.
    ///
    /// # Safety
    /// As for [`prompt`](Self::prompt).
    pub(crate) unsafe fn pending(
        holder: Holder,
        completion: NDK_FN_REQUEST_COMPLETION,
        context: *mut c_void,
    ) -> Result<Self, NTSTATUS> {
        let job = Some(Job::new()?);
        Ok(Self { completion, context: Opaque(context), job, holder })
    }

    /// Answers inside the consumer's call; the result is what the call returns.
    ///
    /// Nothing of the object may be touched afterwards.
    pub(crate) fn answer(self, status: NTSTATUS) -> NTSTATUS {
        match self.holder.adapter().answers() {
            AnswerMode::Inline => return status,
            AnswerMode::Early => {
                // SAFETY: the consumer's promise with the request; this is the only call.
                unsafe { (self.completion)(self.context.0, status) };
            }
            AnswerMode::Later => self.complete(status),
        }
        STATUS_PENDING
    }

    /// Answers after the consumer's call has returned `STATUS_PENDING`, or will.
    pub(crate) fn complete(self, status: NTSTATUS) {
        let Self { completion, context, job, holder } = self;
        // There is a job wherever this can be reached: `pending`, or `prompt` where answers come later.
        if let Some(mut job) = job {
            let adapter = holder.adapter();
            job.keep(holder);
            adapter.post(job, Action::Request { completion, context, status });
        }
    }
}

/// A create that has not been answered.
#[derive(Debug)]
pub(crate) struct Creation {
    completion: NDK_FN_CREATE_COMPLETION,
    context: Opaque,
    job: Option<PoolBox<Job>>,
    /// The parent.
    holder: Holder,
}

impl Creation {
    /// A create whose outcome will be known before the call returns.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: the adapter answers later, and there is no room for the callback.
    ///
    /// # Safety
    /// `completion` may be called with `context` once, at any IRQL up to DISPATCH_LEVEL.
    pub(crate) unsafe fn new(
        holder: Holder,
        completion: NDK_FN_CREATE_COMPLETION,
        context: *mut c_void,
    ) -> Result<Self, NTSTATUS> {
        let later = holder.adapter().answers() == AnswerMode::Later;
        let job = if later { Some(Job::new()?) } else { None };
        Ok(Self { completion, context: Opaque(context), job, holder })
    }

    /// Gives the new object to the consumer, or tells why there is none; the result is what the call returns.
    ///
    /// # Safety
    /// `out` is valid for a write.
    pub(crate) unsafe fn answer<T, P>(self, made: Result<Shared<T>, NTSTATUS>, out: *mut *mut P) -> NTSTATUS {
        let (status, object) = match made {
            Ok(object) => (STATUS_SUCCESS, crate::life::publish(object)),
            Err(status) => (status, core::ptr::null_mut()),
        };
        let adapter = self.holder.adapter();
        match adapter.answers() {
            AnswerMode::Inline => {
                if status == STATUS_SUCCESS {
                    // SAFETY: valid (caller).
                    unsafe { out.write(object.cast()) };
                }
                return status;
            }
            AnswerMode::Early => {
                // SAFETY: the consumer's promise with the create; this is the only call.
                unsafe { (self.completion)(self.context.0, status, object) };
            }
            AnswerMode::Later => {
                let Self { completion, context, job, holder } = self;
                if let Some(mut job) = job {
                    job.keep(holder);
                    adapter.post(job, Action::Create { completion, context, status, object: Handle(object) });
                }
            }
        }
        STATUS_PENDING
    }
}
