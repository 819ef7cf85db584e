//! Where TCP connections for a listener arrive.
//!
//! One WskAccept is outstanding at a time, each into a stream that was made before, so that what arrives is always somebody's. When
//! as many as are allowed are half open, none is: further peers wait in the system's backlog. There is no thread and no DPC: as with
//! streams, whoever changes something works off what is due.

use core::cell::UnsafeCell;
use core::fmt;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU32, Ordering};

use abi::NTSTATUS;
use abi::status::{
    STATUS_ADDRESS_ALREADY_ASSOCIATED, STATUS_ADDRESS_ALREADY_EXISTS, STATUS_CANCELLED,
    STATUS_SHARING_VIOLATION, STATUS_SUCCESS, nt_success,
};
use kernel::call::Call;
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, PoolBox, Shared};
use kernel::time::milliseconds;

use super::socket::Kind;
use super::{Socket, SystemWsk};
use crate::address::SockAddr;
use crate::answer::Request;
use crate::deadlines::{Deadline, Target, Waiting};
use crate::events::{Action, Closing, Job};
use crate::life::{Hold, Object as _};
use crate::listener::Listener;
use crate::stream::Stream;
use crate::tag;

/// Accepts that may fail in a row; after that the socket is closed, so that peers are refused rather than left waiting.
const FAILURES_MAX: u32 = 16;

/// Without memory for the next connection it is tried again after that.
const RETRY: u64 = milliseconds(250);

/// One TCP connection whose request has not arrived.
#[derive(Debug)]
pub(crate) struct HalfOpen(Shared<Acceptor>);

impl HalfOpen {
    fn take(acceptor: &Shared<Acceptor>, limit: u32) -> Option<Self> {
        let count = &acceptor.half_open;
        let counted = count
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < limit).then_some(count + 1));
        counted.is_ok().then(|| Self(acceptor.clone()))
    }
}

impl Drop for HalfOpen {
    fn drop(&mut self) {
        self.0.half_open.fetch_sub(1, Ordering::Relaxed);
        Acceptor::run(&self.0);
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Socket,
    Bind,
    Listening,
    /// The socket is closed, or about to be.
    Closing,
    Closed,
}

/// A listener's TCP side that does not listen yet, with the deadline that it needs.
pub(crate) type NewAcceptor = (Shared<Acceptor>, PoolBox<Deadline>);

/// A stream for the next connection.
type Prepared = (Shared<Stream>, PoolBox<Deadline>);

struct State {
    stage: Stage,
    socket: Option<Socket>,
    /// A call of the set-up, or the close, is outstanding.
    busy: bool,
    ended: Option<(NTSTATUS, usize)>,
    accepting: bool,
    accepted: Option<(NTSTATUS, usize)>,
    prepared: Option<Prepared>,
    /// There was no memory for one.
    starved: bool,
    failures: u32,
    /// Held until the socket is closed: the port is free when the listener's close completes.
    listener: Option<Hold<Listener>>,
    /// For the close of the socket.
    close_job: Option<PoolBox<Job>>,
    /// The consumer's listen, until it is known whether TCP listens.
    request: Option<Request>,
    running: bool,
    again: bool,
}

/// The TCP side of a listener.
pub(crate) struct Acceptor {
    system: SystemWsk,
    local: SocketAddr,
    setup: Call<Self>,
    accept: Call<Self>,
    /// The system writes it while an accept is outstanding.
    remote: UnsafeCell<SockAddr>,
    half_open: AtomicU32,
    state: SpinLock<State>,
}

// SAFETY: the cell is written by the one outstanding accept, and read between two.
unsafe impl Send for Acceptor {}
// SAFETY: as for `Send`.
unsafe impl Sync for Acceptor {}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("local", &self.local).finish_non_exhaustive()
    }
}

/// What is to be done without the lock.
enum Step {
    Socket,
    Bind(Socket),
    Accept(Socket),
    Prepare,
    Adopt(Prepared, Socket, Option<SocketAddr>),
    Close(Socket),
    /// The stream that was to be connected, and the listen that is over.
    Finish {
        prepared: Option<Prepared>,
        listener: Option<Hold<Listener>>,
        request: Option<Request>,
    },
    Answer(Request, NTSTATUS),
}

