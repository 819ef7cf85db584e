//! What is left to do after a decision, without the lock: queue pairs first, then callbacks, so that a consumer that is told of the
//! end finds everything ended.

use abi::NTSTATUS;
use kernel::pool::{PoolBox, Shared};

use super::wire::Ending;
use super::{Stage, State, Stream};
use crate::answer::Request;
use crate::connector::Connector;
use crate::deadlines::Target;
use crate::events::{Action, Job};
use crate::fabric::DisconnectEvent;
use crate::life::Hold;
use crate::listener::{Backlog, Listener};
use crate::qp::Qp;
use crate::tcp::HalfOpen;

/// A connection request that the listener's consumer is to be told of.
pub(super) struct Question {
    pub(super) job: PoolBox<Job>,
    pub(super) listener: Hold<Listener>,
    pub(super) connector: Shared<Connector>,
}

#[derive(Default)]
pub(super) struct Outcome {
    /// Keeps connector and queue pair open until everything is done: their closes wait for it.
    connector: Option<Hold<Connector>>,
    qp: Option<Shared<Qp>>,
    /// The queue pair dies with the connection, or is as before.
    kill: bool,
    established: bool,
    failed: bool,
    pub(super) request: Option<(Request, NTSTATUS)>,
    pub(super) event: Option<(DisconnectEvent, u32)>,
    pub(super) question: Option<Question>,
    /// What it holds goes after the lock.
    pub(super) unused: Option<DisconnectEvent>,
    pub(super) backlog: Option<Backlog>,
    pub(super) half_open: Option<HalfOpen>,
    over: bool,
    /// There is something to do before the next step.
    pub(super) due: bool,
}

/// How a consumer's view of a connection ends.
#[derive(Clone, Copy)]
pub(super) struct End {
    /// Of the consumer's request, if one waits.
    pub(super) status: NTSTATUS,
    /// The reason of the disconnect event, if there is to be one.
    pub(super) reason: Option<u32>,
    pub(super) ending: Ending,
}

impl Outcome {
    /// The connection, or the attempt, ends for the consumer.
    pub(super) fn close(&mut self, stream: &Stream, state: &mut State, end: End) {
        let End { status, reason, ending } = end;
        let stage = core::mem::replace(&mut state.stage, Stage::Closed);
        self.due = true;
        self.established = stage == Stage::Established;
        self.failed = self.established && !state.disconnecting;
        self.kill = matches!(stage, Stage::Answered | Stage::Established);
        self.qp = state.qp.take();
        // The connector is open: only now that the stream is closed may its close go on.
        self.connector = state.connector.take().map(|connector| Hold::new(&connector));
        self.request = state.request.take().map(|request| (request, status));
        match (state.event.take(), reason) {
            (Some(event), Some(reason)) if self.established => self.event = Some((event, reason)),
            (event, _) => self.unused = event,
        }
        self.backlog = state.backlog.take();
        self.half_open = state.half_open.take();
        state.fpdu = None;
        state.wire.end(ending);
        if ending == Ending::Graceful {
            stream.limit(Some(stream.adapter.core().linger()));
        }
    }

    /// TCP is over as well.
    pub(super) fn finish(&mut self, state: &mut State) {
        state.over = true;
        self.over = true;
        self.due = true;
        self.half_open = state.half_open.take();
    }

    pub(super) fn carry_out(self, stream: &Stream) {
        let counters = stream.adapter.core().counters();
        if let Some(qp) = &self.qp {
            if self.kill {
                qp.die();
            } else {
                qp.detach();
                counters.connect_failures.add(1);
            }
        }
        if self.established {
            counters.active_connections.subtract(1);
            counters.connection_errors.add(u64::from(self.failed));
        }
        drop(self.backlog);
        drop(self.half_open);
        drop(self.unused);
        if let Some((request, status)) = self.request {
            request.complete(status);
        }
        if let Some((event, reason)) = self.event {
            event.deliver(reason);
        }
        if let Some(Question { job, listener, connector }) = self.question {
            stream.adapter.post(job, Action::ConnectRequest { listener, connector });
        }
        drop(self.connector);
        if self.over {
            stream.adapter.deadlines().remove(Target::Stream(stream));
            stream.adapter.release();
        }
    }
}
