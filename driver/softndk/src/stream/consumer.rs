//! What consumers do with a stream through connectors and queue pairs.

use abi::NTSTATUS;
use abi::status::{
    STATUS_CANCELLED, STATUS_CONNECTION_ABORTED, STATUS_CONNECTION_INVALID, STATUS_INVALID_BUFFER_SIZE,
    STATUS_INVALID_DEVICE_STATE, STATUS_IO_TIMEOUT, STATUS_PENDING, STATUS_SUCCESS,
};
use kernel::pool::{PoolBox, Shared};
use kernel::time::interrupt_time_100ns;

use super::outcome::{End, Outcome};
use super::wire::Ending;
use super::{Buffers, EMSS, Protocol, REPEAT_AFTER, Stage, State, Stream, startup};
use crate::answer::Request;
use crate::connector::Connector;
use crate::deadlines::Deadline;
use crate::fabric::{Cause, DisconnectEvent, Handshake, Peer, PrivateData, REASON_BROKEN, ReadLimits, Side};
use crate::iwarp;
use crate::iwarp::mpa::Agreement;
use crate::qp::Qp;
use kernel::pool::PoolSlice;

impl Stream {
    /// Begins the active end.
    ///
    /// # Errors
    /// The request, unanswered: the attempt is over already.
    pub(crate) fn begin(
        this: &Shared<Self>,
        handshake: Handshake,
        request: Request,
        connector: &Shared<Connector>,
        deadline: PoolBox<Deadline>,
    ) -> Result<(), Request> {
        {
            let mut state = this.state.lock();
            if state.stage == Stage::Closed {
                return Err(request);
            }
            state.qp = Some(handshake.qp);
            state.own_data = handshake.data;
            state.request = Some(request);
            state.connector = Some(connector.clone());
            this.adapter.deadlines().add(deadline, this.adapter.core().connect_timeout());
        }
        Self::run(this);
        Ok(())
    }

    /// Full operation, with the queue pair open to the peer; the passive end's consumer may post once the connection is established.
    ///
    /// # Errors
    /// `STATUS_CONNECTION_ABORTED`: the queue pair was flushed.
    fn open(
        this: &Shared<Self>,
        state: &mut State,
        qp: &Shared<Qp>,
        agreement: &Agreement,
        fpdu: PoolSlice<u8>,
    ) -> Result<(), NTSTATUS> {
        let connection =
            iwarp::Connection::new(agreement, EMSS, fpdu).map_err(|_| STATUS_CONNECTION_ABORTED)?;
        state.needs_rtr = !agreement.rtr().is_empty();
        state.limits = startup::in_force(agreement);
        let opened = match this.side {
            Side::Active => qp.open(Self::peer(this, state)),
            Side::Passive => qp.open_to_peer(),
        };
        if !opened {
            return Err(STATUS_CONNECTION_ABORTED);
        }
        state.protocol = Protocol::Full(connection);
        Ok(())
    }

    /// The other end, as a queue pair knows it.
    pub(super) fn peer(this: &Shared<Self>, state: &State) -> Peer {
        Peer::Stream { stream: this.clone(), read_limit: state.limits.outbound }
    }

    /// `NdkAccept`; see [`Connection::accept`](crate::fabric::Connection::accept).
    pub(crate) fn accept(
        this: &Shared<Self>,
        handshake: Handshake,
        event: Option<DisconnectEvent>,
        request: Request,
    ) -> NTSTATUS {
        let buffers = Buffers::new().map_err(|no_memory| no_memory.status());
        let decided = {
            let mut state = this.state.lock();
            match buffers.and_then(|buffers| Self::reply(this, &mut state, &handshake, buffers)) {
                Ok(()) => {
                    state.qp = Some(handshake.qp);
                    state.request = Some(request);
                    state.event = event;
                    Ok(state.backlog.take())
                }
                Err(status) => Err((status, handshake.qp, event, request)),
            }
        };
        match decided {
            Ok(backlog) => {
                drop(backlog);
                Self::run(this);
                STATUS_PENDING
            }
            Err((status, qp, event, request)) => {
                qp.detach();
                drop(event);
                request.answer(status)
            }
        }
    }

