//! Registration, fast registration, logical address mappings and the privileged token.

use std::vec::Vec;

use abi::ndk::*;
use abi::status::*;
use ksim::buffer::{Chain, Pages};

use super::harness::*;
use super::pair::*;
use super::registration::*;
use crate::{AnswerMode, Config};

const NONE: NDK_OP_FLAG = NDK_OP_FLAG::empty();

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|index| (index * 31 + index / 256) as u8).collect()
}

fn privileged(pd: *mut NDK_PD) -> u32 {
    let mut token = 0;
    ndk!(pd, NdkGetPrivilegedMemoryRegionToken, &raw mut token);
    token
}

fn the_privileged_token_reaches_exactly_the_bytes_of_a_mapping() {
    for scattered_pages in [false, true] {
        let world = World::new(Config { scattered_pages, ..Config::default() });
        let pair = Pair::new(&world);
        let token = privileged(pair.pd);
        // Locked pages that nobody has mapped, not aligned to a page, over page boundaries.
        let data = pattern(9000);
        let source = Chain::new(&data, &[], Pages::Locked);
        let sink = Chain::zeroed(9000);
        let from = TestLam::build(world.adapter, source.mdl(), 9000).unwrap();
        let to = TestLam::build(world.adapter, sink.mdl(), 9000).unwrap();
        let (offset, pages) = (from.first_byte_offset as usize, from.pages());
        assert_eq!(pages.len(), (offset + 9000).div_ceil(4096));
        assert!(pages.iter().all(|page| page % 4096 == 0));
        let adjacent = pages.windows(2).all(|two| two[1] == two[0] + 4096);
        assert_eq!(adjacent, !scattered_pages);

        // Page by page, as NDKPI asks for.
        let elements = |lam: &TestLam| -> Vec<NDK_SGE> {
            let (mut left, mut skip) = (9000, lam.first_byte_offset);
            let mut list = Vec::new();
            for page in lam.pages() {
                let length = left.min(4096 - skip);
                list.push(sge((page + i64::from(skip)).cast_unsigned(), length, token));
                left -= length;
                skip = 0;
            }
            list
        };
        assert_eq!(pair.passive.receive(1, &elements(&to)), STATUS_SUCCESS);
        assert_eq!(pair.active.send(2, &elements(&from), NONE), STATUS_SUCCESS);
        assert_eq!(pair.passive.receives.one().BytesTransferred, 9000);
        assert_eq!(sink.bytes(), data);

        // Over the page boundary in one element: right where the pages are adjacent, wrong where they are not.
        let over = sge((pages[0] + i64::from(from.first_byte_offset)).cast_unsigned(), 5000, token);
        assert_eq!(pair.passive.receive(3, &elements(&to)), STATUS_SUCCESS);
        assert_eq!(pair.active.send(4, &[over], NONE), STATUS_SUCCESS);
        let expected = if scattered_pages { STATUS_ACCESS_VIOLATION } else { STATUS_SUCCESS };
        assert_eq!(pair.active.initiators.drain()[1].Status, expected);
        from.release();
        to.release();
        pair.close();
        world.finish();
    }
}

fn bytes_beside_the_buffer_are_out_of_reach_even_in_its_pages() {
    type Choose = fn(&TestLam) -> (i64, u32);
    let cases: [Choose; 4] = [
        |lam| (lam.pages()[0] + i64::from(lam.first_byte_offset) - 1, 1),
        |lam| (lam.pages()[0] + i64::from(lam.first_byte_offset) + 100, 1),
        |lam| (lam.pages()[0] + i64::from(lam.first_byte_offset) + 90, 11),
        |lam| (lam.pages()[0] + 4096, 1),
    ];
    for case in cases {
        let world = World::plain();
        let pair = Pair::new(&world);
        let data = Chain::new(&pattern(100), &[], Pages::NonPagedPool);
        let lam = TestLam::build(world.adapter, data.mdl(), 100).unwrap();
        let (address, length) = case(&lam);
        let element = sge(address.cast_unsigned(), length, privileged(pair.pd));
        assert_eq!(pair.passive.receive(1, &[element]), STATUS_SUCCESS);
        assert_eq!(pair.active.send(2, &[element], NONE), STATUS_SUCCESS);
        assert_eq!(pair.active.initiators.one().Status, STATUS_ACCESS_VIOLATION);
        lam.release();
        pair.close();
        world.finish();
    }
}

