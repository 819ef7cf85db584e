//! Control requests, their completions, and the other callbacks of the consumer.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use ksim::sync::Mutex;
use std::thread_local;

use abi::NTSTATUS;
use abi::ndk::{
    NDK_FN_CLOSE_COMPLETION, NDK_FN_CREATE_COMPLETION, NDK_FN_REQUEST_COMPLETION, NDK_OBJECT_HEADER,
};
use abi::nt::{DISPATCH_LEVEL, KIRQL};
use abi::status::{STATUS_CANCELLED, STATUS_PENDING, STATUS_SUCCESS};

use crate::check::{Check, lock};
use crate::object::{Body, Call, Mark, Ref, take_held};
use crate::rule::Rule;
use crate::script::{Act, Slot, When};
use crate::table::connector::Event;

unsafe extern "system" {
    fn KfRaiseIrql(new: KIRQL) -> KIRQL;
    fn KeLowerIrql(new: KIRQL);
}

thread_local! {
    static CALLBACKS: Cell<usize> = const { Cell::new(0) };
    /// The completion queue whose notification runs on this thread.
    static NOTIFYING: Cell<Option<Ref>> = const { Cell::new(None) };
}

/// Whether this thread runs a callback of the consumer.
pub(crate) fn in_callback() -> bool {
    CALLBACKS.get() != 0
}

/// Whether this thread runs the notification of that completion queue.
pub(crate) fn is_notifying(cq: Ref) -> bool {
    NOTIFYING.get() == Some(cq)
}

/// Calls the consumer, at DISPATCH_LEVEL: no consumer may count on less.
pub(crate) fn call_back(check: &Check, what: &str, callback: impl FnOnce()) {
    // SAFETY: no callback is due above DISPATCH_LEVEL, and raising has no other precondition.
    let before = unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
    let locks = ksim::processor::locks_held();
    CALLBACKS.set(CALLBACKS.get() + 1);
    callback();
    CALLBACKS.set(CALLBACKS.get() - 1);
    let (level, after) = (ksim::processor::irql(), ksim::processor::locks_held());
    if level != DISPATCH_LEVEL || after != locks {
        let text = format!("{what} returned at IRQL {level} with {after} locks, called at 2 with {locks}");
        check.broken(Rule::CallbackLevel, text);
    }
    if ksim::processor::irql() > before {
        // SAFETY: the level from before the raise.
        unsafe { KeLowerIrql(before) };
    }
}

/// A pointer of the consumer's, handed back as it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opaque(pub(crate) *mut c_void);

// SAFETY: never followed here.
unsafe impl Send for Opaque {}
// SAFETY: never followed here.
unsafe impl Sync for Opaque {}

/// The completion that a request came with.
#[derive(Clone, Copy)]
pub(crate) enum Completion {
    Request(Option<NDK_FN_REQUEST_COMPLETION>, Opaque),
    Create(NDK_FN_CREATE_COMPLETION, Opaque),
    Close(NDK_FN_CLOSE_COMPLETION, Opaque),
}

impl Completion {
    /// Whether it can tell one request from another.
    pub(crate) const fn has_context(&self) -> bool {
        let (Self::Request(_, context) | Self::Create(_, context) | Self::Close(_, context)) = self;
        !context.0.is_null()
    }

    /// Calls it. `object` goes with a create.
    fn call(&self, check: &Check, name: &str, status: NTSTATUS, object: *mut NDK_OBJECT_HEADER) {
        call_back(check, name, || match *self {
            Self::Request(None, _) => {}
            Self::Request(Some(completion), context) => {
                // SAFETY: the consumer's promise with the request: once, at IRQL <= DISPATCH_LEVEL.
                unsafe { completion(context.0, status) };
            }
            Self::Create(completion, context) => {
                // SAFETY: as for a request.
                unsafe { completion(context.0, status, object) };
            }
            Self::Close(completion, context) => {
                // SAFETY: as for a request.
                unsafe { completion(context.0) };
            }
        });
    }
}

