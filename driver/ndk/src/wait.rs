//! Waiting for control requests at PASSIVE_LEVEL, for so long.
//!
//! A request may end inline, later, or before the call that starts it has returned. The cell is ready before the
//! call, and only the callback's status counts once the call has answered PENDING (NDKPI completion rules).
//!
//! One that has not ended when the time is over is given up: its cell stays, with what the provider may still read, until
//! the provider ends it, or for ever. One that ends twice ends once. An object that comes about then is closed at once.

use crate::TAG;
use crate::faults::{Fault, Faults};
use crate::handles::{self, Handles, Reserved};
use crate::object::close_unused;
use abi::NTSTATUS;
use abi::ndk::{
    NDK_FN_CLOSE_COMPLETION, NDK_FN_CREATE_COMPLETION, NDK_FN_REQUEST_COMPLETION, NDK_OBJECT_HEADER,
};
use abi::status::{STATUS_INTERNAL_ERROR, STATUS_IO_TIMEOUT, STATUS_PENDING, nt_success};
use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering};
use kernel::event::{Event, EventType};
use kernel::lock::SpinLock;
use kernel::pool::Shared;

/// How long a provider may take, where is counted that it took longer, and what its answers are found by.
pub(crate) struct Patience<'a> {
    /// In units of 100 ns.
    pub(crate) limit: u64,
    pub(crate) faults: &'a Faults,
    pub(crate) handles: &'a Shared<Handles>,
}

/// The waiter waits, or has not begun to.
const OPEN: u32 = 0;
/// The completion was called.
const DONE: u32 = 1;
/// The waiter has given up.
const GIVEN_UP: u32 = 2;

/// The answer of one request: the waiter's, and the provider's until it has called the completion.
struct Cell<K> {
    event: Event,
    stage: AtomicU32,
    status: AtomicI32,
    object: AtomicPtr<NDK_OBJECT_HEADER>,
    /// What the provider may read until the request has ended.
    kept: K,
}

/// How a request has ended.
struct End {
    status: NTSTATUS,
    /// By its completion, which has the object.
    called: bool,
}

impl<K: Send + Sync + 'static> Cell<K> {
    fn new(kept: K) -> Result<Shared<Self>, NTSTATUS> {
        let event = Event::new(EventType::Notification, false).map_err(|e| e.status())?;
        let cell = Self {
            event,
            stage: AtomicU32::new(OPEN),
            status: AtomicI32::new(STATUS_PENDING),
            object: AtomicPtr::new(ptr::null_mut()),
            kept,
        };
        Shared::try_new(TAG, cell).map_err(|e| e.status())
    }

    /// Makes the request and waits for its end.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES: it was not made.
    fn run(
        this: &Shared<Self>,
        patience: &Patience<'_>,
        call: impl FnOnce(&K, *mut c_void) -> NTSTATUS,
    ) -> Result<End, NTSTATUS> {
        let context = Handles::reserve(patience.handles)?.issue(this.clone());
        let status = call(&this.kept, context);
        if status != STATUS_PENDING {
            // No completion comes. Where one was called nevertheless, this is the second answer, and counted.
            drop(handles::take::<Self>(context));
            return Ok(End { status, called: false });
        }
        if !this.event.wait(Some(patience.limit)) {
            let given_up =
                this.stage.compare_exchange(OPEN, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire).is_ok();
            if given_up {
                patience.faults.note(Fault::Unanswered);
                return Ok(End { status: STATUS_IO_TIMEOUT, called: false });
            }
            // It has ended at the last moment.
            this.event.wait_forever();
        }
        Ok(End { status: this.status.load(Ordering::Acquire), called: true })
    }
}

/// Ends a request, the first time.
///
/// # Safety
/// `object` is NULL, or one that has just come about and that nobody else knows; not an adapter.
unsafe fn end<K: Send + Sync + 'static>(
    context: *mut c_void,
    status: NTSTATUS,
    object: *mut NDK_OBJECT_HEADER,
) {
    let Some((cell, _done)) = handles::take::<Cell<K>>(context) else { return };
    cell.object.store(object, Ordering::Relaxed);
    cell.status.store(status, Ordering::Release);
    match cell.stage.swap(DONE, Ordering::AcqRel) {
        GIVEN_UP => {
            if let (true, Some(object)) = (nt_success(status), NonNull::new(object)) {
                // SAFETY: the caller's promise.
                unsafe { close_unused(object) };
            }
        }
        _ => cell.event.set(),
    }
}

