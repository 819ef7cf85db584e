//! Listening sockets.

use crate::TAG_SOCKET;
use crate::client::ClientUse;
use crate::connection::Connection;
use crate::edge::LISTEN_DISPATCH;
use crate::provider::SocketView;
use crate::socket::{Front, Socket};
use abi::NTSTATUS;
use abi::status::{
    STATUS_ADDRESS_ALREADY_EXISTS, STATUS_INVALID_ADDRESS_COMPONENT, STATUS_INVALID_DEVICE_STATE,
    STATUS_SHARING_VIOLATION, STATUS_TOO_MANY_ADDRESSES,
};
use abi::wsk::{SOCKADDR, WSK_FLAG_LISTEN_SOCKET};
use core::ffi::c_void;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicUsize, Ordering};
use heapless::{Deque, Vec};
use irp::{CompletionBatch, IrpQueue, Outcome, OwnedIrp, QueueKind};
use kernel::lock::SpinLock;
use kernel::pool::Shared;
use kernel::work::WorkItem;
use ndk::{Incoming, ListenHandler, Listener};
use trace::{Reason, Snapshot};

/// Addresses one socket may listen at.
const LISTENERS: usize = 16;
/// Room of the accept queue; the setting may ask for less.
const BACKLOG_MAX: usize = 128;

/// A place in the table of sockets that is not taken yet.
pub(crate) const NO_PLACE: usize = usize::MAX;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Created,
    Binding,
    Listening,
    Closed,
}

/// What a parked accept needs: where to write the addresses.
#[derive(Clone, Copy)]
pub(crate) struct Accept {
    pub(crate) local: *mut SOCKADDR,
    pub(crate) remote: *mut SOCKADDR,
}

// SAFETY: the client's buffers may be written from any thread until the IRP is completed.
unsafe impl Send for Accept {}

/// Parked accepts.
pub(crate) enum Accepts {}

// SAFETY: lock and queue are fields of the socket and of the state under its lock; nothing moves the state.
unsafe impl QueueKind for Accepts {
    type Owner = ListenSocket;
    type State = State;
    type Record = Accept;

    fn lock(owner: &ListenSocket) -> &SpinLock<State> {
        &owner.state
    }

    fn queue(state: &mut State) -> &mut IrpQueue<Self> {
        &mut state.accepts
    }
}

pub(crate) struct State {
    phase: Phase,
    local: Option<SocketAddr>,
    bind: Option<OwnedIrp>,
    /// The reservation of the local address.
    bound: Option<usize>,
    listeners: Vec<Listener<Arrivals>, LISTENERS>,
    accepts: IrpQueue<Accepts>,
    close: Option<OwnedIrp>,
    arrivals: Option<Shared<Arrivals>>,
    /// Established, and waiting for WskAccept.
    ready: Deque<Shared<Connection>, BACKLOG_MAX>,
    /// Accepted on the wire but not established.
    half_open: usize,
}

/// What the adapter's listeners know. They live until every connection accepted over them is closed, which is no reason
/// for the socket to: the close cuts it off here.
pub(crate) struct Arrivals(SpinLock<Option<Shared<ListenSocket>>>);

/// A listening socket. It listens from WskBind on, at one address or at every adapter address of its family.
#[repr(C)]
pub(crate) struct ListenSocket {
    front: Front,
    client: ClientUse,
    ipv4: bool,
    work: WorkItem,
    place: AtomicUsize,
    state: SpinLock<State>,
}

unsafe fn work(context: *mut c_void) {
    // SAFETY: the reference that `bind` gave to this run.
    let this = unsafe { Shared::<ListenSocket>::from_raw(context.cast()) };
    ListenSocket::start_listening(&this);
}

