//! Waiting for control requests at PASSIVE_LEVEL.
//!
//! A request may end inline, later, or before the call that starts it has returned. The cell is ready before the
//! call, and only the callback's status counts once the call has answered PENDING (NDKPI completion rules).

use abi::NTSTATUS;
use abi::ndk::{
    NDK_FN_CLOSE_COMPLETION, NDK_FN_CREATE_COMPLETION, NDK_FN_REQUEST_COMPLETION, NDK_OBJECT_HEADER,
};
use abi::status::{STATUS_INTERNAL_ERROR, STATUS_PENDING, nt_success};
use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicI32, AtomicPtr, Ordering};
use kernel::event::{Event, EventType};

/// The answer of one request: the waiter's, who keeps it until the request is over.
struct Cell {
    event: Event,
    status: AtomicI32,
    object: AtomicPtr<NDK_OBJECT_HEADER>,
}

impl Cell {
    fn new() -> Result<Self, NTSTATUS> {
        let event = Event::new(EventType::Notification, false).map_err(|e| e.status())?;
        Ok(Self { event, status: AtomicI32::new(STATUS_PENDING), object: AtomicPtr::new(ptr::null_mut()) })
    }

    fn finish(&self, status: NTSTATUS, object: *mut NDK_OBJECT_HEADER) {
        self.object.store(object, Ordering::Relaxed);
        self.status.store(status, Ordering::Release);
        // Last: the waiter may free the cell as soon as the event is set.
        self.event.set();
    }

    /// The status of the request whose call answered `returned`.
    fn status(&self, returned: NTSTATUS) -> NTSTATUS {
        if returned != STATUS_PENDING {
            return returned;
        }
        self.event.wait_forever();
        self.status.load(Ordering::Acquire)
    }

    fn context(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }
}

/// The cell behind a callback's context.
///
/// # Safety
/// `context` came from [`Cell::context`] of a cell whose waiter still waits.
unsafe fn cell<'a>(context: *mut c_void) -> &'a Cell {
    // SAFETY: the waiter keeps the cell until the event is set, which is the callback's last act.
    unsafe { &*context.cast::<Cell>() }
}

unsafe extern "system" fn requested(context: *mut c_void, status: NTSTATUS) {
    // SAFETY: the context is that of the request, whose waiter waits for this call.
    unsafe { cell(context) }.finish(status, ptr::null_mut());
}

unsafe extern "system" fn created(context: *mut c_void, status: NTSTATUS, object: *mut NDK_OBJECT_HEADER) {
    // SAFETY: the context is that of the request, whose waiter waits for this call.
    unsafe { cell(context) }.finish(status, object);
}

unsafe extern "system" fn closed(context: *mut c_void) {
    // SAFETY: the context is that of the request, whose waiter waits for this call.
    unsafe { cell(context) }.finish(0, ptr::null_mut());
}

/// Creates an object and waits for it. IRQL: PASSIVE_LEVEL.
///
/// # Errors
/// The provider's status; INTERNAL_ERROR when it claims success and gives no object.
pub(crate) fn create<T>(
    call: impl FnOnce(NDK_FN_CREATE_COMPLETION, *mut c_void, *mut *mut T) -> NTSTATUS,
) -> Result<NonNull<T>, NTSTATUS> {
    let cell = Cell::new()?;
    let mut object = ptr::null_mut();
    let returned = call(created, cell.context(), &mut object);
    let status = cell.status(returned);
    if !nt_success(status) {
        return Err(status);
    }
    let object = if returned == STATUS_PENDING { cell.object.load(Ordering::Relaxed).cast() } else { object };
    NonNull::new(object).ok_or(STATUS_INTERNAL_ERROR)
}

/// Makes a request and waits for its end. IRQL: PASSIVE_LEVEL.
///
/// # Errors
/// The provider's status.
pub(crate) fn request(
    call: impl FnOnce(NDK_FN_REQUEST_COMPLETION, *mut c_void) -> NTSTATUS,
) -> Result<(), NTSTATUS> {
    let cell = Cell::new()?;
    let status = cell.status(call(requested, cell.context()));
    if nt_success(status) { Ok(()) } else { Err(status) }
}

/// What the close of one object needs, made before the object: a close must not fail for want of memory.
pub(crate) struct Closing(Cell);

impl Closing {
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub(crate) fn new() -> Result<Self, NTSTATUS> {
        Ok(Self(Cell::new()?))
    }

    /// Closes the object and waits until its last callback has returned. Call once. IRQL: PASSIVE_LEVEL.
    pub(crate) fn close(&self, call: impl FnOnce(NDK_FN_CLOSE_COMPLETION, *mut c_void) -> NTSTATUS) {
        self.0.status(call(closed, self.0.context()));
    }
}
