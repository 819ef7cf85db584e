//! A peer that breaks each rule: the Terminate it gets, what that quotes, and that nothing moved.

use std::format;
use std::vec;
use std::vec::Vec;

use super::harness::*;
use crate::iwarp::rdmap::{ReadRequest, TerminateError};
use crate::iwarp::{Event, Invalidation};

/// What a Terminate repeats of the segment it is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Quoted {
    Nothing,
    Ddp,
    DdpAndReadRequest,
}

const WRITE: &str = "c140";
const RESPONSE: &str = "c142";
const SEND: &str = "4143";
const READ_REQUEST: &str = "4141";

/// A responder in operation: STag 9 is 64 octets from 0x1000, 10 is another's, 11 allows nothing, 12 ends where addresses end; two
/// receives of 8 octets are posted; it takes one read.
fn victim() -> End {
    let terms = Terms { responder: (1, 1), ..Terms::default() };
    let (_, mut end) = terms.talking_pair();
    let mut regions = [9, 10, 11].map(|stag| Region::new(stag, 0x1000, 64));
    regions[1].foreign = true;
    (regions[2].readable, regions[2].writable) = (false, false);
    end.adapter.regions.extend(regions);
    end.adapter.regions.push(Region::new(12, u64::MAX - 7, 8));
    end.adapter.receives.extend([8, 8]);
    end
}

/// The end fails with `error` at `ulpdu`, says so in a Terminate that quotes `quoted` of it, and is dead.
fn assert_fails(end: &mut End, ulpdu: &[u8], error: TerminateError, quoted: Quoted) {
    let placed = end.adapter.placed;
    assert_eq!(end.receive(&fpdu(ulpdu, true)), [Event::Failed(error)]);
    assert_eq!(end.adapter.placed, placed, "placed all the same");

    let header = if ulpdu.first().is_some_and(|ddp| ddp & 0x80 != 0) { 14 } else { 18 };
    let mut expected = hex("4147 00000000 00000002 00000001 00000000");
    expected.extend(error.code().to_be_bytes());
    match quoted {
        Quoted::Nothing => expected.extend([0, 0]),
        Quoted::Ddp => expected.extend([0xC0, 0]),
        Quoted::DdpAndReadRequest => expected.extend([0xE0, 0]),
    }
    if quoted != Quoted::Nothing {
        expected.extend((ulpdu.len() as u16).to_be_bytes());
        expected.extend(&ulpdu[..header]);
    }
    if quoted == Quoted::DdpAndReadRequest {
        expected.extend(&ulpdu[header..header + 28]);
    }
    let (octets, events) = end.transmit();
    assert_eq!(octets, fpdu(&expected, true));
    assert_eq!(events, []);

    // Nothing that follows has any effect.
    assert!(end.connection.is_ended());
    assert_eq!(end.receive(&fpdu(&tagged(WRITE, 9, 0x1000, 4), true)), []);
    assert_eq!(end.adapter.placed, placed);
    assert_eq!(end.connection.end_of_stream(), None);
    assert_eq!(end.transmit().0, []);
}

fn fails(ulpdu: &[u8], error: TerminateError, quoted: Quoted) {
    assert_fails(&mut victim(), ulpdu, error, quoted);
}

#[test]
fn crc() {
    let good = fpdu(&tagged(WRITE, 9, 0x1000, 5), true);
    for at in 2..good.len() {
        let mut end = victim();
        let mut bad = good.clone();
        bad[at] ^= 0x04;
        assert_eq!(end.receive(&bad), [Event::Failed(TerminateError::Crc)], "octet {at}");
        assert_eq!(end.adapter.placed, 0);
        let (octets, _) = end.transmit();
        assert_eq!(octets[20..24], hex("2002 0000"));
    }
}

#[test]
fn without_crc_the_field_is_not_looked_at() {
    let (_, mut end) = Terms { crc: false, ..Terms::default() }.pair();
    end.adapter.receives.push_back(8);
    let mut octets = fpdu(&untagged(SEND, 0, 1, 0, b"data"), false);
    octets[24..28].fill(0xFF);
    assert_eq!(end.receive(&octets).len(), 2);
}

