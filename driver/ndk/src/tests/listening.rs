//! Listeners and undecided requests.

use abi::status::{STATUS_CONNECTION_REFUSED, STATUS_INVALID_ADDRESS, STATUS_SHARING_VIOLATION};

use super::harness::*;
use crate::{Endpoint, Listener};

#[test]
fn a_listener_has_a_port_of_its_own() {
    in_each_mode(|world| {
        let (first, _) = listen(world);
        let (second, _) = listen(world);
        assert_ne!(first.address().port(), 0);
        assert_ne!(first.address(), second.address());
        let taken = Listener::listen(world.adapter(), first.address(), Door::new());
        assert_eq!(taken.err(), Some(STATUS_SHARING_VIOLATION));
        let elsewhere = Listener::listen(world.adapter(), "192.0.2.1:0".parse().unwrap(), Door::new());
        assert_eq!(elsewhere.err(), Some(STATUS_INVALID_ADDRESS));
        let address = first.address();
        drop(first);
        ksim::quiesce();
        drop(Listener::listen(world.adapter(), address, Door::new()).unwrap());
    });
}

/// A request outlives its listener: it can still be accepted, or dropped.
#[test]
fn a_listener_is_dropped_with_requests_undecided() {
    in_each_mode(|world| {
        let (listener, door) = listen(world);
        let first = active(world, Witness::new(), DEPTHS);
        let second = active(world, Witness::new(), DEPTHS);
        Endpoint::connect(&first.endpoint, loopback(0), listener.address(), b"");
        Endpoint::connect(&second.endpoint, loopback(0), listener.address(), b"");
        let (accepted, dropped) = (door.take(), door.take());
        drop(listener);
        let far = passive(world, Witness::new(), DEPTHS, accepted);
        Endpoint::accept(&far.endpoint, b"");
        drop(dropped);
        let (first, second) = if first.witness.answer() == 0 { (first, second) } else { (second, first) };
        assert_eq!(far.witness.answer(), 0);
        assert_eq!(second.witness.answer(), STATUS_CONNECTION_REFUSED);
        first.finish(false);
        second.finish(false);
        far.finish(false);
    });
}

/// A request that the caller gave up can be looked at, accepted and dropped like any other; it just fails.
#[test]
fn a_request_whose_caller_is_gone() {
    in_each_mode(|world| {
        let (listener, door) = listen(world);
        for accept in [false, true] {
            let near = active(world, Witness::new(), DEPTHS);
            Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"");
            let incoming = door.take();
            assert!(incoming.is_waiting());
            near.finish(false);
            assert!(!incoming.is_waiting());
            assert!(incoming.private_data(&mut [0; 512]).is_err());
            if accept {
                let far = passive(world, Witness::new(), DEPTHS, incoming);
                Endpoint::accept(&far.endpoint, b"");
                assert_ne!(far.witness.answer(), 0);
                far.finish(false);
            }
        }
    });
}

/// A request is refused by name, also when nobody waits for the answer any more.
#[test]
fn a_request_is_rejected() {
    in_each_mode(|world| {
        let (listener, door) = listen(world);
        for gone in [false, true] {
            let near = active(world, Witness::new(), DEPTHS);
            Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"");
            let incoming = door.take();
            if gone {
                near.finish(false);
                incoming.reject(b"no");
            } else {
                incoming.reject(b"no");
                let Told::Refused(data) = near.witness.wait_for(|told| matches!(told, Told::Refused(_)))
                else {
                    panic!("nobody was told of the data");
                };
                assert!(data.starts_with(b"no"), "{data:?}");
                assert_eq!(near.witness.answer(), STATUS_CONNECTION_REFUSED);
                near.finish(false);
            }
        }
    });
}

/// Requests that nobody takes are rejected when the handler goes, which lets the listener end.
#[test]
fn requests_wait_with_the_handler() {
    in_each_mode(|world| {
        let (listener, door) = listen(world);
        let near = active(world, Witness::new(), DEPTHS);
        Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"");
        let waiting = door.take();
        drop(listener);
        ksim::quiesce();
        drop(waiting);
        door.clear();
        assert_eq!(near.witness.answer(), STATUS_CONNECTION_REFUSED);
        near.finish(false);
    });
}
