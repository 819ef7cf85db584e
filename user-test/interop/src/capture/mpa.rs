//! The frames of the start-up and the FPDUs behind them (iWARP reference, sections 2 to 6).

use softndk::iwarp::mpa::crc32c;

const REQUEST: &[u8; 16] = b"MPA ID Req Frame";
const REPLY: &[u8; 16] = b"MPA ID Rep Frame";
const HEADER: usize = 20;
const MARKERS: u8 = 0x80;
const CRC: u8 = 0x40;
const REJECT: u8 = 0x20;
const ENHANCED: u8 = 0x10;
/// Longest ULPDU that may be sent.
const MULPDU_MAX: u16 = 64_768;

/// A request or a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    flags: u8,
    revision: u8,
    /// IRD and ORD with their flag bits, if the frame is enhanced.
    limits: Option<(u16, u16)>,
    /// The consumer's part of the private data.
    pub(super) private: Vec<u8>,
}

/// What a start-up has agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) crc: bool,
    pub(super) refused: bool,
}

/// Octets of a stream that are not a whole frame or FPDU yet.
#[derive(Debug, Default)]
pub(super) struct Fpdus {
    octets: Vec<u8>,
    /// How many of them have been read.
    read: usize,
}

impl Frame {
    /// What one frame by itself has to be.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.flags & MARKERS != 0 {
            return Err("asks for markers".to_owned());
        }
        if self.flags & 0x0F != 0 {
            return Err(format!("reserved flags {:#04x} in a frame", self.flags));
        }
        if self.revision != 2 || self.limits.is_none() {
            return Err(format!("a frame of revision {} that is not enhanced", self.revision));
        }
        let (ird, ord) = self.limits.unwrap_or_default();
        if ird & 0x8000 == 0 && (ird & 0x4000 != 0 || ord & 0xC000 != 0) {
            return Err("RTR bits without the peer-to-peer model".to_owned());
        }
        Ok(())
    }
}

impl Agreed {
    /// What the two frames agree on.
    ///
    /// # Errors
    ///
    /// The reply does not fit the request.
    pub(super) fn of(request: &Frame, reply: &Frame) -> Result<Self, String> {
        if request.flags & REJECT != 0 {
            return Err("a request that rejects".to_owned());
        }
        let refused = reply.flags & REJECT != 0;
        if let (Some(asked), Some(given), false) = (request.limits, reply.limits, refused) {
            let limit = |field: u16| field & 0x3FFF;
            if limit(asked.1) > limit(given.0) || limit(given.1) > limit(asked.0) {
                return Err(format!("IRD and ORD {asked:?} are answered by {given:?}"));
            }
            if asked.0 & 0x8000 != given.0 & 0x8000 {
                return Err("the models of request and reply differ".to_owned());
            }
        }
        Ok(Self { crc: (request.flags | reply.flags) & CRC != 0, refused })
    }
}

impl Fpdus {
    /// Adds octets of the stream.
    pub(super) fn push(&mut self, octets: &[u8]) {
        self.octets.drain(..self.read);
        self.read = 0;
        self.octets.extend_from_slice(octets);
    }

    fn rest(&self) -> &[u8] {
        self.octets.get(self.read..).unwrap_or_default()
    }

