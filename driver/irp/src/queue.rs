//! IRPs that wait and can be cancelled at any moment.

use core::fmt;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};

use abi::nt::{DEVICE_OBJECT, IRP};
use abi::status::STATUS_CANCELLED;
use kernel::pool::Shared;

use crate::account::account;
use crate::batch::CompletionBatch;
use crate::invariant::{self, QUEUE_OF_ANOTHER_OWNER};
use crate::keeper::Keeper;
use crate::outcome::Outcome;
use crate::owned::OwnedIrp;
use crate::raw_list::RawList;
use crate::scratch;
use crate::sync::{self, SpinLock};

/// Says where the queues of one kind are, so that a cancel routine, which is given an IRP and nothing else, can find
/// the way: from the IRP to the owner, from the owner to its lock, from the data under the lock to the queue.
///
/// Implemented by a type that exists only for this (an uninhabited `enum`), one per kind of request.
///
/// # Safety
/// * [`lock`](Self::lock) returns the same lock on each call for one owner, and both the lock and the queue under it
///   are stored *inside* the owner (not behind a pointer).
/// * [`queue`](Self::queue) returns the same queue on each call for one state. No other queue of this kind is ever
///   inside an owner: each kind of request has a kind of its own.
/// * The state is not moved out of the lock or swapped with another while IRPs are parked in it.
pub unsafe trait QueueKind: Sized + 'static {
    /// What the queue belongs to: a socket. Each parked IRP holds one reference to it.
    type Owner: Send + Sync + 'static;
    /// What is under the owner's lock, the queue among it.
    type State: Send + 'static;
    /// What is remembered about a parked request; at most [`RECORD_BYTES`](crate::RECORD_BYTES) bytes.
    type Record: Copy + Send + 'static;

    /// The owner's lock.
    fn lock(owner: &Self::Owner) -> &SpinLock<Self::State>;

    /// The queue of this kind.
    fn queue(state: &mut Self::State) -> &mut IrpQueue<Self>;

    /// A parked request is being cancelled: adjust the state, and return the `Information` to report with
    /// `STATUS_CANCELLED`, which is the bytes already placed by a receive in progress and otherwise 0.
    ///
    /// Called once for each request the cancel routine completes, by it, with the owner's lock held and the IRP no longer
    /// in the queue. The request may have been taken out earlier (the owner closed meanwhile, for instance), so the
    /// state may have moved on. Must not call out of the driver, and must not drop the last reference to anything
    /// whose drop completes IRPs.
    fn on_cancel(state: &mut Self::State, record: &Self::Record) -> usize {
        let _ = (state, record);
        0
    }

    /// The request has been completed as cancelled: do what cannot be done under the lock, such as abandoning a
    /// connection attempt. No lock held, IRQL ≤ DISPATCH_LEVEL, inside the client's `IoCancelIrp`.
    fn after_cancel(owner: &Shared<Self::Owner>) {
        let _ = owner;
    }
}

/// A FIFO of parked IRPs of kind `K`, each with a [record](QueueKind::Record) kept inside the IRP.
///
/// The queue has no lock of its own: it is part of the data under its owner's lock, and having `&mut` to it is the
/// proof that the lock is held. A parked IRP can be cancelled at any moment; its cancel routine then completes it
/// `STATUS_CANCELLED` before `IoCancelIrp` returns, because there are clients that free the IRP right after. The order
/// of events is decided by who takes the cancel routine out of the IRP: every operation here skips an IRP whose cancel
/// routine is on its way, and leaves its completion to that routine.
///
/// Each parked IRP holds one reference to the owner until its completion routine has returned, whoever completes it
/// ([`OwnedIrp::keep`]). So an owner that is being closed is gone only when every IRP taken from it and every cancel
/// routine that saw it is done; a close request that the owner's *drop* completes comes after them all.
///
/// Parking and taking never allocate. IRQL DISPATCH_LEVEL (the lock is held). Dropping a queue with IRPs in it is bug
/// check `DRIVER_VIOLATION`.
pub struct IrpQueue<K> {
    irps: RawList,
    kind: PhantomData<fn() -> K>,
}

