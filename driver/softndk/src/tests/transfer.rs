//! Sends, writes, reads, and what their completions say.

use std::vec::Vec;

use abi::ndk::*;
use abi::status::*;

use super::harness::*;
use super::pair::*;
use super::registration::*;

const NONE: NDK_OP_FLAG = NDK_OP_FLAG::empty();
const EVERYTHING: NDK_MR_FLAG = NDK_MR_FLAG::all();

/// Memory at both ends, and regions that allow everything.
struct Buffers {
    near: Memory,
    far: Memory,
    near_mr: TestMr,
    far_mr: TestMr,
}

impl Buffers {
    fn new(pd: *mut NDK_PD, bytes: usize) -> Self {
        let pattern: Vec<u8> = (0..bytes).map(|index| (index * 7 + index / 251) as u8).collect();
        let (near, far) = (Memory::with(&pattern), Memory::new(bytes));
        let near_mr = TestMr::registered(pd, &near, EVERYTHING);
        let far_mr = TestMr::registered(pd, &far, EVERYTHING);
        Self { near, far, near_mr, far_mr }
    }

    fn from(&self, offset: u64, length: u32) -> NDK_SGE {
        sge(self.near.address() + offset, length, self.near_mr.local())
    }

    fn to(&self, offset: u64, length: u32) -> NDK_SGE {
        sge(self.far.address() + offset, length, self.far_mr.local())
    }

    fn close(self) {
        self.near_mr.close();
        self.far_mr.close();
    }
}

fn a_send_fills_the_oldest_receive_across_any_cut_of_both_lists() {
    let world = World::plain();
    let pair = Pair::new(&world);
    let buffers = Buffers::new(pair.pd, 8192);
    let sinks = [buffers.to(10, 3), buffers.to(100, 0), buffers.to(4090, 20), buffers.to(5000, 3000)];
    assert_eq!(pair.passive.receive(11, &sinks), STATUS_SUCCESS);
    assert_eq!(pair.passive.receive(12, &[buffers.to(0, 1)]), STATUS_SUCCESS);
    let sources = [buffers.from(4095, 2), buffers.from(7, 0), buffers.from(0, 100), buffers.from(1, 1)];
    assert_eq!(pair.active.send(1, &sources, NONE), STATUS_SUCCESS);
    assert_eq!(pair.active.send(2, &[], NONE), STATUS_SUCCESS);

    let expected =
        [buffers.near.bytes(4095, 2), buffers.near.bytes(0, 100), buffers.near.bytes(1, 1)].concat();
    let arrived =
        [buffers.far.bytes(10, 3), buffers.far.bytes(4090, 20), buffers.far.bytes(5000, 80)].concat();
    assert_eq!(arrived, expected);
    let received = pair.passive.receives.drain();
    assert_eq!(summary(&received), [(11, STATUS_SUCCESS), (12, STATUS_SUCCESS)]);
    assert_eq!(received.iter().map(|entry| entry.BytesTransferred).collect::<Vec<_>>(), [103, 0]);
    assert!(received.iter().all(|entry| entry.Type == NdkOperationTypeReceive));
    let sent = pair.active.initiators.drain();
    assert_eq!(summary(&sent), [(1, STATUS_SUCCESS), (2, STATUS_SUCCESS)]);
    assert!(sent.iter().all(|entry| entry.Type == NdkOperationTypeSend && entry.ProviderErrorCode == 0));
    buffers.close();
    pair.close();
    world.finish();
}

fn written_data_is_there_when_the_send_behind_it_arrives() {
    let world = World::plain();
    let pair = Pair::new(&world);
    let buffers = Buffers::new(pair.pd, 300_000);
    // More than one part of the copy.
    let (address, token) = (buffers.far.address() + 1, buffers.far_mr.remote());
    pair.passive.receives.arm(NDK_CQ_NOTIFY_ANY);
    assert_eq!(pair.passive.receive(9, &[]), STATUS_SUCCESS);
    let flags = NDK_OP_FLAG::SILENT_SUCCESS | NDK_OP_FLAG::DEFER;
    let source = [buffers.from(0, 200_000), buffers.from(200_000, 99_999)];
    assert_eq!(pair.active.write(1, &source, address, token, flags), STATUS_SUCCESS);
    assert_eq!(buffers.far.bytes(0, 300_000), std::vec![0; 300_000], "a deferred request ran");
    assert_eq!(pair.active.send(2, &[], NDK_OP_FLAG::READ_FENCE), STATUS_SUCCESS);
    assert_eq!(pair.passive.receives.notified.take(), STATUS_SUCCESS);
    assert_eq!(pair.passive.receives.one().RequestContext.addr(), 9);
    assert_eq!(buffers.far.bytes(1, 299_999), buffers.near.bytes(0, 299_999));
    assert_eq!(buffers.far.bytes(0, 1), [0]);
    assert_eq!(summary(&pair.active.initiators.drain()), [(2, STATUS_SUCCESS)]);
    let counters = world.soft().counters();
    assert_eq!((counters.out_octets, counters.in_octets), (299_999, 299_999));
    assert_eq!((counters.out_frames, counters.in_frames), (2, 2));
    // Over TCP each end copies, to and from what the system has.
    let copies = if fabric() == Fabric::Memory { 1 } else { 2 };
    assert_eq!(counters.copied_bytes, copies * 299_999);
    assert!(counters.copies >= 5, "{} copies", counters.copies);
    buffers.close();
    pair.close();
    world.finish();
}

