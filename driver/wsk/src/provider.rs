//! What all clients share.

use crate::TAG_PROVIDER;
use crate::socket::Socket;
use crate::table::Table;
use abi::NTSTATUS;
use abi::status::{
    STATUS_ADDRESS_ALREADY_EXISTS, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_ADDRESS_COMPONENT,
    STATUS_NETWORK_UNREACHABLE, STATUS_TOO_MANY_ADDRESSES,
};
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicU32, Ordering};
use heapless::Vec;
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, Shared};
use kernel::rundown::Rundown;
use ndk::{Adapter, AdapterInfo};
use trace::Counters;

/// Adapters one provider may have.
const ADAPTERS: usize = 16;
/// Addresses one adapter may have.
const ADDRESSES: usize = 16;
/// First port of the ephemeral range (IANA), and their number.
const EPHEMERAL: (u16, u32) = (49152, 16384);

/// Sizes, read once when the provider starts.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Octets of a connection's receive ring; even.
    pub ring_octets: u32,
    /// Octets of a connection's send buffer.
    pub send_octets: u32,
    /// Connection requests that are accepted on the wire and not yet by the client, for one listener.
    pub backlog: u32,
}

impl Settings {
    /// What is used where nothing else is set: 128 KiB each way, as Linux' rsockets.
    pub const DEFAULT: Self = Self { ring_octets: 128 << 10, send_octets: 128 << 10, backlog: 64 };
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
    bound: Table<SocketAddr>,
    next_port: AtomicU32,
    totals: Counters,
    users: Rundown,
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
    /// WSK_FLAG_LISTEN_SOCKET or WSK_FLAG_CONNECTION_SOCKET.
    pub kind: u32,
    /// Whether the stream runs over NDK; `None` before that is decided.
    pub rdma: Option<bool>,
    /// Why.
    pub reason: trace::Reason,
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
            settings,
            adapters: SpinLock::new(Vec::new()),
            sockets: Table::new(),
            bound: Table::new(),
            next_port: AtomicU32::new(0),
            totals: Counters::new(),
            users: Rundown::new()?,
        };
        Shared::try_new(TAG_PROVIDER, provider)
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

    /// Waits until every client, socket and callback is gone, then closes the adapters. New clients are refused from the
    /// beginning. IRQL: PASSIVE_LEVEL.
    pub fn stop(&self) {
        self.users.wait();
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

    /// Reserves a local address for a connection socket; port 0 chooses an ephemeral one. Returns the address and the
    /// place to give to [`Provider::unbind`].
    ///
    /// # Errors
    /// ADDRESS_ALREADY_EXISTS, TOO_MANY_ADDRESSES (no ephemeral port free), INSUFFICIENT_RESOURCES,
    /// INVALID_ADDRESS_COMPONENT (no adapter owns the address).
    pub(crate) fn bind(&self, wanted: SocketAddr) -> Result<(SocketAddr, usize), NTSTATUS> {
        if !wanted.ip().is_unspecified() && self.adapter_at(wanted.ip()).is_none() {
            return Err(STATUS_INVALID_ADDRESS_COMPONENT);
        }
        if wanted.port() != 0 {
            return match self.reserve(wanted)? {
                Some(place) => Ok((wanted, place)),
                None => Err(STATUS_ADDRESS_ALREADY_EXISTS),
            };
        }
        for _ in 0..EPHEMERAL.1 {
            let n = self.next_port.fetch_add(1, Ordering::Relaxed) % EPHEMERAL.1;
            let port = EPHEMERAL.0.saturating_add(u16::try_from(n).unwrap_or(0));
            let address = SocketAddr::new(wanted.ip(), port);
            if let Some(place) = self.reserve(address)? {
                return Ok((address, place));
            }
        }
        Err(STATUS_TOO_MANY_ADDRESSES)
    }

    /// Reserves a local address for a socket, unless another one has it: `None`. The place is for
    /// [`Provider::unbind`].
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub(crate) fn reserve(&self, address: SocketAddr) -> Result<Option<usize>, NTSTATUS> {
        let overlaps = |other: &SocketAddr| {
            other.port() == address.port()
                && other.is_ipv4() == address.is_ipv4()
                && (other.ip() == address.ip()
                    || other.ip().is_unspecified()
                    || address.ip().is_unspecified())
        };
        self.bound.insert_unless(address, overlaps).map_err(|e| e.status())
    }

    pub(crate) fn unbind(&self, place: usize) {
        self.bound.remove(place);
    }
}
