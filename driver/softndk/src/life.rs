//! How long an NDK object lives (NDKPI object lifetime requirements).
//!
//! Two counts, for two questions. [`Shared`] counts who may touch the memory. [`Life`] counts what a close waits for: the
//! consumer's own handle, each open successor, and each callback that is due or running. When the life of an object is
//! over, its names (port, token) are given back, its close completion is called, and only after that has returned are its
//! antecedents released, whose own closes may then complete in turn.

use core::ops::Deref;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use abi::NTSTATUS;
use abi::ndk::{NDK_FN_CLOSE_COMPLETION, NDK_OBJECT_HEADER};
use abi::status::{STATUS_PENDING, STATUS_SUCCESS};
use core::ffi::c_void;
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, PoolBox, Shared};

use crate::adapter::Adapter;
use crate::config::AnswerMode;
use crate::connector::Connector;
use crate::cq::Cq;
use crate::events::{Action, Job};
use crate::listener::Listener;
use crate::mr::Mr;
use crate::mw::Mw;
use crate::opaque::Opaque;
use crate::pd::Pd;
use crate::qp::Qp;
use crate::shared_endpoint::SharedEndpoint;
use crate::srq::Srq;

/// What keeps one object open, and how its close is to be answered.
#[derive(Debug)]
pub(crate) struct Life {
    holds: AtomicUsize,
    /// Prepared with the object, because a close cannot fail.
    close: SpinLock<Close>,
}

#[derive(Debug)]
struct Close {
    job: Option<PoolBox<Job>>,
    completion: Option<(NDK_FN_CLOSE_COMPLETION, Opaque)>,
}

impl Life {
    /// A life held by the consumer's handle alone.
    pub(crate) fn new() -> Result<Self, AllocError> {
        let job = Some(Job::new()?);
        Ok(Self { holds: AtomicUsize::new(1), close: SpinLock::new(Close { job, completion: None }) })
    }

