//! Between equals: each extension with and without the offer of the other side, and what breaks its rules.

use super::hostile::refused;
use super::rules::{CONFIG, MEMORY, NO_ENTRY, PEER, open, receive};
use crate::{
    AbortReason, Config, ConnData, Engine, Event, Extensions, Offer, ProtocolError, Role, Span, State,
    TargetEntry, Transmit, Word, WordError,
};

/// A peer that offers these, with receives of 24 octets: 16 of them are left beside the longest head.
fn equal(extensions: Extensions) -> ConnData {
    ConnData { offer: Some(Offer { extensions, message_len: 24 }), ..PEER }
}

fn only(extensions: Extensions) -> Engine {
    open(CONFIG, equal(extensions))
}

/// Neither side alone makes an extension.
fn not_in_force(extension: Extensions) -> [Engine; 4] {
    let without = Config { extensions: Extensions::all().difference(extension), ..CONFIG };
    let silent = Config { extensions: Extensions::empty(), ..CONFIG };
    [
        open(CONFIG, PEER),
        only(Extensions::all().difference(extension)),
        open(without, equal(Extensions::all())),
        open(silent, equal(Extensions::all())),
    ]
}

fn next(engine: &mut Engine) -> Option<Transmit> {
    engine.poll_transmit(u32::MAX)
}

fn hear(engine: &mut Engine, words: &[Word], octets: &[u8]) -> Event {
    engine.handle_message(&message(words, octets), NO_ENTRY).unwrap()
}

fn message(words: &[Word], octets: &[u8]) -> std::vec::Vec<u8> {
    words.iter().flat_map(|word| word.octets()).chain(octets.iter().copied()).collect()
}

fn wrong(engine: &mut Engine, message: &[u8], error: WordError) {
    refused(engine, message, TargetEntry::decode(NO_ENTRY), ProtocolError::Word(error));
}

#[test]
fn the_words_of_extensions_have_their_octets() {
    for (word, number) in [
        (Word::SendData(55), 0x2000_0037),
        (Word::Abort(AbortReason::PROTOCOL), 0xe000_0403),
        (Word::Abort(AbortReason(0xfedc)), 0xe0fe_dc03),
    ] {
        assert_eq!(word.encode(), number);
        assert_eq!(Word::decode(number, Extensions::all()), Ok(word));
    }
    assert_eq!(Word::decode(0x2000_0000, Extensions::all()), Err(WordError::EmptyData));
    for code in [0x0100_0003, 6, 0x0104, 0x1f00_0003] {
        let error = Err(WordError::UnknownControl(code));
        assert_eq!(Word::decode(0xe000_0000 | code, Extensions::all()), error);
    }
}

#[test]
fn an_equal_is_offered_what_the_configuration_says() {
    let offered = |config| Engine::new(config, Role::Active, MEMORY).unwrap().local_conn_data().offer;
    assert_eq!(offered(CONFIG), Some(Offer { extensions: Extensions::all(), message_len: 64 }));
    assert_eq!(offered(Config { extensions: Extensions::empty(), ..CONFIG }), None);
}

/// It has receives in reserve, so every credit is for data.
#[test]
fn every_credit_of_an_equal_is_used() {
    for (peer, most) in [(equal(Extensions::KEEPALIVE), 100), (PEER, 81)] {
        let mut engine = open(CONFIG, peer);
        let mut sent = 0;
        loop {
            engine.queue_send(1).unwrap();
            if next(&mut engine).is_none() {
                break;
            }
            sent += 1;
            engine.handle_transmit_complete().unwrap();
        }
        assert_eq!(sent, most);
    }
}

#[test]
fn few_octets_go_inside_the_send() {
    let mut engine = only(Extensions::SEND_DATA);
    for (len, inside) in [(1, true), (16, true), (17, false), (16, true)] {
        let stream_offset = engine.queued_offset();
        engine.queue_send(len.into()).unwrap();
        let transmit = next(&mut engine).unwrap();
        if inside {
            let word = 0x2000_0000 | len;
            assert_eq!(transmit, Transmit::SendData { stream_offset, len, word, credit: None });
            assert_eq!((transmit.work_requests(), transmit.head().len()), (1, 4));
        } else {
            // Room was used by those before as if they had been written.
            assert!(matches!(transmit, Transmit::Data { remote_addr: 0xb011, .. }), "{transmit:?}");
        }
        assert_eq!(engine.handle_transmit_complete(), Ok(stream_offset + u64::from(len)));
    }
    assert_eq!(engine.counters().data_sent_inside, 3);
    assert_eq!((engine.counters().writes, engine.counters().sends), (2, 5));
}

