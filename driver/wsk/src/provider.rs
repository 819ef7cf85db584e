//! What all clients share.

use crate::TAG_PROVIDER;
use crate::clock::Clock;
use crate::connection::{Connection, Leg};
use crate::control::ndk::{NdkAdapters, NdkSource};
use crate::listen::ListenSocket;
use crate::misses::Misses;
use crate::policy::{Action, Direction, Policy};
use crate::sharing::Bound;
use crate::socket::Socket;
use crate::table::Table;
use abi::NTSTATUS;
use abi::status::{
    STATUS_ACCESS_DENIED, STATUS_ADDRESS_ALREADY_EXISTS, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_ADDRESS_COMPONENT, STATUS_NETWORK_UNREACHABLE, STATUS_TOO_MANY_ADDRESSES,
};
use core::cell::Cell;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicU32, Ordering};
use heapless::Vec;
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, Shared};
use kernel::rundown::Rundown;
use kernel::time;
use ndk::{Adapter, AdapterInfo};
use trace::{Counters, Reason, ReasonCounters};

/// Adapters one provider may have.
const ADAPTERS: usize = 16;
/// Addresses one adapter may have.
const ADDRESSES: usize = 16;
/// First port of the ephemeral range (IANA), and their number.
const EPHEMERAL: (u16, u32) = (49152, 16384);

/// Sizes, times and rules, read once when the provider starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Octets of a connection's receive ring, where SO_RCVBUF does not say another size; even.
    pub ring_octets: u32,
    /// Octets of a connection's send buffer.
    pub send_octets: u32,
    /// Connection requests that are accepted on the wire and not yet by the client, for one listener.
    pub backlog: u32,
    /// Which connections may run over RDMA or TCP.
    pub policy: Policy,
    /// How long a destination where RDMA failed is not tried again over RDMA, in units of 100 ns; 0: it always is.
    pub retry_after: u64,
    /// How long a handshake over RDMA may take before it counts as failed, in units of 100 ns.
    pub rdma_connect_limit: u64,
}

impl Settings {
    /// What is used where nothing else is set: 128 KiB each way, as Linux' rsockets; RDMA is preferred, may take five
    /// seconds, and is tried again after a minute.
    pub const DEFAULT: Self = Self {
        ring_octets: 128 << 10,
        send_octets: 128 << 10,
        backlog: 64,
        policy: Policy::PREFER,
        retry_after: time::milliseconds(60_000),
        rdma_connect_limit: time::milliseconds(5_000),
    };
}

/// An adapter and the addresses it owns.
#[derive(Clone)]
struct Entry {
    adapter: Shared<Adapter>,
    addresses: Vec<IpAddr, ADDRESSES>,
    name: [u8; 32],
}

/// The WSK provider: adapters, sockets, totals. One lives at a time.
pub struct Provider {
    pub(crate) settings: Settings,
    adapters: SpinLock<Vec<Entry, ADAPTERS>>,
    sockets: Table<Socket>,
    /// Local addresses that sockets are bound to.
    bound: Table<Bound>,
    next_port: AtomicU32,
    totals: Counters,
    reasons: ReasonCounters,
    misses: SpinLock<Misses>,
    clock: Clock,
    /// Open for other NDK consumers.
    ndk: NdkAdapters,
    users: Rundown,
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

/// One adapter, for the status reply.
#[derive(Clone, Copy)]
pub struct AdapterView {
    /// Limits and properties.
    pub info: AdapterInfo,
    /// Name, UTF-8, zero-filled.
    pub name: [u8; 32],
}

/// One socket, for the status reply.
#[derive(Clone, Copy)]
pub struct SocketView {
    /// WSK_FLAG_LISTEN_SOCKET, WSK_FLAG_CONNECTION_SOCKET or WSK_FLAG_STREAM_SOCKET.
    pub kind: u32,
    /// Whether the stream runs over NDK; `None` before that is decided.
    pub rdma: Option<bool>,
    /// Why.
    pub reason: Reason,
    /// State number of its kind.
    pub state: u32,
    /// Local address.
    pub local: Option<SocketAddr>,
    /// Remote address.
    pub remote: Option<SocketAddr>,
    /// What it has done.
    pub work: trace::Snapshot,
}

/// What [`Provider::view`] delivers.
pub enum View {
    /// An adapter; all come before the first socket.
    Adapter(AdapterView),
    /// A socket.
    Socket(SocketView),
}

impl Provider {
    /// A provider without adapters. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// No memory.
    pub fn new(settings: Settings) -> Result<Shared<Self>, AllocError> {
        let provider = Self {
            adapters: SpinLock::new(Vec::new()),
            sockets: Table::new(),
            bound: Table::new(),
            next_port: AtomicU32::new(0),
            totals: Counters::new(),
            reasons: ReasonCounters::new(),
            misses: SpinLock::new(Misses::new(settings.retry_after)),
            clock: Clock::new(),
            ndk: NdkAdapters::new(),
            users: Rundown::new()?,
            settings,
        };
        let provider = Shared::try_new(TAG_PROVIDER, provider)?;
        Clock::start(&provider)?;
        Ok(provider)
    }

