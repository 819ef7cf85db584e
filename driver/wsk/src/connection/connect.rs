//! From bound to connected, on both sides.

use super::layout::{LIST, Layout, RING};
use super::{After, Connection, Link, Phase, State};
use crate::TAG_SOCKET;
use abi::NTSTATUS;
use abi::status::{
    STATUS_ADDRESS_ALREADY_EXISTS, STATUS_CANCELLED, STATUS_CONNECTION_ACTIVE, STATUS_CONNECTION_REFUSED,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_ADDRESS, STATUS_INVALID_ADDRESS_COMPONENT,
    STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER, STATUS_SHARING_VIOLATION, nt_success,
};
use core::ffi::c_void;
use core::net::SocketAddr;
use irp::{IrpQueue, Outcome, OwnedIrp, QueueKind};
use kernel::lock::SpinLock;
use kernel::pool::{PoolBox, Shared};
use ndk::{Adapter, Endpoint, Incoming, Memory, Poster};
use stream::wire::CONN_DATA_LEN;
use stream::{ConnData, Engine, Role};
use trace::{Counters, Reason};

/// Octets of private data that an incoming request may carry (iWARP: 512).
const PRIVATE_DATA_MAX: usize = 512;

/// The pending WskConnect.
pub(super) enum Connects {}

// SAFETY: lock and queue are fields of the socket and of the state under its lock; nothing moves the state.
unsafe impl QueueKind for Connects {
    type Owner = Connection;
    type State = State;
    type Record = ();

    fn lock(owner: &Connection) -> &SpinLock<State> {
        &owner.state
    }

    fn queue(state: &mut State) -> &mut IrpQueue<Self> {
        &mut state.connect
    }

    /// The attempt is given up. The client may ask for another one as soon as it is told.
    fn on_cancel(state: &mut State, _record: &()) -> usize {
        if state.phase == Phase::Connecting {
            state.phase = Phase::Unwinding;
            state.remote = None;
        }
        0
    }

    fn after_cancel(owner: &Shared<Connection>) {
        Connection::with(owner, |state, after| {
            if state.phase == Phase::Unwinding {
                state.give_up_endpoint(after);
            }
        });
    }
}

/// The work item: what needs PASSIVE_LEVEL.
///
/// # Safety
/// `context` is a reference that `Connection::queue_work` gave to this run.
pub(super) unsafe fn work(context: *mut c_void) {
    // SAFETY: the caller's promise.
    let this = unsafe { Shared::<Connection>::from_raw(context.cast()) };
    let incoming = this.state.lock().incoming.take();
    match incoming {
        Some(incoming) => Connection::accept_incoming(&this, incoming),
        None => Connection::connect_out(&this),
    }
}

impl Connection {
    /// WskBind: reserves the address; port 0 chooses one at once.
    pub(crate) fn bind(this: &Shared<Self>, address: Option<SocketAddr>, irp: OwnedIrp) {
        Self::with(this, |state, after| {
            let result = match address {
                _ if state.phase != Phase::Created => Err(STATUS_INVALID_DEVICE_STATE),
                Some(address) if address.is_ipv4() == this.ipv4 => this.client.provider().bind(address),
                _ => Err(STATUS_INVALID_ADDRESS_COMPONENT),
            };
            let outcome = match result {
                Ok((local, place)) => {
                    state.phase = Phase::Bound;
                    state.local = Some(local);
                    state.bound = Some(place);
                    Outcome::success(0)
                }
                Err(status) => Outcome::failure(status),
            };
            after.batch.push(irp, outcome);
        });
    }

    /// WskConnect. INVALID_DEVICE_STATE: not bound. CONNECTION_ACTIVE: connected or connecting.
    pub(crate) fn connect(this: &Shared<Self>, remote: Option<SocketAddr>, irp: OwnedIrp) {
        Self::with(this, |state, after| {
            let refused = match (state.phase, remote) {
                (Phase::Connecting | Phase::Accepting | Phase::Connected, _) => STATUS_CONNECTION_ACTIVE,
                (Phase::Created | Phase::Closing, _) => STATUS_INVALID_DEVICE_STATE,
                (Phase::Unwinding, _) if !state.connect.is_empty() => STATUS_CONNECTION_ACTIVE,
                (Phase::Bound | Phase::Unwinding, Some(remote))
                    if remote.is_ipv4() == this.ipv4 && remote.port() != 0 =>
                {
                    match state.connect.park(this, irp, ()) {
                        Ok(()) => {
                            state.remote = Some(remote);
                            state.reason = Reason::Undecided;
                            if state.phase == Phase::Bound {
                                state.begin_connect(after);
                            }
                        }
                        Err(irp) => after.batch.push(irp, Outcome::CANCELLED),
                    }
                    return;
                }
                (Phase::Bound | Phase::Unwinding, _) => STATUS_INVALID_ADDRESS_COMPONENT,
            };
            after.batch.push(irp, Outcome::failure(refused));
        });
    }

