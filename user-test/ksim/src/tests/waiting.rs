//! Levels, locks, events, objects, routines by name.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;

use abi::nt::{KEVENT, UNICODE_STRING};
use abi::status::STATUS_SUCCESS;

use super::*;
use crate::processor;
use crate::stop::{
    DRIVER_VERIFIER_DETECTED_VIOLATION, IRQL_NOT_LESS_OR_EQUAL, IRQL_UNEXPECTED_VALUE, REFERENCE_BY_POINTER,
    SPIN_LOCK_ALREADY_OWNED, SPIN_LOCK_NOT_OWNED,
};

const STATUS_TIMEOUT: NTSTATUS = 0x102;

#[test]
fn levels_go_up_with_raise_and_down_with_lower() {
    let before = raise(2);
    assert_eq!((before, processor::irql()), (0, 2));
    lower(before);
    assert_eq!(processor::irql(), 0);
    assert_stops(IRQL_NOT_LESS_OR_EQUAL, || {
        raise(2);
        raise(1);
    });
    assert_stops(IRQL_NOT_LESS_OR_EQUAL, || lower(1));
}

fn acquire(lock: &mut usize) -> u8 {
    // SAFETY: a lock that lives.
    unsafe { KeAcquireSpinLockRaiseToDpc(lock) }
}

fn release(lock: &mut usize, level: u8) {
    // SAFETY: a lock that lives; the simulation checks the rest.
    unsafe { KeReleaseSpinLock(lock, level) };
}

#[test]
fn faulty_uses_of_spin_locks_are_caught() {
    assert_stops(SPIN_LOCK_ALREADY_OWNED, || {
        let mut lock = 0;
        acquire(&mut lock);
        acquire(&mut lock);
    });
    assert_stops(SPIN_LOCK_NOT_OWNED, || {
        raise(2);
        release(&mut 0, 0);
    });
    assert_stops(IRQL_NOT_LESS_OR_EQUAL, || {
        raise(3);
        acquire(&mut 0);
    });
    assert_stops(IRQL_UNEXPECTED_VALUE, || {
        let (mut outer, mut inner) = (0, 0);
        let level = acquire(&mut outer);
        acquire(&mut inner);
        release(&mut outer, level);
    });
    assert_stops(IRQL_UNEXPECTED_VALUE, || {
        let mut lock = 0;
        let level = acquire(&mut lock);
        lower(level);
    });
}

#[test]
fn a_lock_released_on_another_thread_is_caught() {
    let mut lock = 0;
    acquire(&mut lock);
    assert_stops(SPIN_LOCK_NOT_OWNED, || {
        raise(2);
        release(&mut lock, 0);
    });
    release(&mut lock, 0);
}

fn event(kind: i32, state: u8) -> MaybeUninit<KEVENT> {
    let mut event = MaybeUninit::zeroed();
    // SAFETY: memory for an event.
    unsafe { KeInitializeEvent(event.as_mut_ptr(), kind, state) };
    event
}

/// Waits for an object that lives.
fn wait(object: *mut c_void, due: Option<i64>) -> NTSTATUS {
    let due = due.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the tests pass objects that live; the simulation checks the rest.
    unsafe { KeWaitForSingleObject(object, 0, 0, 0, due) }
}

#[test]
fn events_are_set_cleared_and_waited_for() {
    let mut notification = event(0, 1);
    let object = notification.as_mut_ptr().cast();
    assert_eq!([wait(object, None), wait(object, Some(0))], [STATUS_SUCCESS; 2]);
    let mut synchronization = event(1, 0);
    let object = synchronization.as_mut_ptr().cast();
    assert_eq!(wait(object, Some(-10_000)), STATUS_TIMEOUT);
    // SAFETY: the event lives.
    assert_eq!([0, 1].map(|_| unsafe { KeSetEvent(synchronization.as_mut_ptr(), 0, 0) }), [0, 1]);
    assert_eq!(wait(object, None), STATUS_SUCCESS);
    assert_eq!(wait(object, Some(0)), STATUS_TIMEOUT);
}

