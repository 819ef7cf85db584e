//! Providers that do not answer: what waits goes on, what they may touch stays, and a late answer clears it all away.

use abi::NTSTATUS;
use abi::status::{
    STATUS_DEVICE_NOT_READY, STATUS_INVALID_PARAMETER, STATUS_IO_TIMEOUT, STATUS_QUOTA_EXCEEDED,
};
use kernel::time::milliseconds;
use ndkcheck::{Act, Slot, When};
use std::sync::Arc;
use std::vec::Vec;

use super::harness::*;
use crate::{
    Access, Endpoint, FastRegion, Fault, Limits, Listener, Memory, Prepared, SharedEndpoint, Window,
};
use kernel::processor::Processor;

const SHORT: u64 = milliseconds(20);
/// The provider does what it is asked for, and says so when the test has it.
const LATE: Act = Act::Answer(When::Turn);

/// An adapter that is not waited for.
fn impatient() -> World {
    let mut world = World::unopened(MODES[0]);
    world.held_to = Limits { answer: SHORT, ..world.held_to };
    world.adapter = Some(world.adopt().unwrap());
    world
}

/// What waits at PASSIVE_LEVEL ends, the adapter cannot be closed, and the late answer gives everything back.
#[test]
fn requests_that_are_answered_late() {
    type Request = fn(&World) -> Option<NTSTATUS>;
    let requests: [(Slot, Request); 11] = [
        (Slot::CreateMr, |world| Memory::register(world.adapter(), 8192, Access::LocalWrite).err()),
        (Slot::RegisterMr, |world| Memory::register(world.adapter(), 8192, Access::RemoteWrite).err()),
        (Slot::CreateMr, |world| FastRegion::create(world.adapter(), 4).err()),
        (Slot::InitializeFastRegisterMr, |world| FastRegion::create(world.adapter(), 4).err()),
        (Slot::CreateMw, |world| Window::create(world.adapter()).err()),
        (Slot::CreateListener, |world| Listener::listen(world.adapter(), loopback(0), Door::new()).err()),
        (Slot::Listen, |world| Listener::listen(world.adapter(), loopback(0), Door::new()).err()),
        (Slot::CreateSharedEndpoint, |world| SharedEndpoint::create(world.adapter(), loopback(0)).err()),
        (Slot::CreateCq, endpoint),
        (Slot::CreateQp, endpoint),
        (Slot::CreateConnector, endpoint),
    ];
    for (slot, request) in requests {
        let mut world = impatient();
        let checker = world.checker();
        checker.next(slot, LATE);
        assert_eq!(request(&world), Some(STATUS_IO_TIMEOUT), "{slot:?}");
        assert_eq!(world.adapter().faults(Fault::Unanswered), 1, "{slot:?}");
        // Others are served.
        Pair::new(&world).finish();
        let adapter = world.adapter.take().unwrap();
        // A region or listener whose request did not end is closed, which the adapter itself waits for.
        let _closed = adapter.close(SHORT);
        checker.turn_all();
        assert!(adapter.close(LONG), "{slot:?}");
        assert!(adapter.is_closed());
        drop((adapter, checker));
        world.finish();
    }
}

fn endpoint(world: &World) -> Option<NTSTATUS> {
    Endpoint::active(world.adapter(), Witness::new(), DEPTHS, heapless::Vec::new()).err()
}

/// An object that comes about late keeps the adapter open until then.
#[test]
fn an_adapter_waits_for_what_is_being_created() {
    let mut world = impatient();
    let checker = world.checker();
    checker.next(Slot::CreateQp, LATE);
    assert_eq!(endpoint(&world), Some(STATUS_IO_TIMEOUT));
    let adapter = world.adapter.take().unwrap();
    assert!(!adapter.close(SHORT));
    checker.turn_all();
    assert!(adapter.close(LONG));
    drop((adapter, checker));
    world.finish();
}

/// A protection domain that does not come about: the adapter stays open, as the provider is not done with it.
#[test]
fn an_adapter_without_a_protection_domain() {
    let mut world = World::unopened(MODES[0]);
    world.held_to = Limits { answer: SHORT, ..world.held_to };
    let object = world.open().unwrap();
    // SAFETY: opened just now.
    let checker = unsafe { ndkcheck::of(object) };
    checker.next(Slot::CreatePd, LATE);
    assert_eq!(world.adopt_opened(object).err(), Some(STATUS_IO_TIMEOUT));
    checker.turn_all();
    // The late domain is closed, so now the adapter can be.
    world.close_unadopted(object);
    drop(checker);
    world.finish();
}

