//! Connection sockets.
//!
//! One spin lock covers a connection's state: its phase, the stream engine, the right to post, and the queues of IRPs.
//! Every event and every call does the same: take the lock, change the state, let [`State::settle`] move what can be
//! moved, drop the lock, then do what must be done without it ([`After`]).
//!
//! Memory of a connection: ring and target list, which the peer may write, and local memory that it may not: receive
//! slots, send slots, and the send buffer that stream octets are written from.

mod close;
mod connect;
mod disconnect;
mod events;
mod layout;
mod receive;
mod send;
mod settle;

use crate::TAG_SOCKET;
use crate::client::ClientUse;
use crate::edge::CONNECTION_DISPATCH;
use crate::listen::{Arrivals, NO_PLACE};
use crate::provider::SocketView;
use crate::socket::{Front, Socket};
use abi::NTSTATUS;
use abi::status::STATUS_INVALID_DEVICE_STATE;
use abi::wsk::WSK_FLAG_CONNECTION_SOCKET;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicUsize, Ordering};
use irp::{CompletionBatch, IrpQueue, OwnedIrp};
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, PoolBox, Shared};
use kernel::work::WorkItem;
use ndk::{Endpoint, Incoming, Memory, Poster};
use stream::Engine;
use trace::{Counters, Reason};

use connect::Connects;
use disconnect::Disconnects;
use layout::Layout;
pub(crate) use receive::ReceiveRequest;
use receive::Receives;
pub(crate) use send::SendRequest;
use send::{CopiedSends, Sends};

/// What a connection socket is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// WskSocket.
    Created,
    /// WskBind, or a connect has failed and is cleared away.
    Bound,
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

/// The stream over one endpoint.
struct Link {
    engine: Engine,
    layout: Layout,
    /// There from the moment the link is under the lock.
    endpoint: Option<Shared<Endpoint<Connection>>>,
    /// Taken when the endpoint is to be closed.
    poster: Option<Poster<Connection>>,
    /// The endpoint is closed; only its memory is left.
    closed: bool,
    /// Sends posted and sends completed, since the beginning.
    posted: u64,
    completed: u64,
    /// The number of the Send that carried SHUTDOWN or DISCONNECT.
    control: Option<u64>,
    /// Why the stream ended, when it did not end in order.
    failure: Option<NTSTATUS>,
    /// What of the engine's counters is in the connection's already.
    counted: stream::Counters,
}

/// What is under the lock of a connection.
pub(crate) struct State {
    phase: Phase,
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
    /// The reservation of the local address.
    bound: Option<usize>,
    reason: Reason,
    listener: Option<Shared<Arrivals>>,
    incoming: Option<Incoming>,
    /// A work item is building an endpoint, or will; or has not yet let go of one that it built for nothing.
    building: bool,
    /// In memory of its own: a socket that is not connected does not need it.
    link: Option<PoolBox<Link>>,
    connect: IrpQueue<Connects>,
    sends: IrpQueue<Sends>,
    copied: IrpQueue<CopiedSends>,
    /// No send may follow: WskDisconnect was called.
    send_ended: bool,
    receives: IrpQueue<Receives>,
    disconnect: IrpQueue<Disconnects>,
    close: Option<OwnedIrp>,
}

/// A connection socket.
#[repr(C)]
pub(crate) struct Connection {
    front: Front,
    client: ClientUse,
    ipv4: bool,
    work: WorkItem,
    place: AtomicUsize,
    counters: Counters,
    state: SpinLock<State>,
}

/// What has to be done once the lock is dropped, in this order.
#[derive(Default)]
struct After {
    /// IRPs whose outcome is decided.
    batch: CompletionBatch,
    /// The endpoint to close, and whether the peer is to be told.
    close: Option<(Poster<Connection>, bool)>,
    /// The endpoint whose graceful close must not wait any longer.
    abort: Option<Shared<Endpoint<Connection>>>,
    /// What is left of a connect that failed: its memory.
    link: Option<PoolBox<Link>>,
    /// A work item is to build an endpoint.
    work: bool,
    /// Nothing of the connection is left: finish the close.
    finish: bool,
    /// The listener that waits for this connection, and whether it is established.
    listener: Option<(Shared<Arrivals>, bool)>,
    /// A request that was never decided: dropping it rejects it.
    reject: Option<Incoming>,
}

