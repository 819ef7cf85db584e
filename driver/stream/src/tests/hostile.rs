//! A peer that keeps no rule: each is checked, and nothing it sends does harm.

use super::rules::{CONFIG, MEMORY, NO_ENTRY, PEER, open, receive};
use crate::{
    Advert, Config, ConnData, ConnDataError, Engine, Event, Extensions, MAX_CREDITS, Offer, ProtocolError,
    Role, Span, State, TargetEntry, TargetList, Transmit, UsageError, Word, WordError,
};
use proptest::prelude::*;
use std::vec::Vec;

/// The word is refused, and the engine does nothing any more.
pub(super) fn refused(engine: &mut Engine, message: &[u8], entry: TargetEntry, error: ProtocolError) {
    let readable = engine.readable();
    assert_eq!(engine.handle_message(message, entry.encode()), Err(error));
    assert_eq!(engine.state(), State::Failed(error));
    assert_eq!(engine.readable(), readable);
    assert!(engine.ready_to_close());
    assert_eq!(engine.queue_send(1), Err(UsageError::NotSendable));
    assert_eq!(engine.poll_transmit(u32::MAX), None);
    assert_eq!(engine.handle_message(&Word::Data(1).octets(), NO_ENTRY), Ok(Event::Ignored));
    assert_eq!(engine.readable(), readable);
    assert!(!engine.end_of_stream() || engine.peer_shut_down());
}

fn refused_word(engine: &mut Engine, word: Word, error: ProtocolError) {
    refused(engine, &word.octets(), TargetEntry::decode(NO_ENTRY), error);
}

#[test]
fn private_data_is_checked_once_more_when_it_is_taken_in() {
    let region = PEER.first_region;
    let list = PEER.target_list;
    for (peer, error) in [
        (ConnData { big_endian: true, ..PEER }, ConnDataError::ByteOrder),
        (ConnData { credits: 3, ..PEER }, ConnDataError::Credits(3)),
        (ConnData { target_list: TargetList { entries: 1, ..list }, ..PEER }, ConnDataError::ListEntries(1)),
        (ConnData { target_list: TargetList { addr: u64::MAX, ..list }, ..PEER }, ConnDataError::ListWraps),
        (
            ConnData { first_region: TargetEntry { addr: u64::MAX, ..region }, ..PEER },
            ConnDataError::RegionWraps,
        ),
    ] {
        let mut engine = Engine::new(CONFIG, Role::Active, MEMORY).unwrap();
        assert_eq!(engine.establish(&peer), Err(ProtocolError::ConnData(error)));
        assert_eq!(engine.state(), State::Failed(ProtocolError::ConnData(error)));
        assert_eq!(engine.poll_transmit(u32::MAX), None);
    }
}

#[test]
fn messages_and_private_data_come_in_their_order() {
    let mut early = Engine::new(CONFIG, Role::Passive, MEMORY).unwrap();
    refused_word(&mut early, Word::Credit(100), ProtocolError::OutOfPhase);
    let mut twice = open(CONFIG, PEER);
    assert_eq!(twice.establish(&PEER), Err(ProtocolError::OutOfPhase));
    assert_eq!(twice.state(), State::Failed(ProtocolError::OutOfPhase));
}

#[test]
fn words_that_are_none() {
    for (word, error) in [
        (0x2000_0001, WordError::ReservedOperation(1)),
        (0x4000_0001, WordError::ReservedOperation(2)),
        (0x6000_0001, WordError::ReservedOperation(3)),
        (0xa000_0001, WordError::ReservedOperation(5)),
        (0x0000_0000, WordError::EmptyData),
        (0xe000_0003, WordError::UnknownControl(3)),
        (0xffff_ffff, WordError::UnknownControl(0x1fff_ffff)),
    ] {
        refused(
            &mut open(CONFIG, PEER),
            &u32::to_le_bytes(word),
            TargetEntry::decode(NO_ENTRY),
            ProtocolError::Word(error),
        );
    }
}

