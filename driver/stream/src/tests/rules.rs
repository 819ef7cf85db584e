//! The rules of one engine, call by call.

use crate::{
    Config, ConfigError, ConnData, Engine, Event, Extensions, LocalMemory, Publish, Role, Span, State,
    TARGET_ENTRY_LEN, TargetEntry, TargetList, Transmit, UsageError, Word,
};
use std::vec::Vec;

pub(super) const MEMORY: LocalMemory =
    LocalMemory { ring_addr: 0x1000, ring_key: 7, list_addr: 0x8000, list_key: 8 };

pub(super) const NO_ENTRY: [u8; TARGET_ENTRY_LEN] = [0; TARGET_ENTRY_LEN];

/// A peer with a first region of 1000 octets.
pub(super) const PEER: ConnData = ConnData {
    big_endian: false,
    iomap_size: Some(0),
    credits: 100,
    offer: None,
    target_list: TargetList { addr: 0xa000, key: 9, entries: 2 },
    first_region: TargetEntry { addr: 0xb000, key: 10, len: 1000 },
};

pub(super) const CONFIG: Config = Config {
    ring_len: 64,
    list_entries: 2,
    receive_depth: 28,
    send_queue_depth: 16,
    reserve: 12,
    merge_below: 0,
    message_len: 64,
    extensions: Extensions::all(),
};

/// An engine on the active side, whose first credit message is out and completed.
pub(super) fn open(config: Config, peer: ConnData) -> Engine {
    let mut engine = Engine::new(config, Role::Active, MEMORY).unwrap();
    engine.establish(&peer).unwrap();
    assert!(matches!(engine.poll_transmit(u32::MAX), Some(Transmit::Credit { publish: Some(_), .. })));
    assert_eq!(engine.handle_transmit_complete(), Ok(0));
    engine
}

pub(super) fn receive(engine: &mut Engine, word: Word) -> Event {
    engine.handle_message(&word.octets(), NO_ENTRY).unwrap()
}

fn data(engine: &mut Engine) -> Option<(u64, u32, u64)> {
    match engine.poll_transmit(u32::MAX)? {
        Transmit::Data { stream_offset, len, remote_addr, word, .. } => {
            assert_eq!(word, len);
            Some((stream_offset, len, remote_addr))
        }
        other => panic!("{other:?}"),
    }
}

