//! From bound to connected, on both sides.

use super::direct::Direct;
use super::in_place::SendsInPlace;
use super::layout::{LIST, Layout};
use super::lent::{Answers, Loans};
use super::pool::{Equipment, Pool};
use super::retained::Retained;
use super::rings::Rings;
use super::send_stream::SendStream;
use super::{After, Connection, Leg, Link, Phase, SendRequest, State};
use crate::TAG_SOCKET;
use crate::adapter_status;
use crate::buffer::ClientBuffer;
use crate::provider::Plan;
use crate::system::Owner;
use abi::NTSTATUS;
use abi::status::{
    STATUS_CANCELLED, STATUS_CONNECTION_ACTIVE, STATUS_CONNECTION_REFUSED, STATUS_DEVICE_NOT_READY,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_ADDRESS_COMPONENT, STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_PARAMETER, STATUS_IO_TIMEOUT, STATUS_NETWORK_UNREACHABLE, STATUS_QUOTA_EXCEEDED,
    nt_success,
};
use core::ffi::c_void;
use core::net::SocketAddr;
use irp::{IrpQueue, Outcome, OwnedIrp, QueueKind};
use kernel::lock::SpinLock;
use kernel::pool::{PoolBox, Shared};
use kernel::time;
use ndk::{Adapter, Endpoint, Incoming, Poster, Prepared, Source};
use stream::wire::CONN_DATA_LEN;
use stream::{ConnData, Engine, Role};
use trace::{Counters, Reason};

/// Octets of private data that an incoming request may carry (iWARP: 512).
const PRIVATE_DATA_MAX: usize = 512;

/// A connect that waits.
#[derive(Clone, Copy)]
pub(crate) struct ConnectRequest {
    /// WskConnectEx: octets to be sent with it.
    pub(super) buffer: ClientBuffer,
    /// WskSocketConnect: the socket comes about with its connection, or not at all.
    makes: bool,
}

impl ConnectRequest {
    /// WskConnect.
    pub(crate) const PLAIN: Self = Self { buffer: ClientBuffer::EMPTY, makes: false };

    /// The same, whose octets are on their way.
    pub(super) const fn without_data(self) -> Self {
        Self { buffer: ClientBuffer::EMPTY, ..self }
    }

    /// WskConnectEx.
    pub(crate) const fn with_data(buffer: ClientBuffer) -> Self {
        Self { buffer, makes: false }
    }
}

/// The pending WskConnect.
pub(super) enum Connects {}

// SAFETY: lock and queue are fields of the socket and of the state under its lock; nothing moves the state.
unsafe impl QueueKind for Connects {
    type Owner = Connection;
    type State = State;
    type Record = ConnectRequest;

    fn lock(owner: &Connection) -> &SpinLock<State> {
        &owner.state
    }

    fn queue(state: &mut State) -> &mut IrpQueue<Self> {
        &mut state.connect
    }

    /// The attempt is given up. The client may ask for another one as soon as it is told.
    fn on_cancel(state: &mut State, record: &ConnectRequest) -> usize {
        state.unmade = record.makes;
        if state.phase == Phase::Connecting {
            state.phase = Phase::Unwinding;
            state.remote = None;
        }
        state.falls_back = false;
        0
    }

