//! The request and reply frames (RFC 5044 section 7.1, RFC 6581 section 6).

use bitflags::bitflags;

use super::super::octets::{Writer, fill, take};

/// Most octets of private data, the enhanced data included.
pub const PRIVATE_DATA_LEN_MAX: usize = 512;
/// Octets of the longest frame.
pub const FRAME_LEN_MAX: usize = HEADER_LEN + PRIVATE_DATA_LEN_MAX;
/// In an IRD or ORD: not to be negotiated (RFC 6581).
pub const NO_NEGOTIATION: u16 = 0x3FFF;

const HEADER_LEN: usize = 20;
const KEY_LEN: usize = 16;
const ENHANCED_LEN: usize = 4;

const MARKERS: u8 = 0x80;
const CRC: u8 = 0x40;
const REJECTED: u8 = 0x20;
const ENHANCED: u8 = 0x10;

/// RFC 5044.
const REVISION_BASIC: u8 = 1;
/// RFC 6581.
const REVISION_ENHANCED: u8 = 2;

bitflags! {
    /// Kinds of RTR messages: with which the initiator of the peer-to-peer model opens full operation (RFC 6581).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Rtr: u8 {
        /// A zero-length Send. It takes a posted receive, and is delivered.
        const SEND = 1;
        /// A zero-length RDMA Write.
        const WRITE = 2;
        /// A zero-length RDMA Read.
        const READ = 4;
    }
}

/// Which frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The initiator's.
    Request,
    /// The responder's.
    Reply,
}

impl Kind {
    const fn key(self) -> &'static [u8; KEY_LEN] {
        match self {
            Self::Request => b"MPA ID Req Frame",
            Self::Reply => b"MPA ID Rep Frame",
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Request => Self::Reply,
            Self::Reply => Self::Request,
        }
    }
}

/// Why a start-up failed. The owner closes TCP, after what [`Initiator::terminate`](super::Initiator::terminate) or
/// [`Responder::reject`](super::Responder::reject) writes, if anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartupError {
    /// The first octets are no MPA key: the peer speaks something else. Known at the first octet that differs.
    NotMpa,
    /// The peer takes the same role.
    SameRole,
    /// More than [`PRIVATE_DATA_LEN_MAX`] octets of private data.
    PrivateDataTooLong(u16),
    /// A revision other than 1 and 2.
    Revision(u8),
    /// The frame says that it is enhanced, and its private data is shorter than that.
    EnhancedDataMissing,
    /// The request is enhanced and the reply is not, or the reverse. An initiator may try again on a new TCP connection, without
    /// enhancement (RFC 6581).
    EnhancedMismatch,
    /// The peer wants markers.
    Markers,
    /// The responder will have more reads outstanding than this end takes.
    InsufficientIrd,
    /// No kind of RTR message is common.
    NoMatchingRtr,
}

/// A frame could not be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameError {
    /// With the enhanced data it would be longer than [`PRIVATE_DATA_LEN_MAX`] octets.
    PrivateDataTooLong,
    /// The output is shorter than the frame; [`FRAME_LEN_MAX`] always does.
    NoRoom,
    /// No request has arrived that could be answered.
    NoRequest,
}

/// The first octets of enhanced private data (RFC 6581 section 6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EnhancedData {
    /// The peer-to-peer model: an RTR message is wanted. `None` is the client-server model, in which the RTR bits mean nothing.
    pub rtr: Option<Rtr>,
    /// Reads that the sender of the frame takes, at most [`NO_NEGOTIATION`].
    pub ird: u16,
    /// Reads that the sender of the frame makes, at most [`NO_NEGOTIATION`].
    pub ord: u16,
}

impl EnhancedData {
    const PEER_TO_PEER_OR_WRITE: u16 = 0x8000;
    const SEND_OR_READ: u16 = 0x4000;

    /// The octets for the wire.
    #[must_use]
    pub fn encode(&self) -> [u8; ENHANCED_LEN] {
        let bit = |set, mask| if set { mask } else { 0 };
        let rtr = self.rtr.unwrap_or(Rtr::empty());
        let first = bit(self.rtr.is_some(), Self::PEER_TO_PEER_OR_WRITE)
            | bit(rtr.contains(Rtr::SEND), Self::SEND_OR_READ)
            | self.ird.min(NO_NEGOTIATION);
        let second = bit(rtr.contains(Rtr::WRITE), Self::PEER_TO_PEER_OR_WRITE)
            | bit(rtr.contains(Rtr::READ), Self::SEND_OR_READ)
            | self.ord.min(NO_NEGOTIATION);
        let ([a, b], [c, d]) = (first.to_be_bytes(), second.to_be_bytes());
        [a, b, c, d]
    }

    /// Reads the octets; every value is one.
    #[must_use]
    pub fn decode(octets: [u8; ENHANCED_LEN]) -> Self {
        let [a, b, c, d] = octets;
        let (first, second) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let mut rtr = Rtr::empty();
        rtr.set(Rtr::SEND, first & Self::SEND_OR_READ != 0);
        rtr.set(Rtr::WRITE, second & Self::PEER_TO_PEER_OR_WRITE != 0);
        rtr.set(Rtr::READ, second & Self::SEND_OR_READ != 0);
        let peer_to_peer = first & Self::PEER_TO_PEER_OR_WRITE != 0;
        Self { rtr: peer_to_peer.then_some(rtr), ird: first & NO_NEGOTIATION, ord: second & NO_NEGOTIATION }
    }
}

