use super::*;
use std::vec::Vec;

/// Private data of the request captured between two librdmacm endpoints over iWARP.
const CAPTURED_REQUEST: [u8; 40] = [
    0x01, 0x02, 0x01, 0x80, 0x00, 0x00, 0x00, 0x00, //
    0x00, 0x00, 0x55, 0x75, 0xce, 0x3e, 0x60, 0x00, 0x1a, 0x44, 0x7f, 0x00, 0x00, 0x00, 0x00, 0x02, //
    0x00, 0x00, 0x7f, 0x39, 0x77, 0xb7, 0x70, 0x00, 0x5b, 0x4d, 0xcc, 0x00, 0x00, 0x01, 0x00, 0x00,
];

/// Private data of the reply to it.
const CAPTURED_REPLY: [u8; 40] = [
    0x01, 0x02, 0x01, 0x80, 0x00, 0x00, 0x00, 0x00, //
    0x00, 0x00, 0x7f, 0x93, 0xb8, 0x00, 0x30, 0x00, 0xb1, 0xba, 0x36, 0x00, 0x00, 0x00, 0x00, 0x02, //
    0x00, 0x00, 0x7f, 0x93, 0xbd, 0xf2, 0xc0, 0x00, 0x84, 0x1e, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00,
];

fn request() -> ConnData {
    ConnData {
        big_endian: false,
        iomap_size: Some(0),
        credits: 384,
        offer: None,
        target_list: TargetList { addr: 0x5575_ce3e_6000, key: 0x1a44_7f00, entries: 2 },
        first_region: TargetEntry { addr: 0x7f39_77b7_7000, key: 0x5b4d_cc00, len: 65_536 },
    }
}

#[test]
fn captured_private_data_reads_and_writes_back_octet_for_octet() {
    assert_eq!(ConnData::decode(&CAPTURED_REQUEST), Ok(request()));
    assert_eq!(request().encode(), CAPTURED_REQUEST);

    let reply = ConnData::decode(&CAPTURED_REPLY).unwrap();
    assert_eq!(reply.target_list, TargetList { addr: 0x7f93_b800_3000, key: 0xb1ba_3600, entries: 2 });
    assert_eq!(
        reply.first_region,
        TargetEntry { addr: 0x7f93_bdf2_c000, key: 0x841e_0000, len: 0x0001_0000 }
    );
    assert_eq!(reply.encode(), CAPTURED_REPLY);
}

#[test]
fn octets_left_for_extensions_are_ignored() {
    let mut octets = CAPTURED_REQUEST.to_vec();
    octets[1] |= 0b1111_1000;
    octets[4..7].copy_from_slice(&[1, 2, 3]);
    octets.extend_from_slice(&[0xff; 16]);
    assert_eq!(ConnData::decode(&octets), Ok(request()));
}

#[test]
fn an_offer_lies_in_octets_that_linux_ignores() {
    let offer = Offer { extensions: Extensions::KEEPALIVE, message_len: 0x1234 };
    let data = ConnData { offer: Some(offer), ..request() };
    let octets = data.encode();
    assert_eq!(octets[..8], [0x01, 0x06, 0x01, 0x80, 0x01, 0x12, 0x34, 0x00]);
    assert_eq!(octets[8..], CAPTURED_REQUEST[8..]);
    assert_eq!(ConnData::decode(&octets), Ok(data));
    // Extensions of a later version are not known here.
    let mut later = octets;
    later[4] |= 0x80;
    assert_eq!(ConnData::decode(&later), Ok(data));
    let short = ConnData { offer: Some(Offer { message_len: 3, ..offer }), ..request() };
    assert_eq!(ConnData::decode(&short.encode()), Err(ConnDataError::MessageLen(3)));
}

#[test]
fn the_iomap_size_counts_only_with_its_flag() {
    let mut octets = CAPTURED_REQUEST;
    octets[1] = 0;
    octets[7] = 9;
    assert_eq!(ConnData::decode(&octets).unwrap().iomap_size, None);
    octets[1] = 2;
    let data = ConnData::decode(&octets).unwrap();
    assert_eq!(data.iomap_size, Some(9));
    assert_eq!(data.encode(), octets);
    assert_eq!(ConnData { iomap_size: None, ..request() }.encode()[1], 0);
}

#[test]
fn short_private_data_is_refused_at_every_length() {
    for len in 0..CONN_DATA_LEN {
        assert_eq!(ConnData::decode(&CAPTURED_REQUEST[..len]), Err(ConnDataError::TooShort));
    }
}

#[test]
fn each_bad_field_of_private_data_is_named() {
    for version in [0, 2, 255] {
        let mut octets = CAPTURED_REQUEST;
        octets[0] = version;
        assert_eq!(ConnData::decode(&octets), Err(ConnDataError::Version(version)));
    }
    let refused = |change: fn(&mut ConnData)| {
        let mut data = request();
        change(&mut data);
        ConnData::decode(&data.encode()).unwrap_err()
    };
    assert_eq!(refused(|d| d.big_endian = true), ConnDataError::ByteOrder);
    assert_eq!(refused(|d| d.credits = 0), ConnDataError::Credits(0));
    assert_eq!(refused(|d| d.credits = 15), ConnDataError::Credits(15));
    assert_eq!(refused(|d| d.credits = 0xffff), ConnDataError::Credits(0xffff));
    assert_eq!(refused(|d| d.target_list.entries = 0), ConnDataError::ListEntries(0));
    assert_eq!(refused(|d| d.target_list.entries = 1), ConnDataError::ListEntries(1));
    assert_eq!(refused(|d| d.target_list.addr = u64::MAX - 30), ConnDataError::ListWraps);
    assert_eq!(refused(|d| d.first_region.addr = u64::MAX - 65_534), ConnDataError::RegionWraps);
}