fn a_released_mapping_is_gone_also_for_receives_and_regions_made_of_it() {
    // A receive posted before the release.
    let world = World::plain();
    let pair = Pair::new(&world);
    let memory = Memory::new(4096);
    let lam = TestLam::build(world.adapter, memory.mdl(), 4096).unwrap();
    let element = sge(lam.pages()[0].cast_unsigned(), 8, privileged(pair.pd));
    assert_eq!(pair.passive.receive(1, &[element]), STATUS_SUCCESS);
    lam.release();
    let again = TestLam::build(world.adapter, memory.mdl(), 4096).unwrap();
    let data = [*b"nowhere!"];
    let inline = [sge(data.as_ptr().expose_provenance() as u64, 8, 0)];
    assert_eq!(pair.active.send(2, &inline, NDK_OP_FLAG::INLINE), STATUS_SUCCESS);
    assert_eq!(pair.passive.receives.one().Status, STATUS_ACCESS_VIOLATION);
    assert_eq!(memory.bytes(0, 8), [0; 8]);
    again.release();
    pair.close();

    // A region that is still valid: the peer must not reach the pages either.
    let pair = Pair::new(&world);
    let lam = TestLam::build(world.adapter, memory.mdl(), 4096).unwrap();
    let mr = TestMr::fast(pair.pd, 1, true);
    let flags = NDK_OP_FLAG::ALLOW_REMOTE_WRITE;
    assert_eq!(pair.passive.fast_register(1, &mr, &lam, 4096, 0x1000, flags), STATUS_SUCCESS);
    let write = |context| pair.active.write(context, &inline, 0x1000, mr.remote(), NDK_OP_FLAG::INLINE);
    assert_eq!(write(2), STATUS_SUCCESS);
    lam.release();
    assert_eq!(write(3), STATUS_SUCCESS);
    let done = pair.active.initiators.drain();
    let refused = if fabric() == Fabric::Memory { STATUS_REMOTE_RESOURCES } else { STATUS_SUCCESS };
    assert_eq!(summary(&done), [(2, STATUS_SUCCESS), (3, refused)]);
    assert_eq!(pair.passive.events.seen.take(), 2, "broken");
    assert_eq!(memory.bytes(0, 8), *b"nowhere!", "the first write, and no more");
    mr.close();
    pair.close();
    world.finish();
}

fn mappings_and_registrations_want_virtually_contiguous_chains() {
    for answers in [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early] {
        let world = World::with_answers(answers);
        let pd = world.pd();
        let apart = Chain::new(&pattern(300), &[100, 100], Pages::NonPagedPool);
        assert_eq!(TestLam::build(world.adapter, apart.mdl(), 101).err(), Some(STATUS_INVALID_PARAMETER));
        // The first MDL alone is contiguous.
        TestLam::build(world.adapter, apart.mdl(), 100).unwrap().release();
        assert_eq!(TestLam::build(world.adapter, apart.mdl(), 0).err(), Some(STATUS_INVALID_PARAMETER));
        assert_eq!(
            TestLam::build(world.adapter, core::ptr::null_mut(), 1).err(),
            Some(STATUS_INVALID_PARAMETER)
        );
        let mr = TestMr::bare(pd, false);
        let register = |mdl, length, flags| {
            request(|rc, context| ndk!(mr.mr, NdkRegisterMr, mdl, length, flags, rc, context))
        };
        assert_eq!(register(apart.mdl(), 300, 0), STATUS_INVALID_PARAMETER);
        assert_eq!(register(apart.mdl(), 100, 0x100), STATUS_INVALID_PARAMETER, "an unknown flag");
        assert_eq!(register(apart.mdl(), 100, 0), STATUS_SUCCESS);
        assert_eq!(register(apart.mdl(), 100, 0), STATUS_INVALID_DEVICE_STATE, "registered already");
        mr.close();
        // Kinds do not mix.
        let fast = TestMr::bare(pd, true);
        let memory = Memory::new(100);
        assert_eq!(fast.register(&memory, NDK_MR_FLAG::empty()), STATUS_INVALID_DEVICE_STATE);
        let init = |mr: &TestMr, pages| {
            request(|rc, context| ndk!(mr.mr, NdkInitializeFastRegisterMr, pages, 1, rc, context))
        };
        assert_eq!(init(&fast, 4097), STATUS_IMPLEMENTATION_LIMIT);
        assert_eq!(init(&fast, 4096), STATUS_SUCCESS);
        let plain = TestMr::bare(pd, false);
        assert_eq!(init(&plain, 1), STATUS_INVALID_DEVICE_STATE);
        fast.close();
        plain.close();
        close(pd, close_slot!(pd, NdkClosePd));
        world.finish();
    }
}