    /// Builds an endpoint and connects. IRQL: PASSIVE_LEVEL.
    fn connect_out(this: &Shared<Self>) {
        let wanted = {
            let state = this.state.lock();
            if state.phase == Phase::Connecting { state.local.zip(state.remote) } else { None }
        };
        let Some((local, remote)) = wanted else {
            // Given up before it began.
            return Self::not_built(this, STATUS_CANCELLED, Reason::Undecided);
        };
        let routed = this.client.provider().route(local, remote);
        let reason = if routed.is_ok() { Reason::AdapterResources } else { Reason::NoAdapter };
        let built = routed.and_then(|(adapter, local)| {
            let parts = this.parts(&adapter, Role::Active, None)?;
            let poster = Endpoint::active(&adapter, this.clone(), parts.layout.depths(), parts.memories)?;
            let (endpoint, data) = Self::install(this, parts.link, poster, local)?;
            Ok((endpoint, data, local))
        });
        match built {
            Ok((endpoint, data, local)) => Endpoint::connect(&endpoint, local, remote, &data),
            Err(status) => Self::not_built(this, status, reason),
        }
    }

    /// Builds an endpoint for an incoming request and accepts it. IRQL: PASSIVE_LEVEL.
    fn accept_incoming(this: &Shared<Self>, incoming: Incoming) {
        let mut octets = [0; PRIVATE_DATA_MAX];
        let built = incoming.private_data(&mut octets).and_then(|data| {
            let peer = ConnData::decode(data).map_err(|_| STATUS_INVALID_PARAMETER)?;
            let local = this.local()?;
            let parts = this.parts(incoming.adapter(), Role::Passive, Some(&peer))?;
            let poster = Endpoint::passive(incoming, this.clone(), parts.layout.depths(), parts.memories)?;
            Self::install(this, parts.link, poster, local)
        });
        match built {
            Ok((endpoint, data)) => Endpoint::accept(&endpoint, &data),
            Err(status) => Self::not_built(this, status, Reason::AdapterResources),
        }
    }

    /// Memory and engine of a new connection. The passive side knows its peer already.
    #[inline(never)]
    fn parts(&self, adapter: &Adapter, role: Role, peer: Option<&ConnData>) -> Result<Parts, NTSTATUS> {
        let layout = Layout::new(&self.client.provider().settings, adapter.info());
        let memories = layout.register(adapter)?;
        let (Some(ring), Some(list)) = (memories.get(RING), memories.get(LIST)) else {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        };
        let memory = Layout::describe(ring, list);
        let engine = Engine::new(layout.config, role, memory).map_err(|_| STATUS_INVALID_PARAMETER)?;
        let mut link = PoolBox::try_new(TAG_SOCKET, Link::new(engine, layout)).map_err(|e| e.status())?;
        if let Some(peer) = peer {
            link.engine.establish(peer).map_err(|_| STATUS_CONNECTION_REFUSED)?;
        }
        Ok(Parts { layout, memories, link })
    }

    /// Puts a built endpoint under the lock and posts every receive: all before the handshake. Returns it with the
    /// private data to send.
    ///
    /// # Errors
    /// CANCELLED: nobody waits for the connection any more. Or a receive could not be posted. The endpoint is closed.
    fn install(
        this: &Shared<Self>,
        mut link: PoolBox<Link>,
        poster: Poster<Self>,
        local: SocketAddr,
    ) -> Result<(Shared<Endpoint<Self>>, [u8; CONN_DATA_LEN]), NTSTATUS> {
        let endpoint = poster.endpoint().clone();
        let data = link.engine.local_conn_data().encode();
        link.endpoint = Some(endpoint.clone());
        link.poster = Some(poster);
        Self::with(this, |state, after| {
            state.local = Some(local);
            let link = state.link.insert(link);
            let posted = match state.phase {
                Phase::Connecting | Phase::Accepting => link.post_receives(&this.counters),
                _ => Err(STATUS_CANCELLED),
            };
            match posted {
                Ok(()) => state.building = false,
                Err(_) => after.close = link.poster.take().map(|poster| (poster, false)),
            }
            posted
        })?;
        Ok((endpoint, data))
    }

