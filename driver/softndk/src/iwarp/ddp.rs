//! DDP segments (RFC 5041 section 4): the header of tagged ones, which say where in memory they belong, and of untagged ones,
//! which say which message of which queue they belong to.

use super::octets::{Writer, take};

/// Octets of the header of a tagged segment.
pub const TAGGED_LEN: usize = 14;
/// Octets of the header of an untagged segment.
pub const UNTAGGED_LEN: usize = 18;
/// The version that there is.
pub const VERSION: u8 = 1;

const TAGGED: u8 = 0x80;
const LAST: u8 = 0x40;
const VERSION_MASK: u8 = 0x03;

/// The header of a tagged segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tagged {
    /// L: the last segment of its message.
    pub last: bool,
    /// RsvdULP: RDMAP's control octet.
    pub control: u8,
    /// The Tagged Buffer.
    pub stag: u32,
    /// Tagged Offset of the segment's first octet of payload.
    pub to: u64,
}

/// The header of an untagged segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Untagged {
    /// L: the last segment of its message.
    pub last: bool,
    /// RsvdULP, first octet: RDMAP's control octet.
    pub control: u8,
    /// RsvdULP, the rest: RDMAP's Invalidate STag.
    pub invalidate: u32,
    /// QN.
    pub queue: u32,
    /// MSN: number of the message in its queue, from 1.
    pub msn: u32,
    /// MO: offset of the segment's first octet of payload in its message.
    pub mo: u32,
}

/// A segment's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Header {
    /// T is set.
    Tagged(Tagged),
    /// T is clear.
    Untagged(Untagged),
}

/// A received segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment<'a> {
    /// DV, which must be [`VERSION`].
    pub version: u8,
    /// The header.
    pub header: Header,
    /// Behind it.
    pub payload: &'a [u8],
}

impl<'a> Segment<'a> {
    /// Reads a ULPDU. `None` if it is shorter than its header. Reserved bits are ignored.
    #[must_use]
    pub fn decode(ulpdu: &'a [u8]) -> Option<Self> {
        let mut payload = ulpdu;
        let [ddp, control] = take(&mut payload)?;
        let last = ddp & LAST != 0;
        let header = if ddp & TAGGED != 0 {
            let stag = u32::from_be_bytes(take(&mut payload)?);
            let to = u64::from_be_bytes(take(&mut payload)?);
            Header::Tagged(Tagged { last, control, stag, to })
        } else {
            let mut field = || take(&mut payload).map(u32::from_be_bytes);
            let (invalidate, queue, msn, mo) = (field()?, field()?, field()?, field()?);
            Header::Untagged(Untagged { last, control, invalidate, queue, msn, mo })
        };
        Some(Self { version: ddp & VERSION_MASK, header, payload })
    }
}

impl Header {
    /// Octets of it.
    #[must_use]
    pub const fn octets(&self) -> usize {
        match self {
            Self::Tagged(_) => TAGGED_LEN,
            Self::Untagged(_) => UNTAGGED_LEN,
        }
    }

    /// RDMAP's control octet.
    #[must_use]
    pub const fn control(&self) -> u8 {
        match self {
            Self::Tagged(header) => header.control,
            Self::Untagged(header) => header.control,
        }
    }

    /// Writes it to the start of `ulpdu`; `None` without room.
    pub fn encode(&self, ulpdu: &mut [u8]) -> Option<()> {
        let mut writer = Writer::new(ulpdu);
        let ddp = |last| VERSION | if last { LAST } else { 0 };
        match self {
            Self::Tagged(header) => {
                writer.put(&[TAGGED | ddp(header.last), header.control])?;
                writer.put(&header.stag.to_be_bytes())?;
                writer.put(&header.to.to_be_bytes())
            }
            Self::Untagged(header) => {
                writer.put(&[ddp(header.last), header.control])?;
                let fields = [header.invalidate, header.queue, header.msn, header.mo];
                fields.into_iter().try_for_each(|field| writer.put(&field.to_be_bytes()))
            }
        }
    }
}
