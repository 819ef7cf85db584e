//! What all clients share.

use crate::TAG_PROVIDER;
use crate::adapters::{Adapters, Entry, Interface};
use crate::clock::Clock;
use crate::connection::{Connection, Leg, Pool};
use crate::control::ndk::{NdkAdapters, NdkSource};
use crate::departures::Departures;
use crate::listen::ListenSocket;
use crate::misses::Misses;
use crate::peers::{self, Peers};
use crate::policy::{Action, Direction, Policy};
use crate::settings::Settings;
use crate::sharing::Bound;
use crate::socket::Socket;
use crate::table::Table;
use crate::telemetry;
use crate::view::View;
use abi::NTSTATUS;
use abi::ndis::NET_LUID;
use abi::status::{STATUS_ACCESS_DENIED, STATUS_ADDRESS_ALREADY_EXISTS, STATUS_TOO_MANY_ADDRESSES};
use core::cell::Cell;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::event::{Event, EventType};
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, Shared};
use kernel::rundown::Rundown;
use kernel::time;
use ndk::{Adapter, Limits};
use trace::{Counters, Kind, Reason, ReasonCounters, Snapshot};

/// First port of the ephemeral range (IANA), and their number.
const EPHEMERAL: (u16, u32) = (49152, 16384);

/// The WSK provider: adapters, sockets, totals. One lives at a time.
pub struct Provider {
    pub(crate) settings: Settings,
    /// In force: those of the settings, until they are replaced.
    policy: SpinLock<Policy>,
    departures: Departures,
    adapters: Adapters,
    sockets: Table<Socket>,
    /// Local addresses that sockets are bound to.
    bound: Table<Bound>,
    next_port: AtomicU32,
    /// Set while nobody looks for an endpoint to share.
    sharing: Event,
    totals: Counters,
    reasons: ReasonCounters,
    pub(crate) misses: SpinLock<Misses>,
    peers: Shared<Peers>,
    clock: Clock,
    /// Open for other NDK consumers.
    ndk: NdkAdapters,
    users: Rundown,
}

/// What became of an adapter that was to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Removed {
    /// The interface has none.
    None,
    /// It is closed.
    Closed,
    /// Its provider does not let go of it.
    Stuck,
}

/// Which way a connect goes first, and whether it may go the other way afterwards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) leg: Leg,
    pub(crate) falls_back: bool,
    /// Why not the other way; undecided if it may.
    pub(crate) reason: Reason,
}

/// Keeps [`Provider::stop`] waiting, and the provider's memory alive.
pub(crate) struct Use(Shared<Provider>);

impl Use {
    pub(crate) fn new(provider: &Shared<Provider>) -> Option<Self> {
        provider.users.acquire()?.forget();
        Some(Self(provider.clone()))
    }
}

impl core::ops::Deref for Use {
    type Target = Provider;

    fn deref(&self) -> &Provider {
        &self.0
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        // SAFETY: one release for the guard forgotten in `new`; the provider outlives this call through `self.0`.
        unsafe { self.0.users.release_forgotten() };
    }
}

impl Provider {
    /// A provider without adapters. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// No memory.
    pub fn new(settings: Settings) -> Result<Shared<Self>, AllocError> {
        let provider = Self {
            adapters: Adapters::new(),
            sockets: Table::new(),
            bound: Table::new(),
            next_port: AtomicU32::new(0),
            sharing: Event::new(EventType::Synchronization, true)?,
            totals: Counters::new(),
            reasons: ReasonCounters::new(),
            peers: Peers::new(peers::Limits {
                backlog: settings.peer_backlog,
                octets: settings.peer_octets,
            })?,
            misses: SpinLock::new(Misses::new(settings.retry_after)),
            clock: Clock::new(),
            ndk: NdkAdapters::new(),
            users: Rundown::new()?,
            policy: SpinLock::new(settings.policy.clone()),
            departures: Departures::new(),
            settings,
        };
        let provider = Shared::try_new(TAG_PROVIDER, provider)?;
        Clock::start(&provider)?;
        Ok(provider)
    }

