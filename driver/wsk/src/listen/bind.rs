//! WskBind: from an address to adapters' listeners and a twin that listens, as the policy says.

use super::{Arrivals, LISTENERS, ListenSocket, Phase};
use crate::TAG_SOCKET;
use crate::adapter_status::to_client;
use crate::connection::Connection;
use crate::policy::{Action, Direction};
use crate::sharing::Bound;
use crate::system::Wait;
use crate::telemetry;
use abi::NTSTATUS;
use abi::status::{
    STATUS_ADDRESS_ALREADY_ASSOCIATED, STATUS_ADDRESS_ALREADY_EXISTS, STATUS_INVALID_ADDRESS,
    STATUS_INVALID_ADDRESS_COMPONENT, STATUS_INVALID_PARAMETER, STATUS_SHARING_VIOLATION,
};
use core::ffi::c_void;
use core::net::SocketAddr;
use heapless::{Deque, Vec};
use irp::{CompletionBatch, Outcome, OwnedIrp};
use kernel::pool::Shared;
use kernel::timer::Timer;
use ndk::{Adapter, Listener};
use trace::{Event, Kind, Reason};

/// What a bind has brought about.
struct Listening {
    arrivals: Shared<Arrivals>,
    local: SocketAddr,
    /// The reservation of the local address.
    place: usize,
    paths: Paths,
    timer: Option<Timer>,
}

/// Where a socket listens.
struct Paths {
    listeners: Vec<Listener<Arrivals>, LISTENERS>,
    /// The system's socket listens, too.
    tcp: bool,
    /// Why not over RDMA.
    reason: Reason,
}

/// The work item: what needs PASSIVE_LEVEL.
///
/// # Safety
/// `context` is a reference that [`ListenSocket::queue_work`] gave to this run.
pub(super) unsafe fn work(context: *mut c_void) {
    // SAFETY: the caller's promise.
    let this = unsafe { Shared::<ListenSocket>::from_raw(context.cast()) };
    ListenSocket::start_listening(&this);
    ListenSocket::end_timer(&this);
}

impl ListenSocket {
    pub(super) fn queue_work(this: &Shared<Self>) {
        let reference = Shared::into_raw(this.clone());
        if !this.work.queue() {
            // SAFETY: the run that is asked for already has a reference of its own.
            drop(unsafe { Shared::from_raw(reference) });
        }
    }

    /// WskBind: listens, in a work item because adapters are asked at PASSIVE_LEVEL.
    pub(crate) fn bind(this: &Shared<Self>, address: Option<SocketAddr>, irp: OwnedIrp) {
        let refused = match address {
            Some(address) if address.is_ipv4() == this.ipv4 => {
                let mut state = this.state.lock();
                if state.phase == Phase::Created {
                    state.phase = Phase::Binding;
                    state.local = Some(address);
                    state.bind = Some(irp);
                    drop(state);
                    return Self::queue_work(this);
                }
                state.phase.refusal()
            }
            _ => STATUS_INVALID_ADDRESS_COMPONENT,
        };
        irp.complete(Outcome::failure(refused));
    }

