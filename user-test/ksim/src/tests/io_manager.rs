//! IRPs: completion, cancellation, and the client that tests use.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use abi::NTSTATUS;
use abi::nt::{
    DEVICE_OBJECT, IO_STACK_LOCATION, IRP, PIO_COMPLETION_ROUTINE, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS,
    SL_PENDING_RETURNED,
};
use abi::status::{STATUS_CANCELLED, STATUS_MORE_PROCESSING_REQUIRED, STATUS_PENDING, STATUS_SUCCESS};

use super::*;
use crate::client::{Completion, TestIrp};
use crate::irp::current_location;
use crate::pool::Scope;
use crate::processor;
use crate::stop::{
    BAD_POOL_CALLER, CANCEL_STATE_IN_COMPLETED_IRP, DRIVER_VERIFIER_IOMANAGER_VIOLATION,
    IRQL_NOT_LESS_OR_EQUAL, IRQL_UNEXPECTED_VALUE, MULTIPLE_IRP_COMPLETE_REQUESTS,
};

/// The current location of an IRP that the test holds.
fn current(irp: *mut IRP) -> *mut IO_STACK_LOCATION {
    // SAFETY: a live IRP.
    let place = unsafe { current_location(irp) };
    // SAFETY: a field of it.
    unsafe { *place }
}

/// Takes the next location of an IRP that the test holds, as a provider does, and marks it.
fn enter(irp: *mut IRP, control: u8) -> *mut IO_STACK_LOCATION {
    let location = current(irp).wrapping_sub(1);
    // SAFETY: a live IRP.
    let place = unsafe { current_location(irp) };
    // SAFETY: a field of it.
    unsafe { *place = location };
    // SAFETY: a live IRP.
    unsafe { (*irp).CurrentLocation -= 1 };
    // SAFETY: the tests make IRPs with enough locations.
    unsafe { (*location).Control |= control };
    location
}

fn complete(irp: *mut IRP, status: NTSTATUS) {
    // SAFETY: readable: live, or freed not long ago.
    unsafe { (*irp).IoStatus.Status = status };
    // SAFETY: the simulation checks the rest.
    unsafe { IofCompleteRequest(irp, 0) };
}

fn submitted(client: &TestIrp) -> *mut IRP {
    let irp = client.submit();
    enter(irp, SL_PENDING_RETURNED);
    irp
}

#[test]
fn the_client_records_the_completion() {
    let scope = Scope::new();
    let client = TestIrp::new();
    let irp = submitted(&client);
    assert_eq!(client.wait_for(Duration::ZERO), None);
    let before = raise(2);
    complete(irp, STATUS_CANCELLED);
    lower(before);
    let expected = Completion { status: STATUS_CANCELLED, information: 0, pending_returned: true, irql: 2 };
    assert_eq!(client.wait(), expected);
    assert_eq!(client.completions(), 1);
    drop(client);
    scope.assert_empty();
}

#[test]
fn the_client_sees_a_location_that_was_not_marked() {
    let client = TestIrp::new();
    let irp = client.submit();
    enter(irp, 0);
    complete(irp, STATUS_SUCCESS);
    assert!(!client.wait().pending_returned);
}

#[test]
fn the_hook_runs_inside_the_completion() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let client = TestIrp::new().with_hook(move |completion| log.lock().unwrap().push(completion.status));
    for status in [STATUS_SUCCESS, STATUS_CANCELLED] {
        complete(submitted(&client), status);
        assert_eq!(seen.lock().unwrap().last(), Some(&status));
    }
}

#[test]
fn faulty_clients_and_providers_are_caught_by_the_client() {
    for (broken, text) in [
        (
            Box::new(|| {
                submitted(&TestIrp::new());
            }) as Box<dyn FnOnce() + Send>,
            "has not completed it",
        ),
        (
            Box::new(|| {
                let client = TestIrp::new();
                let _once = client.submit();
                let _twice = client.submit();
            }),
            "outstanding already",
        ),
        (
            Box::new(|| {
                TestIrp::new().assert_pending(STATUS_SUCCESS);
            }),
            "returns STATUS_PENDING",
        ),
    ] {
        let stop = crate::stops(broken);
        assert!(stop.as_ref().is_some_and(|stop| stop.text.contains(text)), "{stop:?}");
    }
}

