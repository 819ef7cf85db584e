//! Connection sockets, and stream sockets, which may become listening ones.
//!
//! | module | does |
//! |---|---|
//! | `bind` | WskBind |
//! | `connect` | from bound to connected over RDMA, on both sides |
//! | `tcp`, `tcp_events` | the twin: a socket of the system's that has the address, and becomes the connection over TCP |
//! | `outgoing` | the adapter's address that a connection goes out from |
//! | `pool` | endpoints made ahead of their connections |
//! | `events`, `settle` | what the endpoint tells, and moving what can be moved |
//! | `after` | what is done once the lock is dropped |
//! | `send`, `receive`, `disconnect`, `close` | the requests |
//! | `lent` | clients' memory in the adapter's hands |
//! | `in_place`, `send_stream` | sends from the client's memory, and where the octets of the stream are |
//! | `direct` | receives into the client's memory |
//! | `ending` | how long the end of an endpoint may take |
//! | `keepalive` | asking silent peers, and giving them up |
//! | `rings` | the receive ring, and giving it a longer one |
//! | `pump`, `retained`, `enabling` | calling the client's callbacks, what it keeps of the ring, which callbacks it wants |
//! | `stream_socket`, `layout` | WskListen, the memory |
//! | `telling` | events, and the row of the status |
//! | `control`, `unserved` | WskControlSocket, and what of it waits for a twin |
//!
//! One spin lock covers a connection's state: its phase, the stream engine, the right to post, and the queues of IRPs.
//! Every event and every call does the same: take the lock, change the state, let [`State::settle`] move what can be
//! moved, drop the lock, then do what must be done without it ([`After`]).
//!
//! Memory of a connection: ring and target list, which the peer may write, and local memory that it may not: receive
//! slots, send slots, and the send buffer that stream octets are written from.

mod after;
mod bind;
mod close;
mod connect;
mod control;
mod direct;
mod disconnect;
mod enabling;
mod ending;
mod events;
mod in_place;
mod keepalive;
mod layout;
mod lent;
mod outgoing;
mod pool;
mod pump;
mod receive;
mod retained;
mod rings;
mod send;
mod send_stream;
mod settle;
mod stream_socket;
mod tcp;
mod tcp_events;
mod telling;
mod unserved;

use crate::TAG_SOCKET;
use crate::callbacks::Callbacks;
use crate::client::ClientUse;
use crate::edge::{CONNECTION_DISPATCH, STREAM_DISPATCH};
use crate::events::{CONNECTION_EVENTS, Events};
use crate::listen::{Arrivals, Caller, ListenSocket, NO_PLACE};
use crate::options::Options;
use crate::peers::Guest;
use crate::socket::{Front, Socket};
use abi::NTSTATUS;
use abi::status::STATUS_INVALID_DEVICE_STATE;
use abi::wsk::{WSK_CLIENT_CONNECTION_DISPATCH, WSK_INSPECT_ID, WSK_SOCKET};
use core::net::SocketAddr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use irp::{IrpQueue, OwnedIrp};
use kernel::dpc::Dpc;
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, PoolBox, Shared};
use kernel::work::WorkItem;
use ndk::{Adapter, Endpoint, Incoming, Memory, Poster};
use stream::{AbortReason, Engine, Span};
use trace::{Counters, Reason};

use crate::system::Call;
use after::After;
use tcp::Tcp;
pub(crate) use unserved::ControlRequest;
use unserved::Unserved;

pub(crate) use connect::ConnectRequest;
use connect::Connects;
use direct::Direct;
use disconnect::Disconnects;
use enabling::Disables;
use ending::Ending;
use in_place::SendsInPlace;
use layout::Layout;
use lent::{Answers, Loans};
use outgoing::Endpoints;
pub(crate) use pool::Pool;
pub use pool::PoolView;
use pump::Pump;
pub(crate) use receive::ReceiveRequest;
use receive::Receives;
use retained::Retained;
use rings::Rings;
pub(crate) use send::SendRequest;
use send::{CopiedSends, Sends};
use send_stream::SendStream;
pub(crate) use stream_socket::StreamSocket;

/// What a connection socket is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// WskSocket.
    Created,
    /// WskBind, until the address is the socket's.
    Binding,
    /// WskBind, or a connect has failed and is cleared away.
    Bound,
    /// WskListen: a stream socket that is, or becomes, a listening one for good.
    Listening,
    /// WskConnect, until the answer.
    Connecting,
    /// A connect has failed or was cancelled, and its endpoint is being closed. The next one may wait already.
    Unwinding,
    /// Accepted by the listener's adapter, not established.
    Accepting,
    /// Established once. Whether the stream still runs, the engine knows.
    Connected,
    /// WskCloseSocket was called, or nobody wants the connection.
    Closing,
}

