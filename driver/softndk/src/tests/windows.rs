//! Memory windows: what a bind opens, and everything that shuts it.

use core::ptr;

use abi::NTSTATUS;
use abi::ndk::*;
use abi::status::*;

use super::harness::*;
use super::pair::*;
use super::registration::*;
use crate::AnswerMode;

const NONE: NDK_OP_FLAG = NDK_OP_FLAG::empty();
const BOTH: NDK_OP_FLAG = NDK_OP_FLAG::ALLOW_REMOTE_READ.union(NDK_OP_FLAG::ALLOW_REMOTE_WRITE);
const MODES: [AnswerMode; 3] = [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early];

fn new_window(pd: *mut NDK_PD) -> *mut NDK_MW {
    create(|cc, context, out| ndk!(pd, NdkCreateMw, cc, context, out)).unwrap()
}

/// The passive end has a window, the active end uses it.
struct Bed {
    pair: Pair,
    near: Memory,
    source: TestMr,
    far: Memory,
    mr: TestMr,
    mw: *mut NDK_MW,
}

impl Bed {
    fn new(world: &World) -> Self {
        Self::with(world, NDK_MR_FLAG::ALLOW_LOCAL_WRITE)
    }

    fn with(world: &World, rights: NDK_MR_FLAG) -> Self {
        let pair = Pair::new(world);
        let (near, far) = (Memory::with(&[0x0F; 4096]), Memory::with(&[0xF0; 3 * 4096]));
        let source = TestMr::registered(pair.pd, &near, NDK_MR_FLAG::all());
        let mr = TestMr::registered(pair.pd, &far, rights);
        let mw = new_window(pair.pd);
        Self { pair, near, source, far, mr, mw }
    }

    fn post_bind(&self, mr: *mut NDK_MR, offset: i64, length: usize, flags: NDK_OP_FLAG) -> NTSTATUS {
        let address = self.far.address().wrapping_add_signed(offset);
        let address = ptr::with_exposed_provenance(address as usize);
        post(|| ndk!(self.pair.passive.qp, NdkBind, word(3), mr, self.mw, address, length, flags.bits()))
    }

    /// Binds and takes the entry; the token.
    fn bind(&self, offset: i64, length: usize, flags: NDK_OP_FLAG) -> u32 {
        assert_eq!(self.post_bind(self.mr.mr, offset, length, flags), STATUS_SUCCESS);
        let token = self.token();
        let entry = self.pair.passive.initiators.one();
        assert_eq!((entry.Status, entry.Type), (STATUS_SUCCESS, NdkOperationTypeBind));
        token
    }

    fn token(&self) -> u32 {
        ndk!(self.mw, NdkGetRemoteTokenFromMw)
    }

    fn invalidate(&self) -> NTSTATUS {
        let qp = self.pair.passive.qp;
        assert_eq!(post(|| ndk!(qp, NdkInvalidate, word(4), self.mw.cast(), 0)), STATUS_SUCCESS);
        self.pair.passive.initiators.one().Status
    }

    fn data(&self, length: u32) -> [NDK_SGE; 1] {
        [sge(self.near.address(), length, self.source.local())]
    }

    /// A write by the peer, and how it ends.
    fn write(&self, offset: i64, length: u32, token: u32) -> NTSTATUS {
        let to = self.far.address().wrapping_add_signed(offset);
        assert_eq!(self.pair.active.write(1, &self.data(length), to, token, NONE), STATUS_SUCCESS);
        self.pair.active.ended()
    }

    fn read(&self, offset: i64, length: u32, token: u32) -> NTSTATUS {
        let from = self.far.address().wrapping_add_signed(offset);
        assert_eq!(self.pair.active.read(2, &self.data(length), from, token, NONE), STATUS_SUCCESS);
        self.pair.active.initiators.one().Status
    }

    fn close_window(&self) {
        close(self.mw, close_slot!(self.mw, NdkCloseMw));
    }

    fn close(self) {
        self.close_window();
        self.close_rest();
    }

    fn close_rest(self) {
        self.mr.close();
        self.source.close();
        self.pair.close();
    }
}

