//! Completion queues as objects: limits, resizing, and notifications that lose nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use abi::ndk::*;
use abi::status::*;

use super::harness::*;
use super::pair::*;
use crate::AnswerMode;

const NONE: NDK_OP_FLAG = NDK_OP_FLAG::empty();

fn draining_and_then_arming_inside_the_notification_misses_nothing() {
    const MESSAGES: usize = 5000;
    let world = World::plain();
    let sizes = Sizes { receives: 64, ..Sizes::default() };
    let pair = Pair::with_sizes(&world, sizes);
    let seen = Arc::new(AtomicUsize::new(0));
    let done = Signal::new();
    let (count, report) = (seen.clone(), done.clone());
    let (cq, qp) = (pair.passive.receives.cq.expose_provenance(), pair.passive.qp.expose_provenance());
    pair.passive.receives.set_hook(move || {
        let cq: *mut NDK_CQ = core::ptr::with_exposed_provenance_mut(cq);
        let qp: *mut NDK_QP = core::ptr::with_exposed_provenance_mut(qp);
        for entry in drain(cq) {
            if entry.Status == STATUS_CANCELLED {
                // The test is over.
                return;
            }
            assert_eq!(entry.Status, STATUS_SUCCESS);
            if count.fetch_add(1, Ordering::SeqCst) + 1 == MESSAGES {
                report.send(());
            }
            ndk!(qp, NdkReceive, word(0), core::ptr::null(), 0);
        }
        // Not looked at again: an entry that came meanwhile must call back.
        ndk!(cq, NdkArmCq, NDK_CQ_NOTIFY_ANY);
    });
    for _ in 0..64 {
        assert_eq!(pair.passive.receive(0, &[]), STATUS_SUCCESS);
    }
    pair.passive.receives.arm(NDK_CQ_NOTIFY_ANY);
    for sent in 0..MESSAGES {
        // Never more under way than there are receives.
        while sent - seen.load(Ordering::SeqCst) >= 32 {
            std::thread::yield_now();
        }
        assert_eq!(pair.active.send(sent, &[], NONE), STATUS_SUCCESS);
        assert_eq!(pair.active.initiators.one().Status, STATUS_SUCCESS);
    }
    done.take();
    ksim::quiesce();
    assert_eq!(seen.load(Ordering::SeqCst), MESSAGES);
    pair.close();
    world.finish();
}

fn a_solicited_send_wakes_a_queue_armed_for_it() {
    let world = World::plain();
    let pair = Pair::new(&world);
    for context in 0..3 {
        assert_eq!(pair.passive.receive(context, &[]), STATUS_SUCCESS);
    }
    pair.passive.receives.arm(NDK_CQ_NOTIFY_SOLICITED);
    assert_eq!(pair.active.send(1, &[], NONE), STATUS_SUCCESS);
    ksim::quiesce();
    assert_eq!(pair.passive.receives.notified.count(), 0);
    assert_eq!(pair.active.send(2, &[], NDK_OP_FLAG::SEND_AND_SOLICIT_EVENT), STATUS_SUCCESS);
    assert_eq!(pair.passive.receives.notified.take(), STATUS_SUCCESS);
    // Failed entries too.
    pair.passive.receives.arm(NDK_CQ_NOTIFY_SOLICITED);
    ksim::quiesce();
    assert_eq!(pair.passive.receives.notified.count(), 0);
    pair.active.flush();
    assert_eq!(pair.passive.receives.notified.take(), STATUS_SUCCESS);
    pair.close();
    world.finish();
}

fn depth_limits_and_resizing() {
    for answers in [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early] {
        let world = World::with_answers(answers);
        assert_eq!(TestCq::try_new(&world, 0).err(), Some(STATUS_INVALID_PARAMETER));
        assert_eq!(TestCq::try_new(&world, (1 << 18) + 1).err(), Some(STATUS_INVALID_PARAMETER));
        let pair = Pair::new(&world);
        let cq = pair.passive.receives.cq;
        let resize = |depth| request(|rc, context| ndk!(cq, NdkResizeCq, depth, rc, context));
        for context in 0..3 {
            assert_eq!(pair.passive.receive(context, &[]), STATUS_SUCCESS);
            assert_eq!(pair.active.send(context, &[], NONE), STATUS_SUCCESS);
        }
        assert_eq!(resize(2), STATUS_INVALID_PARAMETER, "below what is in it");
        assert_eq!(resize(0), STATUS_INVALID_PARAMETER);
        assert_eq!(resize((1 << 18) + 1), STATUS_INVALID_PARAMETER);
        assert_eq!(resize(3), STATUS_SUCCESS);
        assert_eq!(resize(100), STATUS_SUCCESS);
        let entries = pair.passive.receives.drain();
        assert_eq!(summary(&entries), [(0, STATUS_SUCCESS), (1, STATUS_SUCCESS), (2, STATUS_SUCCESS)]);
        pair.close();
        world.finish();
    }
}