#[test]
fn ulpdu_shorter_than_its_header() {
    for ulpdu in [
        vec![],
        hex("c1"),
        tagged(WRITE, 9, 0, 0)[..13].to_vec(),
        untagged(SEND, 0, 1, 0, &[])[..17].to_vec(),
        untagged(READ_REQUEST, 1, 1, 0, &request(9, 0x1000, 1)[..27]),
    ] {
        fails(&ulpdu, TerminateError::Length, Quoted::Nothing);
    }
}

#[test]
fn ddp_version() {
    for control in ["c040", "c240", "c340"] {
        fails(&tagged(control, 9, 0x1000, 1), TerminateError::TaggedVersion, Quoted::Ddp);
    }
    for control in ["4043", "4243", "4343"] {
        fails(&untagged(control, 0, 1, 0, &[]), TerminateError::UntaggedVersion, Quoted::Ddp);
    }
}

#[test]
fn rdmap_version() {
    for control in ["c100", "c180", "c1c0"] {
        fails(&tagged(control, 9, 0x1000, 1), TerminateError::RdmapVersion, Quoted::Ddp);
    }
    fails(&untagged("4183", 0, 1, 0, &[]), TerminateError::RdmapVersion, Quoted::Ddp);
}

#[test]
fn opcode_that_does_not_fit_its_segment() {
    for opcode in (1..16).filter(|opcode| *opcode != 2) {
        fails(
            &tagged(&format!("c14{opcode:x}"), 9, 0x1000, 1),
            TerminateError::UnexpectedOpcode,
            Quoted::Ddp,
        );
    }
    for queue in 0..3 {
        let fits: &[u32] = [&[3, 4, 5, 6][..], &[1], &[7]][queue as usize];
        for opcode in (0..16).filter(|opcode| !fits.contains(opcode)) {
            let ulpdu = untagged(&format!("414{opcode:x}"), queue, 1, 0, &request(9, 0x1000, 1));
            fails(&ulpdu, TerminateError::UnexpectedOpcode, Quoted::Ddp);
        }
    }
}

#[test]
fn reserved_bits_are_ignored() {
    let mut end = victim();
    assert_eq!(end.receive(&fpdu(&tagged("fd70", 9, 0x1000, 1), true)), []);
    assert_eq!(end.receive(&fpdu(&untagged("7d73", 0, 1, 0, &[]), true)).len(), 1);
}

#[test]
fn queue_number() {
    for queue in [3, 4, u32::MAX] {
        fails(&untagged(SEND, queue, 1, 0, &[]), TerminateError::UntaggedQueue, Quoted::Ddp);
    }
}

#[test]
fn no_receive_posted() {
    let mut end = victim();
    end.adapter.receives.clear();
    assert_fails(&mut end, &untagged(SEND, 0, 1, 0, &[1]), TerminateError::UntaggedNoBuffer, Quoted::Ddp);
}

#[test]
fn message_number() {
    for msn in [0, 2, u32::MAX] {
        fails(&untagged(SEND, 0, msn, 0, &[]), TerminateError::UntaggedMsn, Quoted::Ddp);
        let ulpdu = untagged(READ_REQUEST, 1, msn, 0, &request(9, 0x1000, 1));
        fails(&ulpdu, TerminateError::UntaggedMsn, Quoted::Ddp);
    }
    // Again, and in the middle of a message.
    let mut end = victim();
    end.receive(&fpdu(&untagged(SEND, 0, 1, 0, &[]), true));
    assert_fails(&mut end, &untagged(SEND, 0, 1, 0, &[]), TerminateError::UntaggedMsn, Quoted::Ddp);
    let mut end = victim();
    end.receive(&fpdu(&untagged("0143", 0, 1, 0, &[1]), true));
    assert_fails(&mut end, &untagged(SEND, 0, 2, 0, &[1]), TerminateError::UntaggedMsn, Quoted::Ddp);
}

