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
    STATUS_INVALID_DEVICE_STATE, STATUS_PENDING, STATUS_SUCCESS,
};
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, PoolBox, Shared};

use super::{Peer, Side};
use crate::adapter::Adapter;
use crate::answer::Request;
use crate::config::{PRIVATE_DATA_BYTES, READ_LIMIT_MAX};
use crate::events::{Action, DisconnectCallback, Job};
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

    /// The active side's part, before the passive side is told.
    ///
    /// # Errors
    /// The request, unanswered: the attempt is over already.
    pub(crate) fn start(
        &self,
        handshake: Handshake,
        request: Request,
        backlog: Backlog,
    ) -> Result<(), Request> {
        let mut state = self.state.lock();
        if state.stage == Stage::Closed {
            drop(state);
            return Err(request);
        }
        state.active.join(handshake);
        state.active.request = Some(request);
        state.backlog = Some(backlog);
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
        let opened = {
            let mut state = this.state.lock();
            match state.stage {
                Stage::Accepted => {}
                Stage::Closed => return Err(STATUS_CONNECTION_ABORTED),
                Stage::Requested | Stage::Established => return Err(STATUS_CONNECTION_INVALID),
            }
            let (Some(active), Some(passive)) = (state.active.qp.clone(), state.passive.qp.clone()) else {
                return Err(STATUS_CONNECTION_INVALID);
            };
            if this.open(&state, &active, &passive) {
                state.stage = Stage::Established;
                state.active.event = event;
                Ok(state.passive.request.take())
            } else {
                Err([active, passive])
            }
        };
        let accept = match opened {
            Ok(accept) => accept,
            Err(qps) => {
                // One was flushed meanwhile, the other may be open.
                for qp in &qps {
                    qp.die();
                }
                Self::terminate(this, Side::Active, Cause::Flush);
                return Err(STATUS_CONNECTION_ABORTED);
            }
        };
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
        outcome.carry_out(&this.core);
        STATUS_SUCCESS
    }

    /// `NdkDisconnect`. Consumes the request: the result is what the consumer's call returns.
    pub(crate) fn disconnect(this: &Shared<Self>, side: Side, request: Request) -> NTSTATUS {
        let mut outcome = Outcome::default();
        let (status, request, event, qps) = {
            let mut state = this.state.lock();
            match state.stage {
                Stage::Established if state.end(side).disconnecting => {
                    (STATUS_INVALID_DEVICE_STATE, Some(request), None, None)
                }
                Stage::Established => {
                    let own = state.end_mut(side);
                    own.disconnecting = true;
                    // From here on this consumer is not told of the end but by the completion.
                    outcome.unused = own.event.take();
                    if state.end(side.other()).disconnecting {
                        outcome.take_graceful(&mut state, side);
                        (STATUS_SUCCESS, Some(request), None, None)
                    } else {
                        state.end_mut(side).request = Some(request);
                        let event = state.end_mut(side.other()).event.take();
                        let qps = [state.active.qp.clone(), state.passive.qp.clone()];
                        (STATUS_PENDING, None, event, Some(qps))
                    }
                }
                Stage::Closed => (STATUS_CONNECTION_ABORTED, Some(request), None, None),
                Stage::Requested | Stage::Accepted => (STATUS_CONNECTION_INVALID, Some(request), None, None),
            }
        };
        for qp in qps.iter().flatten().flatten() {
            qp.stop_initiating();
        }
        drop(qps);
        outcome.carry_out(&this.core);
        if let Some(event) = event {
            event.deliver(REASON_DISCONNECTED);
        }
        match request {
            Some(request) => request.answer(status),
            None => status,
        }
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
        outcome.carry_out(&this.core);
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
    qp: Option<Shared<Qp>>,
    request: Option<(Request, NTSTATUS)>,
    event: Option<DisconnectEvent>,
}

/// What is left to do after the connection was closed.
#[derive(Default)]
struct Outcome {
    active: EndOutcome,
    passive: EndOutcome,
    /// An event that is not to be delivered; its hold goes after the lock.
    unused: Option<DisconnectEvent>,
    other_unused: Option<DisconnectEvent>,
    backlog: Option<Backlog>,
    /// Whether the queue pairs were connected.
    established: bool,
    failed: bool,
}

impl Outcome {
    /// Closes the connection because `side` ended it.
    fn take(&mut self, state: &mut State, side: Side, cause: Cause) {
        let stage = core::mem::replace(&mut state.stage, Stage::Closed);
        self.backlog = state.backlog.take();
        self.established = stage == Stage::Established;
        self.failed = !(state.active.disconnecting && state.passive.disconnecting);
        for end in [Side::Active, Side::Passive] {
            let own = end == side;
            let told = self.established && (!own || cause == Cause::Fault);
            let status = match (stage, own, cause) {
                (_, true, Cause::Close) => STATUS_CANCELLED,
                (Stage::Requested, false, _) => STATUS_CONNECTION_REFUSED,
                _ => STATUS_CONNECTION_ABORTED,
            };
            let ended = state.end_mut(end);
            let outcome = match end {
                Side::Active => &mut self.active,
                Side::Passive => &mut self.passive,
            };
            outcome.qp = ended.qp.take();
            outcome.request = ended.request.take().map(|request| (request, status));
            let unused = if own { &mut self.unused } else { &mut self.other_unused };
            *(if told { &mut outcome.event } else { unused }) = ended.event.take();
        }
    }

    /// Closes the connection because `side` was the second to disconnect; its own request is answered by the caller.
    fn take_graceful(&mut self, state: &mut State, side: Side) {
        state.stage = Stage::Closed;
        self.established = true;
        let first = state.end_mut(side.other());
        let request = first.request.take().map(|request| (request, STATUS_SUCCESS));
        self.other_unused = first.event.take();
        self.active.qp = state.active.qp.take();
        self.passive.qp = state.passive.qp.take();
        match side.other() {
            Side::Active => self.active.request = request,
            Side::Passive => self.passive.request = request,
        }
    }

    fn carry_out(self, core: &Core) {
        let counters = core.counters();
        for qp in [&self.active.qp, &self.passive.qp].into_iter().flatten() {
            if self.established {
                qp.die();
            } else {
                qp.detach();
            }
        }
        let was_open = self.active.qp.is_some() || self.passive.qp.is_some();
        if self.established {
            counters.active_connections.subtract(2);
            counters.connection_errors.add(u64::from(self.failed));
        } else if was_open {
            counters.connect_failures.add(1);
        }
        for end in [self.active, self.passive] {
            if let Some((request, status)) = end.request {
                request.complete(status);
            }
            if let Some(event) = end.event {
                event.deliver(REASON_BROKEN);
            }
        }
    }
}
