//! Connection requests of the adapters, until they are established connections or gone.

use super::{BACKLOG_MAX, ListenSocket, Phase, State};
use crate::connection::Connection;
use crate::peers::{Guest, Peers};
use abi::wsk::WSK_INSPECT_ID;
use core::ptr;
use kernel::lock::SpinLock;
use kernel::pool::Shared;
use ndk::{Incoming, ListenHandler};
use trace::Reason;

/// What the adapter's listeners know. They live until every connection accepted over them is closed, which is no reason
/// for the socket to: the close cuts it off here.
pub(crate) struct Arrivals(SpinLock<Option<Shared<ListenSocket>>>);

impl Arrivals {
    pub(super) fn new(socket: &Shared<ListenSocket>) -> Self {
        Self(SpinLock::new(Some(socket.clone())))
    }

    /// The socket, unless it is closed.
    pub(super) fn socket(&self) -> Option<Shared<ListenSocket>> {
        self.0.lock().clone()
    }

    /// The socket is closed: nothing arrives any more.
    pub(super) fn cut(&self) {
        let socket = self.0.lock().take();
        drop(socket);
    }

    /// A connection is established that came this way. Without a socket nobody wants it.
    pub(crate) fn established(&self, connection: Shared<Connection>) {
        let socket = self.0.lock().clone();
        let Some(socket) = socket else {
            Connection::abandon(&connection);
            return;
        };
        let (fate, twin_waits) = {
            let mut state = socket.state.lock();
            state.leave(connection.inspect_id());
            (state.take_in(connection), state.twin_waits())
        };
        ListenSocket::carry_out(&socket, fate);
        if twin_waits {
            ListenSocket::kick(&socket);
        }
    }

    /// A connection has failed that came this way, before it was established.
    pub(crate) fn failed(&self, id: Option<WSK_INSPECT_ID>) {
        let socket = self.0.lock().clone();
        if let Some(socket) = socket {
            ListenSocket::dropped(&socket, id);
        }
    }
}

impl ListenHandler for Arrivals {
    fn incoming(&self, incoming: Incoming) {
        let socket = self.0.lock().clone();
        // Dropping the request rejects it: the peer sees CONNECTION_REFUSED.
        if let Some(socket) = socket {
            // SAFETY: `self` lives inside a `Shared`, which the listener holds during this call.
            let arrivals = unsafe { Shared::clone_from_raw(ptr::from_ref(self)) };
            ListenSocket::incoming(&socket, &arrivals, incoming);
        }
    }
}

/// A request, and its place among those of its peer. Dropping it rejects it.
pub(crate) struct Caller {
    pub(crate) incoming: Incoming,
    pub(crate) guest: Guest,
}

impl core::ops::Deref for Caller {
    type Target = Incoming;

    fn deref(&self) -> &Incoming {
        &self.incoming
    }
}

/// What becomes of a request.
enum Request {
    /// It is dropped.
    Refused(Caller),
    /// There is no room: the same.
    NoRoom(Caller),
    /// The client is asked.
    Asked,
    /// It becomes a connection.
    Taken(Caller),
}

impl ListenSocket {
    /// A request has arrived. IRQL <= DISPATCH_LEVEL.
    fn incoming(this: &Shared<Self>, arrivals: &Shared<Arrivals>, incoming: Incoming) {
        // SAFETY: the socket's close IRP is completed with its last reference, and this call has one.
        let table = unsafe { this.callbacks.table() };
        // Without a callback there is nobody to ask.
        let asks = table.is_some_and(|table| table.WskInspectEvent.is_some());
        let provider = this.client.provider();
        let limit = (provider.settings.backlog as usize).min(BACKLOG_MAX);
        // One that does not name its ends is one that nobody has heard of.
        let Some((_, remote)) = incoming.addresses() else { return };
        let guest = match Peers::enter(provider.peers(), remote.ip()) {
            Ok(guest) => guest,
            Err(reason) => return provider.reasons().count(reason),
        };
        let request = this.state.lock().admit(Caller { incoming, guest }, asks, limit);
        match request {
            Request::Refused(caller) => drop(caller),
            Request::NoRoom(caller) => {
                drop(caller);
                provider.reasons().count(Reason::BacklogFull);
            }
            Request::Asked => Self::kick(this),
            Request::Taken(caller) => Self::connect(this, arrivals, caller, None),
        }
    }

    /// Makes a connection of a request that has its place. IRQL <= DISPATCH_LEVEL.
    pub(super) fn connect(
        this: &Shared<Self>,
        arrivals: &Shared<Arrivals>,
        caller: Caller,
        id: Option<WSK_INSPECT_ID>,
    ) {
        let made = Connection::incoming(&this.client, arrivals, caller, this.inherited(), id);
        if let Err(_no_memory) = made {
            Self::dropped(this, id);
        }
    }

    /// A request that has its place is gone before it became an established connection.
    pub(super) fn dropped(this: &Shared<Self>, id: Option<WSK_INSPECT_ID>) {
        let due = {
            let mut state = this.state.lock();
            let told = state.inspections.as_mut().zip(id).is_some_and(|(i, id)| i.abort(&id));
            if !told {
                state.leave(id);
            }
            told || state.twin_waits()
        };
        if due {
            Self::kick(this);
        }
    }
}

impl State {
    /// Gives a request its place, if there is room.
    fn admit(&mut self, caller: Caller, asks: bool, limit: usize) -> Request {
        // What is only posted to the system, and nobody has asked for, is in nobody's way.
        let posted = usize::from(self.tcp.is_accepting());
        let waiting = self.half_open.saturating_sub(posted).saturating_add(self.ready.len());
        // While the bind is under way the listener listens already; its connections wait.
        if !matches!(self.phase, Phase::Listening | Phase::Binding) {
            return Request::Refused(caller);
        }
        if waiting >= limit {
            return Request::NoRoom(caller);
        }
        let request = match &mut self.inspections {
            Some(inspections) if asks => match inspections.enter(caller) {
                Ok(()) => Request::Asked,
                Err(caller) => return Request::NoRoom(caller),
            },
            _ => Request::Taken(caller),
        };
        self.half_open = self.half_open.saturating_add(1);
        request
    }

    /// Gives back the place of a request that is over, and its id.
    pub(super) fn leave(&mut self, id: Option<WSK_INSPECT_ID>) {
        self.half_open = self.half_open.saturating_sub(1);
        if let Some((inspections, id)) = self.inspections.as_mut().zip(id) {
            inspections.forget(&id);
        }
    }
}
