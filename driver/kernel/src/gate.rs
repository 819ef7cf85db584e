//! A routine the kernel runs later, behind both [`Dpc`](crate::dpc::Dpc) and [`WorkItem`](crate::work::WorkItem).
//!
//! The word protocol gives three things the kernel's own objects lack. Requests coalesce, and a request during a run leads
//! to one more run *after* it: a plain `KDPC` queued again while it runs may run on a second processor at the same time.
//! The owner may go away at any moment, even inside the run. And one object serves where DPCs never run.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use abi::nt::{DEVICE_OBJECT, IO_WORKITEM, KDPC};

use crate::event::{EventType, RawEvent};
use crate::pool::{AllocError, PoolBox, PoolTag};
use crate::word::{Begin, Close, End, GateWord, Request};
use crate::{bugcheck, environment, invariant, raw};

/// The routine of a DPC or work item; it gets the context given with it.
pub type Routine = unsafe fn(context: *mut c_void);

/// How the kernel is made to call the routine.
enum Vehicle {
    /// A `KDPC`: at DISPATCH_LEVEL.
    Dpc(UnsafeCell<MaybeUninit<KDPC>>),
    /// An `IO_WORKITEM`: at PASSIVE_LEVEL. One that stands for a DPC goes before others.
    WorkItem { item: NonNull<IO_WORKITEM>, stands_for_dpc: bool },
}

/// What the kernel holds the address of; see the word protocol for who frees it.
struct Block {
    word: GateWord<AtomicUsize>,
    /// The thread the run is on, so that the owner can tell whether it goes away inside its own run.
    runner: AtomicUsize,
    /// Set by the end of a run the owner waits for.
    ended: RawEvent,
    routine: Routine,
    context: *mut c_void,
    /// Whether the owner's drop waits for a run in progress.
    awaited: bool,
    vehicle: Vehicle,
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Vehicle::WorkItem { item, .. } = self.vehicle {
            // SAFETY: the item is allocated with the block and not queued: the word says that nobody will run it.
            unsafe { raw::IoFreeWorkItem(item.as_ptr()) };
        }
    }
}

/// The owner's handle.
pub(crate) struct Gate {
    block: NonNull<Block>,
}

// SAFETY: requests may come from any processor; the word protocol orders them.
unsafe impl Send for Gate {}
// SAFETY: as for `Send`.
unsafe impl Sync for Gate {}

impl Gate {
    /// A gate whose routine runs as a DPC, or on a work item where DPCs never run.
    pub(crate) fn for_dpc(
        tag: PoolTag,
        routine: Routine,
        context: *mut c_void,
        awaited: bool,
    ) -> Result<Self, AllocError> {
        if environment::runs_dpcs() {
            let vehicle = Vehicle::Dpc(UnsafeCell::new(MaybeUninit::zeroed()));
            Self::new(tag, routine, context, awaited, vehicle)
        } else {
            Self::on_work_item(tag, routine, context, awaited, true)
        }
    }

    /// A gate whose routine runs at PASSIVE_LEVEL.
    pub(crate) fn for_work_item(
        tag: PoolTag,
        routine: Routine,
        context: *mut c_void,
        awaited: bool,
    ) -> Result<Self, AllocError> {
        Self::on_work_item(tag, routine, context, awaited, false)
    }

    fn on_work_item(
        tag: PoolTag,
        routine: Routine,
        context: *mut c_void,
        awaited: bool,
        stands_for_dpc: bool,
    ) -> Result<Self, AllocError> {
        let device = environment::device();
        invariant!(!device.is_null(), bugcheck::NOT_INITIALIZED);
        // SAFETY: `init` was given a device object that stays valid until `shutdown`.
        let item = NonNull::new(unsafe { raw::IoAllocateWorkItem(device) }).ok_or(AllocError)?;
        // From here on the block owns the item, also where its own allocation fails.
        Self::new(tag, routine, context, awaited, Vehicle::WorkItem { item, stands_for_dpc })
    }

    fn new(
        tag: PoolTag,
        routine: Routine,
        context: *mut c_void,
        awaited: bool,
        vehicle: Vehicle,
    ) -> Result<Self, AllocError> {
        let (word, runner, ended) = (GateWord::new(), AtomicUsize::new(0), RawEvent::zeroed());
        let block = PoolBox::try_new(tag, Block { word, runner, ended, routine, context, awaited, vehicle })?;
        // SAFETY: the event is at its final address and nobody knows it yet.
        unsafe { block.ended.initialize(EventType::Notification, false) };
        if let Vehicle::Dpc(dpc) = &block.vehicle {
            // SAFETY: memory for a `KDPC` at its final address, not queued.
            unsafe { raw::KeInitializeDpc(dpc.get().cast(), dpc_entry, block.as_ptr().cast()) };
        }
        // SAFETY: a box's address is not null.
        let block = unsafe { NonNull::new_unchecked(block.into_raw()) };
        Ok(Self { block })
    }

