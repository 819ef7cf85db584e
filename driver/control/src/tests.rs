use crate::driver::{
    AdapterRow, IOCTL_STATUS, IOCTL_VERSION, ReasonRow, Row, SocketRow, Source, StatusHeader, Version, Work,
    handle,
};
use crate::{Address, Malformed, Record, client};
use abi::status::*;
use core::net::SocketAddr;
extern crate std;
use std::vec;
use std::vec::Vec;

struct Two;

fn adapter() -> AdapterRow {
    AdapterRow {
        technology: 1,
        major: 2,
        minor: 1,
        interface_index: 7,
        flags: 3,
        state: 4,
        status: 5,
        answered_twice: 6,
        events_too_many: 7,
        entries_too_many: 8,
        entries_missing: 9,
        unanswered: 10,
        prepared: 11,
        registered: 1 << 33,
        prepared_hits: 1 << 34,
        prepared_misses: 1 << 35,
        name: [b'a'; 32],
    }
}

fn socket() -> SocketRow {
    SocketRow {
        kind: 2,
        path: 1,
        reason: 0,
        state: 3,
        local: "127.0.0.1:4000".parse::<SocketAddr>().unwrap().into(),
        remote: "[::1]:65535".parse::<SocketAddr>().unwrap().into(),
        work: Work { octets_sent: u64::MAX, stalls: 9, ..Work::default() },
    }
}

fn reason() -> ReasonRow {
    ReasonRow { reason: 1, reserved: 0, count: 1 << 40 }
}

impl Source for Two {
    fn header(&self) -> StatusHeader {
        StatusHeader {
            contract: 4,
            adapters: 0,
            sockets: 0,
            irps_outstanding: 5,
            reasons: 0,
            reserved: 0,
            total: Work::default(),
        }
    }
    fn rows(&self, sink: &mut dyn FnMut(Row) -> bool) {
        let _ = sink(Row::Adapter(adapter())) && sink(Row::Socket(socket())) && sink(Row::Reason(reason()));
    }
}

#[test]
fn codes_are_buffered_private_and_carry_access() {
    let codes = [
        IOCTL_VERSION,
        IOCTL_STATUS,
        client::IOCTL_VERSION,
        client::IOCTL_SOCKET,
        client::IOCTL_BIND,
        client::IOCTL_ACCEPT,
        client::IOCTL_CONNECT,
        client::IOCTL_SEND,
        client::IOCTL_RECEIVE,
        client::IOCTL_DISCONNECT,
        client::IOCTL_LOCAL_ADDRESS,
        client::IOCTL_REMOTE_ADDRESS,
        client::IOCTL_CLOSE,
        client::cases::IOCTL_CASES,
        client::cases::IOCTL_CASE,
        client::cases::IOCTL_CASE_RUN,
        client::cases::IOCTL_CASE_CANCEL,
    ];
    let mut seen: Vec<u32> = vec![];
    for code in codes {
        assert_eq!(code >> 16, 0x12, "device type of {code:#x}");
        assert_eq!(code & 3, 0, "METHOD_BUFFERED of {code:#x}");
        assert_ne!((code >> 14) & 3, 0, "access bits of {code:#x}");
        assert!((code >> 2) & 0xFFF >= 0x800, "private function of {code:#x}");
        assert!(!seen.contains(&code), "{code:#x} twice");
        seen.push(code);
    }
}

#[test]
fn version_fits_exactly_or_is_refused() {
    let mut buffer = [0u8; 64];
    assert_eq!(handle(IOCTL_VERSION, &mut buffer, 0, Version::SIZE, &Two), (STATUS_SUCCESS, 12));
    assert_eq!(Version::decode(&buffer).unwrap(), Version::CURRENT);
    assert_eq!(handle(IOCTL_VERSION, &mut buffer, 0, 11, &Two), (STATUS_BUFFER_TOO_SMALL, 0));
    assert_eq!(handle(IOCTL_VERSION, &mut [], 0, 0, &Two), (STATUS_BUFFER_TOO_SMALL, 0));
    assert_eq!(handle(IOCTL_VERSION, &mut buffer, 1, 64, &Two), (STATUS_INVALID_BUFFER_SIZE, 0));
    assert_eq!(handle(IOCTL_VERSION + 4 * 77, &mut buffer, 0, 64, &Two), (STATUS_INVALID_DEVICE_REQUEST, 0));
    assert_eq!(handle(IOCTL_VERSION, &mut buffer, 0, 65, &Two), (STATUS_BUFFER_TOO_SMALL, 0));
}

