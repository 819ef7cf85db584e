//! DPCs, timers, work items.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};

use abi::nt::{DEVICE_OBJECT, DelayedWorkQueue, KDPC, KTIMER};

use super::*;
use crate::pool::Scope;
use crate::stop::{
    DRIVER_VERIFIER_DETECTED_VIOLATION, INVALID_WORK_QUEUE_ITEM, IRQL_NOT_LESS_OR_EQUAL,
    IRQL_UNEXPECTED_VALUE, REFERENCE_BY_POINTER, TIMER_OR_DPC_INVALID, WORKER_THREAD_RETURNED_AT_BAD_IRQL,
};
use crate::{dpc, processor, work};

const TAG: u32 = u32::from_le_bytes(*b"KsTe");

/// Calls that are counted, and held while the door is shut.
#[derive(Default)]
struct Door {
    begun: AtomicUsize,
    open: Mutex<bool>,
    changed: Condvar,
}

impl Door {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.changed.notify_all();
    }

    fn enter(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let open = self.open.lock().unwrap();
        drop(self.changed.wait_while(open, |open| !*open).unwrap());
    }

    fn wait_for(&self, calls: usize) {
        while self.begun.load(Ordering::SeqCst) < calls {
            std::thread::yield_now();
        }
    }

    fn context(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }
}

/// # Safety
/// `context` is a `Door`.
unsafe extern "system" fn dpc_routine(_: *mut KDPC, context: *mut c_void, _: *mut c_void, _: *mut c_void) {
    assert_eq!(processor::irql(), 2);
    // SAFETY: as promised by the caller.
    unsafe { &*context.cast::<Door>() }.enter();
}

/// # Safety
/// `context` is a `Door`.
unsafe extern "system" fn work_routine(device: *mut DEVICE_OBJECT, context: *mut c_void) {
    assert_eq!((processor::irql(), device), (0, crate::device()));
    // SAFETY: as promised by the caller.
    unsafe { &*context.cast::<Door>() }.enter();
}

/// A routine that leaves the level raised.
unsafe extern "system" fn dpc_raise(_: *mut KDPC, _: *mut c_void, _: *mut c_void, _: *mut c_void) {
    raise(3);
}

/// As above.
unsafe extern "system" fn work_raise(_: *mut DEVICE_OBJECT, _: *mut c_void) {
    raise(2);
}

/// A DPC in pool.
fn new_dpc(door: &Door) -> *mut KDPC {
    // SAFETY: no precondition that the simulation would not check.
    let dpc = unsafe { ExAllocatePool2(0x40, size_of::<KDPC>(), TAG) }.cast();
    // SAFETY: memory for a DPC.
    unsafe { KeInitializeDpc(dpc, dpc_routine, door.context()) };
    dpc
}

fn insert(dpc: *mut KDPC) -> bool {
    // SAFETY: the tests keep what they queue; the simulation checks the rest.
    unsafe { KeInsertQueueDpc(dpc, ptr::null_mut(), ptr::null_mut()) != 0 }
}

fn free(memory: *mut KDPC) {
    // SAFETY: the simulation checks the state.
    unsafe { ExFreePoolWithTag(memory.cast(), 0) };
}

fn flush() {
    // SAFETY: the simulation checks the level.
    unsafe { KeFlushQueuedDpcs() };
}

#[test]
fn a_dpc_is_queued_once_at_a_time_and_its_memory_free_once_it_runs() {
    let _alone = crate::exclusive();
    let (scope, blocked, door) = (Scope::new(), Door::default(), Door::default());
    let blockers: Vec<_> = (0..dpc::PROCESSORS).map(|_| new_dpc(&blocked)).collect();
    for (&blocker, calls) in blockers.iter().zip(1..) {
        assert!(insert(blocker));
        blocked.wait_for(calls);
        // Its call has begun, so nobody needs it any more.
        free(blocker);
    }
    let dpc = new_dpc(&door);
    assert!(insert(dpc));
    assert!(!insert(dpc));
    let address = dpc.expose_provenance();
    assert_stops(TIMER_OR_DPC_INVALID, || free(ptr::with_exposed_provenance_mut(address)));
    door.open();
    blocked.open();
    flush();
    assert_eq!(door.begun.load(Ordering::SeqCst), 1);
    // The faulty free above has taken the block out of the books, so it is not counted any more.
    scope.assert_empty();
}

#[test]
fn faulty_uses_of_dpcs_are_caught() {
    assert_stops(TIMER_OR_DPC_INVALID, || {
        insert([0_u64; 8].as_mut_ptr().cast());
    });
    assert_stops(IRQL_NOT_LESS_OR_EQUAL, || {
        raise(2);
        flush();
    });
}

#[test]
fn a_dpc_that_returns_at_another_level_ends_the_process() {
    in_child("a_dpc_that_returns_at_another_level_ends_the_process", IRQL_UNEXPECTED_VALUE, || {
        let mut dpc = MaybeUninit::zeroed();
        // SAFETY: memory for a DPC, kept until the process ends.
        unsafe { KeInitializeDpc(dpc.as_mut_ptr(), dpc_raise, ptr::null_mut()) };
        insert(dpc.as_mut_ptr());
        flush();
    });
}

