//! Deferred procedure calls: threads that stand for processors and take the next call of one queue.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::ffi::c_void;
use std::ops::Range;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use abi::nt::{BOOLEAN, DISPATCH_LEVEL, FALSE, KDPC, KIRQL, PASSIVE_LEVEL, PKDEFERRED_ROUTINE, TRUE};

use crate::host::{self, Condvar, Mutex, Started};
use crate::stop::{IRQL_UNEXPECTED_VALUE, TIMER_OR_DPC_INVALID};
use crate::{bare, processor, sim, stop, tally, wine};

/// How many DPCs run at the same time.
pub const PROCESSORS: usize = 2;

/// `KDPC.Type` of an initialised DPC: the kernel's number for the object.
const DPC_OBJECT: u8 = 0x13;

/// One call that is queued. The fields of the `KDPC` are taken when it begins, as the kernel does.
struct Queued {
    dpc: usize,
    sequence: u64,
}

struct Dpcs {
    /// In the order of queueing. Whichever processor is free takes the first, so a DPC that is queued again while it
    /// runs overlaps with itself, as it may on Windows.
    queue: VecDeque<Queued>,
    /// Sequence numbers of the calls that have not returned.
    outstanding: BTreeSet<u64>,
    next: u64,
}

static DPCS: Mutex<Dpcs> = Mutex::new(Dpcs { queue: VecDeque::new(), outstanding: BTreeSet::new(), next: 0 });
static CHANGED: Condvar = Condvar::new();
static QUEUED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// What this processor has queued, where processors run their own DPCs.
    static OWN: RefCell<VecDeque<*mut KDPC>> = const { RefCell::new(VecDeque::new()) };
}

/// Own DPCs of all processors that have not returned.
static OWN_OUTSTANDING: AtomicUsize = AtomicUsize::new(0);

/// Whether this processor has DPCs to run.
pub(crate) fn has_own() -> bool {
    bare::runs_own_dpcs() && OWN.with_borrow(|own| !own.is_empty())
}

/// Runs the DPCs of this processor, which is at `level` otherwise.
pub(crate) fn run_own(level: KIRQL) {
    processor::raise_for_dpcs();
    while let Some(dpc) = OWN.with_borrow_mut(VecDeque::pop_front) {
        // SAFETY: whoever queued the DPC keeps it valid until its call begins, which is here.
        let call = unsafe { begin(dpc, 0) };
        // SAFETY: a field of the DPC, which everybody accesses so; from here on it may be queued again, or freed. An exchange,
        // because the call must see what those wrote who found it queued until now.
        unsafe { is_queued(dpc) }.swap(std::ptr::null_mut(), Ordering::SeqCst);
        tally::note(|counts| counts.dpcs += 1);
        call.make();
        OWN_OUTSTANDING.fetch_sub(1, Ordering::AcqRel);
    }
    processor::lower_after_dpcs(level);
}

/// Queues a DPC for this processor; `false` if it is queued already.
///
/// # Safety
/// As for [`insert`].
unsafe fn insert_own(dpc: *mut KDPC, arguments: [*mut c_void; 2]) -> bool {
    // SAFETY: as promised by the caller.
    let queued = unsafe { is_queued(dpc) };
    let free = std::ptr::null_mut();
    if queued.compare_exchange(free, dpc.cast(), Ordering::SeqCst, Ordering::SeqCst).is_err() {
        return false;
    }
    // SAFETY: nobody else has the fields of a DPC while its word says that it is queued.
    let place = unsafe { &raw mut (*dpc).SystemArgument1 };
    // SAFETY: as above; the two lie side by side.
    unsafe { place.cast::<[*mut c_void; 2]>().write(arguments) };
    OWN_OUTSTANDING.fetch_add(1, Ordering::AcqRel);
    OWN.with_borrow_mut(|own| own.push_back(dpc));
    let level = processor::irql();
    if level < DISPATCH_LEVEL {
        run_own(level);
    }
    true
}

/// The word of a DPC that says whether it is queued.
///
/// # Safety
/// `dpc` is valid for `'dpc`.
unsafe fn is_queued<'dpc>(dpc: *mut KDPC) -> &'dpc AtomicPtr<c_void> {
    // SAFETY: as promised by the caller; only an address is computed.
    let word = unsafe { &raw mut (*dpc).DpcData };
    // SAFETY: as promised by the caller.
    unsafe { AtomicPtr::from_ptr(word) }
}

/// Whether no DPC is queued or running.
pub(crate) fn is_idle() -> bool {
    OWN_OUTSTANDING.load(Ordering::Acquire) == 0 && host::lock(&DPCS).outstanding.is_empty()
}

/// Waits until every DPC queued before has returned.
pub(crate) fn drain() {
    while OWN_OUTSTANDING.load(Ordering::Acquire) != 0 {
        host::yield_now();
    }
    let mut dpcs = host::lock(&DPCS);
    let limit = dpcs.next;
    while dpcs.outstanding.first().is_some_and(|&oldest| oldest < limit) {
        dpcs = host::wait(&CHANGED, dpcs, "DPCs to be over");
    }
}

/// Whether a queued DPC lies in that memory.
pub(crate) fn is_queued_within(range: &Range<usize>) -> bool {
    // Mostly nothing is queued, and then freeing memory need not take the lock.
    QUEUED.load(Ordering::Acquire) != 0
        && host::lock(&DPCS).queue.iter().any(|queued| range.contains(&queued.dpc))
}