    /// Puts the accepting reply on its way.
    fn reply(
        this: &Shared<Self>,
        state: &mut State,
        handshake: &Handshake,
        buffers: Buffers,
    ) -> Result<(), NTSTATUS> {
        match (state.stage, &state.protocol) {
            (Stage::Undecided, Protocol::Responder(_)) => {}
            (Stage::Closed, _) => return Err(STATUS_CONNECTION_ABORTED),
            _ => return Err(STATUS_INVALID_DEVICE_STATE),
        }
        let State { protocol: Protocol::Responder(responder), wire, .. } = &mut *state else {
            return Err(STATUS_INVALID_DEVICE_STATE);
        };
        let Buffers { out, input, fpdu } = buffers;
        wire.grow(out, input);
        let acceptance = startup::acceptance(this.adapter.core(), handshake.limits);
        let room = wire.room().ok_or(STATUS_INVALID_DEVICE_STATE)?;
        let (octets, agreement) = responder
            .accept(&acceptance, handshake.data.octets(), room)
            .map_err(|_| STATUS_INVALID_BUFFER_SIZE)?;
        Self::open(this, state, &handshake.qp, &agreement, fpdu)?;
        state.wire.wrote(octets);
        state.stage = Stage::Answered;
        let core = this.adapter.core();
        let patience = if state.needs_rtr { core.handshake_timeout() } else { core.first_fpdu_timeout() };
        this.limit(Some(patience));
        Ok(())
    }

    /// `NdkCompleteConnect`; see [`Connection::complete_connect`](crate::fabric::Connection::complete_connect).
    pub(crate) fn complete_connect(
        this: &Shared<Self>,
        event: Option<DisconnectEvent>,
    ) -> Result<(), NTSTATUS> {
        let mut outcome = Outcome::default();
        let completed = {
            let mut state = this.state.lock();
            match state.stage {
                Stage::Undecided => {}
                Stage::Closed => return Err(STATUS_CONNECTION_ABORTED),
                _ => return Err(STATUS_CONNECTION_INVALID),
            }
            let opened = match (state.agreement.take(), state.fpdu.take(), state.qp.clone()) {
                (Some(agreement), Some(fpdu), Some(qp)) => {
                    Self::open(this, &mut state, &qp, &agreement, fpdu)
                }
                _ => Err(STATUS_CONNECTION_INVALID),
            };
            match opened {
                Ok(()) => {
                    state.stage = Stage::Established;
                    state.event = event;
                    this.speak(&mut state);
                    let counters = this.adapter.core().counters();
                    counters.connects.add(1);
                    counters.active_connections.add(1);
                }
                Err(status) => {
                    outcome.unused = event;
                    let ending = Ending::Graceful;
                    outcome.close(this, &mut state, End { status, reason: None, ending });
                }
            }
            opened
        };
        outcome.carry_out(this);
        Self::run(this);
        completed
    }

    /// Lets the peer hear of this active end, which may have nothing to say, and asks the timer for the next time.
    fn speak(&self, state: &mut State) {
        if let Protocol::Full(connection) = &mut state.protocol {
            connection.speak();
            self.limit(REPEAT_AFTER.get(state.spoken).copied());
            state.spoken = state.spoken.saturating_add(1);
        }
    }

    /// `NdkReject`; see [`Connection::reject`](crate::fabric::Connection::reject).
    pub(crate) fn reject(this: &Shared<Self>, data: PrivateData) -> NTSTATUS {
        let mut outcome = Outcome::default();
        {
            let mut state = this.state.lock();
            match state.stage {
                Stage::Undecided => {}
                Stage::Closed => return STATUS_CONNECTION_ABORTED,
                _ => return STATUS_INVALID_DEVICE_STATE,
            }
            this.reply_refusing(&mut state, data.octets());
            let end = End { status: STATUS_CANCELLED, reason: None, ending: Ending::Graceful };
            outcome.close(this, &mut state, end);
        }
        outcome.carry_out(this);
        Self::run(this);
        STATUS_SUCCESS
    }

