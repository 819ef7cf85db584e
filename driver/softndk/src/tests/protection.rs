//! Wrong tokens, ranges and rights: nothing is touched, and the connection is over.

use abi::NTSTATUS;
use abi::ndk::*;
use abi::status::*;

use super::harness::*;
use super::pair::*;
use super::registration::*;

const NONE: NDK_OP_FLAG = NDK_OP_FLAG::empty();

/// What a violation does to both ends: the posted receives are cancelled, both consumers are told once, and nothing more
/// can be posted to the peer.
fn assert_broken(pair: &Pair) {
    assert_eq!(pair.active.send(90, &[], NONE), STATUS_CONNECTION_INVALID);
    assert_eq!(pair.passive.send(91, &[], NONE), STATUS_CONNECTION_INVALID);
    assert_eq!(pair.active.events.seen.take(), 0);
    assert_eq!(pair.passive.events.seen.take(), 2, "the reason for a broken connection");
    assert_eq!(pair.active.begin_disconnect().err(), Some(STATUS_CONNECTION_ABORTED));
    assert_eq!(pair.passive.receive(92, &[]), STATUS_SUCCESS);
    let cancelled = pair.passive.receives.drain();
    assert_eq!(cancelled.last().map(|entry| entry.Status), Some(STATUS_CANCELLED));
    ksim::quiesce();
    assert_eq!((pair.active.events.seen.count(), pair.passive.events.seen.count()), (0, 0), "at most once");
}

/// What the active end does in a fresh connection, and what comes of it.
struct Attempt {
    /// Of the request on the active side.
    status: NTSTATUS,
    /// Of the receive on the passive side.
    receive: NTSTATUS,
}

fn attempt(expected: &Attempt, post: impl FnOnce(&Pair, &Bed) -> NTSTATUS) {
    let world = World::plain();
    let pair = Pair::new(&world);
    let bed = Bed::new(&world, pair.pd);
    let sink = [sge(bed.far.address() + 16, 16, bed.writable.local())];
    assert_eq!(pair.passive.receive(80, &sink), STATUS_SUCCESS);
    assert_eq!(post(&pair, &bed), STATUS_SUCCESS, "posted");
    assert_eq!(pair.active.ended(), expected.status);
    assert_eq!(pair.passive.receives.one().Status, expected.receive);
    assert_eq!(bed.far.bytes(0, 4096), [0xF0; 4096], "the peer's memory was touched");
    assert_eq!(bed.near.bytes(0, 4096), [0x0F; 4096], "local memory was touched");
    assert_broken(&pair);
    // Each end of a stream counts for itself.
    let errors = if fabric() == Fabric::Memory { 1 } else { 2 };
    assert_eq!(world.soft().counters().connection_errors, errors);
    bed.close();
    pair.close();
    world.finish();
}

/// Memory at both ends with regions of different rights.
struct Bed {
    near: Memory,
    far: Memory,
    /// Over `near`, everything allowed.
    source: TestMr,
    /// Over `near`, local reads only.
    constant: TestMr,
    /// Over `far`: local and remote writes.
    writable: TestMr,
    /// Over `far`: local writes and remote reads.
    readable: TestMr,
    /// Over `far`, in another protection domain, everything allowed.
    foreign: TestMr,
    foreign_pd: *mut NDK_PD,
    lam: Option<TestLam>,
}

impl Bed {
    fn new(world: &World, pd: *mut NDK_PD) -> Self {
        let (near, far) = (Memory::with(&[0x0F; 4096]), Memory::with(&[0xF0; 4096]));
        let foreign_pd = world.pd();
        Self {
            source: TestMr::registered(pd, &near, NDK_MR_FLAG::all()),
            constant: TestMr::registered(pd, &near, NDK_MR_FLAG::empty()),
            writable: TestMr::registered(pd, &far, NDK_MR_FLAG::ALLOW_REMOTE_WRITE),
            readable: TestMr::registered(
                pd,
                &far,
                NDK_MR_FLAG::ALLOW_LOCAL_WRITE | NDK_MR_FLAG::ALLOW_REMOTE_READ,
            ),
            foreign: TestMr::registered(foreign_pd, &far, NDK_MR_FLAG::all()),
            foreign_pd,
            lam: Some(TestLam::build(world.adapter, far.mdl(), 4096).unwrap()),
            near,
            far,
        }
    }

