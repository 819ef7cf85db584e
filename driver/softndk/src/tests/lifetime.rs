//! Closes: what they wait for, in which order they complete, and from where they may be issued.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::vec::Vec;

use abi::ndk::*;
use abi::status::*;

use super::harness::*;
use super::pair::*;
use super::registration::*;
use crate::AnswerMode;

fn antecedents_may_be_closed_first_and_complete_last() {
    for answers in [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early] {
        let world = World::with_answers(answers);
        let pair = Pair::new(&world);
        let Pair { pd, active, mut passive } = pair;
        let mr = TestMr::bare(pd, true);

        // From the root to the leaves.
        let pd_closing = begin_close(pd, close_slot!(pd, NdkClosePd)).unwrap();
        let cqs = [active.receives.cq, active.initiators.cq];
        let cqs_closing = cqs.map(|cq| begin_close(cq, close_slot!(cq, NdkCloseCq)).unwrap());
        // The queue pair still works.
        assert_eq!(passive.receive(1, &[]), STATUS_SUCCESS);
        assert_eq!(active.send(2, &[], NDK_OP_FLAG::empty()), STATUS_SUCCESS);
        assert_eq!(passive.receives.one().Status, STATUS_SUCCESS);
        let qp_closing = begin_close(active.qp, close_slot!(active.qp, NdkCloseQp)).unwrap();
        ksim::quiesce();
        assert!(!pd_closing.is_done() && !qp_closing.is_done());
        assert!(cqs_closing.iter().all(|closing| !closing.is_done()));

        // The connector lets its queue pair go, that its completion queues.
        close(active.connector, close_slot!(active.connector, NdkCloseConnector));
        qp_closing.wait();
        for closing in cqs_closing {
            closing.wait();
        }
        active.receives.forget();
        active.initiators.forget();
        ksim::quiesce();
        assert!(!pd_closing.is_done(), "the other queue pair and the region are left");
        mr.close();
        passive.close_connector();
        close(passive.qp, close_slot!(passive.qp, NdkCloseQp));
        pd_closing.wait();
        passive.receives.close();
        passive.initiators.close();
        world.finish();
    }
}

fn the_adapter_closes_when_the_last_object_has() {
    for answers in [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early] {
        let world = World::with_answers(answers);
        let second = world.second();
        let cq = TestCq::new(&second, 4);
        let pd = second.pd();
        let closed = Signal::new();
        let (soft, adapter) = (world.soft(), second.adapter.expose_provenance());
        std::thread::scope(|scope| {
            let report = closed.clone();
            scope.spawn(move || {
                // SAFETY: opened above, closed once.
                unsafe { soft.close_adapter(core::ptr::with_exposed_provenance_mut(adapter)) };
                report.send(());
            });
            close(pd, close_slot!(pd, NdkClosePd));
            ksim::quiesce();
            assert_eq!(closed.count(), 0, "closed with a completion queue open");
            cq.close();
            closed.take();
        });
        world.finish();
    }
}

/// A close completion that takes its time.
struct SlowCompletion {
    entered: Arc<Signal<()>>,
    leave: Arc<Signal<()>>,
    has_returned: AtomicBool,
}

unsafe extern "system" fn slow_completion(context: *mut core::ffi::c_void) {
    // SAFETY: the test keeps the context until the adapter is closed.
    let slow = unsafe { &*context.cast::<SlowCompletion>() };
    slow.entered.send(());
    slow.leave.take();
    slow.has_returned.store(true, Ordering::SeqCst);
}

fn the_adapter_waits_for_the_last_close_completion_to_return() {
    for answers in [AnswerMode::Later, AnswerMode::Early] {
        let world = World::with_answers(answers);
        let second = world.second();
        let pd = second.pd();
        let slow = SlowCompletion {
            entered: Signal::new(),
            leave: Signal::new(),
            has_returned: AtomicBool::new(false),
        };
        let (soft, adapter) = (world.soft(), second.adapter.expose_provenance());
        let (pd, slow) = (pd.expose_provenance(), &slow);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let pd: *mut NDK_PD = core::ptr::with_exposed_provenance_mut(pd);
                let context = (&raw const *slow).cast_mut().cast();
                assert_eq!(ndk_header!(pd, NdkClosePd, slow_completion, context), STATUS_PENDING);
            });
            slow.entered.take();
            scope.spawn(move || {
                // SAFETY: opened above, closed once.
                unsafe { soft.close_adapter(core::ptr::with_exposed_provenance_mut(adapter)) };
                assert!(slow.has_returned.load(Ordering::SeqCst), "closed inside a callback");
            });
            // A chance to go wrong.
            for _ in 0..1000 {
                std::thread::yield_now();
            }
            slow.leave.send(());
        });
        world.finish();
    }
}