#[test]
fn faulty_waits_are_caught() {
    assert_stops(IRQL_NOT_LESS_OR_EQUAL, || {
        let mut event = event(0, 1);
        raise(2);
        wait(event.as_mut_ptr().cast(), None);
    });
    assert_stops(IRQL_NOT_LESS_OR_EQUAL, || {
        let mut event = event(0, 1);
        raise(2);
        wait(event.as_mut_ptr().cast(), Some(-1));
    });
    assert_stops(DRIVER_VERIFIER_DETECTED_VIOLATION, || {
        wait(event(0, 1).as_mut_ptr().cast(), Some(1));
    });
    assert_stops(DRIVER_VERIFIER_DETECTED_VIOLATION, || {
        wait([0_u64; 8].as_mut_ptr().cast(), Some(0));
    });
}

#[test]
fn faulty_sets_are_caught() {
    // SAFETY: memory for an event; the simulation checks the rest.
    let set = |event: *mut KEVENT, wait| unsafe {
        KeSetEvent(event, 0, wait);
    };
    assert_stops(DRIVER_VERIFIER_DETECTED_VIOLATION, || set([0_u64; 8].as_mut_ptr().cast(), 0));
    assert_stops(DRIVER_VERIFIER_DETECTED_VIOLATION, || set(event(0, 0).as_mut_ptr(), 1));
    assert_stops(DRIVER_VERIFIER_DETECTED_VIOLATION, || {
        event(2, 0);
    });
    assert_stops(IRQL_NOT_LESS_OR_EQUAL, || {
        let mut event = event(0, 0);
        raise(3);
        set(event.as_mut_ptr(), 0);
    });
    assert_stops(DRIVER_VERIFIER_DETECTED_VIOLATION, || {
        // SAFETY: an event in pool, used after the pool is freed, which the simulation finds.
        let memory = unsafe { ExAllocatePool2(0x40, size_of::<KEVENT>(), u32::from_le_bytes(*b"KsTe")) };
        // SAFETY: memory for an event.
        unsafe { KeInitializeEvent(memory.cast(), 0, 0) };
        // SAFETY: allocated above.
        unsafe { ExFreePoolWithTag(memory, 0) };
        set(memory.cast(), 0);
    });
}

#[test]
fn objects_are_counted_and_others_caught() {
    let device = crate::device();
    assert_eq!(device, crate::device());
    // SAFETY: the simulation checks the address.
    let reference = |object| unsafe { ObfReferenceObject(object) };
    // SAFETY: as above.
    let dereference = |object| unsafe { ObfDereferenceObject(object) };
    let with = reference(device.cast());
    assert!(with >= 2);
    assert!(dereference(device.cast()) >= 1);
    assert_stops(REFERENCE_BY_POINTER, || {
        reference(8 as *mut c_void);
    });
    assert_stops(REFERENCE_BY_POINTER, || {
        dereference(8 as *mut c_void);
    });
}

fn address_of(name: &str) -> *mut c_void {
    let mut text: Vec<u16> = name.encode_utf16().collect();
    let bytes = u16::try_from(2 * text.len()).unwrap();
    let mut name = UNICODE_STRING { Length: bytes, MaximumLength: bytes, Buffer: text.as_mut_ptr() };
    // SAFETY: the string lives.
    unsafe { MmGetSystemRoutineAddress(&raw mut name) }
}

#[test]
fn routines_are_found_by_name_at_passive_level() {
    assert!(!address_of("ExAllocatePoolWithTag").is_null());
    assert!(address_of("ExAllocatePool3").is_null());
    assert_stops(IRQL_NOT_LESS_OR_EQUAL, || {
        raise(2);
        address_of("ExAllocatePool2");
    });
}
