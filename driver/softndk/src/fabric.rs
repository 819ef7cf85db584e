//! The two ways to a peer, behind one face: memory for peers on this adapter, iWARP over TCP for all others.
//!
//! Connectors and queue pairs know a [`Connection`] and a [`Peer`]; which fabric they are on matters only here.

use core::net::SocketAddr;

use abi::NTSTATUS;
use kernel::pool::{PoolBox, Shared};

use crate::adapter::Adapter;
use crate::answer::Request;
use crate::config::{PRIVATE_DATA_BYTES, READ_LIMIT_MAX};
use crate::events::{Action, DisconnectCallback, Job};
use crate::iwarp::mpa::PRIVATE_DATA_LEN_MAX;
use crate::loopback::{self, Link};
use crate::opaque::Opaque;
use crate::qp::Qp;
use crate::stream::Stream;

/// `ProviderDisconnectReason`: the peer's consumer disconnected.
pub(crate) const REASON_DISCONNECTED: u32 = 1;
/// `ProviderDisconnectReason`: the connection broke.
pub(crate) const REASON_BROKEN: u32 = 2;

/// An end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    /// The end that connected.
    Active,
    /// The end that listened.
    Passive,
}

impl Side {
    /// The other end.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Active => Self::Passive,
            Self::Passive => Self::Active,
        }
    }
}

/// Private data of one side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PrivateData {
    octets: [u8; PRIVATE_DATA_LEN_MAX],
    length: usize,
}

impl Default for PrivateData {
    fn default() -> Self {
        Self { octets: [0; PRIVATE_DATA_LEN_MAX], length: 0 }
    }
}

impl PrivateData {
    /// `None`: more than any fabric carries.
    pub(crate) fn new(octets: &[u8]) -> Option<Self> {
        let mut data = Self { length: octets.len(), ..Self::default() };
        data.octets.get_mut(..octets.len())?.copy_from_slice(octets);
        Some(data)
    }

    /// As its consumer gave it.
    pub(crate) fn octets(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or(&self.octets)
    }

    /// As the other consumer reads it: padded with zeros to what every transport offers; a peer over iWARP may send more.
    pub(crate) fn padded(&self) -> &[u8] {
        self.octets.get(..self.length.max(PRIVATE_DATA_BYTES)).unwrap_or(&self.octets)
    }
}

/// Reads in flight: incoming and outgoing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct ReadLimits {
    pub(crate) inbound: u32,
    pub(crate) outbound: u32,
}

impl ReadLimits {
    /// What is in force for the side that asked for `self` when the other asked for `peer`.
    pub(crate) fn effective(self, peer: Self) -> Self {
        Self {
            inbound: self.inbound.min(READ_LIMIT_MAX).min(peer.outbound),
            outbound: self.outbound.min(READ_LIMIT_MAX).min(peer.inbound),
        }
    }
}

/// A disconnect event that may have to be delivered, with room for it.
pub(crate) struct DisconnectEvent {
    pub(crate) callback: DisconnectCallback,
    pub(crate) context: Opaque,
    pub(crate) adapter: Shared<Adapter>,
    /// Keeps the connector open once the event is due.
    pub(crate) job: PoolBox<Job>,
}

impl DisconnectEvent {
    pub(crate) fn deliver(self, reason: u32) {
        let Self { callback, context, adapter, job } = self;
        adapter.post(job, Action::Disconnect { callback, context, reason });
    }
}

/// What one side brings to the handshake.
pub(crate) struct Handshake {
    pub(crate) qp: Shared<Qp>,
    pub(crate) limits: ReadLimits,
    pub(crate) data: PrivateData,
}

/// Why a side ends the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    /// The consumer closed the connector.
    Close,
    /// The consumer flushed or closed the queue pair.
    Flush,
    /// The peer did not do its part in time.
    TimeOut,
    /// A request failed.
    Fault,
}

