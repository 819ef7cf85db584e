//! MPA's start-up: both revisions, every RTR message, read limits, CRC, private data, refusals, and frames that are wrong.

use std::vec;
use std::vec::Vec;

use super::harness::*;
use crate::iwarp::mpa::{
    Acceptance, Agreement, EnhancedData, Frame, FrameError, Initiator, Kind, NO_NEGOTIATION, Proposal,
    Responder, Role, Rtr, StartupError,
};

const ROOM: usize = 532;

fn encoded(frame: Frame<'_>) -> Vec<u8> {
    let mut out = vec![0; ROOM];
    let length = frame.encode(&mut out).unwrap();
    out.truncate(length);
    out
}

fn enhanced(rtr: Option<Rtr>, ird: u16, ord: u16) -> Option<EnhancedData> {
    Some(EnhancedData { rtr, ird, ord })
}

/// What a responder says to these octets.
fn request(mut octets: &[u8]) -> (Responder, Option<StartupError>) {
    let mut responder = Responder::new();
    let error = responder.receive(&mut octets).unwrap().err();
    (responder, error)
}

/// What an initiator with those terms makes of these octets.
fn reply(terms: &Terms, mut octets: &[u8]) -> Result<Option<Agreement>, StartupError> {
    let mut initiator = Initiator::new(terms.proposal());
    initiator.receive(&mut octets).unwrap().map(|reply| reply.agreement)
}

#[test]
fn private_data_of_every_length_arrives_both_ways() {
    let data: Vec<u8> = (0..=512u32).map(|at| at as u8).collect();
    let mut out = [0; ROOM];
    for (is_enhanced, longest) in [(false, 512), (true, 508)] {
        let terms = Terms { enhanced: is_enhanced, ..Terms::default() };
        for length in 0..=longest {
            let data = &data[..length];
            let mut initiator = Initiator::new(terms.proposal());
            let mut responder = Responder::new();
            let written = initiator.request(data, &mut out).unwrap();
            let startup = responder.receive(&mut &out[..written]).unwrap().unwrap();
            assert_eq!(startup.private_data, data);
            let (written, _) = responder.accept(&terms.acceptance(), data, &mut out).unwrap();
            let answer = initiator.receive(&mut &out[..written]).unwrap().unwrap();
            assert_eq!(answer.private_data, data);
            assert!(answer.agreement.is_some());
        }
        let data = &data[..longest + 1];
        let too_long = Err(FrameError::PrivateDataTooLong);
        assert_eq!(Initiator::new(terms.proposal()).request(data, &mut out), too_long);
        let head =
            encoded(Frame::new(Kind::Request, false, enhanced(None, 0, 0).filter(|_| is_enhanced), &[]));
        let (responder, error) = request(&head);
        assert_eq!(error, None);
        assert_eq!(responder.accept(&terms.acceptance(), data, &mut out).map(|(length, _)| length), too_long);
        assert_eq!(responder.reject(data, &mut out), too_long);
        // It can still be answered.
        assert!(responder.accept(&terms.acceptance(), &[], &mut out).is_ok());
    }
}

#[test]
fn private_data_that_is_too_long_is_refused_before_it_arrives() {
    for (kind, length) in [(Kind::Request, 513u16), (Kind::Reply, u16::MAX)] {
        let mut octets = encoded(Frame::new(kind, false, None, &[]));
        octets[18..20].copy_from_slice(&length.to_be_bytes());
        let error = match kind {
            Kind::Request => request(&octets).1,
            Kind::Reply => reply(&Terms::default(), &octets).err(),
        };
        assert_eq!(error, Some(StartupError::PrivateDataTooLong(length)));
    }
}

#[test]
fn revision_1_is_answered_by_revision_1_and_each_end_keeps_its_limits() {
    let terms = Terms { enhanced: false, initiator: (3, 5), responder: (7, 9), ..Terms::default() };
    let (initiator, responder) = terms.agree();
    assert_eq!((initiator.ird(), initiator.ord(), initiator.rtr()), (3, 5, Rtr::empty()));
    assert_eq!((responder.ird(), responder.ord(), responder.rtr()), (7, 9, Rtr::empty()));
    let (responder, error) = request(&encoded(Frame::new(Kind::Request, false, None, &[])));
    assert_eq!(error, None);
    let mut out = [0; ROOM];
    let acceptance = Acceptance { crc: false, ..terms.acceptance() };
    let (length, _) = responder.accept(&acceptance, b"x", &mut out).unwrap();
    assert_eq!(out[..length], encoded(Frame::new(Kind::Reply, false, None, b"x")));
}

