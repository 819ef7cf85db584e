//! Memory that a peer is let into for a while: fast registration and windows, over mappings.

use core::ptr::NonNull;
use std::sync::mpsc::channel;

use abi::NTSTATUS;
use abi::status::{STATUS_IMPLEMENTATION_LIMIT, STATUS_INVALID_PARAMETER};
use kernel::region::Region;

use super::harness::*;
use crate::{Access, FastRegion, Mapping, Opened, Piece, Window};

const WORD: Piece = Piece { memory: 0, offset: 4096, len: 4 };

/// A client's memory.
fn client(len: usize) -> Region {
    Region::try_new(TAG, len).unwrap()
}

/// Maps the first octets of `region`, which outlives the mapping.
fn map(world: &World, region: &Region, len: usize) -> Result<Mapping, NTSTATUS> {
    let (tell, told) = channel();
    let mdl = NonNull::new(region.mdl()).unwrap();
    // SAFETY: non-paged pool that outlives the mapping.
    unsafe { Mapping::build(world.adapter(), mdl, len, move |built| tell.send(built).unwrap()) };
    told.recv().unwrap()
}

/// The far end writes four octets to `address`; what becomes of the write at its end.
fn peer_writes(pair: &mut Pair, octets: &[u8; 4], address: u64, token: u32) -> NTSTATUS {
    pair.far.endpoint.memory(0).unwrap().region().write(4096, octets).unwrap();
    let before = pair.far.witness.entries(0).len();
    pair.far.poster().write(WORD, address, token).unwrap();
    pair.far.poster().send(WORD, 50).unwrap();
    pair.far.witness.entries(before + 1)[before].0
}

/// Takes the completion of the near end's own request.
fn completed(pair: &Pair, context: usize) -> NTSTATUS {
    let all = pair.near.witness.wait_for(|told| matches!(told, Told::Completion(_, _, c) if *c == context));
    match all {
        Told::Completion(status, ..) => status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn pages_are_mapped_and_given_back() {
    in_each_mode(|world| {
        let region = client(10_000);
        let mapping = map(world, &region, 9000).unwrap();
        assert_eq!((mapping.pages().len(), mapping.first_byte_offset(), mapping.len()), (3, 0, 9000));
        assert!(mapping.pages().iter().all(|page| page % 4096 == 0));
        assert_eq!(map(world, &region, 0).err(), Some(STATUS_INVALID_PARAMETER));
        assert_eq!(
            map(world, &region, 10_001).err(),
            Some(STATUS_INVALID_PARAMETER),
            "longer than the chain"
        );
        assert_eq!(map(world, &region, usize::MAX).err(), Some(STATUS_INVALID_PARAMETER));
        drop(mapping);
        drop(map(world, &region, 1).unwrap());
    });
}

#[test]
fn a_peer_writes_into_a_fast_registration_until_it_is_shut() {
    in_each_mode(|world| {
        let mut pair = Pair::new(world);
        let region = client(8192);
        let mapping = map(world, &region, 6000).unwrap();
        let fast = FastRegion::create(world.adapter(), 2).unwrap();
        let base = 0x7000_0000;
        let mut tokens = std::vec::Vec::new();
        for round in 0..2 {
            let (open, shut) = (100 + round, 200 + round);
            let poster = pair.near.poster();
            let token = poster.fast_register(&fast, &mapping, base, Access::RemoteWrite, open).unwrap();
            assert_eq!((completed(&pair, open), token), (0, fast.remote_token()));
            assert_eq!(peer_writes(&mut pair, b"abcd", base + 4094, token), 0);
            let mut octets = [0; 4];
            region.read(4094, &mut octets).unwrap();
            assert_eq!(&octets, b"abcd");
            pair.near.poster().invalidate(&Opened::Region(&fast), shut).unwrap();
            assert_eq!(completed(&pair, shut), 0);
            tokens.push(token);
        }
        assert_ne!(tokens[0], tokens[1]);
        assert_ne!(peer_writes(&mut pair, b"evil", base, tokens[1]), 0);
        let mut octets = [1; 4];
        region.read(0, &mut octets).unwrap();
        assert_eq!(octets, [0; 4], "shut is shut");
        pair.finish();
        drop((fast, mapping));
    });
}

#[test]
fn a_peer_writes_through_a_window_until_it_is_shut() {
    in_each_mode(|world| {
        let mut pair = Pair::new(world);
        let window = Window::create(world.adapter()).unwrap();
        let base = pair.near.endpoint.memory(0).unwrap().address();
        let piece = Piece { memory: 0, offset: 5000, len: 8 };
        for wrong in [Piece { memory: 3, ..piece }, Piece { offset: 8190, ..piece }] {
            assert_eq!(pair.near.poster().bind(&window, wrong, 9), Err(STATUS_INVALID_PARAMETER));
        }
        let token = pair.near.poster().bind(&window, piece, 100).unwrap();
        assert_eq!((completed(&pair, 100), token), (0, window.remote_token()));
        assert_eq!(peer_writes(&mut pair, b"abcd", base + 5004, token), 0);
        let mut octets = [0; 4];
        pair.near.endpoint.memory(0).unwrap().region().read(5004, &mut octets).unwrap();
        assert_eq!(&octets, b"abcd");
        pair.near.poster().invalidate(&Opened::Window(&window), 101).unwrap();
        assert_eq!(completed(&pair, 101), 0);
        assert_ne!(peer_writes(&mut pair, b"evil", base + 5004, token), 0);
        pair.finish();
        drop(window);
    });
}

#[test]
fn a_region_has_as_many_pages_as_the_adapter_allows() {
    in_each_mode(|world| {
        let refused = FastRegion::create(world.adapter(), u32::MAX);
        assert_eq!(refused.err(), Some(STATUS_IMPLEMENTATION_LIMIT));
    });
}
