//! Posting.

use abi::NTSTATUS;
use abi::ndk::*;
use abi::status::STATUS_PENDING;

use super::harness::*;
use crate::rule::Rule;

const DEFER: u32 = NDK_OP_FLAG_DEFER;
const INLINE: u32 = NDK_OP_FLAG_INLINE;
const SILENT: u32 = NDK_OP_FLAG_SILENT_SUCCESS;

fn write(pair: &Pair, offset: usize, length: u32, flags: u32) -> NTSTATUS {
    let element = pair.memory.element(offset, length);
    let target = pair.memory.region.as_ptr().addr() as u64;
    let token = call!(pair.memory.mr, NdkGetRemoteTokenFromMr());
    call!(pair.near_qp, NdkWrite(context(9), &raw const element, 1, target, token, flags))
}

/// A connection that keeps the rules is let through, and its contexts come back as they were given.
#[test]
fn work_that_keeps_the_rules() {
    let world = World::new();
    let pair = world.pair();
    for round in 0..20 {
        assert_eq!(receive(pair.far_qp, 100 + round, &[pair.memory.element(0, 8)]), 0);
        assert_eq!(write(&pair, PAGE + 64, 8, SILENT | DEFER), 0);
        assert_eq!(send(pair.near_qp, round, &[pair.memory.element(PAGE, 8)], 0), 0);
        let mut entries = reap(pair.cq);
        entries.sort_unstable();
        assert_eq!(entries, [(0, round), (0, 100 + round)]);
    }
    for connector in [pair.near, pair.far] {
        let disconnected = Bell::new();
        call!(connector, NdkDisconnect(requested, disconnected.context()));
    }
    world.finish();
}

#[test]
fn post_overlap() {
    breaks(Rule::PostOverlap, |world| {
        let pair = world.pair();
        let (qp, element) = (pair.near_qp, pair.memory.element(0, 4));
        inside!(qp, NDK_QP, NdkReceive(*mut std::ffi::c_void, *const NDK_SGE, u32) -> NTSTATUS = -1, move || {
            // The other queue is another matter.
            assert_eq!(send(qp, 1, &[], INLINE), 0);
            receive(qp, 2, &[element]);
        });
        receive(qp, 1, &[pair.memory.element(64, 4)]);
    });
}

#[test]
fn queue_depth() {
    breaks(Rule::QueueDepth, |world| {
        let pair = world.pair();
        for number in 0..4 {
            assert_eq!(receive(pair.far_qp, number, &[pair.memory.element(64 * number, 64)]), 0);
        }
        assert_ne!(receive(pair.far_qp, 4, &[pair.memory.element(512, 64)]), 0);
        world.caught(Rule::QueueDepth);
        // Silent requests take their place until an entry behind them is taken.
        for _ in 0..4 {
            assert_eq!(write(&pair, PAGE, 8, SILENT), 0);
        }
        assert_ne!(write(&pair, PAGE, 8, 0), 0);
    });
}

#[test]
fn source_changed() {
    breaks(Rule::SourceChanged, |world| {
        let pair = world.pair();
        assert_eq!(receive(pair.far_qp, 1, &[pair.memory.element(0, 8)]), 0);
        assert_eq!(write(&pair, PAGE + 3, 21, SILENT | DEFER), 0);
        assert_eq!(send(pair.near_qp, 2, &[pair.memory.element(PAGE + 256, 8)], 0), 0);
        pair.memory.region.write(PAGE + 3 + 20, &[77]).unwrap();
        assert_eq!(reap(pair.cq).len(), 2);
    });
}

#[test]
fn sink_shared() {
    breaks(Rule::SinkShared, |world| {
        let pair = world.pair();
        assert_eq!(receive(pair.far_qp, 1, &[pair.memory.element(0, 64)]), 0);
        // Beside it is right, on another queue pair it is as wrong.
        assert_eq!(receive(pair.far_qp, 2, &[pair.memory.element(64, 64)]), 0);
        assert!(world.checker.caught().is_empty());
        assert_ne!(receive(pair.near_qp, 3, &[pair.memory.element(63, 1)]), 0);
        assert_ne!(receive(pair.far_qp, 4, &[pair.memory.element(0, 64)]), 0);
    });
}

#[test]
fn defer_open() {
    breaks(Rule::DeferOpen, |world| {
        let pair = world.pair();
        assert_eq!(write(&pair, PAGE, 8, DEFER), 0);
        assert_ne!(call!(pair.near_qp, NdkCloseQp(told, Bell::new().context())), 0);
        world.caught(Rule::DeferOpen);
        assert_ne!(ask(|done, context| call!(pair.near, NdkDisconnect(done, context))), 0);
        assert_eq!(send(pair.near_qp, 1, &[], INLINE), 0);
    });
}

#[test]
fn inline_size() {
    breaks(Rule::InlineSize, |world| {
        let pair = world.pair();
        assert_eq!(receive(pair.far_qp, 1, &[pair.memory.element(0, 64)]), 0);
        assert_eq!(send(pair.near_qp, 1, &[pair.memory.element(PAGE, 16)], INLINE), 0);
        assert!(world.checker.caught().is_empty());
        assert_ne!(send(pair.near_qp, 2, &[pair.memory.element(PAGE, 17)], INLINE), 0);
    });
}

#[test]
fn element_count() {
    breaks(Rule::ElementCount, |world| {
        let pair = world.pair();
        let three = [0, 64, 128].map(|offset| pair.memory.element(offset, 4));
        assert_ne!(receive(pair.far_qp, 1, &three), 0);
        world.caught(Rule::ElementCount);
        assert_ne!(send(pair.near_qp, 1, &three, 0), 0);
    });
}

#[test]
fn transfer_length() {
    breaks(Rule::TransferLength, |world| {
        let pair = world.pair();
        assert_ne!(send(pair.near_qp, 1, &[pair.memory.element(0, u32::MAX)], 0), 0);
    });
}

#[test]
fn op_flags() {
    breaks(Rule::OpFlags, |world| {
        let pair = world.pair();
        assert_ne!(write(&pair, PAGE, 8, NDK_OP_FLAG_SEND_AND_SOLICIT_EVENT), 0);
        assert_ne!(send(pair.near_qp, 1, &[], 0x8000), 0);
    });
}

#[test]
fn not_connected() {
    breaks(Rule::NotConnected, |world| {
        let qp = qp(world.pd(), world.cq(8));
        assert_ne!(send(qp, 1, &[], 0), 0);
    });
}

/// What was flushed may be reused before its entries are taken: the connector's close has ended all DMA.
#[test]
fn buffers_are_free_when_the_connector_is_closed() {
    let world = World::new();
    let pair = world.pair();
    assert_eq!(receive(pair.far_qp, 1, &[pair.memory.element(0, 64)]), 0);
    call!(pair.far_qp, NdkFlush());
    for connector in [pair.far, pair.near] {
        let closed = Bell::new();
        if call!(connector, NdkCloseConnector(told, closed.context())) == STATUS_PENDING {
            closed.wait();
        }
    }
    assert_eq!(ask(|done, context| call!(pair.memory.mr, NdkDeregisterMr(done, context))), 0);
    assert_eq!(reap(pair.cq).iter().map(|entry| entry.1).collect::<Vec<_>>(), [1]);
    world.finish();
}
