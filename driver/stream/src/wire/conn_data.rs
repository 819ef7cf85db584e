//! The private data of connect request and accepting reply (`rs_conn_data`), 40 octets, big-endian whatever
//! the host is.

use super::{Extensions, MESSAGE_LEN, Offer, TargetEntry, TargetList};
use crate::config::MIN_CREDITS;

/// Octets of private data. Always sent in full: a Linux peer does not survive a request or reply without it.
pub const CONN_DATA_LEN: usize = 40;

/// The only protocol version there is.
pub const VERSION: u8 = 1;

/// Set by a big-endian host.
const FLAG_NET: u8 = 0x01;
/// The iomap size field is valid.
const FLAG_IOMAP: u8 = 0x02;
/// The octets of the offer are valid.
pub(super) const FLAG_EXT: u8 = 0x04;

/// Most credits that may be advertised: the 16-bit sequence compares by equality.
const MAX_ADVERTISED_CREDITS: u16 = 0xFFFE;

/// What one endpoint tells the other in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnData {
    /// The sender is a big-endian host (flag NET). Its messages would be in an order that no rule of the send
    /// carrier swaps.
    pub big_endian: bool,
    /// Entries of the sender's iomap table in the scaled 8-bit form, if the sender says that the field is
    /// valid (flag IOMAP).
    pub iomap_size: Option<u8>,
    /// Messages that the peer may send before the first credit update.
    pub credits: u16,
    /// What the sender offers to an equal (flag EXT); Linux offers nothing.
    pub offer: Option<Offer>,
    /// Where the peer writes descriptions of regions later.
    pub target_list: TargetList,
    /// The region that the peer may write first.
    pub first_region: TargetEntry,
}

/// Why private data was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnDataError {
    /// Fewer than [`CONN_DATA_LEN`] octets.
    TooShort,
    /// Not version 1.
    Version(u8),
    /// The peer's byte order differs, so its messages would be read wrongly.
    ByteOrder,
    /// Credits outside [`MIN_CREDITS`] to 65,534.
    Credits(u16),
    /// An offer of receives that hold no message.
    MessageLen(u16),
    /// Fewer than two target entries: the first index ever written is 1.
    ListEntries(u32),
    /// The target list wraps the address space.
    ListWraps,
    /// The first region wraps the address space.
    RegionWraps,
}

impl ConnData {
    /// The octets for the wire. Reserved fields are zero.
    #[must_use]
    pub const fn encode(&self) -> [u8; CONN_DATA_LEN] {
        let net = if self.big_endian { FLAG_NET } else { 0 };
        let (iomap, iomap_size) = match self.iomap_size {
            Some(size) => (FLAG_IOMAP, size),
            None => (0, 0),
        };
        let (ext, extensions, message_len) = match self.offer {
            Some(offer) => (FLAG_EXT, offer.extensions.bits(), offer.message_len),
            None => (0, 0, 0),
        };
        let [m0, m1] = message_len.to_be_bytes();
        let [c0, c1] = self.credits.to_be_bytes();
        let [la0, la1, la2, la3, la4, la5, la6, la7] = self.target_list.addr.to_be_bytes();
        let [lk0, lk1, lk2, lk3] = self.target_list.key.to_be_bytes();
        let [le0, le1, le2, le3] = self.target_list.entries.to_be_bytes();
        let [ra0, ra1, ra2, ra3, ra4, ra5, ra6, ra7] = self.first_region.addr.to_be_bytes();
        let [rk0, rk1, rk2, rk3] = self.first_region.key.to_be_bytes();
        let [rl0, rl1, rl2, rl3] = self.first_region.len.to_be_bytes();
        [
            VERSION,
            net | iomap | ext,
            c0,
            c1,
            extensions,
            m0,
            m1,
            iomap_size, //
            la0,
            la1,
            la2,
            la3,
            la4,
            la5,
            la6,
            la7,
            lk0,
            lk1,
            lk2,
            lk3,
            le0,
            le1,
            le2,
            le3, //
            ra0,
            ra1,
            ra2,
            ra3,
            ra4,
            ra5,
            ra6,
            ra7,
            rk0,
            rk1,
            rk2,
            rk3,
            rl0,
            rl1,
            rl2,
            rl3,
        ]
    }

    /// Reads private data and checks it with [`ConnData::validate`]. Octets after the first 40, reserved octets
    /// that no flag declares valid, and unknown flags are ignored: they are left for extensions.
    ///
    /// # Errors
    ///
    /// The first rule that the octets break.
    pub fn decode(octets: &[u8]) -> Result<Self, ConnDataError> {
        let octets: &[u8; CONN_DATA_LEN] = octets.first_chunk().ok_or(ConnDataError::TooShort)?;
        let [
            version,
            flags,
            c0,
            c1,
            extensions,
            m0,
            m1,
            iomap_size, //
            la0,
            la1,
            la2,
            la3,
            la4,
            la5,
            la6,
            la7,
            lk0,
            lk1,
            lk2,
            lk3,
            le0,
            le1,
            le2,
            le3, //
            ra0,
            ra1,
            ra2,
            ra3,
            ra4,
            ra5,
            ra6,
            ra7,
            rk0,
            rk1,
            rk2,
            rk3,
            rl0,
            rl1,
            rl2,
            rl3,
        ] = *octets;
        if version != VERSION {
            return Err(ConnDataError::Version(version));
        }
        let data = Self {
            big_endian: flags & FLAG_NET != 0,
            iomap_size: (flags & FLAG_IOMAP != 0).then_some(iomap_size),
            credits: u16::from_be_bytes([c0, c1]),
            offer: (flags & FLAG_EXT != 0).then_some(Offer {
                extensions: Extensions::from_bits_truncate(extensions),
                message_len: u16::from_be_bytes([m0, m1]),
            }),
            target_list: TargetList {
                addr: u64::from_be_bytes([la0, la1, la2, la3, la4, la5, la6, la7]),
                key: u32::from_be_bytes([lk0, lk1, lk2, lk3]),
                entries: u32::from_be_bytes([le0, le1, le2, le3]),
            },
            first_region: TargetEntry {
                addr: u64::from_be_bytes([ra0, ra1, ra2, ra3, ra4, ra5, ra6, ra7]),
                key: u32::from_be_bytes([rk0, rk1, rk2, rk3]),
                len: u32::from_be_bytes([rl0, rl1, rl2, rl3]),
            },
        };
        data.validate().map(|()| data)
    }

    /// Checks what a peer must never send, or what this endpoint could not work with.
    ///
    /// # Errors
    ///
    /// The first rule broken.
    pub const fn validate(&self) -> Result<(), ConnDataError> {
        if self.big_endian {
            return Err(ConnDataError::ByteOrder);
        }
        if self.credits < MIN_CREDITS || self.credits > MAX_ADVERTISED_CREDITS {
            return Err(ConnDataError::Credits(self.credits));
        }
        if let Some(offer) = self.offer
            && (offer.message_len as usize) < MESSAGE_LEN
        {
            return Err(ConnDataError::MessageLen(offer.message_len));
        }
        if self.target_list.entries < 2 {
            return Err(ConnDataError::ListEntries(self.target_list.entries));
        }
        if self.target_list.wraps() {
            return Err(ConnDataError::ListWraps);
        }
        if self.first_region.wraps() {
            return Err(ConnDataError::RegionWraps);
        }
        Ok(())
    }
}
