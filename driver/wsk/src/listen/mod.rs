//! Listening sockets.
//!
//! | module | does |
//! |---|---|
//! | `bind` | WskBind: from an address to adapters' listeners |
//! | `arrivals` | takes connection requests of the adapters, and what becomes of them |
//! | `inspect` | conditional accept: requests that the client judges first |
//! | `accept` | WskAccept, and the queue of established connections |
//! | `pump` | calls the client's callbacks |
//! | `tcp` | the system's listening socket beside the adapters' |
//! | `close` | WskCloseSocket, and the end that comes from below |
//!
//! A connection takes one *place* of the backlog from its request until it is established or dropped, and one in the queue
//! from then until somebody has it. All callbacks of a socket come from its pump, one after the other, never inside a
//! client's call, with no lock held and with a reference to the socket, so that its close waits for them. But requests that
//! come over TCP are the system's until they are established: it asks the client about them, under its own ids.

mod accept;
mod arrivals;
mod bind;
mod close;
mod control;
mod inspect;
mod pump;
mod tcp;

use crate::TAG_SOCKET;
use crate::callbacks::Callbacks;
use crate::client::ClientUse;
use crate::connection::Connection;
use crate::edge::LISTEN_DISPATCH;
use crate::events::{CONNECTION_EVENTS, Events, LISTEN_EVENTS};
use crate::options::Options;
use crate::socket::{Front, Socket};
use crate::system::Call;
use crate::view::SocketView;
use abi::NTSTATUS;
use abi::status::{
    STATUS_FILE_FORCED_CLOSED, STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER, STATUS_PENDING,
};
use abi::wsk::{WSK_CLIENT_LISTEN_DISPATCH, WSK_EVENT_DISABLE, WSK_FLAG_LISTEN_SOCKET};
use core::net::SocketAddr;
use core::sync::atomic::{AtomicUsize, Ordering};
use heapless::{Deque, Vec};
use irp::{IrpQueue, Outcome, OwnedIrp, QueueKind};
use kernel::dpc::Dpc;
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, Shared};
use kernel::timer::Timer;
use kernel::work::WorkItem;
use ndk::Listener;
use trace::Reason;

pub(crate) use accept::Accept;
use accept::Accepts;
pub(crate) use arrivals::{Arrivals, Caller};
use inspect::Inspections;
use tcp::Tcp;

/// Addresses one socket may listen at.
const LISTENERS: usize = 16;
/// Room of the accept queue; the setting may ask for less.
const BACKLOG_MAX: usize = 128;

/// A place in the table of sockets that is not taken yet.
pub(crate) const NO_PLACE: usize = usize::MAX;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Created,
    Binding,
    Listening,
    /// What it listens on is gone; the client is expected to close it.
    Dead,
    Closed,
}

impl Phase {
    /// What a function answers that this phase does not allow.
    const fn refusal(self) -> NTSTATUS {
        match self {
            Self::Dead => STATUS_FILE_FORCED_CLOSED,
            _ => STATUS_INVALID_DEVICE_STATE,
        }
    }
}

/// Parked requests to disable an event: each waits for the calls in progress.
pub(crate) enum Disables {}

// SAFETY: lock and queue are fields of the socket and of the state under its lock; nothing moves the state.
unsafe impl QueueKind for Disables {
    type Owner = ListenSocket;
    type State = State;
    type Record = ();

    fn lock(owner: &ListenSocket) -> &SpinLock<State> {
        &owner.state
    }

    fn queue(state: &mut State) -> &mut IrpQueue<Self> {
        &mut state.disables
    }
}

pub(crate) struct State {
    phase: Phase,
    /// Why the socket does not listen over RDMA.
    reason: Reason,
    options: Options,
    /// The WskSocket that waits for the twin.
    opening: Option<OwnedIrp>,
    /// Which callbacks are enabled, here and for the sockets that WskAcceptEvent delivers.
    events: Events,
    local: Option<SocketAddr>,
    bind: Option<OwnedIrp>,
    /// The reservation of the local address.
    bound: Option<usize>,
    listeners: Vec<Listener<Arrivals>, LISTENERS>,
    tcp: Tcp,
    accepts: IrpQueue<Accepts>,
    disables: IrpQueue<Disables>,
    close: Option<OwnedIrp>,
    arrivals: Option<Shared<Arrivals>>,
    /// Established, and waiting for WskAccept or WskAcceptEvent.
    ready: Deque<Shared<Connection>, BACKLOG_MAX>,
    /// Places taken by connections that are not established.
    half_open: usize,
    /// The requests among these that the client judges; there under conditional accept.
    inspections: Option<Inspections>,
    /// Has the pump look after held requests and after the twin; there while bound, where there are any of them.
    timer: Option<Timer>,
    /// The client is to be told that the socket is dead.
    notice: bool,
}

impl State {
    /// Why its connections come the ways that they come.
    fn reason(&self) -> Reason {
        match (self.phase, self.listeners.is_empty(), self.tcp.is_there()) {
            (Phase::Listening, false, true) => Reason::BothPaths,
            (Phase::Listening, false, false) => Reason::Rdma,
            (Phase::Listening, true, _) => self.reason,
            _ => Reason::Undecided,
        }
    }
}

/// A listening socket. It listens from WskBind on, at one address or at every adapter address of its family.
#[repr(C)]
pub(crate) struct ListenSocket {
    front: Front,
    client: ClientUse,
    ipv4: bool,
    pub(crate) callbacks: Callbacks<WSK_CLIENT_LISTEN_DISPATCH>,
    /// The stream socket that has become this one.
    _stream: Option<Shared<Connection>>,
    work: WorkItem,
    pump: Dpc,
    /// The twin's WskSocket, then its WskCloseSocket.
    twin_call: Call<ListenSocket>,
    place: AtomicUsize,
    state: SpinLock<State>,
}

