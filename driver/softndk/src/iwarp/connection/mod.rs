//! Full operation: one RDMAP stream over one TCP connection.

mod memory;
mod queue;
mod receive;
#[cfg(test)]
mod tests;
mod transmit;

use core::ops::DerefMut;

use super::mpa::fpdu::{Reassembly, fpdu_len, mulpdu};
use super::mpa::{Agreement, Role, Rtr};
use super::rdmap::{PeerTerminate, ReadRequest, Terminate, TerminateError};

pub use memory::{Invalidation, LocalFault, Memory, TaggedFault};

use queue::Queue;
use receive::Inbound;
use transmit::Outbound;

/// What an initiator wants done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// A Send of octets that [`Memory::fetch`] gives.
    Send {
        /// In octets.
        length: u32,
        /// With Solicited Event.
        solicited: bool,
        /// With Invalidate: the peer's STag that ends.
        invalidate: Option<u32>,
    },
    /// An RDMA Write of octets that [`Memory::fetch`] gives.
    Write {
        /// In octets.
        length: u32,
        /// The peer's memory.
        stag: u32,
        /// Tagged Offset there.
        to: u64,
    },
    /// An RDMA Read.
    Read(ReadRequest),
}

/// A request, and when it may begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WorkRequest {
    /// What.
    pub request: Request,
    /// Only after all reads before it are complete.
    pub read_fence: bool,
}

/// Why a work request was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PostError {
    /// The one before it has not gone out as a whole yet.
    Busy,
    /// The read limits that were agreed on allow no read.
    NoReads,
    /// The connection is over.
    Ended,
}

/// What has happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A responder's first event: the initiator's first FPDU is here, and valid. If an RTR message was agreed on, the connection is
    /// established only now. From now on [`Connection::transmit`] writes.
    Ready,
    /// The oldest work requests, so many, are complete: octets of Sends and Writes have been written, those of reads are placed.
    Completed(u32),
    /// A Send is in the receive claimed last, and everything that the peer sent before it is placed.
    Received {
        /// In octets.
        length: u32,
        /// The peer asks for an event.
        solicited: bool,
        /// The STag that has ended with it.
        invalidated: Option<u32>,
    },
    /// The peer has ended the connection with an error. The owner closes TCP.
    Terminated(PeerTerminate),
    /// The peer has closed the stream, between messages, and with no read outstanding. Both directions are over, but for a Send or
    /// Write that was posted before: half a message would be an error at the peer.
    Closed,
    /// The connection has failed. The owner sends what [`Connection::transmit`] still writes, and closes TCP.
    Failed(TerminateError),
}

/// A connection could not be built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectionError {
    /// The buffer has fewer than [`FPDU_LEN_MAX`](super::mpa::fpdu::FPDU_LEN_MAX) octets.
    BufferTooShort,
}

/// What a call of [`Connection::transmit`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Transmitted {
    /// Octets written: one FPDU, or none.
    pub octets: usize,
    /// What it led to.
    pub event: Option<Event>,
}

#[derive(Debug)]
enum Phase {
    Open,
    /// The peer has closed; the Send or Write that was posted before goes out as a whole.
    Finishing,
    /// Only this is still to be sent.
    Terminating(Terminate),
    Ended,
}

/// The state of one connection in full operation. `B` is the place for an FPDU that has not arrived as a whole.
#[derive(Debug)]
pub struct Connection<B> {
    fpdus: Reassembly<B>,
    stream: Stream,
    /// The second event of an FPDU.
    pending: Option<Event>,
}

/// All but the reassembly.
#[derive(Debug)]
struct Stream {
    role: Role,
    crc: bool,
    ird: usize,
    ord: usize,
    phase: Phase,
    /// A valid FPDU has arrived.
    heard: bool,
    inbound: Inbound,
    outbound: Outbound,
    /// Reads of this end, oldest first.
    outstanding: Queue<OutstandingRead>,
    /// Reads of the peer, oldest first, answered in this order.
    requested: Queue<RequestedRead>,
}

/// A read of this end whose response is not complete.
#[derive(Clone, Copy, Debug, Default)]
struct OutstandingRead {
    request: ReadRequest,
    /// Octets placed.
    received: u32,
    /// Work requests that are complete with it: itself, unless it is an RTR, and what went out after it and before the next read.
    completes: u32,
}

/// A read of the peer whose response has not gone out.
#[derive(Clone, Copy, Debug, Default)]
struct RequestedRead {
    /// What of it has not gone out.
    left: ReadRequest,
    msn: u32,
    /// Octets of it have.
    begun: bool,
}

