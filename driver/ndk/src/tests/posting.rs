//! Posting, and the completions.

use abi::status::{STATUS_CANCELLED, STATUS_INVALID_PARAMETER};

use super::harness::*;
use crate::{Depths, Endpoint, Piece};
use ndkcheck::Rule;

const WORD: Piece = Piece { memory: 0, offset: 4096, len: 4 };

#[test]
fn a_send_meets_a_receive() {
    in_each_mode(|world| {
        let mut pair = Pair::new(world);
        pair.near.endpoint.memory(0).unwrap().region().write(4096, b"word").unwrap();
        pair.near.poster().send(WORD, 77).unwrap();
        let sent = pair.near.witness.entries(1);
        assert_eq!((sent[0].0, sent[0].2), (0, 77));
        assert_eq!(pair.far.witness.entries(1), [(0, 4, 0)]);
        let mut octets = [0; 4];
        pair.far.endpoint.memory(0).unwrap().region().read(0, &mut octets).unwrap();
        assert_eq!(&octets, b"word");
        pair.finish();
    });
}

/// The write is there before the receive of the send behind it completes, and leaves no completion.
#[test]
fn a_write_goes_before_its_send() {
    in_each_mode(|world| {
        let mut pair = Pair::new(world);
        let target = pair.far.endpoint.memory(1).unwrap();
        let (address, token) = (target.address(), target.remote_token());
        pair.near.endpoint.memory(0).unwrap().region().write(5000, b"written").unwrap();
        pair.near.poster().write(Piece { memory: 0, offset: 5000, len: 7 }, address + 1, token).unwrap();
        pair.near.poster().send(WORD, 1).unwrap();
        pair.far.witness.entries(1);
        let mut octets = [0; 7];
        pair.far.endpoint.memory(1).unwrap().region().read(1, &mut octets).unwrap();
        assert_eq!(&octets, b"written");
        assert_eq!(pair.near.witness.entries(1).len(), 1);
        pair.finish();
    });
}

/// Inline and not.
#[test]
fn a_send_gathers_two_pieces() {
    in_each_mode(|world| {
        let mut pair = Pair::new(world);
        pair.near.endpoint.memory(0).unwrap().region().write(4096, b"word").unwrap();
        pair.near.endpoint.memory(0).unwrap().region().write(6000, &[7; 60]).unwrap();
        for (number, len) in [2, 60].into_iter().enumerate() {
            let data = Piece { memory: 0, offset: 6000, len };
            pair.near.poster().send_both(WORD, data, number).unwrap();
            pair.near.witness.entries(number + 1);
            assert_eq!(pair.far.witness.entries(number + 1)[number], (0, 4 + len, number));
        }
        let wrong = Piece { memory: 0, offset: 8191, len: 2 };
        assert_eq!(pair.near.poster().send_both(WORD, wrong, 1), Err(STATUS_INVALID_PARAMETER));
        pair.finish();
    });
}

/// It completes, touches nothing, and takes no receive.
#[test]
fn a_probe_leaves_no_trace() {
    in_each_mode(|world| {
        let mut pair = Pair::new(world);
        let target = pair.far.endpoint.memory(1).unwrap();
        let (address, token) = (target.address(), target.remote_token());
        pair.near.poster().probe(address, token, 5).unwrap();
        pair.near.poster().send(WORD, 6).unwrap();
        let sent = pair.near.witness.entries(2);
        assert_eq!((sent[0].0, sent[0].2, sent[1].2), (0, 5, 6));
        assert_eq!(pair.far.witness.entries(1).len(), 1);
        pair.finish();
    });
}

/// Octets outside the memory, or of a memory that is not there, are not posted.
#[test]
fn a_piece_lies_inside_its_memory() {
    in_each_mode(|world| {
        let mut pair = Pair::new(world);
        let wrong = [
            Piece { memory: 0, offset: 8189, len: 4 },
            Piece { memory: 0, offset: usize::MAX, len: 4 },
            Piece { memory: 2, offset: 0, len: 4 },
            Piece { memory: usize::MAX, offset: 0, len: 4 },
        ];
        for piece in wrong {
            let poster = pair.near.poster();
            assert_eq!(poster.send(piece, 1), Err(STATUS_INVALID_PARAMETER));
            assert_eq!(poster.receive(piece, 1), Err(STATUS_INVALID_PARAMETER));
            assert_eq!(poster.write(piece, 0, 0), Err(STATUS_INVALID_PARAMETER));
        }
        pair.finish();
    });
}

