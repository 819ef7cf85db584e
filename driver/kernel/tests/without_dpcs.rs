//! A system that queues DPCs and never runs them, as Wine. It is a process of its own, because that is found out once.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use wskrdma_kernel as kernel;

use kernel::dpc::Dpc;
use kernel::event::{Event, EventType};
use kernel::irql;
use kernel::pool::PoolTag;

const TAG: PoolTag = PoolTag::new(b"NoDp");

struct Runs {
    count: AtomicUsize,
    level: AtomicU8,
    running: AtomicBool,
    done: Event,
}

/// # Safety
/// `context` is a `Runs`.
unsafe fn run(context: *mut c_void) {
    // SAFETY: as promised by the caller.
    let runs = unsafe { &*context.cast::<Runs>() };
    assert!(!runs.running.swap(true, Ordering::SeqCst), "a routine runs twice at once");
    runs.level.store(irql::current(), Ordering::SeqCst);
    runs.count.fetch_add(1, Ordering::SeqCst);
    runs.running.store(false, Ordering::SeqCst);
    runs.done.set();
}

#[test]
fn routines_run_at_dispatch_level_one_at_a_time() {
    ksim::dpc::forget_queued();
    // SAFETY: the simulation's device object is never freed.
    unsafe { kernel::init(ksim::device()) };
    let done = Event::new(EventType::Synchronization, false).unwrap();
    let runs =
        Runs { count: AtomicUsize::new(0), level: AtomicU8::new(9), running: AtomicBool::new(false), done };
    // SAFETY: dropped before `runs`.
    let dpc = unsafe { Dpc::new(TAG, run, ptr::from_ref(&runs).cast_mut().cast()) }.unwrap();
    assert!(dpc.queue());
    runs.done.wait_forever();
    assert_eq!(runs.level.load(Ordering::SeqCst), irql::DISPATCH_LEVEL);
    let made = AtomicUsize::new(1);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    made.fetch_add(usize::from(dpc.queue()), Ordering::SeqCst);
                }
            });
        }
    });
    ksim::quiesce();
    assert_eq!(runs.count.load(Ordering::SeqCst), made.load(Ordering::SeqCst));
    drop((dpc, runs));
    kernel::shutdown();
    assert_eq!(ksim::leaks(), []);

    let stop = ksim::stops(|| {
        // SAFETY: it is never run.
        let _ = unsafe { Dpc::new(TAG, run, ptr::null_mut()) };
    });
    assert!(
        stop.is_some_and(|stop| stop.is(ksim::stop::DRIVER_VIOLATION)),
        "there is no device after shutdown"
    );
}
