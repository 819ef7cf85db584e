//! The engine and the model of the Linux endpoint, in both roles.

use super::fabric::{Step, World};
use super::linux::{Linux, LinuxConfig};
use super::ours::Ours;
use super::pair::{schedule, small_config};
use crate::{Config, ConnData, Role};
use proptest::prelude::*;

fn join(ours: Config, role: Role, linux: LinuxConfig) -> World<Ours, Linux> {
    let mut a = Ours::new(ours, role);
    let mut b = Linux::new(linux, if role == Role::Active { 2 } else { 1 });
    let of_a = ConnData::decode(&a.engine.local_conn_data().encode()).unwrap();
    let of_b = ConnData::decode(&b.conn_data().encode()).unwrap();
    a.establish(&of_b);
    b.establish(&of_a);
    World { a, b }
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Active), Just(Role::Passive)]
}

/// A Linux endpoint whose receive queue is large enough for the bound on Sends to be exact, and which is as
/// inattentive as its send buffer and queue let it be.
fn roomy_linux() -> impl Strategy<Value = LinuxConfig> {
    (56u16..100, 16u32..1000, 1u32..=32, 4u32..10_000, 1u32..16).prop_map(
        |(receive_queue, send_queue, half, send_buffer, first_piece)| LinuxConfig {
            receive_queue,
            send_queue,
            ring: half * 2,
            send_buffer,
            low_water: send_buffer.min(3),
            first_piece,
        },
    )
}

fn check(mut world: World<Ours, Linux>, steps: std::vec::Vec<(bool, Step)>) {
    for (on_a, step) in steps {
        world.step(on_a, step);
        assert!(!world.b.overrun, "the receive queue of the Linux side is overrun");
    }
    world.finish_and_check();
}

proptest! {
    #[test]
    fn every_octet_arrives_once_and_in_order(
        ours in small_config(), role in role(), linux in roomy_linux(), steps in schedule(),
    ) {
        check(join(ours, role, linux), steps);
    }

    #[test]
    fn a_program_that_only_looks_when_it_must_is_not_overrun(
        ours in small_config(), role in role(), linux in roomy_linux(), steps in schedule(),
    ) {
        let mut world = join(ours, role, linux);
        world.b.inattentive = true;
        check(world, steps);
    }

    /// A receive queue as small as Linux makes it. The bound then rests on a send buffer of no more than a
    /// region.
    #[test]
    fn the_smallest_linux_receive_queue_is_not_overrun(
        ours in small_config(), role in role(), receive_queue in 16u16..56, ring in 1u32..=32,
        steps in schedule(),
    ) {
        let linux = LinuxConfig {
            receive_queue,
            send_queue: 16,
            ring: ring * 2,
            send_buffer: ours.ring_len / 2,
            low_water: 1,
            first_piece: 4,
        };
        let mut world = join(ours, role, linux);
        world.b.inattentive = true;
        check(world, steps);
    }

    #[test]
    fn either_side_may_finish_first(
        ours in small_config(), role in role(), linux in roomy_linux(),
        before in schedule(), between in schedule(), ours_first in any::<bool>(),
    ) {
        let mut world = join(ours, role, linux);
        for (on_a, step) in before {
            world.step(on_a, step);
        }
        world.step(ours_first, Step::ShutDown);
        check(world, between);
    }
}

#[test]
fn linux_overruns_linux_as_it_was_seen_to_and_the_engine_does_not() {
    // An idle reader, a writer of single octets: 384 messages and the first credit message.
    let run = |writer: &mut dyn FnMut(&mut Linux)| {
        let mut reader = Linux::new(LinuxConfig::DEFAULT, 2);
        reader.inattentive = true;
        writer(&mut reader);
        reader
    };
    let linux_writes = |reader: &mut Linux| {
        let mut writer = Linux::new(LinuxConfig::DEFAULT, 1);
        writer.establish(&reader.conn_data());
        reader.establish(&writer.conn_data());
        let mut world = World { a: writer, b: reader.clone() };
        for _ in 0..1000 {
            world.step(true, Step::Handle(1));
            world.step(true, Step::Send(1));
            world.step(true, Step::Transmit);
            world.step(true, Step::Complete(9));
            world.step(false, Step::Deliver(9));
        }
        *reader = world.b;
    };
    let engine_writes = |reader: &mut Linux| {
        let mut writer = Ours::new(Config { merge_below: 0, ..Config::DEFAULT }, Role::Active);
        let peer = writer.engine.local_conn_data();
        writer.establish(&reader.conn_data());
        reader.establish(&peer);
        let mut world = World { a: writer, b: reader.clone() };
        for _ in 0..1000 {
            world.step(true, Step::Send(1));
            world.step(true, Step::Transmit);
            world.step(true, Step::Complete(9));
            world.step(false, Step::Deliver(9));
        }
        assert!(world.a.engine.counters().stalls_no_credit > 0);
        *reader = world.b.clone();
        world.b.inattentive = false;
        world.finish_and_check();
    };
    assert!(run(&mut { linux_writes }).overrun);
    assert!(!run(&mut { engine_writes }).overrun);
}

/// The case the share of credit messages is made for: a sender with room without end, which writes whole
/// regions in single messages and looks at its completion queue only when its credits are used up.
#[test]
fn credit_messages_to_a_sender_that_never_looks_stay_within_their_share() {
    const DATA_SHARE: u64 = 384 - 2 - (176 + 1);
    let ours = Config { ring_len: 32, merge_below: 0, ..Config::DEFAULT };
    let linux = LinuxConfig {
        send_queue: 1_000_000,
        send_buffer: 1_000_000,
        low_water: 1,
        first_piece: 16,
        ..LinuxConfig::DEFAULT
    };
    let mut world = join(ours, Role::Active, linux);
    world.b.inattentive = true;
    // Our own data towards it, which it does not look at, takes its whole share.
    for _ in 0..384 {
        world.step(true, Step::Send(1));
        for step in [Step::Transmit, Step::Complete(9)] {
            world.step(true, step);
        }
        world.step(false, Step::Deliver(9));
    }
    assert_eq!(world.a.engine.counters().data_messages_sent, DATA_SHARE);
    let mut fewest = u16::MAX;
    for _ in 0..1000 {
        world.step(false, Step::Send(16));
        world.step(false, Step::Transmit);
        world.step(false, Step::Complete(9));
        world.step(true, Step::Deliver(9));
        world.step(true, Step::Handle(9));
        world.step(true, Step::Read(u64::MAX));
        world.step(true, Step::Transmit);
        world.step(true, Step::Complete(9));
        world.step(false, Step::Deliver(9));
        assert!(!world.b.overrun);
        fewest = fewest.min(world.b.receives);
    }
    assert!(world.a.engine.counters().credits_sent > 500);
    assert_eq!(fewest, 2, "what is left is for SHUTDOWN and DISCONNECT");
    world.b.inattentive = false;
    world.finish_and_check();
}
