//! A FIFO of IRPs linked through `Tail.Overlay.ListEntry`.
//!
//! Unlike a `LIST_ENTRY` ring it has no head *inside* the ring: the ends point to null, so the list can move. An IRP
//! taken out points to itself, which is how a cancel routine that comes late sees that there is nothing to unlink.

use core::ptr::{self, NonNull};

use abi::nt::{IRP, LIST_ENTRY};

use crate::invariant::{self, QUEUE_DROPPED};
use crate::scratch;

/// The list. It does not own the IRPs' completion by itself; the types built on it do.
#[derive(Debug, Default)]
pub(crate) struct RawList {
    first: Option<NonNull<IRP>>,
    last: Option<NonNull<IRP>>,
    count: usize,
}

// SAFETY: IRPs belong to no thread; whoever has the list has the right to the links of all IRPs in it.
unsafe impl Send for RawList {}

impl RawList {
    pub(crate) const fn new() -> Self {
        Self { first: None, last: None, count: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) const fn first(&self) -> Option<NonNull<IRP>> {
        self.first
    }

    /// The IRP after `irp`.
    ///
    /// # Safety
    /// `irp` is in this list.
    pub(crate) unsafe fn next(&self, irp: NonNull<IRP>) -> Option<NonNull<IRP>> {
        // SAFETY: an IRP in a list is live.
        let links = unsafe { links(irp) };
        // SAFETY: null or the next IRP of this list.
        unsafe { scratch::irp_of(links.Flink) }
    }

    /// Links `irp` at the end.
    ///
    /// # Safety
    /// The driver holds `irp`, and it is in no list.
    pub(crate) unsafe fn push_back(&mut self, irp: NonNull<IRP>) {
        // SAFETY: as for this function; the last IRP is in this list.
        unsafe { self.insert_between(self.last, irp, None) };
    }

    /// Links `irp` at the front.
    ///
    /// # Safety
    /// The driver holds `irp`, and it is in no list.
    pub(crate) unsafe fn push_front(&mut self, irp: NonNull<IRP>) {
        // SAFETY: as for this function; the first IRP is in this list.
        unsafe { self.insert_between(None, irp, self.first) };
    }

    /// Unlinks the first IRP.
    pub(crate) fn pop_front(&mut self) -> Option<NonNull<IRP>> {
        let irp = self.first?;
        // SAFETY: the first IRP is in this list.
        unsafe { self.remove(irp) };
        Some(irp)
    }

    /// Unlinks `irp` and makes it point to itself.
    ///
    /// # Safety
    /// `irp` is in this list.
    pub(crate) unsafe fn remove(&mut self, irp: NonNull<IRP>) {
        // SAFETY: an IRP in a list is live.
        let LIST_ENTRY { Flink, Blink } = unsafe { links(irp) };
        // SAFETY: null or the previous IRP of this list.
        let before = unsafe { scratch::irp_of(Blink) };
        // SAFETY: null or the next IRP of this list.
        let after = unsafe { scratch::irp_of(Flink) };
        // SAFETY: both are neighbours in this list.
        unsafe { self.join(before, after) };
        // SAFETY: live.
        let own = unsafe { scratch::list_entry(irp) };
        // SAFETY: out of the list, so the links are the holder's.
        unsafe { own.write(LIST_ENTRY { Flink: own, Blink: own }) };
        self.count -= 1;
    }

    /// Whether `irp` is in a list, as opposed to taken out of one.
    ///
    /// # Safety
    /// `irp` is live and has been in a list of the caller's.
    pub(crate) unsafe fn is_linked(irp: NonNull<IRP>) -> bool {
        // SAFETY: as for this function.
        let own = unsafe { scratch::list_entry(irp) };
        // SAFETY: as for this function.
        unsafe { links(irp) }.Flink != own
    }

    /// Moves everything from `other` to the end of this list, in order. Takes the same time for any length.
    pub(crate) fn append(&mut self, other: &mut Self) {
        if other.is_empty() {
            return;
        }
        // SAFETY: the end of one list and the start of the other, both of which the caller has.
        unsafe { self.join(self.last, other.first) };
        self.last = other.last;
        self.count += other.count;
        other.first = None;
        other.last = None;
        other.count = 0;
    }

    /// # Safety
    /// The driver holds `irp`, it is in no list, and the other two are neighbours in this list or its ends.
    unsafe fn insert_between(
        &mut self,
        before: Option<NonNull<IRP>>,
        irp: NonNull<IRP>,
        after: Option<NonNull<IRP>>,
    ) {
        // SAFETY: as for this function.
        unsafe { self.join(before, Some(irp)) };
        // SAFETY: as for this function.
        unsafe { self.join(Some(irp), after) };
        self.count += 1;
    }

    /// Makes two IRPs neighbours; `None` is the end of the list on that side.
    ///
    /// # Safety
    /// Both are live and their links are this list's to write.
    unsafe fn join(&mut self, before: Option<NonNull<IRP>>, after: Option<NonNull<IRP>>) {
        // SAFETY: as for this function.
        let before_entry = unsafe { entry_or_null(before) };
        // SAFETY: as for this function.
        let after_entry = unsafe { entry_or_null(after) };
        if before_entry.is_null() {
            self.first = after;
        } else {
            // SAFETY: this list's to write.
            unsafe { (*before_entry).Flink = after_entry };
        }
        if after_entry.is_null() {
            self.last = before;
        } else {
            // SAFETY: this list's to write.
            unsafe { (*after_entry).Blink = before_entry };
        }
    }
}

impl Drop for RawList {
    fn drop(&mut self) {
        if self.count != 0 {
            invariant::violated(QUEUE_DROPPED, self.count);
        }
    }
}

/// # Safety
/// `irp` is live and its links are initialised.
unsafe fn links(irp: NonNull<IRP>) -> LIST_ENTRY {
    // SAFETY: as for this function.
    let entry = unsafe { scratch::list_entry(irp) };
    // SAFETY: as for this function.
    unsafe { entry.read() }
}

/// # Safety
/// `irp` is live if there is one.
unsafe fn entry_or_null(irp: Option<NonNull<IRP>>) -> *mut LIST_ENTRY {
    match irp {
        // SAFETY: as for this function.
        Some(irp) => unsafe { scratch::list_entry(irp) },
        None => ptr::null_mut(),
    }
}