#[test]
fn message_offset() {
    fails(&untagged(SEND, 0, 1, 1, &[]), TerminateError::UntaggedMo, Quoted::Ddp);
    let ulpdu = untagged(READ_REQUEST, 1, 1, 28, &request(9, 0x1000, 1));
    fails(&ulpdu, TerminateError::UntaggedMo, Quoted::Ddp);
    for mo in [0, 2, 4, u32::MAX] {
        let mut end = victim();
        end.receive(&fpdu(&untagged("0143", 0, 1, 0, &[1, 2, 3]), true));
        assert_fails(&mut end, &untagged(SEND, 0, 1, mo, &[1]), TerminateError::UntaggedMo, Quoted::Ddp);
    }
}

#[test]
fn send_longer_than_its_receive() {
    fails(&untagged(SEND, 0, 1, 0, &[0; 9]), TerminateError::UntaggedTooLong, Quoted::Ddp);
    let mut end = victim();
    end.receive(&fpdu(&untagged("0143", 0, 1, 0, &[0; 5]), true));
    assert_fails(&mut end, &untagged(SEND, 0, 1, 5, &[0; 4]), TerminateError::UntaggedTooLong, Quoted::Ddp);
}

#[test]
fn send_that_changes_its_kind() {
    let mut end = victim();
    end.receive(&fpdu(&untagged("0143", 0, 1, 0, &[0; 5]), true));
    assert_fails(&mut end, &untagged("4145", 0, 1, 5, &[0]), TerminateError::UnexpectedOpcode, Quoted::Ddp);
}

#[test]
fn read_request_of_more_than_one_segment() {
    let long = [request(9, 0x1000, 1), vec![0]].concat();
    fails(&untagged(READ_REQUEST, 1, 1, 0, &long), TerminateError::UntaggedTooLong, Quoted::Ddp);
    fails(&untagged("0141", 1, 1, 0, &request(9, 0x1000, 1)), TerminateError::UntaggedTooLong, Quoted::Ddp);
}

#[test]
fn write_stag() {
    fails(&tagged(WRITE, 7, 0x1000, 1), TerminateError::TaggedInvalidStag, Quoted::Ddp);
    // DDP has no code for a right that is missing.
    fails(&tagged(WRITE, 11, 0x1000, 1), TerminateError::TaggedInvalidStag, Quoted::Ddp);
}

#[test]
fn write_of_another_stream() {
    fails(&tagged(WRITE, 10, 0x1000, 1), TerminateError::TaggedNotOfStream, Quoted::Ddp);
}

#[test]
fn write_bounds() {
    for (to, length) in [(0xFFF, 1), (0xFFF, 2), (0x1000, 65), (0x1001, 64), (0x1040, 1), (u64::MAX, 1)] {
        fails(&tagged(WRITE, 9, to, length), TerminateError::TaggedBounds, Quoted::Ddp);
    }
}

#[test]
fn write_wraps() {
    for (to, length) in [(u64::MAX, 2), (u64::MAX - 7, 9)] {
        fails(&tagged(WRITE, 12, to, length), TerminateError::TaggedWrap, Quoted::Ddp);
    }
}

#[test]
fn read_source_stag() {
    let ulpdu = untagged(READ_REQUEST, 1, 1, 0, &request(7, 0x1000, 1));
    fails(&ulpdu, TerminateError::ReadInvalidStag, Quoted::DdpAndReadRequest);
}

#[test]
fn read_source_bounds() {
    for (to, size) in [(0xFFF, 1), (0x1000, 65), (0x1000, u32::MAX), (0x1040, 1)] {
        let ulpdu = untagged(READ_REQUEST, 1, 1, 0, &request(9, to, size));
        fails(&ulpdu, TerminateError::ReadBounds, Quoted::DdpAndReadRequest);
    }
}

#[test]
fn read_source_rights() {
    let ulpdu = untagged(READ_REQUEST, 1, 1, 0, &request(11, 0x1000, 1));
    fails(&ulpdu, TerminateError::ReadAccessRights, Quoted::DdpAndReadRequest);
}

#[test]
fn read_source_of_another_stream() {
    let ulpdu = untagged(READ_REQUEST, 1, 1, 0, &request(10, 0x1000, 1));
    fails(&ulpdu, TerminateError::ReadNotOfStream, Quoted::DdpAndReadRequest);
}

