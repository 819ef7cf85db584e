//! The connection's twin: a socket of the system's, for what does not run over RDMA.
//!
//! It is made with the socket, so that options have a place, and bound with it, so that the address is the socket's in the
//! system's eyes too. When a connect goes over TCP the twin becomes the connection: from then on the dispatch functions hand
//! the client's own IRPs to it. When it goes over RDMA the twin keeps the address, and answers for what only the system knows.
//!
//! A connection that a listening socket's twin accepts gets the accepted socket as its own. One that is accepted over RDMA
//! has none until it is asked something that only the system knows (`unserved`).

use super::tcp_events::{EVENTS, receive_ex_event};
use super::{After, Connection, Origin, Phase, State};
use crate::callbacks::Callbacks;
use crate::client::ClientUse;
use crate::listen::Arrivals;
use crate::options::Options;
use crate::policy::Direction;
use crate::system::{Owner, SystemSocket, Wait};
use abi::NTSTATUS;
use abi::nt::MDL;
use abi::status::{
    STATUS_ADDRESS_ALREADY_ASSOCIATED, STATUS_ADDRESS_ALREADY_EXISTS, STATUS_CANCELLED,
    STATUS_DEVICE_NOT_READY, STATUS_INSUFFICIENT_RESOURCES, STATUS_INTERNAL_ERROR,
    STATUS_INVALID_ADDRESS_COMPONENT, STATUS_INVALID_PARAMETER, nt_success,
};
use abi::wsk::{
    PFN_WSK_RECEIVE_EX_EVENT, PWSK_CLIENT, SOCKADDR_INET, WSK_BUF, WSK_CLIENT_CONNECTION_DISPATCH,
    WSK_EVENT_DISABLE, WSK_PROVIDER_DISPATCH,
};
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::net::SocketAddr;
use core::ptr;
use irp::{Outcome, OwnedIrp};
use kernel::pool::{PoolBox, Shared};
use kernel::region::Region;
use trace::Reason;

/// What the request that makes or establishes the twin (WskSocket, WskConnect or WskAccept) is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Establishing {
    /// There is none.
    Idle,
    /// It is about to be made, or its function has not returned.
    Starting {
        /// It is to be cancelled as soon as that can be done.
        cancel: bool,
    },
    /// It is outstanding.
    Running,
    /// Somebody is inside IoCancelIrp.
    Cancelling {
        /// It has ended meanwhile.
        ended: bool,
    },
}

/// Local and remote address of an accepted socket, written by the system.
pub(super) struct AcceptAddresses(UnsafeCell<[SOCKADDR_INET; 2]>);

// SAFETY: written by the system until the accept has ended, read after that.
unsafe impl Send for AcceptAddresses {}
// SAFETY: as above.
unsafe impl Sync for AcceptAddresses {}

/// The twin, under the connection's lock.
pub(super) struct Tcp {
    pub(super) socket: Option<SystemSocket>,
    /// The request that is establishing is its WskSocket.
    making: bool,
    pub(super) establishing: Establishing,
    /// WskCloseSocket is outstanding.
    pub(super) closing: bool,
    /// Calls of this driver's own and requests of the client that are inside the system's functions.
    users: usize,
    /// It has come to a state in which it is good for nothing but to be closed.
    pub(super) retired: bool,
    addresses: Option<PoolBox<AcceptAddresses>>,
    /// A copy of the octets of a WskConnectEx, because the client may cancel it at any moment and take its memory back.
    early: Option<Region>,
}

impl Tcp {
    pub(super) const fn new() -> Self {
        Self {
            socket: None,
            making: false,
            establishing: Establishing::Idle,
            closing: false,
            users: 0,
            retired: false,
            addresses: None,
            early: None,
        }
    }

    /// The twin is about to be made.
    pub(super) fn begin_making(&mut self) {
        self.making = true;
        self.establishing = Establishing::Starting { cancel: false };
    }

    /// Whether nobody works with the twin.
    pub(super) fn is_idle(&self) -> bool {
        self.establishing == Establishing::Idle && !self.closing && self.users == 0
    }
}

impl Connection {
    /// The twin, if it is the connection: then the system's functions serve the socket.
    pub(crate) fn tcp(&self) -> Option<SystemSocket> {
        SystemSocket::from_raw(self.tcp.load(core::sync::atomic::Ordering::Acquire))
    }

