//! One connection: who knows what, from the request to the end.
//!
//! ```text
//! Requested ── accept ──► Accepted ── complete connect ──► Established ── both have disconnected ──► Closed
//!     └─ refused, given up ──┴─ given up, rejected ────────────┴─ broken ───────────────────────────────┘
//! ```
//!
//! Every change is decided under one lock and carried out after it: queue pairs first, then callbacks, so that a consumer that
//! is told of the end finds everything ended.

use core::net::SocketAddr;

use abi::NTSTATUS;
use abi::status::{
    STATUS_CANCELLED, STATUS_CONNECTION_ABORTED, STATUS_CONNECTION_INVALID, STATUS_CONNECTION_REFUSED,
    STATUS_INVALID_DEVICE_STATE, STATUS_IO_TIMEOUT, STATUS_PENDING, STATUS_SUCCESS,
};
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, PoolBox, Shared};

use super::{Peer, Side};
use crate::adapter::Adapter;
use crate::answer::Request;
use crate::config::{PRIVATE_DATA_BYTES, READ_LIMIT_MAX};
use crate::connector::Connector;
use crate::deadlines::Deadline;
use crate::events::{Action, DisconnectCallback, Job};
use crate::life::{Hold, Object as _};
use crate::listener::Backlog;
use crate::opaque::Opaque;
use crate::provider::Core;
use crate::qp::Qp;
use crate::tag;

/// `ProviderDisconnectReason`: the peer's consumer disconnected.
const REASON_DISCONNECTED: u32 = 1;
/// `ProviderDisconnectReason`: the connection broke.
const REASON_BROKEN: u32 = 2;

/// Private data of one side, padded with zeros.
pub(crate) type PrivateData = [u8; PRIVATE_DATA_BYTES];

/// Reads in flight: incoming and outgoing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct ReadLimits {
    pub(crate) inbound: u32,
    pub(crate) outbound: u32,
}