#[test]
fn status_tells_how_many_rows_there_are_even_when_they_do_not_fit() {
    let full = StatusHeader::SIZE + AdapterRow::SIZE + SocketRow::SIZE + ReasonRow::SIZE;
    let mut buffer = vec![0u8; full];
    assert_eq!(handle(IOCTL_STATUS, &mut buffer, 0, full, &Two), (STATUS_SUCCESS, full));
    let header = StatusHeader::decode(&buffer).unwrap();
    assert_eq!((header.adapters, header.sockets, header.reasons, header.irps_outstanding), (1, 1, 1, 5));
    assert_eq!(AdapterRow::decode(&buffer[StatusHeader::SIZE..]).unwrap(), adapter());
    assert_eq!(SocketRow::decode(&buffer[StatusHeader::SIZE + AdapterRow::SIZE..]).unwrap(), socket());
    assert_eq!(ReasonRow::decode(&buffer[full - ReasonRow::SIZE..]).unwrap(), reason());

    for short in StatusHeader::SIZE..full {
        let (status, n) = handle(IOCTL_STATUS, &mut buffer, 0, short, &Two);
        assert_eq!(status, STATUS_BUFFER_OVERFLOW);
        assert!(n <= short);
        let header = StatusHeader::decode(&buffer).unwrap();
        assert_eq!((header.sockets, header.reasons), (1, 1));
    }
    let short = StatusHeader::SIZE - 1;
    assert_eq!(handle(IOCTL_STATUS, &mut buffer, 0, short, &Two), (STATUS_BUFFER_TOO_SMALL, 0));
}

#[test]
fn a_record_refuses_every_shorter_buffer_and_leaves_it_alone() {
    for n in 0..SocketRow::SIZE {
        let mut short = vec![0xEEu8; n];
        let malformed = Malformed { need: SocketRow::SIZE, got: n };
        assert_eq!(SocketRow::decode(&short), Err(malformed));
        assert_eq!(socket().encode(&mut short), Err(malformed));
        assert!(short.iter().all(|b| *b == 0xEE));
    }
}

#[test]
fn addresses_cross_both_ways() {
    for text in ["0.0.0.0:0", "127.0.0.1:80", "[::1]:65535", "[fe80::1%7]:1"] {
        let address: SocketAddr = text.parse().unwrap();
        assert_eq!(Address::from(address).to_socket_addr(), Some(address));
    }
    assert_eq!(Address::default().to_socket_addr(), None);
    assert_eq!(Address { family: 99, ..Address::default() }.to_socket_addr(), None);
}

#[test]
fn a_text_fits_its_field_or_is_cut_between_characters() {
    use client::cases::{field, text};
    assert_eq!(text(&field::<8>("abc")), "abc");
    assert_eq!(text(&field::<3>("abcd")), "abc");
    assert_eq!(text(&field::<4>("aä\u{20AC}")), "aä");
    assert_eq!(text(&field::<2>("\u{20AC}")), "");
    assert_eq!(text(&[b'a', 0xFF, b'b']), "a");
    assert_eq!(text(&[]), "");
}

#[test]
fn the_records_of_the_cases_have_their_sizes() {
    use client::cases::{CaseReply, CasesReply, FUNCTIONS, RunReply, RunRequest};
    assert_eq!((CasesReply::SIZE, CaseReply::SIZE), (32, 112));
    assert_eq!((RunRequest::SIZE, RunReply::SIZE), (32, 256));
    assert!(FUNCTIONS.len() < 64, "a mask has 64 bits");
}
