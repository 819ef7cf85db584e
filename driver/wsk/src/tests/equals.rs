//! What two endpoints of this make do beyond rsockets version 1, as sockets do it.

use std::vec::Vec;

use abi::NTSTATUS;
use abi::status::{STATUS_CANCELLED, STATUS_CONNECTION_ABORTED, STATUS_CONNECTION_RESET, STATUS_SUCCESS};
use stream::{AbortReason, ConnData, Extensions, MAX_MESSAGE_LEN, Offer, Word};
use trace::Snapshot;

use super::harness::*;
use crate::Settings;

const PORT: u16 = 45_000;

/// Two connected sockets.
fn pair(world: &World) -> (Connection, Connection) {
    let listener = world.listen(PORT);
    let near = world.connection();
    let connecting = near.connect(PORT);
    let far = Connection::from_accept(listener.accept().wait().information);
    assert_eq!(connecting.wait().status, STATUS_SUCCESS);
    listener.close();
    // Each has told the other of the second half of its ring.
    for socket in [&near, &far] {
        until(|| work(socket).credits_received == 1);
    }
    (near, far)
}

fn work(socket: &Connection) -> Snapshot {
    socket.object().view().work
}

/// A hand-made equal, whose receives hold 64 octets.
fn with_peer(world: &World, extensions: Extensions) -> (Connection, Peer) {
    let door = Door::open(world, PORT);
    let socket = world.connection();
    let connecting = socket.connect(PORT);
    let peer = Peer::accept(world, door.take(), |data| {
        let offer = Offer { extensions, message_len: 64 };
        ConnData { offer: Some(offer), ..data }.encode().to_vec()
    });
    assert_eq!(connecting.wait().status, 0);
    assert_eq!(peer.answer(), 0);
    (socket, peer)
}

#[test]
fn a_small_message_is_one_work_request() {
    let world = World::new(Settings::DEFAULT);
    let (near, far) = pair(&world);
    let longest = usize::from(MAX_MESSAGE_LEN) - 8;
    for length in [1, 64, longest, longest + 1, 2000] {
        let octets: Vec<u8> = (0..length).map(|i| (i * 7 + length) as u8).collect();
        let before = work(&near);
        let reading = far.receive(length);
        assert_eq!(near.send(&octets).wait().status, STATUS_SUCCESS);
        assert_eq!(reading.octets(), octets);
        let after = work(&near);
        let writes = u64::from(length > longest);
        assert_eq!((after.writes - before.writes, after.sends - before.sends), (writes, 1), "{length}");
    }
    near.close();
    far.close();
    world.finish();
}

/// A request and its answer, again and again: the credit of each goes with the next.
#[test]
fn credit_goes_with_the_answers() {
    // No half of the ring is filled.
    let ring = Settings::DEFAULT.ring_octets;
    let world = World::new(Settings { first_ring_octets: ring, ..Settings::DEFAULT });
    let (near, far) = pair(&world);
    let before = (work(&near), work(&far));
    const ROUNDS: u64 = 400;
    for _ in 0..ROUNDS {
        for (from, to) in [(&near, &far), (&far, &near)] {
            let reading = to.receive(64);
            assert_eq!(from.send(&[7; 64]).wait().status, STATUS_SUCCESS);
            assert_eq!(reading.octets(), [7; 64]);
        }
    }
    for (socket, before) in [(&near, before.0), (&far, before.1)] {
        let after = work(socket);
        assert!(after.credits_sent - before.credits_sent >= ROUNDS - 1);
        assert_eq!(after.sends - before.sends, ROUNDS, "no message for credit alone");
    }
    near.close();
    far.close();
    world.finish();
}

#[test]
fn octets_and_credit_that_a_peer_sends_inside_a_message_arrive() {
    let world = World::new(Settings::DEFAULT);
    let (socket, mut peer) = with_peer(&world, Extensions::all());
    let plain = [&Word::SendData(5).octets()[..], b"plain"].concat();
    let credit = [&Word::SendData(6).octets()[..], &Word::Credit(64).octets(), b"credit"].concat();
    for (message, octets) in [(&plain, &b"plain"[..]), (&credit, b"credit")] {
        let reading = socket.receive(10);
        peer.say(message);
        assert_eq!(reading.octets(), octets);
    }
    assert_eq!(work(&socket).credits_received, 1);
    socket.close();
    peer.is_left();
    peer.close(false);
    world.finish();
}

#[test]
fn a_peer_is_told_why() {
    type End = fn(&Connection, &mut Peer);
    let ways: [(AbortReason, End); 3] = [
        (AbortReason::ABORTED, |socket, _| assert_eq!(socket.abort().wait().status, STATUS_SUCCESS)),
        (AbortReason::PROTOCOL, |_, peer| peer.say(&[0; 4])),
        (AbortReason::INCOMPLETE, |socket, _| {
            let sending = socket.send(&[7; 60_000]);
            until(|| work(socket).octets_sent != 0);
            sending.cancel();
            assert_eq!(sending.wait().status, STATUS_CANCELLED);
        }),
    ];
    let world = World::new(Settings::DEFAULT);
    for (reason, end) in ways {
        let (socket, mut peer) = with_peer(&world, Extensions::ABORT);
        end(&socket, &mut peer);
        peer.hears(Word::Abort(reason));
        socket.close();
        peer.close(false);
    }
    let (socket, peer) = with_peer(&world, Extensions::ABORT);
    socket.close();
    peer.hears(Word::Abort(AbortReason::CLOSED));
    peer.close(false);
    world.finish();
}

#[test]
fn a_peer_says_why() {
    let world = World::new(Settings::DEFAULT);
    let told: [(AbortReason, NTSTATUS); 3] = [
        (AbortReason::CLOSED, STATUS_CONNECTION_RESET),
        (AbortReason(0xffff), STATUS_CONNECTION_RESET),
        (AbortReason::PROTOCOL, STATUS_CONNECTION_ABORTED),
    ];
    for (reason, status) in told {
        let (socket, mut peer) = with_peer(&world, Extensions::ABORT);
        let reading = socket.receive(10);
        peer.say(&Word::Abort(reason).octets());
        assert_eq!(reading.wait().status, status);
        assert_eq!(socket.send(b"too late").wait().status, status);
        peer.is_left();
        socket.close();
        peer.close(false);
    }
    world.finish();
}

/// A peer that offered nothing gets what version 1 has, and may send nothing else.
#[test]
fn a_peer_that_is_no_equal_hears_only_version_1() {
    let world = World::new(Settings::DEFAULT);
    for message in [Word::SendData(1).octets().to_vec(), Word::Abort(AbortReason::CLOSED).octets().to_vec()] {
        let (socket, mut peer) = with_peer(&world, Extensions::empty());
        let before = work(&socket);
        assert_eq!(socket.send(b"small").wait().status, STATUS_SUCCESS);
        assert_eq!((work(&socket).writes, work(&socket).sends), (before.writes + 1, before.sends + 1));
        let reading = socket.receive(10);
        peer.say(&message);
        assert_eq!(reading.wait().status, STATUS_CONNECTION_ABORTED);
        socket.close();
        peer.hears(Word::Data(5));
        peer.close(false);
    }
    world.finish();
}