    /// One more call that goes to the twin.
    pub(crate) fn count_tcp_call(&self) {
        self.counters.tcp_calls.add(1);
    }

    /// Octets of such a call, to be sent.
    pub(crate) fn count_tcp_octets_sent(&self, octets: usize) {
        self.counters.tcp_octets_sent.add(octets as u64);
    }

    /// Context and callbacks that the system is given.
    fn system_events(&self) -> (*mut c_void, *const WSK_CLIENT_CONNECTION_DISPATCH) {
        (ptr::from_ref(self).cast_mut().cast(), &raw const EVENTS)
    }

    /// WskSocket: makes the twin, if the socket may ever need it, so that everything that is the system's has a place.
    pub(crate) fn open(this: &Shared<Self>, owner: Owner, irp: OwnedIrp) {
        let Some(system) = this.system_of_twin() else {
            return Self::with(this, |_, after| after.rare().made = Some(irp));
        };
        {
            let mut state = this.state.lock();
            state.opening = Some(irp);
            state.tcp.begin_making();
        }
        Self::make_twin(this, system, owner);
    }

    /// The system that has a part in this socket, if the policy may lead it to TCP.
    pub(super) fn system_of_twin(&self) -> Option<(PWSK_CLIENT, &'static WSK_PROVIDER_DISPATCH)> {
        self.client.system().filter(|_| self.client.provider().may_use_tcp(Direction::Out))
    }

    /// Makes the twin inside the client's call, for a socket that waits for it. IRQL <= DISPATCH_LEVEL.
    pub(super) fn make_twin(
        this: &Shared<Self>,
        system: (PWSK_CLIENT, &'static WSK_PROVIDER_DISPATCH),
        owner: Owner,
    ) {
        if let Err(status) = this.prepare_twin() {
            return Self::with(this, |state, after| {
                state.tcp.making = false;
                state.tcp.establishing = Establishing::Idle;
                state.twin_made(Err(status), after);
            });
        }
        let (context, events) = this.system_events();
        let events = (context, events.cast());
        // SAFETY: captured as long as the client; what `owner` names is valid until the client's IRP is completed, which
        // comes after the end of this call.
        let make = |irp| unsafe { SystemSocket::begin_make(system, this.ipv4, false, events, owner, irp) };
        // SAFETY: prepared, and the first call of this socket.
        unsafe { this.establish.start(this, make) };
        Self::with(this, State::started);
    }

    /// Allocates what the calls of a twin need.
    fn prepare_twin(&self) -> Result<(), NTSTATUS> {
        self.establish.prepare()?;
        self.close_twin.prepare()
    }

    /// The twin; one is made if there is none, bound to `local` if that is given. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn need_twin(
        &self,
        wait: &mut Wait,
        local: Option<SocketAddr>,
    ) -> Result<SystemSocket, NTSTATUS> {
        if let Some(twin) = self.state.lock().tcp.socket {
            return Ok(twin);
        }
        let system = self.client.system().ok_or(STATUS_DEVICE_NOT_READY)?;
        self.prepare_twin()?;
        let (context, events) = self.system_events();
        let twin = SystemSocket::make(system, wait, self.ipv4, false, (context, events.cast()))?;
        // Conditional accept is for the listening socket that a stream socket may become.
        let options = Options { conditional_accept: false, ..self.state.lock().options };
        let mut prepared = Ok(());
        if self.client.has_system_controls() {
            // SAFETY: open, and only this thread knows it.
            prepared = unsafe { twin.take_over(wait, &options) };
        }
        if let (Ok(()), Some(local)) = (prepared, local) {
            // SAFETY: as above.
            prepared = unsafe { twin.bind(wait, local) };
        }
        if let Err(status) = prepared {
            // SAFETY: as above.
            unsafe { twin.close(wait) };
            return Err(bind_status(status));
        }
        self.state.lock().tcp.socket = Some(twin);
        Ok(twin)
    }

