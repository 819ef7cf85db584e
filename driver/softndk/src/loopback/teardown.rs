//! Carrying out the end of a connection, after it has been decided under the lock of the link.

use abi::NTSTATUS;
use abi::status::{
    STATUS_CANCELLED, STATUS_CONNECTION_ABORTED, STATUS_CONNECTION_REFUSED, STATUS_IO_TIMEOUT, STATUS_SUCCESS,
};
use kernel::pool::Shared;

use super::link::{Link, Stage, State};
use crate::answer::Request;
use crate::connector::Connector;
use crate::deadlines::Target;
use crate::fabric::{Cause, DisconnectEvent, REASON_BROKEN, Side};
use crate::life::{Hold, Object as _};
use crate::listener::Backlog;
use crate::qp::Qp;

/// What is left to do for one end after a decision.
#[derive(Default)]
pub(super) struct EndOutcome {
    /// Keeps connector and queue pair open until everything is done: their closes wait for it.
    connector: Option<Hold<Connector>>,
    /// The consumer had disconnected, so its deadline goes.
    disconnecting: bool,
    qp: Option<Shared<Qp>>,
    request: Option<(Request, NTSTATUS)>,
    event: Option<DisconnectEvent>,
    /// An event that is not to be delivered; what it holds goes after the lock.
    pub(super) unused: Option<DisconnectEvent>,
}

/// What is left to do after the connection was closed.
#[derive(Default)]
pub(super) struct Outcome {
    active: EndOutcome,
    passive: EndOutcome,
    backlog: Option<Backlog>,
    /// Whether the connection was established.
    established: bool,
    /// Whether the queue pairs die with it, or are as before.
    pub(super) kill: bool,
    failed: bool,
}

impl Outcome {
    /// Closes the connection because `side` ended it.
    pub(super) fn take(&mut self, state: &mut State, side: Side, cause: Cause) {
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
    pub(super) fn take_graceful(&mut self, state: &mut State, side: Side) {
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

    pub(super) const fn end_mut(&mut self, side: Side) -> &mut EndOutcome {
        match side {
            Side::Active => &mut self.active,
            Side::Passive => &mut self.passive,
        }
    }

    pub(super) fn carry_out(self, link: &Link) {
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
                connector.adapter().deadlines().remove(Target::Link(link, side));
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