    fn hold(&self) {
        self.holds.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns whether that was the last hold.
    #[must_use]
    fn release(&self) -> bool {
        self.holds.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

/// An object with a close function, that is, any but the adapter.
pub(crate) trait Object: Sized {
    /// Its life.
    fn life(&self) -> &Life;

    /// The adapter it belongs to.
    fn adapter(&self) -> &Shared<Adapter>;

    /// The object as one of all kinds.
    fn into_any(this: Shared<Self>) -> AnyObject;

    /// Its close has been issued: end what would keep it open.
    fn close_issued(_this: &Shared<Self>) {}

    /// Nothing holds it any more: give its names back.
    fn closed(&self) {}

    /// Its close completion has returned: let go of the antecedents.
    fn release_antecedents(&self);
}

/// A closed object of any kind.
#[derive(Debug)]
pub(crate) enum AnyObject {
    Connector(Shared<Connector>),
    Cq(Shared<Cq>),
    Listener(Shared<Listener>),
    Mr(Shared<Mr>),
    Mw(Shared<Mw>),
    Pd(Shared<Pd>),
    Qp(Shared<Qp>),
    SharedEndpoint(Shared<SharedEndpoint>),
    Srq(Shared<Srq>),
}

impl AnyObject {
    /// Its close completion has returned.
    pub(crate) fn release_antecedents(self) {
        match self {
            Self::Connector(object) => object.release_antecedents(),
            Self::Cq(object) => object.release_antecedents(),
            Self::Listener(object) => object.release_antecedents(),
            Self::Mr(object) => object.release_antecedents(),
            Self::Mw(object) => object.release_antecedents(),
            Self::Pd(object) => object.release_antecedents(),
            Self::Qp(object) => object.release_antecedents(),
            Self::SharedEndpoint(object) => object.release_antecedents(),
            Self::Srq(object) => object.release_antecedents(),
        }
    }
}

/// Something that ends when its last hold is given back.
pub(crate) trait Held: Sized {
    /// Counts one hold more.
    fn take_hold(&self);

    /// Counts one hold less; the last one ends the life.
    fn drop_hold(this: &Shared<Self>);
}

impl<T: Object> Held for T {
    fn take_hold(&self) {
        self.life().hold();
    }

    fn drop_hold(this: &Shared<Self>) {
        if this.life().release() {
            finish(this.clone());
        }
    }
}

/// Keeps an object open.
///
/// Dropping or [`release`](Self::release) gives the hold back; the memory stays reachable through a released hold.
#[derive(Debug)]
pub(crate) struct Hold<T: Held> {
    object: Shared<T>,
    held: AtomicBool,
}

impl<T: Held> Hold<T> {
    /// Holds an object that something else holds at this moment.
    pub(crate) fn new(object: &Shared<T>) -> Self {
        object.take_hold();
        Self { object: object.clone(), held: AtomicBool::new(true) }
    }

    /// Gives the hold back, once.
    pub(crate) fn release(&self) {
        if self.held.swap(false, Ordering::AcqRel) {
            T::drop_hold(&self.object);
        }
    }

    /// The object.
    pub(crate) const fn shared(&self) -> &Shared<T> {
        &self.object
    }
}

impl<T: Held> Deref for Hold<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.object
    }
}

impl<T: Held> Drop for Hold<T> {
    fn drop(&mut self) {
        self.release();
    }
}

/// Gives a new object to the consumer: its first hold and one reference.
pub(crate) fn publish<T>(object: Shared<T>) -> *mut NDK_OBJECT_HEADER {
    Shared::into_raw(object).cast_mut().cast()
}

/// The object behind a handle.
///
/// # Safety
/// `handle` is an open object of type `T` that [`publish`] gave out, and it stays open during the consumer's call.
pub(crate) unsafe fn from_handle<T>(handle: *const NDK_OBJECT_HEADER) -> Shared<T> {
    // SAFETY: `publish` left one reference behind the pointer, which lives until the close.
    unsafe { Shared::clone_from_raw(handle.cast()) }
}

/// Closes an object (`NDK_FN_CLOSE_OBJECT`).
///
/// # Safety
/// `handle` is an open object of type `T` that [`publish`] gave out; the consumer gives it up. `completion` may be called
/// with `context` once, at any IRQL up to DISPATCH_LEVEL.
pub(crate) unsafe extern "system" fn close<T: Object>(
    handle: *mut NDK_OBJECT_HEADER,
    completion: NDK_FN_CLOSE_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: the reference that `publish` left behind the pointer is given up by this very call.
    let object = unsafe { Shared::<T>::from_raw(handle.cast()) };
    // The adapter's memory outlives this call, whoever finishes the close.
    let adapter = object.adapter().clone();
    object.life().close.lock().completion = Some((completion, Opaque(context)));
    T::close_issued(&object);
    if !object.life().release() {
        return STATUS_PENDING;
    }
    match adapter.answers() {
        AnswerMode::Inline => {
            object.closed();
            object.release_antecedents();
            STATUS_SUCCESS
        }
        AnswerMode::Early => {
            object.closed();
            // SAFETY: as promised by the caller; this is the only call.
            unsafe { completion(context) };
            object.release_antecedents();
            STATUS_PENDING
        }
        AnswerMode::Later => {
            finish(object);
            STATUS_PENDING
        }
    }
}

/// Ends an object that was never given to a consumer.
pub(crate) fn discard<T: Object>(object: Shared<T>) {
    if object.life().release() {
        object.closed();
        object.release_antecedents();
    }
}

/// Completes a close from the adapter's event queue.
fn finish<T: Object>(object: Shared<T>) {
    let adapter = object.adapter().clone();
    object.closed();
    let (job, completion) = {
        let mut close = object.life().close.lock();
        (close.job.take(), close.completion.take())
    };
    // Both are there: only a close gives the first hold back, and the last hold ends only once.
    if let (Some(job), Some((completion, context))) = (job, completion) {
        adapter.post(job, Action::Close { completion, context, object: T::into_any(object) });
    }
}