/// Which way a connect goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leg {
    /// An endpoint of an adapter.
    Rdma,
    /// The twin.
    Tcp,
}

/// The stream over one endpoint.
struct Link {
    engine: Engine,
    layout: Layout,
    /// Whose endpoint it is, or was.
    adapter: Shared<Adapter>,
    /// There from the moment the link is under the lock.
    endpoint: Option<Shared<Endpoint<Connection>>>,
    /// Taken when the endpoint is to be closed.
    poster: Option<Poster<Connection>>,
    /// The endpoint is closed; only its memory is left.
    closed: bool,
    /// What its end waits for.
    ending: Option<Ending>,
    /// What was queued and is not sent.
    send_stream: SendStream,
    in_place: SendsInPlace,
    direct: Direct,
    loans: Loans,
    answers: Answers,
    /// Sends posted and sends completed, since the beginning.
    posted: u64,
    completed: u64,
    /// The number of the Send that carried SHUTDOWN or DISCONNECT.
    control: Option<u64>,
    /// Why a post has failed: none follows, and the connection is lost once its completions are delivered.
    unposted: Option<NTSTATUS>,
    /// Why the stream ended, when it did not end in order.
    failure: Option<NTSTATUS>,
    /// Why this side ends the stream out of order: to be told to the peer.
    abort_reason: Option<AbortReason>,
    /// The client itself has aborted a stream that still ran: it needs no callback to know that.
    ended_here: bool,
    /// The adapter is gone.
    dead: bool,
    rings: Rings,
    /// What the client was shown of the rings.
    retained: Retained,
    /// What of the engine's counters is in the connection's already.
    counted: stream::Counters,
}

/// What is under the lock of a connection.
pub(crate) struct State {
    phase: Phase,
    /// Which callbacks are enabled.
    events: Events,
    options: Options,
    /// SIO_WSK_SET_TCP_SILENT_MODE: nothing is said and nothing heard any more.
    silent: bool,
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
    /// The reservation of the local address.
    bound: Option<usize>,
    /// The address of the WskBind that is under way, then the one that it has given the socket.
    wanted: Option<SocketAddr>,
    /// The client has asked for the port: other sockets may have it, too.
    asked_for_port: bool,
    /// What is taken on adapters to connect from.
    endpoints: Endpoints,
    /// The WskBind that a work item serves.
    bind: Option<OwnedIrp>,
    /// The WskSocket that waits for the twin.
    opening: Option<OwnedIrp>,
    /// A stream socket that listens: the one that does it.
    listen: Option<Shared<ListenSocket>>,
    /// The way that the connect goes, or will go.
    leg: Leg,
    /// A connect that fails over RDMA goes on over TCP.
    falls_back: bool,
    /// Why a connect that fails over RDMA does not; undecided if it does.
    only_rdma: Reason,
    /// When the handshake over RDMA has taken too long, in units of 100 ns of interrupt time; none is under way: `None`.
    deadline: Option<u64>,
    /// A WskSocketConnect was cancelled: the client has no socket.
    unmade: bool,
    tcp: Tcp,
    reason: Reason,
    listener: Option<Shared<Arrivals>>,
    incoming: Option<Incoming>,
    /// Its place among the connections of its peer.
    guest: Option<Guest>,
    /// A work item is building an endpoint, or will; or has not yet let go of one that it built for nothing.
    building: bool,
    /// A work item is registering a longer ring, or will.
    growing: bool,
    /// In memory of its own: a socket that is not connected does not need it.
    link: Option<PoolBox<Link>>,
    connect: IrpQueue<Connects>,
    sends: IrpQueue<Sends>,
    copied: IrpQueue<CopiedSends>,
    /// No send may follow: WskDisconnect was called.
    send_ended: bool,
    receives: IrpQueue<Receives>,
    disconnect: IrpQueue<Disconnects>,
    pump: Pump,
    disables: IrpQueue<Disables>,
    unserved: IrpQueue<Unserved>,
    /// A work item is making a twin for these, or will.
    lending: bool,
    close: Option<OwnedIrp>,
}

