//! The Terminate message (RFC 5040 section 4.8), and every error that one can name (RFC 5040, 5041, 5044, 6581).

use super::super::ddp::{Header, Untagged};
use super::super::mpa::fpdu;
use super::super::octets::{Writer, take};
use super::{Opcode, QUEUE_TERMINATE, READ_REQUEST_LEN, ReadRequest};

/// M: the segment length is valid.
const LENGTH_VALID: u8 = 0x80;
/// D: the DDP header is there.
const DDP_HEADER: u8 = 0x40;
/// R: the Read Request's header is there.
const RDMAP_HEADER: u8 = 0x20;
/// Bits that the RFC has reserved.
const RESERVED: u8 = 0x1F;

/// Octets of the longest Terminate: its header, layer and code, length, an untagged header, a Read Request.
const LEN_MAX: usize = 18 + 4 + 2 + 18 + READ_REQUEST_LEN;

/// An error as a Terminate names it. The value is layer (4 bits), error type (4), error code (8).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum TerminateError {
    /// RDMAP: this end cannot go on.
    LocalCatastrophic = 0x0000,
    /// RDMAP, of a Read Request: the source STag is none.
    ReadInvalidStag = 0x0100,
    /// RDMAP, of a Read Request: outside the source's bounds.
    ReadBounds = 0x0101,
    /// RDMAP, of a Read Request: the source may not be read.
    ReadAccessRights = 0x0102,
    /// RDMAP, of a Read Request: the source STag is not this stream's.
    ReadNotOfStream = 0x0103,
    /// RDMAP, of a Read Request: the source's Tagged Offset wraps.
    ReadWrap = 0x0104,
    /// RDMAP, of a Send with Invalidate: the peer may not end this STag.
    InvalidateNotAllowed = 0x0109,
    /// RDMAP: a remote protection error without a code of its own.
    RemoteProtection = 0x01FF,
    /// RDMAP: the version is not 1.
    RdmapVersion = 0x0205,
    /// RDMAP: an opcode that is unknown, or does not fit its segment or the moment.
    UnexpectedOpcode = 0x0206,
    /// RDMAP: catastrophic, for this stream.
    StreamCatastrophic = 0x0207,
    /// RDMAP: catastrophic, for all streams.
    GlobalCatastrophic = 0x0208,
    /// RDMAP, of a Send with Invalidate: ending the STag failed.
    InvalidateFailed = 0x0209,
    /// RDMAP: a remote operation error without a code of its own.
    RemoteOperation = 0x02FF,
    /// DDP: this end cannot go on.
    DdpCatastrophic = 0x1000,
    /// DDP, tagged: the STag is none, or not for this access.
    TaggedInvalidStag = 0x1100,
    /// DDP, tagged: outside the bounds.
    TaggedBounds = 0x1101,
    /// DDP, tagged: the STag is not this stream's.
    TaggedNotOfStream = 0x1102,
    /// DDP, tagged: the Tagged Offset wraps.
    TaggedWrap = 0x1103,
    /// DDP, tagged: the version is not 1.
    TaggedVersion = 0x1104,
    /// DDP, untagged: there is no such queue.
    UntaggedQueue = 0x1201,
    /// DDP, untagged: there is no buffer for the message.
    UntaggedNoBuffer = 0x1202,
    /// DDP, untagged: the message number is not the one due.
    UntaggedMsn = 0x1203,
    /// DDP, untagged: the message offset is not the one due.
    UntaggedMo = 0x1204,
    /// DDP, untagged: the message is longer than its buffer.
    UntaggedTooLong = 0x1205,
    /// DDP, untagged: the version is not 1.
    UntaggedVersion = 0x1206,
    /// MPA: TCP is closed or lost. Known to this end only: there is nothing left to send it through.
    TcpLost = 0x2001,
    /// MPA: the CRC of an FPDU is wrong.
    Crc = 0x2002,
    /// MPA: the length of a ULPDU does not fit what it has to hold.
    Length = 0x2003,
    /// MPA: the request or reply frame is wrong. TCP is closed without a Terminate.
    StartupFrame = 0x2004,
    /// MPA: this end cannot go on.
    MpaCatastrophic = 0x2005,
    /// MPA: the initiator has too little IRD for the responder's ORD.
    InsufficientIrd = 0x2006,
    /// MPA: no RTR message is common.
    NoMatchingRtr = 0x2007,
}

/// Every error.
pub const ALL_ERRORS: [TerminateError; 33] = {
    use TerminateError as E;
    [
        E::LocalCatastrophic,
        E::ReadInvalidStag,
        E::ReadBounds,
        E::ReadAccessRights,
        E::ReadNotOfStream,
        E::ReadWrap,
        E::InvalidateNotAllowed,
        E::RemoteProtection,
        E::RdmapVersion,
        E::UnexpectedOpcode,
        E::StreamCatastrophic,
        E::GlobalCatastrophic,
        E::InvalidateFailed,
        E::RemoteOperation,
        E::DdpCatastrophic,
        E::TaggedInvalidStag,
        E::TaggedBounds,
        E::TaggedNotOfStream,
        E::TaggedWrap,
        E::TaggedVersion,
        E::UntaggedQueue,
        E::UntaggedNoBuffer,
        E::UntaggedMsn,
        E::UntaggedMo,
        E::UntaggedTooLong,
        E::UntaggedVersion,
        E::TcpLost,
        E::Crc,
        E::Length,
        E::StartupFrame,
        E::MpaCatastrophic,
        E::InsufficientIrd,
        E::NoMatchingRtr,
    ]
};

