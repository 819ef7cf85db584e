//! Every message, octet for octet: from captures of Linux' siw, from the RFCs' figures, and from the layouts of the RFCs.

use std::vec;
use std::vec::Vec;

use super::harness::*;
use crate::iwarp::ddp::{Header, Tagged};
use crate::iwarp::mpa::{EnhancedData, Frame, Kind, Rtr, crc32c, fpdu as framing};
use crate::iwarp::rdmap::{ALL_ERRORS, PeerTerminate, Quote, ReadRequest, Terminate, TerminateError};
use crate::iwarp::{Event, Request};

#[test]
fn crc32c_of_known_octets() {
    assert_eq!(crc32c(b""), 0);
    assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    // RFC 3720 appendix B.4: the same CRC, in the order of the wire.
    let ascending: Vec<u8> = (0..32).collect();
    let descending: Vec<u8> = (0..32).rev().collect();
    for (octets, crc) in [
        (vec![0; 32], "aa36918a"),
        (vec![0xFF; 32], "43aba862"),
        (ascending, "4e79dd46"),
        (descending, "5cdb3f11"),
    ] {
        assert_eq!(crc32c(&octets).to_le_bytes().to_vec(), hex(crc));
    }
    // RFC 5044 figures 5 and 6, which have markers.
    let figure_5 = "00000000 002a4143 00000000 00000000 00000001 00000000";
    let figure_6 = "002a4143 00000000 00000000 00000002 00000000 00000014";
    for (octets, crc) in [(figure_5, "52239983"), (figure_6, "84925898")] {
        let mut octets = hex(octets);
        octets.extend([0; 24]);
        assert_eq!(crc32c(&octets).to_le_bytes().to_vec(), hex(crc));
    }
}

#[test]
fn frames_as_captured_between_two_linux_hosts() {
    let data = [7; 40];
    let enhanced = |ird, ord| Some(EnhancedData { rtr: None, ird, ord });
    for (kind, ird, ord, head) in [
        (Kind::Request, 0, 1, "4d504120494420526571204672616d65 10 02 002c 0000 0001"),
        (Kind::Reply, 1, 0, "4d504120494420526570204672616d65 10 02 002c 0001 0000"),
    ] {
        let mut out = [0; 532];
        let length = Frame::new(kind, false, enhanced(ird, ord), &data).encode(&mut out).unwrap();
        let mut expected = hex(head);
        expected.extend(data);
        assert_eq!(out[..length], expected);
    }
}

#[test]
fn enhanced_data_has_its_bits_where_rfc_6581_has_them() {
    let all = Some(Rtr::all());
    for (octets, rtr, ird, ord) in [
        ("0000 0000", None, 0, 0),
        ("8000 0000", Some(Rtr::empty()), 0, 0),
        ("c000 0000", Some(Rtr::SEND), 0, 0),
        ("8000 8000", Some(Rtr::WRITE), 0, 0),
        ("8000 4000", Some(Rtr::READ), 0, 0),
        ("c001 c002", all, 1, 2),
        ("ffff ffff", all, 0x3FFF, 0x3FFF),
        ("3fff 3ffe", None, 0x3FFF, 0x3FFE),
    ] {
        let data = EnhancedData { rtr, ird, ord };
        assert_eq!(data.encode().to_vec(), hex(octets));
        assert_eq!(EnhancedData::decode(hex(octets).try_into().unwrap()), data);
    }
    // In the client-server model the bits mean nothing.
    assert_eq!(EnhancedData::decode([0x40, 0, 0xC0, 0]), EnhancedData { rtr: None, ird: 0, ord: 0 });
}

#[test]
fn frame_flags_are_where_rfc_5044_has_them() {
    let plain = Frame::new(Kind::Reply, false, None, &[]);
    let enhanced = Some(EnhancedData { rtr: None, ird: 0, ord: 0 });
    for (frame, octets) in [
        (plain, "00 01 0000"),
        (Frame { markers: true, ..plain }, "80 01 0000"),
        (Frame { crc: true, ..plain }, "40 01 0000"),
        (Frame { rejected: true, ..plain }, "20 01 0000"),
        (Frame::new(Kind::Reply, false, enhanced, &[]), "10 02 0004 00000000"),
    ] {
        let mut out = [0; 24];
        let length = frame.encode(&mut out).unwrap();
        assert_eq!(out[16..length], hex(octets));
    }
}

/// With these octets before the CRC, and that CRC.
fn expect(end: &mut End, octets: &str, crc: &str) {
    let (made, _) = end.fpdu();
    assert_eq!(made, [hex(octets), hex(crc)].concat());
}

#[test]
fn a_write_without_octets() {
    let (mut end, _) = Terms::default().pair();
    end.write(0, 0, &[]);
    expect(&mut end, "000e c140 00000000 0000000000000000", "a30572ab");
}

#[test]
fn a_write_of_one_octet() {
    let (mut end, _) = Terms::default().pair();
    end.write(0x8568_FD00, 0x0000_7F9D_3A66_5000, b"x");
    expect(&mut end, "000f c140 8568fd00 00007f9d3a665000 78 000000", "b6716ef8");
}

