//! The adapters that connections may run over, and the addresses they own.

use crate::connection::{Pool, PoolView};
use abi::NTSTATUS;
use abi::ndis::{NET_IFINDEX, NET_LUID};
use abi::status::{
    STATUS_DEVICE_NOT_READY, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_ADDRESS_COMPONENT,
    STATUS_NETWORK_UNREACHABLE,
};
use abi::wsk::SOCKADDR_INET;
use core::net::{IpAddr, SocketAddr};
use heapless::Vec;
use kernel::lock::SpinLock;
use kernel::pool::Shared;
use ndk::{Adapter, AdapterInfo, Fault};
use trace::{Counters, Snapshot};

use crate::TAG_PROVIDER;

/// Adapters one provider may have.
pub(crate) const ADAPTERS: usize = 16;
/// Addresses one adapter may have.
pub(crate) const ADDRESSES: usize = 16;
/// Octets of a name.
pub(crate) const NAME: usize = 32;

/// What an adapter is to the rest of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Interface<'a> {
    /// NET_LUID of the NIC; 0 for the software adapter.
    pub luid: NET_LUID,
    /// Its index.
    pub index: NET_IFINDEX,
    /// For people, UTF-8; octets beyond 32 are left out.
    pub name: &'a str,
}

/// An adapter and the addresses it owns.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) adapter: Shared<Adapter>,
    /// None for an adapter that never carried a connection.
    pool: Option<Shared<Pool>>,
    pub(crate) addresses: Vec<IpAddr, ADDRESSES>,
    luid: NET_LUID,
    index: NET_IFINDEX,
    name: [u8; NAME],
    /// What its closed connections have done; none for an adapter that never carried one.
    work: Option<Shared<Counters>>,
}

/// Which adapter.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Interface index; 0 for the software adapter.
    pub index: NET_IFINDEX,
    /// Name, UTF-8, zero-filled.
    pub name: [u8; NAME],
}

impl Entry {
    pub(crate) fn new(
        adapter: Shared<Adapter>,
        pool: Option<Shared<Pool>>,
        interface: Interface<'_>,
        addresses: &[IpAddr],
    ) -> Self {
        let Interface { luid, index, name } = interface;
        let addresses = addresses.iter().copied().take(ADDRESSES).collect();
        Self { adapter, pool, addresses, luid, index, name: fixed_name(name), work: None }
    }

    pub(crate) const fn index(&self) -> NET_IFINDEX {
        self.index
    }

    /// Closes what was made ahead, which the close of the adapter waits for. IRQL <= DISPATCH_LEVEL.
    pub(crate) fn close_pool(&self) {
        if let Some(pool) = &self.pool {
            pool.close();
        }
    }
}

/// One adapter, for the status reply.
#[derive(Clone, Copy)]
pub struct AdapterView {
    /// Limits and properties.
    pub info: AdapterInfo,
    /// Interface index; 0 for the software adapter.
    pub index: NET_IFINDEX,
    /// Name, UTF-8, zero-filled.
    pub name: [u8; NAME],
    /// Its provider does not let go of it.
    pub stuck: bool,
    /// Octets that are registered with it.
    pub registered: u64,
    /// Endpoints that are made ahead.
    pub pool: PoolView,
    /// Promises of NDKPI that its provider has broken, by the number of [`Fault`].
    pub faults: [u32; Fault::COUNT],
    /// What its closed connections have done.
    pub work: Snapshot,
}

/// A name in the form of the status reply.
pub(crate) fn fixed_name(text: &str) -> [u8; NAME] {
    let mut name = [0; NAME];
    for (to, from) in name.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    name
}

struct State {
    entries: Vec<Entry, ADAPTERS>,
    /// Those that were taken out, and that their providers do not let go of.
    stuck: Vec<Entry, ADAPTERS>,
    /// Times that an adapter or an address has come or gone.
    changes: u64,
    /// The provider stops: no more adapters.
    closed: bool,
}

/// The adapters of a provider. Methods: IRQL <= DISPATCH_LEVEL, unless they say otherwise.
pub(crate) struct Adapters(SpinLock<State>);

impl Adapters {
    pub(crate) const fn new() -> Self {
        Self(SpinLock::new(State { entries: Vec::new(), stuck: Vec::new(), changes: 0, closed: false }))
    }

