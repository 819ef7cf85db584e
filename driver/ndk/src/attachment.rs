//! What a completion queue knows of its endpoints, and its lists of them.

use crate::cq::Completion;
#[cfg(test)]
use crate::cq::Cq;
use crate::table::Key;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

/// The front of every endpoint: what a completion queue knows of it.
pub(crate) struct Attachment {
    /// The queue pair's context.
    pub(crate) key: Key,
    /// Delivers completions, oldest first.
    pub(crate) deliver: unsafe fn(NonNull<Attachment>, &[Completion]),
    /// The queue pair is closed and none of its entries is left: ends the endpoint.
    pub(crate) retire: unsafe fn(NonNull<Attachment>),
    /// The peer is gone, and every entry that was in the queue by then is delivered.
    pub(crate) disconnected: unsafe fn(NonNull<Attachment>),
    /// The queue has failed, and the queue pair with it.
    pub(crate) lose: unsafe fn(NonNull<Attachment>),
    /// The entries that are owed do not come: instead of `retire`.
    pub(crate) abandon: unsafe fn(NonNull<Attachment>),
    /// After `abandon`, once no entry can come.
    pub(crate) free: unsafe fn(NonNull<Attachment>),
    /// `abandon` was called.
    pub(crate) abandoned: AtomicBool,
    /// It has waited for its entries before.
    pub(crate) overdue: AtomicBool,
    /// Requests that were posted and owe an entry.
    pub(crate) outstanding: AtomicU32,
    /// The next endpoint in the list of those that go.
    pub(crate) next_retiring: AtomicPtr<Attachment>,
    /// The next endpoint in the list of those whose peer is gone.
    pub(crate) next_disconnected: AtomicPtr<Attachment>,
    /// Neighbours in the list of all, and whether it is there.
    previous: AtomicPtr<Attachment>,
    next: AtomicPtr<Attachment>,
    is_attached: AtomicBool,
}

impl Attachment {
    pub(crate) fn new(
        key: Key,
        deliver: unsafe fn(NonNull<Self>, &[Completion]),
        retire: unsafe fn(NonNull<Self>),
        disconnected: unsafe fn(NonNull<Self>),
        lose: unsafe fn(NonNull<Self>),
        abandon: unsafe fn(NonNull<Self>),
        free: unsafe fn(NonNull<Self>),
    ) -> Self {
        Self {
            key,
            deliver,
            retire,
            disconnected,
            lose,
            abandon,
            free,
            abandoned: AtomicBool::new(false),
            overdue: AtomicBool::new(false),
            outstanding: AtomicU32::new(0),
            next_retiring: AtomicPtr::new(ptr::null_mut()),
            next_disconnected: AtomicPtr::new(ptr::null_mut()),
            previous: AtomicPtr::new(ptr::null_mut()),
            next: AtomicPtr::new(ptr::null_mut()),
            is_attached: AtomicBool::new(false),
        }
    }
}

#[cfg(test)]
impl Attachment {
    /// The context of its queue pair.
    pub(crate) fn context(&self) -> *mut core::ffi::c_void {
        Cq::context(self.key)
    }
}

/// The endpoints of a queue that were not told of its failure: a list linked both ways.
pub(crate) struct Attached(*mut Attachment);

// SAFETY: the pointers are endpoints, which are off the list before they go.
unsafe impl Send for Attached {}

impl Attached {
    pub(crate) const fn new() -> Self {
        Self(ptr::null_mut())
    }

    pub(crate) fn insert(&mut self, attachment: NonNull<Attachment>) {
        // SAFETY: the caller's endpoint, which stays until it has retired.
        let new = unsafe { attachment.as_ref() };
        new.next.store(self.0, Ordering::Relaxed);
        // SAFETY: who is on the list stays valid.
        if let Some(first) = unsafe { self.0.as_ref() } {
            first.previous.store(attachment.as_ptr(), Ordering::Relaxed);
        }
        new.is_attached.store(true, Ordering::Relaxed);
        self.0 = attachment.as_ptr();
    }

    pub(crate) fn remove(&mut self, attachment: NonNull<Attachment>) {
        // SAFETY: the caller's endpoint, which stays until it has retired.
        let old = unsafe { attachment.as_ref() };
        if !old.is_attached.swap(false, Ordering::Relaxed) {
            return;
        }
        let (previous, next) = (old.previous.load(Ordering::Relaxed), old.next.load(Ordering::Relaxed));
        // SAFETY: who is on the list stays valid.
        match unsafe { previous.as_ref() } {
            Some(previous) => previous.next.store(next, Ordering::Relaxed),
            None => self.0 = next,
        }
        // SAFETY: as above.
        if let Some(next) = unsafe { next.as_ref() } {
            next.previous.store(previous, Ordering::Relaxed);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<NonNull<Attachment>> {
        let first = NonNull::new(self.0)?;
        self.remove(first);
        Some(first)
    }
}

/// Endpoints that wait for the queue to be empty: a stack linked through the word that `next` names.
pub(crate) struct Waiting {
    first: *mut Attachment,
    next: fn(&Attachment) -> &AtomicPtr<Attachment>,
}

// SAFETY: the pointers are endpoints, which stay until their `retire`.
unsafe impl Send for Waiting {}

impl Waiting {
    pub(crate) const fn new(next: fn(&Attachment) -> &AtomicPtr<Attachment>) -> Self {
        Self { first: ptr::null_mut(), next }
    }

    pub(crate) fn push(&mut self, attachment: NonNull<Attachment>) {
        // SAFETY: who is put on a list stays valid until its `retire`.
        (self.next)(unsafe { attachment.as_ref() }).store(self.first, Ordering::Relaxed);
        self.first = attachment.as_ptr();
    }

    pub(crate) fn take(&mut self) -> Self {
        Self { first: core::mem::replace(&mut self.first, ptr::null_mut()), next: self.next }
    }

    /// Calls `f` for each endpoint, which is off the list by then and may go.
    pub(crate) fn each(self, mut f: impl FnMut(NonNull<Attachment>)) {
        let mut first = self.first;
        while let Some(attachment) = NonNull::new(first) {
            // SAFETY: endpoints on a list stay valid until their `retire` is called, which only `f` does.
            first = (self.next)(unsafe { attachment.as_ref() }).load(Ordering::Relaxed);
            f(attachment);
        }
    }
}

/// The endpoint of a queue pair.
pub(crate) struct Attachee(pub(crate) NonNull<Attachment>);

// SAFETY: endpoints may be used from any thread; each is out of the table before it goes.
unsafe impl Send for Attachee {}