    fn data(&self, length: u32) -> [NDK_SGE; 1] {
        [sge(self.near.address(), length, self.source.local())]
    }

    fn close(self) {
        for mr in [self.source, self.constant, self.writable, self.readable, self.foreign] {
            mr.close();
        }
        close(self.foreign_pd, close_slot!(self.foreign_pd, NdkClosePd));
        if let Some(lam) = self.lam {
            lam.release();
        }
    }
}

const REMOTE: Attempt = Attempt { status: STATUS_REMOTE_RESOURCES, receive: STATUS_CANCELLED };
const LOCAL: Attempt = Attempt { status: STATUS_ACCESS_VIOLATION, receive: STATUS_CANCELLED };

fn a_write_stays_inside_what_the_peer_has_opened() {
    let write = |pair: &Pair, bed: &Bed, offset: i64, length: u32, token: u32| {
        let address = bed.far.address().wrapping_add_signed(offset);
        pair.active.write(1, &bed.data(length), address, token, NDK_OP_FLAG::SILENT_SUCCESS)
    };
    // Range.
    attempt(&REMOTE, |pair, bed| write(pair, bed, -1, 1, bed.writable.remote()));
    attempt(&REMOTE, |pair, bed| write(pair, bed, 4096, 1, bed.writable.remote()));
    attempt(&REMOTE, |pair, bed| write(pair, bed, 4000, 97, bed.writable.remote()));
    attempt(&REMOTE, |pair, bed| {
        pair.active.write(1, &bed.data(8), u64::MAX - 3, bed.writable.remote(), NONE)
    });
    // Right, kind of token, protection domain.
    attempt(&REMOTE, |pair, bed| write(pair, bed, 0, 1, bed.readable.remote()));
    attempt(&REMOTE, |pair, bed| write(pair, bed, 0, 1, bed.writable.local()));
    attempt(&REMOTE, |pair, bed| write(pair, bed, 0, 1, bed.foreign.remote()));
    attempt(&REMOTE, |pair, bed| write(pair, bed, 0, 1, 0));
    attempt(&REMOTE, |pair, bed| write(pair, bed, 0, 1, u32::MAX));
    // The privileged token is for the owner only.
    attempt(&REMOTE, |pair, bed| {
        let mut token = 0;
        ndk!(pair.pd, NdkGetPrivilegedMemoryRegionToken, &raw mut token);
        let page = bed.lam.as_ref().unwrap().pages()[0].cast_unsigned();
        pair.active.write(1, &bed.data(1), page, token, NONE)
    });
    // Stale: the region was deregistered, and then registered again.
    attempt(&REMOTE, |pair, bed| {
        let token = bed.writable.remote();
        assert_eq!(bed.writable.deregister(), STATUS_SUCCESS);
        assert_eq!(bed.writable.deregister(), STATUS_INVALID_DEVICE_STATE, "twice");
        assert_eq!(bed.writable.register(&bed.far, NDK_MR_FLAG::all()), STATUS_SUCCESS);
        assert_ne!(token, bed.writable.remote());
        write(pair, bed, 0, 1, token)
    });
}

fn a_read_stays_inside_what_the_peer_has_opened() {
    let read = |pair: &Pair, bed: &Bed, offset: u64, token: u32, sink: u32| {
        let sink = [sge(bed.near.address(), 8, sink)];
        pair.active.read(1, &sink, bed.far.address() + offset, token, NONE)
    };
    attempt(&REMOTE, |pair, bed| read(pair, bed, 0, bed.writable.remote(), bed.source.local()));
    attempt(&REMOTE, |pair, bed| read(pair, bed, 4089, bed.readable.remote(), bed.source.local()));
    attempt(&LOCAL, |pair, bed| read(pair, bed, 0, bed.readable.remote(), bed.constant.local()));
}

