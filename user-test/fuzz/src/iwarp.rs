//! The software adapter's iWARP: octets of a TCP peer.

use softndk::iwarp::ddp::Segment;
use softndk::iwarp::mpa::{Acceptance, Initiator, Proposal, Responder, Rtr, StartupError, fpdu};
use softndk::iwarp::rdmap::{Opcode, PeerTerminate, ReadRequest, TerminateError};
use softndk::iwarp::{
    Connection, Event, Invalidation, LocalFault, Memory, Request, TaggedFault, WorkRequest,
};

/// What the responder of every target offers: no CRC, so that octets at random reach the checks behind it.
const ACCEPTANCE: Acceptance = Acceptance { crc: false, rtr: Rtr::all(), ird: 4, ord: 4 };

/// The frame of the other side, as it comes to an initiator and to a responder.
pub fn iwarp_startup(octets: &[u8]) {
    let mut out = [0; 532];
    let (mut rest, mut responder) = (octets, Responder::new());
    match responder.receive(&mut rest) {
        Some(Ok(startup)) => {
            assert!(startup.private_data.len() + rest.len() < octets.len(), "octets from nowhere");
            let accepted = responder.accept(&ACCEPTANCE, &[], &mut out);
            let sane = accepted
                .is_ok_and(|(length, ours)| length <= out.len() && ours.ird() <= 4 && ours.ord() <= 4);
            assert!(sane, "{accepted:?}");
        }
        Some(Err(StartupError::Markers)) => assert!(responder.reject(&[], &mut out).is_ok()),
        Some(Err(_)) => assert!(responder.reject(&[], &mut out).is_err(), "an answer to what is no request"),
        None => assert!(rest.is_empty(), "octets left of a frame that is not whole"),
    }
    let proposal = Proposal { crc: true, enhanced: true, rtr: Rtr::all(), ird: 4, ord: 4 };
    let (mut rest, mut initiator) = (octets, Initiator::new(proposal));
    match initiator.receive(&mut rest) {
        Some(Ok(reply)) => {
            if let Some(agreement) = reply.agreement {
                assert!(agreement.crc() && agreement.ird() <= 4 && agreement.ord() <= 4, "{agreement:?}");
            }
        }
        Some(Err(error)) => assert!(initiator.terminate(error, &mut out) <= 28),
        None => assert!(rest.is_empty(), "octets left of a frame that is not whole"),
    }
}

/// FPDUs: however the stream is cut, the same ones come out, as long as they say.
pub fn iwarp_fpdu(octets: &[u8]) {
    let Some((&cut, octets)) = octets.split_first() else { return };
    let whole = fpdus(octets, octets.len().max(1));
    assert_eq!(fpdus(octets, usize::from(cut).max(1)), whole, "another cut, other FPDUs");
    for fpdu in &whole {
        let opened = fpdu::open(fpdu, false);
        assert!(opened.is_ok(), "a whole FPDU cannot be opened");
        let Ok(ulpdu) = opened else { continue };
        let length = fpdu.first_chunk().map(|length| u16::from_be_bytes(*length));
        assert_eq!(length.map(usize::from), Some(ulpdu.len()), "a ULPDU of another length");
        if let Ok(checked) = fpdu::open(fpdu, true) {
            assert_eq!(checked, ulpdu, "the CRC changes the content");
        }
    }
}

/// The FPDUs of a stream that arrives in pieces.
fn fpdus(octets: &[u8], piece: usize) -> Vec<Vec<u8>> {
    let Some(mut reassembly) = fpdu::Reassembly::new(vec![0; fpdu::FPDU_LEN_MAX]) else { return Vec::new() };
    let mut whole = Vec::new();
    for mut piece in octets.chunks(piece) {
        while let Some(fpdu) = reassembly.next(&mut piece) {
            whole.push(fpdu.to_vec());
        }
        assert!(piece.is_empty(), "octets left of an FPDU that is not whole");
    }
    whole
}