#[test]
fn revision_2_without_enhancement_is_answered_without() {
    let frame = Frame { revision: 2, ..Frame::new(Kind::Request, false, None, b"data") };
    let mut responder = Responder::new();
    let octets = encoded(frame);
    let startup = responder.receive(&mut &octets[..]).unwrap().unwrap();
    assert_eq!((startup.enhanced, startup.private_data), (None, &b"data"[..]));
    let mut out = [0; ROOM];
    let acceptance = Terms { crc: false, ..Terms::default() }.acceptance();
    let (length, _) = responder.accept(&acceptance, &[], &mut out).unwrap();
    assert_eq!(out[16..length], [0, 2, 0, 0]);
}

#[test]
fn in_revision_1_the_bit_of_enhancement_means_nothing() {
    let mut octets = encoded(Frame::new(Kind::Request, false, None, b"four"));
    octets[16] |= 0x10;
    let mut responder = Responder::new();
    let startup = responder.receive(&mut &octets[..]).unwrap().unwrap();
    assert_eq!((startup.enhanced, startup.private_data), (None, &b"four"[..]));
}

#[test]
fn reserved_flags_are_ignored() {
    // 0x08 is Linux' private one for large segments.
    let mut octets = encoded(Frame::new(Kind::Request, false, None, &[]));
    octets[16] |= 0x0F;
    assert_eq!(request(&octets).1, None);
}

#[test]
fn refused_in_both_revisions() {
    let mut out = [0; ROOM];
    for is_enhanced in [false, true] {
        let terms = Terms { enhanced: is_enhanced, ..Terms::default() };
        let mut initiator = Initiator::new(terms.proposal());
        let mut responder = Responder::new();
        let length = initiator.request(&[], &mut out).unwrap();
        responder.receive(&mut &out[..length]).unwrap().unwrap();
        let length = responder.reject(b"sorry", &mut out).unwrap();
        assert_eq!(out[16] & 0x20, 0x20);
        assert_eq!(out[16] & 0x10 != 0, is_enhanced, "Linux wants the enhanced data in a refusal, too");
        let answer = initiator.receive(&mut &out[..length]).unwrap().unwrap();
        assert_eq!((answer.agreement, answer.private_data), (None, &b"sorry"[..]));
    }
    // In the revision of the request, which may be 2 without enhancement.
    let (responder, _) =
        request(&encoded(Frame { revision: 2, ..Frame::new(Kind::Request, false, None, &[]) }));
    let length = responder.reject(&[], &mut out).unwrap();
    assert_eq!(out[16..length], [0x20, 2, 0, 0]);
    // A refusal is one whatever else it says.
    let frame = Frame { rejected: true, markers: true, ..Frame::new(Kind::Reply, false, None, &[]) };
    assert_eq!(reply(&Terms::default(), &encoded(frame)), Ok(None));
    let mut octets = encoded(Frame { revision: 2, ..frame });
    octets[16] |= 0x10;
    assert_eq!(reply(&Terms::default(), &octets), Ok(None));
}

#[test]
fn a_peer_that_speaks_something_else_is_known_at_its_first_wrong_octet() {
    for kind in [Kind::Request, Kind::Reply] {
        let frame = encoded(Frame::new(kind, false, None, &[]));
        for at in 0..16 {
            let mut octets = frame.clone();
            octets[at] ^= 0x80;
            let mut cut = &octets[..=at];
            let error = match kind {
                Kind::Request => Responder::new().receive(&mut cut).unwrap().err(),
                Kind::Reply => Initiator::new(Terms::default().proposal()).receive(&mut cut).unwrap().err(),
            };
            assert_eq!(error, Some(StartupError::NotMpa), "octet {at}");
        }
    }
    assert_eq!(request(b"GET / HTTP/1.1\r\n").1, Some(StartupError::NotMpa));
}

#[test]
fn two_initiators_and_two_responders_do_not_meet() {
    let octets = encoded(Frame::new(Kind::Request, false, None, &[]));
    assert_eq!(reply(&Terms::default(), &octets), Err(StartupError::SameRole));
    let octets = encoded(Frame::new(Kind::Reply, false, None, &[]));
    assert_eq!(request(&octets).1, Some(StartupError::SameRole));
}

#[test]
fn other_revisions_are_refused() {
    for revision in [0, 3, 255] {
        let frame = Frame { revision, ..Frame::new(Kind::Request, false, None, &[]) };
        let (responder, error) = request(&encoded(frame));
        assert_eq!(error, Some(StartupError::Revision(revision)));
        assert_eq!(responder.reject(&[], &mut [0; ROOM]), Err(FrameError::NoRequest));
        let frame = Frame { kind: Kind::Reply, ..frame };
        assert_eq!(reply(&Terms::default(), &encoded(frame)), Err(StartupError::Revision(revision)));
    }
}