impl ListenSocket {
    /// A socket for IPv4 or IPv6, entered into the table of sockets. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub(crate) fn new(
        client: ClientUse,
        ipv4: bool,
        callbacks: Callbacks<WSK_CLIENT_LISTEN_DISPATCH>,
    ) -> Result<Shared<Self>, NTSTATUS> {
        Self::make(client, ipv4, callbacks, Options::NEW, None)
    }

    /// The listening socket that a stream socket becomes; it keeps that one.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub(crate) fn of_stream(
        client: ClientUse,
        ipv4: bool,
        callbacks: Callbacks<WSK_CLIENT_LISTEN_DISPATCH>,
        options: Options,
        stream: Shared<Connection>,
    ) -> Result<Shared<Self>, NTSTATUS> {
        let this = Self::make(client, ipv4, callbacks, options, Some(stream))?;
        if options.conditional_accept {
            Self::set_conditional_accept(&this, true).inspect_err(|_| Self::forget(&this))?;
        }
        Ok(this)
    }

    fn make(
        client: ClientUse,
        ipv4: bool,
        callbacks: Callbacks<WSK_CLIENT_LISTEN_DISPATCH>,
        options: Options,
        stream: Option<Shared<Connection>>,
    ) -> Result<Shared<Self>, NTSTATUS> {
        let events = Events::new(client.static_events() & (LISTEN_EVENTS | CONNECTION_EVENTS));
        let socket: Result<Shared<Self>, AllocError> =
            Shared::try_new_cyclic(TAG_SOCKET, |this: *const Self| {
                let context = this.cast_mut().cast();
                // SAFETY: each run is asked for with a reference, which the run takes.
                let work = unsafe { WorkItem::new_unawaited(TAG_SOCKET, bind::work, context) }?;
                // SAFETY: as above.
                let pump = unsafe { Dpc::new_unawaited(TAG_SOCKET, pump::run, context) }?;
                Ok(Self {
                    front: Front::new(&LISTEN_DISPATCH),
                    client,
                    ipv4,
                    callbacks,
                    _stream: stream,
                    work,
                    pump,
                    twin_call: Call::new(Self::twin_answered),
                    place: AtomicUsize::new(NO_PLACE),
                    state: SpinLock::new(State {
                        phase: Phase::Created,
                        reason: Reason::Undecided,
                        options,
                        opening: None,
                        events,
                        local: None,
                        bind: None,
                        bound: None,
                        listeners: Vec::new(),
                        tcp: Tcp::default(),
                        accepts: IrpQueue::new(),
                        disables: IrpQueue::new(),
                        close: None,
                        arrivals: None,
                        ready: Deque::new(),
                        half_open: 0,
                        inspections: None,
                        timer: None,
                        notice: false,
                    }),
                })
            });
        let socket = socket.map_err(|e| e.status())?;
        let place =
            socket.client.provider().enlist(Socket::Listen(socket.clone())).map_err(|e| e.status())?;
        socket.place.store(place, Ordering::Release);
        Ok(socket)
    }

    /// SO_WSK_EVENT_CALLBACK; `irp` is completed if there is one, after the calls in progress of the event that it
    /// disables. Returns what WskControlSocket returns. IRQL <= DISPATCH_LEVEL, also inside a callback.
    ///
    /// Events of connections are kept for the sockets that WskAcceptEvent delivers from then on, and cannot be disabled here
    /// (INVALID_PARAMETER). INVALID_DEVICE_STATE: not bound.
    pub(crate) fn set_events(this: &Shared<Self>, mask: u32, irp: Option<OwnedIrp>) -> NTSTATUS {
        let mut state = this.state.lock();
        let changed = if state.phase != Phase::Listening {
            Err(state.phase.refusal())
        } else if mask & WSK_EVENT_DISABLE != 0 && mask & CONNECTION_EVENTS != 0 {
            Err(STATUS_INVALID_PARAMETER)
        } else {
            state.events.change(mask, LISTEN_EVENTS | CONNECTION_EVENTS)
        };
        let irp = match (changed, irp) {
            (Ok(true), Some(irp)) => {
                let parked = state.disables.park(this, irp, ());
                drop(state);
                if let Err(cancelled) = parked {
                    cancelled.complete(Outcome::CANCELLED);
                }
                return STATUS_PENDING;
            }
            (_, irp) => irp,
        };
        let waiting = !state.ready.is_empty();
        drop(state);
        if waiting {
            Self::kick(this);
        }
        crate::events::answer(changed, irp)
    }

    /// What connections that arrive from now on take over.
    pub(crate) fn inherited(&self) -> Options {
        self.state.lock().options.inherited()
    }

    /// WskGetLocalAddress.
    ///
    /// # Errors
    /// INVALID_DEVICE_STATE: not bound. FILE_FORCED_CLOSED.
    pub(crate) fn local(&self) -> Result<SocketAddr, NTSTATUS> {
        let state = self.state.lock();
        if state.phase != Phase::Listening {
            return Err(state.phase.refusal());
        }
        state.local.ok_or(STATUS_INVALID_DEVICE_STATE)
    }

    /// For the status reply.
    pub(crate) fn view(&self) -> SocketView {
        let state = self.state.lock();
        SocketView {
            rdma: (state.phase == Phase::Listening).then_some(!state.listeners.is_empty()),
            reason: state.reason(),
            local: state.local,
            ..SocketView::without_stream(WSK_FLAG_LISTEN_SOCKET, state.phase as u32)
        }
    }
}