impl<B: DerefMut<Target = [u8]>> Connection<B> {
    /// A connection by that agreement, over a TCP whose effective maximum segment size is `emss` octets.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub fn new(agreement: &Agreement, emss: u32, buffer: B) -> Result<Self, ConnectionError> {
        let Agreement { role, crc, ird, ord, rtr } = *agreement;
        let rtr = if role == Role::Initiator { rtr } else { Rtr::empty() };
        let stream = Stream {
            role,
            crc,
            ird: usize::from(ird),
            ord: usize::from(ord),
            phase: Phase::Open,
            heard: false,
            inbound: Inbound::new(),
            outbound: Outbound::new(mulpdu(emss), rtr),
            outstanding: Queue::new(),
            requested: Queue::new(),
        };
        let fpdus = Reassembly::new(buffer).ok_or(ConnectionError::BufferTooShort)?;
        Ok(Self { fpdus, stream, pending: None })
    }

    /// Takes octets of the TCP stream from the front of `octets`, up to the next event. `None`: all are taken. Once the connection is
    /// over it takes all, and nothing comes of them.
    pub fn receive(&mut self, octets: &mut &[u8], memory: &mut impl Memory) -> Option<Event> {
        if let Some(event) = self.pending.take() {
            return Some(event);
        }
        while matches!(self.stream.phase, Phase::Open) {
            let fpdu = self.fpdus.next(octets)?;
            let was_heard = self.stream.heard;
            let event = match self.stream.handle(fpdu, memory) {
                Ok(event) => event,
                Err(terminate) => return Some(self.stream.fail(terminate)),
            };
            if !was_heard && self.stream.role == Role::Responder {
                self.pending = event;
                return Some(Event::Ready);
            }
            if event.is_some() {
                return event;
            }
        }
        *octets = &[];
        None
    }

    /// The peer has closed its direction of TCP, and all octets before that have been received. Both directions end, as with Linux.
    /// `None` if the connection was over before.
    pub fn end_of_stream(&mut self) -> Option<Event> {
        if !matches!(self.stream.phase, Phase::Open) {
            return None;
        }
        let between = !self.fpdus.is_partial() && !self.stream.inbound.is_mid_message();
        let outbound = &self.stream.outbound;
        let may_send = self.stream.role == Role::Initiator || self.stream.heard;
        let unanswered = outbound.wants_to_read() || !self.stream.outstanding.is_empty();
        if !between || unanswered || outbound.is_busy() && !may_send {
            self.stream.phase = Phase::Ended;
            return Some(Event::Failed(TerminateError::TcpLost));
        }
        self.stream.phase = if outbound.is_busy() { Phase::Finishing } else { Phase::Ended };
        Some(Event::Closed)
    }

    /// Takes the next work request. There is a place for one: the next is taken when this has gone out as a whole.
    ///
    /// # Errors
    /// [`PostError`].
    pub fn post(&mut self, work: WorkRequest) -> Result<(), PostError> {
        if !matches!(self.stream.phase, Phase::Open) {
            Err(PostError::Ended)
        } else if matches!(work.request, Request::Read(_)) && self.stream.ord == 0 {
            Err(PostError::NoReads)
        } else {
            self.stream.outbound.post(work)
        }
    }

    /// Whether the work request before has not gone out as a whole, so that none is taken.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        self.stream.outbound.is_busy()
    }

    /// Writes the next FPDU to the start of `out`. With room for [`fpdu_len_max`](Self::fpdu_len_max) octets, nothing written and no
    /// event means that there is nothing to send until something else happens; with less it may be for want of room.
    ///
    /// Own work and the peer's reads take turns, message by message.
    pub fn transmit(&mut self, out: &mut [u8], memory: &mut impl Memory) -> Transmitted {
        self.stream.transmit(out, memory)
    }

    /// Has a Write of no octets go out, before work that has not begun: a valid FPDU of which nothing comes at the peer's consumer.
    /// With it an initiator lets the responder speak (RFC 5044 section 7.1.2) where no RTR message was agreed on.
    pub fn speak(&mut self) {
        self.stream.outbound.speak();
    }

    /// Octets of the longest FPDU that [`transmit`](Self::transmit) writes: no Terminate is longer than the shortest MULPDU.
    #[must_use]
    pub const fn fpdu_len_max(&self) -> usize {
        fpdu_len(self.stream.outbound.mulpdu())
    }

    /// Ends the connection with an error of this end. The peer is told by a Terminate, unless it is too early for one.
    pub fn abort(&mut self) {
        if !matches!(self.stream.phase, Phase::Open) {
            return;
        }
        self.stream.phase = match self.stream.role {
            // Nothing may be sent yet.
            Role::Responder if !self.stream.heard => Phase::Ended,
            Role::Initiator if !self.stream.outbound.has_begun() => {
                Phase::Terminating(Terminate::new(TerminateError::MpaCatastrophic))
            }
            _ => Phase::Terminating(Terminate::new(TerminateError::LocalCatastrophic)),
        };
    }

    /// Nothing is under way in either direction that this end knows of: neither work of its own nor reads of the peer.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.stream.phase, Phase::Open)
            && self.stream.outbound.is_idle()
            && self.stream.outstanding.is_empty()
            && self.stream.requested.is_empty()
            && !self.fpdus.is_partial()
            && !self.stream.inbound.is_mid_message()
    }

    /// The connection is over, and its Terminate, if there is one, is written.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self.stream.phase, Phase::Ended)
    }
}

impl Stream {
    fn fail(&mut self, terminate: Terminate) -> Event {
        let error = terminate.error();
        self.phase = Phase::Terminating(terminate);
        Event::Failed(error)
    }
}

/// Whether `octets` from `to` on go beyond the last Tagged Offset.
fn wraps(to: u64, octets: u64) -> bool {
    octets.checked_sub(1).is_some_and(|rest| to.checked_add(rest).is_none())
}