/// A provider that answers IO_TIMEOUT itself has answered: the adapter is closed.
#[test]
fn an_adapter_whose_provider_says_that_it_took_too_long() {
    let world = World::unopened(MODES[0]);
    for when in [When::Inline, When::Early, When::Dpc] {
        let object = world.open().unwrap();
        // SAFETY: opened just now.
        let checker = unsafe { ndkcheck::of(object) };
        checker.next(Slot::CreatePd, Act::Fail(when, STATUS_IO_TIMEOUT));
        assert_eq!(world.adopt_opened(object).err(), Some(STATUS_DEVICE_NOT_READY));
        drop(checker);
    }
    world.finish();
}

/// A close of an endpoint that is not answered: its owner goes on without it, nothing that it has is freed, and the adapter
/// is not closed before the provider has answered.
#[test]
fn closes_that_are_answered_late() {
    for slot in [Slot::Disconnect, Slot::CloseConnector, Slot::CloseQp] {
        let mut world = impatient();
        let checker = world.checker();
        let Pair { mut near, far } = Pair::new(&world);
        let (witness, registered) = (Arc::clone(&near.witness), world.adapter().registered());
        checker.next(slot, LATE);
        near.close(slot == Slot::Disconnect);
        if slot == Slot::Disconnect {
            // The end of the goodbye comes when the connector is closed already: it is taken for nothing.
            Endpoint::abort(&near.endpoint);
        } else {
            assert!(!witness.told().contains(&Told::Closed));
            Endpoint::forsake(&near.endpoint);
            assert_eq!(world.adapter().faults(Fault::Unanswered), 1);
        }
        witness.ended();
        // Once more, which is nothing.
        Endpoint::forsake(&near.endpoint);
        far.finish(false);
        let kept = near.endpoint.clone();
        drop(near);
        if slot != Slot::Disconnect {
            assert_eq!(Arc::strong_count(&witness), 1, "the owner is let go");
            assert!(world.adapter().registered() >= registered / 2, "its memory is not given back");
            let adapter = world.adapter.take().unwrap();
            assert!(!adapter.close(SHORT));
            checker.turn_all();
            assert!(adapter.close(LONG));
        }
        checker.turn_all();
        drop((kept, checker));
        assert_eq!(witness.told().iter().filter(|told| **told == Told::Closed).count(), 1);
        world.finish();
    }
}

/// The closes that an adapter itself makes.
#[test]
fn an_adapter_that_is_closed_late() {
    for slot in [Slot::CloseCq, Slot::ClosePd, Slot::CloseMr, Slot::CloseListener, Slot::CloseSharedEndpoint]
    {
        let mut world = impatient();
        let checker = world.checker();
        let pair = Pair::new(&world);
        let shared = SharedEndpoint::create(world.adapter(), loopback(0)).unwrap();
        let (listener, door) = listen(&world);
        checker.always(slot, LATE);
        drop((shared, listener, door));
        pair.finish();
        let adapter = world.adapter.take().unwrap();
        let closed = adapter.close(SHORT);
        // Of the others the provider knows that they are closed, and their memory is not the adapter's.
        assert!(!closed || matches!(slot, Slot::CloseMr | Slot::CloseSharedEndpoint), "{slot:?}");
        checker.turn_all();
        while !adapter.close(SHORT) {
            checker.turn_all();
        }
        drop((adapter, checker));
        world.finish();
    }
}

/// An endpoint that waits for entries that never come lets its owner go.
#[test]
fn an_endpoint_without_its_entries_lets_its_owner_go() {
    let world = World::new(MODES[0]);
    let mut pair = Pair::new(&world);
    world.checker().entries(&[ndkcheck::EntryAct::Swallow]);
    pair.near.close(false);
    pair.far.witness.wait_for(|told| *told == Told::Disconnected);
    pair.far.close(false);
    let witnesses = [&pair.near, &pair.far].map(|end| {
        end.witness.ended();
        Arc::clone(&end.witness)
    });
    drop(pair);
    ksim::quiesce();
    assert_eq!(witnesses.each_ref().map(Arc::strong_count), [1, 1]);
    assert_eq!(world.adapter().faults(Fault::EntryMissing), 1);
    world.finish();
}

