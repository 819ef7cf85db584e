//! The adapter's address that a connection goes out from.
//!
//! A socket whose port was chosen for it connects from an address of its own (NdkConnect). Two kinds of sockets have *shared
//! endpoints* instead (NdkCreateSharedEndpoint):
//!
//! * Where the client has asked for the port, other sockets may be bound to it, too (SO_REUSEADDR, or a wildcard beside an
//!   exact address). The first one to connect takes the adapter's address, and all of them connect from that endpoint, each to
//!   another destination.
//! * Where a port is chosen and no TCP is possible, nobody but the adapters can say whether it is free, so it is taken there
//!   with the bind.
//!
//! A socket keeps its endpoints until it is closed, listens, or the adapter goes: as long as one of them is open, the others
//! find it.

use super::{Connection, State};
use crate::TAG_SOCKET;
use crate::adapter_status::to_client;
use crate::adapters::ADDRESSES;
use crate::socket::Socket;
use abi::NTSTATUS;
use abi::status::{STATUS_DEVICE_NOT_READY, STATUS_INSUFFICIENT_RESOURCES};
use core::net::SocketAddr;
use heapless::Vec;
use kernel::pool::Shared;
use ndk::{Adapter, SharedEndpoint};

/// Addresses that a socket has taken on adapters.
pub(super) type Endpoints = Vec<Shared<SharedEndpoint>, ADDRESSES>;

fn take(adapter: &Shared<Adapter>, address: SocketAddr) -> Result<Shared<SharedEndpoint>, NTSTATUS> {
    let endpoint = SharedEndpoint::create(adapter, address)?;
    Shared::try_new(TAG_SOCKET, endpoint).map_err(|no_memory| no_memory.status())
}

impl Connection {
    /// Takes `address`, which may be the wildcard, on every adapter that has it. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// Those of WskBind; nothing is taken.
    pub(super) fn take_everywhere(&self, address: SocketAddr) -> Result<Endpoints, NTSTATUS> {
        let provider = self.client.provider();
        let mut endpoints = Endpoints::new();
        for (adapter, ip) in provider.adapters().of_family(address.ip()) {
            if !address.ip().is_unspecified() && ip != address.ip() {
                continue;
            }
            match take(&adapter, SocketAddr::new(ip, address.port())) {
                // As many as there are addresses, so there is room.
                Ok(endpoint) => drop(endpoints.push(endpoint)),
                // It is being removed.
                Err(STATUS_DEVICE_NOT_READY) => {}
                Err(status) => return Err(to_client(status)),
            }
        }
        Ok(endpoints)
    }

    /// The shared endpoint to connect from, if this socket connects from one. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// Those of NdkCreateSharedEndpoint; DEVICE_NOT_READY: the adapter is being removed.
    pub(super) fn endpoint_to_share(
        &self,
        adapter: &Shared<Adapter>,
        local: SocketAddr,
    ) -> Result<Option<Shared<SharedEndpoint>>, NTSTATUS> {
        let provider = self.client.provider();
        let (own, asked) = {
            let state = self.state.lock();
            (state.endpoint_at(local), state.asked_for_port)
        };
        if own.is_some() || !asked {
            return Ok(own);
        }
        provider.one_at_a_time(|| {
            let mut found = None;
            provider.each_socket(|socket| {
                if let Socket::Connection(socket) = socket {
                    let theirs = socket.state.lock().endpoint_at(local);
                    found =
                        theirs.filter(|theirs| Shared::ptr_eq(theirs.adapter(), adapter)).or(found.take());
                }
            });
            let endpoint = match found {
                Some(endpoint) => endpoint,
                None => take(adapter, local)?,
            };
            let kept = self.state.lock().endpoints.push(endpoint);
            kept.map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
            self.release_lost_endpoints();
            self.state.lock().endpoint_at(local).map(Some).ok_or(STATUS_DEVICE_NOT_READY)
        })
    }

    /// Gives up what was taken on an adapter that has been removed meanwhile: either whoever removes it sees the endpoint
    /// here, or this sees that it is removed. Called when endpoints have become the socket's. IRQL <= DISPATCH_LEVEL.
    pub(super) fn release_lost_endpoints(&self) {
        let adapters = self.client.provider().adapters();
        self.release_endpoints_if(|endpoint| !adapters.has(endpoint.adapter()));
    }

    /// Gives up what was taken on an adapter that is to go. IRQL <= DISPATCH_LEVEL.
    pub(super) fn release_endpoints(&self, adapter: &Shared<Adapter>) {
        self.release_endpoints_if(|endpoint| Shared::ptr_eq(endpoint.adapter(), adapter));
    }

    fn release_endpoints_if(&self, goes: impl Fn(&SharedEndpoint) -> bool) {
        let mut gone = Endpoints::new();
        {
            let mut state = self.state.lock();
            for endpoint in core::mem::take(&mut state.endpoints) {
                let list = if goes(&endpoint) { &mut gone } else { &mut state.endpoints };
                // Both have room for all.
                let _ = list.push(endpoint);
            }
        }
        // Closed after the lock is dropped.
        drop(gone);
    }
}

impl State {
    fn endpoint_at(&self, address: SocketAddr) -> Option<Shared<SharedEndpoint>> {
        self.endpoints.iter().find(|endpoint| endpoint.address() == address).cloned()
    }
}