#[test]
fn markers_are_refused_with_a_reply() {
    for data in [None, enhanced(None, 1, 1)] {
        let frame = Frame { markers: true, ..Frame::new(Kind::Request, true, data, b"data") };
        let (responder, error) = request(&encoded(frame));
        assert_eq!(error, Some(StartupError::Markers));
        let mut out = [0; ROOM];
        let acceptance = Terms::default().acceptance();
        assert_eq!(responder.accept(&acceptance, &[], &mut out), Err(FrameError::NoRequest));
        let length = responder.reject(&[], &mut out).unwrap();
        assert_eq!(out[16] & 0xA0, 0x20);
        let terms = Terms { enhanced: data.is_some(), ..Terms::default() };
        assert_eq!(reply(&terms, &out[..length]), Ok(None));
    }
    let frame = Frame { markers: true, ..Frame::new(Kind::Reply, true, enhanced(None, 1, 1), &[]) };
    assert_eq!(reply(&Terms::default(), &encoded(frame)), Err(StartupError::Markers));
}

#[test]
fn enhanced_frames_without_their_data_are_refused() {
    for kind in [Kind::Request, Kind::Reply] {
        let mut octets = encoded(Frame { revision: 2, ..Frame::new(kind, false, None, b"abc") });
        octets[16] |= 0x10;
        let error = match kind {
            Kind::Request => request(&octets).1,
            Kind::Reply => reply(&Terms::default(), &octets).err(),
        };
        assert_eq!(error, Some(StartupError::EnhancedDataMissing));
    }
}

#[test]
fn the_reply_is_enhanced_as_the_request_was() {
    let plain = encoded(Frame::new(Kind::Reply, false, None, &[]));
    assert_eq!(reply(&Terms::default(), &plain), Err(StartupError::EnhancedMismatch));
    let frame = encoded(Frame::new(Kind::Reply, false, enhanced(None, 1, 1), &[]));
    let terms = Terms { enhanced: false, ..Terms::default() };
    assert_eq!(reply(&terms, &frame), Err(StartupError::EnhancedMismatch));
}

#[test]
fn one_end_that_wants_crcs_is_enough() {
    for (ours, theirs) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut out = [0; ROOM];
        let terms = Terms { crc: ours, ..Terms::default() };
        let mut initiator = Initiator::new(terms.proposal());
        let mut responder = Responder::new();
        let length = initiator.request(&[], &mut out).unwrap();
        assert_eq!(out[16] & 0x40 != 0, ours);
        responder.receive(&mut &out[..length]).unwrap().unwrap();
        let acceptance = Acceptance { crc: theirs, ..terms.acceptance() };
        let (length, agreement) = responder.accept(&acceptance, &[], &mut out).unwrap();
        let answer = initiator.receive(&mut &out[..length]).unwrap().unwrap();
        assert_eq!(agreement.crc(), ours || theirs);
        assert_eq!(answer.agreement.unwrap().crc(), ours || theirs);
    }
    // A reply that does not repeat the request's wish does not lift it.
    let octets = encoded(Frame::new(Kind::Reply, false, enhanced(None, 1, 1), &[]));
    assert!(reply(&Terms::default(), &octets).unwrap().unwrap().crc());
}

#[test]
fn read_limits_are_the_lower_of_the_two() {
    // Initiator's IRD and ORD, responder's; what is in force for the initiator, and for the responder.
    for (initiator, responder, ours, theirs) in [
        ((4, 4), (4, 4), (4, 4), (4, 4)),
        ((1, 8), (8, 8), (1, 8), (8, 1)),
        ((8, 8), (2, 3), (3, 2), (2, 3)),
        ((0, 0), (4, 4), (0, 0), (0, 0)),
        ((4, 4), (0, 0), (0, 0), (0, 0)),
        // As rsockets asks.
        ((0, 1), (16, 16), (0, 1), (1, 0)),
        // More than there is room for.
        ((999, 999), (999, 999), (16, 16), (16, 16)),
    ] {
        let terms = Terms { initiator, responder, ..Terms::default() };
        let (initiator, responder) = terms.agree();
        assert_eq!((initiator.ird(), initiator.ord()), ours, "{terms:?}");
        assert_eq!((responder.ird(), responder.ord()), theirs, "{terms:?}");
    }
}

