//! Silence: the question, its answer, and death.

use super::fabric::{Endpoint, Step};
use super::ours::Ours;
use super::rules::{CONFIG, MEMORY, NO_ENTRY, PEER, open, receive};
use crate::{
    Config, ConnData, Engine, Event, Extensions, Keepalive, Offer, Role, State, Transmit, UsageError, Word,
};

const TIMES: Keepalive = Keepalive { idle: 100, answer: 30 };

const EQUAL: ConnData =
    ConnData { offer: Some(Offer { extensions: Extensions::all(), message_len: 4 }), ..PEER };

const QUESTION: Transmit = Transmit::Notice { word: 0xe000_0001 };
const PROBE: Transmit = Transmit::Probe { remote_addr: 0xa000, remote_key: 9 };

fn asked(engine: &mut Engine) -> Option<Transmit> {
    engine.poll_transmit(u32::MAX)
}

#[test]
fn a_silent_equal_is_asked_once_and_then_dead() {
    let mut engine = open(CONFIG, EQUAL);
    assert_eq!(engine.handle_time(1000, TIMES), Some(1100), "the first look is the beginning");
    assert_eq!(engine.handle_time(1099, TIMES), Some(1100));
    assert_eq!(asked(&mut engine), None);
    assert_eq!(engine.handle_time(1105, TIMES), Some(1135));
    assert_eq!(asked(&mut engine), Some(QUESTION));
    engine.handle_transmit_complete().unwrap();
    assert_eq!(engine.handle_time(1134, TIMES), Some(1135));
    assert_eq!(asked(&mut engine), None, "the transport is reliable: once is enough");
    assert_eq!(engine.state(), State::Open);
    assert_eq!(engine.handle_time(1135, TIMES), None);
    assert_eq!(engine.state(), State::TimedOut);
    assert!(engine.ready_to_close() && !engine.end_of_stream());
    assert_eq!(engine.queue_send(1), Err(UsageError::NotSendable));
    assert_eq!(asked(&mut engine), None);
    assert_eq!(receive(&mut engine, Word::Data(1)), Event::Ignored);
    engine.handle_connection_lost();
    assert_eq!(engine.state(), State::TimedOut, "the reason stays");
    assert_eq!(engine.handle_time(5000, TIMES), None);
}

#[test]
fn any_message_is_a_sign_of_life() {
    for word in [Word::Data(1), Word::Credit(100), Word::IomapUpdate(0), Word::Keepalive, Word::Shutdown] {
        let mut engine = open(CONFIG, EQUAL);
        engine.handle_time(0, TIMES);
        engine.handle_time(100, TIMES);
        assert_eq!(asked(&mut engine), Some(QUESTION));
        receive(&mut engine, word);
        assert_eq!(engine.handle_time(130, TIMES), Some(230), "{word:?}");
        assert_eq!(engine.state(), State::Open);
    }
}

#[test]
fn a_question_is_answered_by_a_credit_message() {
    let mut engine = open(CONFIG, EQUAL);
    receive(&mut engine, Word::Data(1));
    receive(&mut engine, Word::Keepalive);
    receive(&mut engine, Word::Keepalive);
    engine.consume(1).unwrap();
    assert_eq!(asked(&mut engine), Some(Transmit::Credit { publish: None, word: 0x8000_0011 }));
    assert_eq!(asked(&mut engine), None, "one answers all");
    // Also after the peer has finished its direction, when no credit is of use to it.
    receive(&mut engine, Word::Shutdown);
    receive(&mut engine, Word::Keepalive);
    assert_eq!(asked(&mut engine), Some(Transmit::Credit { publish: None, word: 0x8000_0011 }));
}

#[test]
fn a_question_of_a_peer_that_offered_none_is_no_question() {
    for peer in
        [PEER, ConnData { offer: Some(Offer { extensions: Extensions::empty(), message_len: 4 }), ..PEER }]
    {
        let mut engine = open(CONFIG, peer);
        assert_eq!(receive(&mut engine, Word::Keepalive), Event::Ignored);
        assert_eq!(asked(&mut engine), None);
    }
    let mut engine = open(Config { extensions: Extensions::empty(), ..CONFIG }, EQUAL);
    assert_eq!(engine.local_conn_data().offer, None);
    receive(&mut engine, Word::Keepalive);
    assert_eq!(asked(&mut engine), None);
}

#[test]
fn a_linux_peer_is_asked_through_its_adapter() {
    let mut engine = open(CONFIG, PEER);
    engine.handle_time(0, TIMES);
    assert_eq!(engine.handle_time(100, TIMES), Some(130));
    assert_eq!(asked(&mut engine), Some(PROBE));
    assert_eq!((engine.counters().sends, engine.counters().writes), (1, 2), "a Write, and no Send");
    assert_eq!(engine.handle_transmit_complete(), Ok(0));
    assert_eq!(engine.handle_time(130, TIMES), Some(230));
    // The next one is not carried out.
    assert_eq!(engine.handle_time(230, TIMES), Some(260));
    assert_eq!(asked(&mut engine), Some(PROBE));
    assert_eq!(engine.handle_time(260, TIMES), None);
    assert_eq!(engine.state(), State::TimedOut);
    assert_eq!(engine.counters().keepalives_sent, 2);
}

