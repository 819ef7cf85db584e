//! A ring that grows: where regions are, when the old ring is free, and when growing pays.

use super::fabric::{Endpoint, Step};
use super::hostile::refused;
use super::ours::Ours;
use super::rules::{CONFIG, MEMORY, NO_ENTRY, PEER, open, receive};
use crate::{
    Config, ConnData, Engine, Event, Extensions, Offer, ProtocolError, Role, Span, TargetEntry, Transmit,
    UsageError, Word,
};

/// Octets of a half of the first ring.
const HALF: u32 = CONFIG.ring_len / 2;
const LONGER: TargetEntry = TargetEntry { addr: 0x2_0000, key: 70, len: 200 };
const SECOND: u64 = 10_000_000;

/// The region that is published next, with nothing else to transmit before it.
fn region(engine: &mut Engine) -> Option<TargetEntry> {
    let work = engine.poll_transmit(u32::MAX)?;
    let Transmit::Credit { publish, .. } = work else { panic!("{work:?}") };
    engine.handle_transmit_complete().unwrap();
    publish.map(|publish| TargetEntry::decode(publish.entry))
}

fn arrive_and_consume(engine: &mut Engine, len: u32) {
    receive(engine, Word::Data(len));
    engine.consume(len.into()).unwrap();
}

#[test]
fn regions_of_the_new_ring_follow_those_of_the_old_one() {
    let mut engine = open(CONFIG, PEER);
    assert_eq!(engine.grow(LONGER), Ok(1));
    assert_eq!(engine.ring_len(), LONGER.len);
    assert_eq!(region(&mut engine), None, "two regions of the old ring are with the peer");

    receive(&mut engine, Word::Data(HALF));
    receive(&mut engine, Word::Data(HALF - 2));
    assert_eq!(engine.readable_span(3), Some(Span { ring: 0, offset: 3, len: 59 }));
    engine.consume(HALF.into()).unwrap();
    assert_eq!(region(&mut engine), Some(TargetEntry { len: 100, ..LONGER }));
    assert_eq!(engine.take_drained_ring(), None, "room for 2 octets is with the peer");

    receive(&mut engine, Word::Data(2));
    receive(&mut engine, Word::Data(100));
    assert_eq!(engine.readable(), 132);
    assert_eq!(engine.readable_span(0), Some(Span { ring: 0, offset: 32, len: 32 }));
    assert_eq!(engine.readable_span(31), Some(Span { ring: 0, offset: 63, len: 1 }));
    assert_eq!(engine.readable_span(32), Some(Span { ring: 1, offset: 0, len: 100 }));
    engine.consume(31).unwrap();
    assert_eq!(engine.take_drained_ring(), None, "an octet is not read");
    engine.consume(1).unwrap();
    assert_eq!(engine.take_drained_ring(), Some(0));
    assert_eq!(engine.take_drained_ring(), None, "told once");
    assert_eq!(region(&mut engine), Some(TargetEntry { addr: LONGER.addr + 100, len: 100, ..LONGER }));
    assert_eq!(region(&mut engine), None);
    engine.consume(100).unwrap();
    assert_eq!(region(&mut engine), Some(TargetEntry { len: 100, ..LONGER }));
}

#[test]
fn the_peer_s_entries_are_used_in_turn_all_the_while() {
    let mut engine = open(CONFIG, PEER);
    let mut places = std::vec::Vec::new();
    for len in [HALF, HALF, HALF, 100, 100] {
        arrive_and_consume(&mut engine, len);
        let Some(Transmit::Credit { publish: Some(publish), .. }) = engine.poll_transmit(u32::MAX) else {
            panic!("no region after {places:?}");
        };
        places.push(publish.remote_addr);
        engine.handle_transmit_complete().unwrap();
        let _refused_but_the_first_time = engine.grow(LONGER);
    }
    // The private data was entry 0, and the second half entry 1.
    assert_eq!(places, [0xa000, 0xa010, 0xa000, 0xa010, 0xa000]);
}