impl ListenSocket {
    /// A socket for IPv4 or IPv6, entered into the table of sockets. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub(crate) fn new(client: ClientUse, ipv4: bool) -> Result<Shared<Self>, NTSTATUS> {
        let socket: Result<Shared<Self>, kernel::pool::AllocError> =
            Shared::try_new_cyclic(TAG_SOCKET, |this: *const Self| {
                // SAFETY: each run is asked for with a reference, which the run takes.
                let work = unsafe { WorkItem::new(TAG_SOCKET, work, this.cast_mut().cast()) }?;
                Ok(Self {
                    front: Front::new(&LISTEN_DISPATCH),
                    client,
                    ipv4,
                    work,
                    place: AtomicUsize::new(NO_PLACE),
                    state: SpinLock::new(State {
                        phase: Phase::Created,
                        local: None,
                        bind: None,
                        bound: None,
                        listeners: Vec::new(),
                        accepts: IrpQueue::new(),
                        close: None,
                        arrivals: None,
                        ready: Deque::new(),
                        half_open: 0,
                    }),
                })
            });
        let socket = socket.map_err(|e| e.status())?;
        let place =
            socket.client.provider().enlist(Socket::Listen(socket.clone())).map_err(|e| e.status())?;
        socket.place.store(place, Ordering::Release);
        Ok(socket)
    }

    /// WskBind: listens, in a work item because adapters are asked at PASSIVE_LEVEL.
    pub(crate) fn bind(this: &Shared<Self>, address: Option<SocketAddr>, irp: OwnedIrp) {
        let refused = match address {
            Some(address) if address.is_ipv4() == this.ipv4 => {
                let mut state = this.state.lock();
                if state.phase == Phase::Created {
                    state.phase = Phase::Binding;
                    state.local = Some(address);
                    state.bind = Some(irp);
                    drop(state);
                    let reference = Shared::into_raw(this.clone());
                    if !this.work.queue() {
                        // SAFETY: the run that is asked for already has a reference of its own.
                        drop(unsafe { Shared::from_raw(reference) });
                    }
                    return;
                }
                STATUS_INVALID_DEVICE_STATE
            }
            _ => STATUS_INVALID_ADDRESS_COMPONENT,
        };
        irp.complete(Outcome::failure(refused));
    }

    /// Listens at every address that the bind names. IRQL: PASSIVE_LEVEL.
    fn start_listening(this: &Shared<Self>) {
        let Some(wanted) = this.state.lock().local else { return };
        let arrivals = Shared::try_new(TAG_SOCKET, Arrivals(SpinLock::new(Some(this.clone()))));
        let outcome = arrivals.map_err(|e| e.status()).and_then(|arrivals| {
            this.listen_at(&arrivals, wanted).inspect_err(|_| arrivals.cut()).map(|l| (arrivals, l))
        });
        let mut batch = CompletionBatch::new();
        let mut left_over = Vec::new();
        let mut unwanted = Deque::new();
        let mut cut = None;
        {
            let mut state = this.state.lock();
            let binding = state.phase == Phase::Binding;
            let outcome = match outcome {
                Ok((arrivals, (local, place, listeners))) if binding => {
                    state.phase = Phase::Listening;
                    state.arrivals = Some(arrivals);
                    state.local = Some(local);
                    state.bound = Some(place);
                    state.listeners = listeners;
                    Outcome::success(0)
                }
                Ok((arrivals, (_, place, listeners))) => {
                    left_over = listeners;
                    cut = Some(arrivals);
                    this.client.provider().unbind(place);
                    Outcome::CANCELLED
                }
                Err(status) => {
                    if binding {
                        state.phase = Phase::Created;
                        state.local = None;
                        unwanted = core::mem::take(&mut state.ready);
                    }
                    Outcome::failure(status)
                }
            };
            if let Some(irp) = state.bind.take() {
                batch.push(irp, outcome);
            }
        }
        drop(left_over);
        if let Some(arrivals) = cut {
            arrivals.cut();
        }
        for connection in &unwanted {
            Connection::abandon(connection);
        }
        batch.flush();
    }

    /// Reserves the address, then listens at each of its adapter addresses.
    fn listen_at(
        &self,
        arrivals: &Shared<Arrivals>,
        wanted: SocketAddr,
    ) -> Result<(SocketAddr, usize, Vec<Listener<Arrivals>, LISTENERS>), NTSTATUS> {
        let provider = self.client.provider();
        // Ports that the adapter chose and another socket of ours has: kept until one fits, so that it chooses others.
        let mut unfit = Vec::<_, LISTENERS>::new();
        loop {
            let mut listeners = Vec::new();
            if wanted.port() != 0 {
                let place = provider.reserve(wanted)?.ok_or(STATUS_ADDRESS_ALREADY_EXISTS)?;
                return match self.listen_everywhere(arrivals, wanted, &mut listeners) {
                    Ok(_) => Ok((wanted, place, listeners)),
                    Err(status) => {
                        provider.unbind(place);
                        Err(status)
                    }
                };
            }
            let port = self.listen_everywhere(arrivals, wanted, &mut listeners)?;
            let local = SocketAddr::new(wanted.ip(), port);
            if let Some(place) = provider.reserve(local)? {
                return Ok((local, place, listeners));
            }
            unfit.push(listeners).map_err(|_| STATUS_TOO_MANY_ADDRESSES)?;
        }
    }

    /// Listens at every adapter address that `wanted` names. Returns the port.
    fn listen_everywhere(
        &self,
        arrivals: &Shared<Arrivals>,
        wanted: SocketAddr,
        listeners: &mut Vec<Listener<Arrivals>, LISTENERS>,
    ) -> Result<u16, NTSTATUS> {
        let provider = self.client.provider();
        let mut places = Vec::<_, LISTENERS>::new();
        if wanted.ip().is_unspecified() {
            places = provider.addresses(wanted.ip());
        } else if let Some(adapter) = provider.adapter_at(wanted.ip()) {
            let _ = places.push((adapter, wanted.ip()));
        }
        if places.is_empty() {
            return Err(STATUS_INVALID_ADDRESS_COMPONENT);
        }
        let mut port = wanted.port();
        for (adapter, ip) in &places {
            let listener = Listener::listen(adapter, SocketAddr::new(*ip, port), arrivals.clone())
                .map_err(bind_status)?;
            // The first one chooses, the others follow.
            port = listener.address().port();
            let _ = listeners.push(listener);
        }
        Ok(port)
    }

    /// WskAccept.
    pub(crate) fn accept(this: &Shared<Self>, accept: Accept, irp: OwnedIrp) {
        let mut batch = CompletionBatch::new();
        {
            let mut state = this.state.lock();
            if state.phase != Phase::Listening {
                batch.push(irp, Outcome::failure(STATUS_INVALID_DEVICE_STATE));
            } else if let Some(connection) = state.ready.pop_front() {
                hand_over(connection, accept, irp, &mut batch);
            } else if let Err(irp) = state.accepts.park(this, irp, accept) {
                batch.push(irp, Outcome::CANCELLED);
            }
        }
        batch.flush();
    }

    /// WskGetLocalAddress.
    pub(crate) fn local(&self) -> Result<SocketAddr, NTSTATUS> {
        let state = self.state.lock();
        if state.phase != Phase::Listening {
            return Err(STATUS_INVALID_DEVICE_STATE);
        }
        state.local.ok_or(STATUS_INVALID_DEVICE_STATE)
    }

    /// WskCloseSocket: connections that nobody has accepted are aborted, accepted ones live on.
    pub(crate) fn close(this: Shared<Self>, irp: OwnedIrp) {
        let mut batch = CompletionBatch::new();
        let (listeners, arrivals, ready, bound) = {
            let mut state = this.state.lock();
            state.phase = Phase::Closed;
            state.close = Some(irp);
            state.accepts.drain_into(&mut batch, |_| Outcome::CANCELLED);
            if let Some(bind) = state.bind.take() {
                batch.push(bind, Outcome::CANCELLED);
            }
            let ready = core::mem::take(&mut state.ready);
            (core::mem::take(&mut state.listeners), state.arrivals.take(), ready, state.bound.take())
        };
        batch.flush();
        drop(listeners);
        if let Some(arrivals) = arrivals {
            arrivals.cut();
        }
        if let Some(place) = bound {
            this.client.provider().unbind(place);
        }
        for connection in &ready {
            Connection::abandon(connection);
        }
        let enlisted = this.client.provider().delist(this.place.load(Ordering::Acquire));
        drop(enlisted);
    }

    /// A connection is established, or has failed (`None`), that this socket's adapter accepted.
    pub(crate) fn established(this: &Shared<Self>, connection: Option<Shared<Connection>>) {
        let mut batch = CompletionBatch::new();
        let rejected = {
            let mut state = this.state.lock();
            state.half_open = state.half_open.saturating_sub(1);
            match connection {
                None => None,
                // While the bind is under way one of its addresses may listen already.
                Some(connection) if !matches!(state.phase, Phase::Listening | Phase::Binding) => {
                    Some(connection)
                }
                Some(connection) => match state.accepts.take_next() {
                    Some((irp, accept)) => {
                        hand_over(connection, accept, irp, &mut batch);
                        None
                    }
                    None => state.ready.push_back(connection).err(),
                },
            }
        };
        if let Some(connection) = rejected {
            Connection::abandon(&connection);
        }
        batch.flush();
    }

    /// For the status reply.
    pub(crate) fn view(&self) -> SocketView {
        let state = self.state.lock();
        SocketView {
            kind: WSK_FLAG_LISTEN_SOCKET,
            rdma: (state.phase == Phase::Listening).then_some(true),
            reason: if state.phase == Phase::Listening { Reason::Rdma } else { Reason::Undecided },
            state: state.phase as u32,
            local: state.local,
            remote: None,
            work: Snapshot::default(),
        }
    }
}