#[test]
fn read_source_wraps() {
    for (to, size) in [(u64::MAX, 2), (u64::MAX - 7, 9), (1 << 63 | 1 << 62 | (u64::MAX >> 2), u32::MAX)] {
        let ulpdu = untagged(READ_REQUEST, 1, 1, 0, &request(12, to, size));
        fails(&ulpdu, TerminateError::ReadWrap, Quoted::DdpAndReadRequest);
    }
}

#[test]
fn more_reads_than_agreed() {
    let mut end = victim();
    assert_eq!(end.receive(&fpdu(&untagged(READ_REQUEST, 1, 1, 0, &request(9, 0x1000, 1)), true)), []);
    let ulpdu = untagged(READ_REQUEST, 1, 2, 0, &request(9, 0x1000, 1));
    assert_fails(&mut end, &ulpdu, TerminateError::UntaggedNoBuffer, Quoted::Ddp);
    // Where none is agreed on, the first is one too many.
    let (_, mut end) = Terms { responder: (0, 0), ..Terms::default() }.talking_pair();
    let ulpdu = untagged(READ_REQUEST, 1, 1, 0, &request(9, 0x1000, 0));
    assert_fails(&mut end, &ulpdu, TerminateError::UntaggedNoBuffer, Quoted::Ddp);
}

#[test]
fn response_without_a_request() {
    fails(&tagged(RESPONSE, 9, 0x1000, 1), TerminateError::UnexpectedOpcode, Quoted::Ddp);
    fails(&tagged(RESPONSE, 0, 0, 0), TerminateError::UnexpectedOpcode, Quoted::Ddp);
}

/// A victim that reads 8 octets to STag 9, 0x1000.
fn reader() -> End {
    let mut end = victim();
    let source = ReadRequest { sink_stag: 9, sink_to: 0x1000, size: 8, source_stag: 1, source_to: 2 };
    end.read(source);
    end.transmit();
    end
}

#[test]
fn response_that_is_not_what_was_asked_for() {
    use TerminateError::{RemoteOperation, TaggedBounds, TaggedInvalidStag};
    for (ulpdu, error) in [
        // Another STag of this end, though it could be written.
        (tagged(RESPONSE, 12, u64::MAX - 7, 8), TaggedInvalidStag),
        (tagged(RESPONSE, 9, 0x1001, 7), TaggedBounds),
        (tagged(RESPONSE, 9, 0xFFF, 8), TaggedBounds),
        (tagged(RESPONSE, 9, 0x1000, 9), TaggedBounds),
        // Too short.
        (tagged(RESPONSE, 9, 0x1000, 0), RemoteOperation),
    ] {
        assert_fails(&mut reader(), &ulpdu, error, Quoted::Ddp);
    }
    let mut end = reader();
    assert_eq!(end.receive(&fpdu(&tagged("8142", 9, 0x1000, 5), true)), []);
    assert_fails(&mut end, &tagged(RESPONSE, 9, 0x1000, 3), TaggedBounds, Quoted::Ddp);
    let mut end = reader();
    assert_eq!(end.receive(&fpdu(&tagged("8142", 9, 0x1000, 8), true)), []);
    assert_fails(&mut end, &tagged("8142", 9, 0x1008, 1), TaggedBounds, Quoted::Ddp);
    // One that ends with an empty segment is fine, and answers one request only.
    let mut end = reader();
    end.receive(&fpdu(&tagged("8142", 9, 0x1000, 8), true));
    assert_eq!(end.receive(&fpdu(&tagged(RESPONSE, 0, 0, 0), true)), [Event::Completed(1)]);
    assert_fails(&mut end, &tagged(RESPONSE, 9, 0x1000, 8), TerminateError::UnexpectedOpcode, Quoted::Ddp);
}

#[test]
fn response_that_wraps() {
    // It is this end's own request that is wrong; its memory is not asked all the same.
    let mut end = victim();
    end.read(ReadRequest { sink_stag: 12, sink_to: u64::MAX - 3, size: 8, source_stag: 1, source_to: 2 });
    end.transmit();
    let ulpdu = tagged(RESPONSE, 12, u64::MAX - 3, 8);
    assert_fails(&mut end, &ulpdu, TerminateError::TaggedWrap, Quoted::Ddp);
}

