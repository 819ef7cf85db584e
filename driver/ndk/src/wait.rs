//! Waiting for control requests at PASSIVE_LEVEL, for so long.
//!
//! A request may end inline, later, or before the call that starts it has returned. The cell is ready before the
//! call, and only the callback's status counts once the call has answered PENDING (NDKPI completion rules).
//!
//! One that has not ended when the time is over is given up: its cell stays, with what the provider may still read, until
//! the provider ends it, or for ever. An object that comes about then is closed at once.

use crate::TAG;
use crate::faults::{Fault, Faults};
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
use kernel::pool::Shared;

/// How long a provider may take, and where is counted that it took longer.
pub(crate) struct Patience<'a> {
    /// In units of 100 ns.
    pub(crate) limit: u64,
    pub(crate) faults: &'a Faults,
}

/// The waiter waits, or has not begun to.
const OPEN: u32 = 0;
/// The completion was called.
const DONE: u32 = 1;
/// The waiter has given up.
const GIVEN_UP: u32 = 2;
/// The call has ended without a completion.
const RETURNED: u32 = 3;

/// The answer of one request: the waiter's, and the provider's until it has called the completion.
struct Cell<K> {
    event: Event,
    stage: AtomicU32,
    status: AtomicI32,
    object: AtomicPtr<NDK_OBJECT_HEADER>,
    /// What the provider may read until the request has ended.
    kept: K,
}

impl<K> Cell<K> {
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

    /// Makes the request and waits; the status, and whether the object is the completion's.
    fn run(
        this: &Shared<Self>,
        patience: &Patience<'_>,
        call: impl FnOnce(&K, *mut c_void) -> NTSTATUS,
    ) -> NTSTATUS {
        // The provider's reference: the completion takes it.
        let context = Shared::into_raw(this.clone());
        let returned = call(&this.kept, context.cast_mut().cast());
        if returned != STATUS_PENDING {
            if this.stage.swap(RETURNED, Ordering::AcqRel) == OPEN {
                // SAFETY: no completion has been or will be called: the reference is still there.
                drop(unsafe { Shared::from_raw(context) });
            } else {
                patience.faults.note(Fault::AnsweredTwice);
            }
            return returned;
        }
        if !this.event.wait(Some(patience.limit)) {
            let given_up =
                this.stage.compare_exchange(OPEN, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire).is_ok();
            if given_up {
                patience.faults.note(Fault::Unanswered);
                return STATUS_IO_TIMEOUT;
            }
            // It has ended at the last moment.
            this.event.wait_forever();
        }
        this.status.load(Ordering::Acquire)
    }
}

/// Ends a request.
///
/// # Safety
/// `context` is the reference that [`Cell::run`] gave to this request, which ends once.
unsafe fn end<K>(context: *mut c_void, status: NTSTATUS, object: *mut NDK_OBJECT_HEADER) {
    // SAFETY: the caller's promise.
    let cell = unsafe { Shared::<Cell<K>>::from_raw(context.cast_const().cast()) };
    cell.object.store(object, Ordering::Relaxed);
    cell.status.store(status, Ordering::Release);
    match cell.stage.swap(DONE, Ordering::AcqRel) {
        GIVEN_UP => {
            if let (true, Some(object)) = (nt_success(status), NonNull::new(object)) {
                // SAFETY: the object has come about just now, nobody knows it, and it is not the adapter.
                unsafe { close_unused(object) };
            }
        }
        _ => cell.event.set(),
    }
}

unsafe extern "system" fn requested<K>(context: *mut c_void, status: NTSTATUS) {
    // SAFETY: the context is that of the request.
    unsafe { end::<K>(context, status, ptr::null_mut()) };
}

unsafe extern "system" fn created<K>(context: *mut c_void, status: NTSTATUS, object: *mut NDK_OBJECT_HEADER) {
    // SAFETY: the context is that of the request.
    unsafe { end::<K>(context, status, object) };
}

/// Creates an object and waits for it. `kept` is what the provider may use until the request has ended, and what keeps the
/// adapter open until then. IRQL: PASSIVE_LEVEL.
///
/// # Errors
/// The provider's status; INTERNAL_ERROR when it claims success and gives no object; IO_TIMEOUT when it gives no answer.
pub(crate) fn create<T, K>(
    patience: &Patience<'_>,
    kept: K,
    call: impl FnOnce(&K, NDK_FN_CREATE_COMPLETION, *mut c_void, *mut *mut T) -> NTSTATUS,
) -> Result<NonNull<T>, NTSTATUS> {
    let cell = Cell::new(kept)?;
    let mut object = ptr::null_mut();
    let status = Cell::run(&cell, patience, |kept, context| call(kept, created::<K>, context, &mut object));
    if !nt_success(status) {
        return Err(status);
    }
    // After PENDING it is the completion's.
    let pended = cell.stage.load(Ordering::Acquire) == DONE;
    let object = if pended { cell.object.load(Ordering::Relaxed).cast() } else { object };
    NonNull::new(object).ok_or(STATUS_INTERNAL_ERROR)
}

/// Makes a request and waits for its end, with `kept` as in [`create`]. IRQL: PASSIVE_LEVEL.
///
/// # Errors
/// The provider's status; IO_TIMEOUT when it gives no answer. The object's close ends the request then.
pub(crate) fn request<K>(
    patience: &Patience<'_>,
    kept: K,
    call: impl FnOnce(&K, NDK_FN_REQUEST_COMPLETION, *mut c_void) -> NTSTATUS,
) -> Result<(), NTSTATUS> {
    let cell = Cell::new(kept)?;
    let status = Cell::run(&cell, patience, |kept, context| call(kept, requested::<K>, context));
    if nt_success(status) { Ok(()) } else { Err(status) }
}

unsafe extern "system" fn closed(context: *mut c_void) {
    // SAFETY: the context is that of the close, whose waiter waits for this call.
    unsafe { &*context.cast::<Event>() }.set();
}

/// What the close of one object needs, made before the object: a close must not fail for want of memory.
pub(crate) struct Closing(Event);

impl Closing {
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub(crate) fn new() -> Result<Self, NTSTATUS> {
        Event::new(EventType::Notification, false).map(Self).map_err(|e| e.status())
    }

    /// Closes the object and waits until its last callback has returned, however long that takes. Call once.
    /// IRQL: PASSIVE_LEVEL.
    pub(crate) fn close(&self, call: impl FnOnce(NDK_FN_CLOSE_COMPLETION, *mut c_void) -> NTSTATUS) {
        let context = ptr::from_ref(&self.0).cast_mut().cast();
        if call(closed, context) == STATUS_PENDING {
            self.0.wait_forever();
        }
    }
}