/// DDP segments: what decodes and encodes again means the same.
pub fn iwarp_ddp(octets: &[u8]) {
    let Some(segment) = Segment::decode(octets) else { return };
    assert_eq!(
        segment.header.octets() + segment.payload.len(),
        octets.len(),
        "octets that belong to nothing"
    );
    let mut again = octets.to_vec();
    assert!(segment.header.encode(&mut again).is_some(), "no room for a header that was there");
    assert_eq!(Segment::decode(&again).map(|again| again.header), Some(segment.header), "a header changed");
}

/// RDMAP: the control octet, Read Requests, and what a Terminate says.
pub fn iwarp_rdmap(octets: &[u8]) {
    let Some((&control, rest)) = octets.split_first() else { return };
    if let Some(opcode) = Opcode::decode(control) {
        assert_eq!(Opcode::decode(opcode.control()), Some(opcode), "an opcode changed");
    }
    if let Some(request) = ReadRequest::decode(rest) {
        let mut again = vec![0; rest.len()];
        assert!(request.encode(&mut again).is_some(), "no room for a request that was there");
        assert_eq!(ReadRequest::decode(&again), Some(request), "a request changed");
        assert_eq!(request.skip(0), request, "nothing skipped");
    }
    if let PeerTerminate { error: Some(error) } = PeerTerminate::decode(rest) {
        assert_eq!(TerminateError::from_code(error.code()), Some(error), "an error changed");
    }
}

/// What an initiator sends in full operation. The first octet says how long the pieces are that the others come in, and whether each
/// piece is an FPDU's content: octets at random seldom make one by themselves.
pub fn iwarp_stream(octets: &[u8]) {
    let Some((&cut, octets)) = octets.split_first() else { return };
    let Some(connection) = responder() else { return };
    let pieces = octets.chunks(usize::from(cut >> 1).max(1));
    let framed = pieces.map(|piece| if cut & 1 == 1 { frame(piece) } else { piece.to_vec() });
    converse(connection, framed);
}

/// Everything that one end sends, from its first octet on: the start-up, then full operation, in either role. The first octet says
/// which, and how long the pieces are that the others come in.
pub fn iwarp_connection(octets: &[u8]) {
    let Some((&cut, mut octets)) = octets.split_first() else { return };
    let agreement = if cut & 1 == 1 {
        let mut responder = Responder::new();
        let Some(Ok(_)) = responder.receive(&mut octets) else { return };
        responder.accept(&ACCEPTANCE, &[], &mut [0; 532]).ok().map(|(_, agreement)| agreement)
    } else {
        let proposal = Proposal { crc: false, enhanced: true, rtr: Rtr::all(), ird: 4, ord: 4 };
        let mut initiator = Initiator::new(proposal);
        let Some(Ok(reply)) = initiator.receive(&mut octets) else { return };
        reply.agreement
    };
    let Some(agreement) = agreement else { return };
    let buffer = vec![0; fpdu::FPDU_LEN_MAX];
    let connection = Connection::new(&agreement, 1460, buffer);
    assert!(connection.is_ok(), "a right buffer is refused");
    let Ok(connection) = connection else { return };
    converse(connection, octets.chunks(usize::from(cut >> 1).max(1)).map(<[u8]>::to_vec));
}

/// Gives the pieces to the connection, with work of its own in between, and ends the stream.
fn converse(mut connection: Connection<Vec<u8>>, pieces: impl Iterator<Item = Vec<u8>>) {
    let (mut memory, mut out) = (Fixed::default(), [0; 1460]);
    let mut is_over = false;
    for piece in pieces {
        let mut piece = piece.as_slice();
        while let Some(event) = connection.receive(&mut piece, &mut memory) {
            assert!(!is_over, "{event:?} after the end");
            is_over = matches!(event, Event::Failed(_) | Event::Terminated(_));
        }
        assert!(piece.is_empty(), "octets left without an event");
        let request = Request::Write { length: 3, stag: 1, to: 0 };
        let posted = connection.post(WorkRequest { request, read_fence: false });
        assert!(!(is_over && posted.is_ok()), "work after the end");
        while let done @ 1.. = connection.transmit(&mut out, &mut memory).octets {
            assert!(done <= connection.fpdu_len_max() && done % 4 == 0, "{done} octets are no FPDU");
        }
        assert!(!is_over || connection.is_ended(), "a failed connection goes on");
    }
    connection.end_of_stream();
    // A message that has begun goes out as a whole; then it is over.
    while let 1.. = connection.transmit(&mut out, &mut memory).octets {}
    assert!(connection.is_ended(), "a connection outlives its stream");
}

