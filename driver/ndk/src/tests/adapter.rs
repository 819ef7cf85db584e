//! Adopting and closing adapters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use abi::status::STATUS_DEVICE_NOT_READY;
use kernel::processor::Processor;

use super::harness::*;
use crate::{Access, Endpoint, Listener, Memory};

#[test]
fn an_adapter_is_adopted_and_given_back() {
    in_each_mode(|world| {
        let info = world.adapter().info();
        assert_eq!(info.version.0, 2);
        assert!(info.max_receives >= 16 && info.max_cq_depth >= 1024 && info.max_inline >= 4);
    });
}

#[test]
fn two_adoptions_of_one_adapter_are_apart() {
    in_each_mode(|world| {
        let second = world.adopt().unwrap();
        Pair::new(world).finish();
        assert!(second.close(LONG));
        Pair::new(world).finish();
    });
}

/// Nothing begins on an adapter that is being closed.
#[test]
fn a_closed_adapter_makes_nothing() {
    in_each_mode(|world| {
        let second = world.adopt().unwrap();
        assert!(second.close(LONG));
        let register = Memory::register(&second, 4096, Access::LocalWrite);
        assert_eq!(register.err(), Some(STATUS_DEVICE_NOT_READY));
        let active = Endpoint::active(&second, Witness::new(), DEPTHS, heapless::Vec::new());
        assert_eq!(active.err(), Some(STATUS_DEVICE_NOT_READY));
        let listen = Listener::listen(&second, loopback(0), Door::new());
        assert_eq!(listen.err(), Some(STATUS_DEVICE_NOT_READY));
    });
}

/// What an endpoint has received may be kept for long after its end; the adapter does not wait for that.
#[test]
fn the_close_waits_for_no_octets() {
    for mode in MODES {
        let mut world = World::new(mode);
        let pair = Pair::new(&world);
        let kept = pair.near.endpoint.clone();
        kept.memory(1).unwrap().region().write(0, b"kept").unwrap();
        pair.finish();
        assert!(world.adapter.take().unwrap().close(LONG));
        let mut octets = [0; 4];
        kept.memory(1).unwrap().region().read(0, &mut octets).unwrap();
        assert_eq!(&octets, b"kept");
        drop(kept);
        world.finish();
    }
}

/// A request is not worth keeping once the adapter is to go.
#[test]
fn nobody_waits_on_an_adapter_that_closes() {
    in_each_mode(|world| {
        let second = world.adopt().unwrap();
        let door = Door::new();
        let listener = Listener::listen(&second, loopback(0), door.clone()).unwrap();
        let near = active(world, Witness::new(), DEPTHS);
        Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"");
        let incoming = door.take();
        assert!(incoming.is_waiting());
        let adapter = second.clone();
        let closing = thread::spawn(move || adapter.close(LONG));
        while incoming.is_waiting() {
            thread::yield_now();
        }
        drop((incoming, listener));
        closing.join().unwrap();
        near.finish(false);
    });
}

/// The close waits for endpoints, for listeners, and for requests that nobody has decided.
#[test]
fn the_close_waits_for_everything() {
    in_each_mode(|world| {
        let second = world.adopt().unwrap();
        let door = Door::new();
        let listener = Listener::listen(&second, loopback(0), door.clone()).unwrap();
        let near = active(world, Witness::new(), DEPTHS);
        Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"");
        let incoming = door.take();
        let closed = Arc::new(AtomicBool::new(false));
        let (adapter, flag) = (second.clone(), closed.clone());
        let closing = thread::spawn(move || {
            assert!(adapter.close(LONG));
            flag.store(true, Ordering::SeqCst);
        });
        // The close has begun when nothing new is let in.
        while Memory::register(&second, 4096, Access::LocalWrite).is_ok() {
            thread::yield_now();
        }
        drop(listener);
        ksim::quiesce();
        assert!(!closed.load(Ordering::SeqCst), "closed with a request that is not decided");
        drop(incoming);
        closing.join().unwrap();
        assert!(closed.load(Ordering::SeqCst));
        assert_ne!(near.witness.answer(), 0);
        near.finish(false);
    });
}

/// Endpoints that are built on one processor share a completion queue, those of another one have another.
#[test]
fn each_processor_has_a_completion_queue() {
    in_each_mode(|world| {
        let _spread = ksim::processor::spread();
        let mut ends = std::vec::Vec::new();
        let mut processors = std::vec::Vec::new();
        for _ in 0..6 {
            let built = thread::scope(|scope| {
                let build = || {
                    let ends = [(), ()].map(|()| active(world, Witness::new(), DEPTHS));
                    (ends, Processor::current())
                };
                scope.spawn(build).join().unwrap()
            });
            ends.extend(built.0);
            processors.push(built.1);
        }
        processors.sort_by_key(|processor| processor.affinity().Mask);
        processors.dedup();
        assert!(processors.len() > 1);
        let mut queues = world.adapter().cq_processors();
        queues.sort_by_key(|processor| processor.affinity().Mask);
        assert_eq!(queues[..], processors[..]);
        ends.into_iter().for_each(|end| end.finish(false));
    });
}