fn credit(engine: &mut Engine) -> Option<(Option<(u64, TargetEntry)>, u32)> {
    match engine.poll_transmit(u32::MAX)? {
        Transmit::Credit { publish, word } => {
            let publish = publish.map(|Publish { entry, remote_addr, remote_key }| {
                assert_eq!(remote_key, PEER.target_list.key);
                (remote_addr, TargetEntry::decode(entry))
            });
            Some((publish, word))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_size_has_its_range() {
    let refused = |change: fn(&mut Config)| {
        let mut config = CONFIG;
        change(&mut config);
        Engine::new(config, Role::Active, MEMORY).unwrap_err()
    };
    assert_eq!(refused(|c| c.ring_len = 0), ConfigError::RingLen);
    assert_eq!(refused(|c| c.ring_len = 63), ConfigError::RingLen);
    assert_eq!(refused(|c| c.ring_len = (1 << 30) + 2), ConfigError::RingLen);
    assert_eq!(refused(|c| c.list_entries = 1), ConfigError::ListEntries);
    assert_eq!(refused(|c| c.list_entries = 9), ConfigError::ListEntries);
    assert_eq!(refused(|c| c.message_len = 3), ConfigError::MessageLen);
    assert_eq!(refused(|c| c.message_len = 257), ConfigError::MessageLen);
    assert_eq!(refused(|c| c.reserve = 11), ConfigError::Reserve);
    assert_eq!(refused(|c| c.receive_depth = 27), ConfigError::ReceiveDepth);
    assert_eq!(refused(|c| c.receive_depth = 269), ConfigError::ReceiveDepth);
    assert_eq!(refused(|c| c.reserve = u16::MAX), ConfigError::ReceiveDepth);
    assert_eq!(refused(|c| c.send_queue_depth = 7), ConfigError::SendQueueDepth);
    assert_eq!(refused(|c| c.send_queue_depth = 129), ConfigError::SendQueueDepth);
    for memory in [
        LocalMemory { ring_addr: u64::MAX - 63, ..MEMORY },
        LocalMemory { list_addr: u64::MAX - 31, ..MEMORY },
    ] {
        assert_eq!(Engine::new(CONFIG, Role::Active, memory).unwrap_err(), ConfigError::Memory);
    }
    Engine::new(Config::DEFAULT, Role::Passive, MEMORY).unwrap();
}

#[test]
fn private_data_publishes_the_first_half_and_keeps_the_reserve_back() {
    let engine = Engine::new(CONFIG, Role::Active, MEMORY).unwrap();
    let data = engine.local_conn_data();
    assert_eq!(data.credits, 16);
    assert_eq!(data.first_region, TargetEntry { addr: 0x1000, key: 7, len: 32 });
    assert_eq!(data.target_list, TargetList { addr: 0x8000, key: 8, entries: 2 });
    assert_eq!((data.big_endian, data.iomap_size), (false, Some(0)));
}

#[test]
fn the_first_message_of_the_active_side_publishes_the_second_half() {
    let mut engine = Engine::new(CONFIG, Role::Active, MEMORY).unwrap();
    assert_eq!(engine.queue_send(5), Err(UsageError::NotSendable));
    assert_eq!(engine.poll_transmit(u32::MAX), None);
    engine.establish(&PEER).unwrap();
    engine.queue_send(5).unwrap();
    let second_half = TargetEntry { addr: 0x1020, key: 7, len: 32 };
    assert_eq!(credit(&mut engine), Some((Some((0xa010, second_half)), 0x8000_0010)));
    assert_eq!(data(&mut engine), Some((0, 5, 0xb000)));
    assert_eq!(engine.poll_transmit(u32::MAX), None);
}

#[test]
fn the_passive_side_says_nothing_before_it_hears_something() {
    let mut engine = Engine::new(CONFIG, Role::Passive, MEMORY).unwrap();
    engine.establish(&PEER).unwrap();
    engine.queue_send(5).unwrap();
    assert!(!engine.may_send());
    assert_eq!(engine.poll_transmit(u32::MAX), None);
    receive(&mut engine, Word::Credit(100));
    assert!(engine.may_send());
    assert!(credit(&mut engine).is_some());
    assert_eq!(data(&mut engine), Some((0, 5, 0xb000)));
}

/// The captured half close, the engine in the place of the passive side. What it sends goes before what the
/// other sent next, as it looks at each message at once.
#[test]
fn the_captured_conversation_with_a_linux_peer() {
    let linux = ConnData::decode(&[
        0x01, 0x02, 0x01, 0x80, 0, 0, 0, 0, //
        0x00, 0x00, 0x55, 0x75, 0xce, 0x3e, 0x60, 0x00, 0x1a, 0x44, 0x7f, 0x00, 0x00, 0x00, 0x00,
        0x02, //
        0x00, 0x00, 0x7f, 0x39, 0x77, 0xb7, 0x70, 0x00, 0x5b, 0x4d, 0xcc, 0x00, 0x00, 0x01, 0x00, 0x00,
    ])
    .unwrap();
    let memory = LocalMemory {
        ring_addr: 0x7f93_bdf2_c000,
        ring_key: 0x841e_0000,
        list_addr: 0x7f93_b800_3000,
        list_key: 0xb1ba_3600,
    };
    let mut engine = Engine::new(Config::DEFAULT, Role::Passive, memory).unwrap();
    engine.establish(&linux).unwrap();
    let hear = |engine: &mut Engine, octets: [u8; 4], entry| engine.handle_message(&octets, entry).unwrap();

    assert_eq!(hear(&mut engine, [0x37, 0, 0, 0], NO_ENTRY), Event::Readable(55));
    assert_eq!(engine.readable_span(0), Some(Span { ring: 0, offset: 0, len: 55 }));
    let second_half = TargetEntry { addr: 0x7f93_bdf3_c000, key: 0x841e_0000, len: 0x1_0000 };
    assert_eq!(
        engine.poll_transmit(u32::MAX),
        Some(Transmit::Credit {
            publish: Some(Publish {
                entry: second_half.encode(),
                remote_addr: 0x5575_ce3e_6010,
                remote_key: 0x1a44_7f00
            }),
            word: u32::from_le_bytes([0xb0, 0, 0, 0x80]),
        })
    );
    assert_eq!(hear(&mut engine, [2, 0, 0, 0xe0], NO_ENTRY), Event::PeerShutdown);
    assert_eq!(engine.wanted_entry(), 1);
    let entry = TargetEntry { addr: 0x7f39_77b8_7000, key: 0x5b4d_cc00, len: 0x1_0000 };
    assert_eq!(hear(&mut engine, [0x80, 1, 0, 0x80], entry.encode()), Event::Credit { clear_entry: Some(1) });
    assert!(!engine.end_of_stream());
    engine.consume(55).unwrap();
    assert!(engine.end_of_stream());

    engine.queue_send(77).unwrap();
    engine.shutdown_send();
    assert_eq!(
        engine.poll_transmit(u32::MAX),
        Some(Transmit::Data {
            stream_offset: 0,
            len: 77,
            remote_addr: 0x7f39_77b7_7000,
            remote_key: 0x5b4d_cc00,
            word: u32::from_le_bytes([0x4d, 0, 0, 0]),
            credit: None,
        })
    );
    let disconnect = u32::from_le_bytes([0, 0, 0, 0xe0]);
    assert_eq!(engine.poll_transmit(u32::MAX), Some(Transmit::Control { word: disconnect }));
    assert_eq!(engine.state(), State::Finished);
    for sent in [0, 77, 77] {
        assert!(!engine.ready_to_close());
        assert_eq!(engine.handle_transmit_complete(), Ok(sent));
    }
    assert!(engine.ready_to_close());
}

#[test]
fn queued_octets_go_in_as_few_writes_as_regions_allow() {
    let mut engine = open(CONFIG, PEER);
    for len in [1, 2, 997, 30] {
        engine.queue_send(len).unwrap();
    }
    assert_eq!(data(&mut engine), Some((0, 1000, 0xb000)));
    assert_eq!(engine.poll_transmit(u32::MAX), None);
    assert_eq!(engine.counters().stalls_no_room, 1);
    assert_eq!(engine.poll_transmit(u32::MAX), None);
    assert_eq!(engine.counters().stalls_no_room, 1, "one wait, however often it is asked about");
    let more = TargetEntry { addr: 0xc000, key: 11, len: 20 };
    engine.handle_message(&Word::Credit(100).octets(), more.encode()).unwrap();
    assert_eq!(data(&mut engine), Some((1000, 20, 0xc000)));
    assert_eq!((engine.posted_offset(), engine.queued_offset(), engine.sent_offset()), (1020, 1030, 0));
    assert_eq!(engine.handle_transmit_complete(), Ok(1000));
    assert_eq!(engine.handle_transmit_complete(), Ok(1020));
    assert_eq!(engine.handle_transmit_complete(), Err(UsageError::NothingOutstanding));
}

#[test]
fn a_message_reports_at_most_29_bits_of_octets() {
    let first_region = TargetEntry { len: u32::MAX, ..PEER.first_region };
    let mut engine = open(CONFIG, ConnData { first_region, ..PEER });
    engine.queue_send(u64::from(u32::MAX) + 5).unwrap();
    let most = (1 << 29) - 1;
    assert_eq!(data(&mut engine), Some((0, most, 0xb000)));
    assert_eq!(data(&mut engine), Some((u64::from(most), most, 0xb000 + u64::from(most))));
}

#[test]
fn small_sends_wait_for_each_other_but_never_the_first() {
    let mut engine = open(Config { merge_below: 100, ..CONFIG }, PEER);
    engine.queue_send(10).unwrap();
    assert_eq!(data(&mut engine), Some((0, 10, 0xb000)), "nothing is outstanding");
    for _ in 0..9 {
        engine.queue_send(10).unwrap();
        assert_eq!(engine.poll_transmit(u32::MAX), None);
    }
    assert_eq!(engine.counters().merge_waits, 1);
    engine.queue_send(10).unwrap();
    assert_eq!(data(&mut engine), Some((10, 100, 0xb00a)), "enough for a message of its own");
    engine.queue_send(1).unwrap();
    assert_eq!(engine.poll_transmit(u32::MAX), None);
    engine.handle_transmit_complete().unwrap();
    assert_eq!(engine.poll_transmit(u32::MAX), None, "one is still outstanding");
    engine.handle_transmit_complete().unwrap();
    assert_eq!(data(&mut engine), Some((110, 1, 0xb06e)));
}

#[test]
fn what_fills_a_region_or_ends_the_stream_does_not_wait() {
    let first_region = TargetEntry { len: 15, ..PEER.first_region };
    let mut engine = open(Config { merge_below: 100, ..CONFIG }, ConnData { first_region, ..PEER });
    engine.queue_send(10).unwrap();
    assert!(data(&mut engine).is_some());
    engine.queue_send(5).unwrap();
    assert_eq!(data(&mut engine), Some((10, 5, 0xb00a)), "the region is full");
    let more = TargetEntry { addr: 0xc000, key: 11, len: 20 };
    engine.handle_message(&Word::Credit(100).octets(), more.encode()).unwrap();
    engine.queue_send(3).unwrap();
    assert_eq!(engine.poll_transmit(u32::MAX), None);
    engine.shutdown_send();
    assert_eq!(data(&mut engine), Some((15, 3, 0xc000)), "nothing can join it");
}

#[test]
fn an_owner_may_bound_or_refuse_data() {
    let mut engine = open(CONFIG, PEER);
    engine.queue_send(10).unwrap();
    assert_eq!(engine.poll_transmit(0), None);
    match engine.poll_transmit(4) {
        Some(Transmit::Data { len: 4, stream_offset: 0, .. }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(data(&mut engine), Some((4, 6, 0xb004)));
}

#[test]
fn slots_are_kept_for_returning_room() {
    let mut engine = open(Config { send_queue_depth: 8, ..CONFIG }, PEER);
    for _ in 0..3 {
        engine.queue_send(1).unwrap();
        engine.poll_transmit(u32::MAX);
    }
    assert_eq!(engine.outstanding(), 2);
    assert_eq!(engine.counters().stalls_queue_full, 1);
    receive(&mut engine, Word::Data(32));
    receive(&mut engine, Word::Data(32));
    engine.consume(64).unwrap();
    assert!(matches!(credit(&mut engine), Some((Some(_), _))));
    assert!(matches!(credit(&mut engine), Some((Some(_), _))), "eight slots are taken");
    engine.disconnect();
    assert_eq!(engine.poll_transmit(u32::MAX), None);
    engine.handle_transmit_complete().unwrap();
    assert_eq!(engine.poll_transmit(u32::MAX), None, "data needs six free slots");
    engine.handle_transmit_complete().unwrap();
    assert_eq!(engine.poll_transmit(u32::MAX), None);
    engine.handle_transmit_complete().unwrap();
    assert_eq!(data(&mut engine).map(|(offset, ..)| offset), Some(2));
}

#[test]
fn work_requests_are_what_is_posted() {
    let publish = Publish { entry: NO_ENTRY, remote_addr: 0, remote_key: 0 };
    let data =
        Transmit::Data { stream_offset: 0, len: 1, remote_addr: 0, remote_key: 0, word: 1, credit: None };
    assert_eq!((data.work_requests(), &data.head()[..]), (2, &[1, 0, 0, 0][..]));
    let credit = Transmit::Credit { publish: Some(publish), word: 2 };
    assert_eq!((credit.work_requests(), &credit.head()[..]), (2, &[2, 0, 0, 0][..]));
    assert_eq!(Transmit::Credit { publish: None, word: 2 }.work_requests(), 1);
    assert_eq!(Transmit::Control { word: 3 }.work_requests(), 1);
    let inside = Transmit::SendData { stream_offset: 0, len: 1, word: 3, credit: Some(4) };
    assert_eq!((inside.work_requests(), &inside.head()[..]), (1, &[3, 0, 0, 0, 4, 0, 0, 0][..]));
    assert_eq!(Transmit::Abort { word: 5 }.work_requests(), 1);
    let probe = Transmit::Probe { remote_addr: 1, remote_key: 2 };
    assert_eq!((probe.work_requests(), &probe.head()[..]), (1, &[][..]));
}

#[test]
fn halves_go_back_in_turn_round_the_entries_of_the_peer() {
    for entries in [2u32, 3, 5] {
        let target_list = TargetList { entries, ..PEER.target_list };
        let mut engine = open(CONFIG, ConnData { target_list, ..PEER });
        for lap in 1..20u32 {
            receive(&mut engine, Word::Data(32));
            engine.consume(31).unwrap();
            assert_eq!(engine.poll_transmit(u32::MAX), None, "not before the last octet is drained");
            engine.consume(1).unwrap();
            let half = TargetEntry { addr: if lap % 2 == 0 { 0x1020 } else { 0x1000 }, key: 7, len: 32 };
            let index = (1 + lap) % entries;
            let limit = 0x8000_0000 | (lap + 16);
            assert_eq!(credit(&mut engine), Some((Some((0xa000 + 16 * u64::from(index), half)), limit)));
            engine.handle_transmit_complete().unwrap();
        }
    }
}

#[test]
fn credit_goes_back_alone_after_half_of_the_messages() {
    let mut engine = open(CONFIG, PEER);
    for _ in 0..8 {
        receive(&mut engine, Word::Data(2));
    }
    engine.consume(15).unwrap();
    assert_eq!(engine.poll_transmit(u32::MAX), None, "half of the eighth message is unread");
    engine.consume(1).unwrap();
    assert_eq!(credit(&mut engine), Some((None, 0x8000_0000 | 24)));
    assert_eq!(engine.poll_transmit(u32::MAX), None);
}

#[test]
fn an_iomap_update_gives_its_credit_back_at_once() {
    let mut engine = open(CONFIG, PEER);
    for _ in 0..8 {
        assert_eq!(receive(&mut engine, Word::IomapUpdate(0)), Event::Ignored);
    }
    assert_eq!(credit(&mut engine), Some((None, 0x8000_0000 | 24)));
}

#[test]
fn the_ring_is_read_in_contiguous_pieces() {
    let mut engine = open(CONFIG, PEER);
    assert_eq!(engine.readable_span(0), None);
    receive(&mut engine, Word::Data(32));
    receive(&mut engine, Word::Data(30));
    assert_eq!(engine.readable_span(0), Some(Span { ring: 0, offset: 0, len: 62 }), "messages do not show");
    assert_eq!(engine.readable_span(40), Some(Span { ring: 0, offset: 40, len: 22 }));
    assert_eq!(engine.readable_span(62), None);
    assert_eq!(engine.consume(63), Err(UsageError::NotReadable));
    engine.consume(50).unwrap();
    assert!(credit(&mut engine).is_some());
    receive(&mut engine, Word::Data(2));
    receive(&mut engine, Word::Data(9));
    assert_eq!(engine.readable(), 23);
    assert_eq!(engine.readable_span(0), Some(Span { ring: 0, offset: 50, len: 14 }));
    assert_eq!(engine.readable_span(14), Some(Span { ring: 0, offset: 0, len: 9 }));
    assert_eq!(engine.readable_span(13), Some(Span { ring: 0, offset: 63, len: 1 }));
    assert_eq!(engine.readable_span(u64::MAX), None);
}

#[test]
fn entries_are_taken_in_order_and_each_once() {
    let mut engine = open(Config { list_entries: 3, ..CONFIG }, PEER);
    let entry = |addr| TargetEntry { addr, key: 1, len: 100 }.encode();
    assert_eq!(engine.wanted_entry(), 1);
    assert_eq!(receive(&mut engine, Word::Credit(100)), Event::Credit { clear_entry: None });
    assert_eq!(engine.wanted_entry(), 1, "a credit message without an entry");
    let word = Word::Credit(100).octets();
    assert_eq!(engine.handle_message(&word, entry(0xc000)), Ok(Event::Credit { clear_entry: Some(1) }));
    assert_eq!(engine.handle_message(&word, entry(0xd000)), Ok(Event::Credit { clear_entry: Some(2) }));
    assert_eq!(engine.wanted_entry(), 0);
    engine.queue_send(1200).unwrap();
    let pieces: Vec<_> = core::iter::from_fn(|| data(&mut engine)).collect();
    assert_eq!(pieces, [(0, 1000, 0xb000), (1000, 100, 0xc000), (1100, 100, 0xd000)]);
    let empty = TargetEntry { addr: 5, key: 5, len: 0 }.encode();
    assert_eq!(engine.handle_message(&word, empty), Ok(Event::Credit { clear_entry: None }));
    assert_eq!(engine.handle_message(&word, entry(0xe000)), Ok(Event::Credit { clear_entry: Some(0) }));
    assert_eq!(engine.wanted_entry(), 1);
}

#[test]
fn a_peer_may_publish_nothing_at_first() {
    let first_region = TargetEntry { addr: 0, key: 0, len: 0 };
    let mut engine = open(CONFIG, ConnData { first_region, ..PEER });
    engine.queue_send(1).unwrap();
    assert_eq!(engine.poll_transmit(u32::MAX), None);
    assert_eq!(engine.counters().stalls_no_room, 1);
}

#[test]
fn data_messages_stop_at_their_share_and_go_on_with_proof() {
    let mut engine = open(CONFIG, PEER);
    // 100 credits of the peer, less 2 for control messages and 17 for credit messages.
    for _ in 0..81 {
        engine.queue_send(1).unwrap();
        assert!(data(&mut engine).is_some());
        engine.handle_transmit_complete().unwrap();
    }
    engine.queue_send(1).unwrap();
    assert_eq!(engine.poll_transmit(u32::MAX), None);
    assert_eq!(engine.counters().stalls_no_credit, 1);
    receive(&mut engine, Word::Credit(102));
    assert!(data(&mut engine).is_some(), "two are proved seen, so two more may go");
    engine.queue_send(1).unwrap();
    assert!(data(&mut engine).is_some());
    engine.queue_send(1).unwrap();
    assert_eq!(engine.poll_transmit(u32::MAX), None);
}

#[test]
fn a_stream_longer_than_its_offsets_is_refused() {
    let mut engine = open(CONFIG, PEER);
    engine.queue_send(u64::MAX).unwrap();
    assert_eq!(engine.queue_send(1), Err(UsageError::StreamTooLong));
    assert_eq!(data(&mut engine), Some((0, 1000, 0xb000)));
}

#[test]
fn totals_say_what_happened() {
    let mut engine = open(CONFIG, PEER);
    engine.queue_send(3).unwrap();
    assert!(data(&mut engine).is_some());
    receive(&mut engine, Word::Data(4));
    receive(&mut engine, Word::Credit(101));
    let counters = *engine.counters();
    assert_eq!((counters.writes, counters.sends), (2, 2));
    assert_eq!((counters.data_messages_sent, counters.octets_sent), (1, 3));
    assert_eq!((counters.data_messages_received, counters.octets_received), (1, 4));
    assert_eq!((counters.credits_sent, counters.credits_received), (1, 1));
}

#[test]
fn an_engine_is_small_and_of_fixed_size() {
    assert!(size_of::<Engine>() < 3072, "{} octets", size_of::<Engine>());
}
