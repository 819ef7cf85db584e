//! Two engines: whatever the fabric delays, interleaves and batches, every octet arrives once and in order,
//! and nothing stalls.

use super::fabric::{Endpoint, Step};
use super::ours::Ours;
use crate::{Config, Extensions};
use proptest::prelude::*;
use std::vec::Vec;

pub(super) fn small_config() -> impl Strategy<Value = Config> {
    let extensions =
        prop_oneof![Just(Extensions::all()), any::<u8>().prop_map(Extensions::from_bits_truncate)];
    (1u32..=32, 2u8..=8, 16u16..=24, 8u16..=24, 0u32..=24, 4u16..=60, extensions).prop_map(
        |(half, list_entries, credits, send_queue_depth, merge_below, message_len, extensions)| Config {
            ring_len: half * 2,
            list_entries,
            receive_depth: credits + 12,
            send_queue_depth,
            reserve: 12,
            merge_below,
            message_len,
            extensions,
        },
    )
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop_oneof![1u64..4, 1u64..100].prop_map(Step::Send),
        4 => prop_oneof![1u64..4, 1u64..100].prop_map(Step::Read),
        6 => Just(Step::Transmit),
        6 => (1u8..12).prop_map(Step::Deliver),
        4 => (1u8..8).prop_map(Step::Complete),
        6 => (1u8..8).prop_map(Step::Handle),
        1 => (1u64..10).prop_map(Step::Time),
        2 => (1u32..100).prop_map(Step::Advertise),
        1 => Just(Step::Withdraw),
        1 => (1u32..300).prop_map(Step::Grow),
    ]
}

pub(super) fn schedule() -> impl Strategy<Value = Vec<(bool, Step)>> {
    prop::collection::vec((any::<bool>(), step()), 0..250)
}

proptest! {
    #[test]
    fn every_octet_arrives_once_and_in_order(a in small_config(), b in small_config(), steps in schedule()) {
        let mut world = Ours::pair(a, b);
        for (on_a, step) in steps {
            world.step(on_a, step);
        }
        world.finish_and_check();
    }

    #[test]
    fn one_direction_ends_while_the_other_goes_on(
        config in small_config(),
        before in schedule(),
        between in schedule(),
        a_first in any::<bool>(),
    ) {
        let mut world = Ours::pair(config, config);
        for (on_a, step) in before {
            world.step(on_a, step);
        }
        world.step(a_first, Step::ShutDown);
        for (on_a, step) in between {
            world.step(on_a, step);
        }
        world.finish_and_check();
    }

    #[test]
    fn every_buffer_comes_back(config in small_config(), steps in schedule()) {
        let mut world = Ours::pair(config, config);
        for (on_a, step) in steps {
            world.step(on_a, step);
        }
        world.settle();
        world.step(true, Step::Withdraw);
        world.step(false, Step::Withdraw);
        world.settle();
        prop_assert!(!world.a.engine.advertised() && !world.b.engine.advertised());
        world.finish_and_check();
    }

    #[test]
    fn an_owner_that_gathers_little_loses_nothing(
        config in small_config(),
        gather in 1u32..5,
        lens in prop::collection::vec(1u64..60, 1..20),
    ) {
        let mut world = Ours::pair(config, config);
        world.settle();
        let mut queued = 0;
        for len in lens {
            world.a.send(len);
            queued += len;
            while let Some(transmit) = world.a.engine.poll_transmit(gather) {
                if let crate::Transmit::Data { len, .. } | crate::Transmit::SendData { len, .. } = transmit {
                    prop_assert!(len <= gather);
                }
                world.a.post(transmit);
            }
        }
        world.settle();
        prop_assert_eq!(world.b.totals().1, queued);
    }
}

#[test]
fn sequence_numbers_wrap_at_16_bits() {
    let config = Config { ring_len: 64, receive_depth: 36, reserve: 12, merge_below: 0, ..Config::DEFAULT };
    let mut world = Ours::pair(config, config);
    for round in 0..3 * 65_536u64 {
        for on_a in [true, false] {
            world.step(on_a, Step::Send(1));
            world.step(on_a, Step::Transmit);
        }
        if round % 5 == 0 {
            world.settle();
        }
    }
    world.finish_and_check();
    assert!(world.a.engine.counters().data_messages_sent > 2 * 65_536);
}

#[test]
fn a_reader_that_waits_stops_the_writer_and_starts_it_again() {
    let config = Config { ring_len: 16, merge_below: 0, ..Config::DEFAULT };
    let mut world = Ours::pair(config, config);
    world.step(true, Step::Send(1000));
    for _ in 0..100 {
        for step in [Step::Transmit, Step::Deliver(9), Step::Handle(9), Step::Complete(9)] {
            world.step(true, step);
            world.step(false, step);
        }
    }
    assert_eq!(world.b.engine.readable(), 16, "the ring fills and no more is sent");
    assert_eq!(world.a.engine.sent_offset(), 16);
    assert_eq!(world.a.engine.counters().stalls_no_room, 2, "after the first half, and after the second");
    world.finish_and_check();
}