/// A completion, and the function that it came with.
#[derive(Clone, Copy)]
pub(crate) struct Given {
    pub(crate) name: &'static str,
    pub(crate) completion: Completion,
}

impl Given {
    /// Calls it once more. A create has made something that no consumer may look at.
    pub(crate) fn repeat(&self, check: &Check) {
        let nowhere = ptr::without_provenance_mut(0x10);
        self.completion.call(check, self.name, STATUS_SUCCESS, nowhere);
    }
}

/// What the check does when a request ends, before the consumer hears of it: gets the status and the new object behind the
/// proxy, gives the proxy.
pub(crate) type Done = Box<dyn FnOnce(NTSTATUS, *mut NDK_OBJECT_HEADER) -> *mut NDK_OBJECT_HEADER + Send>;

/// A control request whose end the consumer does not know.
pub(crate) struct Request {
    check: Arc<Check>,
    name: &'static str,
    mark: Arc<Mark>,
    completion: Completion,
    act: Act,
    done: Mutex<Option<Done>>,
}

impl Request {
    /// Takes the end in; the proxy of a new object.
    fn end(&self, status: NTSTATUS, inner: *mut NDK_OBJECT_HEADER) -> *mut NDK_OBJECT_HEADER {
        let done = lock(&self.done).take();
        done.map_or(ptr::null_mut(), |done| done(status, inner))
    }

    /// Calls the completion now.
    fn complete(&self, status: NTSTATUS, object: *mut NDK_OBJECT_HEADER) {
        self.mark.end();
        self.completion.call(&self.check, self.name, status, object);
    }

    /// Calls the completion when it is time.
    fn answer(self: Arc<Self>, when: When, status: NTSTATUS, object: *mut NDK_OBJECT_HEADER) {
        let object = Opaque(object.cast());
        let check = Arc::clone(&self.check);
        check.script.run(
            when,
            Box::new(move || {
                let object = object;
                self.complete(status, object.0.cast());
            }),
        );
    }

    /// The provider has called the completion.
    fn completed(self: Arc<Self>, status: NTSTATUS, inner: *mut NDK_OBJECT_HEADER) {
        let object = self.end(status, inner);
        match self.act {
            Act::Never => {}
            Act::Answer(when) => self.answer(when, status, object),
            Act::Twice => {
                self.complete(status, object);
                self.complete(status, object);
            }
            _ => self.complete(status, object),
        }
    }

    /// The object is closed: a request that waited for that ends.
    pub(crate) fn cancel(&self) {
        self.end(STATUS_CANCELLED, ptr::null_mut());
        self.complete(STATUS_CANCELLED, ptr::null_mut());
    }
}

/// # Safety
/// `context` is a request of [`Call::control`] whose provider calls once.
unsafe fn request(context: *mut c_void) -> Arc<Request> {
    // SAFETY: the reference that `control` left (caller).
    unsafe { Arc::from_raw(context.cast_const().cast()) }
}

/// Given to providers as the completion of requests.
pub(crate) unsafe extern "system" fn requested(context: *mut c_void, status: NTSTATUS) {
    // SAFETY: the context of `control`.
    unsafe { request(context) }.completed(status, ptr::null_mut());
}

/// Given to providers as the completion of creates.
pub(crate) unsafe extern "system" fn created(
    context: *mut c_void,
    status: NTSTATUS,
    object: *mut NDK_OBJECT_HEADER,
) {
    // SAFETY: the context of `control`.
    unsafe { request(context) }.completed(status, object);
}

/// Given to providers as the completion of closes.
pub(crate) unsafe extern "system" fn closed(context: *mut c_void) {
    // SAFETY: the context of `control`.
    unsafe { request(context) }.completed(0, ptr::null_mut());
}

/// What a call of the provider returned: the status, and the new object if there is one.
pub(crate) type Returned = (NTSTATUS, *mut NDK_OBJECT_HEADER);