fn the_peer_reaches_what_the_window_opens() {
    for answers in MODES {
        let world = World::with_answers(answers);
        let bed = Bed::new(&world);
        // Over a page boundary.
        let token = bed.bind(4000, 200, BOTH);
        assert_eq!(bed.write(4000, 200, token), STATUS_SUCCESS);
        assert_eq!(bed.far.bytes(3999, 202)[1..201], [0x0F; 200]);
        assert_eq!((bed.far.bytes(3999, 1), bed.far.bytes(4200, 1)), (std::vec![0xF0], std::vec![0xF0]));
        bed.far.region.write(4100, &[0x33; 8]).unwrap();
        assert_eq!(bed.read(4100, 8, token), STATUS_SUCCESS);
        assert_eq!(bed.near.bytes(0, 9), [0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x0F]);
        // Again elsewhere, under another name.
        assert_eq!(bed.invalidate(), STATUS_SUCCESS);
        let second = bed.bind(0, 16, BOTH);
        assert_ne!(second, token);
        assert_eq!(bed.write(0, 16, second), STATUS_SUCCESS);
        bed.close();
        world.finish();
    }
}

/// One thing that the peer must not do; nothing may be touched, and the connection is over.
fn violates(flags: NDK_OP_FLAG, deed: impl Fn(&Bed, u32) -> NTSTATUS) {
    let world = World::plain();
    let bed = Bed::new(&world);
    let token = bed.bind(64, 64, flags);
    assert_eq!(deed(&bed, token), STATUS_REMOTE_RESOURCES);
    assert_eq!(bed.far.bytes(0, 4096), [0xF0; 4096], "the peer's memory was touched");
    assert_eq!(bed.near.bytes(0, 4096), [0x0F; 4096], "local memory was touched");
    assert_eq!(bed.pair.active.send(90, &[], NONE), STATUS_CONNECTION_INVALID);
    bed.close();
    world.finish();
}

fn beside_the_window_nothing_is_open() {
    violates(BOTH, |bed, token| bed.write(63, 1, token));
    violates(BOTH, |bed, token| bed.write(64, 65, token));
    violates(BOTH, |bed, token| bed.write(128, 1, token));
    violates(BOTH, |bed, token| bed.read(128, 1, token));
    violates(NDK_OP_FLAG::ALLOW_REMOTE_READ, |bed, token| bed.write(64, 1, token));
    violates(NDK_OP_FLAG::ALLOW_REMOTE_WRITE, |bed, token| bed.read(64, 1, token));
    violates(NONE, |bed, token| bed.read(64, 1, token));
    // Neither the region's own names nor a local name open it.
    violates(BOTH, |bed, _| bed.write(64, 1, bed.mr.remote()));
    violates(BOTH, |bed, token| bed.write(64, 1, token & !1));
}

fn a_window_that_is_shut_stays_shut() {
    violates(BOTH, |bed, token| {
        assert_eq!(bed.invalidate(), STATUS_SUCCESS);
        bed.write(64, 1, token)
    });
    violates(BOTH, |bed, token| {
        let sink = [sge(bed.near.address(), 0, bed.source.local())];
        assert_eq!(bed.pair.passive.receive(5, &sink), STATUS_SUCCESS);
        assert_eq!(bed.pair.active.send_and_invalidate(6, &[], token), STATUS_SUCCESS);
        assert_eq!(bed.pair.active.initiators.one().Status, STATUS_SUCCESS);
        let told = bed.pair.passive.receives.one();
        assert_eq!(told.Type, NdkOperationTypeReceiveAndInvalidate);
        assert_eq!(told.TypeSpecificCompletionOutput as u32, token);
        bed.read(64, 1, token)
    });
    // The consumer owes that it has shut its windows before; the peer stays out all the same.
    violates(BOTH, |bed, token| {
        assert_eq!(bed.mr.deregister(), STATUS_SUCCESS);
        bed.write(64, 1, token)
    });
    violates(BOTH, |bed, token| {
        assert_eq!(bed.mr.deregister(), STATUS_SUCCESS);
        assert_eq!(bed.mr.register(&bed.far, NDK_MR_FLAG::all()), STATUS_SUCCESS);
        bed.write(64, 1, token)
    });
}

fn a_closed_window_is_shut() {
    for answers in MODES {
        let world = World::with_answers(answers);
        let bed = Bed::new(&world);
        let token = bed.bind(0, 64, BOTH);
        bed.close_window();
        assert_eq!(bed.write(0, 1, token), STATUS_REMOTE_RESOURCES);
        bed.close_rest();
        world.finish();
    }
}