extern "system" fn requested<K: Send + Sync + 'static>(context: *mut c_void, status: NTSTATUS) {
    // SAFETY: there is no object.
    unsafe { end::<K>(context, status, ptr::null_mut()) };
}

unsafe extern "system" fn created<K: Send + Sync + 'static>(
    context: *mut c_void,
    status: NTSTATUS,
    object: *mut NDK_OBJECT_HEADER,
) {
    // SAFETY: the object is what the provider has made for this request.
    unsafe { end::<K>(context, status, object) };
}

/// Creates an object and waits for it. `kept` is what the provider may use until the request has ended, and what keeps the
/// adapter open until then. IRQL: PASSIVE_LEVEL.
///
/// # Errors
/// The provider's status; INTERNAL_ERROR when it claims success and gives no object; IO_TIMEOUT when it gives no answer.
pub(crate) fn create<T, K: Send + Sync + 'static>(
    patience: &Patience<'_>,
    kept: K,
    call: impl FnOnce(&K, NDK_FN_CREATE_COMPLETION, *mut c_void, *mut *mut T) -> NTSTATUS,
) -> Result<NonNull<T>, NTSTATUS> {
    let cell = Cell::new(kept)?;
    let mut object = ptr::null_mut();
    let end = Cell::run(&cell, patience, |kept, context| call(kept, created::<K>, context, &mut object))?;
    if !nt_success(end.status) {
        return Err(end.status);
    }
    let object = if end.called { cell.object.load(Ordering::Relaxed).cast() } else { object };
    NonNull::new(object).ok_or(STATUS_INTERNAL_ERROR)
}

/// Makes a request and waits for its end, with `kept` as in [`create`]. IRQL: PASSIVE_LEVEL.
///
/// # Errors
/// The provider's status; IO_TIMEOUT when it gives no answer. The object's close ends the request then.
pub(crate) fn request<K: Send + Sync + 'static>(
    patience: &Patience<'_>,
    kept: K,
    call: impl FnOnce(&K, NDK_FN_REQUEST_COMPLETION, *mut c_void) -> NTSTATUS,
) -> Result<(), NTSTATUS> {
    let cell = Cell::new(kept)?;
    let end = Cell::run(&cell, patience, |kept, context| call(kept, requested::<K>, context))?;
    if nt_success(end.status) { Ok(()) } else { Err(end.status) }
}

extern "system" fn closed(context: *mut c_void) {
    if let Some((event, _done)) = handles::take::<Event>(context) {
        event.set();
    }
}

/// What the close of one object needs, made before the object: a close must not fail for want of memory.
pub(crate) struct Closing {
    over: Shared<Event>,
    context: SpinLock<Option<Reserved>>,
}

impl Closing {
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub(crate) fn new(handles: &Shared<Handles>) -> Result<Self, NTSTATUS> {
        let context = SpinLock::new(Some(Handles::reserve(handles)?));
        let event = Event::new(EventType::Notification, false).map_err(|e| e.status())?;
        let over = Shared::try_new(TAG, event).map_err(|e| e.status())?;
        Ok(Self { over, context })
    }

    /// Closes the object and waits until its last callback has returned, however long that takes. Once; any call after that
    /// does nothing. IRQL: PASSIVE_LEVEL.
    pub(crate) fn close(&self, call: impl FnOnce(NDK_FN_CLOSE_COMPLETION, *mut c_void) -> NTSTATUS) {
        let reserved = self.context.lock().take();
        let Some(reserved) = reserved else { return };
        let context = reserved.issue(self.over.clone());
        if call(closed, context) == STATUS_PENDING {
            self.over.wait_forever();
        } else {
            // No completion comes.
            drop(handles::take::<Event>(context));
        }
    }
}
