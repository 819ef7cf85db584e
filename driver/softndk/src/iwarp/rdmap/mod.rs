//! RDMAP (RFC 5040): what a DDP message is.

mod read_request;
mod terminate;

pub use read_request::{READ_REQUEST_LEN, ReadRequest};
pub use terminate::{ALL_ERRORS, PeerTerminate, Quote, Terminate, TerminateError};

/// The version that there is.
pub const VERSION: u8 = 1;
/// The DDP queue of Sends.
pub const QUEUE_SEND: u32 = 0;
/// The DDP queue of Read Requests.
pub const QUEUE_READ_REQUEST: u32 = 1;
/// The DDP queue of the Terminate.
pub const QUEUE_TERMINATE: u32 = 2;

/// What a message is (RFC 5040 section 4.1). The codes above are reserved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Opcode {
    /// RDMA Write.
    Write = 0,
    /// RDMA Read Request.
    ReadRequest = 1,
    /// RDMA Read Response.
    ReadResponse = 2,
    /// Send.
    Send = 3,
    /// Send with Invalidate.
    SendInvalidate = 4,
    /// Send with Solicited Event.
    SendSolicited = 5,
    /// Send with Solicited Event and Invalidate.
    SendSolicitedInvalidate = 6,
    /// Terminate.
    Terminate = 7,
}

impl Opcode {
    /// The Send of that kind.
    #[must_use]
    pub const fn send(solicited: bool, invalidates: bool) -> Self {
        match (solicited, invalidates) {
            (false, false) => Self::Send,
            (false, true) => Self::SendInvalidate,
            (true, false) => Self::SendSolicited,
            (true, true) => Self::SendSolicitedInvalidate,
        }
    }

    /// Whether it is one of the Sends that ask for an event.
    #[must_use]
    pub const fn solicits(self) -> bool {
        matches!(self, Self::SendSolicited | Self::SendSolicitedInvalidate)
    }

    /// Whether it is one of the Sends that end an STag.
    #[must_use]
    pub const fn invalidates(self) -> bool {
        matches!(self, Self::SendInvalidate | Self::SendSolicitedInvalidate)
    }

    /// RDMAP's control octet: the version and the opcode.
    #[must_use]
    pub const fn control(self) -> u8 {
        (VERSION << 6) | self as u8
    }

    /// The opcode in a control octet; `None` for a reserved one.
    #[must_use]
    pub const fn decode(control: u8) -> Option<Self> {
        Some(match control & 0x0F {
            0 => Self::Write,
            1 => Self::ReadRequest,
            2 => Self::ReadResponse,
            3 => Self::Send,
            4 => Self::SendInvalidate,
            5 => Self::SendSolicited,
            6 => Self::SendSolicitedInvalidate,
            7 => Self::Terminate,
            _ => return None,
        })
    }
}

/// RV in a control octet.
#[must_use]
pub const fn version(control: u8) -> u8 {
    control >> 6
}