    /// Listens at every address that the bind names. IRQL: PASSIVE_LEVEL.
    fn start_listening(this: &Shared<Self>) {
        let (wanted, conditional) = {
            let mut state = this.state.lock();
            let wanted = if state.phase == Phase::Binding { state.local } else { None };
            if wanted.is_some() {
                state.tcp.begin();
            }
            (wanted, state.inspections.is_some())
        };
        let Some(wanted) = wanted else { return };
        let adapters = this.client.provider().adapters();
        let changes = adapters.changes();
        let result = Self::build(this, wanted, conditional);
        let mut batch = CompletionBatch::new();
        let mut left_over = None;
        let mut unwanted = Deque::new();
        let mut failed = false;
        let mut tcp = false;
        {
            let mut state = this.state.lock();
            let binding = state.phase == Phase::Binding;
            let outcome = match result {
                Ok(bound) if binding => {
                    state.phase = Phase::Listening;
                    state.arrivals = Some(bound.arrivals);
                    state.local = Some(bound.local);
                    state.bound = Some(bound.place);
                    state.listeners = bound.paths.listeners;
                    tcp = bound.paths.tcp;
                    state.reason = bound.paths.reason;
                    state.timer = bound.timer;
                    Outcome::success(0)
                }
                Ok(bound) => {
                    // Closed meanwhile, which has completed the bind.
                    left_over = Some(bound);
                    Outcome::CANCELLED
                }
                Err(status) => {
                    failed = binding;
                    if failed {
                        state.phase = Phase::Created;
                        state.local = None;
                        unwanted = core::mem::take(&mut state.ready);
                        state.half_open = 0;
                    }
                    Outcome::failure(status)
                }
            };
            if let Some(irp) = state.bind.take() {
                batch.push(irp, outcome);
            }
        }
        if let Some(Listening { arrivals, place, paths, timer, .. }) = left_over {
            drop(paths.listeners);
            drop(timer);
            arrivals.cut();
            this.client.provider().unbind(place);
        }
        Self::release_twin(this, tcp);
        let reason = this.state.lock().reason();
        this.client.provider().reasons().count(reason);
        if let (false, Some(local)) = (failed, this.state.lock().local) {
            telemetry::tell(&Event { reason, local: Some(local), ..Event::new(Kind::Listening) });
        }
        if failed {
            Self::drop_requests(this);
        }
        for connection in &unwanted {
            Connection::abandon(connection);
        }
        batch.flush();
        // For what has arrived before the socket was bound.
        Self::kick(this);
        if adapters.changes() != changes {
            Self::follow_addresses(this);
        }
    }

    fn build(this: &Shared<Self>, wanted: SocketAddr, conditional: bool) -> Result<Listening, NTSTATUS> {
        let tcp = this.client.provider().may_use_tcp(Direction::In);
        let timer = if conditional || tcp { Some(Self::new_timer(this)?) } else { None };
        let arrivals =
            Shared::try_new(TAG_SOCKET, Arrivals::new(this)).map_err(|no_memory| no_memory.status())?;
        let (local, place, paths) =
            Self::listen_at(this, &arrivals, wanted).inspect_err(|_| arrivals.cut())?;
        Ok(Listening { arrivals, local, place, paths, timer })
    }

    /// Takes the address, then listens at each of its adapter addresses and over TCP, as the policy says.
    fn listen_at(
        this: &Shared<Self>,
        arrivals: &Shared<Arrivals>,
        wanted: SocketAddr,
    ) -> Result<(SocketAddr, usize, Paths), NTSTATUS> {
        let provider = this.client.provider();
        let sharing = this.state.lock().options.sharing();
        let mut wait = Wait::new()?;
        provider.bind(Bound { address: wanted, sharing }, |address| {
            let action = match provider.policy().decide(Direction::In, address) {
                // Without the system's WSK there is only one way.
                Action::Prefer if this.client.system().is_none() => Action::Require,
                action => action,
            };
            let mut listeners = Vec::new();
            let mut reason = Reason::PolicyNever;
            if action != Action::Never {
                reason = Reason::NoAdapter;
                match this.listen_everywhere(arrivals, address, &mut listeners) {
                    Ok(()) => {}
                    Err(status) if action == Action::Require => return Err(status),
                    // Somebody else's address it is in any case.
                    Err(STATUS_ADDRESS_ALREADY_EXISTS) => return Err(STATUS_ADDRESS_ALREADY_EXISTS),
                    Err(STATUS_INVALID_ADDRESS_COMPONENT) => {}
                    Err(_) => {
                        reason = Reason::AdapterResources;
                        listeners.clear();
                    }
                }
            }
            let tcp = action != Action::Require;
            if tcp {
                Self::bind_twin(this, &mut wait, address)?;
            }
            Ok(Paths { listeners, tcp, reason })
        })
    }