    /// Adds an adapter with the addresses it owns; addresses beyond 16 are left out. Sockets that listen at the wildcard
    /// listen there, too. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES: there are 16 adapters, or there is no memory. DEVICE_NOT_READY: the provider stops. The adapter is the caller's.
    pub fn add_adapter(
        &self,
        adapter: Shared<Adapter>,
        interface: Interface<'_>,
        addresses: &[IpAddr],
    ) -> Result<(), NTSTATUS> {
        let index = interface.index;
        let pool = Pool::new(&adapter, &self.settings).map_err(|no_memory| no_memory.status())?;
        self.adapters.add(adapter, pool.clone(), interface, addresses)?;
        telemetry::tell(&trace::Event { value: index.into(), ..trace::Event::new(Kind::AdapterArrived) });
        Pool::refill(&pool);
        self.follow_addresses();
        Ok(())
    }

    /// The adapter of an interface has other addresses. Sockets that listen at the wildcard listen there, and no longer
    /// where it has none. Connections stay: they end as the network has them end. IRQL: PASSIVE_LEVEL.
    pub fn set_addresses(&self, luid: NET_LUID, addresses: &[IpAddr]) {
        if self.adapters.set_addresses(luid, addresses) {
            self.follow_addresses();
        }
    }

    fn follow_addresses(&self) {
        self.each_socket(|socket| {
            if let Socket::Listen(socket) = socket {
                ListenSocket::follow_addresses(&socket);
            }
        });
    }

    /// Says who opens this driver's own adapters for other NDK consumers (WskOpenNdkAdapter).
    ///
    /// # Safety
    /// The source's functions may be called with its context, as their descriptions say, until [`Provider::stop`] has
    /// returned; by then everything that was opened is closed.
    pub unsafe fn set_ndk_source(&self, source: NdkSource) {
        self.ndk.set_source(source);
    }

    /// The adapter of an interface is to go: no new connection uses it, those there are end, and sockets that have nothing else
    /// are no longer functional, which their clients are told ("WskReceiveEvent", "WskAcceptEvent"). Returns when it is
    /// closed; that depends on no client. An adapter whose provider does not let go of it within
    /// [`Settings::answer_limit`] is *stuck*: it is shown as such until it is closed after all ([`Provider::is_stuck`]).
    /// IRQL: PASSIVE_LEVEL, not in a work item.
    pub fn remove_adapter(&self, luid: NET_LUID) -> Removed {
        let Some(entry) = self.adapters.take(luid) else { return Removed::None };
        self.each_socket(|socket| match socket {
            Socket::Listen(socket) => ListenSocket::adapter_gone(&socket, &entry.adapter),
            Socket::Connection(socket) => Connection::adapter_gone(&socket, &entry.adapter),
        });
        entry.close_pool();
        let value = entry.index().into();
        telemetry::tell(&trace::Event { value, ..trace::Event::new(Kind::AdapterGone) });
        if entry.adapter.close(self.settings.answer_limit) {
            return Removed::Closed;
        }
        self.adapters.keep_stuck(entry);
        Removed::Stuck
    }

    /// What adapters are to be held to.
    #[must_use]
    pub const fn adapter_limits(&self) -> Limits {
        let answer = self.settings.answer_limit;
        // Twice that is waited for at most, and then there is still time for the rest of a close.
        Limits { answer, entries: answer / 3, memory: self.settings.adapter_octets }
    }

    /// Closes an adapter that was not added; as for [`Provider::remove_adapter`] one that is not closed in time is kept.
    /// IRQL: PASSIVE_LEVEL.
    pub fn give_back(&self, adapter: Shared<Adapter>, interface: Interface<'_>) {
        if !adapter.close(self.settings.answer_limit) {
            self.adapters.keep_stuck(Entry::new(adapter, None, interface, &[]));
        }
    }

    /// Whether any adapter is stuck. IRQL <= DISPATCH_LEVEL.
    #[must_use]
    pub fn has_stuck(&self) -> bool {
        self.adapters.any_stuck()
    }

    /// Whether the removed adapter of an interface is still not closed. IRQL: PASSIVE_LEVEL.
    pub fn is_stuck(&self, luid: NET_LUID) -> bool {
        self.adapters.forget_closed();
        self.adapters.is_stuck(luid)
    }