fn a_read_fetches_and_may_invalidate_its_sink() {
    let world = World::plain();
    let pair = Pair::new(&world);
    let buffers = Buffers::new(pair.pd, 4096);
    let (address, token) = (buffers.near.address(), buffers.near_mr.remote());
    let sinks = [buffers.to(1, 10), buffers.to(1000, 20)];
    assert_eq!(pair.passive.read(1, &sinks, address, token, NONE), STATUS_SUCCESS);
    assert_eq!(buffers.far.bytes(1, 10), buffers.near.bytes(0, 10));
    assert_eq!(buffers.far.bytes(1000, 20), buffers.near.bytes(10, 20));
    assert_eq!(pair.passive.initiators.one().Type, NdkOperationTypeRead);

    // A fast-register sink ends with the read.
    let sink = Memory::new(4096);
    let lam = TestLam::build(world.adapter, sink.mdl(), 4096).unwrap();
    let mr = TestMr::fast(pair.pd, 1, false);
    let sink_flags = NDK_OP_FLAG::ALLOW_LOCAL_WRITE | NDK_OP_FLAG::RDMA_READ_SINK;
    let registered = pair.passive.fast_register(2, &mr, &lam, 4096, 0x10000, sink_flags);
    assert_eq!(registered, STATUS_SUCCESS);
    let sinks = [sge(0x10000, 64, mr.local())];
    let flags = NDK_OP_FLAG::RDMA_READ_LOCAL_INVALIDATE;
    assert_eq!(pair.passive.read(3, &sinks, address, token, flags), STATUS_SUCCESS);
    assert_eq!(sink.bytes(0, 64), buffers.near.bytes(0, 64));
    assert_eq!(pair.passive.read(4, &sinks, address, token, NONE), STATUS_SUCCESS);
    let done = pair.passive.initiators.drain();
    assert_eq!(summary(&done), [(2, STATUS_SUCCESS), (3, STATUS_SUCCESS), (4, STATUS_ACCESS_VIOLATION)]);
    lam.release();
    mr.close();
    buffers.close();
    pair.close();
    world.finish();
}

fn reads_need_a_read_limit() {
    let world = World::plain();
    let pair = Pair::with_sizes(&world, Sizes { read_limit: 0, ..Sizes::default() });
    let buffers = Buffers::new(pair.pd, 4096);
    let (address, token) = (buffers.near.address(), buffers.near_mr.remote());
    let read = pair.active.read(1, &[buffers.to(0, 4)], address, token, NONE);
    assert_eq!(read, STATUS_INVALID_PARAMETER);
    buffers.close();
    pair.close();
    world.finish();
}

fn inline_data_is_copied_during_the_call() {
    let world = World::plain();
    let pair = Pair::new(&world);
    let buffers = Buffers::new(pair.pd, 4096);
    assert_eq!(pair.passive.receive(9, &[buffers.to(0, 64)]), STATUS_SUCCESS);
    let mut data = *b"some inline data";
    // More elements than the queue pair allows otherwise, and tokens that mean nothing.
    let address = data.as_mut_ptr().expose_provenance() as u64;
    let pieces: Vec<_> = (0..8).map(|piece| sge(address + piece * 2, 2, 0xDEAD)).collect();
    let flags = NDK_OP_FLAG::INLINE | NDK_OP_FLAG::DEFER;
    assert_eq!(pair.active.send(1, &pieces, flags), STATUS_SUCCESS);
    data.fill(b'x');
    let target = buffers.far.address() + 100;
    let write = pair.active.write(2, &pieces, target, buffers.far_mr.remote(), NDK_OP_FLAG::INLINE);
    assert_eq!(write, STATUS_SUCCESS);
    assert_eq!(buffers.far.bytes(0, 16), b"some inline data");
    assert_eq!(buffers.far.bytes(100, 16), b"xxxxxxxxxxxxxxxx");
    let too_long = std::vec![sge(address, 16, 0); 5];
    assert_eq!(pair.active.send(3, &too_long, NDK_OP_FLAG::INLINE), STATUS_BUFFER_OVERFLOW);
    assert_eq!(summary(&pair.active.initiators.drain()), [(1, STATUS_SUCCESS), (2, STATUS_SUCCESS)]);
    buffers.close();
    pair.close();
    world.finish();
}

