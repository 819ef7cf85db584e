//! The handshake, and how it fails.

use abi::status::STATUS_CONNECTION_REFUSED;

use super::harness::*;
use crate::Endpoint;

fn begins_with(told: &Told, data: &[u8]) -> bool {
    matches!(told, Told::PeerData(octets) if octets.starts_with(data))
}

#[test]
fn private_data_go_both_ways() {
    in_each_mode(|world| {
        let (listener, door) = listen(world);
        let near = active(world, Witness::new(), DEPTHS);
        Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"the caller's data");
        let incoming = door.take();
        let mut octets = [0; 512];
        assert!(incoming.private_data(&mut octets).unwrap().starts_with(b"the caller's data"));
        let (local, peer) = incoming.addresses().unwrap();
        assert_eq!(local, listener.address());
        let far = passive(world, Witness::new(), DEPTHS, incoming);
        Endpoint::accept(&far.endpoint, b"the answer");
        assert_eq!(near.witness.answer(), 0);
        assert_eq!(far.witness.answer(), 0);
        assert!(begins_with(&near.witness.told()[0], b"the answer"), "the data come before the answer");
        assert_eq!(near.endpoint.local_address(), Some(peer));
        assert_eq!(far.endpoint.local_address(), Some(local));
        near.finish(false);
        far.finish(false);
    });
}

/// Private data that the caller's buffer cannot hold are an error, not a cut.
#[test]
fn private_data_need_room() {
    in_each_mode(|world| {
        let (listener, door) = listen(world);
        let near = active(world, Witness::new(), DEPTHS);
        Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"data");
        let incoming = door.take();
        assert!(incoming.private_data(&mut [0; 8]).is_err());
        drop(incoming);
        assert_eq!(near.witness.answer(), STATUS_CONNECTION_REFUSED);
        near.finish(false);
    });
}

#[test]
fn nobody_listens() {
    in_each_mode(|world| {
        let (listener, _door) = listen(world);
        let address = listener.address();
        drop(listener);
        ksim::quiesce();
        let near = active(world, Witness::new(), DEPTHS);
        Endpoint::connect(&near.endpoint, loopback(0), address, b"");
        assert_eq!(near.witness.answer(), STATUS_CONNECTION_REFUSED);
        near.finish(false);
    });
}

#[test]
fn the_listener_refuses() {
    in_each_mode(|world| {
        let (listener, door) = listen(world);
        let near = active(world, Witness::new(), DEPTHS);
        Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"");
        drop(door.take());
        assert_eq!(near.witness.answer(), STATUS_CONNECTION_REFUSED);
        near.finish(false);
    });
}

#[test]
fn the_caller_does_not_like_the_answer() {
    in_each_mode(|world| {
        let (listener, door) = listen(world);
        let near = active(world, Witness::that_answers(false), DEPTHS);
        Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"");
        let far = passive(world, Witness::new(), DEPTHS, door.take());
        Endpoint::accept(&far.endpoint, b"what is this");
        assert_eq!(near.witness.answer(), STATUS_CONNECTION_REFUSED);
        assert_ne!(far.witness.answer(), 0);
        near.finish(false);
        far.finish(false);
    });
}

#[test]
fn an_address_that_is_not_the_adapters() {
    in_each_mode(|world| {
        let (listener, _door) = listen(world);
        let near = active(world, Witness::new(), DEPTHS);
        let elsewhere = "192.0.2.1:0".parse().unwrap();
        Endpoint::connect(&near.endpoint, elsewhere, listener.address(), b"");
        assert_ne!(near.witness.answer(), 0);
        near.finish(false);
        let near = active(world, Witness::new(), DEPTHS);
        Endpoint::connect(&near.endpoint, loopback(0), "192.0.2.1:4791".parse().unwrap(), b"");
        assert_ne!(near.witness.answer(), 0);
        near.finish(false);
    });
}
