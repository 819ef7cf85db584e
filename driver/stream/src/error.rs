//! What can go wrong: the peer's doing, and the owner's.

use crate::wire::{ConnDataError, WordError};

/// The peer broke the protocol. The engine is then in [`crate::State::Failed`], and the owner aborts the
/// connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The private data was refused.
    ConnData(ConnDataError),
    /// The message is none.
    Word(WordError),
    /// A message came before [`crate::Engine::establish`], or that was called twice.
    OutOfPhase,
    /// More octets were reported than the current region had left.
    DataBeyondRegion,
    /// More counted messages than the credits allowed.
    MessagesBeyondCredit,
    /// A counted message came after the peer had finished its direction.
    DataAfterShutdown,
    /// A credit limit that moved backwards, or beyond what was sent plus the advertised credits.
    CreditOutOfRange,
    /// A target entry that wraps the address space.
    EntryWraps,
    /// A target entry was written while every entry was still in use.
    EntryOverrun,
    /// Octets were written into an advertised buffer, or it was refused, and there was none.
    NothingAdvertised,
    /// More octets were written into an advertised buffer than it holds, or after octets for the ring.
    DataBeyondBuffer,
    /// A buffer was advertised while the one before was not answered for.
    AdvertOverrun,
    /// An advertised buffer is empty, or for octets of which those before are not yet sent.
    AdvertOutOfRange,
}

impl From<ConnDataError> for ProtocolError {
    fn from(error: ConnDataError) -> Self {
        Self::ConnData(error)
    }
}

impl From<WordError> for ProtocolError {
    fn from(error: WordError) -> Self {
        Self::Word(error)
    }
}

/// The owner called out of turn. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageError {
    /// No buffer can be advertised now: octets are unread, one is advertised already, the peer has finished its
    /// direction or does not know of it, or the buffer is none.
    NotAdvertisable,
    /// The ring cannot grow now: the connection is not open, the peer has finished its direction, or the old ring of an
    /// earlier growth is not drained. Or the new one is no ring, or not longer.
    NotGrowable,
    /// The sending direction is shut down, or the connection is not (or no longer) open.
    NotSendable,
    /// More than 2^64 - 1 octets in one stream.
    StreamTooLong,
    /// More octets consumed than were readable.
    NotReadable,
    /// A completion with no Send outstanding.
    NothingOutstanding,
}