impl Connection {
    /// A socket for IPv4 or IPv6, entered into the table of sockets. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub(crate) fn new(client: ClientUse, ipv4: bool) -> Result<Shared<Self>, NTSTATUS> {
        Self::build(client, ipv4, |_| {})
    }

    /// A connection for a request that `listener`'s adapter has received. It reports back to the listener by itself.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES; the request is rejected.
    pub(crate) fn incoming(
        client: &ClientUse,
        listener: &Shared<Arrivals>,
        incoming: Incoming,
    ) -> Result<(), NTSTATUS> {
        let (local, remote) = incoming.addresses().ok_or(abi::status::STATUS_INTERNAL_ERROR)?;
        let client = client.try_clone().ok_or(abi::status::STATUS_DEVICE_NOT_READY)?;
        let this = Self::build(client, local.is_ipv4(), |state| {
            state.phase = Phase::Accepting;
            state.local = Some(local);
            state.remote = Some(remote);
            state.listener = Some(listener.clone());
            state.incoming = Some(incoming);
            state.building = true;
        })?;
        Self::queue_work(&this);
        Ok(())
    }

    fn build(client: ClientUse, ipv4: bool, set: impl FnOnce(&mut State)) -> Result<Shared<Self>, NTSTATUS> {
        let mut state = State {
            phase: Phase::Created,
            local: None,
            remote: None,
            bound: None,
            reason: Reason::Undecided,
            listener: None,
            incoming: None,
            building: false,
            link: None,
            connect: IrpQueue::new(),
            sends: IrpQueue::new(),
            copied: IrpQueue::new(),
            send_ended: false,
            receives: IrpQueue::new(),
            disconnect: IrpQueue::new(),
            close: None,
        };
        set(&mut state);
        let socket: Result<Shared<Self>, AllocError> =
            Shared::try_new_cyclic(TAG_SOCKET, |this: *const Self| {
                // SAFETY: each run is asked for with a reference, which the run takes.
                let work = unsafe { WorkItem::new(TAG_SOCKET, connect::work, this.cast_mut().cast()) }?;
                Ok(Self {
                    front: Front::new(&CONNECTION_DISPATCH),
                    client,
                    ipv4,
                    work,
                    place: AtomicUsize::new(NO_PLACE),
                    counters: Counters::new(),
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
        let result = {
            let mut state = this.state.lock();
            let result = change(&mut state, &mut after);
            state.settle(this, &mut after);
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

    /// For the status reply.
    pub(crate) fn view(&self) -> SocketView {
        let state = self.state.lock();
        SocketView {
            kind: WSK_FLAG_CONNECTION_SOCKET,
            rdma: (state.reason == Reason::Rdma).then_some(true),
            reason: state.reason,
            state: state.phase as u32,
            local: state.local,
            remote: state.remote,
            work: self.counters.snapshot(),
        }
    }
}

impl Link {
    /// A region of the endpoint's memory.
    fn memory(&self, index: usize) -> Option<&Memory> {
        self.endpoint.as_ref()?.memory(index)
    }
}

impl After {
    fn run(mut self, this: &Shared<Connection>) {
        self.batch.flush();
        drop(self.reject.take());
        if let Some((listener, established)) = self.listener.take() {
            listener.established(established.then(|| this.clone()));
        }
        if let Some((poster, graceful)) = self.close.take() {
            poster.close(graceful);
        }
        if let Some(endpoint) = self.abort.take() {
            Endpoint::abort(&endpoint);
        }
        drop(self.link.take());
        if self.work {
            Connection::queue_work(this);
        }
        if self.finish {
            Connection::finish(this);
        }
    }
}
