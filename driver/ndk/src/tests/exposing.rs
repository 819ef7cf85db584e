//! Memory that a peer is let into for a while: fast registration and windows, over mappings.

use core::ptr::NonNull;
use std::sync::mpsc::channel;

use abi::NTSTATUS;
use abi::status::{STATUS_IMPLEMENTATION_LIMIT, STATUS_INVALID_PARAMETER};
use kernel::region::Region;

use super::harness::*;
use crate::{Access, FastRegion, Local, Mapping, Opened, Piece, RegionOwner, Window};

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

/// Octets of a mapping are written and sent from where they are, over page boundaries, as far as a request reaches.
#[test]
fn octets_go_out_from_a_mapping() {
    in_each_mode(|world| {
        let mut pair = Pair::new(world);
        let region = client(12_000);
        let octets: std::vec::Vec<u8> = (0..12_000u32).map(|n| (n % 251) as u8).collect();
        region.write(0, &octets).unwrap();
        let mapping = map(world, &region, 12_000).unwrap();
        let target = pair.far.endpoint.memory(1).unwrap();
        let (address, token) = (target.address(), target.remote_token());
        let gather = world.adapter().info().gather();
        let (mut at, end, mut sends) = (4000usize, 8195usize, 0);
        while at < end {
            let len = mapping.reach(at, gather).min((end - at) as u32);
            assert_ne!(len, 0);
            let to = address + (at - 4000) as u64;
            pair.near
                .poster()
                .write(Local::Mapped { mapping: &mapping, offset: at, len }, to, token)
                .unwrap();
            pair.near.poster().send(WORD, sends).unwrap();
            (at, sends) = (at + len as usize, sends + 1);
        }
        pair.far.witness.entries(sends);
        let mut written = std::vec![0; end - 4000];
        target.region().read(0, &mut written).unwrap();
        assert_eq!(written, octets[4000..end]);

        let tail = Local::Mapped { mapping: &mapping, offset: 4090, len: 12 };
        pair.near.poster().send_both(WORD, tail, 90).unwrap();
        pair.near.witness.entries(sends + 1);
        let (status, len, slot) = pair.far.witness.entries(sends + 1)[sends];
        assert_eq!((status, len), (0, 16));
        let mut sent = [0; 12];
        let at = slot * 64 + 4;
        pair.far.endpoint.memory(0).unwrap().region().read(at, &mut sent).unwrap();
        assert_eq!(sent, octets[4090..4102]);
        pair.finish();
        drop(mapping);
    });
}

#[test]
fn a_mapping_is_not_left() {
    in_each_mode(|world| {
        let mut pair = Pair::new(world);
        let region = client(8192);
        let mapping = map(world, &region, 5000).unwrap();
        assert_eq!(mapping.reach(0, u32::MAX), 5000);
        assert_eq!((mapping.reach(4999, 9), mapping.reach(5000, 9), mapping.reach(usize::MAX, 9)), (1, 0, 0));
        assert_eq!(mapping.reach(0, 0), 0);
        for (offset, len) in [(0, 5001), (4999, 2), (5000, 1), (usize::MAX, 1)] {
            let wrong = Local::Mapped { mapping: &mapping, offset, len };
            assert_eq!(pair.near.poster().write(wrong, 0, 0), Err(STATUS_INVALID_PARAMETER));
            assert_eq!(pair.near.poster().send_both(WORD, wrong, 1), Err(STATUS_INVALID_PARAMETER));
        }
        pair.finish();
        drop(mapping);
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
            let part = (&mapping, 4100, 1000);
            let (address, token) =
                poster.fast_register(&fast, part, base, Access::RemoteWrite, open).unwrap();
            assert_eq!((completed(&pair, open), token), (0, fast.remote_token()));
            assert_eq!(address, base + 4, "the offset in the page");
            assert_eq!(peer_writes(&mut pair, b"abcd", address + 996, token), 0);
            let mut octets = [0; 4];
            region.read(5096, &mut octets).unwrap();
            assert_eq!(&octets, b"abcd");
            pair.near.poster().invalidate(&Opened::Region(&fast), shut).unwrap();
            assert_eq!(completed(&pair, shut), 0);
            tokens.push(token);
        }
        assert_ne!(tokens[0], tokens[1]);
        let poster = pair.near.poster();
        for (offset, len) in [(0, 0), (0, 6001), (6000, 1), (usize::MAX, 1)] {
            let outside = poster.fast_register(&fast, (&mapping, offset, len), base, Access::RemoteWrite, 1);
            assert_eq!(outside, Err(STATUS_INVALID_PARAMETER));
        }
        assert_ne!(peer_writes(&mut pair, b"evil", base + 4, tokens[1]), 0);
        let mut octets = [1; 4];
        region.read(4100, &mut octets).unwrap();
        assert_eq!(octets, [0; 4], "shut is shut");
        pair.finish();
        drop((fast, mapping));
    });
}

/// Somebody waits for the end of a region.
struct Owner(std::sync::Mutex<std::sync::mpsc::Sender<()>>);

impl RegionOwner for Owner {
    fn region_closed(this: kernel::pool::Shared<Self>) {
        this.0.lock().unwrap().send(()).unwrap();
    }
}

/// An endpoint that is closed leaves its registration open; closing the region shuts it.
#[test]
fn the_end_of_a_region_is_told() {
    in_each_mode(|world| {
        let mut pair = Pair::new(world);
        let region = client(8192);
        let mapping = map(world, &region, 8192).unwrap();
        let fast = FastRegion::create(world.adapter(), 2).unwrap();
        let poster = pair.near.poster();
        poster.fast_register(&fast, (&mapping, 0, 8192), 0x1000, Access::RemoteWrite, 100).unwrap();
        assert_eq!(completed(&pair, 100), 0);
        pair.finish();
        let (tell, told) = channel();
        fast.close(kernel::pool::Shared::try_new(TAG, Owner(tell.into())).unwrap());
        told.recv().unwrap();
        drop(mapping);
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
