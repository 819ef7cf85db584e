//! Endpoints made ahead: connections take them, others are made in their place, and an adapter that goes waits for none.

use abi::NTSTATUS;
use abi::status::{STATUS_INSUFFICIENT_RESOURCES, STATUS_SUCCESS};
use abi::wsk::{SO_RCVBUF, SOL_SOCKET, WskSetOption};
use kernel::time::milliseconds;
use ndkcheck::{Act, Slot, When};
use softndk::AnswerMode;

use super::form::Form;
use super::harness::*;
use super::listening::client::talk;
use crate::{PoolView, Removed, Settings};

const PORT: u16 = 47_070;
/// What an endpoint is made of, and is not asked for where one is ready.
const MADE: [Slot; 3] = [Slot::CreateMr, Slot::RegisterMr, Slot::CreateQp];

fn settings(endpoints: u32) -> Settings {
    Settings { prepared_endpoints: endpoints, ..Settings::DEFAULT }
}

/// A world whose pool is full.
fn full(settings: Settings, answers: AnswerMode) -> World {
    let endpoints = settings.prepared_endpoints;
    let world = World::preparing(settings, answers);
    until(|| world.view().pool.ready == endpoints);
    world
}

fn fail(world: &World) {
    for slot in MADE {
        world.checker.always(slot, Act::Fail(When::Inline, STATUS_INSUFFICIENT_RESOURCES));
    }
}

/// Two sockets of ours, connected, or why not.
fn pair(world: &World, port: u16) -> Result<(Connection, Connection), NTSTATUS> {
    let listener = world.listen(port);
    let (near, accepting) = (world.connection(), listener.accept());
    let status = near.connect(port).wait().status;
    if status != STATUS_SUCCESS {
        accepting.cancel();
        accepting.wait();
        near.close();
        listener.close();
        return Err(status);
    }
    let far = Connection::from_accept(accepting.wait().information);
    listener.close();
    Ok((near, far))
}

/// Both sides of a connection take one, ask the adapter for no other, and others are made.
#[test]
fn both_sides_take_what_is_ready() {
    for answers in [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early] {
        let world = full(settings(3), answers);
        assert_eq!(world.view().pool, PoolView { ready: 3, hits: 0, misses: 0 });
        fail(&world);
        let (near, far) = pair(&world, PORT).unwrap();
        talk(&near, &far);
        let PoolView { hits, misses, .. } = world.view().pool;
        assert_eq!((hits, misses), (2, 0));
        world.checker.relent();
        near.close();
        far.close();
        // What is made follows what is taken.
        let (near, far) = pair(&world, PORT).unwrap();
        until(|| world.view().pool.ready == 3);
        near.close();
        far.close();
        world.finish();
    }
}

/// An empty pool costs its connections the time of making their own, and nothing else.
#[test]
fn an_empty_pool_is_a_miss() {
    let world = full(settings(2), AnswerMode::Inline);
    fail(&world);
    let taken = pair(&world, PORT).unwrap();
    assert!(pair(&world, PORT + 1).is_err());
    assert!(world.view().pool.misses >= 1);
    world.checker.relent();
    let made = pair(&world, PORT + 2).unwrap();
    talk(&made.0, &made.1);
    until(|| world.view().pool.ready == 2);
    for (near, far) in [taken, made] {
        near.close();
        far.close();
    }
    world.finish();
}

/// A connection that wants a shorter ring makes its own.
#[test]
fn a_shorter_receive_buffer_takes_none() {
    let world = full(Settings { first_ring_octets: 64 << 10, ..settings(2) }, AnswerMode::Inline);
    let listener = world.listen(PORT);
    let near = world.connection();
    let octets = 16_384_u32.to_le_bytes();
    let set = Form::new(&octets, 0).control(near.raw(), (WskSetOption, SO_RCVBUF, SOL_SOCKET));
    assert_eq!(set.status, STATUS_SUCCESS);
    let accepting = listener.accept();
    assert_eq!(near.connect(PORT).wait().status, STATUS_SUCCESS);
    let far = Connection::from_accept(accepting.wait().information);
    let PoolView { hits, misses, .. } = world.view().pool;
    assert_eq!((hits, misses), (1, 0), "the accepting side's");
    talk(&near, &far);
    near.close();
    far.close();
    listener.close();
    world.finish();
}

/// An adapter that goes takes its pool with it, also the endpoint that is being made.
#[test]
fn an_adapter_goes_with_its_pool() {
    for slot in [None, Some(Slot::CreateQp), Some(Slot::RegisterMr)] {
        let world = full(Settings { answer_limit: milliseconds(200), ..settings(4) }, AnswerMode::Later);
        if let Some(slot) = slot {
            world.checker.next(slot, Act::Answer(When::Turn));
            let (near, far) = pair(&world, PORT).unwrap();
            until(|| world.checker.turns() != 0);
            near.close();
            far.close();
        }
        let removed = world.provider.remove_adapter(0);
        match slot {
            None => assert_eq!(removed, Removed::Closed),
            // A region whose registration is given up is closed, and then the late answer is in nobody's way.
            Some(Slot::RegisterMr) => {}
            Some(_) => assert_eq!(removed, Removed::Stuck),
        }
        world.let_go();
        world.finish();
    }
}

/// No more than the adapter's memory allows is made, and the connections come first.
#[test]
fn a_pool_takes_what_there_is() {
    let world = World::preparing(Settings { adapter_octets: 1 << 20, ..settings(64) }, AnswerMode::Inline);
    until(|| world.view().pool.ready >= 3);
    ksim::quiesce();
    let (near, far) = pair(&world, PORT).unwrap();
    assert_eq!(world.view().pool.misses, 0);
    talk(&near, &far);
    assert!(world.view().registered <= 1 << 20);
    near.close();
    far.close();
    world.finish();
}