    /// Connects the twin, which is made first if there is none. IRQL: PASSIVE_LEVEL.
    pub(super) fn connect_twin(this: &Shared<Self>) {
        let wanted = {
            let state = this.state.lock();
            if state.phase == Phase::Connecting { state.local.zip(state.remote) } else { None }
        };
        let Some((local, remote)) = wanted else {
            return Self::not_built(this, STATUS_CANCELLED, Reason::Undecided);
        };
        let twin = Wait::new().and_then(|mut wait| this.need_twin(&mut wait, Some(local)));
        let twin = match twin {
            Ok(twin) => twin,
            Err(status) => return Self::not_built(this, status, Reason::SystemRefused),
        };
        let octets = this.state.lock().connect.front().map_or(0, |request| request.buffer.len());
        // Without memory for them the connect fails below.
        let early = if octets == 0 { None } else { Region::try_new(crate::TAG_SOCKET, octets).ok() };
        let mut data = WSK_BUF { Mdl: ptr::null_mut(), Offset: 0, Length: octets };
        let goes_on = Self::with(this, |state, after| {
            state.building = false;
            if state.phase == Phase::Connecting && octets != 0 {
                match state.copy_early(early) {
                    Ok(mdl) => data.Mdl = mdl,
                    Err(status) => {
                        state.not_connected(status, after);
                        return false;
                    }
                }
            }
            if state.phase == Phase::Connecting {
                state.tcp.establishing = Establishing::Starting { cancel: false };
                return true;
            }
            state.go_on(after);
            false
        });
        if goes_on {
            // SAFETY: the twin is open and bound; what `data` describes stays until it is established.
            let connect = |irp| unsafe { twin.begin_connect(remote, &mut data, irp) };
            // SAFETY: prepared with the twin; the state admits one at a time.
            unsafe { this.establish.start(this, connect) };
            Self::with(this, State::started);
        }
    }

    /// The twin's WskSocket, WskConnect or WskAccept has ended.
    pub(super) fn twin_established(this: Shared<Self>, status: NTSTATUS, information: usize) {
        Self::with(&this, |state, after| {
            // Freed outside the lock.
            after.rare().early = state.tcp.early.take();
            state.tcp.establishing = match state.tcp.establishing {
                Establishing::Cancelling { .. } => Establishing::Cancelling { ended: true },
                _ => Establishing::Idle,
            };
            if core::mem::take(&mut state.tcp.making) {
                let made = SystemSocket::from_information(information).ok_or(STATUS_INTERNAL_ERROR);
                state.twin_made(if nt_success(status) { made } else { Err(status) }, after);
            } else if state.tcp.addresses.is_some() {
                state.twin_accepted(&this, status, information, after);
            } else {
                state.twin_connected(&this, status, after);
            }
        });
    }

    /// The twin is closed.
    pub(super) fn twin_closed(this: Shared<Self>, _status: NTSTATUS, _information: usize) {
        Self::with(&this, |state, after| {
            state.tcp.socket = None;
            state.tcp.closing = false;
            state.tcp.retired = false;
            state.go_on(after);
        });
    }

    /// Accepts on `listener`, a listening socket of the system's, into this connection, which was prepared for that.
    pub(crate) fn accept_from(this: &Shared<Self>, listener: SystemSocket) {
        let addresses = {
            let mut state = this.state.lock();
            state.tcp.establishing = Establishing::Starting { cancel: false };
            state.tcp.addresses.as_ref().map_or(ptr::null_mut(), |a| a.0.get())
        };
        let local: *mut SOCKADDR_INET = addresses.cast();
        let remote = local.wrapping_add(1);
        let accept = |irp| {
            // SAFETY: the listener is open as long as its owner lets it accept; the addresses stay until the request has ended.
            unsafe { listener.begin_accept(this.system_events(), local.cast(), remote.cast(), irp) }
        };
        // SAFETY: prepared; the state admits one at a time.
        unsafe { this.establish.start(this, accept) };
        Self::with(this, State::started);
    }

