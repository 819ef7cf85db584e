//! Shared receive queues.

use core::ffi::c_void;
use core::ptr;
use std::sync::Arc;
use std::vec::Vec;

use abi::NTSTATUS;
use abi::ndk::*;
use abi::status::*;

use super::harness::*;
use super::pair::*;
use super::registration::*;
use crate::AnswerMode;

const MODES: [AnswerMode; 3] = [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early];

/// A shared receive queue that counts its notifications.
pub(super) struct TestSrq {
    pub(super) srq: *mut NDK_SRQ,
    notified: Arc<Signal<NTSTATUS>>,
    context: *const Signal<NTSTATUS>,
}

unsafe extern "system" fn on_limit(context: *mut c_void, status: NTSTATUS) {
    assert_eq!(ksim::processor::locks_held(), 0, "a callback with a lock held");
    // SAFETY: the context lives until the queue is closed.
    unsafe { &*context.cast::<Signal<NTSTATUS>>() }.send(status);
}

impl TestSrq {
    pub(super) fn try_new(
        pd: *mut NDK_PD,
        depth: u32,
        elements: u32,
        threshold: u32,
    ) -> Result<Self, NTSTATUS> {
        let notified = Signal::new();
        let context = Arc::into_raw(notified.clone());
        let made = create(|cc, request_context, out| {
            let (callback, none): (Option<NDK_FN_SRQ_NOTIFICATION_CALLBACK>, _) =
                (Some(on_limit), ptr::null());
            let context = context.cast_mut().cast();
            ndk!(
                pd,
                NdkCreateSrq,
                depth,
                elements,
                threshold,
                callback,
                context,
                none,
                cc,
                request_context,
                out
            )
        });
        if made.is_err() {
            // SAFETY: made above, and nobody got it.
            drop(unsafe { Arc::from_raw(context) });
        }
        Ok(Self { srq: made?, notified, context })
    }

    fn new(pd: *mut NDK_PD, depth: u32, threshold: u32) -> Self {
        Self::try_new(pd, depth, 2, threshold).unwrap()
    }

    fn receive(&self, context: usize, sgl: &[NDK_SGE]) -> NTSTATUS {
        post(|| ndk!(self.srq, NdkSrqReceive, word(context), sgl.as_ptr(), sgl.len() as u32))
    }

    pub(super) fn modify(&self, depth: u32, threshold: u32) -> NTSTATUS {
        request(|rc, context| ndk!(self.srq, NdkModifySrq, depth, threshold, rc, context))
    }

    pub(super) fn close(self) {
        close(self.srq, close_slot!(self.srq, NdkCloseSrq));
        // SAFETY: the queue is closed.
        drop(unsafe { Arc::from_raw(self.context) });
    }
}

/// A queue pair that takes its receives from `srq`.
fn sharing(world: &World, pd: *mut NDK_PD, srq: &TestSrq) -> End {
    let (receives, initiators) = (TestCq::new(world, 32), TestCq::new(world, 32));
    let qp = create_qp(pd, srq.srq, &receives, &initiators);
    End::of(qp.unwrap(), receives, initiators, Sizes::default())
}

pub(super) fn create_qp(
    pd: *mut NDK_PD,
    srq: *mut NDK_SRQ,
    receives: &TestCq,
    initiators: &TestCq,
) -> Result<*mut NDK_QP, NTSTATUS> {
    let (receives, initiators) = (receives.cq, initiators.cq);
    create(|cc, context, out| {
        ndk!(pd, NdkCreateQpWithSrq, receives, initiators, srq, word(QP_CONTEXT), 8, 4, 64, cc, context, out)
    })
}

/// A shared queue, and two connections whose passive ends take from it.
struct Bed {
    pd: *mut NDK_PD,
    srq: TestSrq,
    pairs: [Pair; 2],
    memory: Memory,
    mr: TestMr,
}

impl Bed {
    fn new(world: &World, depth: u32, threshold: u32) -> Self {
        let pd = world.pd();
        let srq = TestSrq::new(pd, depth, threshold);
        let pairs = [(); 2].map(|()| {
            let (active, passive) = (End::new(world, pd, Sizes::default()), sharing(world, pd, &srq));
            Pair::connect(world, pd, active, passive)
        });
        let memory = Memory::with(&[0xF0; 4096]);
        let mr = TestMr::registered(pd, &memory, NDK_MR_FLAG::all());
        Self { pd, srq, pairs, memory, mr }
    }