#[test]
fn limits_that_are_not_to_be_negotiated_stay_and_are_echoed() {
    let none = NO_NEGOTIATION;
    // IRD and ORD of the request, of the reply, and the responder's own then; it has 3 and 5.
    for (asked, answered, own) in
        [((none, none), (none, none), (3, 5)), ((none, 2), (2, none), (2, 5)), ((4, none), (none, 4), (3, 4))]
    {
        let frame = Frame::new(Kind::Request, false, enhanced(None, asked.0, asked.1), &[]);
        let (responder, _) = request(&encoded(frame));
        let acceptance = Acceptance { crc: false, rtr: Rtr::all(), ird: 3, ord: 5 };
        let mut out = [0; ROOM];
        let (length, agreement) = responder.accept(&acceptance, &[], &mut out).unwrap();
        let expected = Frame::new(Kind::Reply, false, enhanced(None, answered.0, answered.1), &[]);
        assert_eq!(out[..length], encoded(expected));
        assert_eq!((agreement.ird(), agreement.ord()), own);
    }
}

#[test]
fn a_responder_that_reads_more_than_it_may_is_told() {
    let terms = Terms { initiator: (2, 2), ..Terms::default() };
    let octets = encoded(Frame::new(Kind::Reply, false, enhanced(None, 2, 3), &[]));
    assert_eq!(reply(&terms, &octets), Err(StartupError::InsufficientIrd));
    let mut initiator = Initiator::new(terms.proposal());
    let error = initiator.receive(&mut &octets[..]).unwrap().unwrap_err();
    let mut out = [0; 64];
    let length = initiator.terminate(error, &mut out);
    let expected = fpdu(&hex("4147 00000000 00000002 00000001 00000000 2006 0000"), true);
    assert_eq!(out[..length], expected);
    // With a CRC also where only the responder wants one, and without where nobody does.
    for (crc, length) in [(true, length), (false, 28)] {
        let octets = encoded(Frame::new(Kind::Reply, crc, enhanced(None, 2, 3), &[]));
        let mut initiator = Initiator::new(Terms { crc: false, ..terms }.proposal());
        initiator.receive(&mut &octets[..]).unwrap().unwrap_err();
        let mut other = [0; 64];
        assert_eq!(initiator.terminate(error, &mut other), length);
        assert_eq!(other[..24], expected[..24]);
        assert_eq!(other[24..28] == expected[24..28], crc);
    }
    assert_eq!(initiator.terminate(error, &mut [0; 27]), 0);
    assert_eq!(initiator.terminate(StartupError::NotMpa, &mut out), 0);
}

/// Every set of RTR messages that is not empty.
fn rtr_sets() -> impl Iterator<Item = Rtr> {
    (1..=Rtr::all().bits()).map(Rtr::from_bits_retain)
}

#[test]
fn an_rtr_message_of_every_kind_is_agreed_on() {
    let mut out = [0; ROOM];
    for offered in rtr_sets() {
        for welcome in rtr_sets() {
            let terms = Terms { rtr: offered, ..Terms::default() };
            let mut initiator = Initiator::new(terms.proposal());
            let mut responder = Responder::new();
            let length = initiator.request(&[], &mut out).unwrap();
            let startup = responder.receive(&mut &out[..length]).unwrap().unwrap();
            assert_eq!(startup.enhanced.unwrap().rtr, Some(offered));
            let acceptance = Acceptance { rtr: welcome, ..terms.acceptance() };
            let (length, theirs) = responder.accept(&acceptance, &[], &mut out).unwrap();
            let result = initiator.receive(&mut &out[..length]).unwrap();
            let common = offered & welcome;
            if common.is_empty() {
                assert_eq!(theirs.rtr(), welcome, "one that the responder knows is proposed");
                assert_eq!(result.unwrap_err(), StartupError::NoMatchingRtr);
                let length = initiator.terminate(StartupError::NoMatchingRtr, &mut out);
                assert_eq!(out[20..24], hex("2007 0000"));
                assert_eq!(length, 28);
            } else {
                let ours = result.unwrap().agreement.unwrap().rtr();
                assert_eq!(theirs.rtr(), common);
                assert!(common.contains(ours) && ours.bits().is_power_of_two());
            }
        }
    }
}

