//! Working off what is due: calls of the system's that have ended, octets that arrived, requests to carry out.

use abi::NTSTATUS;
use abi::status::{STATUS_CONNECTION_ABORTED, STATUS_CONNECTION_REFUSED, STATUS_SUCCESS, nt_success};
use kernel::pool::Shared;

use super::memory::Reach;
use super::outcome::{End, Outcome};
use super::wire::{Ending, Fin, Step};
use super::{Protocol, Stage, State, Stream};
use crate::events::{Action, Closing};
use crate::fabric::{REASON_BROKEN, REASON_DISCONNECTED, Side};
use crate::iwarp::Event;
use crate::iwarp::rdmap::TerminateError;
use crate::qp::{Arrival, Qp};
use crate::tcp::{Kind, Socket};

impl Stream {
    /// Works off what is due, unless somebody is at it, who then does it. Called without locks of this crate's.
    /// IRQL ≤ DISPATCH_LEVEL.
    pub(crate) fn run(this: &Shared<Self>) {
        {
            let mut state = this.state.lock();
            if state.running {
                state.again = true;
                return;
            }
            state.running = true;
        }
        loop {
            let mut outcome = Outcome::default();
            let step = {
                let mut state = this.state.lock();
                state.again = false;
                Self::advance(this, &mut state, &mut outcome)
            };
            let due = outcome.due;
            outcome.carry_out(this);
            match step {
                Some(step) => Self::perform(this, step),
                None if due => {}
                None => {
                    let mut state = this.state.lock();
                    if !state.again {
                        state.running = false;
                        return;
                    }
                }
            }
        }
    }

    /// Decides what happens next. One thing at a time that concerns the consumer.
    fn advance(this: &Shared<Self>, state: &mut State, outcome: &mut Outcome) -> Option<Step> {
        match state.wire.follow_setup() {
            Ok(true) => this.begin_startup(state, outcome),
            Ok(false) => {}
            Err(status) if state.stage != Stage::Closed => {
                outcome.close(this, state, End { status, reason: None, ending: Ending::Now });
            }
            Err(_) => state.wire.end(Ending::Now),
        }
        if let Some(status) = state.wire.lost {
            this.lose(state, status, outcome);
        }
        if !outcome.due {
            Self::take_input(this, state, outcome);
        }
        if !outcome.due {
            Self::make_output(this, state, outcome);
        }
        if outcome.due {
            return None;
        }
        let step = state.wire.next_step();
        if step.is_none() && state.wire.is_over() && !state.over {
            outcome.finish(state);
        }
        step
    }

    /// TCP has broken.
    fn lose(&self, state: &mut State, _status: NTSTATUS, outcome: &mut Outcome) {
        if state.stage == Stage::Closed {
            state.wire.end(Ending::Now);
            return;
        }
        let status = self.loss(state.stage);
        outcome.close(self, state, End { status, reason: Some(REASON_BROKEN), ending: Ending::Now });
    }

    /// What a consumer's request ends with if the peer goes: one that has not answered has refused.
    fn loss(&self, stage: Stage) -> NTSTATUS {
        if self.side == Side::Active && stage == Stage::Requested {
            STATUS_CONNECTION_REFUSED
        } else {
            STATUS_CONNECTION_ABORTED
        }
    }

    /// Takes octets that arrived, up to the first event that concerns the consumer.
    fn take_input(this: &Shared<Self>, state: &mut State, outcome: &mut Outcome) {
        if state.stage == Stage::Closed {
            // Nobody wants them any more.
            state.wire.take(0);
            return;
        }
        match &state.protocol {
            Protocol::Initiator(_) if state.stage == Stage::Requested => this.take_reply(state, outcome),
            Protocol::Responder(_) if state.stage == Stage::Requested => {
                Self::take_request(this, state, outcome);
            }
            Protocol::Full(_) => return Self::take_fpdus(this, state, outcome),
            // What follows the peer's frame waits for the consumer's decision.
            Protocol::Initiator(_) | Protocol::Responder(_) => {}
        }
        if state.wire.finished && !outcome.due {
            let status = this.loss(state.stage);
            outcome.close(this, state, End { status, reason: None, ending: Ending::Now });
        }
    }

    fn take_fpdus(this: &Shared<Self>, state: &mut State, outcome: &mut Outcome) {
        loop {
            let State { protocol: Protocol::Full(connection), wire, qp, .. } = &mut *state else { return };
            let qp = qp.clone();
            let mut reach = Reach::of(qp.as_deref());
            let mut octets = wire.arrived();
            let mut event = connection.receive(&mut octets, &mut reach);
            let left = octets.len();
            wire.take(left);
            if event.is_none() && wire.finished && left == 0 {
                event = connection.end_of_stream();
            }
            let Some(event) = event else { return };
            Self::handle(this, state, event, &reach, outcome);
            if outcome.due {
                return;
            }
        }
    }

