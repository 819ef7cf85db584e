//! FPDUs that go out: an RTR, own work, responses to the peer's reads, a Terminate.

use super::super::ddp::{self, Header, TAGGED_LEN, Tagged, UNTAGGED_LEN, Untagged};
use super::super::mpa::fpdu;
use super::super::mpa::{Role, Rtr};
use super::super::rdmap::{
    Opcode, QUEUE_READ_REQUEST, QUEUE_SEND, Quote, READ_REQUEST_LEN, ReadRequest, Terminate, TerminateError,
};
use super::memory::{LocalFault, TaggedFault};
use super::{
    Event, Memory, OutstandingRead, Phase, PostError, Request, RequestedRead, Stream, Transmitted,
    WorkRequest,
};

/// STag that RTR messages carry, as those of Linux do. Nobody may check it.
const RTR_STAG: u32 = 1;

/// Octets of a Read Request's ULPDU.
const READ_REQUEST_SEGMENT_LEN: u16 = 46;
const _: () = assert!(READ_REQUEST_SEGMENT_LEN as usize == UNTAGGED_LEN + READ_REQUEST_LEN);

/// What is to go out.
#[derive(Debug)]
pub(super) struct Outbound {
    mulpdu: u16,
    /// The RTR message, or the Write of no octets, that has not gone out.
    rtr: Rtr,
    current: Option<Current>,
    /// MSN of the next Send.
    pub(super) send_msn: u32,
    /// MSN of the next Read Request.
    pub(super) read_msn: u32,
    /// The last message was a Read Response: own work has its turn.
    responded: bool,
    /// An FPDU has gone out.
    begun: bool,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    work: WorkRequest,
    /// Octets that have gone out.
    offset: u32,
}

impl Outbound {
    pub(super) const fn new(mulpdu: u16, rtr: Rtr) -> Self {
        Self { mulpdu, rtr, current: None, send_msn: 1, read_msn: 1, responded: false, begun: false }
    }

    pub(super) const fn mulpdu(&self) -> u16 {
        self.mulpdu
    }

    pub(super) fn speak(&mut self) {
        if self.rtr.is_empty() {
            self.rtr = Rtr::WRITE;
        }
    }

    pub(super) const fn has_begun(&self) -> bool {
        self.begun
    }

    pub(super) const fn is_busy(&self) -> bool {
        self.current.is_some()
    }

    /// A Read Request has not gone out.
    pub(super) fn wants_to_read(&self) -> bool {
        self.current.is_some_and(|current| matches!(current.work.request, Request::Read(_)))
    }

    pub(super) const fn is_idle(&self) -> bool {
        self.current.is_none() && self.rtr.is_empty()
    }

    pub(super) fn post(&mut self, work: WorkRequest) -> Result<(), PostError> {
        if self.current.is_some() {
            return Err(PostError::Busy);
        }
        self.current = Some(Current { work, offset: 0 });
        Ok(())
    }

    /// Octets of payload that go into one segment behind a header of `header_len` octets.
    fn part(&self, left: u32, header_len: usize) -> u16 {
        let room = usize::from(self.mulpdu).saturating_sub(header_len);
        let room = u16::try_from(room).unwrap_or(u16::MAX);
        u16::try_from(left).unwrap_or(u16::MAX).min(room)
    }

    const fn send_header(&self, last: bool, opcode: Opcode, invalidate: u32, mo: u32) -> Header {
        Header::Untagged(Untagged {
            last,
            control: opcode.control(),
            invalidate,
            queue: QUEUE_SEND,
            msn: self.send_msn,
            mo,
        })
    }
}

/// A Read Request's segment header.
const fn read_header(msn: u32) -> Header {
    Header::Untagged(Untagged {
        last: true,
        control: Opcode::ReadRequest.control(),
        invalidate: 0,
        queue: QUEUE_READ_REQUEST,
        msn,
        mo: 0,
    })
}

const fn tagged_header(last: bool, opcode: Opcode, stag: u32, to: u64) -> Header {
    Header::Tagged(Tagged { last, control: opcode.control(), stag, to })
}

/// Why no FPDU was made.
enum Unmade {
    NoRoom,
    Fault(Terminate),
}

impl From<LocalFault> for Unmade {
    fn from(_: LocalFault) -> Self {
        Self::Fault(Terminate::new(TerminateError::LocalCatastrophic))
    }
}