fn new_timer() -> *mut KTIMER {
    // SAFETY: no precondition that the simulation would not check.
    let timer = unsafe { ExAllocatePool2(0x40, size_of::<KTIMER>(), TAG) }.cast();
    // SAFETY: memory for a timer.
    unsafe { KeInitializeTimerEx(timer, 0) };
    timer
}

/// Sets a timer that lives; whether it was set already.
fn set(timer: *mut KTIMER, due: i64, period_ms: i32, dpc: *mut KDPC) -> bool {
    // SAFETY: the tests keep what they set; the simulation checks the rest.
    unsafe { KeSetTimerEx(timer, due, period_ms, dpc) != 0 }
}

/// Cancels a timer that lives; whether it was set.
fn cancel(timer: *mut KTIMER) -> bool {
    // SAFETY: the simulation checks the state.
    unsafe { KeCancelTimer(timer) != 0 }
}

#[test]
fn a_timer_is_signalled_and_queues_its_dpc() {
    let (scope, door) = (Scope::new(), Door::default());
    door.open();
    let (timer, dpc) = (new_timer(), new_dpc(&door));
    assert!(!set(timer, i64::MIN, 0, dpc));
    assert!(set(timer, -10_000, 0, dpc));
    // SAFETY: the timer lives.
    assert_eq!(unsafe { KeWaitForSingleObject(timer.cast(), 0, 0, 0, ptr::null()) }, 0);
    door.wait_for(1);
    assert!(!cancel(timer));
    assert!(!set(timer, 0, 1, dpc));
    door.wait_for(4);
    assert!(cancel(timer), "a periodic timer stays set");
    flush();
    free(dpc);
    free(timer.cast());
    scope.assert_empty();
}

#[test]
fn faulty_uses_of_timers_are_caught() {
    assert_stops(TIMER_OR_DPC_INVALID, || {
        set([0_u64; 8].as_mut_ptr().cast(), 0, 0, ptr::null_mut());
    });
    assert_stops(TIMER_OR_DPC_INVALID, || {
        cancel([0_u64; 8].as_mut_ptr().cast());
    });
    assert_stops(DRIVER_VERIFIER_DETECTED_VIOLATION, || {
        set(new_timer(), 1, 0, ptr::null_mut());
    });
    let timer = new_timer();
    set(timer, -1_000_000_000_000, 0, ptr::null_mut());
    let address = timer.expose_provenance();
    assert_stops(TIMER_OR_DPC_INVALID, || free(ptr::with_exposed_provenance_mut(address)));
    cancel(timer);
}

fn new_item() -> *mut IO_WORKITEM {
    // SAFETY: the simulation checks the device.
    unsafe { IoAllocateWorkItem(crate::device()) }
}

fn queue(item: *mut IO_WORKITEM, door: &Door) {
    // SAFETY: the tests keep what they queue; the simulation checks the rest.
    unsafe { IoQueueWorkItem(item, work_routine, DelayedWorkQueue, door.context()) };
}

fn free_item(item: *mut IO_WORKITEM) {
    // SAFETY: the simulation checks the state.
    unsafe { IoFreeWorkItem(item) };
}

#[test]
fn a_work_item_is_queued_once_at_a_time_and_free_once_it_runs() {
    let _alone = crate::exclusive();
    let (scope, blocked, door) = (Scope::new(), Door::default(), Door::default());
    for calls in 1..=work::THREADS_PER_QUEUE {
        let item = new_item();
        queue(item, &blocked);
        blocked.wait_for(calls);
        free_item(item);
    }
    let item = new_item();
    queue(item, &door);
    let address = item.expose_provenance();
    for broken in [&(|item| queue(item, &door)) as &(dyn Fn(*mut IO_WORKITEM) + Sync), &free_item] {
        assert_stops(INVALID_WORK_QUEUE_ITEM, || broken(ptr::with_exposed_provenance_mut(address)));
    }
    door.open();
    blocked.open();
    crate::quiesce();
    assert_eq!(door.begun.load(Ordering::SeqCst), 1);
    free_item(item);
    assert_stops(INVALID_WORK_QUEUE_ITEM, || queue(ptr::with_exposed_provenance_mut(address), &door));
    scope.assert_empty();
}

#[test]
fn a_work_item_needs_a_device() {
    // SAFETY: the simulation checks the device.
    assert_stops(REFERENCE_BY_POINTER, || unsafe {
        IoAllocateWorkItem(ptr::null_mut());
    });
}

#[test]
fn a_work_item_that_returns_at_another_level_ends_the_process() {
    let name = "a_work_item_that_returns_at_another_level_ends_the_process";
    in_child(name, WORKER_THREAD_RETURNED_AT_BAD_IRQL, || {
        // SAFETY: a fresh item.
        unsafe { IoQueueWorkItem(new_item(), work_raise, DelayedWorkQueue, ptr::null_mut()) };
        crate::quiesce();
    });
}
