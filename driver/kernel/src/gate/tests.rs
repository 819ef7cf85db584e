//! DPCs and work items over the simulated kernel.

use core::ffi::c_void;
use core::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::vec::Vec;

use ksim::pool::{Scope, fail_after};
use ksim::stop::DRIVER_VIOLATION;

use crate::dpc::Dpc;
use crate::event::{Event, EventType};
use crate::irql;
use crate::lock::SpinLock;
use crate::pool::{AllocError, PoolTag, Shared};
use crate::work::WorkItem;

const TAG: PoolTag = PoolTag::new(b"GaTe");

fn init() {
    // SAFETY: the simulation's device object is never freed.
    unsafe { crate::init(ksim::device()) };
}

/// What a routine of these tests does and leaves behind.
struct Runs {
    expected_level: u8,
    running: AtomicBool,
    count: AtomicUsize,
    /// Set by each run.
    begun: Event,
    /// A run ends when this is set.
    may_end: Event,
}

impl Runs {
    fn new(expected_level: u8, may_end: bool) -> Self {
        init();
        Self {
            expected_level,
            running: AtomicBool::new(false),
            count: AtomicUsize::new(0),
            begun: Event::new(EventType::Synchronization, false).unwrap(),
            may_end: Event::new(EventType::Notification, may_end).unwrap(),
        }
    }

    fn at_dispatch(may_end: bool) -> Self {
        Self::new(irql::DISPATCH_LEVEL, may_end)
    }

    fn dpc(&self) -> Result<Dpc, AllocError> {
        // SAFETY: the tests drop the DPC before what it counts in.
        unsafe { Dpc::new(TAG, run, ptr::from_ref(self).cast_mut().cast()) }
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

/// # Safety
/// `context` is a `Runs`.
unsafe fn run(context: *mut c_void) {
    // SAFETY: as promised by the caller.
    let runs = unsafe { &*context.cast::<Runs>() };
    assert_eq!(irql::current(), runs.expected_level);
    assert!(!runs.running.swap(true, Ordering::SeqCst), "a routine runs twice at once");
    runs.count.fetch_add(1, Ordering::SeqCst);
    runs.begun.set();
    // Looking is allowed at DISPATCH_LEVEL, waiting is not.
    while !runs.may_end.wait(Some(0)) {
        thread::yield_now();
    }
    runs.running.store(false, Ordering::SeqCst);
}

/// The owner goes away at DISPATCH_LEVEL while the routine still runs elsewhere.
#[test]
fn the_drop_of_an_unawaited_dpc_does_not_wait() {
    let runs = Runs::at_dispatch(false);
    // SAFETY: the run has returned before the test does.
    let dpc = unsafe { Dpc::new_unawaited(TAG, run, ptr::from_ref(&runs).cast_mut().cast()) }.unwrap();
    dpc.queue();
    runs.begun.wait_forever();
    let lock = SpinLock::new(());
    let raised = lock.lock();
    drop(dpc);
    assert!(runs.running.load(Ordering::SeqCst), "the drop has waited");
    drop(raised);
    runs.may_end.set();
    ksim::quiesce();
    assert_eq!(runs.count(), 1);
}

#[test]
fn a_dpc_runs_once_for_requests_before_a_run_and_once_more_for_those_during_it() {
    let scope = Scope::new();
    let runs = Runs::at_dispatch(false);
    let dpc = runs.dpc().unwrap();
    assert!(dpc.queue());
    runs.begun.wait_forever();
    assert!(dpc.queue());
    assert!(!dpc.queue());
    assert!(!dpc.queue());
    runs.may_end.set();
    runs.begun.wait_forever();
    drop(dpc);
    assert_eq!(runs.count(), 2);
    drop(runs);
    scope.assert_empty();
}

#[test]
fn a_work_item_runs_at_passive_level() {
    let scope = Scope::new();
    let runs = Runs::new(irql::PASSIVE_LEVEL, true);
    // SAFETY: dropped before `runs`.
    let item = unsafe { WorkItem::new(TAG, run, ptr::from_ref(&runs).cast_mut().cast()) }.unwrap();
    for _ in 0..10 {
        item.queue();
        runs.begun.wait_forever();
    }
    drop(item);
    drop(runs);
    scope.assert_empty();
}

#[test]
fn runs_never_overlap_and_none_is_lost() {
    let runs = Runs::at_dispatch(true);
    let dpc = runs.dpc().unwrap();
    let made = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..2000 {
                    made.fetch_add(usize::from(dpc.queue()), Ordering::SeqCst);
                }
            });
        }
    });
    let flushed = made.load(Ordering::SeqCst);
    while runs.count() < flushed {
        crate::dpc::flush();
    }
    drop(dpc);
    assert_eq!(runs.count(), flushed);
}

