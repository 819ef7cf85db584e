use crate::driver::*;
use crate::{Address, Malformed, Record, client, reference};
use abi::NTSTATUS;
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
        connections: 10,
        reserved: 0,
        work: Work { writes: 11, ..Work::default() },
    }
}

fn socket() -> SocketRow {
    SocketRow {
        kind: 2,
        path: 1,
        reason: 0,
        state: 3,
        interface_index: NO_INTERFACE,
        failure: 0xC000_020D,
        sends_waiting: 4,
        receives_waiting: 5,
        unsent: 6,
        unread: 7,
        local: "127.0.0.1:4000".parse::<SocketAddr>().unwrap().into(),
        remote: "[::1]:65535".parse::<SocketAddr>().unwrap().into(),
        work: Work { octets_sent: u64::MAX, stalls: 9, ..Work::default() },
    }
}

fn reason() -> ReasonRow {
    ReasonRow { reason: 1, reserved: 0, count: 1 << 40 }
}

fn event(sequence: u64) -> EventRow {
    EventRow {
        sequence,
        time: 7,
        kind: 8,
        reason: 1,
        status: 2,
        value: 3,
        local: Address::default(),
        remote: "127.0.0.1:4000".parse::<SocketAddr>().unwrap().into(),
    }
}

impl Source for Two {
    fn header(&self) -> StatusHeader {
        StatusHeader {
            contract: CONTRACT_VERSION,
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
    fn events(&self, after: u64, sink: &mut dyn FnMut(EventRow) -> bool) -> (u64, u64) {
        let _all = (after + 1..=3).all(|sequence| sink(event(sequence)));
        (3, 99)
    }
    fn rules(&self, sink: &mut dyn FnMut(RuleRow) -> bool) {
        let _ = sink(RuleRow { text: [b'r'; 128] }) && sink(RuleRow { text: [b's'; 128] });
    }
    fn judge(&self, rules: &str, enforce: bool) -> Result<PolicyVerdict, NTSTATUS> {
        if rules.contains("no memory") {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        let rules = lines(rules).count() as u32;
        Ok(PolicyVerdict { rules, wrong: 0, line: 0, in_force: enforce.into(), error: [0; 128] })
    }
    fn why(&self, local: Option<SocketAddr>, remote: SocketAddr) -> WhyReply {
        WhyReply {
            contract: CONTRACT_VERSION,
            path: 1,
            reason: 2,
            falls_back: 1,
            action: 0,
            rule: 3,
            remembered_ms: 4,
            route_status: 0,
            interface_index: 5,
            reserved: 0,
            local: local.unwrap_or(remote).into(),
            adapter: [b'a'; 32],
            rule_text: [b't'; 128],
        }
    }
}

#[test]
fn codes_are_buffered_private_and_carry_access() {
    let codes = reference::DRIVER.iter().chain(reference::CLIENT).map(|ioctl| ioctl.code);
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

/// Asks `code` with a system buffer that holds `input` and, behind it, what an earlier request has left there.
fn ask(code: u32, input: &[u8], output: usize, left: u8) -> (NTSTATUS, Vec<u8>) {
    let mut buffer = vec![left; input.len().max(output)];
    buffer[..input.len()].copy_from_slice(input);
    let (status, n) = handle(code, &mut buffer, input.len(), output, &Two);
    assert!(n <= output, "no more than there is room for");
    (status, buffer[..n].to_vec())
}

fn octets(record: &impl Record) -> Vec<u8> {
    let mut octets = vec![0; 512];
    let n = record.encode(&mut octets).unwrap();
    octets.truncate(n);
    octets
}

/// Every request with its input and the room its whole answer takes.
fn requests() -> Vec<(u32, Vec<u8>, usize)> {
    let remote: Address = "10.0.0.1:7".parse::<SocketAddr>().unwrap().into();
    let why = octets(&WhyRequest { local: Address::default(), remote });
    vec![
        (IOCTL_VERSION, vec![], Version::SIZE),
        (IOCTL_STATUS, vec![], StatusHeader::SIZE + AdapterRow::SIZE + SocketRow::SIZE + ReasonRow::SIZE),
        (IOCTL_EVENTS, octets(&EventsRequest { after: 0 }), EventsHeader::SIZE + 3 * EventRow::SIZE),
        (IOCTL_POLICY, vec![], PolicyHeader::SIZE + 2 * RuleRow::SIZE),
        (IOCTL_POLICY_CHECK, b"a\nb".to_vec(), PolicyVerdict::SIZE),
        (IOCTL_POLICY_SET, b"a\nb".to_vec(), PolicyVerdict::SIZE),
        (IOCTL_WHY, why, WhyReply::SIZE),
    ]
}

/// What is not written for a reply is an octet of somebody else's: the answer must not depend on what was in the buffer.
#[test]
fn every_octet_of_a_reply_is_written_for_it_whatever_the_room() {
    for (code, input, whole) in requests() {
        for output in 0..=whole + 40 {
            let (first, second) = (ask(code, &input, output, 0xEE), ask(code, &input, output, 0x11));
            assert_eq!(first, second, "code {code:#x}, room for {output} octets");
            let complete = output >= whole;
            assert_eq!(
                first.0 == STATUS_SUCCESS && first.1.len() == whole,
                complete,
                "code {code:#x}, {output}"
            );
        }
    }
}

#[test]
fn a_question_of_another_length_is_refused() {
    for (code, input, whole) in requests() {
        let longer = [input.as_slice(), &[0]].concat();
        let shorter = input.get(1..).unwrap_or_default();
        let expected = match code {
            IOCTL_POLICY_CHECK | IOCTL_POLICY_SET => (STATUS_SUCCESS, STATUS_SUCCESS),
            IOCTL_EVENTS | IOCTL_WHY => (STATUS_INVALID_BUFFER_SIZE, STATUS_BUFFER_TOO_SMALL),
            _ => (STATUS_INVALID_BUFFER_SIZE, STATUS_SUCCESS),
        };
        assert_eq!(
            (ask(code, &longer, whole, 0).0, ask(code, shorter, whole, 0).0),
            expected,
            "code {code:#x}"
        );
    }
    let long = vec![b'#'; MAX_RULES_INPUT + 1];
    assert_eq!(ask(IOCTL_POLICY_SET, &long, 200, 0).0, STATUS_INVALID_BUFFER_SIZE);
    assert_eq!(ask(IOCTL_POLICY_SET, &long[1..], 200, 0).0, STATUS_SUCCESS);
    assert_eq!(ask(IOCTL_POLICY_SET, &[0xFF, 0xFE], 200, 0).0, STATUS_INVALID_PARAMETER);
    assert_eq!(ask(IOCTL_POLICY_CHECK, b"no memory", 200, 0).0, STATUS_INSUFFICIENT_RESOURCES);
}

#[test]
fn lengths_that_the_buffer_does_not_have_are_refused() {
    for (code, input, whole) in requests() {
        let mut short = vec![0; whole.saturating_sub(1)];
        assert!(handle(code, &mut short, input.len(), whole, &Two).0 < 0, "code {code:#x}");
        assert!(handle(code, &mut [], input.len(), 0, &Two).0 < 0, "code {code:#x}");
    }
}

#[test]
fn events_that_do_not_fit_are_asked_for_again() {
    let room = EventsHeader::SIZE + 2 * EventRow::SIZE;
    let (status, reply) = ask(IOCTL_EVENTS, &octets(&EventsRequest { after: 0 }), room, 0);
    let header = EventsHeader::decode(&reply).unwrap();
    assert_eq!((status, header.rows, header.last, header.now), (STATUS_BUFFER_OVERFLOW, 2, 3, 99));
    let (status, reply) = ask(IOCTL_EVENTS, &octets(&EventsRequest { after: 2 }), room, 0);
    assert_eq!((status, EventsHeader::decode(&reply).unwrap().rows), (STATUS_SUCCESS, 1));
    assert_eq!(EventRow::decode(&reply[EventsHeader::SIZE..]).unwrap(), event(3));
}

#[test]
fn a_question_why_needs_addresses_of_one_family() {
    let address = |text: &str| Address::from(text.parse::<SocketAddr>().unwrap());
    let why = |local, remote| ask(IOCTL_WHY, &octets(&WhyRequest { local, remote }), 300, 0).0;
    let strange = Address { family: 9, ..Address::default() };
    assert_eq!(why(Address::default(), address("1.2.3.4:5")), STATUS_SUCCESS);
    assert_eq!(why(address("0.0.0.0:0"), address("1.2.3.4:5")), STATUS_SUCCESS);
    for (local, remote) in [
        (Address::default(), Address::default()),
        (Address::default(), strange),
        (strange, address("1.2.3.4:5")),
        (address("[::]:0"), address("1.2.3.4:5")),
    ] {
        assert_eq!(why(local, remote), STATUS_INVALID_PARAMETER);
    }
}

#[test]
fn blank_lines_and_remarks_are_no_rules() {
    let found: Vec<_> = lines("\n  never any any  \r\n# all others\n\t\nprefer out any").collect();
    assert_eq!(found, [(2, "never any any"), (5, "prefer out any")]);
    assert_eq!(lines("").count(), 0);
}

/// Who writes the layouts down reads them from the same definitions; every octet of a record belongs to a field.
#[test]
fn layouts_have_no_gaps_and_every_field_is_described() {
    for layout in reference::DRIVER_RECORDS.iter().chain(reference::CLIENT_RECORDS) {
        assert_eq!(
            layout.fields.iter().map(|field| field.size).sum::<usize>(),
            layout.size,
            "{}",
            layout.name
        );
        assert!(layout.fields.iter().all(|field| !field.text.is_empty()), "{}", layout.name);
    }
}