    fn after_cancel(owner: &Shared<Connection>) {
        Connection::with(owner, |state, after| {
            if state.unmade {
                // A socket that never came about: nobody will close it.
                state.begin_close(after);
            } else if state.phase == Phase::Unwinding {
                state.cancel_establishing(after);
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
    let (incoming, phase, leg, building, lending, growing, region) = {
        let mut state = this.state.lock();
        let region = state.link.as_ref().is_some_and(|link| link.direct.wants_region());
        let incoming = state.incoming.take();
        (incoming, state.phase, state.leg, state.building, state.lending, state.growing, region)
    };
    match (incoming, leg) {
        _ if !building => {}
        (Some(incoming), _) => Connection::accept_incoming(&this, incoming),
        _ if phase == Phase::Binding => Connection::bind_address(&this),
        (None, Leg::Rdma) => Connection::connect_out(&this),
        (None, Leg::Tcp) => Connection::connect_twin(&this),
    }
    if region {
        Connection::make_region(&this);
    }
    if lending {
        Connection::serve_controls(&this);
    }
    if growing {
        Connection::grow_ring(&this);
    }
}

impl Connection {
    /// WskConnect. INVALID_DEVICE_STATE: not bound. CONNECTION_ACTIVE: connected or connecting.
    pub(crate) fn connect(
        this: &Shared<Self>,
        remote: Option<SocketAddr>,
        request: ConnectRequest,
        irp: OwnedIrp,
    ) {
        let has_tcp = this.client.system().is_some();
        let plan = remote.map(|remote| this.client.provider().plan(remote, has_tcp));
        Self::with(this, |state, after| {
            let refused = match (state.phase, remote) {
                (Phase::Connecting | Phase::Accepting | Phase::Connected, _) => STATUS_CONNECTION_ACTIVE,
                (Phase::Created | Phase::Binding | Phase::Listening | Phase::Closing, _) => {
                    STATUS_INVALID_DEVICE_STATE
                }
                (Phase::Unwinding, _) if !state.connect.is_empty() => STATUS_CONNECTION_ACTIVE,
                (Phase::Bound | Phase::Unwinding, Some(remote))
                    if remote.is_ipv4() == this.ipv4 && remote.port() != 0 =>
                {
                    match state.connect.park(this, irp, request) {
                        Ok(()) => {
                            state.remote = Some(remote);
                            if let Some(plan) = plan {
                                state.follow(plan);
                            }
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

    /// WskSocketConnect: binds and connects a new socket. `Information` is the socket; a failure leaves none.
    pub(crate) fn bind_and_connect(
        this: &Shared<Self>,
        owner: Owner,
        local: SocketAddr,
        remote: SocketAddr,
        irp: OwnedIrp,
    ) {
        let plan = this.client.provider().plan(remote, this.client.system().is_some());
        let system = this.system_of_twin();
        let parked = Self::with(this, |state, after| {
            let request = ConnectRequest { makes: true, ..ConnectRequest::PLAIN };
            if let Err(irp) = state.connect.park(this, irp, request) {
                after.batch.push(irp, Outcome::CANCELLED);
                state.begin_close(after);
                return false;
            }
            state.follow(plan);
            state.phase = Phase::Binding;
            state.wanted = Some(local);
            state.remote = Some(remote);
            match system {
                Some(_) => state.tcp.begin_making(),
                None => state.bind_in_turn(after),
            }
            true
        });
        if let (true, Some(system)) = (parked, system) {
            Self::make_twin(this, system, owner);
        }
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
        let mut reason = Reason::NoAdapter;
        let built = this.client.provider().adapters().route(local, remote).and_then(|(adapter, local)| {
            let shared = this.endpoint_to_share(&adapter, local).map_err(|status| {
                reason = adapter_status::reason(status);
                adapter_status::to_client(status)
            })?;
            reason = Reason::AdapterResources;
            let parts = this.parts(&adapter, this.layout(&adapter), Role::Active, None)?;
            let poster = parts.endpoint.active(this.clone())?;
            let (endpoint, data) = Self::install(this, parts.link, poster, local)?;
            Ok((endpoint, data, local, shared))
        });
        match built {
            Ok((endpoint, data, local, shared)) => {
                let provider = this.client.provider();
                let limit = provider.settings.rdma_connect_limit;
                this.state.lock().deadline = Some(time::interrupt_time_100ns().saturating_add(limit));
                provider.clock().wake_in(limit);
                let source = shared.as_deref().map_or(Source::Address(local), Source::Shared);
                Endpoint::connect(&endpoint, source, remote, &data);
            }
            Err(STATUS_DEVICE_NOT_READY) => {
                Self::not_built(this, STATUS_NETWORK_UNREACHABLE, Reason::AdapterGone);
            }
            Err(status) => Self::not_built(this, status, built_reason(status, reason)),
        }
    }

    /// Builds an endpoint for an incoming request and accepts it. IRQL: PASSIVE_LEVEL.
    fn accept_incoming(this: &Shared<Self>, incoming: Incoming) {
        let mut octets = [0; PRIVATE_DATA_MAX];
        let data = incoming.private_data(&mut octets);
        let Ok(peer) = data.and_then(|data| ConnData::decode(data).map_err(|_| STATUS_INVALID_PARAMETER))
        else {
            return Self::not_built(this, STATUS_INVALID_PARAMETER, Reason::PeerProtocol);
        };
        let mut reason = Reason::AdapterResources;
        let built = this.local().and_then(|local| {
            let layout = this.layout(incoming.adapter());
            if let Err(refused) = this.charge_peer(&layout) {
                reason = refused;
                return Err(STATUS_QUOTA_EXCEEDED);
            }
            let parts = this.parts(incoming.adapter(), layout, Role::Passive, Some(&peer))?;
            let poster = parts.endpoint.passive(incoming, this.clone())?;
            Self::install(this, parts.link, poster, local)
        });
        match built {
            Ok((endpoint, data)) => Endpoint::accept(&endpoint, &data),
            Err(status) => {
                Self::not_built(this, status, built_reason(status, reason));
            }
        }
    }

    fn layout(&self, adapter: &Adapter) -> Layout {
        let receive_buffer = self.state.lock().options.receive_buffer;
        Layout::new(&self.client.provider().settings, receive_buffer, adapter.info())
    }

    /// Counts the memory as the peer's, who has opened the connection.
    fn charge_peer(&self, layout: &Layout) -> Result<(), Reason> {
        self.state.lock().guest.as_mut().map_or(Ok(()), |guest| guest.charge(layout.octets()))
    }

    /// Endpoint, memory and engine of a new connection. The passive side knows its peer already.
    #[inline(never)]
    fn parts(
        &self,
        adapter: &Shared<Adapter>,
        layout: Layout,
        role: Role,
        peer: Option<&ConnData>,
    ) -> Result<Parts, NTSTATUS> {
        let pool = self.client.provider().adapters().pool(adapter);
        let Equipment { endpoint, ring } = match pool.and_then(|pool| Pool::take(&pool, &layout)) {
            Some(taken) => taken,
            None => Equipment::new(adapter, &layout)?,
        };
        let list = endpoint.memory(LIST).ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
        let memory = Layout::describe(&ring, list);
        let engine = Engine::new(layout.config, role, memory).map_err(|_| STATUS_INVALID_PARAMETER)?;
        let retained = Retained::new().map_err(|e| e.status())?;
        let link = Link::new(engine, layout, adapter.clone(), Rings::new(ring), retained);
        let mut link = PoolBox::try_new(TAG_SOCKET, link).map_err(|e| e.status())?;
        if let Some(peer) = peer {
            link.engine.establish(peer).map_err(|_| STATUS_CONNECTION_REFUSED)?;
        }
        Ok(Parts { endpoint, link })
    }

    /// Puts a built endpoint under the lock and posts every receive: all before the handshake. Returns it with the
    /// private data to send.
    ///
    /// # Errors
    /// CANCELLED: nobody waits for the connection any more. DEVICE_NOT_READY: the adapter is to go. Or a receive could not be
    /// posted. The endpoint is closed.
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
                // One that goes now finds the connection among the sockets; one that has gone before is found out here.
                Phase::Connecting | Phase::Accepting
                    if !this.client.provider().adapters().has(&link.adapter) =>
                {
                    Err(STATUS_DEVICE_NOT_READY)
                }
                Phase::Connecting | Phase::Accepting => link.post_receives(&this.counters),
                _ => Err(STATUS_CANCELLED),
            };
            match posted {
                Ok(()) => state.building = false,
                Err(_) => after.rare().close = link.poster.take().map(|poster| (poster, false)),
            }
            posted
        })?;
        Ok((endpoint, data))
    }

    /// No endpoint came about, or it is being closed again.
    pub(super) fn not_built(this: &Shared<Self>, status: NTSTATUS, reason: Reason) {
        Self::with(this, |state, after| {
            state.building = false;
            if reason != Reason::Undecided {
                state.reason = reason;
            }
            state.not_connected(status, after);
        });
    }
}

/// Why no endpoint was built, where `status` does not say more than `reason`.
const fn built_reason(status: NTSTATUS, reason: Reason) -> Reason {
    match (status, reason) {
        (STATUS_IO_TIMEOUT, _) => Reason::AdapterSilent,
        (STATUS_QUOTA_EXCEEDED, Reason::AdapterResources) => Reason::AdapterMemory,
        _ => reason,
    }
}

/// What a new connection is made of.
struct Parts {
    endpoint: Prepared<Connection>,
    link: PoolBox<Link>,
}

impl Link {
    /// A stream without an endpoint.
    const fn new(
        engine: Engine,
        layout: Layout,
        adapter: Shared<Adapter>,
        rings: Rings,
        retained: Retained,
    ) -> Self {
        Self {
            engine,
            layout,
            adapter,
            endpoint: None,
            poster: None,
            closed: false,
            ending: None,
            send_stream: SendStream::new(),
            in_place: SendsInPlace::new(),
            direct: Direct::new(),
            loans: Loans::new(),
            answers: Answers::new(),
            posted: 0,
            completed: 0,
            control: None,
            unposted: None,
            failure: None,
            abort_reason: None,
            ended_here: false,
            dead: false,
            rings,
            retained,
            counted: stream::Counters::ZERO,
        }
    }

    fn post_receives(&mut self, counters: &Counters) -> Result<(), NTSTATUS> {
        let Some(poster) = &mut self.poster else { return Err(STATUS_CANCELLED) };
        for n in 0..usize::from(self.layout.config.receive_depth) {
            poster.receive(self.layout.receive_slot(n), n)?;
            counters.receives.add(1);
        }
        Ok(())
    }
}

impl State {
    /// Gives up a handshake that has taken too long; otherwise, when to look again at the one that is under way.
    pub(super) fn limit_handshake(&mut self, now: u64, after: &mut After) -> Option<u64> {
        let deadline = self.deadline.filter(|_| self.phase == Phase::Connecting && self.leg == Leg::Rdma)?;
        if now < deadline {
            return Some(deadline);
        }
        self.deadline = None;
        self.reason = Reason::RdmaTimeout;
        self.not_connected(STATUS_IO_TIMEOUT, after);
        None
    }

    /// The answer to a connect or an accept.
    pub(super) fn established(
        &mut self,
        connection: &Shared<Connection>,
        status: NTSTATUS,
        after: &mut After,
    ) {
        match self.phase {
            Phase::Connecting | Phase::Accepting if !nt_success(status) => {
                if self.reason != Reason::PeerProtocol {
                    self.reason = adapter_status::reason(status);
                }
                self.not_connected(adapter_status::to_client(status), after);
            }
            Phase::Connecting => {
                let Some((irp, request)) = self.connect.take_next() else {
                    // Its cancel is on the way: the client will hear of that, and of nothing else.
                    return self.unwind(after);
                };
                self.phase = Phase::Connected;
                self.reason = Reason::Rdma;
                after.rare().reached = self.remote;
                after.rare().decided = Some(Reason::Rdma);
                self.connected(connection, irp, request, after);
            }
            Phase::Accepting => {
                self.phase = Phase::Connected;
                self.reason = Reason::Rdma;
                after.rare().decided = Some(Reason::Rdma);
                after.rare().listener = self.listener.take().map(|listener| (listener, true));
            }
            // Closed or cancelled meanwhile: the endpoint is being closed.
            _ => {}
        }
    }

    /// Tells the client that the socket is connected: at once, or when the octets that came with the connect are taken.
    pub(super) fn connected(
        &mut self,
        connection: &Shared<Connection>,
        irp: OwnedIrp,
        request: ConnectRequest,
        after: &mut After,
    ) {
        if request.makes {
            after.rare().made = Some(irp);
        } else if request.buffer.len() == 0 {
            after.batch.push(irp, Outcome::success(0));
        } else if let Err(irp) = self.sends.park(connection, irp, SendRequest::of_connect(request.buffer)) {
            after.batch.push(irp, Outcome::CANCELLED);
            self.cut();
        }
    }

    fn follow(&mut self, plan: Plan) {
        self.leg = plan.leg;
        self.falls_back = plan.falls_back;
        (self.reason, self.only_rdma) = match plan.leg {
            Leg::Rdma => (Reason::Undecided, plan.reason),
            Leg::Tcp => (plan.reason, Reason::Undecided),
        };
    }

    /// The connect fails for good.
    pub(super) fn fail_connect(&mut self, status: NTSTATUS, after: &mut After) {
        if self.only_rdma != Reason::Undecided {
            self.reason = self.only_rdma;
        }
        after.rare().decided = Some(self.reason);
        let mut unmade = false;
        self.connect.drain_into(&mut after.batch, |request| {
            unmade |= request.makes;
            Outcome::failure(status)
        });
        if unmade { self.begin_close(after) } else { self.unwind(after) }
    }

    /// There will be no connection: tells who waits, and clears away what there is.
    pub(super) fn not_connected(&mut self, status: NTSTATUS, after: &mut After) {
        match self.phase {
            Phase::Accepting => {
                after.rare().decided = Some(self.reason);
                self.begin_close(after);
            }
            Phase::Connecting if self.falls_back && !self.connect.is_empty() => {
                // No octet was sent: the other way, once this one is cleared away.
                self.leg = Leg::Tcp;
                self.falls_back = false;
                if matches!(self.reason, Reason::PeerUnreachable | Reason::PeerProtocol | Reason::RdmaTimeout)
                {
                    // What this machine lacks is soon found out again, and may differ from one socket to the next.
                    after.rare().miss = self.remote.map(|remote| (remote, self.reason));
                }
                self.phase = Phase::Unwinding;
                self.give_up_endpoint(after);
            }
            Phase::Connecting => {
                self.fail_connect(status, after);
            }
            _ => self.go_on(after),
        }
    }

    /// Back to bound, by way of closing the endpoint if there is one.
    pub(super) fn unwind(&mut self, after: &mut After) {
        self.remote = None;
        self.phase = Phase::Unwinding;
        self.give_up_endpoint(after);
    }

    /// Closes the endpoint if that is not done yet.
    fn give_up_endpoint(&mut self, after: &mut After) {
        if let Some(poster) = self.link.as_mut().and_then(|link| link.poster.take()) {
            after.rare().close = Some((poster, false));
        }
        self.go_on(after);
    }

    /// Goes on to what waits for the endpoint to be gone, if it is: neither is one being built, nor is one open; and
    /// neither is the client in a callback, nor has it kept a part of the ring. Called whenever that may have become
    /// true; the last of these calls does it.
    pub(super) fn go_on(&mut self, after: &mut After) {
        let used =
            self.link.as_ref().is_some_and(|link| !link.closed || link.retained.any_out() || link.lends());
        if self.building || self.lending || used || self.events.any_running() {
            return;
        }
        match self.phase {
            Phase::Closing => after.rare().finish = self.tcp.is_idle() && !self.retire_twin(after),
            Phase::Unwinding => {
                if self.waits_for_twin(after) {
                    return;
                }
                after.rare().link = self.link.take();
                // What the adapter had made of a wildcard is over.
                self.local = self.wanted;
                if self.connect.is_empty() {
                    self.phase = Phase::Bound;
                } else {
                    self.begin_connect(after);
                }
            }
            Phase::Listening => {
                let waits = self.listen.is_some() || self.waits_for_twin(after);
                after.rare().listen = if waits { None } else { self.bind.take() };
            }
            // The stream is over, and the socket stays for what is left to read.
            _ => {}
        }
    }

    /// The connect that is parked begins.
    pub(super) fn begin_connect(&mut self, after: &mut After) {
        self.deadline = None;
        self.phase = Phase::Connecting;
        self.building = true;
        after.rare().work = true;
    }
}
