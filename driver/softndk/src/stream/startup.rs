//! The start-up: frames, and what they are agreed on.

use abi::NTSTATUS;
use abi::status::{STATUS_CONNECTION_REFUSED, STATUS_INSUFFICIENT_RESOURCES, STATUS_SUCCESS};
use kernel::pool::Shared;

use super::outcome::{End, Outcome, Question};
use super::wire::Ending;
use super::{Protocol, RTR, Stage, State, Stream};
use crate::config::READ_LIMIT_MAX;
use crate::connector::Connector;
use crate::events::Job;
use crate::fabric::{Connection, PrivateData, ReadLimits};
use crate::iwarp::mpa::{Acceptance, Agreement, EnhancedData, Proposal, Rtr, StartupError};
use crate::life::Hold;
use crate::listener::Backlog;
use crate::provider::Core;

/// A read limit as a frame carries it.
fn limit(reads: u32) -> u16 {
    u16::try_from(reads.min(READ_LIMIT_MAX)).unwrap_or(0)
}

/// What an active end asks for: the client-server model. Linux' siw asks its peers for nothing else, and with an RTR message it waits
/// for, a connection that ends before that message is looked at stops its kernel (`siw_accept`, `cm_close_handler`; 6.1). The
/// responder hears of this end early all the same: [`Stream::complete_connect`] speaks.
pub(super) fn proposal(core: &Core, limits: ReadLimits) -> Proposal {
    let (ird, ord) = (limit(limits.inbound), limit(limits.outbound));
    Proposal { crc: core.iwarp_crc(), enhanced: true, rtr: Rtr::empty(), ird, ord }
}

/// What a passive end offers.
pub(super) fn acceptance(core: &Core, limits: ReadLimits) -> Acceptance {
    let (ird, ord) = (limit(limits.inbound), limit(limits.outbound));
    Acceptance { crc: core.iwarp_crc(), rtr: RTR, ird, ord }
}

/// Limits that an initiator allows.
fn allowed(request: Option<EnhancedData>) -> ReadLimits {
    match request {
        Some(request) => ReadLimits {
            inbound: READ_LIMIT_MAX.min(u32::from(request.ord)),
            outbound: READ_LIMIT_MAX.min(u32::from(request.ird)),
        },
        None => ReadLimits { inbound: READ_LIMIT_MAX, outbound: READ_LIMIT_MAX },
    }
}

pub(super) fn in_force(agreement: &Agreement) -> ReadLimits {
    ReadLimits { inbound: agreement.ird().into(), outbound: agreement.ord().into() }
}

/// What a frame has led to.
enum Frame {
    Accepted(Agreement, PrivateData),
    Refused(PrivateData),
    Wrong,
}

impl Stream {
    /// TCP is there: the active end sends its request.
    pub(super) fn begin_startup(&self, state: &mut State, outcome: &mut Outcome) {
        let State { protocol: Protocol::Initiator(initiator), wire, own_data, stage, .. } = &mut *state
        else {
            return;
        };
        if *stage != Stage::Connecting {
            return;
        }
        let made = wire.room().and_then(|room| initiator.request(own_data.octets(), room).ok());
        match made {
            Some(octets) => {
                wire.wrote(octets);
                *stage = Stage::Requested;
            }
            // It has room, and the data is short enough.
            None => self.refuse(state, outcome, Ending::Now),
        }
    }

    fn refuse(&self, state: &mut State, outcome: &mut Outcome, ending: Ending) {
        outcome.close(self, state, End { status: STATUS_CONNECTION_REFUSED, reason: None, ending });
    }