#[test]
fn dropping_waits_for_a_run_elsewhere() {
    let runs = Runs::at_dispatch(false);
    let dpc = runs.dpc().unwrap();
    dpc.queue();
    runs.begun.wait_forever();
    thread::scope(|scope| {
        scope.spawn(|| runs.may_end.set());
        drop(dpc);
        assert!(!runs.running.load(Ordering::SeqCst));
    });
}

#[test]
fn dropping_while_a_run_elsewhere_goes_on_is_refused_at_dispatch_level() {
    let runs = Runs::at_dispatch(false);
    let dpc = runs.dpc().unwrap();
    dpc.queue();
    runs.begun.wait_forever();
    let stop = ksim::stops(|| {
        let lock = SpinLock::new(());
        let _at_dispatch = lock.lock();
        // The drop stops the machine; what it leaves behind is freed by nobody.
        drop(dpc);
    });
    runs.may_end.set();
    ksim::quiesce();
    assert!(stop.is_some_and(|stop| stop.is(DRIVER_VIOLATION)));
}

#[test]
fn a_request_that_has_not_begun_is_dropped_with_the_dpc() {
    let scope = Scope::new();
    let _alone = ksim::exclusive();
    let runs = Runs::at_dispatch(true);
    // Something to run on every processor, so that nothing queued behind can begin.
    let blockers: Vec<_> = (0..ksim::dpc::PROCESSORS).map(|_| Runs::at_dispatch(false)).collect();
    let blocking: Vec<_> = blockers.iter().map(|blocker| blocker.dpc().unwrap()).collect();
    for (dpc, blocker) in blocking.iter().zip(&blockers) {
        dpc.queue();
        blocker.begun.wait_forever();
    }
    let dpc = runs.dpc().unwrap();
    assert!(dpc.queue());
    {
        // Nothing to wait for, so any level will do.
        let lock = SpinLock::new(());
        let _at_dispatch = lock.lock();
        drop(dpc);
    }
    blockers.iter().for_each(|blocker| blocker.may_end.set());
    drop(blocking);
    ksim::quiesce();
    assert_eq!(runs.count(), 0);
    drop((runs, blockers));
    scope.assert_empty();
}

/// Owns the DPC that gives up the last reference to it.
struct Last {
    dpc: Dpc,
    gone: Shared<Event>,
}

impl Drop for Last {
    fn drop(&mut self) {
        self.gone.set();
    }
}

/// # Safety
/// `context` is a reference from `Shared::into_raw` of a `Last`.
unsafe fn give_up(context: *mut c_void) {
    // SAFETY: as promised by the caller.
    drop(unsafe { Shared::from_raw(context.cast_const().cast::<Last>()) });
}

#[test]
fn a_routine_may_give_up_the_last_reference_to_its_own_dpc() {
    init();
    let scope = Scope::new();
    let gone = Shared::try_new(TAG, Event::new(EventType::Notification, false).unwrap()).unwrap();
    for _ in 0..100 {
        let last = Shared::try_new_cyclic(TAG, |own: *const Last| {
            // SAFETY: the run has the reference that is put into the context below.
            let dpc = unsafe { Dpc::new(TAG, give_up, own.cast_mut().cast()) }?;
            Ok::<_, AllocError>(Last { dpc, gone: gone.clone() })
        })
        .unwrap();
        let raw = Shared::into_raw(last);
        // SAFETY: the reference behind `raw` is the run's, which begins at the earliest inside this call.
        unsafe { &(*raw).dpc }.queue();
        gone.wait_forever();
        gone.clear();
    }
    drop(gone);
    // The last run may still be returning.
    crate::dpc::flush();
    scope.assert_empty();
}

#[test]
fn each_failing_allocation_leaves_nothing() {
    let runs = Runs::at_dispatch(true);
    let scope = Scope::new();
    let context = ptr::from_ref(&runs).cast_mut().cast();
    for successes in 0..4 {
        let failing = fail_after(successes);
        let dpc = runs.dpc();
        assert_eq!(dpc.is_err(), failing.has_failed());
        drop((dpc, failing));
        let failing = fail_after(successes);
        // SAFETY: dropped before `runs`.
        let item = unsafe { WorkItem::new(TAG, run, context) };
        assert_eq!(item.is_err(), failing.has_failed());
        drop((item, failing));
        scope.assert_empty();
    }
}