fn local_elements_are_checked_as_well() {
    let send = |pair: &Pair, address: u64, length: u32, token: u32| {
        pair.active.send(1, &[sge(address, length, token)], NONE)
    };
    attempt(&LOCAL, |pair, bed| send(pair, bed.near.address(), 1, bed.source.remote()));
    attempt(&LOCAL, |pair, bed| send(pair, bed.near.address(), 1, bed.foreign.local()));
    attempt(&LOCAL, |pair, bed| send(pair, bed.near.address() - 1, 1, bed.source.local()));
    attempt(&LOCAL, |pair, bed| {
        // The first element is good; still nothing may arrive.
        let good = bed.data(4)[0];
        let bad = sge(bed.near.address() + 4095, 2, bed.source.local());
        pair.active.send(1, &[good, bad], NONE)
    });
}

fn a_send_needs_a_receive_that_fits() {
    let too_small = Attempt { status: STATUS_REMOTE_RESOURCES, receive: STATUS_BUFFER_OVERFLOW };
    attempt(&too_small, |pair, bed| pair.active.send(1, &bed.data(17), NDK_OP_FLAG::SILENT_SUCCESS));

    // No receive at all.
    let world = World::plain();
    let pair = Pair::new(&world);
    assert_eq!(pair.active.send(1, &[], NDK_OP_FLAG::SILENT_SUCCESS), STATUS_SUCCESS);
    assert_eq!(pair.active.ended(), STATUS_REMOTE_RESOURCES);
    assert_broken(&pair);
    pair.close();
    world.finish();
}

fn a_receive_into_memory_that_must_not_be_written_fails_at_both_ends() {
    for stale in [false, true] {
        let world = World::plain();
        let pair = Pair::new(&world);
        let bed = Bed::new(&world, pair.pd);
        let token = if stale { bed.writable.local() } else { bed.constant.local() };
        let memory = if stale { &bed.far } else { &bed.near };
        assert_eq!(pair.passive.receive(80, &[sge(memory.address(), 16, token)]), STATUS_SUCCESS);
        assert_eq!(pair.passive.receive(81, &[]), STATUS_SUCCESS);
        if stale {
            assert_eq!(bed.writable.deregister(), STATUS_SUCCESS);
        }
        assert_eq!(pair.active.send(1, &bed.data(4), NONE), STATUS_SUCCESS);
        assert_eq!(pair.active.ended(), STATUS_REMOTE_RESOURCES);
        let received = pair.passive.receives.drain();
        assert_eq!(summary(&received), [(80, STATUS_ACCESS_VIOLATION), (81, STATUS_CANCELLED)]);
        assert_eq!(bed.far.bytes(0, 64), [0xF0; 64]);
        assert_eq!(bed.near.bytes(0, 64), [0x0F; 64]);
        assert_broken(&pair);
        bed.close();
        pair.close();
        world.finish();
    }
}