fn a_chain_of_contiguous_mdls_is_one_buffer() {
    // Two MDLs that meet in the middle of a page.
    let world = World::plain();
    let pair = Pair::new(&world);
    let memory = Memory::with(&pattern(8192));
    let (first, second) = (memory.region.as_ptr(), memory.region.as_ptr().wrapping_add(5000));
    // SAFETY: bytes of the region, which outlives the MDL.
    let head = unsafe { kernel::mdl::OwnedMdl::for_non_paged_pool(first, 5000) }.unwrap();
    // SAFETY: as above.
    let tail = unsafe { kernel::mdl::OwnedMdl::for_non_paged_pool(second, 3192) }.unwrap();
    // SAFETY: both are this test's own.
    unsafe { (*head.as_ptr()).Next = tail.as_ptr() };
    let lam = TestLam::build(world.adapter, head.as_ptr(), 8192).unwrap();
    assert_eq!((lam.pages().len(), lam.first_byte_offset), (2, 0));
    let mr = TestMr::bare(pair.pd, false);
    let flags = NDK_MR_FLAG::ALLOW_REMOTE_READ.bits();
    let status = request(|rc, context| ndk!(mr.mr, NdkRegisterMr, head.as_ptr(), 8192, flags, rc, context));
    assert_eq!(status, STATUS_SUCCESS);
    let sink = Memory::new(8192);
    let sink_mr = TestMr::registered(pair.pd, &sink, NDK_MR_FLAG::ALLOW_LOCAL_WRITE);
    let into = [sge(sink.address(), 8192, sink_mr.local())];
    let read = pair.active.read(1, &into, memory.address(), mr.remote(), NONE);
    assert_eq!(read, STATUS_SUCCESS);
    assert_eq!(sink.bytes(0, 8192), memory.bytes(0, 8192));
    lam.release();
    mr.close();
    sink_mr.close();
    pair.close();
    // SAFETY: as above; the chain must be apart before its parts are freed.
    unsafe { (*head.as_ptr()).Next = core::ptr::null_mut() };
    world.finish();
}

fn fast_registration_checks_its_numbers_in_the_call() {
    let world = World::plain();
    let pair = Pair::new(&world);
    let data = Chain::new(&pattern(5000), &[], Pages::NonPagedPool);
    let lam = TestLam::build(world.adapter, data.mdl(), 5000).unwrap();
    let offset = u64::from(lam.first_byte_offset);
    let mr = TestMr::fast(pair.pd, 4, false);
    let base = 0x10_0000 + offset;
    let attempt = |length, base, flags| pair.active.fast_register(1, &mr, &lam, length, base, flags);
    assert_eq!(attempt(5000, base + 1, NONE), STATUS_INVALID_PARAMETER, "base and offset differ");
    assert_eq!(attempt(0, base, NONE), STATUS_INVALID_PARAMETER);
    let room = lam.pages().len() * 4096 - offset as usize;
    assert_eq!(attempt(room + 1, base, NONE), STATUS_INVALID_PARAMETER);
    assert_eq!(attempt(5000, base, NDK_OP_FLAG::INLINE), STATUS_INVALID_PARAMETER, "a wrong flag");
    let remote = NDK_OP_FLAG::ALLOW_REMOTE_READ;
    assert_eq!(attempt(5000, base, remote), STATUS_ACCESS_VIOLATION, "initialised without remote access");
    // Before the connection there is no fast registration.
    let lonely = End::new(&world, pair.pd, Sizes::default());
    let early = lonely.fast_register(1, &mr, &lam, 5000, base, NONE);
    assert_eq!(early, STATUS_CONNECTION_INVALID);
    lonely.close();
    assert!(pair.active.initiators.drain().is_empty());
    assert_eq!(attempt(5000, base, NONE), STATUS_SUCCESS);
    assert_eq!(pair.active.initiators.one().Status, STATUS_SUCCESS);
    lam.release();
    mr.close();
    pair.close();
    world.finish();
}