    /// The frame at the beginning, once it is whole.
    ///
    /// # Errors
    ///
    /// It is none.
    pub(super) fn frame(&mut self, request: bool) -> Result<Option<Frame>, String> {
        let key = if request { REQUEST } else { REPLY };
        let Some((header, rest)) = self.rest().split_at_checked(HEADER) else { return Ok(None) };
        let &[.., flags, revision, high, low] = header else { return Ok(None) };
        if header.get(..key.len()) != Some(key.as_slice()) {
            return Err("no MPA frame".to_owned());
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > 512 {
            return Err(format!("{length} octets of private data"));
        }
        let Some(data) = rest.get(..length) else { return Ok(None) };
        let (limits, private) = match (flags & ENHANCED, data.split_first_chunk()) {
            (0, _) => (None, data),
            (_, Some((&[a, b, c, d], private))) => {
                (Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))), private)
            }
            (_, None) => return Err("an enhanced frame without its data".to_owned()),
        };
        let frame = Frame { flags, revision, limits, private: private.to_vec() };
        self.read += HEADER + length;
        Ok(Some(frame))
    }

    /// The ULPDU of the next FPDU, once that is whole. A pad has to be zero if that is `strict`: siw's need not be.
    ///
    /// # Errors
    ///
    /// Its length, pad or CRC is wrong. Everything behind it is lost.
    pub(super) fn next(&mut self, crc: bool, strict: bool) -> Result<Option<Vec<u8>>, String> {
        let Some(&[high, low]) = self.rest().first_chunk() else { return Ok(None) };
        let length = u16::from_be_bytes([high, low]);
        let covered = (2 + usize::from(length)).next_multiple_of(4);
        let Some((fpdu, rest)) = self.rest().split_at_checked(covered) else { return Ok(None) };
        let Some(&trailer) = rest.first_chunk::<4>() else { return Ok(None) };
        let (ulpdu, pad) = fpdu.get(2..).unwrap_or_default().split_at(usize::from(length));
        let computed = crc32c(fpdu);
        let fault = if length > MULPDU_MAX {
            Some(format!("a ULPDU of {length} octets"))
        } else if strict && pad.iter().any(|&octet| octet != 0) {
            Some("a pad that is not zero".to_owned())
        } else if crc && u32::from_le_bytes(trailer) != computed {
            Some(format!("CRC {trailer:02x?} where {:02x?} is right", computed.to_le_bytes()))
        } else {
            None
        };
        let ulpdu = ulpdu.to_vec();
        self.read = if fault.is_some() { self.octets.len() } else { self.read + covered + 4 };
        fault.map_or(Ok(Some(ulpdu)), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    }

    fn frame(hex: &str, request: bool) -> Frame {
        let mut fpdus = Fpdus::default();
        fpdus.push(&octets(hex));
        fpdus.frame(request).unwrap().unwrap()
    }

    /// Captured between two Linux hosts; reference, section 16.2.
    const ASKED: &str = "4d504120494420526571204672616d65 1002 0006 0000 0001 aabb";
    const ANSWERED: &str = "4d504120494420526570204672616d65 1002 0006 0001 0000 ccdd";

    #[test]
    fn captured_frames_agree() {
        let (request, reply) = (frame(ASKED, true), frame(ANSWERED, false));
        assert_eq!((request.check(), reply.check()), (Ok(()), Ok(())));
        assert_eq!((request.limits, request.private.as_slice()), (Some((0, 1)), &[0xAA, 0xBB][..]));
        assert_eq!(Agreed::of(&request, &reply), Ok(Agreed { crc: false, refused: false }));
        let with_crc = Frame { flags: CRC | ENHANCED, ..request.clone() };
        assert_eq!(Agreed::of(&with_crc, &reply), Ok(Agreed { crc: true, refused: false }));
        let too_many = Frame { limits: Some((1, 1)), ..reply };
        assert!(Agreed::of(&request, &too_many).is_err());
    }

    #[test]
    fn wrong_frames_are_found() {
        let good = frame(ASKED, true);
        for wrong in [
            Frame { flags: MARKERS | ENHANCED, ..good.clone() },
            Frame { flags: ENHANCED | 8, ..good.clone() },
            Frame { revision: 1, ..good.clone() },
            Frame { limits: None, ..good.clone() },
            Frame { limits: Some((0x4000, 0)), ..good },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
        let mut fpdus = Fpdus::default();
        fpdus.push(&octets(ASKED));
        assert!(fpdus.frame(false).is_err(), "a request is no reply");
    }

    #[test]
    fn an_fpdu_comes_in_pieces_and_its_crc_counts() {
        // Reference, section 16.3: a Write of one octet.
        let whole = octets("000f c140 8568fd00 00007f9d3a665000 78 000000 b6716ef8");
        let mut fpdus = Fpdus::default();
        for octet in &whole {
            assert_eq!(fpdus.next(true, true), Ok(None));
            fpdus.push(&[*octet]);
        }
        assert_eq!(fpdus.next(true, true).unwrap().unwrap(), whole.get(2..17).unwrap());
        for place in 2..whole.len() {
            let mut broken = whole.clone();
            broken[place] ^= 1;
            let mut fpdus = Fpdus::default();
            fpdus.push(&broken);
            assert!(fpdus.next(true, true).is_err(), "{place}");
        }
    }
}