fn deferred_requests_wait_for_the_end_of_the_chain_or_a_failed_post() {
    let world = World::plain();
    let pair = Pair::new(&world);
    let buffers = Buffers::new(pair.pd, 4096);
    let (address, token) = (buffers.far.address(), buffers.far_mr.remote());
    let write = |context, flags| {
        pair.active.write(context, &[buffers.from(0, 8)], address + 8 * context as u64, token, flags)
    };
    for context in 0..3 {
        assert_eq!(write(context, NDK_OP_FLAG::DEFER), STATUS_SUCCESS);
    }
    assert!(pair.active.initiators.drain().is_empty());
    assert_eq!(write(3, NONE), STATUS_SUCCESS);
    let done: Vec<_> = (0..4).map(|context| (context, STATUS_SUCCESS)).collect();
    assert_eq!(summary(&pair.active.initiators.drain()), done);

    // A post that fails inline starts what is before it, and has no entry itself.
    assert_eq!(write(4, NDK_OP_FLAG::DEFER), STATUS_SUCCESS);
    assert_eq!(write(5, NDK_OP_FLAG::ALLOW_REMOTE_READ), STATUS_INVALID_PARAMETER);
    assert_eq!(summary(&pair.active.initiators.drain()), [(4, STATUS_SUCCESS)]);
    assert_eq!(write(6, NDK_OP_FLAG::DEFER), STATUS_SUCCESS);
    let many = std::vec![buffers.from(0, 1); 5];
    assert_eq!(pair.active.send(7, &many, NDK_OP_FLAG::DEFER), STATUS_DATA_OVERRUN);
    assert_eq!(summary(&pair.active.initiators.drain()), [(6, STATUS_SUCCESS)]);
    // An unknown flag too.
    assert_eq!(write(8, NDK_OP_FLAG::DEFER), STATUS_SUCCESS);
    assert_eq!(write(9, NDK_OP_FLAG::from_bits_retain(0x8000)), STATUS_INVALID_PARAMETER);
    assert_eq!(summary(&pair.active.initiators.drain()), [(8, STATUS_SUCCESS)]);
    // A local request keeps its turn.
    let mr = TestMr::fast(pair.pd, 1, false);
    let lam = TestLam::build(world.adapter, buffers.far.mdl(), 100).unwrap();
    assert_eq!(write(10, NDK_OP_FLAG::DEFER), STATUS_SUCCESS);
    let registered = pair.active.fast_register(11, &mr, &lam, 100, 0x4000, NDK_OP_FLAG::DEFER);
    assert_eq!(registered, STATUS_SUCCESS);
    assert_eq!(summary(&pair.active.initiators.drain()), [(10, STATUS_SUCCESS), (11, STATUS_SUCCESS)]);
    lam.release();
    mr.close();
    buffers.close();
    pair.close();
    world.finish();
}

fn silent_requests_keep_their_slots_until_a_later_entry_is_taken() {
    let world = World::plain();
    let sizes = Sizes { initiators: 4, ..Sizes::default() };
    let pair = Pair::with_sizes(&world, sizes);
    let buffers = Buffers::new(pair.pd, 4096);
    let (address, token) = (buffers.far.address(), buffers.far_mr.remote());
    let write = |context, flags| pair.active.write(context, &[buffers.from(0, 8)], address, token, flags);
    for context in 0..3 {
        assert_eq!(write(context, NDK_OP_FLAG::SILENT_SUCCESS), STATUS_SUCCESS);
    }
    assert_eq!(write(3, NONE), STATUS_SUCCESS);
    assert_eq!(write(4, NONE), STATUS_NO_MORE_ENTRIES);
    assert_eq!(summary(&pair.active.initiators.drain()), [(3, STATUS_SUCCESS)]);
    // All four slots are back.
    for context in 5..9 {
        assert_eq!(write(context, NONE), STATUS_SUCCESS);
    }
    assert_eq!(write(9, NONE), STATUS_NO_MORE_ENTRIES);
    let done: Vec<_> = (5..9).map(|context| (context, STATUS_SUCCESS)).collect();
    assert_eq!(summary(&pair.active.initiators.drain()), done);

    // Nothing but silent ones: the queue stays full for ever.
    for context in 10..14 {
        assert_eq!(write(context, NDK_OP_FLAG::SILENT_SUCCESS), STATUS_SUCCESS);
    }
    assert_eq!(write(14, NONE), STATUS_NO_MORE_ENTRIES);
    buffers.close();
    pair.close();
    world.finish();
}

