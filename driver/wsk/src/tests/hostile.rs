//! Peers that say what no socket of ours says, or leave without a word.

use std::vec;
use std::vec::Vec;

use abi::NTSTATUS;
use abi::status::{
    STATUS_CONNECTION_ABORTED, STATUS_CONNECTION_DISCONNECTED, STATUS_CONNECTION_REFUSED,
    STATUS_CONNECTION_RESET, STATUS_SUCCESS,
};
use stream::{ConnData, Word};

use super::harness::*;
use crate::Settings;

const PORT: u16 = 40_001;
const LOST: [NTSTATUS; 3] =
    [STATUS_CONNECTION_RESET, STATUS_CONNECTION_ABORTED, STATUS_CONNECTION_DISCONNECTED];

fn right(data: ConnData) -> Vec<u8> {
    data.encode().to_vec()
}

/// A socket that has connected to a peer made by hand.
fn connected(world: &World) -> (Connection, Peer) {
    let door = Door::open(world, PORT);
    let socket = world.connection();
    let connecting = socket.connect(PORT);
    let peer = Peer::accept(world, door.take(), right);
    assert_eq!(connecting.wait().status, 0);
    assert_eq!(peer.answer(), 0);
    (socket, peer)
}

/// The socket sees a loss: never octets, never an end of the stream. It can be closed.
fn is_lost(socket: Connection, waiting: &Transfer) {
    let end = waiting.wait();
    assert!(LOST.contains(&end.status), "{:#x}", end.status);
    assert_eq!(end.information, 0);
    let again = socket.receive(1).wait().status;
    assert!(LOST.contains(&again), "{again:#x}");
    assert_ne!(socket.send(b"too late").wait().status, 0);
    assert_ne!(socket.disconnect().wait().status, 0);
    socket.close();
}

/// The peer ends both directions while sends wait for room that it never gives: they all end, none is taken for sent, and
/// the reader gets an end in order.
#[test]
fn a_peer_disconnects_while_sends_wait() {
    let world = World::new(Settings::DEFAULT);
    let (socket, mut peer) = connected(&world);
    let reading = socket.receive(100);
    // As much as the peer takes, what fits into the send buffer, and what waits behind.
    let sends: Vec<Transfer> =
        [ROOM as usize, 60_000, 60_000, 60_000].iter().map(|length| socket.send(&vec![7; *length])).collect();
    let ending = socket.disconnect();
    assert_eq!(sends[0].wait().status, STATUS_SUCCESS);
    assert!(!sends[1].is_done() && !sends[3].is_done(), "there is no room for more");
    peer.say(&Word::Disconnect.octets());
    for send in &sends[1..] {
        let end = send.wait();
        assert_eq!((end.status, end.information), (STATUS_CONNECTION_DISCONNECTED, 0));
    }
    assert_eq!(ending.wait().status, STATUS_SUCCESS, "nothing is left to disconnect");
    for reading in [reading, socket.receive(100)] {
        let end = reading.wait();
        assert_eq!((end.status, end.information), (STATUS_SUCCESS, 0));
    }
    peer.is_left();
    peer.close(true);
    socket.close();
    world.finish();
}

/// The same without a disconnect of ours: a later send and disconnect fail, and the close is quick.
#[test]
fn a_peer_disconnects_and_stays() {
    let world = World::new(Settings::DEFAULT);
    let (socket, mut peer) = connected(&world);
    peer.say(&Word::Disconnect.octets());
    assert_eq!(socket.receive(100).wait().status, STATUS_SUCCESS);
    assert_ne!(socket.send(b"too late").wait().status, 0);
    peer.is_left();
    // The graceful goodbye is never answered; the close does not wait for it.
    socket.close();
    peer.close(false);
    world.finish();
}

/// What is no message of the protocol ends the connection.
#[test]
fn a_peer_breaks_the_protocol() {
    let reserved = [1u32, 2, 3, 5].map(|operation| (operation << 29).to_le_bytes().to_vec());
    let wrong = [
        // No octets, more than the ring has room for, more credit than was sent.
        Word::Data(0).octets().to_vec(),
        Word::Data(1 << 20).octets().to_vec(),
        Word::Credit(1000).octets().to_vec(),
        // An unknown control code.
        (7u32 << 29 | 9).to_le_bytes().to_vec(),
        // Messages of other lengths.
        vec![0; 3],
        vec![0; 2],
    ];
    let world = World::new(Settings::DEFAULT);
    for message in wrong.iter().chain(&reserved) {
        let (socket, mut peer) = connected(&world);
        let reading = socket.receive(100);
        let sending = socket.send(&[7; 60_000]);
        peer.say(message);
        let end = sending.wait();
        assert!(LOST.contains(&end.status), "{message:x?}: {:#x}", end.status);
        is_lost(socket, &reading);
        peer.is_left();
        peer.close(false);
    }
    world.finish();
}