#[test]
fn octets_beyond_the_region() {
    // More than the first half, though the second is published too: a message stays within its region.
    refused_word(&mut open(CONFIG, PEER), Word::Data(33), ProtocolError::DataBeyondRegion);

    let mut engine = open(CONFIG, PEER);
    receive(&mut engine, Word::Data(30));
    refused_word(&mut engine, Word::Data(3), ProtocolError::DataBeyondRegion);

    let mut engine = open(CONFIG, PEER);
    receive(&mut engine, Word::Data(32));
    receive(&mut engine, Word::Data(32));
    engine.consume(64).unwrap();
    // Drained, but not published again.
    refused_word(&mut engine, Word::Data(1), ProtocolError::DataBeyondRegion);
}

#[test]
fn octets_in_a_region_that_was_not_published() {
    let mut engine = Engine::new(CONFIG, Role::Passive, MEMORY).unwrap();
    engine.establish(&PEER).unwrap();
    receive(&mut engine, Word::Data(32));
    refused_word(&mut engine, Word::Data(1), ProtocolError::DataBeyondRegion);
}

#[test]
fn messages_beyond_the_credits() {
    let mut engine = open(CONFIG, PEER);
    for _ in 0..16 {
        receive(&mut engine, Word::Data(1));
    }
    // Consumed, but the peer was not told.
    engine.consume(16).unwrap();
    refused_word(&mut engine, Word::Data(1), ProtocolError::MessagesBeyondCredit);

    let mut engine = open(CONFIG, PEER);
    for _ in 0..16 {
        receive(&mut engine, Word::IomapUpdate(1));
    }
    refused_word(&mut engine, Word::IomapUpdate(1), ProtocolError::MessagesBeyondCredit);

    let mut engine = open(CONFIG, PEER);
    for _ in 0..16 {
        receive(&mut engine, Word::Data(1));
    }
    engine.consume(9).unwrap();
    assert!(matches!(engine.poll_transmit(u32::MAX), Some(Transmit::Credit { publish: None, .. })));
    for _ in 0..9 {
        receive(&mut engine, Word::Data(1));
    }
    refused_word(&mut engine, Word::Data(1), ProtocolError::MessagesBeyondCredit);
}

#[test]
fn the_most_credits_there_can_be_are_held_to() {
    let config = Config { ring_len: 2048, receive_depth: MAX_CREDITS + 12, ..CONFIG };
    let mut engine = open(config, PEER);
    for _ in 0..MAX_CREDITS {
        receive(&mut engine, Word::Data(1));
    }
    refused_word(&mut engine, Word::Data(1), ProtocolError::MessagesBeyondCredit);
}

#[test]
fn counted_messages_after_the_end() {
    for word in [Word::Data(1), Word::IomapUpdate(0)] {
        let mut engine = open(CONFIG, PEER);
        receive(&mut engine, Word::Data(2));
        receive(&mut engine, Word::Shutdown);
        refused_word(&mut engine, word, ProtocolError::DataAfterShutdown);
    }
}

#[test]
fn credit_limits_move_forward_and_not_beyond_what_was_sent() {
    // Nothing sent: the limit is 100 and stays so.
    assert!(matches!(receive(&mut open(CONFIG, PEER), Word::Credit(100)), Event::Credit { .. }));
    for limit in [0, 99, 101, 356, 0x8000, 0xffff] {
        refused_word(&mut open(CONFIG, PEER), Word::Credit(limit), ProtocolError::CreditOutOfRange);
    }
    let sent_five = || {
        let mut engine = open(CONFIG, PEER);
        for _ in 0..5 {
            engine.queue_send(1).unwrap();
            engine.poll_transmit(u32::MAX).unwrap();
        }
        receive(&mut engine, Word::Credit(103));
        engine
    };
    for limit in [103, 104, 105] {
        receive(&mut sent_five(), Word::Credit(limit));
    }
    for limit in [102, 106, 0] {
        refused_word(&mut sent_five(), Word::Credit(limit), ProtocolError::CreditOutOfRange);
    }
}

#[test]
fn target_entries_that_wrap_or_come_too_soon() {
    let word = &Word::Credit(100).octets();
    let wrapping = TargetEntry { addr: u64::MAX - 9, key: 1, len: 10 };
    refused(&mut open(CONFIG, PEER), word, wrapping, ProtocolError::EntryWraps);
    let mut engine = open(CONFIG, PEER);
    let fits = TargetEntry { addr: u64::MAX - 10, ..wrapping };
    assert_eq!(engine.handle_message(word, fits.encode()), Ok(Event::Credit { clear_entry: Some(1) }));
    refused(&mut engine, word, fits, ProtocolError::EntryOverrun);
}

