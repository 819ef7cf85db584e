//! The fabric to other machines: one end of a connection over iWARP, on a TCP connection of the system's.
//!
//! ```text
//! active   Connecting ─ TCP ─► Requested ─ reply ──► Undecided ─ complete connect ─────────────► Established
//! passive  (accepted TCP) ───► Requested ─ request ► Undecided ─ accept ► Answered ─ first FPDU ► Established (*)
//!              └── anything that ends it ───────────────┴────────────────────┴──────────────────► Closed
//! ```
//!
//! (*) Where no RTR message was agreed on also without it, after [`Iwarp::first_fpdu_timeout`](crate::Iwarp::first_fpdu_timeout).
//!
//! [`iwarp`](crate::iwarp) says what the octets mean, `wire` what is outstanding at the system, and this is their owner: it has one
//! lock, which is held for neither a call of the system's nor a callback. Whoever changes something calls [`Stream::run`]: one
//! caller at a time works off what is due, and the others leave it to that one. So nothing nests, however the system answers, and
//! nothing rests on a DPC.
//!
//! Memory is bounded: two buffers of 1 KiB until the consumer accepts or from the connect on two of 32 KiB and one for an FPDU. No
//! octet is received while the last ones are not taken, and none is made while the last ones are not sent.
//!
//! The consumer's view ends with `Closed`; TCP may outlive it for a moment, to deliver a Terminate, and holds the adapter meanwhile.

mod consumer;
mod memory;
mod outcome;
mod run;
mod startup;
mod wire;

use core::fmt;
use core::net::SocketAddr;

use kernel::call::Call;
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, PoolBox, PoolSlice, Shared};
use kernel::time::milliseconds;

use crate::adapter::Adapter;
use crate::answer::Request;
use crate::connector::Connector;
use crate::deadlines::{Deadline, Target, Waiting};
use crate::events::Job;
use crate::fabric::{DisconnectEvent, Handshake, PrivateData, ReadLimits, Side};
use crate::iwarp;
use crate::iwarp::mpa::fpdu::FPDU_LEN_MAX;
use crate::iwarp::mpa::{Agreement, Initiator, Responder, Rtr};
use crate::life::Hold;
use crate::listener::Backlog;
use crate::qp::Qp;
use crate::tag;
use crate::tcp::{Acceptor, HalfOpen, Socket, Staging, SystemWsk};

use wire::{STAGING_LEN, Wire};

/// Effective maximum segment size that FPDUs are made for, in octets: that of TCP over Ethernet. The system is not asked, as not
/// every provider would answer.
const EMSS: u32 = 1460;

/// RTR messages that a passive end takes, where the peer-to-peer model is asked for.
const RTR: Rtr = Rtr::WRITE.union(Rtr::READ);

/// How long after one Write of no octets an active end sends the next, in units of 100 ns, as often as there are numbers. siw reads
/// what arrives right behind its reply only when more arrives (`siw_qp_socket_assoc`, kernel 6.1), and says things itself meanwhile:
/// that a peer has been heard does not mean that it listens.
const REPEAT_AFTER: [u64; 3] = [milliseconds(100), milliseconds(400), milliseconds(1_600)];

/// Where the connection stands, as its consumer sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// TCP comes about, or has not been begun.
    Connecting,
    /// The request is on its way: its reply is awaited, or itself.
    Requested,
    /// The consumer has request or reply before it.
    Undecided,
    /// The accepting reply is on its way, and the initiator's first FPDU is awaited, before which nothing may be sent. Where no RTR
    /// message was agreed on it need not come: the initiator may have nothing to say.
    Answered,
    Established,
    Closed,
}

/// Who takes the octets that arrive.
#[expect(clippy::large_enum_variant, reason = "in a box, full operation would need memory when it begins")]
#[derive(Debug)]
enum Protocol {
    Initiator(Initiator),
    Responder(Responder),
    Full(iwarp::Connection<PoolSlice<u8>>),
}

/// Buffers of full operation.
struct Buffers {
    out: Staging,
    input: Staging,
    /// For an FPDU that has not arrived as a whole.
    fpdu: PoolSlice<u8>,
}

impl Buffers {
    fn new() -> Result<Self, AllocError> {
        Ok(Self {
            out: Staging::new(STAGING_LEN)?,
            input: Staging::new(STAGING_LEN)?,
            fpdu: PoolSlice::try_new_with(tag::STREAM, FPDU_LEN_MAX, |_| 0)?,
        })
    }
}

struct State {
    stage: Stage,
    wire: Wire,
    protocol: Protocol,
    /// The reply's, until the consumer completes the connect.
    agreement: Option<Agreement>,
    /// For full operation, until it begins.
    fpdu: Option<PoolSlice<u8>>,
    /// Read limits in force, or that the peer allows.
    limits: ReadLimits,
    /// Of this end, until it is sent.
    own_data: PrivateData,
    /// Of the peer.
    data: PrivateData,
    /// An RTR message was agreed on: there is no connection without it.
    needs_rtr: bool,
    qp: Option<Shared<Qp>>,
    /// The consumer's connect, accept or disconnect, while it waits.
    request: Option<Request>,
    event: Option<DisconnectEvent>,
    /// Open as long as the stream is not closed: its close closes the stream first.
    connector: Option<Shared<Connector>>,
    disconnecting: bool,
    /// Interrupt time by which the disconnect has to be over.
    disconnect_by: u64,
    /// Writes of no octets that have been asked for.
    spoken: usize,
    /// The peer has ended the connection in order.
    peer_closed: bool,
    /// The peer's consumer has rejected, so its data may be read.
    rejected: bool,
    /// The request's place with the listener, until the consumer has decided.
    backlog: Option<Backlog>,
    half_open: Option<HalfOpen>,
    /// For the close of the socket.
    close_job: Option<PoolBox<Job>>,
    /// Somebody works off what is due.
    running: bool,
    /// More has become due meanwhile.
    again: bool,
    /// Everything is over.
    over: bool,
}