#[test]
fn private_data_at_the_edges_is_accepted() {
    let edge = ConnData {
        credits: 0xfffe,
        target_list: TargetList { addr: u64::MAX - 48, key: 0, entries: 3 },
        first_region: TargetEntry { addr: u64::MAX - 65_536, key: 0, len: 65_536 },
        ..request()
    };
    assert_eq!(ConnData::decode(&edge.encode()), Ok(edge));
    // Nothing published yet is legal: an empty entry.
    let empty =
        ConnData { credits: 16, first_region: TargetEntry { addr: u64::MAX, key: 0, len: 0 }, ..request() };
    assert_eq!(ConnData::decode(&empty.encode()), Ok(empty));
}

#[test]
fn words_have_the_captured_octets() {
    for (word, number, octets) in [
        (Word::Data(55), 0x0000_0037, [0x37, 0, 0, 0]),
        (Word::Data(77), 0x0000_004d, [0x4d, 0, 0, 0]),
        (Word::Credit(384), 0x8000_0180, [0x80, 0x01, 0, 0x80]),
        (Word::IomapUpdate(0), 0xc000_0000, [0, 0, 0, 0xc0]),
        (Word::Disconnect, 0xe000_0000, [0, 0, 0, 0xe0]),
        (Word::Keepalive, 0xe000_0001, [1, 0, 0, 0xe0]),
        (Word::Shutdown, 0xe000_0002, [2, 0, 0, 0xe0]),
        (Word::Data(MAX_DATA_LEN), 0x1fff_ffff, [0xff, 0xff, 0xff, 0x1f]),
    ] {
        assert_eq!(word.encode(), number);
        assert_eq!(word.octets(), octets);
        assert_eq!(Word::decode(number, Extensions::empty()), Ok(word));
    }
}

#[test]
fn a_linux_credit_limit_may_carry_more_than_16_bits() {
    // Linux adds two 16-bit numbers and sends the 17-bit sum.
    assert_eq!(Word::decode(0x8001_0010, Extensions::empty()), Ok(Word::Credit(0x10)));
}

#[test]
fn words_that_no_peer_may_send_are_refused() {
    for op in [1u8, 2, 3, 5] {
        for data in [0, 1, 0x1fff_ffff] {
            let word = (u32::from(op) << 29) | data;
            assert_eq!(Word::decode(word, Extensions::empty()), Err(WordError::ReservedOperation(op)));
        }
    }
    assert_eq!(Word::decode(0, Extensions::empty()), Err(WordError::EmptyData));
    for code in [3, 4, 0x1fff_ffff] {
        assert_eq!(
            Word::decode(0xe000_0000 | code, Extensions::empty()),
            Err(WordError::UnknownControl(code))
        );
    }
}

#[test]
fn a_target_entry_has_the_captured_layout() {
    // The address, key and length of a captured iomap entry, which ends in a target entry.
    let octets = [
        0x00, 0x90, 0x15, 0x8f, 0xf4, 0x55, 0x00, 0x00, //
        0x00, 0xc1, 0x39, 0x23, 0x00, 0x20, 0x00, 0x00,
    ];
    let entry = TargetEntry { addr: 0x55f4_8f15_9000, key: 0x2339_c100, len: 0x2000 };
    assert_eq!(TargetEntry::decode(octets), entry);
    assert_eq!(entry.encode(), octets);
}

#[test]
fn entries_of_a_list_follow_each_other() {
    let list = TargetList { addr: 0x5575_ce3e_6000, key: 7, entries: 3 };
    let addrs: Vec<_> = (0..3).map(|index| list.entry_addr(index).unwrap()).collect();
    assert_eq!(addrs, [0x5575_ce3e_6000, 0x5575_ce3e_6010, 0x5575_ce3e_6020]);
    assert!(!list.wraps());
    assert!(TargetList { addr: u64::MAX - 47, ..list }.wraps());
    assert_eq!(TargetList { addr: u64::MAX, ..list }.entry_addr(1), None);
}

#[test]
fn a_refusal_by_the_program_is_told_from_any_other() {
    assert_eq!(PROGRAM_REFUSAL, [1, 0x04, 1, 0]);
    assert!(refused_by_program(&PROGRAM_REFUSAL));
    assert!(
        refused_by_program(&[1, 0x0F, 1, 9, 0, 0, 0, 0]),
        "padded, with flags and octets of a later version"
    );
    for other in
        [&[][..], &[1, 0x04], &[0; 148], &[2, 0x04, 1, 0], &[1, 0, 1, 0], &[1, 0x04, 0, 0], &[1, 0x04, 2, 0]]
    {
        assert!(!refused_by_program(other), "{other:?}");
    }
}
