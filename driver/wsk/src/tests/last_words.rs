//! What a peer has said before it closes is heard, whatever this side is doing then.

use std::vec::Vec;

use abi::status::{
    STATUS_CONNECTION_ABORTED, STATUS_CONNECTION_INVALID, STATUS_CONNECTION_RESET,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_SUCCESS,
};
use ndkcheck::{Act, Slot, When};

use super::crank::Crank;
use super::harness::{Connection, World};
use crate::Settings;
use softndk::AnswerMode;

const PORT: u16 = 47_000;
const ROUNDS: usize = 60;
/// More than the ring holds, so that room is published while the peer sends its last octets.
const OCTETS: usize = 300_000;

/// The peer sends, disconnects, and is done with both directions, so that it closes as soon as its last message is out. This
/// side reads meanwhile, and so has messages to post to a connection that is gone already.
#[test]
fn the_peer_closes_while_this_side_posts() {
    for answers in [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early] {
        let world = World::answering(Settings::DEFAULT, answers);
        let listener = world.listen(PORT);
        for round in 0..ROUNDS {
            let near = world.connection();
            assert_eq!(near.connect(PORT).wait().status, STATUS_SUCCESS);
            let far = Connection::from_accept(listener.accept().wait().information);
            assert_eq!(near.disconnect().wait().status, STATUS_SUCCESS);
            let end = far.receive(1).wait();
            assert_eq!((end.status, end.information), (STATUS_SUCCESS, 0));
            let octets: Vec<u8> = (0..OCTETS).map(|n| n as u8).collect();
            let sending = far.send(&octets);
            let ending = far.disconnect();
            let mut read = 0;
            loop {
                let part = near.receive(5_000);
                let part = part.wait();
                assert_eq!(part.status, STATUS_SUCCESS, "{answers:?} {round}: after {read} octets");
                if part.information == 0 {
                    break;
                }
                read += part.information;
            }
            assert_eq!(read, OCTETS);
            assert_eq!(sending.wait().status, STATUS_SUCCESS);
            assert_eq!(ending.wait().status, STATUS_SUCCESS);
            near.close();
            far.close();
        }
        listener.close();
        world.finish();
    }
}

/// The peer is gone, which a post finds out before its last words are taken from the completion queue.
#[test]
fn a_post_fails_before_the_last_words_are_heard() {
    for (status, told) in [
        (STATUS_CONNECTION_INVALID, STATUS_CONNECTION_RESET),
        (STATUS_INSUFFICIENT_RESOURCES, STATUS_CONNECTION_ABORTED),
    ] {
        for slot in [Slot::Send, Slot::Receive] {
            let world = World::new(Settings::DEFAULT);
            let listener = world.listen(PORT);
            let near = world.connection();
            assert_eq!(near.connect(PORT).wait().status, STATUS_SUCCESS);
            let far = Connection::from_accept(listener.accept().wait().information);
            let crank = Crank::hold();
            let sending = far.send(b"last words");
            let ending = far.disconnect();
            // A receive is posted again when the first of them is taken, a message at once.
            world.checker.next(slot, Act::Fail(When::Inline, status));
            let failing = (slot == Slot::Send).then(|| near.send(b"x"));
            drop(crank);
            assert_eq!(near.receive(100).octets(), b"last words");
            let end = near.receive(1).wait();
            assert_eq!((end.status, end.information), (STATUS_SUCCESS, 0), "announced before");
            if let Some(failing) = failing {
                assert_eq!(failing.wait().status, told);
            }
            assert_eq!(near.send(b"y").wait().status, told);
            near.close();
            sending.wait();
            ending.wait();
            far.close();
            listener.close();
            world.finish();
        }
    }
}