#[test]
fn an_entry_that_a_peer_shows_with_other_messages_is_not_looked_at() {
    let mut engine = open(CONFIG, PEER);
    let wrapping = TargetEntry { addr: u64::MAX, key: 1, len: 10 }.encode();
    for word in [Word::Data(1), Word::IomapUpdate(0), Word::Keepalive, Word::Shutdown] {
        engine.handle_message(&word.octets(), wrapping).unwrap();
    }
    assert_eq!(engine.wanted_entry(), 1);
}

#[derive(Clone, Debug)]
enum Act {
    Message(Vec<u8>, TargetEntry),
    Queue(u64),
    Consume(u64),
    Poll,
    Complete,
    ShutDown,
    Disconnect,
    Advertise(u32),
    Withdraw,
    Grow(u32),
}

fn act() -> impl Strategy<Value = Act> {
    let entry = prop_oneof![
        3 => Just(TargetEntry { addr: 0, key: 0, len: 0 }),
        2 => (0u64..1000, 1u32..50).prop_map(|(addr, len)| TargetEntry { addr, key: 3, len }),
        1 => any::<(u64, u32, u32)>().prop_map(|(addr, key, len)| TargetEntry { addr, key, len }),
    ];
    let word = prop_oneof![
        6 => (1u32..33).prop_map(|len| Word::Data(len).encode()),
        4 => (1u32..12).prop_map(|len| Word::SendData(len).encode()),
        2 => (1u32..40).prop_map(|len| Word::Direct(len).encode()),
        1 => prop::sample::select(&[Word::Advert, Word::Withdraw, Word::Refused][..]).prop_map(Word::encode),
        6 => (100u16..110).prop_map(|limit| Word::Credit(limit).encode()),
        1 => Just(Word::Shutdown.encode()),
        1 => any::<u32>(),
        1 => (0u32..8, 0u32..5).prop_map(|(op, data)| (op << 29) | data),
    ];
    // What may follow the word: nothing, a credit word, stream octets, anything.
    let more = prop_oneof![
        6 => Just(Vec::new()),
        1 => (100u16..110).prop_map(|limit| Word::Credit(limit).octets().to_vec()),
        2 => (0u64..30, 0u32..50).prop_map(|(stream_offset, len)| {
            let buffer = TargetEntry { addr: 0xd000, key: 4, len };
            Advert { buffer, stream_offset }.encode().to_vec()
        }),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop_oneof![
        8 => (word, more, entry).prop_map(|(word, more, entry)| {
            Act::Message(word.to_le_bytes().into_iter().chain(more).collect(), entry)
        }),
        3 => (0u64..2000).prop_map(Act::Queue),
        4 => (0u64..70).prop_map(Act::Consume),
        6 => Just(Act::Poll),
        4 => Just(Act::Complete),
        1 => Just(Act::ShutDown),
        1 => Just(Act::Disconnect),
        2 => (0u32..40).prop_map(Act::Advertise),
        1 => Just(Act::Withdraw),
        1 => (0u32..200).prop_map(Act::Grow),
    ]
}

proptest! {
    /// Whatever comes, the engine writes only where it was told that it may, once, and never reports more
    /// than the ring holds.
    #[test]
    fn nothing_from_the_wire_leads_out_of_bounds(
        extensions in any::<u8>(), acts in prop::collection::vec(act(), 0..300),
    ) {
        let extensions = Extensions::from_bits_truncate(extensions);
        let offer = Some(Offer { extensions, message_len: 40 });
        let mut engine = open(CONFIG, ConnData { offer, ..PEER });
        let mut regions = Vec::from([PEER.first_region]);
        let mut rings =
            Vec::from([TargetEntry { addr: MEMORY.ring_addr, key: MEMORY.ring_key, len: CONFIG.ring_len }]);
        let mut drained = Vec::new();
        let mut posted = 0;
        for act in acts {
            match act {
                Act::Message(message, entry) => {
                    let event = engine.handle_message(&message, entry.encode());
                    prop_assert!(!matches!(event, Ok(Event::Direct(len)) if len >= 40));
                    if let Ok(Event::Place { message_offset, span }) = event {
                        prop_assert_eq!(message_offset + span.len as usize, message.len());
                        prop_assert!(span.offset + span.len <= rings[span.ring as usize].len);
                    }
                    if matches!(event, Ok(Event::Credit { clear_entry: Some(_) })) {
                        regions.push(entry);
                    }
                }
                Act::Queue(len) => drop(engine.queue_send(len)),
                Act::Consume(len) => {
                    let fits = len <= engine.readable();
                    prop_assert_eq!(engine.consume(len).is_ok(), fits);
                }
                Act::Poll => match engine.poll_transmit(u32::MAX) {
                    Some(
                        transmit @ (Transmit::Data { stream_offset, len, .. }
                        | Transmit::SendData { stream_offset, len, .. }),
                    ) => {
                        prop_assert_eq!(stream_offset, posted);
                        posted += u64::from(len);
                        if let Transmit::Data { remote_key: 4, remote_addr, .. } = transmit {
                            prop_assert_eq!(remote_addr, 0xd000);
                            prop_assert!(len < 50);
                            continue;
                        }
                        let region = regions.first_mut().unwrap();
                        if let Transmit::Data { remote_addr, remote_key, .. } = transmit {
                            prop_assert_eq!((remote_addr, remote_key), (region.addr, region.key));
                        }
                        prop_assert!(len <= region.len);
                        region.addr += u64::from(len);
                        region.len -= len;
                        if region.len == 0 {
                            regions.remove(0);
                        }
                    }
                    Some(Transmit::Credit { publish: Some(publish), .. }) => {
                        prop_assert_eq!(publish.remote_key, PEER.target_list.key);
                        prop_assert!([0xa000, 0xa010].contains(&publish.remote_addr));
                        let entry = TargetEntry::decode(publish.entry);
                        let ring = rings.last().unwrap();
                        let half = ring.len / 2;
                        prop_assert!([ring.addr, ring.addr + u64::from(half)].contains(&entry.addr));
                        prop_assert_eq!((entry.key, entry.len), (ring.key, half));
                    }
                    _ => {}
                },
                Act::Complete => drop(engine.handle_transmit_complete()),
                Act::Advertise(len) => {
                    let buffer = TargetEntry { addr: 0x9000, key: 5, len };
                    let unread = engine.readable() != 0;
                    prop_assert!(engine.advertise(buffer).is_err() || !unread);
                }
                Act::Withdraw => engine.withdraw(),
                Act::Grow(len) => {
                    let number = rings.len() as u32;
                    let ring = TargetEntry { addr: 0x10_0000 * u64::from(number), key: 100 + number, len };
                    if let Ok(grown) = engine.grow(ring) {
                        prop_assert_eq!(grown, number);
                        prop_assert_eq!(drained.len() + 1, rings.len(), "more than two rings at a time");
                        prop_assert!(len.is_multiple_of(2) && len > rings.last().unwrap().len);
                        rings.push(ring);
                    }
                }
                Act::ShutDown => engine.shutdown_send(),
                Act::Disconnect => engine.disconnect(),
            }
            prop_assert!(engine.readable() <= rings.iter().map(|ring| u64::from(ring.len)).sum());
            prop_assert!(regions.len() <= usize::from(CONFIG.list_entries));
            prop_assert!(engine.wanted_entry() < usize::from(CONFIG.list_entries));
            prop_assert!(engine.sent_offset() <= engine.posted_offset());
            prop_assert!(engine.posted_offset() <= engine.queued_offset());
            if let Some(Span { ring, offset, len }) = engine.readable_span(0) {
                prop_assert!(!drained.contains(&ring));
                prop_assert!(len > 0 && offset + len <= rings[ring as usize].len);
            }
            drained.extend(engine.take_drained_ring());
        }
    }

    #[test]
    fn private_data_of_any_octets_is_read_or_refused(octets in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(data) = ConnData::decode(&octets) {
            prop_assert_eq!(ConnData::decode(&data.encode()), Ok(data));
            let mut engine = Engine::new(CONFIG, Role::Active, MEMORY).unwrap();
            prop_assert_eq!(engine.establish(&data), Ok(()));
        }
    }
}
