//! MPA, between TCP and DDP: the start-up by a request and a reply frame, then FPDUs (RFC 5044, 6581).
//!
//! Not here: markers. A peer that asks for them is refused; none is known that does.

mod crc;
pub mod fpdu;
mod frame;
mod initiator;
mod responder;

pub use crc::crc32c;
pub use frame::{
    EnhancedData, FRAME_LEN_MAX, Frame, FrameError, Kind, NO_NEGOTIATION, PRIVATE_DATA_LEN_MAX, Rtr,
    StartupError,
};
pub use initiator::{Initiator, Proposal, Reply};
pub use responder::{Acceptance, Responder, Startup};

use crate::config::READ_LIMIT_MAX;

/// Which side of the start-up an end was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Sent the request frame; sends the first FPDU.
    Initiator,
    /// Sent the reply frame; sends no FPDU before it has received one (RFC 5044 section 7.1.2, rule 4).
    Responder,
}

/// What the start-up has agreed on, as this end sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Agreement {
    pub(super) role: Role,
    pub(super) crc: bool,
    pub(super) ird: u16,
    pub(super) ord: u16,
    pub(super) rtr: Rtr,
}

impl Agreement {
    /// Both ends make and check CRCs.
    #[must_use]
    pub const fn crc(&self) -> bool {
        self.crc
    }

    /// Reads that the peer may have outstanding here.
    #[must_use]
    pub const fn ird(&self) -> u16 {
        self.ird
    }

    /// Reads that this end may have outstanding there.
    #[must_use]
    pub const fn ord(&self) -> u16 {
        self.ord
    }

    /// With the initiator: the one RTR message that it sends first, or none. With the responder: what it has allowed; if that is
    /// not empty, the connection is established only with [`Event::Ready`](super::Event::Ready).
    #[must_use]
    pub const fn rtr(&self) -> Rtr {
        self.rtr
    }
}

/// A read limit within what a [`Connection`](super::Connection) has room for.
fn capped(limit: u16) -> u16 {
    limit.min(u16::try_from(READ_LIMIT_MAX).unwrap_or(u16::MAX))
}