#[test]
fn faulty_completions_are_caught() {
    assert_stops(MULTIPLE_IRP_COMPLETE_REQUESTS, || {
        let client = TestIrp::new();
        let irp = submitted(&client);
        complete(irp, STATUS_SUCCESS);
        complete(irp, STATUS_SUCCESS);
    });
    assert_stops(MULTIPLE_IRP_COMPLETE_REQUESTS, || {
        let client = TestIrp::new();
        let irp = submitted(&client);
        complete(irp, STATUS_SUCCESS);
        drop(client);
        complete(irp, STATUS_SUCCESS);
    });
    for status in [STATUS_PENDING, -1] {
        assert_stops(DRIVER_VERIFIER_IOMANAGER_VIOLATION, || complete(submitted(&TestIrp::new()), status));
    }
    assert_stops(IRQL_NOT_LESS_OR_EQUAL, || {
        let client = TestIrp::new();
        let irp = submitted(&client);
        raise(3);
        complete(irp, STATUS_SUCCESS);
    });
    assert_stops(DRIVER_VERIFIER_IOMANAGER_VIOLATION, || {
        let (client, mut lock) = (TestIrp::new(), 0);
        let irp = submitted(&client);
        // SAFETY: a lock that lives to the end of the test.
        unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut lock) };
        complete(irp, STATUS_SUCCESS);
    });
    assert_stops(CANCEL_STATE_IN_COMPLETED_IRP, || {
        let client = TestIrp::new();
        let irp = submitted(&client);
        // SAFETY: a live IRP.
        unsafe { (*irp).CancelRoutine = Some(release_and_complete) };
        complete(irp, STATUS_SUCCESS);
    });
}

#[test]
fn an_irp_that_nobody_keeps_is_caught() {
    assert_stops(DRIVER_VERIFIER_IOMANAGER_VIOLATION, || {
        // SAFETY: no precondition.
        let irp = unsafe { IoAllocateIrp(1, 0) };
        enter(irp, 0);
        complete(irp, STATUS_SUCCESS);
    });
}

#[test]
fn freeing_or_reusing_what_is_outstanding_or_no_irp_is_caught() {
    // SAFETY: the simulation checks the state; here and below.
    let free = |irp| unsafe { IoFreeIrp(irp) };
    // SAFETY: as above.
    let reuse = |irp| unsafe { IoReuseIrp(irp, STATUS_SUCCESS) };
    // SAFETY: as above.
    let cancel = |irp| unsafe {
        IoCancelIrp(irp);
    };
    for broken in [&free as &(dyn Fn(*mut IRP) + Sync), &reuse] {
        assert_stops(DRIVER_VERIFIER_IOMANAGER_VIOLATION, || broken(submitted(&TestIrp::new())));
    }
    for broken in [&free as &(dyn Fn(*mut IRP) + Sync), &reuse, &cancel] {
        assert_stops(DRIVER_VERIFIER_IOMANAGER_VIOLATION, || {
            // SAFETY: no precondition.
            let irp = unsafe { IoAllocateIrp(1, 0) };
            free(irp);
            broken(irp);
        });
    }
}

#[test]
fn an_irp_in_own_memory_is_like_any_other_but_not_freed() {
    let mut memory = vec![0_u128; 32];
    let irp = memory.as_mut_ptr().cast::<IRP>();
    // SAFETY: 512 bytes.
    unsafe { IoInitializeIrp(irp, 512, 2) };
    assert_eq!(current(irp).addr() - irp.addr(), 208 + 2 * 72);
    // SAFETY: an IRP that is not outstanding.
    unsafe { IoReuseIrp(irp, STATUS_CANCELLED) };
    // SAFETY: as above.
    let fields = unsafe { &*irp };
    assert_eq!((fields.IoStatus.Status, fields.CurrentLocation, fields.StackCount), (STATUS_CANCELLED, 3, 2));
    let address = irp.expose_provenance();
    // SAFETY: the simulation checks where it came from.
    assert_stops(BAD_POOL_CALLER, || unsafe { IoFreeIrp(ptr::with_exposed_provenance_mut(address)) });
    assert_stops(DRIVER_VERIFIER_IOMANAGER_VIOLATION, || {
        // SAFETY: the simulation checks the size.
        unsafe { IoInitializeIrp(ptr::with_exposed_provenance_mut(address), 279, 1) };
    });
}

/// A cancel routine as it should be.
unsafe extern "system" fn release_and_complete(device: *mut DEVICE_OBJECT, irp: *mut IRP) {
    assert!(device.is_null());
    assert_eq!(processor::locks_held(), 1);
    // SAFETY: in a cancel routine the IRP is the driver's.
    let irql = unsafe { (*irp).CancelIrql };
    // SAFETY: once, with this level.
    unsafe { IoReleaseCancelSpinLock(irql) };
    complete(irp, STATUS_CANCELLED);
}

/// A cancel routine that forgets the lock.
unsafe extern "system" fn forget(_: *mut DEVICE_OBJECT, _: *mut IRP) {}