impl<K: QueueKind> IrpQueue<K> {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { irps: RawList::new(), kind: PhantomData }
    }

    /// Parks `irp` at the end of the queue with its `record`.
    ///
    /// `owner` is the one this queue is inside of; anything else is bug check `DRIVER_VIOLATION`.
    ///
    /// # Errors
    /// The IRP was cancelled already and is given back: complete it [`Outcome::CANCELLED`] after dropping the lock.
    pub fn park(
        &mut self,
        owner: &Shared<K::Owner>,
        irp: OwnedIrp,
        record: K::Record,
    ) -> Result<(), OwnedIrp> {
        self.arm(owner, irp, &record, RawList::push_back)
    }

    /// Parks `irp` before all others: for a request that was [taken](Self::take_next), got some of what it waits for,
    /// and has to wait on in its place.
    ///
    /// # Errors
    /// As for [`park`](Self::park); what the request already got is the caller's to report
    /// ([`Outcome::partial`]).
    pub fn park_front(
        &mut self,
        owner: &Shared<K::Owner>,
        irp: OwnedIrp,
        record: K::Record,
    ) -> Result<(), OwnedIrp> {
        self.arm(owner, irp, &record, RawList::push_front)
    }

    /// Takes the oldest request that is not being cancelled.
    pub fn take_next(&mut self) -> Option<(OwnedIrp, K::Record)> {
        self.take_if(|_| true)
    }

    /// Takes the oldest request that is not being cancelled and whose record satisfies `wanted`.
    pub fn take_if(&mut self, mut wanted: impl FnMut(&K::Record) -> bool) -> Option<(OwnedIrp, K::Record)> {
        let mut candidate = self.irps.first();
        while let Some(irp) = candidate {
            // SAFETY: in this queue.
            candidate = unsafe { self.irps.next(irp) };
            // SAFETY: in this queue, so not completed, and its record is under our lock.
            let record = unsafe { scratch::load_record(irp) };
            if wanted(&record)
                // SAFETY: in this queue.
                && let Some(owned) = unsafe { self.disarm(irp) }
            {
                return Some((owned, record));
            }
        }
        None
    }

    /// The record of the oldest request.
    ///
    /// It may be about to be cancelled; until the lock is dropped its memory is still the driver's to use.
    #[must_use]
    pub fn front(&self) -> Option<K::Record> {
        let irp = self.irps.first()?;
        // SAFETY: in this queue, so not completed, and its record is under our lock.
        Some(unsafe { scratch::load_record(irp) })
    }

    /// Changes the record of the oldest request in place; `None` if the queue is empty.
    ///
    /// Progress noted here is what [`QueueKind::on_cancel`] gets to see, even if the cancel is on its way already. To
    /// hand data only to a request that will certainly be completed with them, take it and park it again instead.
    pub fn update_front<T>(&mut self, change: impl FnOnce(&mut K::Record) -> T) -> Option<T> {
        let irp = self.irps.first()?;
        // SAFETY: in this queue, so not completed, and its record is under our lock.
        let mut record = unsafe { scratch::load_record(irp) };
        let result = change(&mut record);
        // SAFETY: as above; the cancel routine reads the record under the lock only.
        unsafe { scratch::store_record(irp, &record) };
        Some(result)
    }

    /// Takes every request that is not being cancelled into `batch`, oldest first, each with the outcome that `decide`
    /// gives for its record. The queue is empty afterwards; those left out are completed by their cancel routines.
    pub fn drain_into(&mut self, batch: &mut CompletionBatch, mut decide: impl FnMut(&K::Record) -> Outcome) {
        while let Some((irp, record)) = self.take_next() {
            batch.push(irp, decide(&record));
        }
    }

    /// How many requests are parked, those included whose cancel routine is waiting for the lock.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.irps.len()
    }

    /// Whether none is parked.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.irps.is_empty()
    }

    /// Links the IRP and makes it cancellable.
    fn arm(
        &mut self,
        owner: &Shared<K::Owner>,
        irp: OwnedIrp,
        record: &K::Record,
        link: unsafe fn(&mut RawList, NonNull<IRP>),
    ) -> Result<(), OwnedIrp> {
        let irp = irp.keep(owner).into_raw();
        self.assert_inside(owner);
        // SAFETY: ours by the token, with no cancel routine that could read it.
        unsafe { scratch::store_record(irp, record) };
        // SAFETY: `link` is one of the list's pushes; the IRP is ours by the token, and an owned IRP is in no list.
        unsafe { link(&mut self.irps, irp) };
        // SAFETY: ours; the routine finds the owner, record and links that were stored above.
        unsafe { sync::set_cancel_routine(irp.as_ptr(), Some(cancel::<K>)) };
        // A cancel before this point saw no routine, so the flag is the only trace of it.
        // SAFETY: still linked, and we hold the lock without which the cancel routine cannot complete it.
        if unsafe { sync::is_cancelled(irp.as_ptr()) }
            // SAFETY: in this queue.
            && let Some(owned) = unsafe { self.disarm_or_leave(irp) }
        {
            return Err(owned);
        }
        Ok(())
    }

    /// Unlinks the IRP and takes its cancel routine out. `None`: the routine is on its way and owns the completion; it
    /// will find the IRP pointing to itself.
    ///
    /// # Safety
    /// `irp` is in this queue.
    unsafe fn disarm(&mut self, irp: NonNull<IRP>) -> Option<OwnedIrp> {
        // SAFETY: as for this function.
        let owned = unsafe { self.disarm_or_leave(irp) };
        if owned.is_none() {
            // SAFETY: `disarm_or_leave` left it in this queue.
            unsafe { self.irps.remove(irp) };
        }
        owned
    }

    /// As [`disarm`](Self::disarm), but an IRP whose cancel routine is on its way stays linked for it.
    ///
    /// # Safety
    /// `irp` is in this queue.
    unsafe fn disarm_or_leave(&mut self, irp: NonNull<IRP>) -> Option<OwnedIrp> {
        // SAFETY: in this queue, so not completed: its cancel routine needs the lock we hold.
        unsafe { sync::set_cancel_routine(irp.as_ptr(), None) }?;
        // SAFETY: as for this function.
        unsafe { self.irps.remove(irp) };
        // SAFETY: out of the queue, not completed, and the cancel routine is cleared for good.
        Some(unsafe { OwnedIrp::from_raw(irp) })
    }

    /// A cancel routine takes the lock of the owner it is given, so parking with another owner would corrupt the list.
    fn assert_inside(&self, owner: &Shared<K::Owner>) {
        let queue = ptr::from_ref(self).addr();
        let start = Shared::as_ptr(owner).addr();
        if queue.wrapping_sub(start) >= size_of::<K::Owner>() {
            invariant::violated(QUEUE_OF_ANOTHER_OWNER, queue);
        }
    }
}

