//! Work items: system worker threads at PASSIVE_LEVEL.

use std::collections::VecDeque;
use std::ffi::c_void;

use abi::nt::{
    CriticalWorkQueue, DEVICE_OBJECT, DISPATCH_LEVEL, IO_WORKITEM, PASSIVE_LEVEL, PIO_WORKITEM_ROUTINE,
    WORK_QUEUE_TYPE,
};

use crate::host::{self, Condvar, Mutex, Started};
use crate::stop::{INVALID_WORK_QUEUE_ITEM, WORKER_THREAD_RETURNED_AT_BAD_IRQL};
use crate::{object, pool, processor, sim, stop, tally};

/// Worker threads of each of the two queues.
pub const THREADS_PER_QUEUE: usize = 2;

const TAG: u32 = u32::from_le_bytes(*b"IoWi");
const MAGIC: u32 = 0x494F_5749;

/// What an `IO_WORKITEM` of the simulation is.
struct Item {
    magic: u32,
    queued: bool,
    device: *mut DEVICE_OBJECT,
}

/// A call that is queued; the item may be freed or queued again once it begins.
struct Call {
    item: *mut Item,
    device: *mut DEVICE_OBJECT,
    routine: PIO_WORKITEM_ROUTINE,
    context: *mut c_void,
}

// SAFETY: the pointers are the driver's, given to be used on a worker thread.
unsafe impl Send for Call {}

struct Workers {
    critical: VecDeque<Call>,
    delayed: VecDeque<Call>,
    /// Calls queued or running.
    outstanding: usize,
}

static WORKERS: Mutex<Workers> =
    Mutex::new(Workers { critical: VecDeque::new(), delayed: VecDeque::new(), outstanding: 0 });
static CHANGED: Condvar = Condvar::new();

impl Workers {
    fn queue(&mut self, critical: bool) -> &mut VecDeque<Call> {
        if critical { &mut self.critical } else { &mut self.delayed }
    }
}

/// Whether no work item is queued or running.
pub(crate) fn is_idle() -> bool {
    host::lock(&WORKERS).outstanding == 0
}

/// Waits until no work item is queued or running.
pub(crate) fn drain() {
    let mut workers = host::lock(&WORKERS);
    while workers.outstanding != 0 {
        workers = host::wait(&CHANGED, workers, "work items to be over");
    }
}

fn worker_loop(critical: bool) {
    loop {
        let call = next_call(critical);
        processor::call_at(PASSIVE_LEVEL, WORKER_THREAD_RETURNED_AT_BAD_IRQL, "a work item routine", || {
            // SAFETY: the driver gave this routine to be called with this context.
            unsafe { (call.routine)(call.device, call.context) };
        });
        object::dereference(call.device.addr());
        host::lock(&WORKERS).outstanding -= 1;
        CHANGED.notify_all();
    }
}

fn next_call(critical: bool) -> Call {
    let mut workers = host::lock(&WORKERS);
    loop {
        if let Some(call) = workers.queue(critical).pop_front() {
            // SAFETY: an item stays valid while it is queued, which it was until here.
            unsafe { (*call.item).queued = false };
            return call;
        }
        workers = host::wait(&CHANGED, workers, "a work item");
    }
}

/// Stops unless `item` is a work item that is not queued. The lock of the workers is held.
///
/// # Safety
/// `item` is readable.
unsafe fn require_unqueued(item: *mut Item, routine: &str) {
    // SAFETY: as promised by the caller.
    let fields = unsafe { &*item };
    if fields.magic != MAGIC {
        stop!(INVALID_WORK_QUEUE_ITEM, "{routine}: {:#x} is no work item, or freed", item.addr());
    }
    if fields.queued {
        stop!(INVALID_WORK_QUEUE_ITEM, "{routine}: the work item at {:#x} is queued", item.addr());
    }
}

/// `IoAllocateWorkItem`.
#[unsafe(no_mangle)]
pub(crate) extern "C-unwind" fn IoAllocateWorkItem(device: *mut DEVICE_OBJECT) -> *mut IO_WORKITEM {
    object::require(device.addr(), "IoAllocateWorkItem");
    let item = pool::allocate(size_of::<Item>(), TAG, 0).cast::<Item>();
    if !item.is_null() {
        // SAFETY: a fresh allocation of this size.
        unsafe { item.write(Item { magic: MAGIC, queued: false, device }) };
    }
    item.cast()
}

/// `IoFreeWorkItem`.
///
/// # Safety
/// `item` came from `IoAllocateWorkItem`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn IoFreeWorkItem(item: *mut IO_WORKITEM) {
    let workers = host::lock(&WORKERS);
    // SAFETY: as promised by the caller.
    unsafe { require_unqueued(item.cast(), "IoFreeWorkItem") };
    drop(workers);
    pool::free(item.cast(), TAG);
}

/// `IoQueueWorkItem`.
///
/// # Safety
/// `item` came from `IoAllocateWorkItem` and stays until its call begins.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn IoQueueWorkItem(
    item: *mut IO_WORKITEM,
    routine: PIO_WORKITEM_ROUTINE,
    queue: WORK_QUEUE_TYPE,
    context: *mut c_void,
) {
    static STARTED: Started = Started::new();
    processor::require_at_most(DISPATCH_LEVEL, "IoQueueWorkItem");
    tally::note(|counts| counts.work_items += 1);
    if STARTED.is_first() {
        for number in 0..THREADS_PER_QUEUE {
            host::spawn(&format!("critical worker {number}"), || worker_loop(true));
            host::spawn(&format!("delayed worker {number}"), || worker_loop(false));
        }
    }
    let item = item.cast::<Item>();
    let mut workers = host::lock(&WORKERS);
    // SAFETY: as promised by the caller.
    unsafe { require_unqueued(item, "IoQueueWorkItem") };
    // SAFETY: checked above; the lock is held.
    let fields = unsafe { &mut *item };
    fields.queued = true;
    object::reference(fields.device.addr());
    workers.queue(queue == CriticalWorkQueue).push_back(Call {
        item,
        device: fields.device,
        routine,
        context,
    });
    workers.outstanding += 1;
    CHANGED.notify_all();
    drop(workers);
    sim::point("IoQueueWorkItem");
}
