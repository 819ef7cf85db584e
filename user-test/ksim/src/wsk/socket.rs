//! A socket: what it is, and what it has.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::c_void;
use std::net::SocketAddr;

use abi::NTSTATUS;
use abi::status::{STATUS_INSUFFICIENT_RESOURCES, STATUS_NOT_SUPPORTED};
use abi::wsk::*;

use super::datagram::Datagrams;
use super::events::Events;
use super::indication::Node;
use super::listen::Listen;
use super::request::{Done, Request};
use super::table;
use super::transport::End;
use super::world::World;
use crate::pool;

const TAG: u32 = u32::from_le_bytes(*b"AfdS");

/// Category of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Category {
    Basic,
    Listen,
    Connection,
    Datagram,
    Stream,
}

impl Category {
    fn from_flag(flag: u32) -> Option<Self> {
        Some(match flag {
            WSK_FLAG_BASIC_SOCKET => Self::Basic,
            WSK_FLAG_LISTEN_SOCKET => Self::Listen,
            WSK_FLAG_CONNECTION_SOCKET => Self::Connection,
            WSK_FLAG_DATAGRAM_SOCKET => Self::Datagram,
            WSK_FLAG_STREAM_SOCKET => Self::Stream,
            _ => return None,
        })
    }

    pub(super) fn flag(self) -> u32 {
        match self {
            Self::Basic => WSK_FLAG_BASIC_SOCKET,
            Self::Listen => WSK_FLAG_LISTEN_SOCKET,
            Self::Connection => WSK_FLAG_CONNECTION_SOCKET,
            Self::Datagram => WSK_FLAG_DATAGRAM_SOCKET,
            Self::Stream => WSK_FLAG_STREAM_SOCKET,
        }
    }

    fn table(self) -> *const c_void {
        match self {
            Self::Basic => (&raw const table::BASIC).cast(),
            Self::Listen => (&raw const table::LISTEN).cast(),
            Self::Connection => (&raw const table::CONNECTION).cast(),
            Self::Datagram => (&raw const table::DATAGRAM).cast(),
            Self::Stream => (&raw const table::STREAM).cast(),
        }
    }
}

/// How far a socket is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Created,
    /// A datagram socket sends and receives.
    Bound,
    Listening,
    Connecting,
    /// Also half closed, or aborted.
    Connected,
}

/// The connection of a connected socket.
pub(super) struct Link {
    pub(super) end: End,
    pub(super) receives: VecDeque<usize>,
    /// Sends, and at the end of them a graceful disconnect.
    pub(super) sends: VecDeque<usize>,
    /// Bytes that go before the sends, and nobody waits for: those of WskConnectEx, or of a cancelled disconnect.
    pub(super) unsent: VecDeque<u8>,
    /// The direction ends after `unsent`.
    pub(super) finish_unsent: bool,
    /// WskDisconnect was called.
    pub(super) disconnecting: bool,
    /// The sending direction is finished.
    pub(super) finished: bool,
    /// Why the connection is broken.
    pub(super) broken: Option<NTSTATUS>,
    /// Receive indications wait for a WskReceive to be completed.
    pub(super) stopped: bool,
    /// The data at the front are in an indication.
    pub(super) indicating: bool,
    pub(super) told_graceful: bool,
    pub(super) told_abortive: bool,
    /// SIO_WSK_SET_TCP_SILENT_MODE.
    pub(super) silent: bool,
    /// The ideal backlog that the client knows.
    pub(super) backlog: usize,
}

impl Link {
    pub(super) fn new(end: End, backlog: usize) -> Self {
        Self {
            end,
            receives: VecDeque::new(),
            sends: VecDeque::new(),
            unsent: VecDeque::new(),
            finish_unsent: false,
            disconnecting: false,
            finished: false,
            broken: None,
            stopped: false,
            indicating: false,
            told_graceful: false,
            told_abortive: false,
            silent: false,
            backlog,
        }
    }
}

/// A socket that will end.
pub(super) struct Closing {
    /// What is completed last, and how; nothing if the client never had the socket.
    pub(super) request: Option<(Request, NTSTATUS)>,
}

/// Who owns a socket, as the client says.
pub(super) struct Owner {
    pub(super) client: usize,
    pub(super) context: *mut c_void,
    /// The client's table.
    pub(super) dispatch: *const c_void,
    /// `OwningProcess`.
    pub(super) process: usize,
    /// `SecurityDescriptor`.
    pub(super) descriptor: usize,
}

/// Kind of socket: address family, type and protocol.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) family: u16,
    pub(super) socket_type: u16,
    pub(super) protocol: u32,
}