fn a_receive_queue_has_a_depth() {
    let world = World::plain();
    let sizes = Sizes { receives: 2, elements: 1, ..Sizes::default() };
    let pair = Pair::with_sizes(&world, sizes);
    let buffers = Buffers::new(pair.pd, 4096);
    let two = [buffers.to(0, 1), buffers.to(1, 1)];
    assert_eq!(pair.passive.receive(1, &two), STATUS_DATA_OVERRUN);
    assert_eq!(pair.passive.receive(2, &two[..1]), STATUS_SUCCESS);
    assert_eq!(pair.passive.receive(3, &two[..1]), STATUS_SUCCESS);
    assert_eq!(pair.passive.receive(4, &two[..1]), STATUS_NO_MORE_ENTRIES);
    assert_eq!(pair.active.send(1, &[], NONE), STATUS_SUCCESS);
    assert_eq!(pair.passive.receive(5, &two[..1]), STATUS_NO_MORE_ENTRIES, "not taken yet");
    assert_eq!(summary(&pair.passive.receives.drain()), [(2, STATUS_SUCCESS)]);
    assert_eq!(pair.passive.receive(6, &two[..1]), STATUS_SUCCESS);
    buffers.close();
    pair.close();
    world.finish();
}

fn the_short_form_of_the_results_has_the_same_entries() {
    let world = World::plain();
    let pair = Pair::new(&world);
    assert_eq!(pair.passive.receive(5, &[]), STATUS_SUCCESS);
    assert_eq!(pair.active.send(6, &[], NONE), STATUS_SUCCESS);
    // SAFETY: plain data.
    let mut results = unsafe { core::mem::zeroed::<[NDK_RESULT; 2]>() };
    let count = ndk!(pair.passive.receives.cq, NdkGetCqResults, results.as_mut_ptr(), 2);
    assert_eq!((count, results[0].RequestContext.addr(), results[0].Status), (1, 5, STATUS_SUCCESS));
    assert_eq!(results[0].QPContext.addr(), QP_CONTEXT);
    pair.close();
    world.finish();
}

/// Over iWARP the adapter itself holds what comes too early.
#[test]
fn the_passive_side_may_be_held_to_listen_first() {
    let config = crate::Config { active_speaks_first: true, ..crate::Config::default() };
    for speaks_early in [true, false] {
        let world = World::new(config);
        let pair = Pair::new(&world);
        assert_eq!(pair.passive.receive(1, &[]), STATUS_SUCCESS);
        assert_eq!(pair.active.receive(2, &[]), STATUS_SUCCESS);
        if speaks_early {
            assert_eq!(pair.passive.send(3, &[], NONE), STATUS_SUCCESS);
            assert_eq!(pair.passive.initiators.one().Status, STATUS_INVALID_DEVICE_REQUEST);
            assert_eq!(pair.active.receives.one().Status, STATUS_CANCELLED);
        } else {
            assert_eq!(pair.active.send(3, &[], NONE), STATUS_SUCCESS);
            assert_eq!(pair.passive.send(4, &[], NONE), STATUS_SUCCESS);
            assert_eq!(pair.active.receives.one().Status, STATUS_SUCCESS);
        }
        pair.close();
        world.finish();
    }
}

over_both_fabrics!(
    a_send_fills_the_oldest_receive_across_any_cut_of_both_lists,
    written_data_is_there_when_the_send_behind_it_arrives,
    a_read_fetches_and_may_invalidate_its_sink,
    reads_need_a_read_limit,
    inline_data_is_copied_during_the_call,
    deferred_requests_wait_for_the_end_of_the_chain_or_a_failed_post,
    silent_requests_keep_their_slots_until_a_later_entry_is_taken,
    a_receive_queue_has_a_depth,
    the_short_form_of_the_results_has_the_same_entries,
);
