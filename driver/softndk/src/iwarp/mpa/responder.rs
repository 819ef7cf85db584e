//! The responder of the start-up: receives the request, lets the consumer decide, sends the reply.

use super::frame::{EnhancedData, Frame, FrameError, FrameReader, Kind, NO_NEGOTIATION, Rtr, StartupError};
use super::{Agreement, Role, capped};

/// A request that the consumer may accept or refuse.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Startup<'a> {
    /// The model and read limits of the initiator, as it sent them; `None` without enhancement.
    pub enhanced: Option<EnhancedData>,
    /// Of the initiator's consumer.
    pub private_data: &'a [u8],
}

/// What a responder offers. Read limits above what the adapter has room for are taken down to that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Acceptance {
    /// CRCs are preferred. RFC 5044 section 4.4 wants this on unless an administrator has decided otherwise.
    pub crc: bool,
    /// RTR messages that are welcome, at least one. A Send takes a receive of the consumer, and one of length 0 is delivered to it.
    pub rtr: Rtr,
    /// Reads that this end takes.
    pub ird: u16,
    /// Reads that this end wants to make.
    pub ord: u16,
}

/// The responder's side of one start-up.
#[derive(Clone, Debug)]
pub struct Responder {
    reader: FrameReader,
}

impl Default for Responder {
    fn default() -> Self {
        Self::new()
    }
}

impl Responder {
    /// Waits for a request.
    #[must_use]
    pub const fn new() -> Self {
        Self { reader: FrameReader::new(Kind::Request) }
    }

    /// Takes octets of the request from the front of `octets`. Those behind it are left there: there should be none before the
    /// reply, and what there is are FPDUs. `None`: it is not whole.
    ///
    /// # Errors
    /// What is wrong with the request. The owner sends what [`reject`](Self::reject) writes, if it writes anything, and closes TCP.
    pub fn receive(&mut self, octets: &mut &[u8]) -> Option<Result<Startup<'_>, StartupError>> {
        if let Err(error) = self.reader.receive(octets)? {
            return Some(Err(error));
        }
        Some(match self.reader.frame()? {
            Ok(frame) if frame.markers => Err(StartupError::Markers),
            Ok(frame) => Ok(Startup { enhanced: frame.enhanced, private_data: frame.private_data }),
            Err(error) => Err(error),
        })
    }

    /// Writes the accepting reply, and returns its octets and what is agreed on. No FPDU may follow it before the first of the
    /// initiator is here; [`Connection::transmit`](super::super::Connection::transmit) sees to that.
    ///
    /// # Errors
    /// [`FrameError`]; the request can still be answered.
    pub fn accept(
        &self,
        acceptance: &Acceptance,
        private_data: &[u8],
        out: &mut [u8],
    ) -> Result<(usize, Agreement), FrameError> {
        let request = self.request().filter(|request| !request.markers).ok_or(FrameError::NoRequest)?;
        let (reply, mut agreement) = acceptance.answer(request.enhanced);
        agreement.crc = acceptance.crc || request.crc;
        let frame = Frame {
            revision: request.revision,
            ..Frame::new(Kind::Reply, agreement.crc, reply, private_data)
        };
        Ok((frame.encode(out)?, agreement))
    }

    /// Writes the refusing reply, and returns its octets. The owner then closes TCP.
    ///
    /// # Errors
    /// [`FrameError`]. [`FrameError::NoRequest`] if what arrived is no request that a reply could answer.
    pub fn reject(&self, private_data: &[u8], out: &mut [u8]) -> Result<usize, FrameError> {
        let request = self.request().ok_or(FrameError::NoRequest)?;
        // Linux reads the enhanced data of a refusal as well (a revision of it without checking that it is there).
        let enhanced = request.enhanced.map(|_| EnhancedData { rtr: None, ird: 0, ord: 0 });
        let frame = Frame::new(Kind::Reply, request.crc, enhanced, private_data);
        Frame { rejected: true, revision: request.revision, ..frame }.encode(out)
    }

    fn request(&self) -> Option<Frame<'_>> {
        self.reader.frame()?.ok()
    }
}

impl Acceptance {
    /// The enhanced data of the reply, and what follows for this end.
    fn answer(&self, request: Option<EnhancedData>) -> (Option<EnhancedData>, Agreement) {
        let (ird, ord) = (capped(self.ird), capped(self.ord));
        let agreement = Agreement { role: Role::Responder, crc: self.crc, ird, ord, rtr: Rtr::empty() };
        let Some(request) = request else { return (None, agreement) };
        let rtr = request.rtr.map(|asked| {
            let common = asked & self.rtr;
            if common.is_empty() { self.rtr } else { common }
        });
        // An RTR Read needs room for one, whatever else is read.
        let room_for_rtr = u16::from(rtr.is_some_and(|rtr| rtr.contains(Rtr::READ)));
        let (mine_ird, reply_ird) = match request.ord {
            NO_NEGOTIATION => (ird.max(room_for_rtr), NO_NEGOTIATION),
            wanted => {
                let ird = ird.min(wanted).max(room_for_rtr);
                (ird, ird)
            }
        };
        let (mine_ord, reply_ord) = match request.ird {
            NO_NEGOTIATION => (ord, NO_NEGOTIATION),
            offered => (ord.min(offered), ord.min(offered)),
        };
        let reply = EnhancedData { rtr, ird: reply_ird, ord: reply_ord };
        let rtr = rtr.unwrap_or(Rtr::empty());
        (Some(reply), Agreement { ird: mine_ird, ord: mine_ord, rtr, ..agreement })
    }
}
