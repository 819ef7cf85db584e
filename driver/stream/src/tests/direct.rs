//! Octets that go into the reader's own buffer.

use super::fabric::{Endpoint, Step};
use super::hostile::refused;
use super::ours::Ours;
use super::rules::{CONFIG, NO_ENTRY, PEER, open, receive};
use crate::{
    Advert, Config, ConnData, Engine, Event, Extensions, Offer, ProtocolError, Span, TargetEntry, Transmit,
    UsageError, Word, WordError,
};
use std::vec::Vec;

const EQUAL: ConnData =
    ConnData { offer: Some(Offer { extensions: Extensions::all(), message_len: 28 }), ..PEER };

const BUFFER: TargetEntry = TargetEntry { addr: 0xd000, key: 4, len: 500 };

fn next(engine: &mut Engine) -> Option<Transmit> {
    engine.poll_transmit(u32::MAX)
}

fn message(advert: Advert) -> Vec<u8> {
    Word::Advert.octets().into_iter().chain(advert.encode()).collect()
}

/// The peer advertises for the octets from `stream_offset` on.
fn hear(engine: &mut Engine, stream_offset: u64) {
    let message = message(Advert { buffer: BUFFER, stream_offset });
    assert_eq!(engine.handle_message(&message, NO_ENTRY), Ok(Event::Ignored));
}

fn wrong(engine: &mut Engine, message: &[u8], error: ProtocolError) {
    refused(engine, message, TargetEntry::decode(NO_ENTRY), error);
}

fn notice(word: Word) -> Option<Transmit> {
    Some(Transmit::Notice { word: word.encode() })
}

/// The stream is at octet 9, and a buffer is advertised.
fn advertised() -> Engine {
    let mut engine = open(CONFIG, EQUAL);
    receive(&mut engine, Word::Data(9));
    engine.consume(9).unwrap();
    engine.advertise(BUFFER).unwrap();
    assert_eq!(next(&mut engine), Some(Transmit::Advert(Advert { buffer: BUFFER, stream_offset: 9 })));
    engine
}

#[test]
fn the_words_and_the_advert_have_their_octets() {
    for (word, number) in [
        (Word::Advert, 0x6000_0000),
        (Word::Direct(55), 0xa000_0037),
        (Word::Withdraw, 0xe000_0004),
        (Word::Refused, 0xe000_0005),
    ] {
        assert_eq!(word.encode(), number);
        assert_eq!(Word::decode(number, Extensions::all()), Ok(word));
        assert!(Word::decode(number, Extensions::all().difference(Extensions::DIRECT)).is_err());
    }
    assert_eq!(Word::decode(0xa000_0000, Extensions::all()), Err(WordError::EmptyData));
    assert_eq!(Word::decode(0x6000_0001, Extensions::all()), Err(WordError::ReservedOperation(3)));
    let advert = Advert {
        buffer: TargetEntry { addr: 0x0102_0304_0506_0708, key: 0x090a_0b0c, len: 0x0d0e_0f10 },
        stream_offset: 0x1112_1314_1516_1718,
    };
    assert_eq!(
        Transmit::Advert(advert).head(),
        [
            0, 0, 0, 0x60, 8, 7, 6, 5, 4, 3, 2, 1, 0xc, 0xb, 0xa, 9, 0x10, 0xf, 0xe, 0xd, 0x18, 0x17, 0x16,
            0x15, 0x14, 0x13, 0x12, 0x11
        ]
    );
    assert_eq!(Advert::decode(&advert.encode()), Some(advert));
    assert_eq!(Advert::decode(&[0; 23]), None);
}

#[test]
fn a_buffer_is_advertised_where_it_continues_the_stream() {
    let mut engine = advertised();
    assert_eq!(next(&mut engine), None, "once");
    assert!(engine.advertised());
    assert_eq!(engine.advertise(BUFFER), Err(UsageError::NotAdvertisable), "one at a time");
    let direct = Word::Direct(400).octets();
    assert_eq!(engine.handle_message(&direct, NO_ENTRY), Ok(Event::Direct(400)));
    assert!(!engine.advertised());
    assert_eq!(engine.readable(), 0, "the ring is as it was");
    assert_eq!(engine.counters().octets_received, 409);
    // And on: the offset counts what came past the ring, the ring's places do not.
    engine.advertise(BUFFER).unwrap();
    assert_eq!(next(&mut engine), Some(Transmit::Advert(Advert { buffer: BUFFER, stream_offset: 409 })));
    receive(&mut engine, Word::Data(2));
    assert_eq!(engine.readable_span(0), Some(Span { ring: 0, offset: 9, len: 2 }));
}