#[test]
fn octets_inside_use_the_room_of_the_region_and_not_more() {
    let first_region = TargetEntry { addr: 0xb000, key: 10, len: 20 };
    let mut engine = open(CONFIG, ConnData { first_region, ..equal(Extensions::SEND_DATA) });
    engine.queue_send(15).unwrap();
    assert!(matches!(next(&mut engine), Some(Transmit::SendData { len: 15, .. })));
    engine.queue_send(10).unwrap();
    assert!(matches!(next(&mut engine), Some(Transmit::SendData { stream_offset: 15, len: 5, .. })));
    assert_eq!(next(&mut engine), None);
    assert_eq!(engine.counters().stalls_no_room, 1);
}

#[test]
fn octets_that_came_inside_are_put_where_a_write_would_have_put_them() {
    let mut engine = only(Extensions::SEND_DATA);
    receive(&mut engine, Word::Data(30));
    let event = hear(&mut engine, &[Word::SendData(2)], b"ab");
    assert_eq!(event, Event::Place { message_offset: 4, span: Span { ring: 0, offset: 30, len: 2 } });
    assert_eq!(engine.readable_span(0), Some(Span { ring: 0, offset: 0, len: 32 }));
    let event = hear(&mut engine, &[Word::SendData(3)], b"cde");
    assert_eq!(event, Event::Place { message_offset: 4, span: Span { ring: 0, offset: 32, len: 3 } });
    assert_eq!((engine.counters().data_messages_received, engine.counters().octets_received), (3, 35));
    // They are held to the region and the credits like any others.
    let mut engine = only(Extensions::SEND_DATA);
    receive(&mut engine, Word::Data(30));
    let beyond = message(&[Word::SendData(3)], b"abc");
    refused(&mut engine, &beyond, TargetEntry::decode(NO_ENTRY), ProtocolError::DataBeyondRegion);
    let mut engine = only(Extensions::SEND_DATA);
    for _ in 0..16 {
        hear(&mut engine, &[Word::SendData(1)], b"a");
    }
    let one = message(&[Word::SendData(1)], b"a");
    refused(&mut engine, &one, TargetEntry::decode(NO_ENTRY), ProtocolError::MessagesBeyondCredit);
    let mut engine = only(Extensions::SEND_DATA);
    receive(&mut engine, Word::Shutdown);
    refused(&mut engine, &one, TargetEntry::decode(NO_ENTRY), ProtocolError::DataAfterShutdown);
}

#[test]
fn octets_go_inside_only_where_both_sides_can() {
    for mut engine in not_in_force(Extensions::SEND_DATA) {
        engine.queue_send(1).unwrap();
        assert!(matches!(next(&mut engine), Some(Transmit::Data { .. })));
        wrong(&mut engine, &message(&[Word::SendData(1)], b"a"), WordError::ReservedOperation(1));
    }
    // Both can, but the peer's receives hold no octet beside the longest head.
    let offer = Offer { extensions: Extensions::all(), message_len: 8 };
    let mut engine = open(CONFIG, ConnData { offer: Some(offer), ..PEER });
    engine.queue_send(1).unwrap();
    assert!(matches!(next(&mut engine), Some(Transmit::Data { .. })));
}

#[test]
fn credit_goes_beside_data() {
    let mut engine = only(Extensions::CREDIT);
    receive(&mut engine, Word::Data(3));
    engine.queue_send(1).unwrap();
    assert!(matches!(next(&mut engine), Some(Transmit::Data { credit: None, .. })), "nothing to say");
    engine.consume(3).unwrap();
    assert_eq!(next(&mut engine), None, "not worth a message");
    engine.queue_send(1).unwrap();
    let transmit = next(&mut engine).unwrap();
    assert!(matches!(transmit, Transmit::Data { credit: Some(0x8000_0011), .. }), "{transmit:?}");
    assert_eq!(transmit.head(), [1, 0, 0, 0, 0x11, 0, 0, 0x80]);
    engine.queue_send(1).unwrap();
    assert!(matches!(next(&mut engine), Some(Transmit::Data { credit: None, .. })), "told already");
    assert_eq!(engine.counters().credits_sent, 2);
}