    /// A connection to accept into, of a listener whose twin accepts. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub(crate) fn to_be_accepted(
        client: &ClientUse,
        listener: &Shared<Arrivals>,
        ipv4: bool,
        inherited: Options,
    ) -> Result<Shared<Self>, NTSTATUS> {
        // SAFETY: zeros are an address of no family.
        let none: [SOCKADDR_INET; 2] = unsafe { core::mem::zeroed() };
        let addresses = PoolBox::try_new(crate::TAG_SOCKET, AcceptAddresses(UnsafeCell::new(none)))
            .map_err(|e| e.status())?;
        let client = client.try_clone().ok_or(STATUS_DEVICE_NOT_READY)?;
        let this = Self::build(
            client,
            ipv4,
            Callbacks::none(),
            Origin { stream: None, options: inherited, inspect_id: None },
            |state| {
                state.phase = Phase::Accepting;
                state.listener = Some(listener.clone());
                state.tcp.addresses = Some(addresses);
            },
        )?;
        match this.establish.prepare().and_then(|()| this.close_twin.prepare()) {
            Ok(()) => Ok(this),
            Err(status) => {
                // Not counted by the listener: it is told by the error.
                this.state.lock().listener = None;
                Self::abandon(&this);
                Err(status)
            }
        }
    }

    /// SIO_WSK_SET_RECEIVE_EX_CALLBACK of the twin. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Safety
    /// The twin is open.
    pub(super) unsafe fn set_twin_receive_ex(&self, twin: SystemSocket, on: bool) -> Result<(), NTSTATUS> {
        let trampoline: PFN_WSK_RECEIVE_EX_EVENT = receive_ex_event;
        // SAFETY: the caller's promise.
        unsafe { twin.set_receive_ex(on.then_some(trampoline)) }
    }

    /// Enables events of the twin, as far as the system lets it: `mask` is of SO_WSK_EVENT_CALLBACK.
    /// IRQL <= DISPATCH_LEVEL.
    pub(super) fn enable_twin_events(twin: SystemSocket, mask: u32) {
        let mask = mask & !WSK_EVENT_DISABLE;
        if mask == 0 {
            return;
        }
        // SAFETY: an open, connected socket.
        if let Err(status) = unsafe { twin.enable_events(mask) } {
            kernel::dbg_print!(
                kernel::print::Level::Warning,
                "the system's socket does not enable events {mask:#x}: status {status:#010x}"
            );
        }
    }
}

impl State {
    /// Takes a copy of the octets of the WskConnectEx that waits; the MDL describes it until the twin is established.
    fn copy_early(&mut self, region: Option<Region>) -> Result<*mut MDL, NTSTATUS> {
        let region = region.ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
        // Parked, so the client's memory is valid as long as the lock is held.
        let request = self.connect.front().ok_or(STATUS_CANCELLED)?;
        request.buffer.copy_out(0, &region, 0, request.buffer.len())?;
        Ok(self.tcp.early.insert(region).mdl())
    }

    /// The establishing function has returned.
    fn started(&mut self, after: &mut After) {
        if let Establishing::Starting { cancel } = self.tcp.establishing {
            self.tcp.establishing = Establishing::Running;
            if cancel {
                self.cancel_establishing(after);
            }
        }
    }

    /// Nobody wants the twin's connection any more.
    pub(super) fn cancel_establishing(&mut self, after: &mut After) {
        match &mut self.tcp.establishing {
            Establishing::Starting { cancel } => *cancel = true,
            running @ Establishing::Running => {
                *running = Establishing::Cancelling { ended: false };
                after.rare().cancel = true;
            }
            Establishing::Idle | Establishing::Cancelling { .. } => {}
        }
    }

    /// IoCancelIrp has returned.
    pub(super) fn cancelled_establishing(&mut self, after: &mut After) {
        if let Establishing::Cancelling { ended } = self.tcp.establishing {
            self.tcp.establishing = if ended { Establishing::Idle } else { Establishing::Running };
            if ended {
                self.go_on(after);
            }
        }
    }

    /// Closes the twin if nothing else is to be done with it first. `false`: there is none.
    pub(super) fn retire_twin(&mut self, after: &mut After) -> bool {
        let Some(twin) = self.tcp.socket else { return false };
        if self.tcp.is_idle() {
            self.tcp.closing = true;
            after.rare().close_twin = Some(twin);
        } else {
            // Whoever works with it goes on from there.
            self.tcp.retired = true;
        }
        true
    }

    /// Keeps the twin from being closed until [`let_go_of_twin`](Self::let_go_of_twin). `None`: it is not there.
    pub(super) fn use_twin(&mut self) -> Option<SystemSocket> {
        let twin = self.tcp.socket.filter(|_| !self.tcp.closing && !self.tcp.retired)?;
        self.tcp.users = self.tcp.users.saturating_add(1);
        Some(twin)
    }

    /// The end of such a use.
    pub(super) fn let_go_of_twin(&mut self, after: &mut After) {
        self.tcp.users = self.tcp.users.saturating_sub(1);
        if self.phase == Phase::Connected && self.tcp.retired {
            // The connection runs over RDMA.
            self.retire_twin(after);
        } else {
            self.go_on(after);
        }
    }