/// A responder in full operation that takes four reads.
fn responder() -> Option<Connection<Vec<u8>>> {
    let request = b"MPA ID Req Frame\x10\x02\x00\x04\x00\x04\x00\x04";
    let mut responder = Responder::new();
    assert!(matches!(responder.receive(&mut &request[..]), Some(Ok(_))), "a right request is refused");
    let (_, agreement) = responder.accept(&ACCEPTANCE, &[], &mut [0; 24]).ok()?;
    Connection::new(&agreement, 1460, vec![0; fpdu::FPDU_LEN_MAX]).ok()
}

/// An FPDU of those octets, with control words that mean something.
fn frame(octets: &[u8]) -> Vec<u8> {
    let mut ulpdu = octets.to_vec();
    if let [ddp, rdmap, ..] = ulpdu.as_mut_slice() {
        (*ddp, *rdmap) = (*ddp & 0xC0 | 1, *rdmap & 0x07 | 0x40);
        let queue = match *rdmap & 7 {
            1 => 1,
            7 => 2,
            _ => 0,
        };
        // The first message of its queue, from its beginning.
        if let Some(fields) = ulpdu.get_mut(6..18) {
            fields.copy_from_slice(&[0, 0, 0, queue, 0, 0, 0, 1, 0, 0, 0, 0]);
        }
    }
    let length = u16::try_from(ulpdu.len()).unwrap_or(u16::MAX);
    let mut fpdu = vec![0; fpdu::fpdu_len(length)];
    if let Some(place) = fpdu::ulpdu_mut(&mut fpdu, length) {
        place.copy_from_slice(&ulpdu);
    }
    fpdu::seal(&mut fpdu, length, false);
    fpdu
}

/// Memory that is there from 0 to 999, for every STag below 0x8000_0000.
#[derive(Default)]
struct Fixed {
    /// Octets in the receive claimed last.
    received: u32,
}

/// Octets of each receive.
const RECEIVE_LEN: u32 = 64;

fn check(stag: u32, to: u64, octets: usize) -> Result<(), TaggedFault> {
    assert!(octets > 0, "a check of nothing");
    let end = to.checked_add(octets as u64 - 1);
    assert!(end.is_some(), "a range that wraps");
    if stag >> 31 != 0 {
        Err(TaggedFault::InvalidStag)
    } else if end > Some(999) {
        Err(TaggedFault::Bounds)
    } else {
        Ok(())
    }
}

impl Memory for Fixed {
    fn place_write(&mut self, stag: u32, to: u64, octets: &[u8]) -> Result<(), TaggedFault> {
        check(stag, to, octets.len())
    }

    fn place_read(&mut self, _: u32, _: u64, _: &[u8]) -> Result<(), TaggedFault> {
        Err(TaggedFault::InvalidStag)
    }

    fn claim_receive(&mut self) -> Option<u32> {
        self.received = 0;
        Some(RECEIVE_LEN)
    }

    fn place_send(&mut self, offset: u32, octets: &[u8]) -> Result<(), LocalFault> {
        assert_eq!(offset, self.received, "octets left out or placed twice");
        self.received += u32::try_from(octets.len()).map_err(|_| LocalFault)?;
        assert!(self.received <= RECEIVE_LEN, "placed behind the receive");
        Ok(())
    }

    fn invalidate(&mut self, stag: u32) -> Result<(), Invalidation> {
        if stag >> 31 != 0 { Err(Invalidation::NotAllowed) } else { Ok(()) }
    }

    fn check_read(&mut self, stag: u32, to: u64, size: u32) -> Result<(), TaggedFault> {
        check(stag, to, size as usize)
    }

    fn fetch_read(&mut self, stag: u32, to: u64, out: &mut [u8]) -> Result<(), TaggedFault> {
        check(stag, to, out.len())?;
        out.fill(1);
        Ok(())
    }

    fn fetch(&mut self, _: u32, out: &mut [u8]) -> Result<(), LocalFault> {
        out.fill(2);
        Ok(())
    }
}