fn a_completion_queue_may_be_closed_inside_its_own_notification() {
    for answers in [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early] {
        let world = World::with_answers(answers);
        let pair = Pair::new(&world);
        let Pair { pd, active, mut passive } = pair;
        let order = Signal::new();
        let cq = passive.receives.cq.expose_provenance();
        let closing: Arc<Signal<Pending>> = Signal::new();
        let (report, hand_over) = (order.clone(), closing.clone());
        passive.receives.set_hook(move || {
            let cq: *mut NDK_CQ = core::ptr::with_exposed_provenance_mut(cq);
            let pending = begin_close(cq, close_slot!(cq, NdkCloseCq));
            hand_over.send(pending.expect("the callback is still running"));
            report.send("callback ends");
        });
        passive.receives.arm(NDK_CQ_NOTIFY_ANY);
        assert_eq!(passive.receive(1, &[]), STATUS_SUCCESS);
        assert_eq!(active.send(2, &[], NDK_OP_FLAG::empty()), STATUS_SUCCESS);
        let pending = closing.take();
        assert_eq!(order.take(), "callback ends");
        // The queue pair keeps it open still.
        passive.close_connector();
        close(passive.qp, close_slot!(passive.qp, NdkCloseQp));
        pending.wait();
        passive.receives.forget();
        passive.initiators.close();
        active.close();
        close(pd, close_slot!(pd, NdkClosePd));
        world.finish();
    }
}

/// Whatever the fabric: no peer has a part in it.
#[test]
fn a_close_waits_for_the_notification_that_runs() {
    let world = World::plain();
    let pair = Pair::new(&world);
    let (entered, leave) = (Signal::new(), Signal::new());
    let (report, wait) = (entered.clone(), leave.clone());
    let cq = TestCq::new(&world, 4);
    let lonely = End::over(pair.pd, TestCq::new(&world, 4), cq, Sizes::default());
    lonely.receives.set_hook(move || {
        report.send(());
        wait.take();
    });
    lonely.receives.arm(NDK_CQ_NOTIFY_ANY);
    assert_eq!(lonely.receive(1, &[]), STATUS_SUCCESS);
    lonely.flush();
    entered.take();
    let End { qp, receives, initiators, .. } = lonely;
    // Nothing else holds it: only the callback.
    assert!(begin_close(qp, close_slot!(qp, NdkCloseQp)).is_none());
    let closing = begin_close(receives.cq, close_slot!(receives.cq, NdkCloseCq)).unwrap();
    assert!(!closing.is_done());
    leave.send(());
    closing.wait();
    receives.forget();
    initiators.close();
    pair.close();
    world.finish();
}

fn notifiers_are_used_again() {
    let world = World::plain();
    for _ in 0..50 {
        let cqs: Vec<_> = (0..3).map(|_| TestCq::new(&world, 2)).collect();
        for cq in cqs {
            cq.close();
        }
    }
    // Ten blocks each would be 1500: a queue leaves nothing but its notifier, of which there are three.
    let before = ksim::pool::outstanding(b"WrSo");
    let cqs: Vec<_> = (0..3).map(|_| TestCq::new(&world, 2)).collect();
    for cq in cqs {
        cq.close();
    }
    assert_eq!(ksim::pool::outstanding(b"WrSo"), before);
    world.finish();
}

fn the_layer_above_may_own_header_and_dispatch() {
    let world = World::plain();
    let pair = Pair::new(&world);
    let qp = pair.active.qp;
    // SAFETY: open; the reserved block belongs to the layer above.
    unsafe { (*qp).Header.NdkReserved.rf = [core::ptr::dangling_mut(); 4] };
    // SAFETY: as above.
    let original = unsafe { (*qp).Dispatch };
    // SAFETY: tables live for ever.
    let mut replaced = unsafe { *original };
    replaced.NdkSend = refuse;
    // SAFETY: open; the layer above may replace the table.
    unsafe { (*qp).Dispatch = &raw const replaced };
    assert_eq!(pair.active.send(1, &[], NDK_OP_FLAG::empty()), STATUS_NOT_SUPPORTED);
    pair.active.flush();
    // SAFETY: as above.
    let reserved = unsafe { (*qp).Header.NdkReserved.rf };
    assert_eq!(reserved, [core::ptr::dangling_mut(); 4]);
    // SAFETY: as above.
    unsafe { (*qp).Dispatch = original };
    pair.close();
    world.finish();
}

unsafe extern "system" fn refuse(
    _: *mut NDK_QP,
    _: *mut core::ffi::c_void,
    _: *const NDK_SGE,
    _: u32,
    _: u32,
) -> i32 {
    STATUS_NOT_SUPPORTED
}

over_both_fabrics!(
    antecedents_may_be_closed_first_and_complete_last,
    the_adapter_closes_when_the_last_object_has,
    the_adapter_waits_for_the_last_close_completion_to_return,
    a_completion_queue_may_be_closed_inside_its_own_notification,
    notifiers_are_used_again,
    the_layer_above_may_own_header_and_dispatch,
);