#[test]
fn a_send_of_four_octets() {
    let (mut end, _) = Terms::default().pair();
    end.send(&[0x37, 0, 0, 0]);
    expect(&mut end, "0016 4143 00000000 00000000 00000001 00000000 37000000", "fb38a36f");
}

#[test]
fn without_crc_the_field_is_there_and_zero() {
    let (mut end, _) = Terms { crc: false, ..Terms::default() }.pair();
    end.send(&[0x37, 0, 0, 0]);
    expect(&mut end, "0016 4143 00000000 00000000 00000001 00000000 37000000", "00000000");
}

#[test]
fn a_read_request() {
    let (mut end, _) = Terms::default().pair();
    end.read(ReadRequest { sink_stag: 1, source_stag: 1, ..ReadRequest::default() });
    expect(
        &mut end,
        "002e 4141 00000000 00000001 00000001 00000000 \
         00000001 0000000000000000 00000000 00000001 0000000000000000",
        "27dbd7e7",
    );
    end.read(ReadRequest {
        sink_stag: 0x1112_1314,
        sink_to: 0x2122_2324_2526_2728,
        size: 0x3132_3334,
        source_stag: 0x4142_4344,
        source_to: 0x5152_5354_5556_5758,
    });
    let (octets, _) = end.fpdu();
    let expected = "002e 4141 00000000 00000001 00000002 00000000 \
                    11121314 2122232425262728 31323334 41424344 5152535455565758";
    assert_eq!(octets[..48], hex(expected));
}

#[test]
fn rtr_messages_as_linux_makes_them() {
    for (rtr, octets, crc) in [
        (Rtr::WRITE, "000e c140 00000001 0000000000000000", "ebd34c5f"),
        (
            Rtr::READ,
            "002e 4141 00000000 00000001 00000001 00000000 \
             00000000 0000000000000000 00000000 00000001 0000000000000000",
            "ba10e3c9",
        ),
    ] {
        let (mut end, _) = Terms { rtr, ..Terms::default() }.pair();
        expect(&mut end, octets, crc);
    }
    let (mut end, _) = Terms { rtr: Rtr::SEND, ..Terms::default() }.pair();
    let (octets, _) = end.fpdu();
    assert_eq!(octets[..20], hex("0012 4143 00000000 00000000 00000001 00000000"));
}

#[test]
fn the_four_sends() {
    for (solicited, invalidate, head) in [
        (false, None, "4143 00000000"),
        (false, Some(0x0A0B_0C0D), "4144 0a0b0c0d"),
        (true, None, "4145 00000000"),
        (true, Some(0x0A0B_0C0D), "4146 0a0b0c0d"),
    ] {
        let (mut end, _) = Terms::default().pair();
        end.post(Request::Send { length: 0, solicited, invalidate }, &[]).unwrap();
        let (octets, _) = end.fpdu();
        assert_eq!(octets[2..8], hex(head));
    }
}

#[test]
fn segments_of_long_messages() {
    let (mut initiator, mut responder) = Terms::default().talking_pair();
    responder.adapter.receives.push_back(4000);
    let data: Vec<u8> = (0..3000).map(|at| at as u8).collect();
    // MULPDU 1454: 1440 octets of payload behind a tagged header, 1436 behind an untagged one.
    initiator.send(&data);
    for (head, payload) in [
        ("05ae 0143 00000000 00000000 00000001 00000000", 0..1436),
        ("05ae 0143 00000000 00000000 00000001 0000059c", 1436..2872),
        ("0092 4143 00000000 00000000 00000001 00000b38", 2872..3000),
    ] {
        let (octets, _) = initiator.fpdu();
        assert_eq!(octets[..20], hex(head));
        assert_eq!(octets[20..20 + payload.len()], data[payload]);
    }
    initiator.write(5, 0xFFFF_FFFF, &data);
    for (head, payload) in [
        ("05ae 8140 00000005 00000000ffffffff", 0..1440),
        ("05ae 8140 00000005 000000010000059f", 1440..2880),
        ("0086 c140 00000005 0000000100000b3f", 2880..3000),
    ] {
        let (octets, _) = initiator.fpdu();
        assert_eq!(octets[..16], hex(head));
        assert_eq!(octets[16..16 + payload.len()], data[payload]);
    }
}

#[test]
fn read_responses() {
    let (mut initiator, mut responder) = Terms::default().talking_pair();
    responder.adapter.regions.push(Region::new(9, 0x1000, 1441));
    initiator.read(ReadRequest {
        sink_stag: 5,
        sink_to: 0x20,
        size: 1441,
        source_stag: 9,
        source_to: 0x1000,
    });
    let (octets, _) = initiator.transmit();
    assert_eq!(responder.receive(&octets), []);
    let (octets, _) = responder.fpdu();
    assert_eq!(octets[..16], hex("05ae 8142 00000005 0000000000000020"));
    let (octets, _) = responder.fpdu();
    assert_eq!(octets[..16], hex("000f c142 00000005 00000000000005c0"));
}

