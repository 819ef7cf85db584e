//! An adapter of plain vectors, a pair of connected ends, and octets written as hexadecimal digits.

use std::collections::VecDeque;
use std::thread;
use std::vec;
use std::vec::Vec;

use crate::iwarp::mpa::{Acceptance, Agreement, Initiator, Proposal, Responder, Rtr, fpdu};
use crate::iwarp::rdmap::ReadRequest;
use crate::iwarp::{
    Connection, Event, Invalidation, LocalFault, Memory, PostError, Request, TaggedFault, WorkRequest,
};

/// Octets from hexadecimal digits; whatever else is in the text is left out.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The FPDU around a ULPDU.
pub(crate) fn fpdu(ulpdu: &[u8], crc: bool) -> Vec<u8> {
    let length = ulpdu.len() as u16;
    let mut octets = vec![0xEE; fpdu::fpdu_len(length)];
    fpdu::ulpdu_mut(&mut octets, length).unwrap().copy_from_slice(ulpdu);
    assert_eq!(fpdu::seal(&mut octets, length, crc), Some(octets.len()));
    octets
}

/// The ULPDU of a tagged segment with so many octets.
pub(crate) fn tagged(control: &str, stag: u32, to: u64, payload: usize) -> Vec<u8> {
    let mut ulpdu = hex(control);
    ulpdu.extend(stag.to_be_bytes());
    ulpdu.extend(to.to_be_bytes());
    ulpdu.resize(ulpdu.len() + payload, 0xAB);
    ulpdu
}

/// The ULPDU of an untagged segment.
pub(crate) fn untagged(control: &str, queue: u32, msn: u32, mo: u32, payload: &[u8]) -> Vec<u8> {
    let mut ulpdu = hex(control);
    for field in [0x55, queue, msn, mo] {
        ulpdu.extend(field.to_be_bytes());
    }
    ulpdu.extend(payload);
    ulpdu
}

/// A Read Request of that size from that memory.
pub(crate) fn request(stag: u32, to: u64, size: u32) -> Vec<u8> {
    let mut octets = vec![0; 28];
    let request = ReadRequest { sink_stag: 1, sink_to: 2, size, source_stag: stag, source_to: to };
    request.encode(&mut octets).unwrap();
    octets
}

/// Memory with an STag.
#[derive(Clone, Debug)]
pub(super) struct Region {
    pub(super) stag: u32,
    pub(super) base: u64,
    pub(super) octets: Vec<u8>,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// Of another protection domain.
    pub(super) foreign: bool,
}

impl Region {
    pub(super) fn new(stag: u32, base: u64, len: usize) -> Self {
        Self { stag, base, octets: vec![0; len], readable: true, writable: true, foreign: false }
    }
}

/// The memory of one end.
#[derive(Debug, Default)]
pub(super) struct Adapter {
    pub(super) regions: Vec<Region>,
    /// Octets of the receives posted.
    pub(super) receives: VecDeque<u32>,
    /// What is in the receive claimed last.
    pub(super) claimed: Vec<u8>,
    claimed_len: u32,
    /// Octets of the Send or Write posted last.
    pub(super) source: Vec<u8>,
    pub(super) invalidation: Option<Invalidation>,
    /// Local memory has gone.
    pub(super) local_fault: bool,
    /// Octets placed in all.
    pub(super) placed: usize,
}

impl Adapter {
    pub(super) fn region(&mut self, stag: u32) -> &mut Region {
        self.regions.iter_mut().find(|region| region.stag == stag).unwrap()
    }

    fn find(
        &mut self,
        stag: u32,
        to: u64,
        len: usize,
        allows: fn(&Region) -> bool,
    ) -> Result<&mut [u8], TaggedFault> {
        assert!(len > 0 && to.checked_add(len as u64 - 1).is_some(), "a range that is empty or wraps");
        let region = self.regions.iter_mut().find(|region| region.stag == stag);
        let region = region.ok_or(TaggedFault::InvalidStag)?;
        if region.foreign {
            return Err(TaggedFault::NotOfStream);
        }
        if !allows(region) {
            return Err(TaggedFault::AccessRights);
        }
        let start = to.checked_sub(region.base).ok_or(TaggedFault::Bounds)? as usize;
        let end = start.checked_add(len).ok_or(TaggedFault::Bounds)?;
        region.octets.get_mut(start..end).ok_or(TaggedFault::Bounds)
    }
}

impl Memory for Adapter {
    fn place_write(&mut self, stag: u32, to: u64, octets: &[u8]) -> Result<(), TaggedFault> {
        self.find(stag, to, octets.len(), |region| region.writable)?.copy_from_slice(octets);
        self.placed += octets.len();
        Ok(())
    }

    fn place_read(&mut self, stag: u32, to: u64, octets: &[u8]) -> Result<(), TaggedFault> {
        self.place_write(stag, to, octets)
    }

    fn claim_receive(&mut self) -> Option<u32> {
        self.claimed_len = self.receives.pop_front()?;
        self.claimed.clear();
        Some(self.claimed_len)
    }

    fn place_send(&mut self, offset: u32, octets: &[u8]) -> Result<(), LocalFault> {
        if self.local_fault {
            return Err(LocalFault);
        }
        assert!(!octets.is_empty());
        assert_eq!(offset as usize, self.claimed.len(), "octets left out or placed twice");
        self.claimed.extend_from_slice(octets);
        assert!(self.claimed.len() <= self.claimed_len as usize, "placed behind the receive");
        self.placed += octets.len();
        Ok(())
    }

