//! Half close, close, and loss.

use super::fabric::Endpoint;
use super::ours::Ours;
use super::pair::{schedule, small_config};
use super::rules::{CONFIG, MEMORY, PEER, open, receive};
use crate::{Engine, Event, Extensions, ProtocolError, Role, Span, State, Transmit, UsageError, Word};
use proptest::prelude::*;

fn control(engine: &mut Engine) -> Option<Word> {
    match engine.poll_transmit(u32::MAX)? {
        Transmit::Control { word } => Some(Word::decode(word, Extensions::all()).unwrap()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn shutdown_goes_behind_the_data_that_waits_for_room() {
    let mut engine = open(CONFIG, PEER);
    engine.queue_send(1001).unwrap();
    engine.shutdown_send();
    assert_eq!(engine.queue_send(1), Err(UsageError::NotSendable));
    assert!(matches!(engine.poll_transmit(u32::MAX), Some(Transmit::Data { len: 1000, .. })));
    assert_eq!(engine.poll_transmit(u32::MAX), None);
    let room = crate::TargetEntry { addr: 0xc000, key: 1, len: 8 };
    engine.handle_message(&Word::Credit(100).octets(), room.encode()).unwrap();
    assert!(matches!(engine.poll_transmit(u32::MAX), Some(Transmit::Data { len: 1, .. })));
    assert_eq!(control(&mut engine), Some(Word::Shutdown));
    assert_eq!(control(&mut engine), None);
    engine.shutdown_send();
    assert_eq!(control(&mut engine), None, "once is enough");
    assert_eq!(engine.state(), State::Open, "the other direction goes on");
    assert_eq!(receive(&mut engine, Word::Data(3)), Event::Readable(3));
}

#[test]
fn nothing_is_finished_before_it_is_open() {
    let mut engine = Engine::new(CONFIG, Role::Active, MEMORY).unwrap();
    engine.shutdown_send();
    engine.disconnect();
    engine.establish(&PEER).unwrap();
    engine.queue_send(1).unwrap();
    engine.handle_connection_lost();

    let mut never = Engine::new(CONFIG, Role::Active, MEMORY).unwrap();
    assert!(!never.ready_to_close());
    never.handle_connection_lost();
    assert_eq!(never.state(), State::Lost);
}

#[test]
fn two_shutdowns_that_cross_need_no_disconnect() {
    let mut engine = open(CONFIG, PEER);
    engine.shutdown_send();
    assert_eq!(control(&mut engine), Some(Word::Shutdown));
    assert_eq!(receive(&mut engine, Word::Shutdown), Event::Finished);
    assert_eq!(engine.state(), State::Finished);
    assert_eq!(control(&mut engine), None);
    assert!(!engine.ready_to_close(), "the SHUTDOWN is not out");
    engine.handle_transmit_complete().unwrap();
    assert!(engine.ready_to_close());
    engine.disconnect();
    assert_eq!(control(&mut engine), None);
}

#[test]
fn the_second_to_finish_sends_disconnect() {
    let mut engine = open(CONFIG, PEER);
    assert_eq!(receive(&mut engine, Word::Shutdown), Event::PeerShutdown);
    assert!(engine.peer_shut_down() && engine.end_of_stream());
    engine.queue_send(4).unwrap();
    assert!(matches!(engine.poll_transmit(u32::MAX), Some(Transmit::Data { .. })));
    engine.shutdown_send();
    assert_eq!(control(&mut engine), Some(Word::Disconnect));
    assert_eq!(engine.state(), State::Finished);
}

#[test]
fn a_shutdown_asked_for_before_the_peer_finished_is_not_yet_one_sent() {
    let mut engine = open(CONFIG, PEER);
    engine.queue_send(4).unwrap();
    engine.shutdown_send();
    assert_eq!(receive(&mut engine, Word::Shutdown), Event::PeerShutdown);
    assert!(matches!(engine.poll_transmit(u32::MAX), Some(Transmit::Data { len: 4, .. })));
    assert_eq!(control(&mut engine), Some(Word::Disconnect));
}

#[test]
fn close_after_a_half_close_sends_disconnect_too() {
    let mut engine = open(CONFIG, PEER);
    engine.shutdown_send();
    assert_eq!(control(&mut engine), Some(Word::Shutdown));
    engine.disconnect();
    assert_eq!(control(&mut engine), Some(Word::Disconnect));
    engine.disconnect();
    assert_eq!(control(&mut engine), None);
    assert_eq!(engine.state(), State::Finished);
}

/// What is on its way when the peer goes may never be completed before the owner closes: the owner must not wait for it.
#[test]
fn a_loss_after_both_shutdowns_ends_the_wait_for_the_last_message() {
    let mut engine = open(CONFIG, PEER);
    engine.shutdown_send();
    assert_eq!(control(&mut engine), Some(Word::Shutdown));
    assert_eq!(receive(&mut engine, Word::Shutdown), Event::Finished);
    assert!(!engine.ready_to_close(), "the SHUTDOWN is not out");
    engine.handle_connection_lost();
    assert_eq!(engine.state(), State::Finished);
    assert!(engine.ready_to_close());
    assert!(engine.end_of_stream());
}

#[test]
fn disconnect_of_the_peer_keeps_what_arrived_and_drops_what_waits() {
    let mut engine = open(CONFIG, PEER);
    engine.queue_send(1500).unwrap();
    assert!(engine.poll_transmit(u32::MAX).is_some());
    receive(&mut engine, Word::Data(9));
    assert_eq!(receive(&mut engine, Word::Disconnect), Event::Finished);
    assert_eq!(engine.state(), State::Finished);
    assert!(engine.ready_to_close(), "the peer looks at nothing any more");
    assert_eq!(engine.poll_transmit(u32::MAX), None);
    assert_eq!(engine.queue_send(1), Err(UsageError::NotSendable));
    assert_eq!(engine.handle_transmit_complete(), Ok(1000));
    assert!(engine.sent_offset() < engine.queued_offset());

    assert!(!engine.end_of_stream());
    assert_eq!(engine.readable_span(0), Some(Span { ring: 0, offset: 0, len: 9 }));
    engine.consume(9).unwrap();
    assert!(engine.end_of_stream());
    for word in [Word::Data(1), Word::Credit(9), Word::Disconnect] {
        assert_eq!(receive(&mut engine, word), Event::Ignored);
    }
    assert_eq!(engine.readable(), 0);
}

#[test]
fn no_room_is_returned_to_a_peer_that_has_finished() {
    let mut engine = open(CONFIG, PEER);
    receive(&mut engine, Word::Data(32));
    receive(&mut engine, Word::Shutdown);
    engine.consume(32).unwrap();
    assert_eq!(engine.poll_transmit(u32::MAX), None);
}

#[test]
fn keepalive_and_a_repeated_shutdown_are_borne() {
    let mut engine = open(CONFIG, PEER);
    assert_eq!(receive(&mut engine, Word::Keepalive), Event::Ignored);
    assert_eq!(receive(&mut engine, Word::Shutdown), Event::PeerShutdown);
    assert_eq!(receive(&mut engine, Word::Shutdown), Event::PeerShutdown);
    assert_eq!(engine.state(), State::Open);
    engine.queue_send(1).unwrap();
    assert!(engine.poll_transmit(u32::MAX).is_some());
}

#[test]
fn loss_is_no_end_of_stream() {
    let mut engine = open(CONFIG, PEER);
    receive(&mut engine, Word::Data(2));
    engine.handle_connection_lost();
    assert_eq!(engine.state(), State::Lost);
    engine.consume(2).unwrap();
    assert!(!engine.end_of_stream());
    assert!(engine.ready_to_close());
    assert_eq!(engine.queue_send(1), Err(UsageError::NotSendable));
    assert_eq!(engine.poll_transmit(u32::MAX), None);
    assert_eq!(receive(&mut engine, Word::Disconnect), Event::Ignored);
}

#[test]
fn loss_after_the_peer_finished_leaves_the_reader_its_end() {
    let mut engine = open(CONFIG, PEER);
    receive(&mut engine, Word::Data(2));
    receive(&mut engine, Word::Shutdown);
    engine.handle_connection_lost();
    assert_eq!(engine.state(), State::Lost, "the sender did not get to finish");
    assert!(!engine.end_of_stream());
    engine.consume(2).unwrap();
    assert!(engine.end_of_stream());
}

#[test]
fn loss_after_the_end_changes_nothing() {
    let mut engine = open(CONFIG, PEER);
    receive(&mut engine, Word::Disconnect);
    engine.handle_connection_lost();
    assert_eq!(engine.state(), State::Finished);

    let mut failed = open(CONFIG, PEER);
    failed.handle_message(&[0; 4], super::rules::NO_ENTRY).unwrap_err();
    failed.handle_connection_lost();
    assert!(matches!(failed.state(), State::Failed(ProtocolError::Word(_))));
}

proptest! {
    #[test]
    fn everything_queued_before_a_disconnect_arrives(
        config in small_config(), steps in schedule(), by_a in any::<bool>(), more in schedule(),
    ) {
        let mut world = Ours::pair(config, config);
        for (on_a, step) in steps {
            world.step(on_a, step);
        }
        if by_a { world.a.engine.disconnect() } else { world.b.engine.disconnect() }
        for (on_a, step) in more {
            world.step(on_a, step);
        }
        world.settle();
        let (closer, other) = if by_a { (&world.a, &world.b) } else { (&world.b, &world.a) };
        prop_assert_eq!(closer.totals().0, other.totals().1);
        prop_assert!(other.at_end());
        prop_assert!(closer.finished() && other.finished());
    }

    #[test]
    fn what_was_read_before_a_loss_is_a_true_beginning_and_never_an_end(
        config in small_config(), steps in schedule(),
    ) {
        let mut world = Ours::pair(config, config);
        for (on_a, step) in steps {
            world.step(on_a, step);
        }
        for end in [&mut world.a, &mut world.b] {
            end.engine.handle_connection_lost();
            while end.handle() {}
            end.read(u64::MAX);
            prop_assert!(!end.at_end());
            prop_assert!(!end.transmit());
        }
        prop_assert!(world.a.totals().1 <= world.b.totals().0);
        prop_assert!(world.b.totals().1 <= world.a.totals().0);
    }

    #[test]
    fn every_order_of_shutdown_and_disconnect_ends(
        config in small_config(),
        start in schedule(),
        calls in prop::collection::vec((any::<bool>(), any::<bool>(), schedule()), 1..4),
    ) {
        let mut world = Ours::pair(config, config);
        for (on_a, step) in start {
            world.step(on_a, step);
        }
        for (on_a, disconnect, steps) in calls {
            let engine = if on_a { &mut world.a.engine } else { &mut world.b.engine };
            if disconnect { engine.disconnect() } else { engine.shutdown_send() }
            for (on_a, step) in steps {
                world.step(on_a, step);
            }
        }
        world.settle();
        world.a.engine.disconnect();
        world.b.engine.disconnect();
        world.settle();
        prop_assert!(world.a.finished() && world.b.finished());
    }
}