fn what_cannot_be_bound() {
    let world = World::plain();
    let bed = Bed::with(&world, NDK_MR_FLAG::ALLOW_REMOTE_READ);
    let refused = |mr: *mut NDK_MR, offset, length, flags| bed.post_bind(mr, offset, length, flags);
    let mr = bed.mr.mr;
    for (offset, length) in [(-1, 2), (0, 0), (0, 3 * 4096 + 1), (3 * 4096, 1), (0, usize::MAX)] {
        let status = refused(mr, offset, length, NDK_OP_FLAG::ALLOW_REMOTE_READ);
        assert_eq!(status, STATUS_INVALID_PARAMETER, "{length} bytes at {offset}");
    }
    assert_eq!(refused(mr, 0, 1, NDK_OP_FLAG::INLINE), STATUS_INVALID_PARAMETER);
    assert_eq!(refused(mr, 0, 1, BOTH), STATUS_ACCESS_VIOLATION, "the region may not be written");
    let bare = TestMr::bare(bed.pair.pd, false);
    let fast = TestMr::fast(bed.pair.pd, 1, true);
    let other = world.pd();
    let foreign = TestMr::registered(other, &bed.far, NDK_MR_FLAG::all());
    for mr in [&bare, &fast, &foreign] {
        assert_eq!(refused(mr.mr, 0, 1, NDK_OP_FLAG::ALLOW_REMOTE_READ), STATUS_INVALID_PARAMETER);
    }
    // Nothing of that has an entry; the connection is there.
    assert_eq!(bed.pair.passive.initiators.drain().len(), 0);
    let token = bed.bind(0, 4096, NDK_OP_FLAG::ALLOW_REMOTE_READ);
    assert_eq!(bed.read(0, 16, token), STATUS_SUCCESS);
    // A window that is bound, and one that is not.
    assert_eq!(refused(mr, 0, 1, NDK_OP_FLAG::ALLOW_REMOTE_READ), STATUS_SUCCESS);
    assert_eq!(bed.pair.passive.initiators.one().Status, STATUS_INVALID_DEVICE_REQUEST);
    assert_eq!(bed.pair.passive.send(1, &[], NONE), STATUS_CONNECTION_INVALID);
    for mr in [bare, fast, foreign] {
        mr.close();
    }
    close(other, close_slot!(other, NdkClosePd));
    bed.close();
    world.finish();
}

fn a_window_that_is_not_bound_cannot_be_invalidated() {
    let world = World::plain();
    let bed = Bed::new(&world);
    assert_eq!(bed.invalidate(), STATUS_ACCESS_VIOLATION);
    bed.close();
    // Nor can an ordinary region.
    let bed = Bed::new(&world);
    assert_eq!(bed.pair.passive.invalidate(1, &bed.mr, NONE), STATUS_INVALID_PARAMETER);
    // No peer invalidates what is not bound.
    assert_eq!(bed.pair.passive.receive(5, &[]), STATUS_SUCCESS);
    assert_eq!(bed.pair.active.send_and_invalidate(6, &[], bed.token()), STATUS_SUCCESS);
    assert_eq!(bed.pair.active.ended(), STATUS_REMOTE_RESOURCES);
    bed.close();
    world.finish();
}

/// A bind makes the region an antecedent of the window, for as long as the window is there.
fn a_region_waits_for_its_windows() {
    for answers in MODES {
        let world = World::with_answers(answers);
        let bed = Bed::new(&world);
        let token = bed.bind(0, 64, BOTH);
        let closing = begin_close(bed.mr.mr, close_slot!(bed.mr.mr, NdkCloseMr)).unwrap();
        assert_eq!(bed.write(0, 64, token), STATUS_SUCCESS, "the window is as before");
        ksim::quiesce();
        assert!(!closing.is_done());
        bed.close_window();
        closing.wait();
        assert_eq!(bed.write(0, 1, token), STATUS_REMOTE_RESOURCES);
        bed.source.close();
        bed.pair.close();
        world.finish();
    }
}

over_both_fabrics!(
    the_peer_reaches_what_the_window_opens,
    beside_the_window_nothing_is_open,
    a_window_that_is_shut_stays_shut,
    a_closed_window_is_shut,
    what_cannot_be_bound,
    a_window_that_is_not_bound_cannot_be_invalidated,
    a_region_waits_for_its_windows,
);