    /// Asks for a run after this call. Returns whether that makes one run more than was already asked for.
    pub(crate) fn request(&self) -> bool {
        // SAFETY: the block lives until this handle is dropped.
        let block = unsafe { self.block.as_ref() };
        match block.word.request() {
            Request::Insert => {
                // SAFETY: the word has made this caller the one to insert.
                unsafe { insert(self.block) };
                true
            }
            Request::AfterRun => true,
            Request::Coalesced | Request::Refused => false,
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // SAFETY: the block lives until this drop decides otherwise.
        let block = unsafe { self.block.as_ref() };
        let own_run = block.runner.load(Ordering::Relaxed) == raw::current_thread();
        // An owner that does not wait leaves the block to the run, as one does that goes away inside it.
        match block.word.close(own_run || !block.awaited) {
            Close::Leave => return,
            Close::Free => {}
            // SAFETY: initialised in `new`; `wait` refuses an IRQL that is too high.
            Close::Wait => assert_set(unsafe { block.ended.wait(None) }),
        }
        // SAFETY: the word has made this owner the one to free the block, which `new` took from a box.
        drop(unsafe { PoolBox::from_raw(self.block.as_ptr()) });
    }
}

fn assert_set(set: bool) {
    debug_assert!(set, "a wait without a timeout ends only by the event");
}

/// Hands the routine to the kernel.
///
/// # Safety
/// The word of `block` is QUEUED by the caller or by the run the caller ends; the block is not used after this call,
/// because the run may be over, and the block gone, when it returns.
unsafe fn insert(block: NonNull<Block>) {
    // SAFETY: the block lives until the run that is asked for here.
    match unsafe { &block.as_ref().vehicle } {
        Vehicle::Dpc(dpc) => {
            // SAFETY: initialised in `Gate::new`; by the word it is not queued.
            unsafe { raw::insert_dpc(dpc.get().cast()) };
        }
        Vehicle::WorkItem { item, stands_for_dpc } => {
            let context = block.as_ptr().cast();
            // SAFETY: allocated in `Gate::on_work_item`; by the word it is not queued.
            unsafe { raw::queue_work_item(item.as_ptr(), work_item_entry, *stands_for_dpc, context) };
        }
    }
}

/// The kernel's call of a DPC (`KDEFERRED_ROUTINE`).
unsafe extern "system" fn dpc_entry(_: *mut KDPC, context: *mut c_void, _: *mut c_void, _: *mut c_void) {
    // SAFETY: the context given with the DPC is its block, which the word keeps alive for this run.
    let block = unsafe { NonNull::new_unchecked(context.cast()) };
    // SAFETY: called by the kernel for one insertion.
    unsafe { run(block) };
}

/// The kernel's call of a work item (`IO_WORKITEM_ROUTINE`).
unsafe extern "system" fn work_item_entry(_: *mut DEVICE_OBJECT, context: *mut c_void) {
    // SAFETY: the context given with the item is its block, which the word keeps alive for this run.
    let block = unsafe { NonNull::new_unchecked(context.cast()) };
    // SAFETY: called by the kernel for one insertion.
    unsafe { run(block) };
}

/// One run of the routine.
///
/// # Safety
/// Called by the kernel for one `insert` of `block`.
unsafe fn run(block: NonNull<Block>) {
    // SAFETY: the word keeps the block alive until `begin` says `Free`, or until `end`.
    let this = unsafe { block.as_ref() };
    let end = match this.word.begin() {
        Begin::Free => End::Free,
        Begin::Run => {
            this.runner.store(raw::current_thread(), Ordering::Relaxed);
            // SAFETY: whoever built the gate promised that the routine may be called with the context.
            unsafe { (this.routine)(this.context) };
            this.runner.store(0, Ordering::Relaxed);
            this.word.end()
        }
    };
    match end {
        End::Idle => {}
        // SAFETY: the word is QUEUED for the next run, and nothing is touched afterwards.
        End::Insert => unsafe { insert(block) },
        // SAFETY: initialised; the waiting owner frees the block only after this.
        End::Wake => unsafe { this.ended.set() },
        // SAFETY: the owner is gone and has left the block, which came from a box, to this run.
        End::Free => drop(unsafe { PoolBox::from_raw(block.as_ptr()) }),
    }
}

#[cfg(test)]
mod tests;