    /// Listens at every adapter address that `wanted` names.
    fn listen_everywhere(
        &self,
        arrivals: &Shared<Arrivals>,
        wanted: SocketAddr,
        listeners: &mut Vec<Listener<Arrivals>, LISTENERS>,
    ) -> Result<(), NTSTATUS> {
        let places = self.places(wanted);
        if places.is_empty() {
            return Err(STATUS_INVALID_ADDRESS_COMPONENT);
        }
        for (adapter, address) in &places {
            let listener = Listener::listen(adapter, *address, arrivals.clone()).map_err(to_client)?;
            let _ = listeners.push(listener);
        }
        Ok(())
    }

    /// The adapter addresses that `wanted` names.
    fn places(&self, wanted: SocketAddr) -> Vec<(Shared<Adapter>, SocketAddr), LISTENERS> {
        let provider = self.client.provider();
        let mut places = Vec::new();
        if wanted.ip().is_unspecified() {
            for (adapter, ip) in provider.adapters().of_family(wanted.ip()) {
                let address = SocketAddr::new(ip, wanted.port());
                // A socket of that very address has what comes there ("Sharing Transport Addresses").
                if !provider.is_bound(address) {
                    let _ = places.push((adapter, address));
                }
            }
        } else if let Some(adapter) = provider.adapters().at(wanted.ip()) {
            let _ = places.push((adapter, wanted));
        }
        places
    }

    /// Adapters or their addresses have come or gone: listens at those that the bind names, and at no others. What an
    /// adapter refuses is left to TCP. IRQL: PASSIVE_LEVEL.
    pub(crate) fn follow_addresses(this: &Shared<Self>) {
        let local = {
            let state = this.state.lock();
            if state.phase == Phase::Listening { state.local } else { None }
        };
        let Some(local) = local else { return };
        if this.client.provider().policy().decide(Direction::In, local) == Action::Never {
            return;
        }
        let places = this.places(local);
        let is_at = |listener: &Listener<Arrivals>, (adapter, address): &(Shared<Adapter>, SocketAddr)| {
            listener.address() == *address && Shared::ptr_eq(listener.adapter(), adapter)
        };
        let mut gone = Vec::<_, LISTENERS>::new();
        let (arrivals, missing) = {
            let mut state = this.state.lock();
            let stale = |listener: &Listener<_>| !places.iter().any(|place| is_at(listener, place));
            while let Some(index) = state.listeners.iter().position(stale) {
                let _ = gone.push(state.listeners.swap_remove(index));
            }
            let missing = places.iter().filter(|place| !state.listeners.iter().any(|one| is_at(one, place)));
            let missing: Vec<_, LISTENERS> = missing.cloned().collect();
            (state.arrivals.clone(), missing)
        };
        drop(gone);
        let Some(arrivals) = arrivals else { return };
        for (adapter, address) in missing {
            let Ok(listener) = Listener::listen(&adapter, address, arrivals.clone()) else { continue };
            let mut state = this.state.lock();
            // An adapter that goes now finds the listener in the state; one that has gone before is found out here.
            let wanted = state.phase == Phase::Listening && this.client.provider().adapters().has(&adapter);
            let left_over = if wanted { state.listeners.push(listener).err() } else { Some(listener) };
            drop(state);
            drop(left_over);
        }
    }
}

/// The status of a bind for the status of the system's: an address in use is exactly ADDRESS_ALREADY_EXISTS (WskBind page).
pub(super) fn bind_status(status: NTSTATUS) -> NTSTATUS {
    match status {
        STATUS_SHARING_VIOLATION | STATUS_ADDRESS_ALREADY_ASSOCIATED => STATUS_ADDRESS_ALREADY_EXISTS,
        // The parameters are right: Wine's system calls an address of nobody here a wrong one.
        STATUS_INVALID_ADDRESS | STATUS_INVALID_PARAMETER => STATUS_INVALID_ADDRESS_COMPONENT,
        other => other,
    }
}