    /// 16 bytes for each context.
    fn post(&self, context: usize) -> NTSTATUS {
        let sgl = [sge(self.memory.address() + 16 * context as u64, 16, self.mr.local())];
        self.srq.receive(context, &sgl)
    }

    fn send(&self, pair: usize, octet: u8, length: usize) -> NTSTATUS {
        let data = std::vec![octet; length];
        let sgl = [sge(data.as_ptr().expose_provenance() as u64, length as u32, 0)];
        assert_eq!(self.pairs[pair].active.send(9, &sgl, NDK_OP_FLAG::INLINE), STATUS_SUCCESS);
        self.pairs[pair].active.ended()
    }

    /// Contexts and statuses of what has arrived.
    fn arrived(&self, pair: usize) -> Vec<(usize, NTSTATUS)> {
        summary(&self.pairs[pair].passive.receives.drain())
    }

    fn close(self) {
        for pair in self.pairs {
            pair.active.close();
            pair.passive.close();
        }
        self.srq.close();
        self.mr.close();
        close(self.pd, close_slot!(self.pd, NdkClosePd));
    }
}

fn receives_go_to_whoever_needs_them_in_posting_order() {
    for answers in MODES {
        let world = World::with_answers(answers);
        let bed = Bed::new(&world, 4, 0);
        for context in 0..4 {
            assert_eq!(bed.post(context), STATUS_SUCCESS);
        }
        assert_eq!(bed.post(4), STATUS_NO_MORE_ENTRIES);
        assert_eq!(bed.pairs[0].passive.receive(7, &[]), STATUS_INVALID_DEVICE_REQUEST);
        for (pair, octet) in [(1, 1), (0, 2), (0, 3), (1, 4)] {
            assert_eq!(bed.send(pair, octet, 16), STATUS_SUCCESS);
        }
        // A slot is free when its entry has been taken, not before.
        assert_eq!(bed.post(0), STATUS_NO_MORE_ENTRIES);
        assert_eq!(bed.arrived(0), [(1, STATUS_SUCCESS), (2, STATUS_SUCCESS)]);
        assert_eq!((bed.post(1), bed.post(2), bed.post(3)), (0, 0, STATUS_NO_MORE_ENTRIES));
        assert_eq!(bed.arrived(1), [(0, STATUS_SUCCESS), (3, STATUS_SUCCESS)]);
        let expected: Vec<u8> = [1, 2, 3, 4].into_iter().flat_map(|octet| [octet; 16]).collect();
        assert_eq!(bed.memory.bytes(0, 64), expected);
        bed.close();
        world.finish();
    }
}

fn one_connection_ends_and_the_receives_stay() {
    for answers in MODES {
        let world = World::with_answers(answers);
        let bed = Bed::new(&world, 8, 0);
        // Nothing is posted: this connection is over, the other is not.
        assert_eq!(bed.send(0, 1, 16), STATUS_REMOTE_RESOURCES);
        assert_eq!(bed.arrived(0), []);
        for context in 0..3 {
            assert_eq!(bed.post(context), STATUS_SUCCESS);
        }
        bed.pairs[0].passive.flush();
        assert_eq!(bed.arrived(0), [], "a flush has no business with the receives of all");
        assert_eq!(bed.send(1, 2, 16), STATUS_SUCCESS);
        assert_eq!(bed.arrived(1), [(0, STATUS_SUCCESS)]);
        // A receive that is too small is the one that fails.
        assert_eq!(bed.send(1, 3, 17), STATUS_REMOTE_RESOURCES);
        assert_eq!(bed.arrived(1), [(1, STATUS_BUFFER_OVERFLOW)]);
        assert_eq!(bed.memory.bytes(16, 32), [0xF0; 32], "nothing was touched");
        bed.close();
        world.finish();
    }
}