impl Acceptor {
    /// Room for a listener's TCP side at `local`, with the deadline that it needs.
    pub(crate) fn new(system: SystemWsk, local: SocketAddr) -> Result<NewAcceptor, AllocError> {
        let state = State {
            stage: Stage::Socket,
            socket: None,
            busy: false,
            ended: None,
            accepting: false,
            accepted: None,
            prepared: None,
            starved: false,
            failures: 0,
            listener: None,
            close_job: Some(Job::new()?),
            request: None,
            running: false,
            again: false,
        };
        let acceptor = Self {
            system,
            local,
            setup: Call::new(Self::ended_setup),
            accept: Call::new(Self::ended_accept),
            remote: UnsafeCell::new(SockAddr::EMPTY),
            half_open: AtomicU32::new(0),
            state: SpinLock::new(state),
        };
        for call in [&acceptor.setup, &acceptor.accept] {
            call.prepare().map_err(|_| AllocError)?;
        }
        let acceptor = Shared::try_new(tag::STREAM, acceptor)?;
        let deadline = Deadline::new(Waiting::Acceptor(acceptor.clone()))?;
        Ok((acceptor, deadline))
    }

    /// Listens for `listener`, and then answers `request`: whether TCP does.
    pub(crate) fn start(
        this: &Shared<Self>,
        listener: Hold<Listener>,
        request: Request,
        deadline: PoolBox<Deadline>,
    ) {
        listener.adapter().deadlines().add(deadline, u64::MAX);
        {
            let mut state = this.state.lock();
            state.listener = Some(listener);
            state.request = Some(request);
        }
        Self::run(this);
    }

    /// Its listener is being closed. Connections that are half open find none.
    pub(crate) fn stop(this: &Shared<Self>) {
        {
            let mut state = this.state.lock();
            if state.stage != Stage::Closed {
                state.stage = Stage::Closing;
            }
        }
        Self::run(this);
    }

    /// The listener, if it takes requests.
    pub(crate) fn listener(&self) -> Option<Hold<Listener>> {
        let state = self.state.lock();
        state.listener.as_ref().and_then(|listener| Listener::hold_if_listening(listener.shared()))
    }

    /// There may be memory again. Called by the timer.
    pub(crate) fn retry(this: &Shared<Self>) {
        this.state.lock().starved = false;
        Self::run(this);
    }