    /// No endpoint came about, or it is being closed again.
    fn not_built(this: &Shared<Self>, status: NTSTATUS, reason: Reason) {
        Self::with(this, |state, after| {
            state.building = false;
            state.reason = reason;
            state.not_connected(status, after);
        });
    }
}

/// What a new connection is made of beside its endpoint.
struct Parts {
    layout: Layout,
    memories: heapless::Vec<Memory, 4>,
    link: PoolBox<Link>,
}

impl Link {
    /// A stream without an endpoint.
    const fn new(engine: Engine, layout: Layout) -> Self {
        Self {
            engine,
            layout,
            endpoint: None,
            poster: None,
            closed: false,
            posted: 0,
            completed: 0,
            control: None,
            failure: None,
            counted: stream::Counters::ZERO,
        }
    }

    fn post_receives(&mut self, counters: &Counters) -> Result<(), NTSTATUS> {
        let Some(poster) = &mut self.poster else { return Err(STATUS_CANCELLED) };
        for n in 0..usize::from(self.layout.config.receive_depth) {
            poster.receive(Layout::receive_slot(n), n)?;
            counters.receives.add(1);
        }
        Ok(())
    }
}

impl State {
    /// The answer to a connect or an accept.
    pub(super) fn established(&mut self, status: NTSTATUS, after: &mut After) {
        match self.phase {
            Phase::Connecting | Phase::Accepting if !nt_success(status) => {
                if self.reason != Reason::PeerProtocol {
                    self.reason = Reason::PeerUnreachable;
                }
                self.not_connected(connect_status(status), after);
            }
            Phase::Connecting => {
                let Some((irp, ())) = self.connect.take_next() else {
                    // Its cancel is on the way: the client will hear of that, and of nothing else.
                    return self.unwind(after);
                };
                self.phase = Phase::Connected;
                self.reason = Reason::Rdma;
                after.batch.push(irp, Outcome::success(0));
            }
            Phase::Accepting => {
                self.phase = Phase::Connected;
                self.reason = Reason::Rdma;
                after.listener = self.listener.take().map(|listener| (listener, true));
            }
            // Closed or cancelled meanwhile: the endpoint is being closed.
            _ => {}
        }
    }

    /// There will be no connection: tells who waits, and clears away what there is.
    fn not_connected(&mut self, status: NTSTATUS, after: &mut After) {
        match self.phase {
            Phase::Accepting => self.begin_close(after),
            Phase::Connecting => {
                self.connect.drain_into(&mut after.batch, |()| Outcome::failure(status));
                self.unwind(after);
            }
            _ => self.go_on(after),
        }
    }

    /// Back to bound, by way of closing the endpoint if there is one.
    fn unwind(&mut self, after: &mut After) {
        self.remote = None;
        self.phase = Phase::Unwinding;
        self.give_up_endpoint(after);
    }

    /// Closes the endpoint if that is not done yet.
    fn give_up_endpoint(&mut self, after: &mut After) {
        if let Some(poster) = self.link.as_mut().and_then(|link| link.poster.take()) {
            after.close = Some((poster, false));
        }
        self.go_on(after);
    }

    /// Goes on to what waits for the endpoint to be gone, if it is: neither is one being built, nor is one open. Called
    /// whenever that may have become true; the last of these calls does it.
    pub(super) fn go_on(&mut self, after: &mut After) {
        if self.building || self.link.as_ref().is_some_and(|link| !link.closed) {
            return;
        }
        match self.phase {
            Phase::Closing => after.finish = true,
            Phase::Unwinding => {
                after.link = self.link.take();
                if self.connect.is_empty() {
                    self.phase = Phase::Bound;
                } else {
                    self.begin_connect(after);
                }
            }
            // The stream is over, and the socket stays for what is left to read.
            _ => {}
        }
    }

    /// The connect that is parked begins.
    fn begin_connect(&mut self, after: &mut After) {
        self.phase = Phase::Connecting;
        self.building = true;
        after.work = true;
    }
}

/// The status of WskConnect for an adapter's status: the names that clients branch on.
fn connect_status(status: NTSTATUS) -> NTSTATUS {
    match status {
        STATUS_SHARING_VIOLATION => STATUS_ADDRESS_ALREADY_EXISTS,
        STATUS_INVALID_ADDRESS => STATUS_INVALID_ADDRESS_COMPONENT,
        other => other,
    }
}