fn the_consumer_is_told_once_when_receives_run_short() {
    for answers in MODES {
        let world = World::with_answers(answers);
        let bed = Bed::new(&world, 8, 2);
        let told = || {
            ksim::quiesce();
            let told = bed.srq.notified.count();
            (0..told).for_each(|_| assert_eq!(bed.srq.notified.take(), STATUS_SUCCESS));
            told
        };
        assert_eq!(told(), 0, "an empty queue has not fallen");
        for context in 0..4 {
            assert_eq!(bed.post(context), STATUS_SUCCESS);
        }
        for (octet, expected) in [(1, 0), (2, 0), (3, 1), (4, 0)] {
            assert_eq!(bed.send(usize::from(octet % 2), octet, 1), STATUS_SUCCESS);
            assert_eq!(told(), expected, "after {octet} sends");
        }
        assert_eq!(bed.arrived(0).len() + bed.arrived(1).len(), 4);
        // Armed with too few already there, it is due at once; 0 arms nothing.
        assert_eq!((bed.srq.modify(0, 0), told()), (STATUS_SUCCESS, 0));
        assert_eq!((bed.srq.modify(0, 3), told()), (STATUS_SUCCESS, 1));
        for context in 0..4 {
            assert_eq!(bed.post(context), STATUS_SUCCESS);
        }
        assert_eq!((bed.srq.modify(0, 3), told()), (STATUS_SUCCESS, 0));
        assert_eq!(bed.send(0, 5, 1), STATUS_SUCCESS);
        assert_eq!(told(), 0);
        assert_eq!(bed.send(1, 6, 1), STATUS_SUCCESS);
        assert_eq!(told(), 1);
        // Armed, and closed.
        assert_eq!(bed.srq.modify(0, 1), STATUS_SUCCESS);
        bed.close();
        world.finish();
    }
}

fn depth_and_threshold_have_limits() {
    for answers in MODES {
        let world = World::with_answers(answers);
        let pd = world.pd();
        for (depth, elements, threshold) in [(0, 1, 0), (16385, 1, 0), (4, 33, 0), (4, 1, 5)] {
            let made = TestSrq::try_new(pd, depth, elements, threshold);
            assert_eq!(made.err(), Some(STATUS_INVALID_PARAMETER), "{depth} {elements} {threshold}");
        }
        let srq = TestSrq::new(pd, 4, 2);
        for context in 0..3 {
            assert_eq!(srq.receive(context, &[]), STATUS_SUCCESS);
        }
        for (depth, threshold) in [(16385, 0), (2, 0), (0, 5), (3, 4)] {
            assert_eq!(srq.modify(depth, threshold), STATUS_INVALID_PARAMETER, "{depth} {threshold}");
        }
        assert_eq!(srq.modify(3, 1), STATUS_SUCCESS);
        assert_eq!(srq.receive(3, &[]), STATUS_NO_MORE_ENTRIES);
        assert_eq!(srq.modify(5, 0), STATUS_SUCCESS);
        assert_eq!((srq.receive(3, &[]), srq.receive(4, &[])), (STATUS_SUCCESS, STATUS_SUCCESS));
        assert_eq!(srq.receive(5, &[]), STATUS_NO_MORE_ENTRIES);
        assert_eq!(srq.modify(6, 0), STATUS_SUCCESS);
        assert_eq!(srq.receive(5, &[sge(0, 0, 0); 3]), STATUS_DATA_OVERRUN);
        // A queue pair of another protection domain.
        let other = world.pd();
        let (receives, initiators) = (TestCq::new(&world, 4), TestCq::new(&world, 4));
        let foreign = create_qp(other, srq.srq, &receives, &initiators);
        assert_eq!(foreign.err(), Some(STATUS_INVALID_PARAMETER));
        receives.close();
        initiators.close();
        close(other, close_slot!(other, NdkClosePd));
        srq.close();
        close(pd, close_slot!(pd, NdkClosePd));
        world.finish();
    }
}

/// The queue pairs are its successors: its close pends, and they still take from it.
fn it_is_closed_before_its_queue_pairs() {
    for answers in MODES {
        let world = World::with_answers(answers);
        let bed = Bed::new(&world, 4, 4);
        for context in 0..4 {
            assert_eq!(bed.post(context), STATUS_SUCCESS);
        }
        let closing = begin_close(bed.srq.srq, close_slot!(bed.srq.srq, NdkCloseSrq)).unwrap();
        assert_eq!(bed.send(0, 1, 16), STATUS_SUCCESS);
        assert_eq!(bed.arrived(0), [(0, STATUS_SUCCESS)]);
        ksim::quiesce();
        assert!(!closing.is_done());
        let Bed { pd, srq, pairs, mr, .. } = bed;
        for pair in pairs {
            pair.active.close();
            pair.passive.close();
        }
        closing.wait();
        assert_eq!(srq.notified.count(), 0, "no notification after the close was issued");
        // SAFETY: the queue is closed.
        drop(unsafe { Arc::from_raw(srq.context) });
        mr.close();
        close(pd, close_slot!(pd, NdkClosePd));
        world.finish();
    }
}

over_both_fabrics!(
    receives_go_to_whoever_needs_them_in_posting_order,
    one_connection_ends_and_the_receives_stay,
    the_consumer_is_told_once_when_receives_run_short,
    depth_and_threshold_have_limits,
    it_is_closed_before_its_queue_pairs,
);