/// A message that does not fit into a receive is the adapter's to refuse; for the socket it is a loss.
#[test]
fn a_peer_sends_a_long_message() {
    let world = World::new(Settings::DEFAULT);
    let (socket, mut peer) = connected(&world);
    let reading = socket.receive(100);
    peer.say(&[0; 64]);
    is_lost(socket, &reading);
    peer.close(false);
    world.finish();
}

/// A peer that leaves without a message has not ended the stream, however politely it leaves.
#[test]
fn a_peer_leaves_without_a_word() {
    let world = World::new(Settings::DEFAULT);
    for graceful in [false, true] {
        let (socket, peer) = connected(&world);
        let reading = socket.receive(100);
        peer.close(graceful);
        is_lost(socket, &reading);
    }
    world.finish();
}

/// After SHUTDOWN the stream has ended, and stays ended when the connection is lost.
#[test]
fn a_peer_leaves_after_it_has_finished() {
    let world = World::new(Settings::DEFAULT);
    let (socket, mut peer) = connected(&world);
    peer.say(&Word::Shutdown.octets());
    assert_eq!(socket.receive(100).wait().status, STATUS_SUCCESS);
    peer.close(false);
    let end = socket.receive(100).wait();
    assert_eq!((end.status, end.information), (STATUS_SUCCESS, 0));
    while socket.send(b"into the void").wait().status == 0 {}
    socket.close();
    world.finish();
}

/// Answers that no rsockets endpoint gives.
#[test]
fn an_answer_that_is_none() {
    let wrong: [fn(ConnData) -> Vec<u8>; 5] = [
        |_| Vec::new(),
        |_| vec![0xFF; 40],
        |data| ConnData { credits: 1, ..data }.encode().to_vec(),
        |data| ConnData { big_endian: true, ..data }.encode().to_vec(),
        |data| {
            let mut octets = data.encode().to_vec();
            octets[0] = 2;
            octets
        },
    ];
    let world = World::new(Settings::DEFAULT);
    let door = Door::open(&world, PORT);
    for data in wrong {
        let socket = world.connection();
        let connecting = socket.connect(PORT);
        let peer = Peer::accept(&world, door.take(), data);
        assert_eq!(connecting.wait().status, STATUS_CONNECTION_REFUSED);
        assert_ne!(peer.answer(), 0);
        peer.close(false);
        socket.close();
    }
    drop(door);
    world.finish();
}

/// Requests that no rsockets endpoint makes are refused, and do not disturb those that wait for others.
#[test]
fn a_request_that_is_none() {
    let world = World::new(Settings::DEFAULT);
    let listener = world.listen(PORT);
    let accepting = listener.accept();
    for data in [
        |_| Vec::new(),
        |_| vec![0xFF; 56],
        |data: ConnData| ConnData { credits: 0, ..data }.encode().to_vec(),
    ] {
        let peer = Peer::connect(&world, PORT, data);
        assert_ne!(peer.answer(), 0);
        peer.close(false);
    }
    assert!(accepting.completion().is_none(), "nobody has come yet");
    let peer = Peer::connect(&world, PORT, right);
    assert_eq!(peer.answer(), 0);
    let socket = Connection::from_accept(accepting.wait().information);
    peer.close(false);
    socket.close();
    listener.close();
    world.finish();
}

/// A listening socket holds so many connections that nobody accepts, and refuses more; when one is taken, there is room.
#[test]
fn more_connections_than_the_backlog() {
    let world = World::new(Settings { backlog: 3, ..Settings::DEFAULT });
    let listener = world.listen(PORT);
    let waiting: Vec<Peer> = (0..3).map(|_| Peer::connect(&world, PORT, right)).collect();
    for peer in &waiting {
        assert_eq!(peer.answer(), 0);
    }
    let one_more = Peer::connect(&world, PORT, right);
    assert_eq!(one_more.answer(), STATUS_CONNECTION_REFUSED);
    one_more.close(false);
    let accepted = Connection::from_accept(listener.accept().wait().information);
    let one_more = Peer::connect(&world, PORT, right);
    assert_eq!(one_more.answer(), 0);
    for peer in waiting.into_iter().chain([one_more]) {
        peer.close(false);
    }
    accepted.close();
    listener.close();
    world.finish();
}

/// A connection that is over before anybody accepts it makes room again, or is accepted and found dead.
#[test]
fn connections_that_come_and_go() {
    let world = World::new(Settings { backlog: 2, ..Settings::DEFAULT });
    let listener = world.listen(PORT);
    for _ in 0..5 {
        let peer = Peer::connect(&world, PORT, right);
        assert_eq!(peer.answer(), 0);
        peer.close(false);
        let dead = Connection::from_accept(listener.accept().wait().information);
        let reading = dead.receive(1);
        is_lost(dead, &reading);
    }
    listener.close();
    world.finish();
}
