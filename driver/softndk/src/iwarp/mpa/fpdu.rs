//! FPDUs: the frames of full operation (RFC 5044 section 4). Without markers, for this end refuses them in the start-up.

use core::ops::DerefMut;

use super::super::octets::fill;
use super::crc::crc32c;

/// Octets of the ULPDU_Length field.
pub const LENGTH_LEN: usize = 2;
/// Octets of the CRC field, which is there also where no CRC is used.
pub const CRC_LEN: usize = 4;
/// Longest ULPDU that may be sent (RFC 5044 section 4), in octets.
pub const MULPDU_MAX: u16 = 64_768;
/// Shortest MULPDU that there may be, in octets.
pub const MULPDU_MIN: u16 = 128;
/// Longest FPDU that the ULPDU_Length can express, and so longest that may arrive, in octets.
pub const FPDU_LEN_MAX: usize = 65_544;

/// An FPDU's CRC is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CrcMismatch;

/// Longest ULPDU for an effective TCP maximum segment size of `emss` octets (RFC 5044 section 4.5), within [`MULPDU_MIN`] and
/// [`MULPDU_MAX`]: an FPDU fills a TCP segment and does not cross it, unless segments are absurdly short.
#[must_use]
pub const fn mulpdu(emss: u32) -> u16 {
    let length = (emss & !3).saturating_sub(6);
    match length.to_be_bytes() {
        [0, 0, high, low] => {
            let length = u16::from_be_bytes([high, low]);
            if length < MULPDU_MIN {
                MULPDU_MIN
            } else if length > MULPDU_MAX {
                MULPDU_MAX
            } else {
                length
            }
        }
        _ => MULPDU_MAX,
    }
}

/// Octets of the FPDU around a ULPDU of `ulpdu_len` octets: length, ULPDU, pad to a multiple of 4, CRC.
#[must_use]
pub const fn fpdu_len(ulpdu_len: u16) -> usize {
    (ulpdu_len as usize).saturating_add(LENGTH_LEN).next_multiple_of(4).saturating_add(CRC_LEN)
}

/// Where the ULPDU of an FPDU that is made in `fpdu` stands. `None` if there is no room for the FPDU.
pub fn ulpdu_mut(fpdu: &mut [u8], ulpdu_len: u16) -> Option<&mut [u8]> {
    let fpdu = fpdu.get_mut(..fpdu_len(ulpdu_len))?;
    fpdu.get_mut(LENGTH_LEN..)?.get_mut(..usize::from(ulpdu_len))
}

/// Makes the octets at [`ulpdu_mut`] an FPDU: writes length, pad and CRC (zero where none is used), and returns its octets. `None`
/// if there is no room.
pub fn seal(fpdu: &mut [u8], ulpdu_len: u16, crc: bool) -> Option<usize> {
    let length = fpdu_len(ulpdu_len);
    let (covered, trailer) = fpdu.get_mut(..length)?.split_last_chunk_mut::<CRC_LEN>()?;
    *covered.first_chunk_mut()? = ulpdu_len.to_be_bytes();
    covered.get_mut(LENGTH_LEN..)?.get_mut(usize::from(ulpdu_len)..)?.fill(0);
    *trailer = if crc { crc32c(covered).to_le_bytes() } else { [0; CRC_LEN] };
    Some(length)
}

/// The ULPDU in one whole FPDU. The pad is covered by the CRC and otherwise ignored, and so is the CRC field if none is used.
///
/// # Errors
/// [`CrcMismatch`] if `crc` and the CRC is wrong, or if `fpdu` is not one whole FPDU.
pub fn open(fpdu: &[u8], crc: bool) -> Result<&[u8], CrcMismatch> {
    let (covered, trailer) = fpdu.split_last_chunk::<CRC_LEN>().ok_or(CrcMismatch)?;
    if crc && crc32c(covered).to_le_bytes() != *trailer {
        return Err(CrcMismatch);
    }
    let (length, rest) = covered.split_first_chunk().ok_or(CrcMismatch)?;
    rest.get(..usize::from(u16::from_be_bytes(*length))).ok_or(CrcMismatch)
}

/// Puts FPDUs together again that TCP has cut anywhere. `B` is the place for one that has not arrived as a whole, of at least
/// [`FPDU_LEN_MAX`] octets.
#[derive(Debug)]
pub struct Reassembly<B> {
    buffer: B,
    filled: usize,
}

impl<B: DerefMut<Target = [u8]>> Reassembly<B> {
    /// With that buffer; `None` if it is too short.
    #[must_use]
    pub fn new(buffer: B) -> Option<Self> {
        (buffer.len() >= FPDU_LEN_MAX).then_some(Self { buffer, filled: 0 })
    }

    /// Takes octets from the front of `octets` until an FPDU is whole, and returns it; it stays where it is if it arrived as a whole.
    /// `None`: all octets are taken, and it is not.
    pub fn next<'s, 'o: 's>(&'s mut self, octets: &mut &'o [u8]) -> Option<&'s [u8]> {
        if self.filled == 0
            && let Some(length) = octets.first_chunk()
            && let Some((fpdu, rest)) = octets.split_at_checked(fpdu_len(u16::from_be_bytes(*length)))
        {
            *octets = rest;
            return Some(fpdu);
        }
        fill(&mut self.buffer, &mut self.filled, LENGTH_LEN, octets)?;
        let length = fpdu_len(u16::from_be_bytes(*self.buffer.first_chunk()?));
        fill(&mut self.buffer, &mut self.filled, length, octets)?;
        self.filled = 0;
        self.buffer.get(..length)
    }

    /// Whether part of an FPDU waits for its rest.
    pub const fn is_partial(&self) -> bool {
        self.filled > 0
    }
}