/// Queues a DPC; `false` if it was queued already.
///
/// # Safety
/// `dpc` is valid until its call begins.
pub(crate) unsafe fn insert(dpc: *mut KDPC, arguments: [*mut c_void; 2]) -> bool {
    static STARTED: Started = Started::new();
    // SAFETY: as promised by the caller.
    let kind = unsafe { (*dpc).Type };
    if kind != DPC_OBJECT {
        stop!(TIMER_OR_DPC_INVALID, "the DPC at {:#x} is not initialised, or freed", dpc.addr());
    }
    if bare::runs_own_dpcs() {
        // SAFETY: as promised by the caller.
        return unsafe { insert_own(dpc, arguments) };
    }
    if STARTED.is_first() {
        for number in 0..PROCESSORS {
            host::spawn(&format!("dpc {number}"), processor_loop);
        }
    }
    let mut dpcs = host::lock(&DPCS);
    // SAFETY: as promised by the caller; the lock guards the fields of queued DPCs.
    let fields = unsafe { &mut *dpc };
    if !fields.DpcData.is_null() {
        return false;
    }
    let sequence = dpcs.next;
    fields.DpcData = dpc.cast();
    [fields.SystemArgument1, fields.SystemArgument2] = arguments;
    dpcs.next += 1;
    dpcs.outstanding.insert(sequence);
    dpcs.queue.push_back(Queued { dpc: dpc.expose_provenance(), sequence });
    QUEUED.fetch_add(1, Ordering::AcqRel);
    CHANGED.notify_all();
    drop(dpcs);
    sim::point("KeInsertQueueDpc");
    true
}

/// What is called, taken out of the `KDPC`, which may be freed from then on.
struct Call {
    dpc: *mut KDPC,
    routine: Option<PKDEFERRED_ROUTINE>,
    context: *mut c_void,
    arguments: [*mut c_void; 2],
    sequence: u64,
}

impl Call {
    fn make(self) {
        let [argument1, argument2] = self.arguments;
        processor::call_at(DISPATCH_LEVEL, IRQL_UNEXPECTED_VALUE, "a DPC routine", || {
            if let Some(routine) = self.routine {
                // SAFETY: the driver gave this routine to be called with these arguments.
                unsafe { routine(self.dpc, self.context, argument1, argument2) };
            }
        });
    }
}

/// The call of a DPC that begins now.
///
/// # Safety
/// `dpc` is valid, and nobody else has its fields.
unsafe fn begin(dpc: *mut KDPC, sequence: u64) -> Call {
    // SAFETY: as promised by the caller.
    let fields = unsafe { &*dpc };
    let arguments = [fields.SystemArgument1, fields.SystemArgument2];
    Call { dpc, routine: fields.DeferredRoutine, context: fields.DeferredContext, arguments, sequence }
}

fn next_call() -> Call {
    let mut dpcs = host::lock(&DPCS);
    loop {
        let Some(Queued { dpc, sequence }) = dpcs.queue.pop_front() else {
            dpcs = host::wait(&CHANGED, dpcs, "a DPC");
            continue;
        };
        QUEUED.fetch_sub(1, Ordering::AcqRel);
        let dpc = std::ptr::with_exposed_provenance_mut::<KDPC>(dpc);
        // SAFETY: whoever queued the DPC keeps it valid until its call begins, which is here; the lock is held.
        let call = unsafe { begin(dpc, sequence) };
        // SAFETY: as above.
        unsafe { (*dpc).DpcData = std::ptr::null_mut() };
        return call;
    }
}

fn processor_loop() {
    loop {
        let call = next_call();
        let sequence = call.sequence;
        call.make();
        host::lock(&DPCS).outstanding.remove(&sequence);
        CHANGED.notify_all();
    }
}

/// `KeInitializeDpc`.
///
/// # Safety
/// `dpc` is memory for a DPC that is not queued.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn KeInitializeDpc(
    dpc: *mut KDPC,
    routine: PKDEFERRED_ROUTINE,
    context: *mut c_void,
) {
    let null = std::ptr::null_mut();
    let fields = KDPC {
        Type: DPC_OBJECT,
        Importance: 1,
        Number: 0,
        DpcListEntry: abi::nt::SINGLE_LIST_ENTRY { Next: std::ptr::null_mut() },
        ProcessorHistory: 0,
        DeferredRoutine: Some(routine),
        DeferredContext: context,
        SystemArgument1: null,
        SystemArgument2: null,
        DpcData: null,
    };
    // SAFETY: as promised by the caller.
    unsafe { dpc.write(fields) };
}

/// `KeInsertQueueDpc`.
///
/// # Safety
/// `dpc` is valid until its call begins.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn KeInsertQueueDpc(
    dpc: *mut KDPC,
    argument1: *mut c_void,
    argument2: *mut c_void,
) -> BOOLEAN {
    if wine::is_imitated() {
        return TRUE;
    }
    // SAFETY: as promised by the caller.
    if unsafe { insert(dpc, [argument1, argument2]) } { TRUE } else { FALSE }
}

/// `KeFlushQueuedDpcs`.
#[unsafe(no_mangle)]
extern "C-unwind" fn KeFlushQueuedDpcs() {
    processor::require_at_most(PASSIVE_LEVEL, "KeFlushQueuedDpcs");
    processor::require_may_wait("KeFlushQueuedDpcs");
    if !wine::is_imitated() {
        drain();
    }
}
