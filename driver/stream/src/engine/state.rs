//! Where an engine stands, and what a message did to it.

use super::Span;
use crate::error::ProtocolError;
use crate::wire::AbortReason;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Built; the handshake is not finished.
    Unconnected,
    /// Carrying octets in at least one direction.
    Open,
    /// Both directions are finished in order, or one side sent DISCONNECT. Octets that arrived stay readable.
    /// The owner closes the transport when [`crate::Engine::ready_to_close`] says so.
    Finished,
    /// The transport went away before that. Octets that arrived stay readable, and after them comes an error,
    /// not the end of the stream, unless [`crate::Engine::end_of_stream`] says otherwise.
    Lost,
    /// The peer has aborted the connection, for this reason. For the rest as [`State::Lost`].
    Aborted(AbortReason),
    /// The peer gave no sign of life in time ([`crate::Engine::handle_time`]). For the rest as [`State::Lost`]; the owner
    /// aborts the transport.
    TimedOut,
    /// The peer broke the protocol. The owner aborts the transport.
    Failed(ProtocolError),
}

/// What a message did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// So many more octets are readable.
    Readable(u32),
    /// So many more octets are readable once the owner has put them there, which it does before anything else: those from
    /// `message_offset` to the end of the message belong into `span` of a ring.
    Place {
        /// Where they are in the message.
        message_offset: usize,
        /// Where they belong.
        span: Span,
    },
    /// So many octets lie at the beginning of the advertised buffer, which is the owner's again. They need not be
    /// consumed, and nothing before them is unread.
    Direct(u32),
    /// The advertised buffer is not used and is the owner's again.
    Refused,
    /// Credits and perhaps room came in: there may be work to transmit.
    Credit {
        /// The snapshot of the target entry was taken into use. The owner zeroes the 16 octets of this entry
        /// in its target list before it posts anything further for this connection; until then the peer
        /// cannot know that it may write them again.
        clear_entry: Option<usize>,
    },
    /// The peer finished its direction: after the readable octets the stream ends. Sending goes on.
    PeerShutdown,
    /// Both directions are finished: now [`State::Finished`]. What was queued and is not sent never will be.
    Finished,
    /// The peer aborts the transport: now [`State::Aborted`].
    Aborted,
    /// Nothing to do.
    Ignored,
}