/// Nothing can be sent before the connection is there; the failed post owes no completion.
#[test]
fn a_post_that_fails_leaves_nothing() {
    in_each_mode(|world| {
        for rule in [Rule::NotConnected, Rule::QueueDepth] {
            world.checker().expect(rule);
        }
        let mut near = active(world, Witness::new(), DEPTHS);
        assert!(near.poster().send(WORD, 1).is_err());
        near.post_receives(32);
        assert!(
            near.poster().receive(Piece { memory: 0, offset: 0, len: 4 }, 99).is_err(),
            "the queue is full"
        );
        near.close(false);
        near.witness.ended();
        let told = near.witness.entries(0);
        assert!(
            told.iter().all(|(status, _, context)| *status == STATUS_CANCELLED && *context < 32),
            "{told:?}"
        );
        assert_eq!(told.len(), 32, "every receive comes back");
    });
}

#[test]
fn depths_beyond_the_adapters_are_refused() {
    in_each_mode(|world| {
        let info = *world.adapter().info();
        for depths in [
            Depths { receives: info.max_receives + 1, initiators: 16 },
            Depths { receives: 16, initiators: info.max_initiators + 1 },
            Depths { receives: u32::MAX, initiators: u32::MAX },
        ] {
            let refused = Endpoint::active(world.adapter(), Witness::new(), depths, heapless::Vec::new());
            assert_eq!(refused.err(), Some(STATUS_INVALID_PARAMETER));
        }
    });
}

/// Endpoints share completion queues until one is full; then there is another one, and room comes back.
#[test]
fn completion_queues_are_filled_and_freed() {
    in_each_mode(|world| {
        let depths = Depths { receives: 16_000, initiators: 16_000 };
        for _ in 0..3 {
            let ends: std::vec::Vec<End> = (0..5).map(|_| active(world, Witness::new(), depths)).collect();
            for end in ends {
                end.finish(false);
            }
        }
        Pair::new(world).finish();
    });
}

/// More entries than one pass takes: all come, in order, and other endpoints on the queue are served.
#[test]
fn a_long_run_of_completions() {
    in_each_mode(|world| {
        let depths = Depths { receives: 1024, initiators: 1024 };
        let mut pair = Pair::with(world, Witness::new(), Witness::new(), depths);
        for context in 8..1024 {
            let piece = Piece { memory: 0, offset: 512 + 4 * (context - 8), len: 4 };
            pair.far.poster().receive(piece, context).unwrap();
        }
        for context in 0..1000 {
            pair.near.poster().send(WORD, context).unwrap();
        }
        let sent = pair.near.witness.entries(1000);
        assert!(sent.iter().enumerate().all(|(n, (status, _, context))| *status == 0 && *context == n));
        let received = pair.far.witness.entries(1000);
        assert!(received.iter().enumerate().all(|(n, entry)| *entry == (0, 4, n)));
        pair.near.finish(false);
        pair.far.close(false);
        pair.far.witness.ended();
        let all = pair.far.witness.entries(0);
        assert_eq!(all.len(), 1024, "every receive comes back");
        assert!(all.iter().enumerate().all(|(n, entry)| entry.2 == n), "in the order of posting");
    });
}

/// A silent write that fails leaves an entry that was never counted; the books stay right.
#[test]
fn a_silent_request_that_fails() {
    in_each_mode(|world| {
        let mut pair = Pair::new(world);
        pair.near.poster().write(Piece { memory: 0, offset: 0, len: 8 }, 0x1000, 0xDEAD).unwrap();
        pair.near.poster().send(WORD, 5).unwrap();
        let send = pair.near.witness.wait_for(|told| matches!(told, Told::Completion(_, _, 5)));
        assert!(!matches!(send, Told::Completion(0, ..)), "{send:?}");
        pair.far.witness.wait_for(|told| *told == Told::Disconnected);
        pair.finish();
    });
}