impl Drop for ListenSocket {
    /// The close IRP is the last of the socket to be completed.
    fn drop(&mut self) {
        if let Some(irp) = self.state.get_mut().close.take() {
            irp.complete(Outcome::success(0));
        }
    }
}

impl Arrivals {
    /// The socket is closed: nothing arrives any more.
    fn cut(&self) {
        let socket = self.0.lock().take();
        drop(socket);
    }

    /// A connection is established, or has failed (`None`), that came this way. Without a socket nobody wants it.
    pub(crate) fn established(&self, connection: Option<Shared<Connection>>) {
        let socket = self.0.lock().clone();
        match (socket, connection) {
            (Some(socket), connection) => ListenSocket::established(&socket, connection),
            (None, Some(connection)) => Connection::abandon(&connection),
            (None, None) => {}
        }
    }
}

impl ListenHandler for Arrivals {
    fn incoming(&self, incoming: Incoming) {
        let socket = self.0.lock().clone();
        // Dropping the request rejects it: the peer sees CONNECTION_REFUSED.
        if let Some(socket) = socket {
            // SAFETY: `self` lives inside a `Shared`, which the listener holds during this call.
            let arrivals = unsafe { Shared::clone_from_raw(core::ptr::from_ref(self)) };
            ListenSocket::incoming(&socket, &arrivals, incoming);
        }
    }
}