#[test]
fn a_terminate_of_this_end() {
    let (mut end, _) = Terms::default().talking_pair();
    end.connection.abort();
    let (octets, _) = end.fpdu();
    assert_eq!(octets[..24], hex("0016 4147 00000000 00000002 00000001 00000000 0000 0000"));
}

#[test]
fn a_terminate_of_linux_is_understood() {
    let payload = hex("21020300 0004 4143 00000000 00000000 00000181 00000000");
    let expected = PeerTerminate { error: Some(TerminateError::UntaggedNoBuffer) };
    assert_eq!(PeerTerminate::decode(&payload), expected);
    let ulpdu = [hex("4147 00000000 00000002 00000001 00000000"), payload].concat();
    let (mut end, _) = Terms::default().talking_pair();
    assert_eq!(end.receive(&fpdu(&ulpdu, true)), [Event::Terminated(expected)]);
}

#[test]
fn both_forms_of_a_terminate_are_told_apart() {
    for error in ALL_ERRORS {
        let [first, code] = error.code().to_be_bytes();
        let swapped = first.rotate_left(4);
        let expected = PeerTerminate { error: Some(error) };
        assert_eq!(PeerTerminate::decode(&[first, code, 0xC0, 0]), expected);
        assert_eq!(PeerTerminate::decode(&[first, code, 0, 0]), expected);
        assert_eq!(PeerTerminate::decode(&[swapped, code, 0x03, 0]), expected);
        // Without flags Linux' form is known where the RFC has no such code.
        let other = TerminateError::from_code(u16::from_be_bytes([swapped, code]));
        let expected = PeerTerminate { error: other.or(Some(error)) };
        assert_eq!(PeerTerminate::decode(&[swapped, code, 0, 0]), expected);
    }
    assert_eq!(PeerTerminate::decode(&[0x02, 0x02, 0, 0]).error, Some(TerminateError::Crc));
    assert_eq!(PeerTerminate::decode(&[0x00, 0x5A, 0, 0]).error, Some(TerminateError::LocalCatastrophic));
    assert_eq!(PeerTerminate::decode(&[0xFF, 0xFF, 0, 0]).error, None);
    assert_eq!(PeerTerminate::decode(&[0x12, 0x02, 0]).error, None);
}

#[test]
fn error_codes_are_those_of_the_rfcs() {
    let codes: Vec<u16> = ALL_ERRORS.into_iter().map(TerminateError::code).collect();
    let expected = hex("0000 0100 0101 0102 0103 0104 0109 01ff 0205 0206 0207 0208 0209 02ff \
         1000 1100 1101 1102 1103 1104 1201 1202 1203 1204 1205 1206 \
         2001 2002 2003 2004 2005 2006 2007");
    let expected: Vec<u16> =
        expected.chunks_exact(2).map(|code| u16::from_be_bytes([code[0], code[1]])).collect();
    assert_eq!(codes, expected);
}

#[test]
fn a_terminate_quotes_what_figure_10_of_rfc_5040_says() {
    let header = Header::Tagged(Tagged { last: true, control: 0x41, stag: 1, to: 2 });
    let quote = Quote {
        segment_len: 42,
        version: 1,
        header,
        read_request: Some(ReadRequest { size: 7, ..Default::default() }),
    };
    let ddp = "002a c141 00000001 0000000000000002";
    let read_request = "00000000 0000000000000000 00000007 00000000 0000000000000000";
    for error in ALL_ERRORS {
        let (flags, quoted) = match error.code() {
            0x0000 | 0x1000 | 0x2000..=0x20FF => ("00", vec![]),
            0x0100..=0x0104 => ("e0", [hex(ddp), hex(read_request)].concat()),
            _ => ("c0", hex(ddp)),
        };
        let mut out = [0; 80];
        let length = Terminate::of_segment(error, quote).write_fpdu(false, &mut out).unwrap();
        let head = hex("4147 00000000 00000002 00000001 00000000");
        let code = error.code().to_be_bytes().to_vec();
        let ulpdu = [head, code, hex(flags), vec![0], quoted].concat();
        assert_eq!(out[..length], fpdu(&ulpdu, false), "{error:?}");
        assert_eq!(Terminate::of_segment(error, quote).write_fpdu(false, &mut out[..length - 1]), None);
    }
}

#[test]
fn mulpdu_is_what_fits_a_tcp_segment() {
    for (emss, mulpdu) in [
        (0, 128),
        (100, 128),
        (1460, 1454),
        (1461, 1454),
        (1463, 1454),
        (8960, 8954),
        (64_774, 64_766),
        (64_776, 64_768),
        (u32::MAX, 64_768),
    ] {
        assert_eq!(framing::mulpdu(emss), mulpdu, "EMSS {emss}");
    }
    assert_eq!(framing::fpdu_len(1454), 1460);
    assert_eq!(framing::fpdu_len(u16::MAX), framing::FPDU_LEN_MAX);
    for (ulpdu, fpdu_len) in [(0, 8), (1, 8), (2, 8), (3, 12), (14, 20), (15, 24), (22, 28)] {
        assert_eq!(framing::fpdu_len(ulpdu), fpdu_len);
    }
}
