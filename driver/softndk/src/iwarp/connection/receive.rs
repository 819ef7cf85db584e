//! Segments that arrive: every check, in order, then placement, then delivery.
//!
//! An FPDU is checked as a whole, CRC first, before an octet of it is placed. Order of the checks: MPA, DDP version and queue, RDMAP
//! version and opcode, then those of the message.

use super::super::ddp::{self, Header, Segment, Tagged, Untagged};
use super::super::mpa::fpdu;
use super::super::rdmap::{
    self, Opcode, PeerTerminate, QUEUE_READ_REQUEST, QUEUE_SEND, QUEUE_TERMINATE, Quote, READ_REQUEST_LEN,
    ReadRequest, Terminate, TerminateError,
};
use super::memory::{Invalidation, LocalFault, TaggedFault};
use super::{Event, Memory, Phase, RequestedRead, Stream, wraps};

/// What is due on the untagged queues.
#[derive(Debug)]
pub(super) struct Inbound {
    /// MSN of the Send that is due or under way.
    pub(super) send_msn: u32,
    /// MSN of the Read Request that is due.
    pub(super) read_msn: u32,
    /// The Send whose last segment has not arrived.
    message: Option<Message>,
    /// The last segment of an RDMA Write has not arrived.
    is_mid_write: bool,
}

#[derive(Clone, Copy, Debug)]
struct Message {
    opcode: Opcode,
    /// Octets of its receive.
    capacity: u32,
    /// Octets so far.
    received: u32,
}

impl Inbound {
    pub(super) const fn new() -> Self {
        Self { send_msn: 1, read_msn: 1, message: None, is_mid_write: false }
    }

    pub(super) const fn is_mid_message(&self) -> bool {
        self.message.is_some() || self.is_mid_write
    }
}

impl Stream {
    /// Takes in one FPDU.
    pub(super) fn handle(
        &mut self,
        octets: &[u8],
        memory: &mut impl Memory,
    ) -> Result<Option<Event>, Terminate> {
        let ulpdu =
            fpdu::open(octets, self.crc).map_err(|fpdu::CrcMismatch| Terminate::new(TerminateError::Crc))?;
        let segment = Segment::decode(ulpdu).ok_or(Terminate::new(TerminateError::Length))?;
        let event = self.dispatch(&segment, memory).map_err(|error| {
            let quote = Quote {
                segment_len: u16::try_from(ulpdu.len()).unwrap_or(u16::MAX),
                version: segment.version,
                header: segment.header,
                read_request: ReadRequest::decode(segment.payload),
            };
            Terminate::of_segment(error, quote)
        })?;
        self.heard = true;
        Ok(event)
    }

    fn dispatch(
        &mut self,
        segment: &Segment<'_>,
        memory: &mut impl Memory,
    ) -> Result<Option<Event>, TerminateError> {
        let (header, payload) = (segment.header, segment.payload);
        if segment.version != ddp::VERSION {
            return Err(match header {
                Header::Tagged(_) => TerminateError::TaggedVersion,
                Header::Untagged(_) => TerminateError::UntaggedVersion,
            });
        }
        if matches!(header, Header::Untagged(header) if header.queue > QUEUE_TERMINATE) {
            return Err(TerminateError::UntaggedQueue);
        }
        if rdmap::version(header.control()) != rdmap::VERSION {
            return Err(TerminateError::RdmapVersion);
        }
        let opcode = Opcode::decode(header.control()).ok_or(TerminateError::UnexpectedOpcode)?;
        match (header, opcode) {
            (Header::Tagged(header), Opcode::Write) => self.write(&header, payload, memory),
            (Header::Tagged(header), Opcode::ReadResponse) => self.read_response(&header, payload, memory),
            (Header::Untagged(header), Opcode::ReadRequest) if header.queue == QUEUE_READ_REQUEST => {
                self.read_request(&header, payload, memory)
            }
            (Header::Untagged(header), Opcode::Terminate) if header.queue == QUEUE_TERMINATE => {
                self.phase = Phase::Ended;
                Ok(Some(Event::Terminated(PeerTerminate::decode(payload))))
            }
            (
                Header::Untagged(header),
                Opcode::Send
                | Opcode::SendInvalidate
                | Opcode::SendSolicited
                | Opcode::SendSolicitedInvalidate,
            ) if header.queue == QUEUE_SEND => self.send(opcode, &header, payload, memory),
            _ => Err(TerminateError::UnexpectedOpcode),
        }
    }