    /// Adds an adapter; addresses beyond 16 are left out.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES: there are 16 adapters. DEVICE_NOT_READY: the provider stops.
    pub(crate) fn add(
        &self,
        adapter: Shared<Adapter>,
        pool: Shared<Pool>,
        interface: Interface<'_>,
        addresses: &[IpAddr],
    ) -> Result<(), NTSTATUS> {
        let work = Shared::try_new(TAG_PROVIDER, Counters::new()).map_err(|e| e.status())?;
        let entry = Entry { work: Some(work), ..Entry::new(adapter, Some(pool), interface, addresses) };
        let mut state = self.0.lock();
        if state.closed {
            return Err(STATUS_DEVICE_NOT_READY);
        }
        state.changes = state.changes.wrapping_add(1);
        state.entries.push(entry).map_err(|_| STATUS_INSUFFICIENT_RESOURCES)
    }

    /// Takes the adapter of an interface out: nothing begins on it from now on.
    pub(crate) fn take(&self, luid: NET_LUID) -> Option<Entry> {
        let mut state = self.0.lock();
        let place = state.entries.iter().position(|entry| entry.luid == luid)?;
        state.changes = state.changes.wrapping_add(1);
        Some(state.entries.swap_remove(place))
    }

    /// Takes every adapter out, and admits no other.
    pub(crate) fn take_all(&self) -> Vec<Entry, ADAPTERS> {
        let mut state = self.0.lock();
        state.closed = true;
        core::mem::take(&mut state.entries)
    }

    /// The endpoints that are made ahead on `adapter`.
    pub(crate) fn pool(&self, adapter: &Shared<Adapter>) -> Option<Shared<Pool>> {
        let state = self.0.lock();
        state.entries.iter().find(|entry| Shared::ptr_eq(&entry.adapter, adapter))?.pool.clone()
    }

    /// Keeps one that was taken out and is not closed.
    pub(crate) fn keep_stuck(&self, entry: Entry) {
        // One too many is not shown; it lives by what its provider holds.
        let _ = self.0.lock().stuck.push(entry);
    }

    /// Lets go of those that are closed after all. IRQL: PASSIVE_LEVEL.
    pub(crate) fn forget_closed(&self) {
        loop {
            let closed = {
                let mut state = self.0.lock();
                let place = state.stuck.iter().position(|entry| entry.adapter.is_closed());
                place.map(|place| state.stuck.swap_remove(place))
            };
            let Some(entry) = closed else { return };
            // It ends its thread.
            let _closed = entry.adapter.close(u64::MAX >> 1);
        }
    }

    pub(crate) fn is_stuck(&self, luid: NET_LUID) -> bool {
        self.0.lock().stuck.iter().any(|entry| entry.luid == luid)
    }

    pub(crate) fn any_stuck(&self) -> bool {
        !self.0.lock().stuck.is_empty()
    }

    /// Gives an adapter other addresses. Whether they are others, of an adapter that is there.
    pub(crate) fn set_addresses(&self, luid: NET_LUID, addresses: &[IpAddr]) -> bool {
        let mut state = self.0.lock();
        let entry = state.entries.iter_mut().find(|entry| entry.luid == luid);
        let Some(entry) = entry else { return false };
        let addresses = addresses.get(..ADDRESSES).unwrap_or(addresses);
        if entry.addresses == addresses {
            return false;
        }
        entry.addresses = addresses.iter().copied().collect();
        state.changes = state.changes.wrapping_add(1);
        true
    }

    /// Whether an adapter has not been taken out.
    pub(crate) fn has(&self, adapter: &Shared<Adapter>) -> bool {
        self.0.lock().entries.iter().any(|entry| Shared::ptr_eq(&entry.adapter, adapter))
    }

    /// A number that differs from an earlier one if an adapter or an address has come or gone meanwhile.
    pub(crate) fn changes(&self) -> u64 {
        self.0.lock().changes
    }

    /// All of them, for the status reply.
    pub(crate) fn views(&self) -> Vec<AdapterView, ADAPTERS> {
        let state = self.0.lock();
        let view = |(e, stuck): (&Entry, bool)| AdapterView {
            info: *e.adapter.info(),
            index: e.index,
            name: e.name,
            stuck,
            registered: e.adapter.registered(),
            pool: e.pool.as_ref().map(|pool| pool.view()).unwrap_or_default(),
            faults: Fault::ALL.map(|fault| e.adapter.faults(fault)),
            work: e.work.as_ref().map_or(Snapshot::ZERO, |work| work.snapshot()),
        };
        let open = state.entries.iter().map(|entry| (entry, false));
        open.chain(state.stuck.iter().map(|entry| (entry, true))).map(view).take(ADAPTERS).collect()
    }

