//! A socket's context and table of event callbacks, as its client gave them.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

/// `SocketContext` and `Dispatch` of a socket; `D` is the client's table for its category.
///
/// Both are the client's, in non-paged memory, valid until the socket's close IRP is completed ("WskSocket"). They are set
/// once: when the socket is made, or for an accepted one when it is handed over, which is before its first event.
pub(crate) struct Callbacks<D> {
    context: AtomicPtr<c_void>,
    dispatch: AtomicPtr<D>,
}

impl<D: Copy> Callbacks<D> {
    /// No context and no table.
    pub(crate) const fn none() -> Self {
        Self { context: AtomicPtr::new(ptr::null_mut()), dispatch: AtomicPtr::new(ptr::null_mut()) }
    }

    /// What a client passed for a new socket; either may be NULL.
    pub(crate) const fn new(context: *mut c_void, dispatch: *const D) -> Self {
        Self { context: AtomicPtr::new(context), dispatch: AtomicPtr::new(dispatch.cast_mut()) }
    }

    /// Sets both, before the socket's first event.
    pub(crate) fn set(&self, context: *mut c_void, dispatch: *const D) {
        self.context.store(context, Ordering::Relaxed);
        self.dispatch.store(dispatch.cast_mut(), Ordering::Release);
    }

    /// The context, to be passed to every callback.
    pub(crate) fn context(&self) -> *mut c_void {
        self.context.load(Ordering::Relaxed)
    }

    /// A copy of the client's table; `None` if there is none. A member may be NULL: that event counts as disabled.
    ///
    /// # Safety
    /// The socket's close IRP is not completed yet, so the table is still the client's to keep valid.
    pub(crate) unsafe fn table(&self) -> Option<D> {
        let dispatch = self.dispatch.load(Ordering::Acquire);
        // SAFETY: not NULL, and valid as promised.
        (!dispatch.is_null()).then(|| unsafe { *dispatch })
    }
}
