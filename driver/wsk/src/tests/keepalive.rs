//! Peers that fall silent.

use std::vec::Vec;

use abi::status::{STATUS_IO_TIMEOUT, STATUS_SUCCESS};
use abi::wsk::{SIO_KEEPALIVE_VALS, WskIoctl};
use kernel::time::{interrupt_time_100ns, milliseconds};
use stream::{ConnData, Extensions, Keepalive, Offer, Word};

use super::form::Form;
use super::harness::*;
use crate::Settings;
use crate::connection::Connection as Socket;

const PORT: u16 = 44_000;

/// Much later than anything that is set here.
fn in_hours(hours: u64) -> u64 {
    interrupt_time_100ns() + hours * 3600 * milliseconds(1000)
}

fn it_is(socket: &Connection, now: u64) {
    Socket::time_has_passed(&socket.object(), now);
}

/// Private data of a peer that knows questions.
fn equal(data: ConnData) -> Vec<u8> {
    let offer = Offer { extensions: Extensions::KEEPALIVE, message_len: 4 };
    ConnData { offer: Some(offer), ..data }.encode().to_vec()
}

fn linux(data: ConnData) -> Vec<u8> {
    data.encode().to_vec()
}

fn connected(world: &World, data: impl FnOnce(ConnData) -> Vec<u8>) -> (Connection, Peer) {
    let door = Door::open(world, PORT);
    let socket = world.connection();
    let connecting = socket.connect(PORT);
    let peer = Peer::accept(world, door.take(), data);
    assert_eq!(connecting.wait().status, 0);
    assert_eq!(peer.answer(), 0);
    (socket, peer)
}

/// Everything that waits fails, and so does what comes later; the peer is told, should it live.
fn is_given_up(socket: Connection, peer: Peer, waiting: &[Transfer]) {
    for waiting in waiting {
        let end = waiting.wait();
        assert_eq!((end.status, end.information), (STATUS_IO_TIMEOUT, 0));
    }
    assert_eq!(socket.receive(1).wait().status, STATUS_IO_TIMEOUT);
    assert_eq!(socket.send(b"too late").wait().status, STATUS_IO_TIMEOUT);
    peer.is_left();
    peer.close(false);
    socket.close();
}

#[test]
fn a_peer_that_does_not_answer_is_given_up() {
    let world = World::new(Settings::DEFAULT);
    let (socket, peer) = connected(&world, equal);
    let waiting = [socket.receive(100), socket.send(&[7; 60_000])];
    let sends = socket.object().view().work.sends;
    it_is(&socket, in_hours(1));
    assert_eq!(socket.object().view().work.sends, sends + 1, "the question");
    assert!(!waiting[0].is_done() && !waiting[1].is_done());
    it_is(&socket, in_hours(2));
    is_given_up(socket, peer, &waiting);
    world.finish();
}

#[test]
fn a_peer_that_says_anything_is_kept() {
    let world = World::new(Settings::DEFAULT);
    let (socket, mut peer) = connected(&world, equal);
    let waiting = socket.receive(100);
    for hour in [1, 3, 5] {
        it_is(&socket, in_hours(hour));
        let heard = socket.object().view().work.credits_received;
        peer.say(&Word::Credit(64).octets());
        until(|| socket.object().view().work.credits_received > heard);
        it_is(&socket, in_hours(hour + 1));
    }
    assert!(!waiting.is_done());
    it_is(&socket, in_hours(7));
    it_is(&socket, in_hours(8));
    is_given_up(socket, peer, &[waiting]);
    world.finish();
}

/// A Linux peer knows no questions: nothing is sent to it, and its adapter answers for it.
#[test]
fn a_linux_peer_is_probed_and_kept() {
    let world = World::new(Settings::DEFAULT);
    let (socket, peer) = connected(&world, linux);
    let waiting = socket.receive(100);
    // The completion of its first message is a sign of life: not one that comes in between.
    until(|| socket.object().view().work.completions == 1);
    let before = socket.object().view().work;
    it_is(&socket, in_hours(1));
    for round in 1..=3 {
        let done = socket.object().view().work.completions;
        it_is(&socket, in_hours(2 * round));
        until(|| socket.object().view().work.completions > done);
        it_is(&socket, in_hours(2 * round + 1));
    }
    let work = socket.object().view().work;
    assert_eq!((work.writes, work.sends), (before.writes + 3, before.sends));
    assert!(!waiting.is_done());
    peer.close(false);
    assert_ne!(waiting.wait().status, STATUS_IO_TIMEOUT, "the adapter knows better");
    socket.close();
    world.finish();
}

/// Two sockets of ours, by the provider's own timer: they ask and answer, and the stream goes on.
#[test]
fn two_sockets_keep_each_other_alive() {
    let keepalive = Keepalive { idle: milliseconds(1), answer: milliseconds(60_000) };
    let world = World::new(Settings { keepalive, ..Settings::DEFAULT });
    let listener = world.listen(PORT);
    let near = world.connection();
    let connecting = near.connect(PORT);
    let far = Connection::from_accept(listener.accept().wait().information);
    assert_eq!(connecting.wait().status, STATUS_SUCCESS);
    for socket in [&near, &far] {
        // The other half of the peer's ring, and an answer.
        until(|| socket.object().view().work.credits_received >= 2);
    }
    let reading = far.receive(5);
    assert_eq!(near.send(b"alive").wait().status, STATUS_SUCCESS);
    assert_eq!(reading.octets(), b"alive");
    near.close();
    far.close();
    listener.close();
    world.finish();
}

/// SIO_KEEPALIVE_VALS on a connected socket: the provider's timer comes as soon as that says.
#[test]
fn the_times_can_be_set_while_connected() {
    let world = World::new(Settings::DEFAULT);
    let (socket, peer) = connected(&world, equal);
    let waiting = socket.receive(100);
    let values: Vec<u8> = [1_u32, 5, 1].iter().flat_map(|value| value.to_le_bytes()).collect();
    let set = Form::new(&values, 0).without_irp().control(socket.raw(), (WskIoctl, SIO_KEEPALIVE_VALS, 0));
    assert_eq!(set.status, STATUS_SUCCESS);
    is_given_up(socket, peer, &[waiting]);
    world.finish();
}