/// The cancel routine of every parked IRP of kind `K` (`DRIVER_CANCEL`).
///
/// # Safety
/// Called by `IoCancelIrp`, once, with the system's cancel spin lock held, for an IRP that [`IrpQueue::arm`] parked.
unsafe extern "system" fn cancel<K: QueueKind>(_device: *mut DEVICE_OBJECT, irp: *mut IRP) {
    let Some(irp) = NonNull::new(irp) else { return };
    // The cancel lock first: it is the system's only one, and taking the owner's under it would order the two.
    // SAFETY: this is the IRP's cancel routine, and the lock is not released yet.
    let irql = unsafe { sync::cancel_irql(irp.as_ptr()) };
    // SAFETY: as above, once.
    unsafe { sync::release_cancel_spin_lock(irql) };
    // SAFETY: this routine alone may complete the IRP now, and thereby let go of its owner.
    let keeper = unsafe { scratch::keeper(irp) };
    // SAFETY: as above: out of the IRP, so that the owner outlives this routine's use of it.
    unsafe { scratch::set_keeper(irp, Keeper::NONE) };
    // SAFETY: stored by `arm`, which saw to it that the IRP is kept by an owner of this kind.
    let owner: Shared<K::Owner> = unsafe { keeper.into_shared() };
    let bytes = {
        let mut state = K::lock(&owner).lock();
        // SAFETY: this routine alone may complete the IRP, and it has been in the queue.
        if unsafe { RawList::is_linked(irp) } {
            // SAFETY: linked in the one queue of this kind, whose lock is held.
            unsafe { K::queue(&mut state).irps.remove(irp) };
        }
        // SAFETY: not completed; the record is under the lock that is held.
        let record = unsafe { scratch::load_record(irp) };
        K::on_cancel(&mut state, &record)
    };
    // SAFETY: out of the queue, and its cancel routine is this one, which runs once.
    let owned = unsafe { OwnedIrp::from_raw(irp) };
    account().count_cancelled();
    owned.complete_now(Outcome::partial(STATUS_CANCELLED, bytes));
    K::after_cancel(&owner);
}

impl<K: QueueKind> Default for IrpQueue<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> fmt::Debug for IrpQueue<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IrpQueue").field("len", &self.irps.len()).finish_non_exhaustive()
    }
}