#[test]
fn its_message_uses_credit_which_comes_back_at_once() {
    let mut engine = open(CONFIG, EQUAL);
    for _ in 0..8 {
        engine.advertise(BUFFER).unwrap();
        next(&mut engine);
        engine.handle_transmit_complete().unwrap();
        receive(&mut engine, Word::Direct(1));
    }
    assert_eq!(next(&mut engine), Some(Transmit::Credit { publish: None, word: 0x8000_0018 }));
}

#[test]
fn nothing_is_advertised_that_would_not_be_right() {
    let cannot = |mut engine: Engine, buffer| {
        assert_eq!(engine.advertise(buffer), Err(UsageError::NotAdvertisable));
        assert!(!engine.advertised());
    };
    cannot(open(CONFIG, EQUAL), TargetEntry { len: 0, ..BUFFER });
    cannot(open(CONFIG, EQUAL), TargetEntry { addr: u64::MAX - 9, ..BUFFER });
    let mut unread = open(CONFIG, EQUAL);
    receive(&mut unread, Word::Data(1));
    cannot(unread, BUFFER);
    let mut ended = open(CONFIG, EQUAL);
    receive(&mut ended, Word::Shutdown);
    cannot(ended, BUFFER);
    let mut lost = open(CONFIG, EQUAL);
    lost.handle_connection_lost();
    cannot(lost, BUFFER);
    cannot(open(CONFIG, PEER), BUFFER);
    let without = Extensions::all().difference(Extensions::DIRECT);
    cannot(open(Config { extensions: without, ..CONFIG }, EQUAL), BUFFER);
    let offer = Offer { extensions: Extensions::all(), message_len: 27 };
    cannot(open(CONFIG, ConnData { offer: Some(offer), ..PEER }), BUFFER);
}

#[test]
fn a_buffer_comes_back_when_it_is_refused() {
    let mut engine = advertised();
    engine.withdraw();
    assert_eq!(next(&mut engine), notice(Word::Withdraw));
    assert!(engine.advertised(), "the peer may not have seen that");
    assert_eq!(receive(&mut engine, Word::Refused), Event::Refused);
    assert!(!engine.advertised());
    engine.withdraw();
    assert_eq!(next(&mut engine), None, "there is nothing to withdraw");
    // One that the peer was not told of comes back at once.
    engine.advertise(BUFFER).unwrap();
    engine.withdraw();
    assert!(!engine.advertised());
    assert_eq!(next(&mut engine), None);
}

#[test]
fn octets_for_the_ring_may_overtake_an_advert() {
    let mut engine = advertised();
    assert_eq!(receive(&mut engine, Word::Data(3)), Event::Readable(3));
    assert!(engine.advertised());
    assert_eq!(receive(&mut engine, Word::Refused), Event::Refused);
    assert_eq!(engine.readable_span(0), Some(Span { ring: 0, offset: 9, len: 3 }));
    // After which the buffer is for other octets.
    let mut engine = advertised();
    receive(&mut engine, Word::Data(3));
    wrong(&mut engine, &Word::Direct(1).octets(), ProtocolError::DataBeyondBuffer);
}

#[test]
fn a_buffer_is_held_to() {
    wrong(&mut advertised(), &Word::Direct(501).octets(), ProtocolError::DataBeyondBuffer);
    for word in [Word::Direct(1), Word::Refused] {
        wrong(&mut open(CONFIG, EQUAL), &word.octets(), ProtocolError::NothingAdvertised);
        let mut unsent = open(CONFIG, EQUAL);
        unsent.advertise(BUFFER).unwrap();
        wrong(&mut unsent, &word.octets(), ProtocolError::NothingAdvertised);
        let mut twice = advertised();
        receive(&mut twice, Word::Direct(1));
        wrong(&mut twice, &word.octets(), ProtocolError::NothingAdvertised);
    }
    let mut ended = advertised();
    receive(&mut ended, Word::Shutdown);
    wrong(&mut ended, &Word::Direct(1).octets(), ProtocolError::DataAfterShutdown);
    let mut without_credit = advertised();
    for _ in 0..15 {
        receive(&mut without_credit, Word::IomapUpdate(0));
    }
    wrong(&mut without_credit, &Word::Direct(1).octets(), ProtocolError::MessagesBeyondCredit);
}

