use core::ffi::c_void;
use core::ptr;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use abi::status::STATUS_INSUFFICIENT_RESOURCES;
use ksim::pool::{Scope, fail_after};

use super::Thread;
use crate::irql;
use crate::pool::PoolTag;

const TAG: PoolTag = PoolTag::new(b"ThTe");

struct Seen {
    calls: AtomicUsize,
    level: AtomicU8,
}

/// # Safety
/// `context` is a `Seen`.
unsafe fn record(context: *mut c_void) {
    // SAFETY: as promised by the caller.
    let seen = unsafe { &*context.cast::<Seen>() };
    seen.level.store(irql::current(), Ordering::SeqCst);
    seen.calls.fetch_add(1, Ordering::SeqCst);
}

fn spawn(seen: &Seen) -> Result<Thread, abi::NTSTATUS> {
    let context = ptr::from_ref(seen).cast_mut().cast();
    // SAFETY: the tests join the thread before the context goes.
    unsafe { Thread::spawn(TAG, record, context) }
}

#[test]
fn a_thread_runs_its_routine_once_at_passive_level_and_is_joined() {
    let scope = Scope::new();
    let seen = Seen { calls: AtomicUsize::new(0), level: AtomicU8::new(9) };
    spawn(&seen).unwrap().join();
    assert_eq!(seen.calls.load(Ordering::SeqCst), 1);
    assert_eq!(seen.level.load(Ordering::SeqCst), irql::PASSIVE_LEVEL);
    scope.assert_empty();
}

#[test]
fn a_thread_that_cannot_be_made_never_runs_and_leaves_nothing() {
    let scope = Scope::new();
    let seen = Seen { calls: AtomicUsize::new(0), level: AtomicU8::new(9) };
    for successes in 0..2 {
        let _failing = fail_after(successes);
        assert_eq!(spawn(&seen).err(), Some(STATUS_INSUFFICIENT_RESOURCES), "{successes}");
    }
    assert_eq!(seen.calls.load(Ordering::SeqCst), 0);
    scope.assert_empty();
}
