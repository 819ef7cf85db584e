//! IRPs that wait and cannot be cancelled while they do.

use core::fmt;
use core::marker::PhantomData;

use crate::batch::CompletionBatch;
use crate::outcome::Outcome;
use crate::owned::OwnedIrp;
use crate::raw_list::RawList;
use crate::scratch;

/// A FIFO of held IRPs, each with a record of type `R` kept inside the IRP.
///
/// For requests whose memory the adapter may still read or write: sends posted to the hardware, in order. No cancel
/// routine is set, so `IoCancelIrp` does no more than set the flag ([`OwnedIrp::is_cancelled`]); whoever closes or
/// aborts has to flush the work and then empty the list.
///
/// The list is plain data without a lock of its own, to be kept under its owner's. `R` has at most
/// [`RECORD_BYTES`](crate::RECORD_BYTES) bytes. Dropping a list with IRPs in it is bug check `DRIVER_VIOLATION`.
pub struct IrpList<R> {
    irps: RawList,
    records: PhantomData<R>,
}

impl<R: Copy + Send> IrpList<R> {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self { irps: RawList::new(), records: PhantomData }
    }

    /// Holds `irp` at the end.
    pub fn push_back(&mut self, irp: OwnedIrp, record: R) {
        let irp = irp.into_raw();
        // SAFETY: ours by the token, with no cancel routine that could read it.
        unsafe { scratch::store_record(irp, &record) };
        // SAFETY: ours by the token, and an owned IRP is in no list.
        unsafe { self.irps.push_back(irp) };
    }

    /// Puts `irp` before all others, for one that was taken and is not finished.
    pub fn push_front(&mut self, irp: OwnedIrp, record: R) {
        let irp = irp.into_raw();
        // SAFETY: ours by the token, with no cancel routine that could read it.
        unsafe { scratch::store_record(irp, &record) };
        // SAFETY: ours by the token, and an owned IRP is in no list.
        unsafe { self.irps.push_front(irp) };
    }

    /// Takes the oldest.
    pub fn pop_front(&mut self) -> Option<(OwnedIrp, R)> {
        let irp = self.irps.pop_front()?;
        // SAFETY: it was in this list, so it is ours and has a record of this type.
        let record = unsafe { scratch::load_record(irp) };
        // SAFETY: out of the list, never completed, no cancel routine set.
        Some((unsafe { OwnedIrp::from_raw(irp) }, record))
    }

    /// The record of the oldest.
    #[must_use]
    pub fn front(&self) -> Option<R> {
        let irp = self.irps.first()?;
        // SAFETY: it is in this list, so it is ours and has a record of this type.
        Some(unsafe { scratch::load_record(irp) })
    }

    /// Changes the record of the oldest in place; `None` if the list is empty.
    pub fn update_front<T>(&mut self, change: impl FnOnce(&mut R) -> T) -> Option<T> {
        let irp = self.irps.first()?;
        // SAFETY: it is in this list, so it is ours and has a record of this type.
        let mut record = unsafe { scratch::load_record(irp) };
        let result = change(&mut record);
        // SAFETY: as above.
        unsafe { scratch::store_record(irp, &record) };
        Some(result)
    }

    /// Moves everything into `batch`, oldest first, each with the outcome that `decide` gives for its record.
    pub fn drain_into(&mut self, batch: &mut CompletionBatch, mut decide: impl FnMut(&R) -> Outcome) {
        while let Some((irp, record)) = self.pop_front() {
            batch.push(irp, decide(&record));
        }
    }

    /// How many IRPs are held.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.irps.len()
    }

    /// Whether none is held.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.irps.is_empty()
    }
}

impl<R: Copy + Send> Default for IrpList<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R> fmt::Debug for IrpList<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IrpList").field("len", &self.irps.len()).finish_non_exhaustive()
    }
}