/// A frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// Which.
    pub kind: Kind,
    /// M: the sender wants markers in what it receives.
    pub markers: bool,
    /// C: the sender prefers CRCs.
    pub crc: bool,
    /// R: refused. Means nothing in a request.
    pub rejected: bool,
    /// 1 or 2.
    pub revision: u8,
    /// Present if S is set and the revision is 2.
    pub enhanced: Option<EnhancedData>,
    /// The consumer's.
    pub private_data: &'a [u8],
}

impl<'a> Frame<'a> {
    /// A frame that wants no markers, of the lowest revision that can carry `enhanced`.
    #[must_use]
    pub const fn new(kind: Kind, crc: bool, enhanced: Option<EnhancedData>, private_data: &'a [u8]) -> Self {
        let revision = if enhanced.is_some() { REVISION_ENHANCED } else { REVISION_BASIC };
        Self { kind, markers: false, crc, rejected: false, revision, enhanced, private_data }
    }

    /// Writes the frame, and returns its octets.
    ///
    /// # Errors
    /// [`FrameError::PrivateDataTooLong`], [`FrameError::NoRoom`].
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, FrameError> {
        let bit = |set, mask| if set { mask } else { 0 };
        let enhanced = self.enhanced.map(|enhanced| enhanced.encode());
        let enhanced = enhanced.as_ref().map_or(&[][..], |octets| octets);
        let length = self.private_data.len().saturating_add(enhanced.len());
        if length > PRIVATE_DATA_LEN_MAX {
            return Err(FrameError::PrivateDataTooLong);
        }
        let length = u16::try_from(length).map_err(|_| FrameError::PrivateDataTooLong)?;
        let flags = bit(self.markers, MARKERS)
            | bit(self.crc, CRC)
            | bit(self.rejected, REJECTED)
            | bit(self.enhanced.is_some(), ENHANCED);
        let mut writer = Writer::new(out);
        let mut write = || {
            writer.put(self.kind.key())?;
            writer.put(&[flags, self.revision])?;
            writer.put(&length.to_be_bytes())?;
            writer.put(enhanced)?;
            writer.put(self.private_data)
        };
        write().ok_or(FrameError::NoRoom)?;
        Ok(writer.len())
    }
}

/// Collects one frame from the stream.
#[derive(Clone, Debug)]
pub(super) struct FrameReader {
    kind: Kind,
    octets: [u8; FRAME_LEN_MAX],
    filled: usize,
}

impl FrameReader {
    pub(super) const fn new(kind: Kind) -> Self {
        Self { kind, octets: [0; FRAME_LEN_MAX], filled: 0 }
    }

    /// Takes octets from the front of `octets` until the frame is whole; those behind it are left there. `None`: it is not whole.
    pub(super) fn receive(&mut self, octets: &mut &[u8]) -> Option<Result<(), StartupError>> {
        let key = fill(&mut self.octets, &mut self.filled, KEY_LEN, octets);
        if let Err(error) = self.check_key() {
            return Some(Err(error));
        }
        key?;
        fill(&mut self.octets, &mut self.filled, HEADER_LEN, octets)?;
        let length = match self.header()? {
            Ok(header) => usize::from(header.length),
            Err(error) => return Some(Err(error)),
        };
        fill(&mut self.octets, &mut self.filled, length.saturating_add(HEADER_LEN), octets)?;
        Some(Ok(()))
    }

    /// The whole frame. `None` before [`receive`](Self::receive) has said that it is whole, or if it had failed.
    ///
    /// # Errors
    /// [`StartupError::EnhancedDataMissing`].
    pub(super) fn frame(&self) -> Option<Result<Frame<'_>, StartupError>> {
        let header = self.header()?.ok()?;
        let end = usize::from(header.length).checked_add(HEADER_LEN)?;
        let mut private_data = self.octets.get(HEADER_LEN..end).filter(|_| self.filled == end)?;
        // Before revision 2 the bit is reserved, and means nothing.
        let is_set = |mask| header.flags & mask != 0;
        let (markers, crc, rejected) = (is_set(MARKERS), is_set(CRC), is_set(REJECTED));
        let mut enhanced = None;
        if is_set(ENHANCED) && header.revision >= REVISION_ENHANCED {
            enhanced = take(&mut private_data).map(EnhancedData::decode);
            // A refusal is one with or without.
            if enhanced.is_none() && !(rejected && self.kind == Kind::Reply) {
                return Some(Err(StartupError::EnhancedDataMissing));
            }
        }
        let kind = self.kind;
        Some(Ok(Frame { kind, markers, crc, rejected, revision: header.revision, enhanced, private_data }))
    }

    /// The checked header; `None` as long as it is not whole.
    fn header(&self) -> Option<Result<Header, StartupError>> {
        let mut octets = self.octets.get(..self.filled)?;
        let _: [u8; KEY_LEN] = take(&mut octets)?;
        let [flags, revision] = take(&mut octets)?;
        let length = u16::from_be_bytes(take(&mut octets)?);
        Some(if !matches!(revision, REVISION_BASIC | REVISION_ENHANCED) {
            Err(StartupError::Revision(revision))
        } else if usize::from(length) > PRIVATE_DATA_LEN_MAX {
            Err(StartupError::PrivateDataTooLong(length))
        } else {
            Ok(Header { flags, revision, length })
        })
    }

    /// Compares as much of the key as has arrived.
    fn check_key(&self) -> Result<(), StartupError> {
        let arrived = self.octets.get(..self.filled.min(KEY_LEN)).unwrap_or_default();
        if self.kind.key().starts_with(arrived) {
            Ok(())
        } else if self.kind.other().key().starts_with(arrived) {
            Err(StartupError::SameRole)
        } else {
            Err(StartupError::NotMpa)
        }
    }
}

struct Header {
    flags: u8,
    revision: u8,
    length: u16,
}
