//! Intake, and the token's own laws.

use core::mem;
use core::ptr;
use std::sync::Arc;

use abi::nt::SL_PENDING_RETURNED;
use abi::status::{
    STATUS_CANCELLED, STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER, STATUS_PENDING, STATUS_SUCCESS,
};

use kernel::pool::{PoolTag, Shared};

use super::client::{Client, Seen, assert_violation};
use crate::invariant::{IRP_COMPLETED_AS_PENDING, IRP_DROPPED};
use crate::{Outcome, Refused, enter, fail_unmarked, pend};

#[test]
fn no_irp_is_an_invalid_parameter() {
    // SAFETY: NULL is allowed.
    assert_eq!(unsafe { enter(ptr::null_mut()) }.unwrap_err(), Refused::NoIrp);
    assert_eq!(Refused::NoIrp.status(), STATUS_INVALID_PARAMETER);
    // SAFETY: NULL is allowed.
    let returned = unsafe { pend(ptr::null_mut(), |_| panic!("there is no IRP")) };
    assert_eq!(returned, STATUS_INVALID_PARAMETER);
    // SAFETY: NULL is allowed.
    assert_eq!(unsafe { fail_unmarked(ptr::null_mut(), STATUS_INVALID_HANDLE) }, STATUS_INVALID_PARAMETER);
}

#[test]
fn entering_takes_the_location_and_leaves_the_clients_part_of_it() {
    let client = Client::new(0);
    // SAFETY: the client's fresh IRP has a location.
    let next = unsafe { kernel::irp::next_stack_location(client.irp()) };
    // SAFETY: as above.
    let before = unsafe { next.read() };
    let irp = client.enter();
    // SAFETY: the location was taken.
    let location = unsafe { kernel::irp::current_stack_location(irp.as_ptr()) };
    assert_eq!(location, next);
    // SAFETY: the driver's location.
    let after = unsafe { location.read() };
    assert_eq!(after.Control, before.Control | SL_PENDING_RETURNED);
    assert_eq!(after.Context, before.Context);
    assert!(after.CompletionRoutine.is_some());
    assert!(!irp.is_cancelled());
    irp.complete(Outcome::success(0));
    assert_eq!(client.outcome(), (STATUS_SUCCESS, 0));
}

#[test]
fn pending_is_returned_even_if_the_work_is_done_at_once() {
    let client = Client::new(0);
    // SAFETY: the client's fresh IRP, entered once.
    let returned = unsafe { pend(client.irp(), |irp| irp.complete(Outcome::success(7))) };
    assert_eq!(returned, STATUS_PENDING);
    assert_eq!(client.seen(), [Seen { status: STATUS_SUCCESS, information: 7, pending_returned: true }]);
}

#[test]
fn an_immediate_failure_is_complete_and_not_pending_when_it_returns() {
    let client = Client::new(0);
    // SAFETY: the client's fresh IRP, entered once.
    let returned = unsafe { fail_unmarked(client.irp(), STATUS_INVALID_HANDLE) };
    assert_eq!(returned, STATUS_INVALID_HANDLE);
    let expected = Seen { status: STATUS_INVALID_HANDLE, information: 0, pending_returned: false };
    assert_eq!(client.seen(), [expected]);
}

#[test]
fn an_irp_that_is_handed_on_is_as_the_client_made_it() {
    let (client, held) = (Client::new(0), Arc::new(()));
    let owner = Shared::try_new(PoolTag::new(b"WrTs"), Arc::clone(&held)).unwrap();
    // SAFETY: the client's fresh IRP has a location.
    let next = unsafe { kernel::irp::next_stack_location(client.irp()) };
    let mut there = false;
    let irp = client.enter().keep(&owner);
    drop(owner);
    irp.hand_on(|irp| {
        there = true;
        assert_eq!(irp, client.irp());
        // SAFETY: a location is left: the same one.
        assert_eq!(unsafe { kernel::irp::next_stack_location(irp) }, next);
        assert_eq!(Arc::strong_count(&held), 2, "the owner is held");
        // SAFETY: as a provider that answers at once.
        unsafe { fail_unmarked(irp, STATUS_INVALID_HANDLE) }
    });
    assert!(there);
    assert_eq!(Arc::strong_count(&held), 1);
    let expected = Seen { status: STATUS_INVALID_HANDLE, information: 0, pending_returned: true };
    assert_eq!(client.seen(), [expected], "the client was told STATUS_PENDING");
}

#[test]
fn an_irp_without_a_location_stops_the_machine() {
    let client = Client::new(0);
    let irp = client.enter();
    // SAFETY: what a client must not do; it ends in the bug check.
    let stop = ksim::stops(|| drop(unsafe { enter(client.irp()) })).expect("the machine went on");
    assert!(stop.is(ksim::stop::NO_MORE_IRP_STACK_LOCATIONS), "{}", stop.text);
    irp.complete(Outcome::success(0));
}

#[test]
fn a_dropped_irp_stops_the_machine() {
    let client = Client::new(0);
    let irp = client.enter();
    assert_violation(IRP_DROPPED, || drop(irp));
    assert!(!client.is_completed());
    // Lost by the violation, so it cannot be freed.
    mem::forget(client);
}

#[test]
fn completing_as_pending_stops_the_machine() {
    let client = Client::new(0);
    let irp = client.enter();
    assert_violation(IRP_COMPLETED_AS_PENDING, || irp.complete(Outcome::failure(STATUS_PENDING)));
    mem::forget(client);
}

#[test]
fn a_failure_carries_no_information_unless_it_is_called_partial() {
    assert_eq!(Outcome::failure(STATUS_CANCELLED).information(), 0);
    assert_eq!(Outcome::CANCELLED, Outcome::partial(STATUS_CANCELLED, 0));
    assert_eq!(Outcome::partial(STATUS_CANCELLED, 40).information(), 40);
}