    fn handle(
        this: &Shared<Self>,
        state: &mut State,
        event: Event,
        reach: &Reach<'_>,
        outcome: &mut Outcome,
    ) {
        let qp = state.qp.clone();
        match event {
            Event::Ready => {
                if state.stage == Stage::Answered {
                    Self::establish(this, state, outcome);
                }
            }
            Event::Completed(count) => {
                this.unless_broken(state, outcome, |qp| qp.complete_started(count).is_ok());
            }
            Event::Received { length, solicited, invalidated } => {
                let arrival = Arrival { bytes: length, solicited, token: invalidated.unwrap_or(0) };
                let invalidated = invalidated.is_some();
                this.unless_broken(state, outcome, |qp| qp.finish_receive(arrival, invalidated).is_ok());
            }
            Event::Closed => this.follow_close(state, outcome),
            Event::Terminated(_) => {
                if let Some(qp) = qp {
                    qp.refuse_oldest_read();
                }
                this.break_off(state, outcome);
            }
            Event::Failed(error) => {
                if let (Some(qp), Some(status)) = (qp, reach.receive_status()) {
                    qp.fail_receive(status);
                }
                if error == TerminateError::TcpLost {
                    state.wire.end(Ending::Now);
                }
                this.break_off(state, outcome);
            }
        }
    }

    /// Full operation has begun at the passive end.
    pub(super) fn establish(this: &Shared<Self>, state: &mut State, outcome: &mut Outcome) {
        if state.qp.as_ref().is_none_or(|qp| !qp.open(Self::peer(this, state))) {
            // It was flushed.
            if let Protocol::Full(connection) = &mut state.protocol {
                connection.abort();
            }
            return this.break_off(state, outcome);
        }
        state.stage = Stage::Established;
        outcome.request = state.request.take().map(|request| (request, STATUS_SUCCESS));
        outcome.due = true;
        let counters = this.adapter.core().counters();
        counters.accepts.add(1);
        counters.active_connections.add(1);
        this.limit(None);
    }

    /// The connection is broken; what `iwarp` still has to say goes out.
    fn break_off(&self, state: &mut State, outcome: &mut Outcome) {
        let (reason, ending) = (Some(REASON_BROKEN), Ending::Graceful);
        outcome.close(self, state, End { status: STATUS_CONNECTION_ABORTED, reason, ending });
    }

    /// Has the connection broken if `act` says that the queue pair is.
    fn unless_broken(&self, state: &mut State, outcome: &mut Outcome, act: impl FnOnce(&Qp) -> bool) {
        let whole = state.qp.as_ref().is_none_or(|qp| act(qp));
        if !whole && state.stage != Stage::Closed {
            if let Protocol::Full(connection) = &mut state.protocol {
                connection.abort();
            }
            self.break_off(state, outcome);
        }
    }

    /// The peer has closed TCP in order, which ends both directions.
    fn follow_close(&self, state: &mut State, outcome: &mut Outcome) {
        let unfinished = state.qp.as_ref().is_some_and(|qp| !qp.has_initiated_all());
        if state.stage != Stage::Established || state.disconnecting && unfinished {
            return self.break_off(state, outcome);
        }
        state.peer_closed = true;
        if let Some(qp) = &state.qp {
            qp.stop_initiating();
            qp.cancel_unstarted();
        }
        if let Some(event) = state.event.take() {
            outcome.event = Some((event, REASON_DISCONNECTED));
            outcome.due = true;
        }
    }

    /// Makes FPDUs as long as there is room for them, and decides when this end has said everything.
    fn make_output(this: &Shared<Self>, state: &mut State, outcome: &mut Outcome) {
        while let Protocol::Full(connection) = &mut state.protocol {
            let qp = state.qp.clone();
            if let Some(qp) =
                qp.as_ref().filter(|_| matches!(state.stage, Stage::Answered | Stage::Established))
            {
                match qp.start_next(connection.is_busy()) {
                    Ok(None) => {}
                    // There is a place for it, and the queue pair posts no read that is not allowed. After the end of the
                    // connection the request stays, until it is cancelled.
                    Ok(Some(work)) => drop(connection.post(work)),
                    Err(_) => {
                        connection.abort();
                        this.break_off(state, outcome);
                        return;
                    }
                }
            }
            let needed = connection.fpdu_len_max();
            let Some(room) = state.wire.room().filter(|room| room.len() >= needed) else { break };
            let mut reach = Reach::of(qp.as_deref());
            let made = connection.transmit(room, &mut reach);
            state.wire.wrote(made.octets);
            match made.event {
                Some(event) => Self::handle(this, state, event, &reach, outcome),
                None if made.octets == 0 => break,
                None => {}
            }
            if outcome.due {
                return;
            }
        }
        Self::conclude(this, state, outcome);
    }