    /// Works off what is due, unless somebody is at it. Called without locks. IRQL ≤ DISPATCH_LEVEL.
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
            let step = {
                let mut state = this.state.lock();
                state.again = false;
                this.advance(&mut state)
            };
            if let Some(step) = step {
                Self::perform(this, step);
                continue;
            }
            let mut state = this.state.lock();
            if !state.again {
                state.running = false;
                return;
            }
        }
    }

    fn advance(&self, state: &mut State) -> Option<Step> {
        if let Some((status, information)) = state.ended.take()
            && let Some(step) = Self::follow_setup(state, status, information)
        {
            return Some(step);
        }
        if let Some((status, information)) = state.accepted.take() {
            match (Socket::from_information(information), state.prepared.take()) {
                (Some(socket), Some(prepared)) if nt_success(status) => {
                    state.failures = 0;
                    // SAFETY: no accept is outstanding.
                    let remote = unsafe { *self.remote.get() };
                    return Some(Step::Adopt(prepared, socket, remote.get()));
                }
                (_, prepared) => {
                    state.prepared = prepared;
                    state.failures += 1;
                    if state.failures >= FAILURES_MAX {
                        state.stage = Stage::Closing;
                    }
                }
            }
        }
        match (state.stage, state.socket) {
            (Stage::Closing, Some(socket)) if !state.busy => {
                state.busy = true;
                state.socket = None;
                Some(Step::Close(socket))
            }
            (Stage::Closing, None) if !state.busy && !state.accepting => {
                state.stage = Stage::Closed;
                let (prepared, listener) = (state.prepared.take(), state.listener.take());
                Some(Step::Finish { prepared, listener, request: state.request.take() })
            }
            (Stage::Socket, None) if !state.busy => {
                state.busy = true;
                Some(Step::Socket)
            }
            (Stage::Bind, Some(socket)) if !state.busy => {
                state.busy = true;
                Some(Step::Bind(socket))
            }
            (Stage::Listening, Some(socket)) if !state.accepting => {
                if state.prepared.is_none() {
                    return (!state.starved && self.has_room(state)).then_some(Step::Prepare);
                }
                state.accepting = true;
                Some(Step::Accept(socket))
            }
            _ => None,
        }
    }

    fn has_room(&self, state: &State) -> bool {
        let limit = state.listener.as_ref().map_or(0, |listener| listener.adapter().core().half_open());
        self.half_open.load(Ordering::Relaxed) < limit
    }

    /// A call of the set-up, or the close, has ended.
    fn follow_setup(state: &mut State, status: NTSTATUS, information: usize) -> Option<Step> {
        let succeeded = nt_success(status);
        match state.stage {
            Stage::Socket if succeeded => {
                state.socket = Socket::from_information(information);
                state.stage = if state.socket.is_some() { Stage::Bind } else { Stage::Closing };
                None
            }
            Stage::Bind if succeeded => {
                state.stage = Stage::Listening;
                let request = state.request.take()?;
                Some(Step::Answer(request, STATUS_SUCCESS))
            }
            Stage::Socket | Stage::Bind => {
                state.stage = Stage::Closing;
                let status = match status {
                    // What NdkListen calls it.
                    STATUS_ADDRESS_ALREADY_EXISTS | STATUS_ADDRESS_ALREADY_ASSOCIATED => {
                        STATUS_SHARING_VIOLATION
                    }
                    status => status,
                };
                let request = state.request.take()?;
                Some(Step::Answer(request, status))
            }
            Stage::Closing if state.socket.is_none() && succeeded => {
                // A socket that has come about meanwhile.
                state.socket = Socket::from_information(information);
                None
            }
            Stage::Listening | Stage::Closing | Stage::Closed => None,
        }
    }

    fn perform(this: &Shared<Self>, step: Step) {
        match step {
            Step::Socket => {
                let ipv4 = this.local.is_ipv4();
                // SAFETY: a fresh IRP.
                let make = |irp| unsafe { Socket::make(this.system, Kind::Listen, ipv4, irp) };
                // SAFETY: prepared; nothing else is outstanding (`busy`).
                unsafe { this.setup.start(this, make) };
            }
            Step::Bind(socket) => {
                let local = SockAddr::new(&this.local);
                // SAFETY: open; a fresh IRP.
                let bind = |irp| unsafe { socket.bind(&local, irp) };
                // SAFETY: as above.
                unsafe { this.setup.start(this, bind) };
            }
            Step::Accept(socket) => {
                // SAFETY: open and bound; a fresh IRP; the call keeps the acceptor, and with it the place of the address.
                let accept = |irp| unsafe { socket.accept(this.remote.get(), irp) };
                // SAFETY: prepared; no other accept is outstanding.
                unsafe { this.accept.start(this, accept) };
            }
            Step::Prepare => Self::prepare(this),
            Step::Adopt((stream, deadline), socket, remote) => {
                Stream::adopt(&stream, socket, remote.unwrap_or(this.local), deadline);
            }
            Step::Close(socket) => {
                let (job, adapter) = {
                    let mut state = this.state.lock();
                    let adapter = state.listener.as_ref().map(|listener| listener.adapter().clone());
                    (state.close_job.take(), adapter)
                };
                if let (Some(job), Some(adapter)) = (job, adapter) {
                    adapter.post(job, Action::CloseSocket(Closing::Acceptor(this.clone(), socket)));
                }
            }
            Step::Finish { prepared, listener, request } => {
                drop(prepared);
                if let Some(request) = request {
                    request.complete(STATUS_CANCELLED);
                }
                if let Some(listener) = listener {
                    listener.adapter().deadlines().remove(Target::Acceptor(this));
                }
            }
            Step::Answer(request, status) => {
                if !nt_success(status)
                    && let Some(listener) = this.state.lock().listener.as_ref()
                {
                    listener.forget_address();
                }
                request.complete(status);
            }
        }
    }

    /// Closes the socket. Called from the adapter's event queue, once.
    pub(crate) fn close_socket(this: &Shared<Self>, socket: Socket) {
        // SAFETY: open, and taken out of the state: nobody uses it any more.
        let close = |irp| unsafe { socket.close(irp) };
        // SAFETY: prepared; nothing else is outstanding (`busy`).
        unsafe { this.setup.start(this, close) };
    }

    /// Makes a stream for the next connection.
    fn prepare(this: &Shared<Self>) {
        let adapter = {
            let state = this.state.lock();
            state.listener.as_ref().map(|listener| listener.adapter().clone())
        };
        let Some(adapter) = adapter else { return };
        let Some(half_open) = HalfOpen::take(this, adapter.core().half_open()) else { return };
        match Stream::passive(this, &adapter, this.system, this.local, half_open) {
            Ok(prepared) => this.state.lock().prepared = Some(prepared),
            Err(AllocError) => {
                this.state.lock().starved = true;
                adapter.deadlines().change(Target::Acceptor(this), Some(RETRY));
            }
        }
    }

    fn ended_setup(this: Shared<Self>, status: NTSTATUS, information: usize) {
        {
            let mut state = this.state.lock();
            state.busy = false;
            state.ended = Some((status, information));
        }
        Self::run(&this);
    }

    fn ended_accept(this: Shared<Self>, status: NTSTATUS, information: usize) {
        {
            let mut state = this.state.lock();
            state.accepting = false;
            state.accepted = Some((status, information));
        }
        Self::run(&this);
    }
}