impl ReadLimits {
    /// What is in force for the side that asked for `self` when the other asked for `peer`.
    fn effective(self, peer: Self) -> Self {
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
    fn deliver(self, reason: u32) {
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
    /// The peer's consumer did not disconnect in time.
    TimeOut,
    /// A request failed.
    Fault,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Requested,
    Accepted,
    Established,
    Closed,
}

/// One end.
struct EndState {
    qp: Option<Shared<Qp>>,
    limits: ReadLimits,
    data: PrivateData,
    /// The consumer's connect, accept or disconnect, while it waits for the other side.
    request: Option<Request>,
    event: Option<DisconnectEvent>,
    disconnecting: bool,
    address: SocketAddr,
    /// Open as long as the link is not closed: its close closes the link first.
    connector: Option<Shared<Connector>>,
}

impl EndState {
    const fn new(address: SocketAddr) -> Self {
        Self {
            qp: None,
            limits: ReadLimits { inbound: 0, outbound: 0 },
            data: [0; PRIVATE_DATA_BYTES],
            request: None,
            event: None,
            disconnecting: false,
            address,
            connector: None,
        }
    }

    fn join(&mut self, handshake: Handshake) {
        self.qp = Some(handshake.qp);
        self.limits = handshake.limits;
        self.data = handshake.data;
    }
}

struct State {
    stage: Stage,
    active: EndState,
    passive: EndState,
    /// The request's place with the listener, until the passive consumer has decided.
    backlog: Option<Backlog>,
    /// The passive consumer has rejected, so its data may be read by the other.
    rejected: bool,
}

impl State {
    const fn end(&self, side: Side) -> &EndState {
        match side {
            Side::Active => &self.active,
            Side::Passive => &self.passive,
        }
    }

    const fn end_mut(&mut self, side: Side) -> &mut EndState {
        match side {
            Side::Active => &mut self.active,
            Side::Passive => &mut self.passive,
        }
    }
}

/// What becomes of a disconnect.
enum Decision {
    /// It is over.
    Answer(NTSTATUS, Request),
    /// It waits for the other consumer, whose event this is.
    Wait { qps: [Option<Shared<Qp>>; 2], event: Option<DisconnectEvent>, connector: Option<Hold<Connector>> },
}

/// One connection.
pub(crate) struct Link {
    core: Shared<Core>,
    state: SpinLock<State>,
}

impl core::fmt::Debug for Link {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

impl Link {
    /// A connection that nobody has been told of.
    pub(crate) fn new(
        core: &Shared<Core>,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Result<Shared<Self>, AllocError> {
        let state = State {
            stage: Stage::Requested,
            active: EndState::new(local),
            passive: EndState::new(remote),
            backlog: None,
            rejected: false,
        };
        Shared::try_new(tag::OBJECT, Self { core: core.clone(), state: SpinLock::new(state) })
    }

    /// Address of one end.
    pub(crate) fn address(&self, side: Side) -> SocketAddr {
        self.state.lock().end(side).address
    }

    /// The active side's part, before the passive side is told; `connectors` are its own and the other one.
    ///
    /// # Errors
    /// The request, unanswered: the attempt is over already.
    pub(crate) fn start(
        &self,
        handshake: Handshake,
        request: Request,
        backlog: Backlog,
        connectors: [&Shared<Connector>; 2],
    ) -> Result<(), Request> {
        let mut state = self.state.lock();
        if state.stage == Stage::Closed {
            drop(state);
            return Err(request);
        }
        state.active.join(handshake);
        state.active.request = Some(request);
        state.backlog = Some(backlog);
        let [active, passive] = connectors.map(Clone::clone);
        state.active.connector = Some(active);
        state.passive.connector = Some(passive);
        Ok(())
    }

    /// `NdkAccept`: the active side's connect completes, and this one waits for its complete connect.
    ///
    /// Consumes the request: the result is what the consumer's call returns. If it is not `STATUS_PENDING` and not a
    /// success, `qp` is to be detached.
    pub(crate) fn accept(
        &self,
        handshake: Handshake,
        event: Option<DisconnectEvent>,
        request: Request,
    ) -> NTSTATUS {
        let decided = {
            let mut state = self.state.lock();
            match state.stage {
                Stage::Requested => {
                    state.stage = Stage::Accepted;
                    state.passive.join(handshake);
                    state.passive.event = event;
                    Ok((
                        state.active.request.take(),
                        state.passive.request.replace(request),
                        state.backlog.take(),
                    ))
                }
                Stage::Closed => Err((STATUS_CONNECTION_ABORTED, handshake, event, request)),
                Stage::Accepted | Stage::Established => {
                    Err((STATUS_INVALID_DEVICE_STATE, handshake, event, request))
                }
            }
        };
        match decided {
            Ok((connect, _none, backlog)) => {
                drop(backlog);
                if let Some(connect) = connect {
                    connect.complete(STATUS_SUCCESS);
                }
                STATUS_PENDING
            }
            Err((status, handshake, event, request)) => {
                handshake.qp.detach();
                drop(event);
                self.core.counters().connect_failures.add(1);
                request.answer(status)
            }
        }
    }

    /// `NdkCompleteConnect`: both ends are connected.
    ///
    /// # Errors
    /// `STATUS_CONNECTION_ABORTED`: the passive side has gone; `STATUS_CONNECTION_INVALID`: nothing to complete.
    pub(crate) fn complete_connect(
        this: &Shared<Self>,
        event: Option<DisconnectEvent>,
    ) -> Result<(), NTSTATUS> {
        let mut outcome = Outcome::default();
        let opened = {
            let mut state = this.state.lock();
            match state.stage {
                Stage::Accepted => {}
                Stage::Closed => return Err(STATUS_CONNECTION_ABORTED),
                Stage::Requested | Stage::Established => return Err(STATUS_CONNECTION_INVALID),
            }
            let (Some(active), Some(passive)) = (&state.active.qp, &state.passive.qp) else {
                return Err(STATUS_CONNECTION_INVALID);
            };
            if this.open(&state, active, passive) {
                state.stage = Stage::Established;
                state.active.event = event;
                Some(state.passive.request.take())
            } else {
                outcome.take(&mut state, Side::Active, Cause::Flush);
                // One was flushed meanwhile, the other may be open.
                outcome.kill = true;
                None
            }
        };
        outcome.carry_out(this);
        let accept = opened.ok_or(STATUS_CONNECTION_ABORTED)?;
        let counters = this.core.counters();
        counters.connects.add(1);
        counters.accepts.add(1);
        if let Some(accept) = accept {
            accept.complete(STATUS_SUCCESS);
        }
        Ok(())
    }

    /// Opens both queue pairs to each other. Returns whether both could be.
    fn open(&self, state: &State, active: &Shared<Qp>, passive: &Shared<Qp>) -> bool {
        let read_limit = |one: &EndState, other: &EndState| one.limits.effective(other.limits).outbound;
        let to_passive = Peer {
            qp: passive.clone(),
            read_limit: read_limit(&state.active, &state.passive),
            listens_first: false,
        };
        let to_active = Peer {
            qp: active.clone(),
            read_limit: read_limit(&state.passive, &state.active),
            listens_first: self.core.active_speaks_first(),
        };
        // Counted before anything can break and count down.
        let connections = &self.core.counters().active_connections;
        connections.add(2);
        // The passive end first: the active consumer is the one that may speak when the call returns.
        let opened = passive.open(to_active) && active.open(to_passive);
        if !opened {
            connections.subtract(2);
        }
        opened
    }

    /// `NdkReject`: of the request by the passive side, of the acceptance by the active side.
    pub(crate) fn reject(this: &Shared<Self>, side: Side, data: PrivateData) -> NTSTATUS {
        let mut outcome = Outcome::default();
        {
            let mut state = this.state.lock();
            match (state.stage, side) {
                (Stage::Requested, Side::Passive) | (Stage::Accepted, Side::Active) => {}
                (Stage::Closed, _) => return STATUS_CONNECTION_ABORTED,
                _ => return STATUS_INVALID_DEVICE_STATE,
            }
            state.end_mut(side).data = data;
            state.rejected = true;
            outcome.take(&mut state, side, Cause::Close);
        }
        outcome.carry_out(this);
        STATUS_SUCCESS
    }

    /// `NdkDisconnect`. Consumes the request: the result is what the consumer's call returns.
    pub(crate) fn disconnect(this: &Shared<Self>, side: Side, request: Request) -> NTSTATUS {
        let deadline = match Deadline::new(this, side) {
            Ok(deadline) => deadline,
            Err(error) => return request.answer(error.status()),
        };
        let mut outcome = Outcome::default();
        let decision = {
            let mut state = this.state.lock();
            match state.stage {
                Stage::Established if state.end(side).disconnecting => {
                    Decision::Answer(STATUS_INVALID_DEVICE_STATE, request)
                }
                Stage::Established => {
                    let own = state.end_mut(side);
                    own.disconnecting = true;
                    // From here on this consumer is not told of the end but by the completion.
                    outcome.end_mut(side).unused = own.event.take();
                    if state.end(side.other()).disconnecting {
                        outcome.take_graceful(&mut state, side);
                        Decision::Answer(STATUS_SUCCESS, request)
                    } else {
                        Self::wait_for_disconnect(&mut state, side, request)
                    }
                }
                Stage::Closed => Decision::Answer(STATUS_CONNECTION_ABORTED, request),
                Stage::Requested | Stage::Accepted => Decision::Answer(STATUS_CONNECTION_INVALID, request),
            }
        };
        outcome.carry_out(this);
        match decision {
            Decision::Answer(status, request) => request.answer(status),
            Decision::Wait { qps, event, connector } => {
                for qp in qps.iter().flatten() {
                    qp.stop_initiating();
                }
                if let Some(connector) = connector {
                    connector.adapter().deadlines().add(deadline);
                }
                if let Some(event) = event {
                    event.deliver(REASON_DISCONNECTED);
                }
                STATUS_PENDING
            }
        }
    }

    /// One consumer has disconnected, the other is about to be told.
    fn wait_for_disconnect(state: &mut State, side: Side, request: Request) -> Decision {
        let own = state.end_mut(side);
        own.request = Some(request);
        // The disconnect may complete, and the connector be closed, before the caller has done its part.
        let connector = own.connector.as_ref().map(Hold::new);
        let event = state.end_mut(side.other()).event.take();
        Decision::Wait { qps: [state.active.qp.clone(), state.passive.qp.clone()], event, connector }
    }

    /// A disconnect of `side` has waited long enough.
    pub(crate) fn time_out(this: &Shared<Self>, side: Side) {
        let mut outcome = Outcome::default();
        {
            let mut state = this.state.lock();
            if state.stage == Stage::Established && state.end(side).disconnecting {
                outcome.take(&mut state, side, Cause::TimeOut);
            }
        }
        outcome.carry_out(this);
    }

    /// One side ends the connection, or the attempt, without asking the other. Called without locks; any number of times.
    pub(crate) fn terminate(this: &Shared<Self>, side: Side, cause: Cause) {
        let mut outcome = Outcome::default();
        {
            let mut state = this.state.lock();
            if state.stage != Stage::Closed {
                outcome.take(&mut state, side, cause);
            }
        }
        outcome.carry_out(this);
    }

    /// `NdkGetConnectionData`: the limits in force and the other side's data, while there is time to look at them.
    ///
    /// # Errors
    /// `STATUS_CONNECTION_ABORTED`: the other side has gone; `STATUS_INVALID_DEVICE_STATE`: outside the window of the call.
    pub(crate) fn connection_data(&self, side: Side) -> Result<(ReadLimits, PrivateData), NTSTATUS> {
        let state = self.state.lock();
        let (own, other) = (state.end(side), state.end(side.other()));
        match (state.stage, side) {
            (Stage::Requested, Side::Passive) => {
                let anything = ReadLimits { inbound: u32::MAX, outbound: u32::MAX };
                Ok((anything.effective(other.limits), other.data))
            }
            (Stage::Accepted, Side::Active) => Ok((own.limits.effective(other.limits), other.data)),
            (Stage::Closed, Side::Active) if state.rejected => Ok((ReadLimits::default(), other.data)),
            (Stage::Closed, _) => Err(STATUS_CONNECTION_ABORTED),
            _ => Err(STATUS_INVALID_DEVICE_STATE),
        }
    }
}

/// What is left to do for one end after a decision.
#[derive(Default)]
struct EndOutcome {
    /// Keeps connector and queue pair open until everything is done: their closes wait for it.
    connector: Option<Hold<Connector>>,
    /// The consumer had disconnected, so its deadline goes.
    disconnecting: bool,
    qp: Option<Shared<Qp>>,
    request: Option<(Request, NTSTATUS)>,
    event: Option<DisconnectEvent>,
    /// An event that is not to be delivered; what it holds goes after the lock.
    unused: Option<DisconnectEvent>,
}

/// What is left to do after the connection was closed.
#[derive(Default)]
struct Outcome {
    active: EndOutcome,
    passive: EndOutcome,
    backlog: Option<Backlog>,
    /// Whether the connection was established.
    established: bool,
    /// Whether the queue pairs die with it, or are as before.
    kill: bool,
    failed: bool,
}

impl Outcome {
    /// Closes the connection because `side` ended it.
    fn take(&mut self, state: &mut State, side: Side, cause: Cause) {
        let stage = self.close(state);
        self.failed = self.established && !(self.active.disconnecting && self.passive.disconnecting);
        for end in [Side::Active, Side::Passive] {
            let own = end == side;
            let told = self.established && (!own || cause == Cause::Fault);
            let status = match (stage, own, cause) {
                (_, true, Cause::Close) => STATUS_CANCELLED,
                (_, true, Cause::TimeOut) => STATUS_IO_TIMEOUT,
                (Stage::Requested, false, _) => STATUS_CONNECTION_REFUSED,
                _ => STATUS_CONNECTION_ABORTED,
            };
            let ended = state.end_mut(end);
            let outcome = self.end_mut(end);
            outcome.request = ended.request.take().map(|request| (request, status));
            *(if told { &mut outcome.event } else { &mut outcome.unused }) = ended.event.take();
        }
    }

    /// Closes the connection because `side` was the second to disconnect; its own request is answered by the caller.
    fn take_graceful(&mut self, state: &mut State, side: Side) {
        self.close(state);
        let first = state.end_mut(side.other());
        let outcome = self.end_mut(side.other());
        outcome.request = first.request.take().map(|request| (request, STATUS_SUCCESS));
        outcome.unused = first.event.take();
    }

    /// What every end of a connection has in common. Returns the stage before.
    fn close(&mut self, state: &mut State) -> Stage {
        let stage = core::mem::replace(&mut state.stage, Stage::Closed);
        self.backlog = state.backlog.take();
        self.established = stage == Stage::Established;
        self.kill = self.established;
        for end in [Side::Active, Side::Passive] {
            let ended = state.end_mut(end);
            let outcome = self.end_mut(end);
            outcome.qp = ended.qp.take();
            outcome.disconnecting = ended.disconnecting;
            // The connector is open: only now that the link is closed may its close go on.
            outcome.connector = ended.connector.take().map(|connector| Hold::new(&connector));
        }
        stage
    }

    const fn end_mut(&mut self, side: Side) -> &mut EndOutcome {
        match side {
            Side::Active => &mut self.active,
            Side::Passive => &mut self.passive,
        }
    }

    fn carry_out(self, link: &Link) {
        let counters = link.core.counters();
        let qps = [&self.active.qp, &self.passive.qp];
        for qp in qps.into_iter().flatten() {
            if self.kill {
                qp.die();
            } else {
                qp.detach();
            }
        }
        if self.established {
            counters.active_connections.subtract(2);
            counters.connection_errors.add(u64::from(self.failed));
        } else if qps.into_iter().any(Option::is_some) {
            counters.connect_failures.add(1);
        }
        for (end, side) in [(self.active, Side::Active), (self.passive, Side::Passive)] {
            if let (true, Some(connector)) = (end.disconnecting, &end.connector) {
                connector.adapter().deadlines().remove(link, side);
            }
            if let Some((request, status)) = end.request {
                request.complete(status);
            }
            if let Some(event) = end.event {
                event.deliver(REASON_BROKEN);
            }
        }
    }
}