#[test]
fn many_octets_go_into_a_buffer_and_leave_the_ring_alone() {
    let mut engine = open(CONFIG, EQUAL);
    engine.queue_send(30).unwrap();
    assert!(matches!(next(&mut engine), Some(Transmit::Data { remote_addr: 0xb000, .. })));
    hear(&mut engine, 30);
    engine.queue_send(600).unwrap();
    assert_eq!(
        next(&mut engine),
        Some(Transmit::Data {
            stream_offset: 30,
            len: 500,
            remote_addr: BUFFER.addr,
            remote_key: BUFFER.key,
            word: Word::Direct(500).encode(),
            credit: None
        })
    );
    // A buffer is used once; the rest goes on in the ring, where that left off.
    assert!(matches!(next(&mut engine), Some(Transmit::Data { remote_addr: 0xb01e, len: 100, .. })));
    hear(&mut engine, 630);
    engine.queue_send(40).unwrap();
    assert!(matches!(next(&mut engine), Some(Transmit::Data { remote_key: 4, len: 40, .. })));
}

#[test]
fn a_buffer_helps_where_the_ring_is_full() {
    let first_region = TargetEntry { len: 0, ..PEER.first_region };
    let mut engine = open(CONFIG, ConnData { first_region, ..EQUAL });
    engine.queue_send(100).unwrap();
    assert_eq!(next(&mut engine), None);
    hear(&mut engine, 0);
    assert!(matches!(next(&mut engine), Some(Transmit::Data { remote_key: 4, len: 100, .. })));
}

#[test]
fn few_octets_are_not_worth_a_buffer() {
    let mut engine = open(CONFIG, EQUAL);
    hear(&mut engine, 0);
    assert_eq!(next(&mut engine), None, "it is kept for what comes");
    engine.queue_send(20).unwrap();
    assert_eq!(next(&mut engine), notice(Word::Refused));
    assert!(matches!(next(&mut engine), Some(Transmit::SendData { len: 20, .. })));
    assert_eq!(next(&mut engine), None);
}

#[test]
fn an_advert_is_answered_once_whatever_happens() {
    // Overtaken.
    let mut engine = open(CONFIG, EQUAL);
    engine.queue_send(1).unwrap();
    next(&mut engine);
    hear(&mut engine, 0);
    assert_eq!(next(&mut engine), notice(Word::Refused));
    // Withdrawn, once before and once after the answer.
    hear(&mut engine, 1);
    for answer in [notice(Word::Refused), None] {
        receive(&mut engine, Word::Withdraw);
        assert_eq!(next(&mut engine), answer);
    }
    // The end of the stream.
    hear(&mut engine, 1);
    engine.shutdown_send();
    assert_eq!(next(&mut engine), notice(Word::Refused));
    assert_eq!(next(&mut engine), Some(Transmit::Control { word: Word::Shutdown.encode() }));
    // After it.
    hear(&mut engine, 1);
    assert_eq!(next(&mut engine), notice(Word::Refused));
    assert_eq!(next(&mut engine), None);
}

#[test]
fn adverts_are_checked() {
    let advert = |buffer, stream_offset| message(Advert { buffer, stream_offset });
    let all = || open(CONFIG, EQUAL);
    wrong(&mut all(), &advert(BUFFER, 1), ProtocolError::AdvertOutOfRange);
    wrong(&mut all(), &advert(TargetEntry { len: 0, ..BUFFER }, 0), ProtocolError::AdvertOutOfRange);
    wrong(&mut all(), &advert(TargetEntry { addr: u64::MAX, ..BUFFER }, 0), ProtocolError::EntryWraps);
    let mut held = all();
    hear(&mut held, 0);
    wrong(&mut held, &advert(BUFFER, 0), ProtocolError::AdvertOverrun);
    let mut refused = all();
    hear(&mut refused, 0);
    receive(&mut refused, Word::Withdraw);
    wrong(&mut refused, &advert(BUFFER, 0), ProtocolError::AdvertOverrun);
    let whole = advert(BUFFER, 0);
    wrong(&mut all(), &whole[..27], ProtocolError::Word(WordError::Length(27)));
    let longer = [&whole[..], &[0; 4]].concat();
    wrong(&mut all(), &longer, ProtocolError::Word(WordError::Length(32)));
    wrong(&mut open(CONFIG, PEER), &whole, ProtocolError::Word(WordError::ReservedOperation(3)));
}

#[test]
fn a_long_stream_goes_past_the_ring() {
    let mut world = Ours::pair(CONFIG, CONFIG);
    for _ in 0..100 {
        world.step(false, Step::Advertise(300));
        world.settle();
        world.step(true, Step::Send(200));
        world.settle();
    }
    assert_eq!(world.b.direct, 20_000);
    world.finish_and_check();
    assert!(world.b.at_end());
}
