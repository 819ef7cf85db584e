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
    STATUS_CONNECTION_ABORTED, STATUS_CONNECTION_INVALID, STATUS_INVALID_DEVICE_STATE, STATUS_PENDING,
    STATUS_SUCCESS,
};
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, Shared};

use super::Peer;
use super::teardown::Outcome;
use crate::answer::Request;
use crate::connector::Connector;
use crate::deadlines::{Deadline, Waiting};
use crate::fabric::{
    self, Cause, DisconnectEvent, Handshake, PrivateData, REASON_DISCONNECTED, ReadLimits, Side,
};
use crate::life::{Hold, Object as _};
use crate::listener::Backlog;
use crate::provider::Core;
use crate::qp::Qp;
use crate::tag;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Requested,
    Accepted,
    Established,
    Closed,
}

/// One end.
pub(super) struct EndState {
    pub(super) qp: Option<Shared<Qp>>,
    pub(super) limits: ReadLimits,
    pub(super) data: PrivateData,
    /// The consumer's connect, accept or disconnect, while it waits for the other side.
    pub(super) request: Option<Request>,
    pub(super) event: Option<DisconnectEvent>,
    pub(super) disconnecting: bool,
    pub(super) address: SocketAddr,
    /// Open as long as the link is not closed: its close closes the link first.
    pub(super) connector: Option<Shared<Connector>>,
}

impl EndState {
    fn new(address: SocketAddr) -> Self {
        Self {
            qp: None,
            limits: ReadLimits { inbound: 0, outbound: 0 },
            data: PrivateData::default(),
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

pub(super) struct State {
    pub(super) stage: Stage,
    pub(super) active: EndState,
    pub(super) passive: EndState,
    /// The request's place with the listener, until the passive consumer has decided.
    pub(super) backlog: Option<Backlog>,
    /// The passive consumer has rejected, so its data may be read by the other.
    pub(super) rejected: bool,
}

impl State {
    const fn end(&self, side: Side) -> &EndState {
        match side {
            Side::Active => &self.active,
            Side::Passive => &self.passive,
        }
    }

    pub(super) const fn end_mut(&mut self, side: Side) -> &mut EndState {
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
    pub(super) core: Shared<Core>,
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
    /// Consumes the request: the result is what the consumer's call returns. After a failure the queue pair is as before.
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
        let opened =
            passive.open(fabric::Peer::Memory(to_active)) && active.open(fabric::Peer::Memory(to_passive));
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
            state.rejected = side == Side::Passive;
            outcome.take(&mut state, side, Cause::Close);
        }
        outcome.carry_out(this);
        STATUS_SUCCESS
    }

    /// `NdkDisconnect`. Consumes the request: the result is what the consumer's call returns.
    pub(crate) fn disconnect(this: &Shared<Self>, side: Side, request: Request) -> NTSTATUS {
        let deadline = match Deadline::new(Waiting::Link(this.clone(), side)) {
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
                    connector.adapter().add_disconnect_deadline(deadline);
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

    /// A disconnect of `side` has waited long enough. Called by the timer, which keeps the deadline.
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
