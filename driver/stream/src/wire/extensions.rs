//! What two endpoints of this make may do beyond version 1. They tell each other in octets of the private data
//! that Linux sends as zero and ignores.

use bitflags::bitflags;

bitflags! {
    /// One bit for each extension. In force is what both sides offer.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Extensions: u8 {
        /// KEEPALIVE is a question, which the next credit message answers.
        const KEEPALIVE = 0x01;
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