    /// Whether the twin is in the way of what comes next; if it is only to be closed, that is begun.
    pub(super) fn waits_for_twin(&mut self, after: &mut After) -> bool {
        if !self.tcp.is_idle() {
            return true;
        }
        self.tcp.retired && self.retire_twin(after)
    }

    /// The twin that was made with the socket is there, or the socket is not.
    fn twin_made(&mut self, made: Result<SystemSocket, NTSTATUS>, after: &mut After) {
        self.tcp.socket = made.ok();
        match (self.opening.take(), made) {
            (Some(irp), Ok(_)) => after.rare().made = Some(irp),
            (Some(irp), Err(status)) => {
                after.batch.push(irp, Outcome::failure(status));
                // The client has no socket.
                self.begin_close(after);
            }
            (None, Ok(_)) if self.phase == Phase::Binding => self.bind_in_turn(after),
            (None, Err(status)) if self.phase == Phase::Binding => self.fail_connect(status, after),
            // Cancelled meanwhile.
            (None, _) => self.go_on(after),
        }
    }

    fn twin_connected(&mut self, connection: &Shared<Connection>, status: NTSTATUS, after: &mut After) {
        if !nt_success(status) {
            return match self.phase {
                Phase::Connecting => self.not_connected(status, after),
                _ => self.go_on(after),
            };
        }
        let taken = if self.phase == Phase::Connecting { self.connect.take_next() } else { None };
        match (taken, self.tcp.socket) {
            (Some((irp, request)), Some(twin)) => {
                self.commit_to(connection, twin);
                after.rare().decided = Some(self.reason);
                let receive_ex = self.pump.receive_ex.is_some();
                after.rare().enable = self.use_twin().map(|twin| (twin, self.events.mask(), receive_ex));
                // The octets that came with it went with it.
                self.connected(connection, irp, request.without_data(), after);
            }
            (Some((irp, _)), None) => {
                after.batch.push(irp, Outcome::failure(STATUS_INTERNAL_ERROR));
                self.unwind(after);
            }
            (None, _) => {
                // Cancelled or closed: nobody hears of this connection.
                self.tcp.retired = true;
                if self.phase == Phase::Connecting { self.unwind(after) } else { self.go_on(after) }
            }
        }
    }

    fn twin_accepted(
        &mut self,
        connection: &Connection,
        status: NTSTATUS,
        information: usize,
        after: &mut After,
    ) {
        let addresses = self.tcp.addresses.take();
        after.rare().accept_ended = self.listener.clone().map(|listener| (listener, status));
        let twin = if nt_success(status) { SystemSocket::from_information(information) } else { None };
        let Some(twin) = twin else {
            return if self.phase == Phase::Accepting { self.begin_close(after) } else { self.go_on(after) };
        };
        self.tcp.socket = Some(twin);
        if self.phase != Phase::Accepting {
            return self.go_on(after);
        }
        if let Some(addresses) = addresses {
            let from: *const SOCKADDR_INET = addresses.0.get().cast();
            // SAFETY: the system has written an address, or left zeros, which are none.
            self.local = unsafe { ndk::socket_addr_from_raw(from.cast()) };
            // SAFETY: as above; the second of two.
            self.remote = unsafe { ndk::socket_addr_from_raw(from.wrapping_add(1).cast()) };
        }
        self.commit_to(connection, twin);
        after.rare().decided = Some(self.reason);
        after.rare().listener = self.listener.take().map(|listener| (listener, true));
    }

    /// The twin is the connection from now on.
    fn commit_to(&mut self, connection: &Connection, twin: SystemSocket) {
        self.phase = Phase::Connected;
        if matches!(self.reason, Reason::Undecided | Reason::Rdma) {
            self.reason = Reason::PeerChoseTcp;
        }
        connection.tcp.store(twin.as_ptr(), core::sync::atomic::Ordering::Release);
    }
}

/// An address in use is exactly ADDRESS_ALREADY_EXISTS (WskBind page), whatever the system's socket calls it. The
/// parameters of the bind are right, so what it calls a wrong one is an address of nobody here (Wine's does).
pub(crate) fn bind_status(status: NTSTATUS) -> NTSTATUS {
    match status {
        STATUS_ADDRESS_ALREADY_ASSOCIATED => STATUS_ADDRESS_ALREADY_EXISTS,
        STATUS_INVALID_PARAMETER => STATUS_INVALID_ADDRESS_COMPONENT,
        other => other,
    }
}
