//! The initiator of the start-up: sends the request, judges the reply.

use super::super::rdmap::{Terminate, TerminateError};
use super::frame::{EnhancedData, Frame, FrameError, FrameReader, Kind, Rtr, StartupError};
use super::{Agreement, Role, capped};

/// What an initiator asks for. Read limits above what the adapter has room for are taken down to that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proposal {
    /// CRCs are preferred. RFC 5044 section 4.4 wants this on unless an administrator has decided otherwise.
    pub crc: bool,
    /// With revision 2, the model and the read limits are negotiated; with revision 1 each end has to know them.
    pub enhanced: bool,
    /// RTR messages that this end can send; none is the client-server model. Unused without `enhanced`.
    pub rtr: Rtr,
    /// Reads that this end takes.
    pub ird: u16,
    /// Reads that this end wants to make.
    pub ord: u16,
}

/// The responder's answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reply<'a> {
    /// What is agreed; `None` if the responder's consumer has refused.
    pub agreement: Option<Agreement>,
    /// Of the responder's consumer.
    pub private_data: &'a [u8],
}

/// The initiator's side of one start-up.
#[derive(Clone, Debug)]
pub struct Initiator {
    proposal: Proposal,
    reader: FrameReader,
}

impl Initiator {
    /// With that proposal.
    #[must_use]
    pub fn new(proposal: Proposal) -> Self {
        let proposal = Proposal { ird: capped(proposal.ird), ord: capped(proposal.ord), ..proposal };
        Self { proposal, reader: FrameReader::new(Kind::Reply) }
    }

    /// Writes the request frame, and returns its octets. Nothing may follow it in the stream until the reply is here.
    ///
    /// # Errors
    /// [`FrameError::PrivateDataTooLong`], [`FrameError::NoRoom`].
    pub fn request(&self, private_data: &[u8], out: &mut [u8]) -> Result<usize, FrameError> {
        let Proposal { crc, enhanced, rtr, ird, ord } = self.proposal;
        let rtr = (!rtr.is_empty()).then_some(rtr);
        let enhanced = enhanced.then_some(EnhancedData { rtr, ird, ord });
        Frame::new(Kind::Request, crc, enhanced, private_data).encode(out)
    }

    /// Takes octets of the reply from the front of `octets`. Those behind it are left there: they are FPDUs. `None`: it is not whole.
    ///
    /// # Errors
    /// What is wrong with the reply. The owner sends what [`terminate`](Self::terminate) writes, and closes TCP.
    pub fn receive(&mut self, octets: &mut &[u8]) -> Option<Result<Reply<'_>, StartupError>> {
        if let Err(error) = self.reader.receive(octets)? {
            return Some(Err(error));
        }
        let frame = match self.reader.frame()? {
            Ok(frame) => frame,
            Err(error) => return Some(Err(error)),
        };
        if frame.rejected {
            return Some(Ok(Reply { agreement: None, private_data: frame.private_data }));
        }
        let agreement = self.proposal.judge(&frame);
        Some(
            agreement.map(|agreement| Reply { agreement: Some(agreement), private_data: frame.private_data }),
        )
    }

    /// Writes the Terminate that tells the responder of `error`, and returns its octets: 0 where none is foreseen, or without room.
    /// 64 octets are always enough.
    pub fn terminate(&self, error: StartupError, out: &mut [u8]) -> usize {
        let error = match error {
            StartupError::InsufficientIrd => TerminateError::InsufficientIrd,
            StartupError::NoMatchingRtr => TerminateError::NoMatchingRtr,
            _ => return 0,
        };
        let crc = self.reader.frame().and_then(Result::ok).is_some_and(|frame| frame.crc);
        Terminate::new(error).write_fpdu(crc || self.proposal.crc, out).unwrap_or(0)
    }
}

impl Proposal {
    fn judge(&self, reply: &Frame<'_>) -> Result<Agreement, StartupError> {
        if reply.markers {
            return Err(StartupError::Markers);
        }
        if self.enhanced != reply.enhanced.is_some() {
            return Err(StartupError::EnhancedMismatch);
        }
        let crc = self.crc || reply.crc;
        let agreement =
            Agreement { role: Role::Initiator, crc, ird: self.ird, ord: self.ord, rtr: Rtr::empty() };
        let Some(enhanced) = reply.enhanced else { return Ok(agreement) };
        if enhanced.ord > self.ird {
            return Err(StartupError::InsufficientIrd);
        }
        let agreement = Agreement { ird: enhanced.ord, ord: self.ord.min(enhanced.ird), ..agreement };
        if self.rtr.is_empty() {
            return Ok(agreement);
        }
        // Writes first: they take nothing at the responder.
        let mut common = enhanced.rtr.unwrap_or(Rtr::empty()) & self.rtr;
        // A responder that takes no read would have to fail this one.
        common.set(Rtr::READ, common.contains(Rtr::READ) && enhanced.ird > 0);
        let rtr = [Rtr::WRITE, Rtr::READ, Rtr::SEND].into_iter().find(|kind| common.contains(*kind));
        Ok(Agreement { rtr: rtr.ok_or(StartupError::NoMatchingRtr)?, ..agreement })
    }
}
