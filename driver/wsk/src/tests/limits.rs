//! What a peer, and all of them together, may have: one too many is refused, counted under its reason, and let in when there
//! is room again.

use std::cell::Cell;
use std::vec::Vec;

use abi::status::{STATUS_CONNECTION_REFUSED, STATUS_QUOTA_EXCEEDED};
use stream::ConnData;
use trace::Reason;

use super::harness::*;
use crate::Settings;

const PORT: u16 = 47_050;

fn right(data: ConnData) -> Vec<u8> {
    data.encode().to_vec()
}

fn refused(world: &World, reason: Reason) -> u64 {
    world.provider.reasons().get(reason)
}

/// Takes and refuses peers as `most` says, and finds room again when one is gone.
#[track_caller]
fn holds(world: &World, most: usize, reason: Reason) {
    let listener = world.listen(PORT);
    let mut peers: Vec<Peer> = (0..most).map(|_| Peer::connect(world, PORT, right)).collect();
    for peer in &peers {
        assert_eq!(peer.answer(), 0);
    }
    for times in 1..3 {
        let one_more = Peer::connect(world, PORT, right);
        assert_eq!(one_more.answer(), STATUS_CONNECTION_REFUSED);
        assert_eq!(refused(world, reason), times);
        one_more.close(false);
    }
    let mut accepted: Vec<_> =
        (0..most).map(|_| Connection::from_accept(listener.accept().wait().information)).collect();
    accepted.pop().unwrap().close();
    peers.pop().unwrap().close(false);
    // The socket's last reference goes after its close was completed.
    let let_in = Cell::new(None);
    until(|| {
        let again = Peer::connect(world, PORT, right);
        if again.answer() == 0 {
            let_in.set(Some(again));
            return true;
        }
        again.close(false);
        false
    });
    accepted.push(Connection::from_accept(listener.accept().wait().information));
    peers.extend(let_in.take());
    for peer in peers {
        peer.close(false);
    }
    for socket in accepted {
        socket.close();
    }
    listener.close();
}

/// Connections of one peer that nobody accepts, over all listeners.
#[test]
fn a_peer_waits_with_so_many() {
    let world = World::new(Settings { peer_backlog: 3, ..Settings::DEFAULT });
    holds(&world, 3, Reason::PeerBacklog);
    let second = world.listen(PORT + 1);
    let first = world.listen(PORT);
    let peers: Vec<Peer> = (0..3).map(|n| Peer::connect(&world, PORT + n % 2, right)).collect();
    for peer in &peers {
        assert_eq!(peer.answer(), 0);
    }
    let one_more = Peer::connect(&world, PORT + 1, right);
    assert_eq!(one_more.answer(), STATUS_CONNECTION_REFUSED);
    for peer in peers.into_iter().chain([one_more]) {
        peer.close(false);
    }
    first.close();
    second.close();
    world.finish();
}

/// The memory of the connections that one peer has opened.
#[test]
fn a_peer_has_so_much_memory() {
    let world = World::new(Settings { peer_octets: 1 << 20, ..Settings::DEFAULT });
    holds(&world, 3, Reason::PeerMemory);
    world.finish();
}

/// What is registered with the adapter, of whichever side's connections.
#[test]
fn an_adapter_has_so_much_memory() {
    let world = World::new(Settings { adapter_octets: 1 << 20, ..Settings::DEFAULT });
    let listener = world.listen(PORT);
    for times in 1..3 {
        let (mut sockets, mut status) = (Vec::new(), 0);
        while status == 0 {
            let socket = world.connection();
            let accepting = listener.accept();
            status = socket.connect(PORT).wait().status;
            if status == 0 {
                sockets.push(Connection::from_accept(accepting.wait().information));
            } else {
                accepting.cancel();
                accepting.wait();
            }
            sockets.push(socket);
        }
        // Either side may be the one too many.
        assert!([STATUS_QUOTA_EXCEEDED, STATUS_CONNECTION_REFUSED].contains(&status), "{status:#x}");
        assert_eq!(refused(&world, Reason::AdapterMemory), times);
        assert!(sockets.len() > 2, "nobody was let in");
        assert!(world.view().registered <= 1 << 20);
        for socket in sockets {
            socket.close();
        }
        until(|| world.view().registered == 0);
    }
    listener.close();
    world.finish();
}

/// The listener's own limit is counted, too.
#[test]
fn a_listener_waits_with_so_many() {
    let world = World::new(Settings { backlog: 2, ..Settings::DEFAULT });
    holds(&world, 2, Reason::BacklogFull);
    world.finish();
}
