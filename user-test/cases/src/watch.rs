//! Event callbacks: what a case sets beforehand, and what it sees afterwards.

use core::net::SocketAddr;

use abi::NTSTATUS;
use abi::wsk::{WSK_INSPECT_ACTION, WskInspectAccept};

use crate::world::Socket;

/// How many [`Watch`]es a world has.
pub const WATCHES: usize = 8;

/// How many events a watch remembers. It counts the others.
pub const EVENTS: usize = 40;

/// One set of callbacks for every category of socket, with a memory of its own, which is the socket's context.
///
/// Its table has all callbacks of the socket's category. One watch is for one socket, so that what it sees can be told apart;
/// a listening socket may hand down another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch(pub usize);

/// Which callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `WskAcceptEvent`.
    Accept,
    /// `WskInspectEvent`.
    Inspect,
    /// `WskAbortEvent`.
    Abort,
    /// `WskReceiveEvent`.
    Receive,
    /// The callback of SIO_WSK_SET_RECEIVE_EX_CALLBACK.
    ReceiveEx,
    /// `WskDisconnectEvent`.
    Disconnect,
    /// `WskSendBacklogEvent`.
    Backlog,
}

/// What `WskAcceptEvent` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// SUCCESS, without callbacks for the new socket.
    Plain,
    /// SUCCESS, with these callbacks for the new socket.
    Watched(Watch),
    /// A failure: the socket stays the provider's.
    Refused(NTSTATUS),
}

/// What `WskReceiveEvent` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taking {
    /// SUCCESS, with `BytesAccepted` as it was.
    All,
    /// SUCCESS, with so many octets accepted.
    Part(usize),
    /// PENDING: the nodes are kept, each of them with a value of the client's own in `Next`.
    Keep,
    /// PENDING, with every node released before the callback returns.
    KeepAndRelease,
    /// DATA_NOT_ACCEPTED.
    Nothing,
    /// A status that no page names.
    Fails(NTSTATUS),
}

/// How a watch answers.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    /// `WskAcceptEvent`.
    pub accept: Acceptance,
    /// `WskInspectEvent`.
    pub inspect: WSK_INSPECT_ACTION,
    /// `WskReceiveEvent`, the first `times` times; afterwards [`Taking::All`].
    pub receive: Taking,
    /// See `receive`.
    pub times: usize,
    /// Callbacks of this kind do not return before [`let_go`](crate::World::let_go).
    pub hold: Option<Kind>,
}

impl Script {
    /// Takes everything.
    pub const WILLING: Self = Self {
        accept: Acceptance::Plain,
        inspect: WskInspectAccept,
        receive: Taking::All,
        times: usize::MAX,
        hold: None,
    };
}

/// An id that `WskInspectEvent` was called with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InspectId {
    /// `Key`.
    pub key: usize,
    /// `SerialNumber`.
    pub serial: u32,
}

/// One call of a callback.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// Which.
    pub kind: Kind,
    /// `Flags`, without AT_DISPATCH_LEVEL, which the world judges.
    pub flags: u32,
    /// The pointer that the event is about was NULL: the socket is dead.
    pub death: bool,
    /// `BytesIndicated`, or `IdealBacklogSize`.
    pub octets: usize,
    /// Nodes of the indication.
    pub nodes: usize,
    /// `LocalAddress`.
    pub local: Option<SocketAddr>,
    /// `RemoteAddress`.
    pub remote: Option<SocketAddr>,
    /// `InspectID`.
    pub id: Option<InspectId>,
    /// The socket that was accepted.
    pub socket: Option<Socket>,
    /// Counts on with the completions of the world: when the call began.
    pub order: u64,
}

/// Which of the kept nodes are released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// The oldest, alone.
    Oldest,
    /// The newest, alone.
    Newest,
    /// All, as one chain in the order in which they came.
    All,
    /// All, as one chain in the opposite order.
    Backwards,
    /// None: a node that the provider has never given out.
    Foreign,
    /// None: NULL.
    Null,
}