#[test]
fn cancelling_calls_the_routine_once() {
    let client = TestIrp::new();
    let irp = submitted(&client);
    assert!(!client.cancel(), "there is no routine yet");
    // SAFETY: a live IRP.
    unsafe { (*irp).CancelRoutine = Some(release_and_complete) };
    assert!(client.cancel());
    assert_eq!(client.completion().map(|completion| completion.status), Some(STATUS_CANCELLED));
    assert!(!client.cancel(), "the routine has been taken out");
    assert_eq!(processor::irql(), 0);
}

#[test]
fn a_cancel_routine_that_keeps_the_lock_is_caught() {
    // The cancel lock stays taken for good: a process of its own.
    in_child("a_cancel_routine_that_keeps_the_lock_is_caught", IRQL_UNEXPECTED_VALUE, || {
        let client = TestIrp::new();
        let irp = submitted(&client);
        // SAFETY: a live IRP.
        unsafe { (*irp).CancelRoutine = Some(forget) };
        client.cancel();
    });
}

/// What a completion routine on the way up found.
#[derive(Default)]
struct OnTheWay {
    calls: AtomicUsize,
    device: Mutex<usize>,
    pending: Mutex<Option<bool>>,
}

/// # Safety
/// `context` is an `OnTheWay`.
unsafe extern "system" fn look(device: *mut DEVICE_OBJECT, irp: *mut IRP, context: *mut c_void) -> NTSTATUS {
    // SAFETY: as promised by the caller.
    let found = unsafe { &*context.cast::<OnTheWay>() };
    found.calls.fetch_add(1, Ordering::SeqCst);
    *found.device.lock().unwrap() = device.addr();
    // SAFETY: a completion routine has the IRP.
    *found.pending.lock().unwrap() = Some(unsafe { (*irp).PendingReturned } != 0);
    STATUS_SUCCESS
}

/// Sets a routine for the party below the current one.
fn set_routine(irp: *mut IRP, routine: PIO_COMPLETION_ROUTINE, context: &OnTheWay, control: u8) {
    // SAFETY: the tests make IRPs with enough locations.
    let next = unsafe { &mut *current(irp).wrapping_sub(1) };
    next.CompletionRoutine = Some(routine);
    next.Context = ptr::from_ref(context).cast_mut().cast();
    next.Control = control;
}

#[test]
fn routines_on_the_way_up_get_the_device_above_them() {
    let (client, found) = (TestIrp::with_stack_size(3), OnTheWay::default());
    let irp = client.submit();
    let upper = enter(irp, 0);
    // SAFETY: a location of a live IRP.
    unsafe { (*upper).DeviceObject = crate::device() };
    set_routine(irp, look, &found, SL_INVOKE_ON_SUCCESS);
    enter(irp, SL_PENDING_RETURNED);
    complete(irp, STATUS_SUCCESS);
    assert_eq!(*found.device.lock().unwrap(), crate::device().addr());
    assert_eq!(*found.pending.lock().unwrap(), Some(true));
    // The routine did not mark its own location, so the client must not see it pending.
    assert!(!client.wait().pending_returned);
}

#[test]
fn a_location_without_a_call_hands_pending_upwards() {
    for (control, calls) in [(0, 0), (SL_INVOKE_ON_ERROR, 0), (SL_INVOKE_ON_SUCCESS, 1)] {
        let (client, found) = (TestIrp::with_stack_size(2), OnTheWay::default());
        let irp = client.submit();
        enter(irp, 0);
        set_routine(irp, look, &found, control);
        enter(irp, SL_PENDING_RETURNED);
        complete(irp, STATUS_SUCCESS);
        assert_eq!(found.calls.load(Ordering::SeqCst), calls);
        assert_eq!(client.wait().pending_returned, calls == 0, "{control:#x}");
    }
}

/// A completion routine that leaves the level raised.
unsafe extern "system" fn raise_and_keep(_: *mut DEVICE_OBJECT, _: *mut IRP, _: *mut c_void) -> NTSTATUS {
    raise(2);
    STATUS_MORE_PROCESSING_REQUIRED
}

#[test]
fn a_completion_routine_that_changes_the_level_is_caught() {
    assert_stops(IRQL_UNEXPECTED_VALUE, || {
        let (client, found) = (TestIrp::with_stack_size(2), OnTheWay::default());
        let irp = client.submit();
        enter(irp, 0);
        set_routine(irp, raise_and_keep, &found, SL_INVOKE_ON_SUCCESS);
        enter(irp, 0);
        complete(irp, STATUS_SUCCESS);
    });
}