/// A connection socket.
#[repr(C)]
pub(crate) struct Connection {
    front: Front,
    client: ClientUse,
    ipv4: bool,
    pub(crate) callbacks: Callbacks<WSK_CLIENT_CONNECTION_DISPATCH>,
    /// What makes it a stream socket.
    stream: Option<StreamSocket>,
    work: WorkItem,
    dpc: Dpc,
    place: AtomicUsize,
    /// The twin, once it is the connection.
    tcp: AtomicPtr<WSK_SOCKET>,
    /// The twin's WskSocket, then its WskConnect or WskAccept.
    establish: Call<Connection>,
    /// The twin's WskCloseSocket.
    close_twin: Call<Connection>,
    counters: Counters,
    /// The request's id, if its client was asked about it.
    inspect_id: Option<WSK_INSPECT_ID>,
    state: SpinLock<State>,
}

/// Where an accepted connection comes from.
#[derive(Clone, Copy)]
struct Origin {
    stream: Option<StreamSocket>,
    /// What the accepting socket hands down.
    options: Options,
    inspect_id: Option<WSK_INSPECT_ID>,
}

impl Connection {
    /// A socket for IPv4 or IPv6, entered into the table of sockets. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub(crate) fn new(
        client: ClientUse,
        ipv4: bool,
        callbacks: Callbacks<WSK_CLIENT_CONNECTION_DISPATCH>,
        stream: Option<StreamSocket>,
    ) -> Result<Shared<Self>, NTSTATUS> {
        let origin = Origin { stream, options: Options::NEW, inspect_id: None };
        Self::build(client, ipv4, callbacks, origin, |state| {
            state.pump.delivered = true;
        })
    }

    /// A connection for a request that `listener`'s adapter has received. It reports back to the listener by itself.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES; the request is rejected.
    pub(crate) fn incoming(
        client: &ClientUse,
        listener: &Shared<Arrivals>,
        caller: Caller,
        inherited: Options,
        inspect_id: Option<WSK_INSPECT_ID>,
    ) -> Result<(), NTSTATUS> {
        let (local, remote) = caller.addresses().ok_or(abi::status::STATUS_INTERNAL_ERROR)?;
        let client = client.try_clone().ok_or(abi::status::STATUS_DEVICE_NOT_READY)?;
        let origin = Origin { stream: None, options: inherited, inspect_id };
        let this = Self::build(client, local.is_ipv4(), Callbacks::none(), origin, |state| {
            state.phase = Phase::Accepting;
            state.local = Some(local);
            state.remote = Some(remote);
            state.listener = Some(listener.clone());
            state.incoming = Some(caller.incoming);
            state.guest = Some(caller.guest);
            state.building = true;
        })?;
        Self::queue_work(&this);
        Ok(())
    }

    fn build(
        client: ClientUse,
        ipv4: bool,
        callbacks: Callbacks<WSK_CLIENT_CONNECTION_DISPATCH>,
        origin: Origin,
        set: impl FnOnce(&mut State),
    ) -> Result<Shared<Self>, NTSTATUS> {
        let mut state = State {
            phase: Phase::Created,
            events: Events::new(client.static_events() & CONNECTION_EVENTS),
            options: origin.options,
            silent: false,
            local: None,
            remote: None,
            bound: None,
            wanted: None,
            asked_for_port: false,
            endpoints: Endpoints::new(),
            bind: None,
            opening: None,
            listen: None,
            leg: Leg::Rdma,
            falls_back: false,
            only_rdma: Reason::Undecided,
            deadline: None,
            unmade: false,
            tcp: Tcp::new(),
            reason: Reason::Undecided,
            listener: None,
            incoming: None,
            guest: None,
            building: false,
            growing: false,
            link: None,
            connect: IrpQueue::new(),
            sends: IrpQueue::new(),
            copied: IrpQueue::new(),
            send_ended: false,
            receives: IrpQueue::new(),
            disconnect: IrpQueue::new(),
            pump: Pump::default(),
            disables: IrpQueue::new(),
            unserved: IrpQueue::new(),
            lending: false,
            close: None,
        };
        set(&mut state);
        let socket: Result<Shared<Self>, AllocError> =
            Shared::try_new_cyclic(TAG_SOCKET, |this: *const Self| {
                // SAFETY: each run is asked for with a reference, which the run takes.
                let work =
                    unsafe { WorkItem::new_unawaited(TAG_SOCKET, connect::work, this.cast_mut().cast()) }?;
                // SAFETY: as above.
                let dpc = unsafe { Dpc::new_unawaited(TAG_SOCKET, pump::run, this.cast_mut().cast()) }?;
                Ok(Self {
                    front: if origin.stream.is_some() {
                        Front::new(&STREAM_DISPATCH)
                    } else {
                        Front::new(&CONNECTION_DISPATCH)
                    },
                    client,
                    ipv4,
                    callbacks,
                    stream: origin.stream,
                    work,
                    dpc,
                    place: AtomicUsize::new(NO_PLACE),
                    tcp: AtomicPtr::new(core::ptr::null_mut()),
                    establish: Call::new(Self::twin_established),
                    close_twin: Call::new(Self::twin_closed),
                    counters: Counters::new(),
                    inspect_id: origin.inspect_id,
                    state: SpinLock::new(state),
                })
            });
        let socket = socket.map_err(|e| e.status())?;
        let place = socket.client.provider().enlist(Socket::Connection(socket.clone()));
        socket.place.store(place.map_err(|e| e.status())?, Ordering::Release);
        Ok(socket)
    }

    /// Runs `change` under the lock, settles, then does what must be done without the lock.
    fn with<R>(this: &Shared<Self>, change: impl FnOnce(&mut State, &mut After) -> R) -> R {
        let mut after = After::default();
        let result = Self::change(this, &mut after, change);
        if !after.map.is_empty() {
            Self::map(this, after.map);
        }
        result
    }

    /// The same, but for the mappings that are to be built, which are in `after` then.
    fn change<R>(
        this: &Shared<Self>,
        after: &mut After,
        change: impl FnOnce(&mut State, &mut After) -> R,
    ) -> R {
        let result = {
            let mut state = this.state.lock();
            let result = change(&mut state, after);
            state.settle(this, after);
            state.watch_end(&this.client.provider().settings, after);
            after.pump = state.wants_pump(this);
            result
        };
        after.run(this);
        result
    }

    fn queue_work(this: &Shared<Self>) {
        let reference = Shared::into_raw(this.clone());
        if !this.work.queue() {
            // SAFETY: the run that is asked for already has a reference of its own.
            drop(unsafe { Shared::from_raw(reference) });
        }
    }

    /// SIO_WSK_QUERY_INSPECT_ID: the id under which WskInspectEvent was called for this connection; `None` for one that no
    /// client was asked about.
    pub(crate) fn inspect_id(&self) -> Option<WSK_INSPECT_ID> {
        self.inspect_id
    }

    /// Local and remote address, as far as they are known.
    pub(crate) fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        let state = self.state.lock();
        (state.local, state.remote)
    }

    /// WskGetLocalAddress.
    ///
    /// # Errors
    /// INVALID_DEVICE_STATE: not bound.
    pub(crate) fn local(&self) -> Result<SocketAddr, NTSTATUS> {
        self.state.lock().local.ok_or(STATUS_INVALID_DEVICE_STATE)
    }

    /// WskGetRemoteAddress.
    ///
    /// # Errors
    /// INVALID_DEVICE_STATE: not connected.
    pub(crate) fn remote(&self) -> Result<SocketAddr, NTSTATUS> {
        let state = self.state.lock();
        if state.phase != Phase::Connected {
            return Err(STATUS_INVALID_DEVICE_STATE);
        }
        state.remote.ok_or(STATUS_INVALID_DEVICE_STATE)
    }

    /// Whether the peer has lent a buffer that nothing was written to.
    #[cfg(test)]
    pub(crate) fn holds_advert(&self) -> bool {
        self.state.lock().link.as_ref().is_some_and(|link| link.engine.holds_advert())
    }

    /// Whether the adapter is done with the connection.
    #[cfg(test)]
    pub(crate) fn endpoint_is_closed(&self) -> bool {
        self.state.lock().link.as_ref().is_none_or(|link| link.closed)
    }
}

impl Link {
    /// A region of the endpoint's memory.
    fn memory(&self, index: usize) -> Option<&Memory> {
        self.endpoint.as_ref()?.memory(index)
    }

    /// Octets that arrived, and that nobody has had.
    fn unread(&self) -> u64 {
        self.engine.readable().saturating_sub(self.retained.held())
    }

    /// Where the first of them are in a ring, as far as they lie together.
    fn unread_span(&self) -> Option<Span> {
        self.engine.readable_span(self.retained.held())
    }

    /// The first `octets` of them are copied or discarded.
    fn consume(&mut self, octets: u64) {
        self.retained.take(octets);
        self.give_back();
    }

    /// Gives the room back that nobody uses any more.
    fn give_back(&mut self) {
        // Never more than there is: only what was readable is ever taken.
        let _readable = self.engine.consume(self.retained.consume());
    }
}