#[test]
fn a_ring_with_nothing_in_it_is_drained_at_once() {
    let mut engine = Engine::new(CONFIG, Role::Passive, MEMORY).unwrap();
    engine.establish(&PEER).unwrap();
    arrive_and_consume(&mut engine, HALF);
    // The region that is due was not handed out: now it is one of the new ring.
    assert_eq!(engine.grow(LONGER), Ok(1));
    assert_eq!(engine.take_drained_ring(), Some(0));
    assert_eq!(region(&mut engine), Some(TargetEntry { len: 100, ..LONGER }));
    assert_eq!(region(&mut engine), Some(TargetEntry { addr: LONGER.addr + 100, len: 100, ..LONGER }));
    assert_eq!(region(&mut engine), None);
}

#[test]
fn room_that_the_peer_never_fills_keeps_the_old_ring() {
    let mut engine = open(CONFIG, PEER);
    engine.grow(LONGER).unwrap();
    arrive_and_consume(&mut engine, HALF);
    arrive_and_consume(&mut engine, HALF - 1);
    assert_eq!(engine.take_drained_ring(), None);
    receive(&mut engine, Word::Shutdown);
    assert!(engine.end_of_stream());
    assert_eq!(engine.take_drained_ring(), None);
}

#[test]
fn what_cannot_be_a_longer_ring_is_refused() {
    let grow = |engine: &mut Engine, ring| assert_eq!(engine.grow(ring), Err(UsageError::NotGrowable));
    let mut engine = open(CONFIG, PEER);
    for ring in [
        TargetEntry { len: CONFIG.ring_len, ..LONGER },
        TargetEntry { len: 0, ..LONGER },
        TargetEntry { len: 201, ..LONGER },
        TargetEntry { len: (1 << 30) + 2, ..LONGER },
        TargetEntry { addr: u64::MAX - 198, ..LONGER },
    ] {
        grow(&mut engine, ring);
    }
    assert_eq!(engine.ring_len(), CONFIG.ring_len);
    engine.grow(LONGER).unwrap();
    grow(&mut engine, TargetEntry { len: 400, ..LONGER });
    for _ in 0..2 {
        arrive_and_consume(&mut engine, HALF);
    }
    grow(&mut engine, TargetEntry { len: 400, ..LONGER });
    assert_eq!(engine.take_drained_ring(), Some(0));
    assert_eq!(engine.grow(TargetEntry { len: 400, ..LONGER }), Ok(2));

    let mut unconnected = Engine::new(CONFIG, Role::Active, MEMORY).unwrap();
    grow(&mut unconnected, LONGER);
    let mut ended = open(CONFIG, PEER);
    receive(&mut ended, Word::Shutdown);
    grow(&mut ended, LONGER);
    let mut lost = open(CONFIG, PEER);
    lost.handle_connection_lost();
    grow(&mut lost, LONGER);
    assert_eq!(lost.local_conn_data(), open(CONFIG, PEER).local_conn_data());
}

#[test]
fn the_first_region_that_was_announced_stays_what_it_was() {
    let mut engine = open(CONFIG, PEER);
    let before = engine.local_conn_data();
    engine.grow(LONGER).unwrap();
    assert_eq!(engine.local_conn_data(), before);
}

#[test]
fn a_message_does_not_cross_from_the_old_ring_into_the_new_one() {
    let grown = || {
        let mut engine = open(CONFIG, PEER);
        engine.grow(LONGER).unwrap();
        arrive_and_consume(&mut engine, HALF);
        assert!(region(&mut engine).is_some());
        receive(&mut engine, Word::Data(HALF - 1));
        engine
    };
    let none = TargetEntry::decode(NO_ENTRY);
    let beyond = ProtocolError::DataBeyondRegion;
    refused(&mut grown(), &Word::Data(2).octets(), none, beyond);

    // Nor does one end beyond a region of the new ring, however long the others were.
    let mut engine = grown();
    receive(&mut engine, Word::Data(1));
    refused(&mut engine, &Word::Data(101).octets(), none, beyond);

    // Once the old ring is full, there is no more in it.
    let mut engine = open(CONFIG, PEER);
    engine.grow(LONGER).unwrap();
    receive(&mut engine, Word::Data(HALF));
    receive(&mut engine, Word::Data(HALF));
    refused(&mut engine, &Word::Data(1).octets(), none, beyond);
}

