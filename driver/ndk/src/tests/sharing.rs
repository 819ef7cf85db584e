//! Shared endpoints: one local address, several destinations.

use abi::status::{
    STATUS_ADDRESS_ALREADY_EXISTS, STATUS_INVALID_ADDRESS, STATUS_SHARING_VIOLATION,
    STATUS_TOO_MANY_ADDRESSES,
};
use ndkcheck::{Act, Slot, When};
use std::vec::Vec;

use super::harness::*;
use crate::{Endpoint, SharedEndpoint};

#[test]
fn connections_go_out_from_one_address() {
    in_each_mode(|world| {
        let endpoint = SharedEndpoint::create(world.adapter(), loopback(0)).unwrap();
        assert_ne!(endpoint.address().port(), 0);
        let listeners: Vec<_> = (0..2).map(|_| listen(world)).collect();
        let mut ends = Vec::new();
        for (listener, door) in &listeners {
            let near = active(world, Witness::new(), DEPTHS);
            Endpoint::connect(&near.endpoint, &endpoint, listener.address(), b"");
            let incoming = door.take();
            assert_eq!(incoming.addresses().unwrap().1, endpoint.address());
            let far = passive(world, Witness::new(), DEPTHS, incoming);
            Endpoint::accept(&far.endpoint, b"");
            assert_eq!((near.witness.answer(), far.witness.answer()), (0, 0));
            assert_eq!(near.endpoint.local_address(), Some(endpoint.address()));
            ends.extend([near, far]);
        }
        let again = active(world, Witness::new(), DEPTHS);
        Endpoint::connect(&again.endpoint, &endpoint, listeners[0].0.address(), b"");
        assert_eq!(again.witness.answer(), STATUS_ADDRESS_ALREADY_EXISTS);
        again.finish(false);
        // Closed before its connections: they go on, and the address is busy as long as they are there.
        let address = endpoint.address();
        drop(endpoint);
        let taken = SharedEndpoint::create(world.adapter(), address);
        assert_eq!(taken.err(), Some(STATUS_SHARING_VIOLATION));
        for end in ends {
            end.finish(false);
        }
        ksim::quiesce();
        drop(SharedEndpoint::create(world.adapter(), address).unwrap());
    });
}

#[test]
fn an_address_that_cannot_be_shared() {
    in_each_mode(|world| {
        let (listener, _door) = listen(world);
        let taken = SharedEndpoint::create(world.adapter(), listener.address());
        assert_eq!(taken.err(), Some(STATUS_SHARING_VIOLATION));
        let elsewhere = SharedEndpoint::create(world.adapter(), "192.0.2.1:0".parse().unwrap());
        assert_eq!(elsewhere.err(), Some(STATUS_INVALID_ADDRESS));
        world.checker().next(Slot::CreateSharedEndpoint, Act::Fail(When::Inline, STATUS_TOO_MANY_ADDRESSES));
        let exhausted = SharedEndpoint::create(world.adapter(), loopback(0));
        assert_eq!(exhausted.err(), Some(STATUS_TOO_MANY_ADDRESSES));
    });
}