    /// Adds an adapter with the addresses it owns; addresses beyond 16 are left out.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES: there are 16 adapters.
    pub fn add_adapter(
        &self,
        adapter: Shared<Adapter>,
        name: &str,
        addresses: &[IpAddr],
    ) -> Result<(), NTSTATUS> {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        let addresses = addresses.iter().copied().take(ADDRESSES).collect();
        let entry = Entry { adapter, addresses, name: bytes };
        self.adapters.lock().push(entry).map_err(|_| STATUS_INSUFFICIENT_RESOURCES)
    }

    /// Says who opens this driver's own adapters for other NDK consumers (WskOpenNdkAdapter).
    ///
    /// # Safety
    /// The source's functions may be called with its context, as their descriptions say, until [`Provider::stop`] has
    /// returned; by then everything that was opened is closed.
    pub unsafe fn set_ndk_source(&self, source: NdkSource) {
        self.ndk.set_source(source);
    }

    /// The adapter that owns `address` is gone: no new connection uses it, and sockets that have nothing else are no longer
    /// functional, which their clients are told ("WskReceiveEvent", "WskAcceptEvent"). IRQL: PASSIVE_LEVEL.
    ///
    /// `false`: no adapter owns the address.
    pub fn remove_adapter(&self, address: IpAddr) -> bool {
        let removed = {
            let mut adapters = self.adapters.lock();
            let place = adapters.iter().position(|entry| entry.addresses.contains(&address));
            place.map(|place| adapters.swap_remove(place))
        };
        let Some(entry) = removed else { return false };
        self.sockets.each(|socket| {
            match socket {
                Socket::Listen(socket) => ListenSocket::adapter_gone(&socket, &entry.addresses),
                Socket::Connection(socket) => Connection::adapter_gone(&socket, &entry.addresses),
            }
            true
        });
        entry.adapter.close();
        true
    }

    /// Waits until every client, socket and callback is gone, then closes the adapters. New clients are refused from the
    /// beginning. IRQL: PASSIVE_LEVEL.
    pub fn stop(&self) {
        self.users.wait();
        self.clock.stop();
        let adapters = core::mem::take(&mut *self.adapters.lock());
        for entry in &adapters {
            entry.adapter.close();
        }
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
        let adapters: Vec<AdapterView, ADAPTERS> = self
            .adapters
            .lock()
            .iter()
            .map(|e| AdapterView { info: *e.adapter.info(), name: e.name })
            .collect();
        for adapter in adapters {
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

    /// The number and the NDK_RDMA_TECHNOLOGY of the adapter that owns `local`.
    pub(crate) fn adapter_number(&self, local: IpAddr) -> Option<(u32, u32)> {
        let adapters = self.adapters.lock();
        let (number, entry) =
            adapters.iter().enumerate().find(|(_, entry)| entry.addresses.contains(&local))?;
        Some((u32::try_from(number).ok()?, entry.adapter.info().technology))
    }

    pub(crate) fn enlist(&self, socket: Socket) -> Result<usize, AllocError> {
        self.sockets.insert(socket)
    }

    pub(crate) fn delist(&self, place: usize) -> Option<Socket> {
        self.sockets.remove(place)
    }

    /// The adapter that owns `local`.
    pub(crate) fn adapter_at(&self, local: IpAddr) -> Option<Shared<Adapter>> {
        self.adapters.lock().iter().find(|e| e.addresses.contains(&local)).map(|e| e.adapter.clone())
    }

    /// Every adapter address of the family of `like`, with its adapter.
    pub(crate) fn addresses(&self, like: IpAddr) -> Vec<(Shared<Adapter>, IpAddr), ADDRESSES> {
        let adapters = self.adapters.lock();
        let all = adapters.iter().flat_map(|e| e.addresses.iter().map(|ip| (e.adapter.clone(), *ip)));
        all.filter(|(_, ip)| ip.is_ipv4() == like.is_ipv4()).take(ADDRESSES).collect()
    }

    /// The adapter and exact local address for a connection from `local`, which may be the wildcard, to `remote`: the
    /// adapter that owns the remote address (loopback), else the first one of the family.
    ///
    /// # Errors
    /// INVALID_ADDRESS_COMPONENT: no adapter owns `local`. NETWORK_UNREACHABLE: no adapter of this family.
    pub(crate) fn route(
        &self,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Result<(Shared<Adapter>, SocketAddr), NTSTATUS> {
        if !local.ip().is_unspecified() {
            let adapter = self.adapter_at(local.ip()).ok_or(STATUS_INVALID_ADDRESS_COMPONENT)?;
            return Ok((adapter, local));
        }
        let addresses = self.addresses(remote.ip());
        let chosen = addresses.iter().find(|(_, ip)| *ip == remote.ip()).or_else(|| addresses.first());
        let (adapter, ip) = chosen.ok_or(STATUS_NETWORK_UNREACHABLE)?;
        Ok((adapter.clone(), SocketAddr::new(*ip, local.port())))
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
        self.settings.policy.may_use_tcp(direction)
    }

    /// Which way a connect to `remote` goes first.
    pub(crate) fn plan(&self, remote: SocketAddr, has_tcp: bool) -> Plan {
        let now = time::interrupt_time_100ns();
        let only = |leg, reason| Plan { leg, falls_back: false, reason };
        match self.settings.policy.decide(Direction::Out, remote) {
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
