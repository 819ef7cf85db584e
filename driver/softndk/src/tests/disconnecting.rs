//! The ways a connection ends: disconnect from both sides, flush, and closes.

use abi::ndk::*;
use abi::status::*;

use super::harness::*;
use super::pair::*;
use crate::AnswerMode;

const NONE: NDK_OP_FLAG = NDK_OP_FLAG::empty();
/// The reasons given with the longer event.
const DISCONNECTED: u32 = 1;
const BROKEN: u32 = 2;

/// The end that disconnects first and the other one.
fn ends(pair: &Pair, active_first: bool) -> (&End, &End) {
    if active_first { (&pair.active, &pair.passive) } else { (&pair.passive, &pair.active) }
}

/// A disconnect whose outcome is known at once, by whichever way the adapter answers.
fn disconnect(end: &End) -> i32 {
    match end.begin_disconnect() {
        Ok(pending) => pending.wait(),
        Err(status) => status,
    }
}

fn both_sides_disconnect_and_only_then_are_receives_cancelled() {
    for answers in [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early] {
        for active_first in [true, false] {
            let world = World::with_answers(answers);
            let pair = Pair::new(&world);
            let (first, second) = ends(&pair, active_first);
            assert_eq!(first.receive(1, &[]), STATUS_SUCCESS);
            assert_eq!(second.receive(2, &[]), STATUS_SUCCESS);
            assert_eq!(second.receive(3, &[]), STATUS_SUCCESS);
            assert_eq!(first.send(4, &[], NDK_OP_FLAG::DEFER), STATUS_SUCCESS);

            let disconnecting = first.begin_disconnect().ok().unwrap();
            let reason = if active_first { DISCONNECTED } else { 0 };
            assert_eq!(second.events.seen.take(), reason);
            ksim::quiesce();
            assert!(!disconnecting.is_done(), "it needs the other side too");
            assert!(first.receives.drain().is_empty() && second.receives.drain().is_empty());
            assert_eq!(summary(&first.initiators.drain()), [(4, STATUS_CANCELLED)]);
            for end in [first, second] {
                assert_eq!(end.send(5, &[], NONE), STATUS_CONNECTION_INVALID);
            }
            assert_eq!(disconnect(first), STATUS_INVALID_DEVICE_STATE, "twice");
            assert_eq!((disconnect(second), disconnecting.wait()), (STATUS_SUCCESS, STATUS_SUCCESS));
            assert_eq!(summary(&first.receives.drain()), [(1, STATUS_CANCELLED)]);
            let cancelled = second.receives.drain();
            assert_eq!(summary(&cancelled), [(2, STATUS_CANCELLED), (3, STATUS_CANCELLED)]);
            ksim::quiesce();
            assert_eq!((first.events.seen.count(), second.events.seen.count()), (0, 0));
            let counters = world.soft().counters();
            assert_eq!((counters.active_connections, counters.connection_errors), (0, 0));
            pair.close();
            world.finish();
        }
    }
}

fn a_flush_cancels_everything_here_and_breaks_the_connection_there() {
    for active_flushes in [true, false] {
        let world = World::plain();
        let pair = Pair::new(&world);
        let (flushing, other) = ends(&pair, active_flushes);
        assert_eq!(flushing.receive(1, &[]), STATUS_SUCCESS);
        assert_eq!(flushing.receive(2, &[]), STATUS_SUCCESS);
        assert_eq!(other.receive(3, &[]), STATUS_SUCCESS);
        let silent = NDK_OP_FLAG::DEFER | NDK_OP_FLAG::SILENT_SUCCESS;
        assert_eq!(flushing.send(4, &[], silent), STATUS_SUCCESS);
        assert_eq!(flushing.send(5, &[], NDK_OP_FLAG::DEFER), STATUS_SUCCESS);
        flushing.flush();
        let cancelled = flushing.receives.drain();
        assert_eq!(summary(&cancelled), [(1, STATUS_CANCELLED), (2, STATUS_CANCELLED)]);
        let cancelled = flushing.initiators.drain();
        assert_eq!(summary(&cancelled), [(4, STATUS_CANCELLED), (5, STATUS_CANCELLED)], "silent or not");
        assert_eq!(summary(&other.receives.drain()), [(3, STATUS_CANCELLED)]);
        assert_eq!(other.events.seen.take(), if active_flushes { BROKEN } else { 0 });
        assert_eq!(flushing.send(6, &[], NONE), STATUS_CONNECTION_INVALID);
        assert_eq!(flushing.receive(7, &[]), STATUS_SUCCESS);
        assert_eq!(summary(&flushing.receives.drain()), [(7, STATUS_CANCELLED)]);
        flushing.flush();
        ksim::quiesce();
        assert_eq!(flushing.events.seen.count(), 0, "an event for what this side did");
        pair.close();
        world.finish();
    }
}

fn closing_a_connected_connector_is_an_abort() {
    for answers in [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early] {
        for disconnects in [true, false] {
            let world = World::with_answers(answers);
            let mut pair = Pair::new(&world);
            assert_eq!(pair.active.receive(1, &[]), STATUS_SUCCESS);
            assert_eq!(pair.passive.receive(2, &[]), STATUS_SUCCESS);
            let pending = disconnects.then(|| pair.active.begin_disconnect().ok().unwrap());
            if disconnects {
                assert_eq!(pair.passive.events.seen.take(), DISCONNECTED);
            }
            pair.passive.close_connector();
            assert_eq!(summary(&pair.active.receives.drain()), [(1, STATUS_CANCELLED)]);
            assert_eq!(summary(&pair.passive.receives.drain()), [(2, STATUS_CANCELLED)]);
            match pending {
                Some(pending) => {
                    assert_eq!(pending.wait(), STATUS_CONNECTION_ABORTED);
                    ksim::quiesce();
                    assert_eq!(pair.active.events.seen.count(), 0, "it has disconnected itself");
                }
                None => assert_eq!(pair.active.events.seen.take(), 0),
            }
            assert_eq!(pair.passive.events.seen.count(), 0);
            // Each end of a stream counts for itself, and one that disconnects does not.
            let errors = if fabric() == Fabric::Memory || disconnects { 1 } else { 2 };
            assert_eq!(world.soft().counters().connection_errors, errors);
            pair.close();
            world.finish();
        }
    }
}