#[test]
fn credit_that_is_due_goes_beside_data_or_alone() {
    let due = || {
        let mut engine = only(Extensions::CREDIT);
        for _ in 0..8 {
            receive(&mut engine, Word::Data(1));
        }
        engine.consume(8).unwrap();
        engine
    };
    let mut engine = due();
    assert_eq!(next(&mut engine), Some(Transmit::Credit { publish: None, word: 0x8000_0018 }));
    let mut engine = due();
    engine.queue_send(1).unwrap();
    assert!(matches!(next(&mut engine), Some(Transmit::Data { credit: Some(0x8000_0018), .. })));
    assert_eq!(next(&mut engine), None);
    // Data that waits for room carries nothing.
    let mut engine = due();
    engine.queue_send(1001).unwrap();
    assert!(matches!(next(&mut engine), Some(Transmit::Data { len: 1000, credit: Some(_), .. })));
    for _ in 0..8 {
        receive(&mut engine, Word::Data(1));
    }
    engine.consume(8).unwrap();
    assert!(matches!(next(&mut engine), Some(Transmit::Credit { publish: None, .. })));
    // A region does not wait for data.
    let mut engine = due();
    receive(&mut engine, Word::Data(24));
    engine.consume(24).unwrap();
    engine.queue_send(1).unwrap();
    assert!(matches!(next(&mut engine), Some(Transmit::Credit { publish: Some(_), .. })));
}

#[test]
fn credit_beside_data_answers_a_question() {
    let mut engine = only(Extensions::CREDIT.union(Extensions::KEEPALIVE));
    receive(&mut engine, Word::Keepalive);
    engine.queue_send(1).unwrap();
    assert!(matches!(next(&mut engine), Some(Transmit::Data { credit: Some(0x8000_0010), .. })));
    assert_eq!(next(&mut engine), None);
}

#[test]
fn no_credit_goes_to_a_peer_that_has_finished() {
    let mut engine = only(Extensions::CREDIT);
    receive(&mut engine, Word::Data(3));
    receive(&mut engine, Word::Shutdown);
    engine.consume(3).unwrap();
    engine.queue_send(1).unwrap();
    assert!(matches!(next(&mut engine), Some(Transmit::Data { credit: None, .. })));
}

#[test]
fn credit_that_came_beside_data_counts() {
    let mut engine = only(Extensions::CREDIT.union(Extensions::SEND_DATA));
    for _ in 0..3 {
        engine.queue_send(20).unwrap();
        next(&mut engine);
    }
    assert_eq!(hear(&mut engine, &[Word::Data(1), Word::Credit(101)], b""), Event::Readable(1));
    let event = hear(&mut engine, &[Word::SendData(2), Word::Credit(103)], b"ab");
    assert_eq!(event, Event::Place { message_offset: 8, span: Span { ring: 0, offset: 1, len: 2 } });
    assert_eq!(engine.counters().credits_received, 2);
    let back = message(&[Word::Data(1), Word::Credit(102)], b"");
    refused(&mut engine, &back, TargetEntry::decode(NO_ENTRY), ProtocolError::CreditOutOfRange);
}

#[test]
fn credit_goes_beside_data_only_where_both_sides_can() {
    for mut engine in not_in_force(Extensions::CREDIT) {
        receive(&mut engine, Word::Data(3));
        engine.consume(3).unwrap();
        engine.queue_send(30).unwrap();
        assert!(matches!(next(&mut engine), Some(Transmit::Data { credit: None, .. })));
        wrong(&mut engine, &message(&[Word::Data(1), Word::Credit(100)], b""), WordError::Length(8));
    }
    let offer = Offer { extensions: Extensions::all(), message_len: 7 };
    let mut engine = open(CONFIG, ConnData { offer: Some(offer), ..PEER });
    receive(&mut engine, Word::Data(3));
    engine.consume(3).unwrap();
    engine.queue_send(1).unwrap();
    assert!(matches!(next(&mut engine), Some(Transmit::Data { credit: None, .. })));
}

