//! The port space: which local addresses and ports are in use, and who listens where.
//!
//! One per software adapter, shared by all its opens. An entry stays as long as the object that made it has a life: a
//! listener's port is busy until the listener and every connector it accepted are closed.

use core::net::{IpAddr, SocketAddr};

use abi::NTSTATUS;
use abi::status::{
    STATUS_ADDRESS_ALREADY_EXISTS, STATUS_INVALID_ADDRESS, STATUS_SHARING_VIOLATION,
    STATUS_TOO_MANY_ADDRESSES,
};
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, PoolBox, PoolSlice, Shared};

use crate::address::same_endpoint;
use crate::life::Hold;
use crate::listener::Listener;
use crate::tag;

/// Chains of entries, found by the low bits of the port.
const CHAINS: usize = 1024;

/// What holds an entry.
#[derive(Debug)]
enum Use {
    /// A connector that connected from there, or a shared endpoint.
    Endpoint,
    Listener(Shared<Listener>),
    /// A connection from a shared endpoint; the endpoint has an entry of its own.
    Pair(SocketAddr),
}

#[derive(Debug)]
struct Entry {
    next: Option<PoolBox<Self>>,
    local: SocketAddr,
    held_by: Use,
}

/// The port space of one software adapter.
#[derive(Debug)]
pub(crate) struct PortSpace {
    addresses: PoolSlice<IpAddr>,
    ephemeral: (u16, u16),
    table: SpinLock<Table>,
}

#[derive(Debug)]
struct Table {
    chains: PoolSlice<Option<PoolBox<Entry>>>,
    next_ephemeral: u16,
}

impl PortSpace {
    pub(crate) fn new(addresses: &[IpAddr], ephemeral: (u16, u16)) -> Result<Self, AllocError> {
        let unspecified = IpAddr::from([0; 4]);
        let copied = PoolSlice::try_new_with(tag::PORT, addresses.len(), |index| {
            addresses.get(index).copied().unwrap_or(unspecified)
        })?;
        let chains = PoolSlice::try_new_with(tag::PORT, CHAINS, |_| None)?;
        let table = SpinLock::new(Table { chains, next_ephemeral: ephemeral.0 });
        Ok(Self { addresses: copied, ephemeral, table })
    }

    /// Whether the adapter has this address.
    pub(crate) fn is_local(&self, ip: IpAddr) -> bool {
        !ip.is_unspecified() && self.addresses.contains(&ip)
    }

    /// Takes a local endpoint for a connector or a shared endpoint; port 0 asks for any free one.
    ///
    /// # Errors
    /// `STATUS_INVALID_ADDRESS`, `STATUS_SHARING_VIOLATION`, `STATUS_TOO_MANY_ADDRESSES`,
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub(crate) fn bind(&self, local: SocketAddr) -> Result<SocketAddr, NTSTATUS> {
        self.insert(local, Use::Endpoint)
    }

    /// Takes a local endpoint for a listener.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind).
    pub(crate) fn listen(
        &self,
        local: SocketAddr,
        listener: &Shared<Listener>,
    ) -> Result<SocketAddr, NTSTATUS> {
        self.insert(local, Use::Listener(listener.clone()))
    }

    fn insert(&self, mut local: SocketAddr, held_by: Use) -> Result<SocketAddr, NTSTATUS> {
        if !self.is_local(local.ip()) {
            return Err(STATUS_INVALID_ADDRESS);
        }
        let entry = PoolBox::try_new(tag::PORT, Entry { next: None, local, held_by })?;
        let mut table = self.table.lock();
        if local.port() == 0 {
            local.set_port(table.free_port(local, self.ephemeral).ok_or(STATUS_TOO_MANY_ADDRESSES)?);
        } else if table.in_use(&local) {
            return Err(STATUS_SHARING_VIOLATION);
        }
        table.add(entry, local);
        Ok(local)
    }