/// One end of a connection over iWARP.
pub(crate) struct Stream {
    adapter: Hold<Adapter>,
    system: SystemWsk,
    side: Side,
    /// Passive: where it was accepted.
    acceptor: Option<Shared<Acceptor>>,
    /// WskSocket, WskBind, WskConnect, WskDisconnect.
    setup: Call<Self>,
    send: Call<Self>,
    receive: Call<Self>,
    close: Call<Self>,
    state: SpinLock<State>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("side", &self.side).finish_non_exhaustive()
    }
}

impl Stream {
    fn new(
        adapter: &Shared<Adapter>,
        system: SystemWsk,
        protocol: Protocol,
        acceptor: Option<&Shared<Acceptor>>,
        (local, remote): (SocketAddr, SocketAddr),
    ) -> Result<Shared<Self>, AllocError> {
        let (side, stage) = match protocol {
            Protocol::Responder(_) => (Side::Passive, Stage::Requested),
            Protocol::Initiator(_) | Protocol::Full(_) => (Side::Active, Stage::Connecting),
        };
        let state = State {
            stage,
            wire: Wire::new(local, remote)?,
            protocol,
            agreement: None,
            fpdu: None,
            limits: ReadLimits::default(),
            own_data: PrivateData::default(),
            data: PrivateData::default(),
            needs_rtr: false,
            qp: None,
            request: None,
            event: None,
            connector: None,
            disconnecting: false,
            disconnect_by: 0,
            spoken: 0,
            peer_closed: false,
            rejected: false,
            backlog: None,
            half_open: None,
            close_job: Some(Job::new()?),
            running: false,
            again: false,
            over: false,
        };
        let stream = Self {
            adapter: Hold::new(adapter),
            system,
            side,
            acceptor: acceptor.cloned(),
            setup: Call::new(Self::ended_setup),
            send: Call::new(Self::ended_send),
            receive: Call::new(Self::ended_receive),
            close: Call::new(Self::ended_close),
            state: SpinLock::new(state),
        };
        for call in [&stream.setup, &stream.send, &stream.receive, &stream.close] {
            call.prepare().map_err(|_| AllocError)?;
        }
        Shared::try_new(tag::STREAM, stream)
    }

    /// An active end that nobody has been told of, with what it needs to be begun.
    pub(crate) fn active(
        adapter: &Shared<Adapter>,
        system: SystemWsk,
        local: SocketAddr,
        remote: SocketAddr,
        handshake: &Handshake,
    ) -> Result<(Shared<Self>, PoolBox<Deadline>), AllocError> {
        let initiator = Initiator::new(startup::proposal(adapter.core(), handshake.limits));
        let stream = Self::new(adapter, system, Protocol::Initiator(initiator), None, (local, remote))?;
        let Buffers { out, input, fpdu } = Buffers::new()?;
        {
            let mut state = stream.state.lock();
            state.wire.grow(out, input);
            state.fpdu = Some(fpdu);
        }
        let deadline = Deadline::new(Waiting::Stream(stream.clone()))?;
        Ok((stream, deadline))
    }

    /// A passive end for the next TCP connection.
    pub(crate) fn passive(
        acceptor: &Shared<Acceptor>,
        adapter: &Shared<Adapter>,
        system: SystemWsk,
        local: SocketAddr,
        half_open: HalfOpen,
    ) -> Result<(Shared<Self>, PoolBox<Deadline>), AllocError> {
        let responder = Protocol::Responder(Responder::new());
        let stream = Self::new(adapter, system, responder, Some(acceptor), (local, local))?;
        let deadline = Deadline::new(Waiting::Stream(stream.clone()))?;
        stream.state.lock().half_open = Some(half_open);
        Ok((stream, deadline))
    }

    /// TCP is there.
    pub(crate) fn adopt(
        this: &Shared<Self>,
        socket: Socket,
        remote: SocketAddr,
        deadline: PoolBox<Deadline>,
    ) {
        {
            let mut state = this.state.lock();
            state.wire.adopt(socket, remote);
            this.adapter.deadlines().add(deadline, this.adapter.core().handshake_timeout());
        }
        Self::run(this);
    }

    /// Which end this is.
    pub(crate) const fn side(&self) -> Side {
        self.side
    }

    /// Address of one end.
    pub(crate) fn address(&self, side: Side) -> SocketAddr {
        let state = self.state.lock();
        if side == self.side { state.wire.local } else { state.wire.remote }
    }

    /// The peer has so long from now on, in units of 100 ns; `None`: as long as it likes.
    fn limit(&self, patience: Option<u64>) {
        self.adapter.deadlines().change(Target::Stream(self), patience);
    }
}