#[test]
fn a_read_as_rtr_finds_room_though_nobody_reads() {
    let terms = Terms { rtr: Rtr::READ, initiator: (0, 0), responder: (0, 0), ..Terms::default() };
    let (initiator, responder) = terms.agree();
    assert_eq!((initiator.ird(), initiator.ord()), (0, 0));
    assert_eq!((responder.ird(), responder.ord()), (1, 0));
    let terms = Terms { rtr: Rtr::WRITE, ..terms };
    assert_eq!(terms.agree().1.ird(), 0);
    // Nor does a limit that is not to be negotiated take the room away.
    let frame = Frame::new(Kind::Request, false, enhanced(Some(Rtr::READ), 0, NO_NEGOTIATION), &[]);
    let (responder, _) = request(&encoded(frame));
    let (_, agreement) = responder.accept(&terms.acceptance(), &[], &mut [0; ROOM]).unwrap();
    assert_eq!(agreement.ird(), 1);
    // A responder that has proposed it without room is not asked.
    for (rtr, expected) in
        [(Rtr::READ, Err(StartupError::NoMatchingRtr)), (Rtr::READ | Rtr::SEND, Ok(Some(Rtr::SEND)))]
    {
        let octets = encoded(Frame::new(Kind::Reply, false, enhanced(Some(rtr), 0, 0), &[]));
        let terms = Terms { rtr: Rtr::all(), ..Terms::default() };
        let agreement = reply(&terms, &octets);
        assert_eq!(agreement.map(|agreement| agreement.map(|agreement| agreement.rtr())), expected);
    }
}

#[test]
fn a_reply_without_the_model_that_was_asked_for_has_no_rtr() {
    let terms = Terms { rtr: Rtr::all(), ..Terms::default() };
    for rtr in [None, Some(Rtr::empty())] {
        let octets = encoded(Frame::new(Kind::Reply, false, enhanced(rtr, 1, 1), &[]));
        assert_eq!(reply(&terms, &octets), Err(StartupError::NoMatchingRtr));
    }
    // And one that wants an RTR unasked gets none.
    let octets = encoded(Frame::new(Kind::Reply, false, enhanced(Some(Rtr::all()), 1, 1), &[]));
    assert_eq!(reply(&Terms::default(), &octets).unwrap().unwrap().rtr(), Rtr::empty());
}

#[test]
fn frames_need_room_and_a_request() {
    let terms = Terms::default();
    let mut out = [0; ROOM];
    let initiator = Initiator::new(terms.proposal());
    assert_eq!(initiator.request(b"data", &mut out[..27]), Err(FrameError::NoRoom));
    assert_eq!(initiator.request(b"data", &mut out[..28]), Ok(28));
    let mut responder = Responder::new();
    assert_eq!(responder.receive(&mut &out[..27]), None);
    assert_eq!(responder.accept(&terms.acceptance(), &[], &mut [0; 24]), Err(FrameError::NoRequest));
    assert_eq!(responder.receive(&mut &out[27..28]).map(|startup| startup.is_ok()), Some(true));
    assert_eq!(responder.accept(&terms.acceptance(), &[], &mut [0; 23]), Err(FrameError::NoRoom));
    let (length, agreement) = responder.accept(&terms.acceptance(), &[], &mut [0; 24]).unwrap();
    assert_eq!(length, 24);
    assert_eq!(agreement.role, Role::Responder);
}

#[test]
fn captured_linux_frames_lead_to_a_connection() {
    // A Linux initiator for rsockets: IRD 0, ORD 1.
    let mut request = hex("4d504120494420526571204672616d65 10 02 002c 0000 0001");
    request.extend([7; 40]);
    let mut responder = Responder::new();
    let startup = responder.receive(&mut &request[..]).unwrap().unwrap();
    assert_eq!(startup.private_data, [7; 40]);
    let acceptance = Acceptance { crc: false, rtr: Rtr::WRITE | Rtr::READ, ird: 16, ord: 16 };
    let mut out = [0; ROOM];
    let (length, agreement) = responder.accept(&acceptance, &[8; 40], &mut out).unwrap();
    let mut expected = hex("4d504120494420526570204672616d65 10 02 002c 0001 0000");
    expected.extend([8; 40]);
    assert_eq!(out[..length], expected);
    assert_eq!((agreement.ird(), agreement.ord(), agreement.crc()), (1, 0, false));
    // And a Linux responder.
    let proposal = Proposal { crc: false, enhanced: true, rtr: Rtr::empty(), ird: 0, ord: 1 };
    let mut initiator = Initiator::new(proposal);
    let answer = initiator.receive(&mut &expected[..]).unwrap().unwrap();
    let agreement = answer.agreement.unwrap();
    assert_eq!((agreement.ird(), agreement.ord(), agreement.crc()), (0, 1, false));
    assert_eq!(answer.private_data, [8; 40]);
}
