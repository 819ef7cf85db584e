//! A system whose stubs report success and do nothing, as Wine. It is a process of its own, because that is found out
//! once.
#![cfg(test)]

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use wskrdma_kernel as kernel;

use abi::nt::{MDL_SOURCE_IS_NONPAGED_POOL, PAGE_SIZE};
use kernel::dpc::Dpc;
use kernel::event::{Event, EventType};
use kernel::mdl;
use kernel::pool::PoolTag;
use kernel::region::Region;
use kernel::time;
use kernel::timer::Timer;

const TAG: PoolTag = PoolTag::new(b"Wine");

struct Runs {
    count: AtomicUsize,
    running: AtomicBool,
    done: Event,
}

impl Runs {
    fn new() -> Self {
        let done = Event::new(EventType::Synchronization, false).unwrap();
        Self { count: AtomicUsize::new(0), running: AtomicBool::new(false), done }
    }

    fn context(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }
}

/// # Safety
/// `context` is a `Runs`.
unsafe fn run(context: *mut c_void) {
    // SAFETY: as promised by the caller.
    let runs = unsafe { &*context.cast::<Runs>() };
    assert!(!runs.running.swap(true, Ordering::SeqCst), "a routine runs twice at once");
    runs.count.fetch_add(1, Ordering::SeqCst);
    runs.running.store(false, Ordering::SeqCst);
    runs.done.set();
}

#[test]
fn everything_works_all_the_same() {
    ksim::wine::imitate();
    // SAFETY: the simulation's device object is never freed.
    unsafe { kernel::init(ksim::device()) };
    routines_run_one_at_a_time();
    timers_fire();
    regions_are_page_aligned_and_their_mdls_have_addresses();
    mdls_of_others_have_addresses();
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

fn routines_run_one_at_a_time() {
    let runs = Runs::new();
    // SAFETY: dropped before `runs`.
    let dpc = unsafe { Dpc::new(TAG, run, runs.context()) }.unwrap();
    assert!(dpc.queue());
    runs.done.wait_forever();
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
}

fn timers_fire() {
    let runs = Runs::new();
    // SAFETY: dropped before `runs`.
    let timer = unsafe { Timer::new(TAG, run, runs.context()) }.unwrap();
    for round in 1..=20 {
        timer.set(if round % 2 == 0 { 0 } else { time::milliseconds(1) });
        runs.done.wait_forever();
        assert_eq!(runs.count.load(Ordering::SeqCst), round);
    }
    // A later time is forgotten for an earlier one, and any time by a cancel and by the drop.
    timer.set(time::milliseconds(1_000_000));
    timer.set(time::milliseconds(1));
    runs.done.wait_forever();
    timer.set(time::milliseconds(1_000_000));
    timer.cancel();
    timer.set(time::milliseconds(1_000_000));
    drop(timer);
    assert_eq!(runs.count.load(Ordering::SeqCst), 21);
    again();
}

/// A routine that sets its own timer, which Wine's cannot bear.
fn again() {
    struct Again {
        timer: std::sync::OnceLock<Timer>,
        left: AtomicUsize,
        done: Event,
    }
    unsafe fn again(context: *mut c_void) {
        // SAFETY: the context of the timer below.
        let again = unsafe { &*context.cast::<Again>() };
        if again.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            again.done.set();
        } else {
            again.timer.get().unwrap().set(0);
        }
    }
    let done = Event::new(EventType::Synchronization, false).unwrap();
    let all = Again { timer: std::sync::OnceLock::new(), left: AtomicUsize::new(200), done };
    // SAFETY: dropped before its context.
    let timer = unsafe { Timer::new(TAG, again, ptr::from_ref(&all).cast_mut().cast()) }.unwrap();
    all.timer.set(timer).ok().unwrap();
    all.timer.get().unwrap().set(0);
    all.done.wait_forever();
}

fn regions_are_page_aligned_and_their_mdls_have_addresses() {
    for len in [1, PAGE_SIZE, 10_000] {
        let region = Region::try_new(TAG, len).unwrap();
        assert_eq!(region.as_ptr().addr() % PAGE_SIZE, 0);
        // SAFETY: the region's MDL lives as long as the region.
        let fields = unsafe { &*region.mdl() };
        assert_ne!(fields.MdlFlags & MDL_SOURCE_IS_NONPAGED_POOL, 0, "others are told by the flag");
        assert_eq!(fields.MappedSystemVa.cast(), region.as_ptr());
        // SAFETY: as above; nobody else maps it.
        assert_eq!(unsafe { mdl::system_address(region.mdl()) }, Some(region.as_ptr()));
        region.write(len - 1, &[7]).unwrap();
        let mut bytes = vec![1; len];
        region.read(0, &mut bytes).unwrap();
        assert!(bytes[..len - 1].iter().all(|&byte| byte == 0));
    }
}

fn mdls_of_others_have_addresses() {
    let chain = ksim::buffer::Chain::new(b"another driver's", &[5], ksim::buffer::Pages::NonPagedPool);
    let mut copied = [0; 16];
    // SAFETY: the chain lives, and nobody else uses it.
    unsafe { mdl::copy_out(&chain.whole(), 0, &mut copied) }.unwrap();
    assert_eq!(&copied, b"another driver's");
}