    pub(super) fn take_reply(&self, state: &mut State, outcome: &mut Outcome) {
        let State { protocol: Protocol::Initiator(initiator), wire, .. } = &mut *state else { return };
        let mut octets = wire.arrived();
        let received = initiator.receive(&mut octets);
        let left = octets.len();
        let (frame, error) = match received {
            None => (None, None),
            Some(Err(error)) => (Some(Frame::Wrong), Some(error)),
            Some(Ok(reply)) => (
                Some(match (reply.agreement, PrivateData::new(reply.private_data)) {
                    (Some(agreement), Some(data)) => Frame::Accepted(agreement, data),
                    (None, data) => Frame::Refused(data.unwrap_or_default()),
                    (Some(_), None) => Frame::Wrong,
                }),
                None,
            ),
        };
        wire.take(left);
        if let (Some(error), Some(room)) = (error, wire.room()) {
            let octets = initiator.terminate(error, room);
            wire.wrote(octets);
        }
        match frame {
            None => {}
            Some(Frame::Accepted(agreement, data)) => {
                state.limits = in_force(&agreement);
                state.agreement = Some(agreement);
                state.data = data;
                state.stage = Stage::Undecided;
                outcome.request = state.request.take().map(|request| (request, STATUS_SUCCESS));
                outcome.due = true;
                self.limit(None);
            }
            Some(Frame::Refused(data)) => {
                state.data = data;
                state.rejected = true;
                self.refuse(state, outcome, Ending::Graceful);
            }
            Some(Frame::Wrong) => {
                self.adapter.core().counters().handshakes_malformed.add(1);
                let ending = if state.wire.is_sent() { Ending::Now } else { Ending::Graceful };
                self.refuse(state, outcome, ending);
            }
        }
    }

    pub(super) fn take_request(this: &Shared<Self>, state: &mut State, outcome: &mut Outcome) {
        let State { protocol: Protocol::Responder(responder), wire, .. } = &mut *state else { return };
        let mut octets = wire.arrived();
        let received = responder.receive(&mut octets);
        let left = octets.len();
        let request = match received {
            None => None,
            Some(Ok(startup)) => {
                Some(PrivateData::new(startup.private_data).map(|data| (allowed(startup.enhanced), data)))
            }
            Some(Err(StartupError::Markers)) => Some(None),
            Some(Err(_)) => {
                wire.take(0);
                this.adapter.core().counters().handshakes_malformed.add(1);
                return this.refuse(state, outcome, Ending::Now);
            }
        };
        wire.take(left);
        let Some(request) = request else { return };
        let asked = request.ok_or(STATUS_CONNECTION_REFUSED).and_then(|(limits, data)| {
            state.limits = limits;
            state.data = data;
            Self::ask(this, state, outcome)
        });
        if asked.is_err() {
            this.adapter.core().counters().requests_refused.add(1);
            this.reply_refusing(state, &[]);
            this.refuse(state, outcome, Ending::Graceful);
        }
    }

    /// Has the listener's consumer decide.
    fn ask(this: &Shared<Self>, state: &mut State, outcome: &mut Outcome) -> Result<(), NTSTATUS> {
        let listener = this.acceptor.as_ref().and_then(|acceptor| acceptor.listener());
        let listener = listener.ok_or(STATUS_CONNECTION_REFUSED)?;
        let backlog = Backlog::take(listener.shared()).ok_or(STATUS_CONNECTION_REFUSED)?;
        let job = Job::new().map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
        let for_event = Hold::new(listener.shared());
        let connector = Connector::for_request(listener, Connection::Stream(this.clone()))
            .map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
        state.connector = Some(connector.clone());
        state.backlog = Some(backlog);
        outcome.half_open = state.half_open.take();
        outcome.question = Some(Question { job, listener: for_event, connector });
        outcome.due = true;
        state.stage = Stage::Undecided;
        this.limit(None);
        Ok(())
    }

    /// Puts a refusing reply before TCP's end, if the request can be answered.
    pub(super) fn reply_refusing(&self, state: &mut State, data: &[u8]) {
        let State { protocol: Protocol::Responder(responder), wire, .. } = &mut *state else { return };
        if let Some(octets) = wire.room().and_then(|room| responder.reject(data, room).ok()) {
            wire.wrote(octets);
        }
    }
}