    /// Notes a connection from a shared endpoint, so that the four-tuple stays unique.
    ///
    /// # Errors
    /// `STATUS_ADDRESS_ALREADY_EXISTS`, `STATUS_INSUFFICIENT_RESOURCES`.
    pub(crate) fn pair(&self, local: SocketAddr, remote: SocketAddr) -> Result<(), NTSTATUS> {
        let entry = PoolBox::try_new(tag::PORT, Entry { next: None, local, held_by: Use::Pair(remote) })?;
        let mut table = self.table.lock();
        let same = |entry: &Entry| match &entry.held_by {
            Use::Pair(other) => same_endpoint(&entry.local, &local) && same_endpoint(other, &remote),
            Use::Endpoint | Use::Listener(_) => false,
        };
        if table.chain(&local).any(same) {
            return Err(STATUS_ADDRESS_ALREADY_EXISTS);
        }
        table.add(entry, local);
        Ok(())
    }

    /// Gives an endpoint back.
    pub(crate) fn unbind(&self, local: SocketAddr) {
        let gone = self.table.lock().remove(&local, |held_by| !matches!(held_by, Use::Pair(_)));
        drop(gone);
    }

    /// Forgets a connection from a shared endpoint.
    pub(crate) fn unpair(&self, local: SocketAddr, remote: SocketAddr) {
        let gone = self
            .table
            .lock()
            .remove(&local, |held_by| matches!(held_by, Use::Pair(other) if same_endpoint(other, &remote)));
        drop(gone);
    }

    /// Whether `address` is a listener's, taking requests now or not.
    pub(crate) fn listens(&self, address: &SocketAddr) -> bool {
        let table = self.table.lock();
        let is_listener =
            |entry: &Entry| matches!(entry.held_by, Use::Listener(_)) && same_endpoint(&entry.local, address);
        table.chain(address).any(is_listener)
    }

    /// The listener at `address`, held open, if there is one that takes requests now.
    pub(crate) fn listener(&self, address: &SocketAddr) -> Option<Hold<Listener>> {
        let table = self.table.lock();
        let mut listeners = table.chain(address).filter_map(|entry| match &entry.held_by {
            Use::Listener(listener) if same_endpoint(&entry.local, address) => Some(listener),
            _ => None,
        });
        listeners.next().and_then(Listener::hold_if_listening)
    }
}

impl Table {
    fn chain_index(address: &SocketAddr) -> usize {
        address.port() as usize % CHAINS
    }

    fn chain(&self, address: &SocketAddr) -> impl Iterator<Item = &Entry> {
        let mut next = self.chains.get(Self::chain_index(address)).and_then(Option::as_ref);
        core::iter::from_fn(move || {
            let entry = next?;
            next = entry.next.as_ref();
            Some(&**entry)
        })
    }

    fn in_use(&self, local: &SocketAddr) -> bool {
        self.chain(local).any(|entry| same_endpoint(&entry.local, local))
    }

    /// A free port of the range, the next one after the last given out first.
    fn free_port(&mut self, mut local: SocketAddr, (first, last): (u16, u16)) -> Option<u16> {
        for _ in first..=last {
            let port = self.next_ephemeral;
            self.next_ephemeral = if port >= last { first } else { port + 1 };
            local.set_port(port);
            if !self.in_use(&local) {
                return Some(port);
            }
        }
        None
    }

    fn add(&mut self, mut entry: PoolBox<Entry>, local: SocketAddr) {
        entry.local = local;
        if let Some(first) = self.chains.get_mut(Self::chain_index(&local)) {
            entry.next = first.take();
            *first = Some(entry);
        }
    }

    fn remove(&mut self, local: &SocketAddr, which: impl Fn(&Use) -> bool) -> Option<PoolBox<Entry>> {
        let mut link = self.chains.get_mut(Self::chain_index(local))?;
        while link
            .as_ref()
            .is_some_and(|entry| !(same_endpoint(&entry.local, local) && which(&entry.held_by)))
        {
            link = &mut link.as_mut()?.next;
        }
        let mut gone = link.take()?;
        *link = gone.next.take();
        Some(gone)
    }
}