fn a_fault_cancels_the_rest_of_the_chain() {
    let world = World::plain();
    let pair = Pair::new(&world);
    let bed = Bed::new(&world, pair.pd);
    let good = (bed.far.address(), bed.writable.remote());
    let flags = NDK_OP_FLAG::DEFER | NDK_OP_FLAG::SILENT_SUCCESS;
    assert_eq!(pair.active.write(1, &bed.data(1), good.0, good.1, NDK_OP_FLAG::DEFER), STATUS_SUCCESS);
    assert_eq!(pair.active.write(2, &bed.data(1), good.0, 1, flags), STATUS_SUCCESS);
    assert_eq!(pair.active.write(3, &bed.data(2), good.0 + 8, good.1, flags), STATUS_SUCCESS);
    assert_eq!(pair.active.send(4, &[], NONE), STATUS_SUCCESS);
    let done = pair.active.initiators.drain();
    let expected = match fabric() {
        Fabric::Memory => {
            &[(1, STATUS_SUCCESS), (2, STATUS_REMOTE_RESOURCES), (3, STATUS_CANCELLED), (4, STATUS_CANCELLED)]
                [..]
        }
        // All four are with TCP before the peer looks at the second.
        Fabric::Iwarp => &[(1, STATUS_SUCCESS), (4, STATUS_SUCCESS)],
    };
    assert_eq!(summary(&done), expected);
    assert_eq!(bed.far.bytes(0, 16), [[0x0F].as_slice(), &[0xF0; 15]].concat());
    assert_broken(&pair);
    bed.close();
    pair.close();
    world.finish();
}

fn a_remote_invalidation_ends_exactly_the_region_it_names() {
    let world = World::plain();
    let pair = Pair::new(&world);
    let bed = Bed::new(&world, pair.pd);
    let lam = bed.lam.as_ref().unwrap();
    let mr = TestMr::fast(pair.pd, 1, true);
    let flags = NDK_OP_FLAG::ALLOW_REMOTE_WRITE;
    assert_eq!(pair.passive.fast_register(1, &mr, lam, 4096, 0x7000, flags), STATUS_SUCCESS);
    assert_eq!(pair.passive.initiators.one().Type, NdkOperationTypeFastRegister);
    let token = mr.remote();
    assert_eq!(pair.active.write(2, &bed.data(3), 0x7005, token, NONE), STATUS_SUCCESS);
    assert_eq!(bed.far.bytes(4, 5), [0xF0, 0x0F, 0x0F, 0x0F, 0xF0]);

    assert_eq!(pair.passive.receive(80, &[]), STATUS_SUCCESS);
    assert_eq!(pair.active.send_and_invalidate(3, &[], token), STATUS_SUCCESS);
    let received = pair.passive.receives.one();
    assert_eq!(received.Type, NdkOperationTypeReceiveAndInvalidate);
    assert_eq!(received.TypeSpecificCompletionOutput, token as usize);
    let sent = pair.active.initiators.drain();
    assert_eq!(summary(&sent), [(2, STATUS_SUCCESS), (3, STATUS_SUCCESS)]);
    assert_eq!(sent[1].Type, NdkOperationTypeSend);

    // It can be registered again, under a new remote token; the old one is dead.
    assert_eq!(pair.passive.fast_register(4, &mr, lam, 4096, 0x7000, flags), STATUS_SUCCESS);
    assert_ne!(mr.remote(), token);
    assert_eq!(pair.passive.receive(81, &[]), STATUS_SUCCESS);
    assert_eq!(pair.active.send_and_invalidate(5, &[], token), STATUS_SUCCESS);
    assert_eq!(pair.active.ended(), STATUS_REMOTE_RESOURCES);
    assert_eq!(summary(&pair.passive.receives.drain()), [(81, STATUS_CANCELLED)]);
    assert_broken(&pair);
    mr.close();
    bed.close();
    pair.close();
    world.finish();
}

fn an_ordinary_region_cannot_be_invalidated_by_the_peer() {
    attempt(&REMOTE, |pair, bed| pair.active.send_and_invalidate(1, &[], bed.writable.remote()));
}

over_both_fabrics!(
    a_write_stays_inside_what_the_peer_has_opened,
    a_read_stays_inside_what_the_peer_has_opened,
    local_elements_are_checked_as_well,
    a_send_needs_a_receive_that_fits,
    a_receive_into_memory_that_must_not_be_written_fails_at_both_ends,
    a_fault_cancels_the_rest_of_the_chain,
    a_remote_invalidation_ends_exactly_the_region_it_names,
    an_ordinary_region_cannot_be_invalidated_by_the_peer,
);
