//! What two endpoints of this make may do beyond version 1. They tell each other in octets of the private data
//! that Linux sends as zero and ignores.

use bitflags::bitflags;

/// Why an equal aborts a connection (ABORT). Other numbers are to be borne.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortReason(pub u16);

impl AbortReason {
    /// None is given.
    pub const UNSPECIFIED: Self = Self(0);
    /// The program has closed its socket while a direction was open.
    pub const CLOSED: Self = Self(1);
    /// The program has asked for an abort.
    pub const ABORTED: Self = Self(2);
    /// The rest of what the program gave to be sent never will be: a part of it was sent.
    pub const INCOMPLETE: Self = Self(3);
    /// The receiver of this has broken the protocol.
    pub const PROTOCOL: Self = Self(4);
    /// The receiver of this gave no sign of life in time.
    pub const TIMED_OUT: Self = Self(5);
}

bitflags! {
    /// One bit for each extension. In force is what both sides offer.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Extensions: u8 {
        /// KEEPALIVE is a question, which the next credit message answers.
        const KEEPALIVE = 0x01;
        /// Stream octets may come inside the Send that reports them ([`crate::Word::SendData`]).
        const SEND_DATA = 0x02;
        /// A credit word may follow the word of a data message in the same Send.
        const CREDIT = 0x04;
        /// ABORT says why the transport is about to be aborted.
        const ABORT = 0x08;
        /// The reader may advertise a buffer that the writer fills instead of the ring ([`crate::Word::Advert`]).
        const DIRECT = 0x10;
    }
}

/// What the sender of private data offers to an equal (flag EXT). It promises [`crate::MIN_RESERVE`] receives
/// more than it advertises credits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The extensions. Unknown bits are ignored.
    pub extensions: Extensions,
    /// Octets of every receive that the sender posts, at least [`crate::MESSAGE_LEN`].
    pub message_len: u16,
}