/// Every number that the page of NdkControlCqInterruptModeration names.
fn notifications_are_held_back() {
    const ENDLESS: u32 = u32::MAX;
    let world = World::plain();
    let pair = Pair::new(&world);
    let queue = &pair.passive.receives;
    let moderate = |interval, count| ndk!(queue.cq, NdkControlCqInterruptModeration, interval, count);
    let arrive = |count: usize| {
        for context in 0..count {
            assert_eq!(pair.passive.receive(context, &[]), STATUS_SUCCESS);
            assert_eq!(pair.active.send(context, &[], NONE), STATUS_SUCCESS);
            assert_eq!(pair.active.initiators.one().Status, STATUS_SUCCESS);
        }
        ksim::quiesce();
    };
    // The depth is 9.
    for (interval, count) in [(ENDLESS, ENDLESS), (ENDLESS, 10)] {
        assert_eq!(moderate(interval, count), STATUS_INVALID_PARAMETER_MIX);
    }
    // By count alone: three entries, however long that takes.
    assert_eq!(moderate(ENDLESS, 3), STATUS_SUCCESS);
    queue.arm(NDK_CQ_NOTIFY_ANY);
    arrive(2);
    assert_eq!(queue.notified.count(), 0);
    arrive(1);
    assert_eq!(queue.notified.take(), STATUS_SUCCESS);
    assert_eq!(queue.drain().len(), 3);
    // The latest settings let go of what is held.
    for off in [(0, 5), (5, 0), (5, 1), (ENDLESS, 1)] {
        assert_eq!(moderate(ENDLESS, 3), STATUS_SUCCESS);
        queue.arm(NDK_CQ_NOTIFY_ANY);
        arrive(1);
        assert_eq!(queue.notified.count(), 0);
        assert_eq!(moderate(off.0, off.1), STATUS_SUCCESS);
        assert_eq!(queue.notified.take(), STATUS_SUCCESS);
        assert_eq!(queue.drain().len(), 1);
    }
    // By time: one entry is told in the end.
    for count in [3, 100, ENDLESS] {
        assert_eq!(moderate(50, count), STATUS_SUCCESS);
        queue.arm(NDK_CQ_NOTIFY_ANY);
        arrive(1);
        assert_eq!(queue.notified.take(), STATUS_SUCCESS);
        assert_eq!(queue.drain().len(), 1);
    }
    // The queue is closed while a notification is held back for long.
    assert_eq!(moderate(ENDLESS - 1, 8), STATUS_SUCCESS);
    queue.arm(NDK_CQ_NOTIFY_ANY);
    arrive(1);
    pair.close();
    world.finish();
}

fn what_the_limits_exclude_cannot_be_created() {
    for answers in [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early] {
        let world = World::with_answers(answers);
        let pair = Pair::new(&world);
        let pd = pair.pd;
        let null = core::ptr::null_mut();
        let (receives, initiators) = (pair.active.receives.cq, pair.active.initiators.cq);
        let qp = |depths: [u32; 5]| {
            let [receive, initiator, receive_sge, initiator_sge, inline] = depths;
            create(|cc, context, out| {
                ndk!(
                    pd,
                    NdkCreateQp,
                    receives,
                    initiators,
                    null,
                    receive,
                    initiator,
                    receive_sge,
                    initiator_sge,
                    inline,
                    cc,
                    context,
                    out
                )
            })
        };
        for excess in 0..5 {
            let mut depths = [4; 5];
            depths[excess] = u32::MAX;
            assert_eq!(qp(depths).err(), Some(STATUS_INVALID_PARAMETER));
        }
        let empty = qp([0; 5]).unwrap();
        assert_eq!(ndk!(empty, NdkReceive, null, core::ptr::null(), 0), STATUS_NO_MORE_ENTRIES);
        close(empty, close_slot!(empty, NdkCloseQp));
        pair.close();
        world.finish();
    }
}

over_both_fabrics!(
    draining_and_then_arming_inside_the_notification_misses_nothing,
    a_solicited_send_wakes_a_queue_armed_for_it,
    depth_limits_and_resizing,
    notifications_are_held_back,
    what_the_limits_exclude_cannot_be_created,
);