/// What a connected queue pair knows of the other end.
#[derive(Debug)]
pub(crate) enum Peer {
    /// Requests are carried out by who posts them.
    Memory(loopback::Peer),
    /// Requests wait until the stream takes them.
    Stream {
        stream: Shared<Stream>,
        /// Reads this end may have in flight; 0 forbids them.
        read_limit: u32,
    },
}

impl Peer {
    /// Reads this end may have in flight; 0 forbids them.
    pub(crate) const fn read_limit(&self) -> u32 {
        match self {
            Self::Memory(peer) => peer.read_limit,
            Self::Stream { read_limit, .. } => *read_limit,
        }
    }
}

/// One end of a connection, or of an attempt at one.
#[derive(Clone, Debug)]
pub(crate) enum Connection {
    /// Both ends are on this adapter.
    Memory(Shared<Link>, Side),
    /// iWARP over TCP.
    Stream(Shared<Stream>),
}

impl Connection {
    /// Which end this is.
    pub(crate) fn side(&self) -> Side {
        match self {
            Self::Memory(_, side) => *side,
            Self::Stream(stream) => stream.side(),
        }
    }

    /// Address of one end.
    pub(crate) fn address(&self, side: Side) -> SocketAddr {
        match self {
            Self::Memory(link, _) => link.address(side),
            Self::Stream(stream) => stream.address(side),
        }
    }

    /// `NdkAccept`. Consumes the request: the result is what the consumer's call returns. After a failure the queue pair is as
    /// before.
    pub(crate) fn accept(
        &self,
        handshake: Handshake,
        event: Option<DisconnectEvent>,
        request: Request,
    ) -> NTSTATUS {
        match self {
            Self::Memory(link, _) => link.accept(handshake, event, request),
            Self::Stream(stream) => Stream::accept(stream, handshake, event, request),
        }
    }

    /// `NdkCompleteConnect`, by the active end.
    ///
    /// # Errors
    /// `STATUS_CONNECTION_ABORTED`: the passive side has gone; `STATUS_CONNECTION_INVALID`: nothing to complete.
    pub(crate) fn complete_connect(&self, event: Option<DisconnectEvent>) -> Result<(), NTSTATUS> {
        match self {
            Self::Memory(link, _) => Link::complete_connect(link, event),
            Self::Stream(stream) => Stream::complete_connect(stream, event),
        }
    }

    /// `NdkReject`: of the request by the passive side, of the acceptance by the active side.
    pub(crate) fn reject(&self, data: PrivateData) -> NTSTATUS {
        match self {
            Self::Memory(link, side) => Link::reject(link, *side, data),
            Self::Stream(stream) => Stream::reject(stream, data),
        }
    }

    /// `NdkDisconnect`. Consumes the request: the result is what the consumer's call returns.
    pub(crate) fn disconnect(&self, request: Request) -> NTSTATUS {
        match self {
            Self::Memory(link, side) => Link::disconnect(link, *side, request),
            Self::Stream(stream) => Stream::disconnect(stream, request),
        }
    }

    /// This end ends the connection, or the attempt, without asking the other. Called without locks; any number of times.
    pub(crate) fn terminate(&self, cause: Cause) {
        match self {
            Self::Memory(link, side) => Link::terminate(link, *side, cause),
            Self::Stream(stream) => Stream::terminate(stream, cause),
        }
    }

    /// `NdkGetConnectionData`: the limits in force and the other side's data, while there is time to look at them.
    ///
    /// # Errors
    /// `STATUS_CONNECTION_ABORTED`: the other side has gone; `STATUS_INVALID_DEVICE_STATE`: outside the window of the call.
    pub(crate) fn connection_data(&self) -> Result<(ReadLimits, PrivateData), NTSTATUS> {
        match self {
            Self::Memory(link, side) => link.connection_data(*side),
            Self::Stream(stream) => stream.connection_data(),
        }
    }
}