impl TerminateError {
    /// Layer, error type and error code, as they stand in the message.
    #[must_use]
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The error with that code; `None` if there is none.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        // A local catastrophic error may have any code.
        let code = if code <= 0x00FF { 0 } else { code };
        ALL_ERRORS.into_iter().find(|error| error.code() == code)
    }

    /// Whether a Terminate quotes the DDP header for it (RFC 5040 section 7.1, figure 10): not for what is no segment's fault.
    const fn quotes_ddp(self) -> bool {
        !matches!(self.code() >> 8, 0x00 | 0x10 | 0x20)
    }

    /// Whether a Terminate quotes the Read Request for it.
    const fn quotes_read_request(self) -> bool {
        matches!(
            self,
            Self::ReadInvalidStag
                | Self::ReadBounds
                | Self::ReadAccessRights
                | Self::ReadNotOfStream
                | Self::ReadWrap
        )
    }
}

/// The segment that a Terminate is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quote {
    /// DDP segment length: octets of the ULPDU.
    pub segment_len: u16,
    /// DDP version in it.
    pub version: u8,
    /// Its header.
    pub header: Header,
    /// Its Read Request, if it is one; of what is not yet answered.
    pub read_request: Option<ReadRequest>,
}

/// A Terminate to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terminate {
    error: TerminateError,
    quote: Option<Quote>,
}

impl Terminate {
    /// For an error that is no segment's fault.
    #[must_use]
    pub const fn new(error: TerminateError) -> Self {
        Self { error, quote: None }
    }

    /// For an error of that segment. Quoted is what the RFC wants for this error, and no more.
    #[must_use]
    pub fn of_segment(error: TerminateError, quote: Quote) -> Self {
        let read_request = quote.read_request.filter(|_| error.quotes_read_request());
        Self { error, quote: error.quotes_ddp().then_some(Quote { read_request, ..quote }) }
    }

    /// What it names.
    #[must_use]
    pub const fn error(&self) -> TerminateError {
        self.error
    }

    /// Writes it as the one FPDU of queue 2, and returns its octets; `None` without room. 80 octets are always enough.
    pub fn write_fpdu(&self, crc: bool, out: &mut [u8]) -> Option<usize> {
        let mut ulpdu = [0; LEN_MAX];
        let len = self.encode(&mut ulpdu)?;
        let length = u16::try_from(len).ok()?;
        fpdu::ulpdu_mut(out, length)?.copy_from_slice(ulpdu.get(..len)?);
        fpdu::seal(out, length, crc)
    }

    fn encode(&self, ulpdu: &mut [u8; LEN_MAX]) -> Option<usize> {
        let header = Header::Untagged(Untagged {
            last: true,
            control: Opcode::Terminate.control(),
            invalidate: 0,
            queue: QUEUE_TERMINATE,
            msn: 1,
            mo: 0,
        });
        let mut writer = Writer::new(ulpdu);
        header.encode(writer.skip(header.octets())?)?;
        writer.put(&self.error.code().to_be_bytes())?;
        let Some(quote) = self.quote else {
            writer.put(&[0, 0])?;
            return Some(writer.len());
        };
        let rdmap = if quote.read_request.is_some() { RDMAP_HEADER } else { 0 };
        writer.put(&[LENGTH_VALID | DDP_HEADER | rdmap, 0])?;
        writer.put(&quote.segment_len.to_be_bytes())?;
        let place = writer.skip(quote.header.octets())?;
        quote.header.encode(place)?;
        // Quoted is what arrived, also where it is the version that was wrong.
        if let Some(first) = place.first_mut() {
            *first = (*first & !0x03) | (quote.version & 0x03);
        }
        if let Some(read_request) = quote.read_request {
            read_request.encode(writer.skip(READ_REQUEST_LEN)?)?;
        }
        Some(writer.len())
    }
}

/// What a peer's Terminate says. For a log line only: that it came is what counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerTerminate {
    /// The error; `None` for one that no RFC has, or a message that is too short.
    pub error: Option<TerminateError>,
}

impl PeerTerminate {
    /// Reads the payload of a Terminate, in the RFC's form and in that of Linux' siw on little-endian hosts, which has layer and
    /// type, and the bits of the flags, in reverse. Where both readings make sense the RFC's is taken.
    #[must_use]
    pub fn decode(mut payload: &[u8]) -> Self {
        let Some([first, code, flags, _]) = take(&mut payload) else { return Self { error: None } };
        let rfc = TerminateError::from_code(u16::from_be_bytes([first, code]));
        let siw = TerminateError::from_code(u16::from_be_bytes([first.rotate_left(4), code]));
        let error = if flags & RESERVED != 0 {
            siw
        } else if flags != 0 {
            rfc
        } else {
            rfc.or(siw)
        };
        Self { error }
    }
}