fn closing_a_queue_pair_or_a_pending_disconnect_ends_the_requests() {
    let world = World::plain();
    let mut pair = Pair::new(&world);
    let disconnecting = pair.active.begin_disconnect().ok().unwrap();
    assert_eq!(pair.passive.events.seen.take(), DISCONNECTED);
    pair.active.close_connector();
    assert_eq!(disconnecting.wait(), STATUS_CANCELLED);
    pair.close();

    // The queue pair goes before its connector: it pends, and the connection is gone at once.
    let mut pair = Pair::new(&world);
    let closing = begin_close(pair.passive.qp, close_slot!(pair.passive.qp, NdkCloseQp)).unwrap();
    assert_eq!(pair.active.events.seen.take(), 0);
    ksim::quiesce();
    assert!(!closing.is_done());
    pair.passive.close_connector();
    closing.wait();
    let End { receives, initiators, .. } = pair.passive;
    receives.close();
    initiators.close();
    pair.active.close();
    close(pair.pd, close_slot!(pair.pd, NdkClosePd));
    world.finish();
}

fn an_overrun_completion_queue_takes_its_connection_along() {
    let world = World::plain();
    let pd = world.pd();
    let (receives, initiators) = (TestCq::new(&world, 1), TestCq::new(&world, 16));
    let sizes = Sizes::default();
    let pair =
        Pair::connect(&world, pd, End::new(&world, pd, sizes), End::over(pd, receives, initiators, sizes));
    for context in 1..4 {
        assert_eq!(pair.passive.receive(context, &[]), STATUS_SUCCESS);
    }
    pair.passive.receives.arm(NDK_CQ_NOTIFY_ERRORS);
    assert_eq!(pair.active.send(1, &[], NONE), STATUS_SUCCESS);
    assert_eq!(pair.active.send(2, &[], NONE), STATUS_SUCCESS);
    assert_eq!(pair.passive.receives.notified.take(), STATUS_BUFFER_OVERFLOW);
    let done = pair.active.initiators.drain();
    let refused = if fabric() == Fabric::Memory { STATUS_REMOTE_RESOURCES } else { STATUS_SUCCESS };
    assert_eq!(summary(&done), [(1, STATUS_SUCCESS), (2, refused)]);
    assert_eq!(pair.active.events.seen.take(), 0);
    assert_eq!(summary(&pair.passive.receives.drain()), [(1, STATUS_SUCCESS)]);
    assert_eq!(pair.passive.events.seen.take(), BROKEN);
    assert_eq!(pair.passive.send(9, &[], NONE), STATUS_CONNECTION_INVALID);
    assert_eq!(world.soft().counters().cq_errors, 1);
    pair.close();
    world.finish();
}

fn a_disconnect_that_nobody_answers_ends_in_time() {
    for answers in [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early] {
        let disconnect_timeout = kernel::time::milliseconds(20);
        let config = crate::Config { answers, disconnect_timeout, ..crate::Config::default() };
        let world = World::new(config);
        // More than one, so that the timer is set again.
        let pairs = [Pair::new(&world), Pair::new(&world), Pair::new(&world)];
        let pendings = pairs.each_ref().map(|pair| {
            assert_eq!(pair.passive.receive(1, &[]), STATUS_SUCCESS);
            pair.active.begin_disconnect().ok().unwrap()
        });
        for (pair, pending) in pairs.into_iter().zip(pendings) {
            assert_eq!(pending.wait(), STATUS_IO_TIMEOUT);
            assert_eq!(pair.passive.events.seen.take(), DISCONNECTED);
            match fabric() {
                Fabric::Memory => {
                    assert_eq!(pair.passive.receives.one().Status, STATUS_CANCELLED);
                    assert_eq!(disconnect(&pair.passive), STATUS_CONNECTION_ABORTED);
                }
                // Nothing is received behind the peer's FIN, so a reset is met when something is sent.
                Fabric::Iwarp => {
                    let ended = [STATUS_SUCCESS, STATUS_CONNECTION_ABORTED];
                    assert!(ended.contains(&disconnect(&pair.passive)));
                    assert_eq!(pair.passive.receives.one().Status, STATUS_CANCELLED);
                }
            }
            pair.close();
        }
        world.finish();
    }
}

fn an_adapter_can_be_closed_with_its_timer_set() {
    let world = World::plain();
    let mut pair = Pair::new(&world);
    let disconnecting = pair.active.begin_disconnect().ok().unwrap();
    pair.passive.close_connector();
    assert_eq!(disconnecting.wait(), STATUS_CONNECTION_ABORTED);
    pair.close();
    world.finish();
}

over_both_fabrics!(
    both_sides_disconnect_and_only_then_are_receives_cancelled,
    a_flush_cancels_everything_here_and_breaks_the_connection_there,
    closing_a_connected_connector_is_an_abort,
    closing_a_queue_pair_or_a_pending_disconnect_ends_the_requests,
    an_overrun_completion_queue_takes_its_connection_along,
    a_disconnect_that_nobody_answers_ends_in_time,
    an_adapter_can_be_closed_with_its_timer_set,
);