impl Stream {
    pub(super) fn transmit(&mut self, out: &mut [u8], memory: &mut impl Memory) -> Transmitted {
        let between_messages = self.is_between_messages();
        let made = match &self.phase {
            Phase::Ended => return Transmitted::default(),
            Phase::Terminating(terminate) => {
                let Some(octets) = terminate.write_fpdu(self.crc, out) else { return Transmitted::default() };
                self.phase = Phase::Ended;
                return Transmitted { octets, event: None };
            }
            Phase::Finishing => match self.outbound.current {
                Some(current) => self.own(&current, out, memory),
                None => {
                    self.phase = Phase::Ended;
                    return Transmitted::default();
                }
            },
            Phase::Open if self.role == Role::Responder && !self.heard => return Transmitted::default(),
            Phase::Open if between_messages && !self.outbound.rtr.is_empty() => self.rtr(out),
            Phase::Open => match self.turn() {
                Some(Turn::Own(current)) => self.own(&current, out, memory),
                Some(Turn::Response(read)) => self.response(&read, out, memory),
                None => return Transmitted::default(),
            },
        };
        match made {
            Ok(transmitted) => {
                self.outbound.begun = true;
                transmitted
            }
            Err(Unmade::NoRoom) => Transmitted::default(),
            Err(Unmade::Fault(terminate)) => Transmitted { octets: 0, event: Some(self.fail(terminate)) },
        }
    }

    /// A message that has begun goes on; then own work and responses take turns.
    fn turn(&mut self) -> Option<Turn> {
        let own = self.outbound.current.filter(|current| self.may_begin(&current.work));
        let response = self.requested.front_mut().copied();
        match (own, response) {
            (Some(own), Some(response)) => {
                let responds = response.begun || own.offset == 0 && !self.outbound.responded;
                Some(if responds { Turn::Response(response) } else { Turn::Own(own) })
            }
            (Some(own), None) => Some(Turn::Own(own)),
            (None, Some(response)) => Some(Turn::Response(response)),
            (None, None) => None,
        }
    }

    /// Linux takes no tagged segment of another message before a tagged message has ended.
    fn is_between_messages(&mut self) -> bool {
        let own = self.outbound.current.is_some_and(|current| current.offset > 0);
        !own && !self.requested.front_mut().is_some_and(|read| read.begun)
    }

    fn may_begin(&self, work: &WorkRequest) -> bool {
        let has_room = !matches!(work.request, Request::Read(_)) || self.outstanding.len() < self.ord;
        has_room && (!work.read_fence || self.outstanding.is_empty())
    }

    /// The RTR message. It is nobody's work request, so nothing is complete with it.
    fn rtr(&mut self, out: &mut [u8]) -> Result<Transmitted, Unmade> {
        let outbound = &mut self.outbound;
        let octets = if outbound.rtr.contains(Rtr::READ) {
            let request = ReadRequest { source_stag: RTR_STAG, ..ReadRequest::default() };
            self.write_read_request(out, request, 0)?
        } else if outbound.rtr.contains(Rtr::WRITE) {
            let header = tagged_header(true, Opcode::Write, RTR_STAG, 0);
            segment(out, self.crc, &header, 0, |_| Ok(()))?
        } else {
            let header = outbound.send_header(true, Opcode::Send, 0, 0);
            let octets = segment(out, self.crc, &header, 0, |_| Ok(()))?;
            outbound.send_msn = outbound.send_msn.wrapping_add(1);
            octets
        };
        self.outbound.rtr = Rtr::empty();
        Ok(Transmitted { octets, event: None })
    }

    /// A Read Request, with whose response so many work requests are complete.
    fn write_read_request(
        &mut self,
        out: &mut [u8],
        request: ReadRequest,
        completes: u32,
    ) -> Result<usize, Unmade> {
        let header = read_header(self.outbound.read_msn);
        let fill = |out: &mut [u8]| request.encode(out).ok_or(Unmade::NoRoom);
        let octets = segment(out, self.crc, &header, READ_REQUEST_LEN, fill)?;
        let read = OutstandingRead { request, received: 0, completes };
        self.outstanding.push(read).ok_or(Unmade::NoRoom)?;
        self.outbound.read_msn = self.outbound.read_msn.wrapping_add(1);
        Ok(octets)
    }

