//! Registered memory.

use abi::status::STATUS_INVALID_PARAMETER;

use super::harness::*;
use crate::{Access, Memory, Piece};

#[test]
fn memory_is_registered_under_two_names_and_given_back() {
    in_each_mode(|world| {
        let memory = Memory::register(world.adapter(), 10_000, Access::RemoteWrite).unwrap();
        assert_eq!(memory.region().len(), 10_000);
        assert_eq!(memory.address() % 4096, 0);
        let other = Memory::register(world.adapter(), 1, Access::LocalWrite).unwrap();
        assert_ne!(memory.remote_token(), other.remote_token());
        let mut octets = [1; 16];
        memory.region().read(9984, &mut octets).unwrap();
        assert_eq!(octets, [0; 16], "fresh memory is zero");
    });
}

#[test]
fn no_length_and_too_much_are_refused() {
    in_each_mode(|world| {
        for len in [0, world.adapter().info().max_registration + 1] {
            let refused = Memory::register(world.adapter(), len, Access::LocalWrite);
            assert_eq!(refused.err(), Some(STATUS_INVALID_PARAMETER));
        }
    });
}

#[test]
fn elements_lie_inside_the_memory() {
    in_each_mode(|world| {
        let memory = Memory::register(world.adapter(), 100, Access::LocalWrite).unwrap();
        assert!(memory.element(0, 100).is_some());
        assert!(memory.element(100, 0).is_some());
        assert!(memory.element(40, 60).is_some());
        for (offset, len) in [(0, 101), (101, 0), (99, 2), (usize::MAX, 1), (1, u32::MAX)] {
            assert!(memory.element(offset, len).is_none(), "{offset} {len}");
        }
    });
}

/// What is not given for remote writing cannot be written by the peer, and the attempt ends the connection.
#[test]
fn a_peer_writes_only_where_it_may() {
    in_each_mode(|world| {
        for (memory, allowed) in [(1, true), (0, false)] {
            let mut pair = Pair::new(world);
            let target = pair.far.endpoint.memory(memory).unwrap();
            let (address, token) = (target.address(), target.remote_token());
            let near = pair.near.endpoint.memory(0).unwrap();
            near.region().write(4096, b"octets").unwrap();
            let poster = pair.near.poster();
            poster.write(Piece { memory: 0, offset: 4096, len: 6 }, address + 4096, token).unwrap();
            poster.send(Piece { memory: 0, offset: 0, len: 4 }, 77).unwrap();
            let sent = pair.near.witness.wait_for(|told| matches!(told, Told::Completion(_, _, 77)));
            assert_eq!(
                sent == Told::Completion(0, 0, 77) || matches!(sent, Told::Completion(0, _, 77)),
                allowed
            );
            let mut octets = [0; 6];
            let target = pair.far.endpoint.memory(memory).unwrap();
            target.region().read(4096, &mut octets).unwrap();
            assert_eq!(octets == *b"octets", allowed);
            pair.finish();
        }
    });
}