    fn invalidate(&mut self, stag: u32) -> Result<(), Invalidation> {
        if let Some(fault) = self.invalidation {
            return Err(fault);
        }
        let at = self.regions.iter().position(|region| region.stag == stag && !region.foreign);
        self.regions.remove(at.ok_or(Invalidation::NotAllowed)?);
        Ok(())
    }

    fn check_read(&mut self, stag: u32, to: u64, size: u32) -> Result<(), TaggedFault> {
        self.find(stag, to, size as usize, |region| region.readable).map(drop)
    }

    fn fetch_read(&mut self, stag: u32, to: u64, out: &mut [u8]) -> Result<(), TaggedFault> {
        out.copy_from_slice(self.find(stag, to, out.len(), |region| region.readable)?);
        Ok(())
    }

    fn fetch(&mut self, offset: u32, out: &mut [u8]) -> Result<(), LocalFault> {
        let start = offset as usize;
        let part = self.source.get(start..start + out.len()).filter(|_| !self.local_fault);
        out.copy_from_slice(part.ok_or(LocalFault)?);
        Ok(())
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct End {
    pub(super) connection: Connection<Vec<u8>>,
    pub(super) adapter: Adapter,
}

impl End {
    pub(super) fn new(agreement: &Agreement, emss: u32) -> Self {
        let connection = Connection::new(agreement, emss, vec![0; fpdu::FPDU_LEN_MAX]).unwrap();
        Self { connection, adapter: Adapter::default() }
    }

    /// Every event of these octets.
    pub(super) fn receive(&mut self, mut octets: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.connection.receive(&mut octets, &mut self.adapter) {
            events.push(event);
        }
        assert_eq!(octets, [], "octets left without an event");
        events
    }

    pub(super) fn post(&mut self, request: Request, source: &[u8]) -> Result<(), PostError> {
        self.connection.post(WorkRequest { request, read_fence: false })?;
        self.adapter.source = source.to_vec();
        Ok(())
    }

    pub(super) fn send(&mut self, source: &[u8]) {
        let length = source.len() as u32;
        self.post(Request::Send { length, solicited: false, invalidate: None }, source).unwrap();
    }

    pub(super) fn write(&mut self, stag: u32, to: u64, source: &[u8]) {
        self.post(Request::Write { length: source.len() as u32, stag, to }, source).unwrap();
    }

    pub(super) fn read(&mut self, request: ReadRequest) {
        self.post(Request::Read(request), &[]).unwrap();
    }

    /// The next FPDU, and what it led to.
    pub(super) fn fpdu(&mut self) -> (Vec<u8>, Option<Event>) {
        let mut out = vec![0xEE; self.connection.fpdu_len_max()];
        let done = self.connection.transmit(&mut out, &mut self.adapter);
        out.truncate(done.octets);
        (out, done.event)
    }

    /// Everything there is to send, and its events.
    pub(super) fn transmit(&mut self) -> (Vec<u8>, Vec<Event>) {
        let (mut octets, mut events) = (Vec::new(), Vec::new());
        loop {
            let (fpdu, event) = self.fpdu();
            if fpdu.is_empty() && event.is_none() {
                return (octets, events);
            }
            octets.extend(fpdu);
            events.extend(event);
        }
    }
}

/// A start-up that both ends can agree on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) crc: bool,
    pub(super) enhanced: bool,
    pub(super) rtr: Rtr,
    /// Initiator's IRD and ORD.
    pub(super) initiator: (u16, u16),
    /// Responder's IRD and ORD.
    pub(super) responder: (u16, u16),
}

impl Default for Terms {
    fn default() -> Self {
        Self { crc: true, enhanced: true, rtr: Rtr::empty(), initiator: (4, 4), responder: (4, 4) }
    }
}

impl Terms {
    pub(super) fn proposal(&self) -> Proposal {
        let (ird, ord) = self.initiator;
        Proposal { crc: self.crc, enhanced: self.enhanced, rtr: self.rtr, ird, ord }
    }

    pub(super) fn acceptance(&self) -> Acceptance {
        let (ird, ord) = self.responder;
        Acceptance { crc: self.crc, rtr: Rtr::all(), ird, ord }
    }

    /// What initiator and responder agree on.
    pub(super) fn agree(&self) -> (Agreement, Agreement) {
        let mut octets = [0; 532];
        let mut initiator = Initiator::new(self.proposal());
        let mut responder = Responder::new();
        let length = initiator.request(&[], &mut octets).unwrap();
        responder.receive(&mut &octets[..length]).unwrap().unwrap();
        let (length, theirs) = responder.accept(&self.acceptance(), &[], &mut octets).unwrap();
        let ours = initiator.receive(&mut &octets[..length]).unwrap().unwrap().agreement.unwrap();
        (ours, theirs)
    }

    /// Initiator and responder in full operation, before any FPDU.
    pub(super) fn pair(&self) -> (End, End) {
        let (ours, theirs) = self.agree();
        (End::new(&ours, 1460), End::new(&theirs, 1460))
    }

    /// The same after the initiator's first FPDU.
    pub(super) fn talking_pair(&self) -> (End, End) {
        let (mut initiator, mut responder) = self.pair();
        initiator.write(0, 0, &[]);
        let (octets, events) = initiator.transmit();
        assert_eq!(events, [Event::Completed(1)]);
        assert_eq!(responder.receive(&octets), [Event::Ready]);
        (initiator, responder)
    }
}

/// Numbers that repeat, from a seed, which is told when a test fails.
#[derive(Debug)]
pub(super) struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    /// Less than `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(super) fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }
}

impl Drop for Random {
    fn drop(&mut self) {
        if thread::panicking() {
            std::eprintln!("seed {}", self.seed);
        }
    }
}