#[test]
fn octets_inside_a_message_are_put_into_the_ring_they_are_for() {
    let offer = Some(Offer { extensions: Extensions::SEND_DATA, message_len: 64 });
    let mut engine = open(CONFIG, ConnData { offer, ..PEER });
    engine.grow(LONGER).unwrap();
    receive(&mut engine, Word::Data(HALF));
    engine.consume(HALF.into()).unwrap();
    assert!(region(&mut engine).is_some());
    receive(&mut engine, Word::Data(HALF - 1));
    let mut inside = |len: u32| {
        let message = [&Word::SendData(len).octets()[..], &[0; 8][..len as usize]].concat();
        engine.handle_message(&message, NO_ENTRY).unwrap()
    };
    let placed = |ring, offset, len| Event::Place { message_offset: 4, span: Span { ring, offset, len } };
    assert_eq!(inside(1), placed(0, 63, 1));
    assert_eq!(inside(2), placed(1, 0, 2));
}

/// A reader that keeps what it has until there is more: the peer goes on in the new ring.
#[test]
fn a_ring_that_is_full_needs_not_be_read_first() {
    let mut engine = open(CONFIG, PEER);
    receive(&mut engine, Word::Data(HALF));
    receive(&mut engine, Word::Data(HALF));
    assert_eq!(region(&mut engine), None);
    engine.grow(LONGER).unwrap();
    assert_eq!(region(&mut engine), Some(TargetEntry { len: 100, ..LONGER }));
    assert_eq!(region(&mut engine), Some(TargetEntry { addr: LONGER.addr + 100, len: 100, ..LONGER }));
    receive(&mut engine, Word::Data(100));
    receive(&mut engine, Word::Data(100));
    assert_eq!(engine.readable_span(2 * u64::from(HALF)), Some(Span { ring: 1, offset: 0, len: 200 }));
    engine.consume(u64::from(2 * HALF)).unwrap();
    assert_eq!(engine.take_drained_ring(), Some(0));
    engine.consume(99).unwrap();
    assert_eq!(region(&mut engine), None, "the new ring has no room");
    engine.consume(1).unwrap();
    assert_eq!(region(&mut engine), Some(TargetEntry { len: 100, ..LONGER }));
}

/// Each region of the new ring costs the peer one that it has filled, so its receives and entries are enough.
#[test]
fn a_region_that_is_filled_is_exchanged_for_one() {
    let mut engine = open(CONFIG, PEER);
    engine.grow(LONGER).unwrap();
    receive(&mut engine, Word::Data(HALF - 1));
    assert_eq!(region(&mut engine), None);
    receive(&mut engine, Word::Data(1));
    assert_eq!(region(&mut engine), Some(TargetEntry { len: 100, ..LONGER }));
    receive(&mut engine, Word::Data(HALF - 1));
    assert_eq!(region(&mut engine), None);
    receive(&mut engine, Word::Data(1));
    assert!(region(&mut engine).is_some());
    assert_eq!(region(&mut engine), None);
}

/// What it is for: more octets on their way.
#[test]
fn a_writer_whose_reader_waits_fills_the_longer_ring() {
    let config = Config { ring_len: 16, merge_below: 0, ..Config::DEFAULT };
    let mut world = Ours::pair(config, config);
    world.settle();
    world.step(false, Step::Grow(1000));
    world.step(true, Step::Send(16));
    world.settle();
    assert_eq!(world.b.engine.ring_len(), 1000);
    world.step(true, Step::Send(5000));
    for _ in 0..20 {
        for step in [Step::Transmit, Step::Deliver(9), Step::Handle(9), Step::Complete(9)] {
            world.step(true, step);
            world.step(false, step);
        }
    }
    assert_eq!(world.b.engine.readable(), 1000);
    assert_eq!(world.b.totals().1, 16);
    world.finish_and_check();
}