    /// What follows once everything that was made is sent.
    fn conclude(this: &Shared<Self>, state: &mut State, outcome: &mut Outcome) {
        if !state.wire.is_sent() || !state.wire.is_open() {
            return;
        }
        let all_done = state.qp.as_ref().is_none_or(|qp| qp.has_initiated_all());
        let idle = match &state.protocol {
            Protocol::Full(connection) => connection.is_idle(),
            Protocol::Initiator(_) | Protocol::Responder(_) => true,
        };
        let says_no_more = if state.stage == Stage::Closed {
            state.wire.ending == Ending::Graceful
        } else {
            state.disconnecting && all_done && (idle || state.peer_closed)
        };
        if says_no_more && state.wire.fin == Fin::No {
            state.wire.fin = Fin::Wanted;
        }
        let both_closed = state.wire.fin == Fin::Done && state.wire.finished;
        if state.stage == Stage::Established && state.disconnecting && both_closed {
            let end = End { status: STATUS_SUCCESS, reason: None, ending: Ending::Now };
            outcome.close(this, state, end);
        }
    }

    /// Asks the system. No lock of this crate's is held but those that a consumer posts with.
    fn perform(this: &Shared<Self>, step: Step) {
        let ipv4 = this.state.lock().wire.local.is_ipv4();
        match step {
            Step::Socket => {
                // SAFETY: a fresh IRP.
                let make = |irp| unsafe { Socket::make(this.system, Kind::Connection, ipv4, irp) };
                // SAFETY: prepared; `Wire` makes one call of the set-up at a time.
                unsafe { this.setup.start(this, make) };
            }
            Step::Bind(socket, local) => {
                // SAFETY: open: `Wire` gives no step once the close is asked for; a fresh IRP.
                let bind = |irp| unsafe { socket.bind(&local, irp) };
                // SAFETY: as above.
                unsafe { this.setup.start(this, bind) };
            }
            Step::Connect(socket, remote) => {
                // SAFETY: as above; bound before.
                let connect = |irp| unsafe { socket.connect(&remote, irp) };
                // SAFETY: as above.
                unsafe { this.setup.start(this, connect) };
            }
            Step::Send(socket, buffer) => {
                // SAFETY: as above; connected; the stream keeps the octets, and nobody writes them, until the call has ended.
                let send = |irp| unsafe { socket.send(buffer, irp) };
                // SAFETY: prepared; `Wire` makes one send at a time.
                unsafe { this.send.start(this, send) };
            }
            Step::Receive(socket, buffer) => {
                // SAFETY: as above; nobody looks at the octets until the call has ended.
                let receive = |irp| unsafe { socket.receive(buffer, irp) };
                // SAFETY: prepared; `Wire` makes one receive at a time.
                unsafe { this.receive.start(this, receive) };
            }
            Step::Disconnect(socket) => {
                // SAFETY: as above.
                let disconnect = |irp| unsafe { socket.disconnect(irp) };
                // SAFETY: prepared; `Wire` makes one call of the set-up at a time.
                unsafe { this.setup.start(this, disconnect) };
            }
            Step::Close(socket) => {
                let job = this.state.lock().close_job.take();
                if let Some(job) = job {
                    this.adapter.post(job, Action::CloseSocket(Closing::Stream(this.clone(), socket)));
                }
            }
        }
    }

    /// Closes the socket. Called from the adapter's event queue, once.
    pub(crate) fn close_socket(this: &Shared<Self>, socket: Socket) {
        // SAFETY: open, and the last step.
        let close = |irp| unsafe { socket.close(irp) };
        // SAFETY: prepared, and made once.
        unsafe { this.close.start(this, close) };
    }

    pub(super) fn ended_setup(this: Shared<Self>, status: NTSTATUS, information: usize) {
        this.state.lock().wire.ended_setup(status, information);
        Self::run(&this);
    }

    pub(super) fn ended_send(this: Shared<Self>, status: NTSTATUS, _information: usize) {
        this.state.lock().wire.ended_send(status);
        Self::run(&this);
    }

    pub(super) fn ended_receive(this: Shared<Self>, status: NTSTATUS, information: usize) {
        this.state.lock().wire.ended_receive(status, information);
        Self::run(&this);
    }

    pub(super) fn ended_close(this: Shared<Self>, status: NTSTATUS, _information: usize) {
        debug_assert!(nt_success(status), "a close does not fail");
        this.state.lock().wire.ended_close();
        Self::run(&this);
    }
}
