use core::ffi::c_void;
use core::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use abi::NTSTATUS;
use abi::nt::{DEVICE_OBJECT, IO_NETWORK_INCREMENT, IO_NO_INCREMENT, IRP, PDRIVER_CANCEL};
use abi::status::{
    STATUS_CANCELLED, STATUS_INVALID_PARAMETER, STATUS_MORE_PROCESSING_REQUIRED, STATUS_PENDING,
    STATUS_SUCCESS,
};
use ksim::client::TestIrp;
use ksim::pool::{Scope, fail_after};
use ksim::stop::{
    CANCEL_STATE_IN_COMPLETED_IRP, DRIVER_VERIFIER_IOMANAGER_VIOLATION, MULTIPLE_IRP_COMPLETE_REQUESTS,
};

use super::{
    InvokeOn, OwnedIrp, cancel_irql, complete, current_stack_location, driver_context, is_cancelled,
    list_entry, locations_left, mark_pending, release_cancel_spin_lock, result, set_cancel_routine,
    set_completion_routine, set_next_irp_stack_location, size_of_irp, skip_current_irp_stack_location,
};

/// What a WSK provider does with each IRP first.
fn enter(irp: *mut IRP) {
    // SAFETY: an IRP that was just submitted, with one location.
    unsafe { set_next_irp_stack_location(irp) };
    // SAFETY: the location was taken above.
    unsafe { mark_pending(irp) };
}

fn finish(irp: *mut IRP, status: NTSTATUS, information: usize) {
    // SAFETY: entered, and not completed yet (or a test wants the simulation to find that it was).
    unsafe { complete(irp, status, information, IO_NETWORK_INCREMENT) };
}

#[test]
fn sizes_are_those_of_the_macro() {
    assert_eq!((size_of_irp(0), size_of_irp(1), size_of_irp(3)), (208, 280, 424));
}

#[test]
fn a_provider_completes_a_clients_irp() {
    let scope = Scope::new();
    let client = TestIrp::new();
    for _ in 0..2 {
        let irp = client.submit();
        // SAFETY: submitted.
        assert_eq!(unsafe { locations_left(irp) }, 1);
        enter(irp);
        // SAFETY: the provider's.
        assert_eq!(unsafe { locations_left(irp) }, 0);
        assert_eq!(client.completion(), None);
        finish(irp, STATUS_SUCCESS, 42);
        let completion = client.assert_pending(STATUS_PENDING).wait();
        assert_eq!((completion.status, completion.information), (STATUS_SUCCESS, 42));
        assert!(completion.pending_returned);
    }
    assert_eq!(client.completions(), 2);
    drop(client);
    scope.assert_empty();
}

#[test]
fn a_location_given_back_can_be_taken_by_another_provider() {
    let client = TestIrp::new();
    let irp = client.submit();
    // SAFETY: submitted.
    unsafe { set_next_irp_stack_location(irp) };
    // SAFETY: taken above.
    unsafe { skip_current_irp_stack_location(irp) };
    // SAFETY: given back.
    assert_eq!(unsafe { locations_left(irp) }, 1);
    enter(irp);
    finish(irp, STATUS_INVALID_PARAMETER, 0);
    assert_eq!(client.wait().status, STATUS_INVALID_PARAMETER);
}

#[test]
fn completing_twice_is_found() {
    let stop = ksim::stops(|| {
        let client = TestIrp::new();
        let irp = client.submit();
        enter(irp);
        finish(irp, STATUS_SUCCESS, 0);
        finish(irp, STATUS_SUCCESS, 0);
    });
    assert!(stop.is_some_and(|stop| stop.is(MULTIPLE_IRP_COMPLETE_REQUESTS)));
}

