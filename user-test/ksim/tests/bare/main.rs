//! A machine for measurements: processors run their own DPCs, and nothing is checked. A process of its own, which stays so.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use abi::nt::{DISPATCH_LEVEL, KDPC, PAGE_SIZE};
use wskrdma_ksim as ksim;

unsafe extern "C-unwind" {
    fn ExAllocatePool2(flags: u64, bytes: usize, tag: u32) -> *mut c_void;
    fn ExFreePoolWithTag(memory: *mut c_void, tag: u32);
    fn KeAcquireSpinLockRaiseToDpc(lock: *mut usize) -> u8;
    fn KeReleaseSpinLock(lock: *mut usize, new: u8);
    fn KeInitializeDpc(dpc: *mut KDPC, routine: abi::nt::PKDEFERRED_ROUTINE, context: *mut c_void);
    fn KeInsertQueueDpc(dpc: *mut KDPC, argument1: *mut c_void, argument2: *mut c_void) -> u8;
    fn KeFlushQueuedDpcs();
}

fn boot() {
    static BOOT: Once = Once::new();
    BOOT.call_once(ksim::bare::without_checks);
}

// SAFETY: the DPC is the simulated kernel's, which any processor may call; the rest is atomic.
unsafe impl Sync for Counting {}

/// A DPC that counts its runs, and queues itself again so many times.
struct Counting {
    dpc: UnsafeCell<MaybeUninit<KDPC>>,
    runs: AtomicUsize,
    again: AtomicUsize,
}

unsafe extern "system" fn run(dpc: *mut KDPC, context: *mut c_void, argument: *mut c_void, _: *mut c_void) {
    // SAFETY: the context of `Counting::queue`, which outlives the run.
    let counting = unsafe { &*context.cast::<Counting>() };
    assert_eq!(ksim::processor::irql(), DISPATCH_LEVEL);
    assert_eq!(argument.addr(), 7);
    counting.runs.fetch_add(1, Ordering::Relaxed);
    if counting.again.load(Ordering::Relaxed) != 0 {
        counting.again.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: initialised, and not queued any more.
        assert_ne!(unsafe { KeInsertQueueDpc(dpc, argument, ptr::null_mut()) }, 0);
    }
}

impl Counting {
    fn new(again: usize) -> Box<Self> {
        boot();
        let dpc = UnsafeCell::new(MaybeUninit::uninit());
        let this = Box::new(Self { dpc, runs: AtomicUsize::new(0), again: AtomicUsize::new(again) });
        let context = ptr::from_ref(&*this).cast_mut().cast();
        // SAFETY: memory for a DPC, whose context stays in its box.
        unsafe { KeInitializeDpc(this.dpc.get().cast(), run, context) };
        this
    }

    fn queue(&self) -> bool {
        let argument = ptr::without_provenance_mut(7);
        // SAFETY: initialised, and it stays until it has run.
        unsafe { KeInsertQueueDpc(self.dpc.get().cast(), argument, ptr::null_mut()) != 0 }
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::Relaxed)
    }
}

#[test]
fn a_dpc_runs_inside_the_call_that_queues_it() {
    let counting = Counting::new(0);
    assert!(counting.queue());
    assert_eq!(counting.runs(), 1);
    assert_eq!(ksim::processor::irql(), 0);
}

#[test]
fn a_dpc_waits_until_the_level_falls() {
    let counting = Counting::new(0);
    let (mut outer, mut inner) = (0, 0);
    // SAFETY: two free locks.
    let [before, between] = [&mut outer, &mut inner].map(|lock| unsafe { KeAcquireSpinLockRaiseToDpc(lock) });
    assert_eq!((before, between), (0, DISPATCH_LEVEL));
    assert!(counting.queue());
    assert!(!counting.queue(), "it is queued already");
    // SAFETY: held.
    unsafe { KeReleaseSpinLock(&mut inner, between) };
    assert_eq!(counting.runs(), 0);
    // SAFETY: held.
    unsafe { KeReleaseSpinLock(&mut outer, before) };
    assert_eq!(counting.runs(), 1);
}

#[test]
fn a_dpc_that_queues_itself_runs_again() {
    let counting = Counting::new(3);
    assert!(counting.queue());
    assert_eq!(counting.runs(), 4);
}

#[test]
fn a_flush_waits_for_other_processors() {
    let counting = Counting::new(0);
    let queued = std::thread::scope(|scope| {
        let counting = &counting;
        // What is queued already is not queued again.
        let times = || (0..1000).filter(|_| counting.queue()).count();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(times)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
    });
    // SAFETY: at PASSIVE_LEVEL.
    unsafe { KeFlushQueuedDpcs() };
    ksim::quiesce();
    assert!(queued > 0);
    assert_eq!(counting.runs(), queued);
}

#[test]
fn memory_comes_from_the_heap() {
    boot();
    for bytes in [1, 16, 100, PAGE_SIZE - 1, PAGE_SIZE, 10 * PAGE_SIZE] {
        // SAFETY: a non-paged block.
        let memory = unsafe { ExAllocatePool2(0x40, bytes, u32::from_le_bytes(*b"KsTe")) }.cast::<u8>();
        assert_eq!(memory.addr() % if bytes < PAGE_SIZE { 16 } else { PAGE_SIZE }, 0);
        // SAFETY: so many octets were allocated, and are zeroed.
        assert!(unsafe { std::slice::from_raw_parts(memory, bytes) }.iter().all(|&octet| octet == 0));
        // SAFETY: as above.
        unsafe { memory.write_bytes(1, bytes) };
        // SAFETY: allocated above.
        unsafe { ExFreePoolWithTag(memory.cast(), 0) };
    }
    assert_eq!(ksim::leaks(), []);
}