    /// The rules in force. IRQL <= DISPATCH_LEVEL.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.policy.lock().clone()
    }

    /// Puts other rules into force, for connects and listeners that begin from now on. IRQL <= DISPATCH_LEVEL.
    pub fn set_policy(&self, policy: Policy) {
        let rules = policy.rules().len();
        let old = core::mem::replace(&mut *self.policy.lock(), policy);
        // Freed without the lock.
        drop(old);
        telemetry::tell(&trace::Event { value: rules as u64, ..trace::Event::new(Kind::PolicyChanged) });
    }

    /// A connection leaves its work behind, to the totals and to the adapter it ran over, and goes. What is returned may be the
    /// last reference to it but the caller's.
    pub(crate) fn depart(
        &self,
        place: usize,
        adapter: Option<&Shared<Adapter>>,
        work: &Snapshot,
    ) -> Option<Socket> {
        self.departures.depart(|| {
            self.totals.add(work);
            if let Some(adapter) = adapter {
                self.adapters.add_work(adapter, work);
            }
            self.sockets.remove(place)
        })
    }

    /// Runs `look`, which adds up sockets and what closed ones have left behind, so that each counts once. It may be
    /// run several times, and with a lock held. IRQL <= DISPATCH_LEVEL.
    pub fn census<R>(&self, look: impl Fn() -> R) -> R {
        self.departures.census(look)
    }

    /// Waits until every client, socket and callback is gone, then closes the adapters. New clients are refused from the
    /// beginning. IRQL: PASSIVE_LEVEL.
    ///
    /// `false`: an adapter is not closed, because its provider has not let go of it within [`Settings::answer_limit`]. Whatever
    /// it was opened by must stay, and so must this driver's code: the provider may call it at any time.
    #[must_use = "what is not closed must not lose what it was opened by, nor the code that it calls"]
    pub fn stop(&self) -> bool {
        self.users.wait();
        self.clock.stop();
        let entries = self.adapters.take_all();
        // All at once, so that they take no longer than one.
        for entry in &entries {
            entry.adapter.begin_close();
            entry.close_pool();
        }
        let end = time::interrupt_time_100ns().saturating_add(self.settings.answer_limit);
        for entry in entries {
            let left = end.saturating_sub(time::interrupt_time_100ns());
            if !entry.adapter.close(left) {
                self.adapters.keep_stuck(entry);
            }
        }
        self.adapters.forget_closed();
        !self.adapters.any_stuck()
    }

    /// Totals over all connections that are closed.
    #[must_use]
    pub fn totals(&self) -> &Counters {
        &self.totals
    }

    /// How often each reason was the outcome of a decision between RDMA and TCP.
    #[must_use]
    pub fn reasons(&self) -> &ReasonCounters {
        &self.reasons
    }

    /// Delivers adapters, then sockets, until `sink` answers `false`. IRQL <= DISPATCH_LEVEL.
    pub fn view(&self, sink: &mut dyn FnMut(View) -> bool) {
        for adapter in self.adapters.views() {
            if !sink(View::Adapter(adapter)) {
                return;
            }
        }
        self.sockets.each(|socket| {
            sink(View::Socket(match &socket {
                Socket::Listen(s) => s.view(),
                Socket::Connection(s) => s.view(),
            }))
        });
    }

    pub(crate) const fn peers(&self) -> &Shared<Peers> {
        &self.peers
    }

    pub(crate) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Hands every socket to `visit`. IRQL <= DISPATCH_LEVEL.
    pub(crate) fn each_socket(&self, mut visit: impl FnMut(Socket)) {
        self.sockets.each(|socket| {
            visit(socket);
            true
        });
    }

    pub(crate) fn ndk(&self) -> &NdkAdapters {
        &self.ndk
    }

    pub(crate) const fn adapters(&self) -> &Adapters {
        &self.adapters
    }

    pub(crate) fn enlist(&self, socket: Socket) -> Result<usize, AllocError> {
        self.sockets.insert(socket)
    }

    pub(crate) fn delist(&self, place: usize) -> Option<Socket> {
        // Under the lock, so that who adds up with it held never has the last reference.
        self.departures.depart(|| self.sockets.remove(place))
    }

    /// Runs `look`, which finds an endpoint to share or makes one: never twice at once, so that nobody makes what another one
    /// is about to. IRQL: PASSIVE_LEVEL.
    pub(crate) fn one_at_a_time<R>(&self, look: impl FnOnce() -> R) -> R {
        self.sharing.wait_forever();
        let result = look();
        self.sharing.set();
        result
    }

    /// Takes a local address; port 0 chooses an ephemeral one. `also` takes it where else it must be free, and what it
    /// returns is returned beside the address and the place for [`Provider::unbind`].
    ///
    /// # Errors
    /// ADDRESS_ALREADY_EXISTS, ACCESS_DENIED (sharing), TOO_MANY_ADDRESSES (no ephemeral port free),
    /// INSUFFICIENT_RESOURCES, and those of `also`.
    pub(crate) fn bind<T>(
        &self,
        wanted: Bound,
        mut also: impl FnMut(SocketAddr) -> Result<T, NTSTATUS>,
    ) -> Result<(SocketAddr, usize, T), NTSTATUS> {
        let mut take = |bound: Bound| {
            let place = self.reserve(bound)?;
            match also(bound.address) {
                Ok(other) => Ok((bound.address, place, other)),
                Err(status) => {
                    self.unbind(place);
                    Err(status)
                }
            }
        };
        if wanted.address.port() != 0 {
            return take(wanted);
        }
        for _ in 0..EPHEMERAL.1 {
            let address = SocketAddr::new(wanted.address.ip(), self.ephemeral_port());
            match take(Bound { address, ..wanted }) {
                Err(STATUS_ADDRESS_ALREADY_EXISTS | STATUS_ACCESS_DENIED) => {}
                result => return result,
            }
        }
        Err(STATUS_TOO_MANY_ADDRESSES)
    }

    /// The next port of the ephemeral range; it may be in use.
    pub(crate) fn ephemeral_port(&self) -> u16 {
        let n = self.next_port.fetch_add(1, Ordering::Relaxed) % EPHEMERAL.1;
        EPHEMERAL.0.saturating_add(u16::try_from(n).unwrap_or(0))
    }

    /// Reserves a local address for a socket, and returns its place, for [`Provider::unbind`].
    ///
    /// # Errors
    /// ADDRESS_ALREADY_EXISTS, ACCESS_DENIED: a socket that has it does not share it. INSUFFICIENT_RESOURCES.
    pub(crate) fn reserve(&self, bound: Bound) -> Result<usize, NTSTATUS> {
        let refused = Cell::new(STATUS_ADDRESS_ALREADY_EXISTS);
        let conflicts = |first: &Bound| match first.admits(&bound) {
            Ok(()) => false,
            Err(status) => {
                refused.set(status);
                true
            }
        };
        self.bound.insert_unless(bound, conflicts).map_err(|e| e.status())?.ok_or(refused.get())
    }

    /// Whether a socket is bound to exactly this address.
    pub(crate) fn is_bound(&self, address: SocketAddr) -> bool {
        let mut found = false;
        self.bound.each(|bound| {
            found = bound.address == address;
            !found
        });
        found
    }

    /// Whether a connection in this direction may ever run over TCP.
    pub(crate) fn may_use_tcp(&self, direction: Direction) -> bool {
        self.policy().may_use_tcp(direction)
    }

    /// Which way a connect to `remote` goes first.
    pub(crate) fn plan(&self, remote: SocketAddr, has_tcp: bool) -> Plan {
        let now = time::interrupt_time_100ns();
        let only = |leg, reason| Plan { leg, falls_back: false, reason };
        match self.policy().decide(Direction::Out, remote) {
            Action::Require => only(Leg::Rdma, Reason::PolicyRequire),
            Action::Never => only(Leg::Tcp, Reason::PolicyNever),
            Action::Prefer if !has_tcp => only(Leg::Rdma, Reason::NoSystemProvider),
            Action::Prefer if self.misses.lock().remembers(remote, now) => {
                only(Leg::Tcp, Reason::NegativeCache)
            }
            Action::Prefer => Plan { leg: Leg::Rdma, falls_back: true, reason: Reason::Undecided },
        }
    }

    /// RDMA leads to `remote`, whatever it did before.
    pub(crate) fn rdma_reached(&self, remote: SocketAddr) {
        self.misses.lock().forget(remote);
    }

    /// RDMA does not lead to `remote`: remembered for a while.
    pub(crate) fn rdma_missed(&self, remote: SocketAddr) {
        let now = time::interrupt_time_100ns();
        self.misses.lock().remember(remote, now);
    }

    pub(crate) fn unbind(&self, place: usize) {
        self.bound.remove(place);
    }
}