/// # Safety
/// Called by `IoCancelIrp`.
unsafe extern "system" fn cancelled(_: *mut DEVICE_OBJECT, irp: *mut IRP) {
    // SAFETY: called by `IoCancelIrp`, before the lock is released.
    let irql = unsafe { cancel_irql(irp) };
    // SAFETY: as above, once.
    unsafe { release_cancel_spin_lock(irql) };
    finish(irp, STATUS_CANCELLED, 0);
}

#[test]
fn who_takes_the_cancel_routine_back_completes() {
    let client = TestIrp::new();
    let irp = client.submit();
    enter(irp);
    // SAFETY: the provider's.
    assert!(unsafe { set_cancel_routine(irp, Some(cancelled)) }.is_none());
    // SAFETY: as above.
    assert!(!unsafe { is_cancelled(irp) });
    // SAFETY: as above.
    let taken_back = unsafe { set_cancel_routine(irp, None) };
    assert!(taken_back.is_some_and(|routine| ptr::fn_addr_eq(routine, cancelled as PDRIVER_CANCEL)));
    assert!(!client.cancel());
    // SAFETY: as above.
    assert!(unsafe { is_cancelled(irp) });
    finish(irp, STATUS_SUCCESS, 1);
    assert_eq!(client.wait().status, STATUS_SUCCESS);
}

#[test]
fn a_cancel_routine_completes_before_the_cancel_returns() {
    let client = TestIrp::new();
    let irp = client.submit();
    enter(irp);
    // SAFETY: the provider's.
    unsafe { set_cancel_routine(irp, Some(cancelled)) };
    assert!(client.cancel());
    assert_eq!(client.completion().map(|completion| completion.status), Some(STATUS_CANCELLED));
}

#[test]
fn cancelling_beside_completing_ends_in_one_completion() {
    for _ in 0..500 {
        let client = TestIrp::new();
        let irp = client.submit();
        enter(irp);
        // SAFETY: the provider's.
        unsafe { set_cancel_routine(irp, Some(cancelled)) };
        let address = irp.expose_provenance();
        std::thread::scope(|scope| {
            scope.spawn(|| client.cancel());
            scope.spawn(|| {
                let irp = ptr::with_exposed_provenance_mut(address);
                // SAFETY: the client keeps the IRP until both are through.
                if unsafe { set_cancel_routine(irp, None) }.is_some() {
                    finish(irp, STATUS_SUCCESS, 0);
                }
            });
        });
        client.wait();
        assert_eq!(client.completions(), 1);
    }
}

#[test]
fn completing_with_the_cancel_routine_set_is_found() {
    let stop = ksim::stops(|| {
        let client = TestIrp::new();
        let irp = client.submit();
        enter(irp);
        // SAFETY: the provider's.
        unsafe { set_cancel_routine(irp, Some(cancelled)) };
        finish(irp, STATUS_SUCCESS, 0);
    });
    assert!(stop.is_some_and(|stop| stop.is(CANCEL_STATE_IN_COMPLETED_IRP)));
}

/// # Safety
/// `context` is an `AtomicUsize`.
unsafe extern "system" fn kept(device: *mut DEVICE_OBJECT, irp: *mut IRP, context: *mut c_void) -> NTSTATUS {
    assert!(device.is_null());
    // SAFETY: a completion routine has the IRP.
    let (status, information) = unsafe { result(irp) };
    assert_eq!(status, STATUS_SUCCESS);
    // SAFETY: as promised by the caller.
    unsafe { &*context.cast::<AtomicUsize>() }.fetch_add(information, Ordering::SeqCst);
    STATUS_MORE_PROCESSING_REQUIRED
}

