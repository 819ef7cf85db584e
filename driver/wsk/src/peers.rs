//! What each peer that connects to this machine has of it.
//!
//! A peer is an IP address. It is known here as long as it has a guest: a connection that it has opened, from the request
//! until nothing of the connection is left. What a client of this machine opens is its own affair and not counted.

use crate::TAG_PROVIDER;
use crate::table::Table;
use core::net::IpAddr;
use kernel::pool::{AllocError, Shared};
use trace::Reason;

/// What one peer may have at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections that are not established, or that no client has accepted, over all listening sockets.
    pub(crate) backlog: u32,
    /// Octets of memory of its connections.
    pub(crate) octets: u64,
}

/// All peers that have a guest.
pub(crate) struct Peers {
    limits: Limits,
    table: Table<Peer>,
}

struct Peer {
    address: IpAddr,
    guests: u32,
    /// Those among the guests that no client has accepted.
    waiting: u32,
    octets: u64,
}

/// One connection of a peer. Dropped when nothing of the connection is left. IRQL <= DISPATCH_LEVEL, also the drop.
pub(crate) struct Guest {
    peers: Shared<Peers>,
    place: usize,
    waits: bool,
    octets: u64,
}

impl Peers {
    /// # Errors
    /// No memory.
    pub(crate) fn new(limits: Limits) -> Result<Shared<Self>, AllocError> {
        Shared::try_new(TAG_PROVIDER, Self { limits, table: Table::new() })
    }

    /// Lets a connection of the peer at `address` in, which nobody has accepted yet. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// The peer has as many of these as is allowed; or there is no memory.
    pub(crate) fn enter(this: &Shared<Self>, address: IpAddr) -> Result<Guest, Reason> {
        let address = address.to_canonical();
        let unknown = Peer { address, guests: 0, waiting: 0, octets: 0 };
        let entered = this.table.change_or_insert(
            unknown,
            |peer| peer.address == address,
            |peer| {
                // A peer that is refused has others, so that its entry stays: the limit is not 0.
                let room = peer.waiting < this.limits.backlog;
                if room {
                    peer.guests = peer.guests.saturating_add(1);
                    peer.waiting = peer.waiting.saturating_add(1);
                }
                room
            },
        );
        match entered {
            Ok((place, true)) => Ok(Guest { peers: this.clone(), place, waits: true, octets: 0 }),
            Ok((_, false)) => Err(Reason::PeerBacklog),
            Err(_no_memory) => Err(Reason::AdapterResources),
        }
    }
}

impl Guest {
    /// A client has the connection.
    pub(crate) fn accepted(&mut self) {
        if core::mem::take(&mut self.waits) {
            self.peers.table.change(self.place, |peer| peer.waiting = peer.waiting.saturating_sub(1));
        }
    }

    /// The connection takes so many octets more.
    ///
    /// # Errors
    /// That is more than the peer may have.
    pub(crate) fn charge(&mut self, octets: u64) -> Result<(), Reason> {
        let most = self.peers.limits.octets;
        let charged = self.peers.table.change(self.place, |peer| {
            let sum = peer.octets.checked_add(octets).filter(|sum| *sum <= most);
            peer.octets = sum.unwrap_or(peer.octets);
            sum.is_some()
        });
        if charged != Some(true) {
            return Err(Reason::PeerMemory);
        }
        self.octets = self.octets.saturating_add(octets);
        Ok(())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.accepted();
        let octets = self.octets;
        let _gone = self.peers.table.remove_if(self.place, |peer| {
            peer.octets = peer.octets.saturating_sub(octets);
            peer.guests = peer.guests.saturating_sub(1);
            peer.guests == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn peers() -> Shared<Peers> {
        Peers::new(Limits { backlog: 2, octets: 1000 }).unwrap()
    }

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn known(peers: &Peers) -> usize {
        (0..1000).filter(|place| peers.table.change(*place, |_| ()).is_some()).count()
    }

    #[test]
    fn a_peer_waits_with_so_many_and_another_one_is_let_in() {
        let _alone = ksim::exclusive();
        let peers = peers();
        let enter = |address: &str| Peers::enter(&peers, at(address));
        let mut first = enter("10.0.0.1").unwrap();
        let second = enter("::ffff:10.0.0.1").unwrap();
        assert_eq!(enter("10.0.0.1").err(), Some(Reason::PeerBacklog));
        let other = enter("10.0.0.2").unwrap();
        first.accepted();
        first.accepted();
        let third = enter("10.0.0.1").unwrap();
        assert_eq!(enter("10.0.0.1").err(), Some(Reason::PeerBacklog));
        drop(second);
        let fourth = enter("10.0.0.1").unwrap();
        assert_eq!(known(&peers), 2);
        drop((first, third, fourth, other));
        assert_eq!(known(&peers), 0);
    }

    #[test]
    fn a_peer_has_so_many_octets_and_they_come_back() {
        let _alone = ksim::exclusive();
        let peers = peers();
        let mut first = Peers::enter(&peers, at("10.0.0.1")).unwrap();
        let mut second = Peers::enter(&peers, at("10.0.0.1")).unwrap();
        let mut other = Peers::enter(&peers, at("fe80::1")).unwrap();
        assert_eq!(first.charge(600), Ok(()));
        assert_eq!(second.charge(401), Err(Reason::PeerMemory));
        assert_eq!(second.charge(u64::MAX), Err(Reason::PeerMemory));
        assert_eq!(second.charge(400), Ok(()));
        assert_eq!(other.charge(1000), Ok(()));
        drop(first);
        assert_eq!(second.charge(600), Ok(()));
    }

    /// More peers than the table has room for at first, and each is itself.
    #[test]
    fn many_peers() {
        let _alone = ksim::exclusive();
        let peers = peers();
        let enter = |n: u8| Peers::enter(&peers, IpAddr::from([10, 0, 0, n]));
        let guests: Vec<Guest> = (0..200).flat_map(|n| [enter(n).unwrap(), enter(n).unwrap()]).collect();
        assert!((0..200).all(|n| enter(n).err() == Some(Reason::PeerBacklog)));
        assert_eq!(known(&peers), 200);
        drop(guests);
        assert_eq!(known(&peers), 0);
    }
}