#[test]
fn completions_prove_nothing_of_an_equal() {
    let mut engine = open(CONFIG, EQUAL);
    engine.queue_send(1).unwrap();
    assert!(asked(&mut engine).is_some());
    engine.handle_time(0, TIMES);
    engine.handle_transmit_complete().unwrap();
    engine.handle_time(100, TIMES);
    assert_eq!(asked(&mut engine), Some(QUESTION));
}

#[test]
fn a_question_that_is_on_its_way_is_not_doubled() {
    let mut engine = open(CONFIG, EQUAL);
    engine.handle_time(0, TIMES);
    engine.handle_time(100, TIMES);
    assert_eq!(asked(&mut engine), Some(QUESTION));
    receive(&mut engine, Word::Data(1));
    assert_eq!(engine.handle_time(110, TIMES), Some(210));
    assert_eq!(engine.handle_time(210, TIMES), Some(240));
    assert_eq!(asked(&mut engine), None);
    receive(&mut engine, Word::Credit(100));
    engine.handle_time(230, TIMES);
    engine.handle_time(330, TIMES);
    assert_eq!(asked(&mut engine), Some(QUESTION));
}

#[test]
fn a_sign_of_life_takes_back_a_question_that_is_not_out() {
    let mut engine = open(CONFIG, EQUAL);
    engine.handle_time(0, TIMES);
    engine.handle_time(100, TIMES);
    receive(&mut engine, Word::Data(1));
    engine.handle_time(101, TIMES);
    assert_eq!(asked(&mut engine), None);
}

#[test]
fn a_full_queue_delays_the_question_and_not_the_verdict() {
    let mut engine = Engine::new(CONFIG, Role::Active, MEMORY).unwrap();
    engine.establish(&EQUAL).unwrap();
    while asked(&mut engine).is_some() {}
    // Control slots are kept from data; credit messages of both kinds and questions use them up.
    for _ in 0..16 {
        receive(&mut engine, Word::Keepalive);
        asked(&mut engine);
    }
    engine.handle_time(0, TIMES);
    engine.handle_time(200, TIMES);
    assert_eq!(asked(&mut engine), None);
    engine.handle_transmit_complete().unwrap();
    assert_eq!(asked(&mut engine), Some(QUESTION));
    assert_eq!(engine.handle_time(230, TIMES), None);
}

#[test]
fn who_may_not_send_cannot_ask() {
    let mut engine = Engine::new(CONFIG, Role::Passive, MEMORY).unwrap();
    assert_eq!(engine.handle_time(0, TIMES), None, "not open");
    engine.establish(&PEER).unwrap();
    for now in [0, 1000, 2000, 3000] {
        assert_eq!(engine.handle_time(now, TIMES), Some(now + 100));
    }
    engine.handle_message(&Word::Credit(100).octets(), NO_ENTRY).unwrap();
    engine.handle_time(4000, TIMES);
    while asked(&mut engine).is_some() {}
    engine.handle_time(4100, TIMES);
    assert_eq!(asked(&mut engine), Some(PROBE));
}

#[test]
fn an_equal_that_never_spoke_is_dead() {
    let mut engine = Engine::new(CONFIG, Role::Passive, MEMORY).unwrap();
    engine.establish(&EQUAL).unwrap();
    engine.handle_time(0, TIMES);
    assert_eq!(engine.handle_time(100, TIMES), Some(130));
    assert_eq!(asked(&mut engine), None, "iWARP does not let it ask");
    assert_eq!(engine.handle_time(130, TIMES), None);
    assert_eq!(engine.state(), State::TimedOut);
}

#[test]
fn times_may_change_while_silence_lasts() {
    let mut engine = open(CONFIG, EQUAL);
    assert_eq!(engine.handle_time(0, Keepalive { idle: u64::MAX, answer: u64::MAX }), Some(u64::MAX));
    assert_eq!(engine.handle_time(500, TIMES), Some(530));
    assert_eq!(asked(&mut engine), Some(QUESTION));
}

#[test]
fn two_equals_that_have_nothing_to_say_live_on() {
    let mut world = Ours::pair(CONFIG, CONFIG);
    for round in 0..1000u64 {
        let on_a = round % 3 == 0;
        world.step(on_a, Step::Time(7));
        if round % 5 == 0 {
            world.settle();
        }
    }
    assert!(world.a.engine.counters().keepalives_sent > 50);
    assert!(world.b.engine.counters().keepalives_sent > 50);
    world.finish_and_check();
    assert!(world.a.finished());
}