#[test]
fn an_irp_of_our_own_calls_another_provider_again_and_again() {
    let (scope, sum) = (Scope::new(), AtomicUsize::new(0));
    let own = OwnedIrp::try_new(1).unwrap();
    for round in 1..4 {
        // SAFETY: not outstanding.
        unsafe { own.reuse(STATUS_SUCCESS) };
        let context = ptr::from_ref(&sum).cast_mut().cast();
        // SAFETY: owned, with one location left; the context outlives the call.
        unsafe { set_completion_routine(own.as_ptr(), kept, context, InvokeOn::ALL) };
        enter(own.as_ptr());
        finish(own.as_ptr(), STATUS_SUCCESS, round);
    }
    assert_eq!(sum.load(Ordering::SeqCst), 6);
    // SAFETY: it was outstanding and is alive.
    assert!(!unsafe { own.cancel() });
    let raw = own.into_raw();
    // SAFETY: from `into_raw`, once.
    drop(unsafe { OwnedIrp::from_raw(raw) });
    scope.assert_empty();
}

#[test]
fn an_irp_of_our_own_that_is_outstanding_must_not_be_dropped() {
    let stop = ksim::stops(|| {
        let own = OwnedIrp::try_new(1).unwrap();
        enter(own.as_ptr());
    });
    assert!(stop.is_some_and(|stop| stop.is(DRIVER_VERIFIER_IOMANAGER_VIOLATION)));
}

#[test]
fn without_memory_or_with_too_many_locations_there_is_no_irp() {
    assert!(OwnedIrp::try_new(128).is_err());
    let _failing = fail_after(0);
    assert!(OwnedIrp::try_new(1).is_err());
}

#[test]
fn the_words_of_the_holder_are_where_c_has_them() {
    let own = OwnedIrp::try_new(1).unwrap();
    let base = own.as_ptr().addr();
    // SAFETY: a valid IRP; only addresses are looked at.
    assert_eq!(unsafe { driver_context(own.as_ptr()) }.addr() - base, 0x78);
    // SAFETY: as above.
    assert_eq!(unsafe { list_entry(own.as_ptr()) }.addr() - base, 0xA8);
    enter(own.as_ptr());
    // SAFETY: entered.
    assert_eq!(unsafe { current_stack_location(own.as_ptr()) }.addr() - base, 208);
    // SAFETY: entered and not handed on, so it may be given back.
    unsafe { skip_current_irp_stack_location(own.as_ptr()) };
}

#[test]
fn a_routine_is_called_only_when_it_asks_for_the_result() {
    /// # Safety
    /// `context` is an `AtomicUsize`.
    unsafe extern "system" fn count(_: *mut DEVICE_OBJECT, _: *mut IRP, context: *mut c_void) -> NTSTATUS {
        // SAFETY: as promised by the caller.
        unsafe { &*context.cast::<AtomicUsize>() }.fetch_add(1, Ordering::SeqCst);
        STATUS_SUCCESS
    }
    let no = InvokeOn { success: false, error: false, cancel: false };
    let table = [
        (InvokeOn { success: true, ..no }, STATUS_SUCCESS, false, 1),
        (InvokeOn { success: true, ..no }, STATUS_CANCELLED, true, 0),
        (InvokeOn { error: true, ..no }, STATUS_CANCELLED, false, 1),
        (InvokeOn { error: true, ..no }, STATUS_SUCCESS, true, 0),
        (InvokeOn { cancel: true, ..no }, STATUS_SUCCESS, true, 1),
        (InvokeOn { cancel: true, ..no }, STATUS_CANCELLED, false, 0),
    ];
    for (when, status, cancel, calls) in table {
        let (client, counted) = (TestIrp::with_stack_size(2), AtomicUsize::new(0));
        let irp = client.submit();
        enter(irp);
        let context = ptr::from_ref(&counted).cast_mut().cast();
        // SAFETY: the provider's, with a location left; the context outlives the completion.
        unsafe { set_completion_routine(irp, count, context, when) };
        enter(irp);
        if cancel {
            client.cancel();
        }
        // SAFETY: entered twice.
        unsafe { complete(irp, status, 0, IO_NO_INCREMENT) };
        assert_eq!(client.wait().status, status);
        assert_eq!(counted.load(Ordering::SeqCst), calls, "{when:?} {status:#x} {cancel}");
    }
}