#[test]
fn a_message_is_as_long_as_it_says() {
    let all = || only(Extensions::all());
    for len in [0, 1, 3] {
        wrong(&mut all(), &[0; 4][..len], WordError::Length(len));
        wrong(&mut open(CONFIG, PEER), &[0; 4][..len], WordError::Length(len));
    }
    for word in [Word::Credit(100), Word::Shutdown, Word::Disconnect, Word::Keepalive, Word::IomapUpdate(0)] {
        wrong(&mut all(), &message(&[word, Word::Credit(100)], b""), WordError::Length(8));
        wrong(&mut all(), &message(&[word], b"a"), WordError::Length(5));
    }
    for (octets, len) in [(&b""[..], 4), (b"ab", 6), (b"abcd", 8), (b"abcdef", 10), (b"abcdefgh", 12)] {
        wrong(&mut all(), &message(&[Word::SendData(3)], octets), WordError::Length(len));
    }
    wrong(&mut all(), &message(&[Word::SendData(0x1fff_ffff)], b"abcd"), WordError::Length(8));
    for (second, number) in [(Word::Data(1), 1), (Word::Disconnect, 0xe000_0000)] {
        wrong(&mut all(), &message(&[Word::Data(1), second], b""), WordError::NoCredit(number));
    }
    wrong(&mut all(), &message(&[Word::SendData(1)], &[0; 5]), WordError::NoCredit(0));
}

#[test]
fn an_abort_says_why() {
    let mut engine = only(Extensions::ABORT);
    engine.queue_send(1).unwrap();
    let abort = engine.abort(AbortReason::CLOSED);
    assert_eq!(abort, Some(Transmit::Abort { word: 0xe000_0103 }));
    assert_eq!(engine.state(), State::Lost);
    assert_eq!(next(&mut engine), None, "nothing goes after it");
    assert_eq!(engine.abort(AbortReason::CLOSED), None, "once");

    let mut peer = only(Extensions::ABORT);
    receive(&mut peer, Word::Data(9));
    assert_eq!(receive(&mut peer, Word::Abort(AbortReason::CLOSED)), Event::Aborted);
    assert_eq!(peer.state(), State::Aborted(AbortReason::CLOSED));
    assert!(peer.ready_to_close());
    assert_eq!(
        peer.readable_span(0),
        Some(Span { ring: 0, offset: 0, len: 9 }),
        "what came before stays readable"
    );
    peer.consume(9).unwrap();
    assert!(!peer.end_of_stream());
    assert_eq!(receive(&mut peer, Word::Data(1)), Event::Ignored);
    assert_eq!(peer.abort(AbortReason::CLOSED), None, "nobody listens");
    peer.handle_connection_lost();
    assert_eq!(peer.state(), State::Aborted(AbortReason::CLOSED), "the reason stays");
}

#[test]
fn an_abort_may_follow_what_ended_the_stream() {
    let mut engine = only(Extensions::ABORT);
    engine.handle_message(&[0; 4], NO_ENTRY).unwrap_err();
    assert!(engine.abort(AbortReason::PROTOCOL).is_some());
    assert!(matches!(engine.state(), State::Failed(_)));
    let mut engine = only(Extensions::ABORT);
    receive(&mut engine, Word::Disconnect);
    assert_eq!(engine.abort(AbortReason::CLOSED), None, "it ended in order");
    assert_eq!(engine.state(), State::Finished);
}

#[test]
fn an_abort_says_why_only_where_both_sides_can() {
    for mut engine in not_in_force(Extensions::ABORT) {
        wrong(&mut engine, &Word::Abort(AbortReason::CLOSED).octets(), WordError::UnknownControl(0x103));
    }
    for mut engine in not_in_force(Extensions::ABORT) {
        assert_eq!(engine.abort(AbortReason::CLOSED), None);
        assert_eq!(engine.state(), State::Lost);
    }
    let mut passive = Engine::new(CONFIG, Role::Passive, MEMORY).unwrap();
    passive.establish(&equal(Extensions::all())).unwrap();
    assert_eq!(passive.abort(AbortReason::CLOSED), None, "iWARP does not let it speak yet");
}
