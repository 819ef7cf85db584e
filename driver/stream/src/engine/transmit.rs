//! What an engine hands out to be posted.

use crate::wire::{ADVERT_LEN, Advert, MESSAGE_LEN, TARGET_ENTRY_LEN, Word};
use heapless::Vec;

/// Octets of the longest [`Transmit::head`].
pub const MAX_HEAD_LEN: usize = MESSAGE_LEN + ADVERT_LEN;

/// The description of a drained region, to be written into the peer's target list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish {
    /// The octets to write.
    pub entry: [u8; TARGET_ENTRY_LEN],
    /// Where to write them.
    pub remote_addr: u64,
    /// The key to write them with.
    pub remote_key: u32,
}

/// Work to post, in this order and with nothing of the same connection in between: the Write if there is one,
/// then a Send that begins with [`Transmit::head`]. The last request is signalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// Octets of the stream, to the ring or to an advertised buffer. Write `len` octets from `stream_offset` of the send stream, then send `word`. 2
    /// work requests.
    Data {
        /// Octets queued before these since the connection was opened.
        stream_offset: u64,
        /// Octets, never 0.
        len: u32,
        /// Where to write them.
        remote_addr: u64,
        /// The key to write them with.
        remote_key: u32,
        /// The message that reports them.
        word: u32,
        /// The credit word behind it.
        credit: Option<u32>,
    },
    /// The same inside the message: a Send of the head, then `len` octets from `stream_offset` of the send stream.
    /// 1 work request.
    SendData {
        /// Octets queued before these since the connection was opened.
        stream_offset: u64,
        /// Octets, never 0.
        len: u32,
        /// The message.
        word: u32,
        /// The credit word behind it.
        credit: Option<u32>,
    },
    /// Credits, and perhaps a region of the ring. 1 or 2 work requests.
    Credit {
        /// The Write that goes before the message.
        publish: Option<Publish>,
        /// The message with the new limit.
        word: u32,
    },
    /// SHUTDOWN or DISCONNECT. 1 work request.
    Control {
        /// The message.
        word: u32,
    },
    /// KEEPALIVE, which asks an equal for a sign of life, or what an advertised buffer needs beside the advert. 1 work
    /// request.
    Notice {
        /// The message.
        word: u32,
    },
    /// Tells an equal of a buffer that it may write to. 1 work request.
    Advert(Advert),
    /// ABORT: tells an equal why the transport is about to be aborted. 1 work request.
    Abort {
        /// The message.
        word: u32,
    },
    /// A Write of no octets, and no Send: asks the transport whether a peer that knows no questions is still there.
    /// Nothing comes of it at the peer. 1 work request.
    Probe {
        /// An address that the peer lets be written.
        remote_addr: u64,
        /// Its key.
        remote_key: u32,
    },
}

impl Transmit {
    /// Initiator queue slots that it takes until its Send completes.
    #[must_use]
    pub const fn work_requests(&self) -> u16 {
        match self {
            Self::Data { .. } | Self::Credit { publish: Some(_), .. } => 2,
            Self::SendData { .. }
            | Self::Credit { publish: None, .. }
            | Self::Control { .. }
            | Self::Notice { .. }
            | Self::Advert(_)
            | Self::Abort { .. }
            | Self::Probe { .. } => 1,
        }
    }

    /// The octets that the Send begins with, words in little-endian order; none for a probe, which has no Send.
    #[must_use]
    pub fn head(&self) -> Vec<u8, MAX_HEAD_LEN> {
        let mut head = Vec::new();
        // There is room for the longest head.
        let mut put = |word: u32| drop(head.extend_from_slice(&word.to_le_bytes()));
        match *self {
            Self::Data { word, credit, .. } | Self::SendData { word, credit, .. } => {
                put(word);
                if let Some(credit) = credit {
                    put(credit);
                }
            }
            Self::Credit { word, .. }
            | Self::Control { word }
            | Self::Notice { word }
            | Self::Abort { word } => put(word),
            Self::Advert(advert) => {
                put(Word::Advert.encode());
                drop(head.extend_from_slice(&advert.encode()));
            }
            Self::Probe { .. } => {}
        }
        head
    }
}