fn a_region_must_be_invalid_to_be_registered_and_valid_to_be_invalidated() {
    type Step = fn(&Pair, &TestMr, &TestLam) -> i32;
    let register: Step = |pair, mr, lam| pair.active.fast_register(1, mr, lam, 4096, 0x1000, NONE);
    let invalidate: Step = |pair, mr, _| pair.active.invalidate(2, mr, NONE);
    let cases: [(&[Step], i32); 4] = [
        (&[register, invalidate, register, invalidate], STATUS_SUCCESS),
        (&[invalidate], STATUS_ACCESS_VIOLATION),
        (&[register, invalidate, invalidate], STATUS_ACCESS_VIOLATION),
        (&[register, register], STATUS_INVALID_DEVICE_REQUEST),
    ];
    for (steps, last) in cases {
        let world = World::plain();
        let pair = Pair::new(&world);
        let memory = Memory::new(4096);
        let lam = TestLam::build(world.adapter, memory.mdl(), 4096).unwrap();
        let mr = TestMr::fast(pair.pd, 2, false);
        for step in steps {
            assert_eq!(step(&pair, &mr, &lam), STATUS_SUCCESS);
        }
        let done = pair.active.initiators.drain();
        assert_eq!(done.len(), steps.len());
        assert_eq!(done.last().map(|entry| entry.Status), Some(last));
        lam.release();
        mr.close();
        pair.close();
        world.finish();
    }
}

fn fast_registration_takes_only_pages_of_this_adapter_instance() {
    type Choose = fn(&TestLam, &TestLam) -> [i64; 2];
    // Pages that are in no mapping, in a mapping of another open, or not the start of a page.
    let strange: [Choose; 4] = [
        |lam, _| [lam.pages()[0], lam.pages()[0] + 4096],
        |lam, _| [lam.pages()[0], 0x1000],
        |_, other| [other.pages()[0], other.pages()[0]],
        |lam, _| [lam.pages()[0], lam.pages()[0] + 1],
    ];
    for pages in strange {
        let world = World::plain();
        let second = world.second();
        let pair = Pair::new(&world);
        let memory = Memory::new(4096);
        let lam = TestLam::build(world.adapter, memory.mdl(), 4096).unwrap();
        let other = TestLam::build(second.adapter, memory.mdl(), 4096).unwrap();
        let mr = TestMr::fast(pair.pd, 2, false);
        let pages = pages(&lam, &other);
        let base = core::ptr::without_provenance(0x1000);
        let posted = post(|| {
            ndk!(pair.active.qp, NdkFastRegister, word(3), mr.mr, 2, pages.as_ptr(), 0, 8192, base, 0)
        });
        assert_eq!(posted, STATUS_SUCCESS);
        assert_eq!(pair.active.initiators.one().Status, STATUS_ACCESS_VIOLATION);
        lam.release();
        other.release();
        mr.close();
        pair.close();
        second.close_second(&world);
        world.finish();
    }
}

over_both_fabrics!(
    the_privileged_token_reaches_exactly_the_bytes_of_a_mapping,
    bytes_beside_the_buffer_are_out_of_reach_even_in_its_pages,
    a_released_mapping_is_gone_also_for_receives_and_regions_made_of_it,
    mappings_and_registrations_want_virtually_contiguous_chains,
    a_chain_of_contiguous_mdls_is_one_buffer,
    fast_registration_checks_its_numbers_in_the_call,
    a_region_must_be_invalid_to_be_registered_and_valid_to_be_invalidated,
    fast_registration_takes_only_pages_of_this_adapter_instance,
);
