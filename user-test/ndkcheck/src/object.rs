//! Proxies of NDK objects, and calls into them.

use std::fmt;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use ksim::sync::Mutex;

use abi::ndk::{NDK_OBJECT_HEADER, NDK_OBJECT_HEADER_RESERVED_BLOCK, NDK_OBJECT_TYPE};
use abi::nt::KIRQL;

use crate::check::{Check, Refused, lock};
use crate::request::Request;
use crate::rule::Rule;
use crate::table::connector::Connector;
use crate::table::cq::Cq;
use crate::table::listener::Listener;
use crate::table::mr::Mr;
use crate::table::mw::Mw;
use crate::table::pd::Pd;
use crate::table::qp::Qp;
use crate::table::srq::Srq;

/// Calls a slot of the object behind a proxy: `forward!(proxy, TYPE, Member(arguments after the object))`.
macro_rules! forward {
    ($object:expr, $kind:ty, $member:ident($($argument:expr),* $(,)?)) => {{
        let inner: *mut $kind = $object.inner();
        // SAFETY: the object behind an open proxy is open, and stays so during the call.
        let table = unsafe { (*inner).Dispatch };
        // SAFETY: the table of a live object; the version in force has the slot, which the caller has checked.
        let function = unsafe { (*table).$member };
        // SAFETY: the consumer's own arguments, or what stands for them here.
        unsafe { function(inner.cast() $(, $argument)*) }
    }};
}
pub(crate) use forward;

/// What distinguishes one kind of object from another.
pub(crate) enum Body {
    Adapter,
    Connector(Connector),
    Cq(Cq),
    Listener(Listener),
    Mr(Mr),
    Mw(Mw),
    Pd(Pd),
    Qp(Qp),
    SharedEndpoint,
    Srq(Srq),
}

impl Body {
    const fn name(&self) -> &'static str {
        match self {
            Self::Adapter => "adapter",
            Self::Connector(_) => "connector",
            Self::Cq(_) => "completion queue",
            Self::Listener(_) => "listener",
            Self::Mr(_) => "memory region",
            Self::Mw(_) => "memory window",
            Self::Pd(_) => "protection domain",
            Self::Qp(_) => "queue pair",
            Self::SharedEndpoint => "shared endpoint",
            Self::Srq(_) => "shared receive queue",
        }
    }
}

/// An object as its consumer sees it; header and table come first, as in every NDK object.
#[repr(C)]
pub(crate) struct Object {
    header: NDK_OBJECT_HEADER,
    dispatch: *const (),
    check: *const Check,
    inner: AtomicPtr<NDK_OBJECT_HEADER>,
    /// The object exists, and its close was not issued.
    open: AtomicBool,
    /// Calls into the object that have not ended.
    calls: AtomicUsize,
    /// Requests that a script keeps until the close.
    pub(crate) held: Mutex<Vec<Arc<Request>>>,
    pub(crate) body: Body,
}

// SAFETY: NDK objects may be used from any thread; pointers in here are only followed as their own rules say.
unsafe impl Send for Object {}
// SAFETY: as above; what changes is behind locks and atomics.
unsafe impl Sync for Object {}

impl Object {
    /// A proxy without an object behind it yet.
    pub(crate) fn make(check: &Arc<Check>, kind: NDK_OBJECT_TYPE, dispatch: *const (), body: Body) -> Ref {
        check.keep(Box::new(Self {
            header: NDK_OBJECT_HEADER {
                Version: check.version,
                ObjectType: kind,
                NdkReserved: NDK_OBJECT_HEADER_RESERVED_BLOCK { rf: [ptr::null_mut(); 4] },
            },
            dispatch,
            check: Arc::as_ptr(check),
            inner: AtomicPtr::new(ptr::null_mut()),
            open: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
            held: Mutex::new(Vec::new()),
            body,
        }))
    }

    /// The object behind the proxy exists now.
    pub(crate) fn open(&self, inner: *mut NDK_OBJECT_HEADER) {
        self.inner.store(inner, Ordering::Release);
        self.open.store(true, Ordering::Release);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// The close is issued.
    pub(crate) fn begin_close(&self) {
        self.open.store(false, Ordering::Release);
    }

    /// The object behind the proxy.
    pub(crate) fn inner<T>(&self) -> *mut T {
        self.inner.load(Ordering::Acquire).cast()
    }

    pub(crate) const fn check(&self) -> *const Check {
        self.check
    }

    /// The check, kept alive.
    pub(crate) fn shared_check(&self) -> Arc<Check> {
        // SAFETY: a proxy is freed by its check, so the check exists.
        unsafe { Arc::increment_strong_count(self.check) };
        // SAFETY: the count that was just taken.
        unsafe { Arc::from_raw(self.check) }
    }

    /// A call has ended.
    pub(crate) fn leave(&self) {
        self.calls.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Acquire)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:#x}", self.body.name(), ptr::from_ref(self).addr())
    }
}