#[test]
fn response_whose_sink_has_gone() {
    let mut end = reader();
    end.adapter.region(9).writable = false;
    let ulpdu = tagged(RESPONSE, 9, 0x1000, 8);
    assert_fails(&mut end, &ulpdu, TerminateError::TaggedInvalidStag, Quoted::Ddp);
}

#[test]
fn invalidation_that_is_not_allowed() {
    // The STag in the segment is 0x55, which nobody has.
    for control in ["4144", "4146"] {
        let ulpdu = untagged(control, 0, 1, 0, &[]);
        fails(&ulpdu, TerminateError::InvalidateNotAllowed, Quoted::Ddp);
    }
}

#[test]
fn invalidation_that_fails() {
    let mut end = victim();
    end.adapter.invalidation = Some(Invalidation::Failed);
    assert_fails(&mut end, &untagged("4144", 0, 1, 0, &[]), TerminateError::InvalidateFailed, Quoted::Ddp);
}

#[test]
fn a_terminate_is_never_answered_however_wrong() {
    for ulpdu in [
        untagged("4147", 2, 1, 0, &[]),
        untagged("0147", 2, 7, 9, &[0xFF; 100]),
        untagged("4147", 2, 1, 0, &[0x11, 0x00, 0, 0]),
    ] {
        let mut end = victim();
        let events = end.receive(&fpdu(&ulpdu, true));
        assert!(matches!(events[..], [Event::Terminated(_)]), "{events:?}");
        assert_eq!(end.transmit().0, []);
    }
}

#[test]
fn a_wrong_first_fpdu_is_answered_by_a_terminate() {
    // Its arrival shows that the initiator reads FPDUs by now.
    let (_, mut end) = Terms::default().pair();
    let ulpdu = untagged(SEND, 0, 1, 0, &[]);
    assert_fails(&mut end, &ulpdu, TerminateError::UntaggedNoBuffer, Quoted::Ddp);
}

#[test]
fn anything_at_all_ends_in_bounded_time_and_touches_only_what_it_may() {
    // Real traffic with a few octets changed, without CRC, so that the changes are met by the checks behind it.
    for seed in 0..2000 {
        let mut random = Random::new(seed);
        let (mut initiator, mut end) = Terms { crc: false, ..Terms::default() }.pair();
        let mut region = Region::new(11, 0x1000, 64);
        (region.readable, region.writable) = (false, false);
        end.adapter.regions.extend([Region::new(9, 0x1000, 64), region]);
        end.adapter.receives.extend([8; 4]);
        let mut octets = Vec::new();
        for _ in 0..8 {
            match random.below(3) {
                0 => initiator.send(&vec![1; random.below(9)]),
                1 => initiator.write(9, 0x1000 + random.next() % 32, &vec![2; random.below(32)]),
                _ => initiator.read(ReadRequest {
                    source_stag: 9,
                    source_to: 0x1000,
                    size: random.below(64) as u32,
                    ..ReadRequest::default()
                }),
            }
            octets.extend(initiator.transmit().0);
            if initiator.connection.post(nothing()).is_err() {
                break;
            }
            octets.extend(initiator.transmit().0);
        }
        for _ in 0..random.below(4) {
            let at = random.below(octets.len());
            octets[at] ^= 1 << random.below(8);
        }
        let events: Vec<Event> =
            octets.chunks(1 + random.below(99)).flat_map(|piece| end.receive(piece)).collect();
        let over = |event: &Event| matches!(event, Event::Failed(_) | Event::Terminated(_));
        let last = events.iter().position(over).map_or(events.len(), |at| at + 1);
        assert_eq!(events.len(), last, "events after the end: {events:?}");
        assert!(events.len() <= 20);
        assert_eq!(end.adapter.region(11).octets, [0; 64]);
        let (answer, _) = end.transmit();
        let ended = end.connection.is_ended();
        assert_eq!(ended, last > 0 && events.last().is_some_and(over), "{answer:?}");
    }
}

/// A Send without octets.
fn nothing() -> crate::iwarp::WorkRequest {
    let request = crate::iwarp::Request::Send { length: 0, solicited: false, invalidate: None };
    crate::iwarp::WorkRequest { request, read_fence: false }
}