/// A socket.
pub(super) struct Socket {
    /// What the client has.
    pub(super) memory: *mut WSK_SOCKET,
    pub(super) client: usize,
    pub(super) category: Category,
    pub(super) kind: Kind,
    pub(super) context: *mut c_void,
    pub(super) dispatch: *const c_void,
    pub(super) process: usize,
    pub(super) descriptor: usize,
    pub(super) state: State,
    pub(super) local: Option<SocketAddr>,
    /// The local port is this socket's own, not its listener's.
    pub(super) owns_port: bool,
    pub(super) remote: Option<SocketAddr>,
    /// Values by level and option.
    pub(super) options: BTreeMap<(u32, u32), Vec<u8>>,
    pub(super) events: Events,
    pub(super) listen: Listen,
    pub(super) datagrams: Datagrams,
    /// WskConnect that waits.
    pub(super) connect: Option<usize>,
    pub(super) link: Option<Link>,
    /// Nodes of indications that are not released, by address.
    pub(super) nodes: HashMap<usize, Node>,
    /// The conditional request that this connection was.
    pub(super) inspected: Option<WSK_INSPECT_ID>,
    /// No longer functional.
    pub(super) dead: bool,
    /// The client has not been told so.
    pub(super) death_untold: bool,
    pub(super) done: VecDeque<Done>,
    pub(super) draining: bool,
    pub(super) pump_queued: bool,
    /// A callback runs.
    pub(super) calling: bool,
    /// Operations that wait.
    pub(super) parked: usize,
    /// What else keeps it from ending.
    pub(super) holds: usize,
    pub(super) closing: Option<Closing>,
}

// SAFETY: the pointers are handed through to the client's callbacks, or name memory of the socket's own.
unsafe impl Send for Socket {}

impl Socket {
    /// Takes a number out of whatever queue it is in.
    pub(super) fn forget(&mut self, number: usize) {
        self.datagrams.receives.retain(|&other| other != number);
        self.listen.accepts.retain(|&other| other != number);
        if self.connect == Some(number) {
            self.connect = None;
        }
        if let Some(link) = &mut self.link {
            link.receives.retain(|&other| other != number);
            link.sends.retain(|&other| other != number);
        }
    }

    /// Value of an option of 32 bits; zero if it was never set.
    pub(super) fn option(&self, level: u32, option: u32) -> u32 {
        let value = self.options.get(&(level, option)).and_then(|value| value.first_chunk());
        value.map_or(0, |&value| u32::from_le_bytes(value))
    }
}

impl World {
    /// Makes a socket.
    ///
    /// # Errors
    /// No such category, family or memory.
    pub(super) fn create(&mut self, category: u32, kind: Kind, owner: &Owner) -> Result<usize, NTSTATUS> {
        let category = Category::from_flag(category).ok_or(abi::status::STATUS_INVALID_PARAMETER)?;
        if !self.is_offered(kind) {
            return Err(STATUS_NOT_SUPPORTED);
        }
        let memory = pool::allocate(size_of::<WSK_SOCKET>(), TAG, 0).cast::<WSK_SOCKET>();
        if memory.is_null() {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        // SAFETY: a fresh allocation of this size.
        unsafe { memory.write(WSK_SOCKET { Dispatch: category.table() }) };
        let mut socket = Socket {
            memory,
            client: owner.client,
            category,
            kind,
            context: owner.context,
            dispatch: owner.dispatch,
            process: owner.process,
            descriptor: owner.descriptor,
            state: State::Created,
            local: None,
            owns_port: false,
            remote: None,
            options: BTreeMap::new(),
            events: Events::default(),
            listen: Listen::default(),
            datagrams: Datagrams::default(),
            connect: None,
            link: None,
            nodes: HashMap::new(),
            inspected: None,
            dead: false,
            death_untold: false,
            done: VecDeque::new(),
            draining: false,
            pump_queued: false,
            calling: false,
            parked: 0,
            holds: 0,
            closing: None,
        };
        if let Some(client) = self.clients.get_mut(&owner.client) {
            client.sockets += 1;
            socket.events.fixed = client.fixed_events;
        }
        let address = memory.expose_provenance();
        self.sockets.insert(address, socket);
        Ok(address)
    }

    /// Whether a transport for this kind of socket is there. The category does not matter before the bind.
    fn is_offered(&self, kind: Kind) -> bool {
        let fits = match kind.socket_type {
            SOCK_STREAM => kind.protocol == IPPROTO_TCP,
            SOCK_DGRAM => kind.protocol == IPPROTO_UDP,
            SOCK_RAW => true,
            _ => false,
        };
        fits && matches!(kind.family, AF_INET | AF_INET6)
    }

    /// Frees what a socket leaves, which is out of the table.
    pub(super) fn free_socket(socket: Socket) {
        pool::free(socket.memory.cast(), TAG);
    }
}