/// A proxy, which lives as long as its check.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ref(NonNull<Object>);

// SAFETY: as `&Object`.
unsafe impl Send for Ref {}
// SAFETY: as `&Object`.
unsafe impl Sync for Ref {}

impl Ref {
    pub(crate) fn new(object: &mut Object) -> Self {
        Self(NonNull::from(object))
    }

    /// # Safety
    /// `object` is a proxy whose check lives.
    pub(crate) unsafe fn from_raw(object: *mut Object) -> Self {
        // SAFETY: a proxy (caller) is not null.
        Self(unsafe { NonNull::new_unchecked(object) })
    }

    pub(crate) const fn as_ptr(self) -> *mut Object {
        self.0.as_ptr()
    }

    pub(crate) const fn non_null(self) -> NonNull<Object> {
        self.0
    }

    pub(crate) const fn header(self) -> *mut NDK_OBJECT_HEADER {
        self.0.as_ptr().cast()
    }
}

impl Deref for Ref {
    type Target = Object;

    fn deref(&self) -> &Object {
        // SAFETY: a proxy lives as long as its check; calls and requests keep the check while they hold proxies.
        unsafe { self.0.as_ref() }
    }
}

/// A call counts against the close of its object until it returns, or until its completion begins (rule 7 of section 9).
pub(crate) struct Mark {
    object: Ref,
    ended: Mutex<bool>,
}

impl Mark {
    pub(crate) fn end(&self) {
        // Whoever finds it ended finds the count without it, too.
        let mut ended = lock(&self.ended);
        if !std::mem::replace(&mut *ended, true) {
            self.object.leave();
        }
    }
}

/// A call into an object that is under way.
pub(crate) struct Call {
    pub(crate) check: Arc<Check>,
    pub(crate) object: Ref,
    /// Name of the function, for reports.
    pub(crate) name: &'static str,
    pub(crate) mark: Arc<Mark>,
}

impl Call {
    /// `Ok` when the rule is kept.
    pub(crate) fn demand(
        &self,
        kept: bool,
        rule: Rule,
        text: impl FnOnce() -> String,
    ) -> Result<(), Refused> {
        self.check.demand(kept, rule, || format!("{} of {}: {}", self.name, *self.object, text()))
    }

    /// The proxy behind an argument.
    ///
    /// # Safety
    /// `argument` is a proxy of some wrapped adapter.
    pub(crate) unsafe fn other<T>(&self, argument: *mut T) -> Result<Ref, Refused> {
        self.demand(!argument.is_null(), Rule::ForeignObject, || "an object is missing".to_owned())?;
        // SAFETY: a proxy (caller), kept by its check.
        let other = unsafe { Ref::from_raw(argument.cast()) };
        self.demand(ptr::eq(other.check, self.object.check), Rule::ForeignObject, || {
            format!("{} belongs to another adapter", *other)
        })?;
        self.demand(other.is_open(), Rule::UseAfterClose, || format!("{} is closed", *other))?;
        Ok(other)
    }

    /// An argument was of the wrong kind.
    pub(crate) fn wrong_kind(&self, other: Ref) -> Refused {
        self.check.broken(Rule::ForeignObject, format!("{} was given {}", self.name, *other))
    }

    /// The slot's own object is of another kind.
    pub(crate) fn wrong_object(&self) -> Refused {
        self.wrong_kind(self.object)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.mark.end();
    }
}

/// Begins a call.
///
/// # Safety
/// `object` is a proxy of some wrapped adapter that is open.
pub(crate) unsafe fn enter<T>(object: *mut T, name: &'static str, limit: KIRQL) -> Result<Call, Refused> {
    // SAFETY: a proxy (caller).
    let object = unsafe { Ref::from_raw(object.cast()) };
    let check = object.shared_check();
    let level = ksim::processor::irql();
    check.demand(level <= limit, Rule::Irql, || format!("{name} of {} at IRQL {level}", *object))?;
    check.demand(object.is_open(), Rule::UseAfterClose, || {
        format!("{name} of {}, which is closed", *object)
    })?;
    object.calls.fetch_add(1, Ordering::AcqRel);
    let mark = Arc::new(Mark { object, ended: Mutex::new(false) });
    Ok(Call { check, object, name, mark })
}

/// Takes what a script keeps until the close of `object`.
pub(crate) fn take_held(object: Ref) -> Vec<Arc<Request>> {
    std::mem::take(&mut *lock(&object.held))
}