impl ListenSocket {
    /// A request has arrived. IRQL <= DISPATCH_LEVEL.
    fn incoming(this: &Shared<Self>, arrivals: &Shared<Arrivals>, incoming: Incoming) {
        let room = {
            let mut state = this.state.lock();
            let limit = (this.client.provider().settings.backlog as usize).min(BACKLOG_MAX);
            let waiting = state.half_open.saturating_add(state.ready.len());
            // While the bind is under way the listener listens already; its connections wait.
            let room = matches!(state.phase, Phase::Listening | Phase::Binding) && waiting < limit;
            if room {
                state.half_open = state.half_open.saturating_add(1);
            }
            room
        };
        if room && let Err(_no_memory) = Connection::incoming(&this.client, arrivals, incoming) {
            Self::established(this, None);
        }
    }
}

/// Gives an established connection to an accept.
fn hand_over(connection: Shared<Connection>, accept: Accept, irp: OwnedIrp, batch: &mut CompletionBatch) {
    let (local, remote) = connection.addresses();
    for (to, address) in [(accept.local, local), (accept.remote, remote)] {
        if let (false, Some(address)) = (to.is_null(), address) {
            // SAFETY: the client's buffer is valid for the family of the socket until its IRP is completed.
            unsafe { ndk::write_raw(to, address) };
        }
    }
    // The client's reference: taken back by WskCloseSocket.
    let socket = Shared::into_raw(connection);
    batch.push(irp, Outcome::success(socket.addr()));
}

/// The status of a bind for an adapter's status: an address in use is exactly ADDRESS_ALREADY_EXISTS (WskBind page).
fn bind_status(status: NTSTATUS) -> NTSTATUS {
    match status {
        STATUS_SHARING_VIOLATION => STATUS_ADDRESS_ALREADY_EXISTS,
        abi::status::STATUS_INVALID_ADDRESS => STATUS_INVALID_ADDRESS_COMPONENT,
        other => other,
    }
}