/// Lets a stream of `turns` turns of the ring through, one every `pause`. Returns at which of them growing was said to pay.
fn turns(engine: &mut Engine, now: &mut u64, turns: u32, pause: u64) -> std::vec::Vec<u32> {
    let mut said = std::vec::Vec::new();
    for turn in 0..turns {
        for _ in 0..2 {
            while region(engine).is_some() {}
            arrive_and_consume(engine, engine.ring_len() / 2);
            if engine.growth_pays(|| *now) {
                said.push(turn);
            }
        }
        *now += pause;
    }
    said
}

#[test]
fn growing_pays_where_four_turns_take_less_than_a_second() {
    let mut now = 7 * SECOND;
    let mut engine = open(CONFIG, PEER);
    assert!(!engine.growth_pays(|| panic!("nothing was consumed")));
    assert_eq!(turns(&mut engine, &mut now, 100, SECOND / 4), [], "four in a second are not many");
    assert_eq!(turns(&mut engine, &mut now, 8, SECOND / 5).len(), 1);
    // Who could not grow hears of it again after ten seconds.
    assert_eq!(turns(&mut engine, &mut now, 45, SECOND / 5), []);
    assert_eq!(turns(&mut engine, &mut now, 10, SECOND / 5).len(), 1);
}

#[test]
fn growing_pays_at_once_where_the_ring_is_full() {
    let mut engine = open(CONFIG, PEER);
    receive(&mut engine, Word::Data(HALF));
    receive(&mut engine, Word::Data(HALF - 1));
    assert!(!engine.growth_pays(|| panic!("there is room")));
    receive(&mut engine, Word::Data(1));
    assert!(engine.growth_pays(|| 5 * SECOND));
    assert!(!engine.growth_pays(|| 15 * SECOND - 1));
    assert!(engine.growth_pays(|| 15 * SECOND));
    engine.consume((HALF - 1).into()).unwrap();
    let mut now = 60 * SECOND;
    assert!(engine.growth_pays(|| now), "still full");
    engine.consume(1).unwrap();
    now += 60 * SECOND;
    assert!(!engine.growth_pays(|| now), "a region is due");
}

#[test]
fn growing_does_not_pay_for_ever_so_many_octets_that_come_slowly() {
    let mut now = 0;
    let mut engine = open(CONFIG, PEER);
    assert_eq!(turns(&mut engine, &mut now, 10_000, SECOND), []);
    // A pause is not made up for by what comes after it.
    assert_eq!(turns(&mut engine, &mut now, 3, 0), []);
    now += 3600 * SECOND;
    assert_eq!(turns(&mut engine, &mut now, 3, 0), []);
}

#[test]
fn the_clock_is_looked_at_once_in_four_turns() {
    let mut looks = 0;
    let mut engine = open(CONFIG, PEER);
    // 16 turns of the ring.
    for _ in 0..16 * HALF {
        while region(&mut engine).is_some() {}
        arrive_and_consume(&mut engine, 2);
        let _said = engine.growth_pays(|| {
            looks += 1;
            looks * SECOND
        });
    }
    assert_eq!(looks, 1 + 3, "at the beginning, and 4, 8 and 12 turns after that");
}

#[test]
fn growing_does_not_pay_where_it_cannot_be() {
    let mut now = 0;
    let mut growing = open(CONFIG, PEER);
    arrive_and_consume(&mut growing, HALF);
    growing.grow(LONGER).unwrap();
    assert!(!growing.growth_pays(|| panic!("an old ring is there")));

    let mut ended = open(CONFIG, PEER);
    assert_eq!(turns(&mut ended, &mut now, 4, 0), []);
    receive(&mut ended, Word::Shutdown);
    assert!(!ended.growth_pays(|| panic!("the stream has ended")));
}