/// No more is registered than is allowed, and what is given back can be had again.
#[test]
fn memory_is_limited() {
    let mut world = World::unopened(MODES[0]);
    world.held_to = Limits { memory: 3 * 4096, ..world.held_to };
    world.adapter = Some(world.adopt().unwrap());
    let register = |pages: usize| Memory::register(world.adapter(), pages * 4096, Access::LocalWrite);
    let first = register(2).unwrap();
    assert_eq!(register(2).err(), Some(STATUS_QUOTA_EXCEEDED));
    let second = register(1).unwrap();
    assert_eq!(world.adapter().registered(), 3 * 4096);
    drop(first);
    assert_eq!(world.adapter().registered(), 4096);
    drop(register(2).unwrap());
    // What did not come about is not counted.
    world.checker().next(Slot::RegisterMr, Act::Fail(When::Inline, STATUS_INVALID_PARAMETER));
    assert!(register(2).is_err());
    drop(second);
    assert_eq!(world.adapter().registered(), 0);
    world.finish();
}

/// Prepared endpoints become either side of a connection, or are closed.
#[test]
fn prepared_endpoints() {
    in_each_mode(|world| {
        let prepare = || -> Prepared<Arc<Witness>> {
            let here = Processor::current();
            Prepared::new(world.adapter(), here, DEPTHS, memories(world)).unwrap()
        };
        let (listener, door) = listen(world);
        let (near, far, unused) = (prepare(), prepare(), prepare());
        let witnesses = [Witness::new(), Witness::new()];
        let mut near = End::new(witnesses[0].clone(), near.active(witnesses[0].clone()).unwrap());
        near.post_receives(8);
        Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"near");
        let mut far = End::new(witnesses[1].clone(), far.passive(door.take(), witnesses[1].clone()).unwrap());
        far.post_receives(8);
        Endpoint::accept(&far.endpoint, b"far");
        assert_eq!((near.witness.answer(), far.witness.answer()), (0, 0));
        drop(unused);
        Pair { near, far }.finish();
    });
}

/// A request of another adapter is refused, and its peer is told so.
#[test]
fn a_prepared_endpoint_is_of_one_adapter() {
    let world = World::new(MODES[0]);
    let second = world.adopt().unwrap();
    let door = Door::new();
    let listener = Listener::listen(&second, loopback(0), door.clone()).unwrap();
    let near = active(&world, Witness::new(), DEPTHS);
    Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"");
    let here = Processor::current();
    let prepared = Prepared::new(world.adapter(), here, DEPTHS, heapless::Vec::new()).unwrap();
    let refused = prepared.passive(door.take(), Witness::new());
    assert_eq!(refused.err(), Some(STATUS_INVALID_PARAMETER));
    assert_ne!(near.witness.answer(), 0);
    near.finish(false);
    drop((listener, door));
    assert!(second.close(LONG));
    drop(second);
    world.finish();
}

/// Every request of every endpoint on a completion queue ends while nobody reaps: there is room for all of them, and a
/// further endpoint gets another queue. The contract checks hold each queue pair against `cq-room` besides.
#[test]
fn a_completion_queue_takes_all_that_can_come() {
    let mut world = World::unopened(MODES[0]);
    // Two endpoints fill a queue.
    world.limits = Some(|info| info.MaxCqDepth = 128);
    world.adapter = Some(world.adopt().unwrap());
    let mut ends: Vec<End> = (0..6).map(|_| active(&world, Witness::new(), DEPTHS)).collect();
    assert_eq!(world.checker().open_cqs().len(), 3);
    for end in &mut ends {
        end.post_receives(32);
    }
    // Queued behind what is held, so that no pass runs before all are flushed.
    let crank = super::crank::Crank::hold();
    for end in &mut ends {
        end.close(false);
    }
    drop(crank);
    for end in ends {
        end.witness.ended();
        assert_eq!(end.witness.entries(0).len(), 32);
    }
    let again: Vec<End> = (0..6).map(|_| active(&world, Witness::new(), DEPTHS)).collect();
    assert_eq!(world.checker().open_cqs().len(), 3, "the room has come back");
    for end in again {
        end.finish(false);
    }
    world.finish();
}

/// Endpoints come and go on several threads: admission by counting lets no queue be asked for too much.
#[test]
fn endpoints_that_come_and_go_at_once() {
    let mut world = World::unopened(MODES[1]);
    world.limits = Some(|info| info.MaxCqDepth = 128);
    world.adapter = Some(world.adopt().unwrap());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    let mut end = active(&world, Witness::new(), DEPTHS);
                    end.post_receives(32);
                    end.finish(false);
                }
            });
        }
    });
    world.finish();
}