    fn write(
        &mut self,
        header: &Tagged,
        payload: &[u8],
        memory: &mut impl Memory,
    ) -> Result<Option<Event>, TerminateError> {
        // Without payload neither STag nor offset may be looked at (RFC 5041 sections 5.2 and 7.1).
        if !payload.is_empty() {
            if wraps(header.to, payload.len() as u64) {
                return Err(TerminateError::TaggedWrap);
            }
            memory.place_write(header.stag, header.to, payload).map_err(TaggedFault::of_segment)?;
        }
        self.inbound.is_mid_write = !header.last;
        // An RTR is nobody's Write.
        if header.last && (self.heard || !payload.is_empty()) {
            memory.end_write();
        }
        Ok(None)
    }

    fn read_response(
        &mut self,
        header: &Tagged,
        payload: &[u8],
        memory: &mut impl Memory,
    ) -> Result<Option<Event>, TerminateError> {
        let read = self.outstanding.front_mut().ok_or(TerminateError::UnexpectedOpcode)?;
        if !payload.is_empty() {
            let due = read.request.skip(read.received);
            if header.stag != due.sink_stag {
                return Err(TerminateError::TaggedInvalidStag);
            }
            let octets = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            if header.to != due.sink_to || octets > due.size {
                return Err(TerminateError::TaggedBounds);
            }
            if wraps(header.to, u64::from(octets)) {
                return Err(TerminateError::TaggedWrap);
            }
            memory.place_read(header.stag, header.to, payload).map_err(TaggedFault::of_segment)?;
            read.received = read.received.wrapping_add(octets);
        }
        if !header.last {
            return Ok(None);
        }
        if read.received != read.request.size {
            return Err(TerminateError::RemoteOperation);
        }
        let done = self.outstanding.pop().map_or(0, |read| read.completes);
        Ok((done > 0).then_some(Event::Completed(done)))
    }

    fn read_request(
        &mut self,
        header: &Untagged,
        payload: &[u8],
        memory: &mut impl Memory,
    ) -> Result<Option<Event>, TerminateError> {
        let request = ReadRequest::decode(payload).ok_or(TerminateError::Length)?;
        if header.msn != self.inbound.read_msn {
            return Err(TerminateError::UntaggedMsn);
        }
        if header.mo != 0 {
            return Err(TerminateError::UntaggedMo);
        }
        if self.requested.len() >= self.ird {
            return Err(TerminateError::UntaggedNoBuffer);
        }
        if payload.len() > READ_REQUEST_LEN || !header.last {
            return Err(TerminateError::UntaggedTooLong);
        }
        if request.size > 0 {
            if wraps(request.source_to, u64::from(request.size)) {
                return Err(TerminateError::ReadWrap);
            }
            memory
                .check_read(request.source_stag, request.source_to, request.size)
                .map_err(TaggedFault::of_read_request)?;
        }
        let read = RequestedRead { left: request, msn: header.msn, begun: false };
        self.requested.push(read).ok_or(TerminateError::UntaggedNoBuffer)?;
        self.inbound.read_msn = self.inbound.read_msn.wrapping_add(1);
        Ok(None)
    }

    fn send(
        &mut self,
        opcode: Opcode,
        header: &Untagged,
        payload: &[u8],
        memory: &mut impl Memory,
    ) -> Result<Option<Event>, TerminateError> {
        let received = self.inbound.message.map_or(0, |message| message.received);
        if header.msn != self.inbound.send_msn {
            return Err(TerminateError::UntaggedMsn);
        }
        if header.mo != received {
            return Err(TerminateError::UntaggedMo);
        }
        let capacity = match self.inbound.message {
            Some(message) if message.opcode != opcode => return Err(TerminateError::UnexpectedOpcode),
            Some(message) => message.capacity,
            None => memory.claim_receive().ok_or(TerminateError::UntaggedNoBuffer)?,
        };
        let octets = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let length = received.checked_add(octets).filter(|length| *length <= capacity);
        let Some(length) = length else {
            memory.overrun_receive();
            return Err(TerminateError::UntaggedTooLong);
        };
        if !payload.is_empty() {
            memory.place_send(received, payload).map_err(|LocalFault| TerminateError::LocalCatastrophic)?;
        }
        if !header.last {
            self.inbound.message = Some(Message { opcode, capacity, received: length });
            return Ok(None);
        }
        self.inbound.message = None;
        self.inbound.send_msn = self.inbound.send_msn.wrapping_add(1);
        let invalidated = opcode.invalidates().then_some(header.invalidate);
        if let Some(stag) = invalidated {
            memory.invalidate(stag).map_err(|fault| match fault {
                Invalidation::NotAllowed => TerminateError::InvalidateNotAllowed,
                Invalidation::Failed => TerminateError::InvalidateFailed,
            })?;
        }
        Ok(Some(Event::Received { length, solicited: opcode.solicits(), invalidated }))
    }
}