impl Call {
    /// Makes a control request of the provider, as the script wants it answered. `forward` gets the context for the
    /// completion.
    pub(crate) fn control(
        &self,
        slot: Slot,
        completion: Completion,
        done: Done,
        forward: impl FnOnce(*mut c_void) -> Returned,
    ) -> Returned {
        let act = self.check.script.act(slot);
        self.check.script.was_given(self.name, completion);
        let request = Arc::new(Request {
            check: Arc::clone(&self.check),
            name: self.name,
            mark: Arc::clone(&self.mark),
            completion,
            act,
            done: Mutex::new(Some(done)),
        });
        let pending = (STATUS_PENDING, ptr::null_mut());
        match act {
            Act::Fail(When::Inline, status) => (status, request.end(status, ptr::null_mut())),
            Act::Fail(when, status) => {
                let object = request.end(status, ptr::null_mut());
                request.answer(when, status, object);
                pending
            }
            // What is closed is closed behind the proxy all the same, or nothing could ever end.
            Act::Never if !matches!(completion, Completion::Close(..)) => pending,
            Act::UntilClosed => {
                lock(&self.object.held).push(request);
                pending
            }
            Act::Pass | Act::Answer(_) | Act::Twice | Act::CallAndReturn | Act::Never => {
                let context = Arc::into_raw(Arc::clone(&request));
                let (status, inner) = forward(context.cast_mut().cast());
                if status == STATUS_PENDING {
                    return pending;
                }
                // SAFETY: no callback comes, so the reference is still in the context.
                drop(unsafe { Arc::from_raw(context) });
                let object = request.end(status, inner);
                match act {
                    Act::Answer(When::Inline) | Act::Pass | Act::Fail(..) | Act::UntilClosed => {
                        return (status, object);
                    }
                    Act::Never => {}
                    Act::Answer(when) => request.answer(when, status, object),
                    Act::Twice => {
                        request.complete(status, object);
                        request.complete(status, object);
                    }
                    Act::CallAndReturn => {
                        request.complete(status, object);
                        return (status, object);
                    }
                }
                pending
            }
        }
    }

    /// Closes the call's object.
    pub(crate) fn close(
        self,
        slot: Slot,
        completion: NDK_FN_CLOSE_COMPLETION,
        context: *mut c_void,
        done: impl FnOnce() + Send + 'static,
        forward: impl FnOnce(*mut c_void) -> NTSTATUS,
    ) -> NTSTATUS {
        let object = self.object;
        // This very call counts, too.
        let others = object.calls() - 1;
        let busy = || format!("{others} other calls into it are under way");
        if self.demand(others == 0, Rule::CloseInCall, busy).is_err() {
            return abi::status::STATUS_INVALID_DEVICE_REQUEST;
        }
        object.begin_close();
        for held in take_held(object) {
            held.cancel();
        }
        let done: Done = Box::new(move |_, _| {
            done();
            ptr::null_mut()
        });
        let completion = Completion::Close(completion, Opaque(context));
        self.control(slot, completion, done, |context| (forward(context), ptr::null_mut())).0
    }
}

/// Makes a connector's disconnect event; `false` when there is none.
pub(crate) fn tell_disconnect(check: &Check, connector: Ref, reason: u32) -> bool {
    let Body::Connector(body) = &connector.body else { return false };
    let Some((event, context)) = *lock(&body.event) else { return false };
    call_back(check, "the disconnect event", || match event {
        Event::Plain(event) => {
            // SAFETY: the consumer's promise with the event.
            unsafe { event(context.0) };
        }
        Event::WithReason(event) => {
            // SAFETY: as above.
            unsafe { event(context.0, reason) };
        }
    });
    true
}

/// Makes the notification of a completion queue.
pub(crate) fn tell_cq(check: &Check, cq: Ref, status: NTSTATUS) {
    let Body::Cq(body) = &cq.body else { return };
    body.notified();
    let outer = NOTIFYING.replace(Some(cq));
    call_back(check, "the completion queue notification", || {
        // SAFETY: the consumer's promise with the creation of the queue.
        unsafe { (body.notification)(body.context.0, status) };
    });
    NOTIFYING.set(outer);
}