    /// Which adapter this is; the software adapter's index and no name for one that was taken out.
    pub(crate) fn identity(&self, adapter: &Shared<Adapter>) -> Identity {
        let state = self.0.lock();
        let entry = state.entries.iter().find(|entry| Shared::ptr_eq(&entry.adapter, adapter));
        entry.map_or(Identity { index: 0, name: [0; NAME] }, |e| Identity { index: e.index, name: e.name })
    }

    /// A connection of an adapter leaves its work behind.
    pub(crate) fn add_work(&self, adapter: &Shared<Adapter>, work: &Snapshot) {
        let state = self.0.lock();
        let entry = state.entries.iter().find(|entry| Shared::ptr_eq(&entry.adapter, adapter));
        if let Some(counters) = entry.and_then(|entry| entry.work.as_ref()) {
            counters.add(work);
        }
    }

    /// The number and the NDK_RDMA_TECHNOLOGY of the adapter that owns `local`.
    pub(crate) fn number(&self, local: IpAddr) -> Option<(u32, u32)> {
        let state = self.0.lock();
        let mut numbered = state.entries.iter().enumerate();
        let (number, entry) = numbered.find(|(_, entry)| entry.addresses.contains(&local))?;
        Some((u32::try_from(number).ok()?, entry.adapter.info().technology))
    }

    /// The adapter that owns `local`.
    pub(crate) fn at(&self, local: IpAddr) -> Option<Shared<Adapter>> {
        let state = self.0.lock();
        state.entries.iter().find(|e| e.addresses.contains(&local)).map(|e| e.adapter.clone())
    }

    /// Every adapter address of the family of `like`, with its adapter.
    pub(crate) fn of_family(&self, like: IpAddr) -> Vec<(Shared<Adapter>, IpAddr), ADDRESSES> {
        let state = self.0.lock();
        let all = state.entries.iter().flat_map(|e| e.addresses.iter().map(|ip| (e.adapter.clone(), *ip)));
        all.filter(|(_, ip)| ip.is_ipv4() == like.is_ipv4()).take(ADDRESSES).collect()
    }

    /// The adapter and exact local address for a connection from `local`, which may be the wildcard, to `remote`: the
    /// adapter that owns the remote address (loopback), else the one that the system's route leads to. A machine with
    /// nothing but the software adapter has no routes to it: there it is that one. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// INVALID_ADDRESS_COMPONENT: no adapter owns `local`. NETWORK_UNREACHABLE: no adapter of this family leads there.
    pub(crate) fn route(
        &self,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Result<(Shared<Adapter>, SocketAddr), NTSTATUS> {
        if !local.ip().is_unspecified() {
            let adapter = self.at(local.ip()).ok_or(STATUS_INVALID_ADDRESS_COMPONENT)?;
            return Ok((adapter, local));
        }
        let from = |(adapter, ip)| (adapter, SocketAddr::new(ip, local.port()));
        if let Some(adapter) = self.at(remote.ip()) {
            return Ok(from((adapter, remote.ip())));
        }
        let has_nics = self.0.lock().entries.iter().any(|entry| entry.luid != 0);
        let chosen =
            if has_nics { self.routed(remote) } else { self.of_family(remote.ip()).into_iter().next() };
        chosen.map(from).ok_or(STATUS_NETWORK_UNREACHABLE)
    }

    /// The adapter of the interface that the system's route leads to, and the address that it prefers there.
    fn routed(&self, remote: SocketAddr) -> Option<(Shared<Adapter>, IpAddr)> {
        // SAFETY: an address of no family.
        let mut to: SOCKADDR_INET = unsafe { core::mem::zeroed() };
        // SAFETY: room for both families.
        unsafe { ndk::write_raw((&raw mut to).cast(), remote) };
        let (luid, source) = kernel::ip::best_route(&to).ok()?;
        // SAFETY: written by the system.
        let source = unsafe { ndk::socket_addr_from_raw((&raw const source).cast()) }?.ip();
        let state = self.0.lock();
        let entry = state.entries.iter().find(|entry| entry.luid == luid)?;
        let mut candidates = entry.addresses.iter().filter(|ip| ip.is_ipv4() == remote.is_ipv4());
        let ip = candidates.clone().find(|ip| **ip == source).or_else(|| candidates.next())?;
        Some((entry.adapter.clone(), *ip))
    }
}