    /// The next segment of the current work request.
    fn own(
        &mut self,
        current: &Current,
        out: &mut [u8],
        memory: &mut impl Memory,
    ) -> Result<Transmitted, Unmade> {
        let offset = current.offset;
        let outbound = &mut self.outbound;
        let (header, part, last) = match current.work.request {
            Request::Read(request) => {
                let octets = self.write_read_request(out, request, 1)?;
                self.outbound.current = None;
                self.outbound.responded = false;
                return Ok(Transmitted { octets, event: None });
            }
            Request::Send { length, solicited, invalidate } => {
                let left = length.saturating_sub(offset);
                let part = outbound.part(left, UNTAGGED_LEN);
                let last = u32::from(part) == left;
                let opcode = Opcode::send(solicited, invalidate.is_some());
                (outbound.send_header(last, opcode, invalidate.unwrap_or(0), offset), part, last)
            }
            Request::Write { length, stag, to } => {
                let left = length.saturating_sub(offset);
                let part = outbound.part(left, TAGGED_LEN);
                let last = u32::from(part) == left;
                let to = to.wrapping_add(u64::from(offset));
                (tagged_header(last, Opcode::Write, stag, to), part, last)
            }
        };
        let fetch = |out: &mut [u8]| if part > 0 { Ok(memory.fetch(offset, out)?) } else { Ok(()) };
        let octets = segment(out, self.crc, &header, usize::from(part), fetch)?;
        if !last {
            let offset = offset.wrapping_add(u32::from(part));
            outbound.current = Some(Current { offset, ..*current });
            return Ok(Transmitted { octets, event: None });
        }
        if matches!(header, Header::Untagged(_)) {
            outbound.send_msn = outbound.send_msn.wrapping_add(1);
        }
        outbound.current = None;
        outbound.responded = false;
        // Work requests complete in their order, so it waits for the reads before it.
        let event = match self.outstanding.back_mut() {
            Some(read) => {
                read.completes = read.completes.saturating_add(1);
                None
            }
            None => Some(Event::Completed(1)),
        };
        Ok(Transmitted { octets, event })
    }

    /// The next segment of the response to the oldest read of the peer.
    fn response(
        &mut self,
        read: &RequestedRead,
        out: &mut [u8],
        memory: &mut impl Memory,
    ) -> Result<Transmitted, Unmade> {
        let left = read.left;
        let part = self.outbound.part(left.size, TAGGED_LEN);
        let last = u32::from(part) == left.size;
        let header = tagged_header(last, Opcode::ReadResponse, left.sink_stag, left.sink_to);
        let fetch = |out: &mut [u8]| {
            if part == 0 {
                return Ok(());
            }
            memory.fetch_read(left.source_stag, left.source_to, out).map_err(|fault: TaggedFault| {
                let quote = Quote {
                    segment_len: READ_REQUEST_SEGMENT_LEN,
                    version: ddp::VERSION,
                    header: read_header(read.msn),
                    read_request: Some(left),
                };
                Unmade::Fault(Terminate::of_segment(fault.of_read_request(), quote))
            })
        };
        let octets = segment(out, self.crc, &header, usize::from(part), fetch)?;
        if last {
            memory.end_read();
            self.requested.pop();
            self.outbound.responded = true;
        } else if let Some(read) = self.requested.front_mut() {
            read.left = left.skip(u32::from(part));
            read.begun = true;
        }
        Ok(Transmitted { octets, event: None })
    }
}

enum Turn {
    Own(Current),
    Response(RequestedRead),
}

/// Makes the FPDU of one segment with `len` octets of payload, which `fill` writes.
fn segment(
    out: &mut [u8],
    crc: bool,
    header: &Header,
    len: usize,
    fill: impl FnOnce(&mut [u8]) -> Result<(), Unmade>,
) -> Result<usize, Unmade> {
    let ulpdu_len = u16::try_from(header.octets().saturating_add(len)).map_err(|_| Unmade::NoRoom)?;
    let ulpdu = fpdu::ulpdu_mut(out, ulpdu_len).ok_or(Unmade::NoRoom)?;
    let (place, payload) = ulpdu.split_at_mut_checked(header.octets()).ok_or(Unmade::NoRoom)?;
    header.encode(place).ok_or(Unmade::NoRoom)?;
    fill(payload)?;
    fpdu::seal(out, ulpdu_len, crc).ok_or(Unmade::NoRoom)
}
