//! Driver Verifier's rules by Microsoft's names: each is broken here and caught, and the chapter lists exactly these.

use std::ptr;

use abi::nt::{HANDLE, KTIMER, OBJECT_ATTRIBUTES, OBJECT_TYPE, PKSTART_ROUTINE, SynchronizationEvent};
use abi::status::{STATUS_PENDING, STATUS_SUCCESS};

use super::*;
use crate::client::TestIrp;
use crate::stop::*;

const PAGE: &str = include_str!("../../../../docs/verifier-rules.md");
const TAG: u32 = u32::from_le_bytes(*b"KsVr");
/// Above what any of these routines allows.
const HIGH: u8 = 3;

/// A rule, what breaking it stops with, and code that breaks it.
type Violator = (&'static str, BugCheck, fn());

/// An IRP that a driver has taken, as the completing driver finds it.
fn taken(client: &TestIrp) -> *mut IRP {
    let irp = client.submit();
    // SAFETY: submitted, with one location left.
    unsafe { (*irp).CurrentLocation -= 1 };
    // SAFETY: a field of the IRP.
    let place = unsafe { crate::irp::current_location(irp) };
    // SAFETY: as above.
    let current = unsafe { *place };
    // SAFETY: the location below is the IRP's own.
    let next = unsafe { current.sub(1) };
    // SAFETY: a field of the IRP.
    unsafe { *place = next };
    irp
}

fn complete(irp: *mut IRP, status: NTSTATUS) {
    // SAFETY: a field of a live IRP, or of a freed one that is kept.
    unsafe { (*irp).IoStatus.Status = status };
    // SAFETY: the simulation checks the state.
    unsafe { IofCompleteRequest(irp, 0) };
}

fn event() -> KEVENT {
    // SAFETY: integers and pointers, for which zero is a value.
    let mut event = unsafe { std::mem::zeroed::<KEVENT>() };
    // SAFETY: memory for an event.
    unsafe { KeInitializeEvent(&raw mut event, SynchronizationEvent, 0) };
    event
}

fn allocate() -> *mut c_void {
    // SAFETY: the simulation checks the arguments.
    unsafe { ExAllocatePool2(0x40, 16, TAG) }
}

unsafe extern "system" fn start(_: *mut c_void) {}

unsafe extern "C-unwind" {
    fn ObReferenceObjectByHandle(
        handle: HANDLE,
        access: u32,
        kind: *mut OBJECT_TYPE,
        mode: i8,
        object: *mut *mut c_void,
        information: *mut c_void,
    ) -> NTSTATUS;
    fn PsCreateSystemThread(
        handle: *mut HANDLE,
        access: u32,
        attributes: *mut OBJECT_ATTRIBUTES,
        process: HANDLE,
        client_id: *mut c_void,
        routine: PKSTART_ROUTINE,
        context: *mut c_void,
    ) -> NTSTATUS;
    fn ZwClose(handle: HANDLE) -> NTSTATUS;
}

const VIOLATORS: &[Violator] = &[
    ("DoubleCompletion", MULTIPLE_IRP_COMPLETE_REQUESTS, || {
        let client = TestIrp::new();
        let irp = taken(&client);
        complete(irp, STATUS_SUCCESS);
        complete(irp, STATUS_SUCCESS);
    }),
    ("CompleteRequestStatusCheck", DRIVER_VERIFIER_IOMANAGER_VIOLATION, || {
        complete(taken(&TestIrp::new()), STATUS_PENDING);
    }),
    ("SpinLock", SPIN_LOCK_ALREADY_OWNED, || {
        let mut lock = 0;
        for _ in 0..2 {
            // SAFETY: a lock that lives to the end of the test.
            unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut lock) };
        }
    }),
    ("SpinLockSafe", DRIVER_VERIFIER_IOMANAGER_VIOLATION, || {
        let (client, mut lock) = (TestIrp::new(), 0);
        let irp = taken(&client);
        // SAFETY: a lock that lives to the end of the test.
        unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut lock) };
        complete(irp, STATUS_SUCCESS);
    }),
    ("CancelSpinLock", SPIN_LOCK_NOT_OWNED, || {
        raise(2);
        // SAFETY: the simulation checks the state.
        unsafe { IoReleaseCancelSpinLock(0) };
    }),
    ("IrqlKeReleaseSpinLock", IRQL_NOT_GREATER_OR_EQUAL, || {
        let mut lock = 0;
        // SAFETY: a lock that nobody has, at a level that the simulation finds first.
        unsafe { KeReleaseSpinLock(&raw mut lock, 0) };
    }),
    ("IrqlKeRaiseLower", IRQL_NOT_LESS_OR_EQUAL, || {
        raise(2);
        raise(0);
    }),
    ("IrqlKeSetEvent", IRQL_NOT_LESS_OR_EQUAL, || {
        let mut event = event();
        raise(HIGH);
        // SAFETY: initialised.
        unsafe { KeSetEvent(&raw mut event, 0, 0) };
    }),
    ("IrqlKeDispatchLte", IRQL_NOT_LESS_OR_EQUAL, || {
        // SAFETY: integers and pointers, for which zero is a value.
        let mut timer = unsafe { std::mem::zeroed::<KTIMER>() };
        // SAFETY: memory for a timer.
        unsafe { KeInitializeTimerEx(&raw mut timer, 0) };
        raise(HIGH);
        // SAFETY: initialised.
        unsafe { KeCancelTimer(&raw mut timer) };
    }),
    ("IrqlExAllocatePool", IRQL_NOT_LESS_OR_EQUAL, || {
        raise(HIGH);
        allocate();
    }),
    ("IrqlExFree1", IRQL_NOT_LESS_OR_EQUAL, || {
        let memory = allocate();
        raise(HIGH);
        // SAFETY: allocated above.
        unsafe { ExFreePoolWithTag(memory, TAG) };
    }),
    ("IrqlObPassive", IRQL_NOT_LESS_OR_EQUAL, || {
        let (handle, null) = (ptr::null_mut(), ptr::null_mut());
        let mut object = ptr::null_mut();
        raise(2);
        // SAFETY: no handle, at a level that the simulation finds first.
        unsafe { ObReferenceObjectByHandle(handle, 0, null, 0, &raw mut object, ptr::null_mut()) };
    }),
    ("IrqlPsPassive", IRQL_NOT_LESS_OR_EQUAL, || {
        let (mut handle, null) = (ptr::null_mut(), ptr::null_mut());
        raise(2);
        // SAFETY: at a level that the simulation finds first.
        unsafe {
            PsCreateSystemThread(&raw mut handle, 0, ptr::null_mut(), null, ptr::null_mut(), start, null)
        };
    }),
    ("IrqlZwPassive", IRQL_NOT_LESS_OR_EQUAL, || {
        raise(2);
        // SAFETY: no handle, at a level that the simulation finds first.
        unsafe { ZwClose(ptr::null_mut()) };
    }),
];

/// The rules of the chapter's table, with the word in its second column.
fn rows() -> Vec<(&'static str, &'static str)> {
    let row = |line: &'static str| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        Some((cells.next()?.strip_suffix('`')?, cells.next()?))
    };
    PAGE.lines().filter_map(row).collect()
}

#[test]
fn every_rule_is_broken_and_caught() {
    for (rule, check, violate) in VIOLATORS {
        let stop = stops(violate);
        let caught = stop.as_ref().is_some_and(|stop| stop.is(*check));
        assert!(caught, "{rule}: wanted {}, got {stop:?}", check.name);
    }
}

#[test]
fn the_chapter_lists_the_rules_of_the_code() {
    let listed: Vec<(&str, &str)> = rows();
    let known: Vec<(&str, &str)> = VIOLATORS.iter().map(|(rule, check, _)| (*rule, check.name)).collect();
    assert_eq!(listed, known, "docs/verifier-rules.md and VIOLATORS are one list, in one order");
}