    /// `NdkDisconnect`; see [`Connection::disconnect`](crate::fabric::Connection::disconnect).
    pub(crate) fn disconnect(this: &Shared<Self>, request: Request) -> NTSTATUS {
        let refused = {
            let mut state = this.state.lock();
            match state.stage {
                Stage::Established if state.disconnecting => Err((STATUS_INVALID_DEVICE_STATE, request)),
                Stage::Established => {
                    state.disconnecting = true;
                    state.request = Some(request);
                    if let Some(qp) = &state.qp {
                        qp.stop_initiating();
                    }
                    let patience = this.adapter.core().disconnect_timeout();
                    state.disconnect_by = interrupt_time_100ns().saturating_add(patience);
                    this.limit(Some(patience));
                    // From here on this consumer is not told of the end but by the completion.
                    Ok(state.event.take())
                }
                Stage::Closed => Err((STATUS_CONNECTION_ABORTED, request)),
                _ => Err((STATUS_CONNECTION_INVALID, request)),
            }
        };
        match refused {
            Err((status, request)) => request.answer(status),
            Ok(event) => {
                drop(event);
                Self::run(this);
                STATUS_PENDING
            }
        }
    }

    /// This end ends the connection, or the attempt. Called without locks; any number of times.
    pub(crate) fn terminate(this: &Shared<Self>, cause: Cause) {
        let mut outcome = Outcome::default();
        {
            let mut state = this.state.lock();
            let ending = match state.stage {
                Stage::Closed => return,
                Stage::Connecting | Stage::Requested => Ending::Now,
                Stage::Undecided => {
                    this.reply_refusing(&mut state, &[]);
                    Ending::Graceful
                }
                Stage::Answered | Stage::Established => {
                    if let Protocol::Full(connection) = &mut state.protocol {
                        connection.abort();
                    }
                    // A peer that has closed takes no Terminate; a reset tells it from an end in order.
                    if state.peer_closed { Ending::Now } else { Ending::Graceful }
                }
            };
            let status = if cause == Cause::Close { STATUS_CANCELLED } else { STATUS_CONNECTION_ABORTED };
            let reason = (cause == Cause::Fault).then_some(REASON_BROKEN);
            outcome.close(this, &mut state, End { status, reason, ending });
        }
        outcome.carry_out(this);
        Self::run(this);
    }

    /// What was awaited has not come in time. Called by the timer.
    pub(crate) fn time_out(this: &Shared<Self>) {
        let mut outcome = Outcome::default();
        {
            let mut state = this.state.lock();
            let waits = match state.stage {
                Stage::Answered if !state.needs_rtr => {
                    Self::establish(this, &mut state, &mut outcome);
                    false
                }
                Stage::Connecting | Stage::Requested | Stage::Answered => true,
                Stage::Undecided => false,
                // A disconnect may have begun while the time of a repetition was over.
                Stage::Established if state.disconnecting => interrupt_time_100ns() >= state.disconnect_by,
                Stage::Established => {
                    if this.side == Side::Active {
                        this.speak(&mut state);
                    }
                    false
                }
                Stage::Closed => {
                    state.wire.end(Ending::Now);
                    false
                }
            };
            if waits {
                if state.stage != Stage::Established {
                    this.adapter.core().counters().handshakes_late.add(1);
                }
                let end = End { status: STATUS_IO_TIMEOUT, reason: None, ending: Ending::Now };
                outcome.close(this, &mut state, end);
            }
        }
        outcome.carry_out(this);
        Self::run(this);
    }

    /// `NdkGetConnectionData`; see [`Connection::connection_data`](crate::fabric::Connection::connection_data).
    pub(crate) fn connection_data(&self) -> Result<(ReadLimits, PrivateData), NTSTATUS> {
        let state = self.state.lock();
        match state.stage {
            Stage::Undecided => Ok((state.limits, state.data)),
            Stage::Closed if state.rejected => Ok((ReadLimits::default(), state.data)),
            Stage::Closed => Err(STATUS_CONNECTION_ABORTED),
            _ => Err(STATUS_INVALID_DEVICE_STATE),
        }
    }
}
