//! Ending an endpoint at every step of its life.

use std::sync::{Arc, Mutex};

use abi::status::{STATUS_CANCELLED, STATUS_CONNECTION_REFUSED};

use super::harness::*;
use crate::{Endpoint, Piece, Poster};

const WORD: Piece = Piece { memory: 0, offset: 4096, len: 4 };

/// A poster that a callback closes.
type Closer = Arc<Mutex<Option<Poster<Arc<Witness>>>>>;

/// Has the first callback that `when` picks close the endpoint.
fn close_inside(end: &mut End, graceful: bool, when: impl Fn(&Told) -> bool + Send + 'static) {
    let closer: Closer = Arc::new(Mutex::new(end.poster.take()));
    end.witness.does(move |told| {
        if when(told) {
            let poster = closer.lock().unwrap().take();
            if let Some(poster) = poster {
                poster.close(graceful);
            }
        }
    });
}

#[test]
fn before_the_connect() {
    in_each_mode(|world| {
        for graceful in [false, true] {
            let mut near = active(world, Witness::new(), DEPTHS);
            near.post_receives(8);
            near.close(graceful);
            near.witness.ended();
            assert_eq!(near.witness.entries(0).len(), 8);
            // Too late: refused, and nothing else happens.
            let endpoint = near.endpoint.clone();
            assert_eq!(endpoint.local_address(), None);
        }
    });
}

/// A connect that comes after the close is answered, although nothing can come of it.
#[test]
fn a_connect_after_the_close_is_answered() {
    in_each_mode(|world| {
        let (listener, door) = listen(world);
        let mut near = active(world, Witness::new(), DEPTHS);
        // Inside a use of the endpoint the teardown has to wait, so that the order is certain.
        let endpoint = near.endpoint.clone();
        let held = endpoint.enter().unwrap();
        near.close(false);
        Endpoint::connect(&endpoint, loopback(0), listener.address(), b"");
        assert_eq!(near.witness.answer(), STATUS_CONNECTION_REFUSED);
        drop(held);
        near.witness.ended();
        door.clear();
    });
}

#[test]
fn while_connecting() {
    in_each_mode(|world| {
        for graceful in [false, true] {
            let (listener, door) = listen(world);
            let mut near = active(world, Witness::new(), DEPTHS);
            near.post_receives(8);
            Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"");
            let incoming = door.take();
            near.close(graceful);
            assert_ne!(near.witness.answer(), 0);
            near.witness.ended();
            assert_eq!(near.witness.entries(0).len(), 8);
            drop(incoming);
        }
    });
}

/// The passive side goes while the active one looks at its answer. Both are answered: with the failure, or with success if
/// the accept was still being made, which the close has to wait for.
#[test]
fn while_accepting() {
    in_each_mode(|world| {
        for graceful in [false, true] {
            let (listener, door) = listen(world);
            let near = active(world, Witness::new(), DEPTHS);
            let passive_poster: Closer = Arc::new(Mutex::new(None));
            let closer = passive_poster.clone();
            near.witness.does(move |told| {
                if matches!(told, Told::PeerData(_)) {
                    let poster = closer.lock().unwrap().take();
                    poster.unwrap().close(graceful);
                }
            });
            Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"");
            let mut far = passive(world, Witness::new(), DEPTHS, door.take());
            far.post_receives(8);
            *passive_poster.lock().unwrap() = far.poster.take();
            Endpoint::accept(&far.endpoint, b"");
            far.witness.ended();
            far.witness.answer();
            near.witness.answer();
            assert_eq!(far.witness.entries(0).len(), 8);
            near.finish(graceful);
        }
    });
}

/// The active side closes itself inside the callback that shows it the answer, whatever it then says to that.
#[test]
fn inside_peer_data() {
    in_each_mode(|world| {
        for accepts in [false, true] {
            let (listener, door) = listen(world);
            let mut near = active(world, Witness::that_answers(accepts), DEPTHS);
            close_inside(&mut near, false, |told| matches!(told, Told::PeerData(_)));
            Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"");
            let far = passive(world, Witness::new(), DEPTHS, door.take());
            Endpoint::accept(&far.endpoint, b"");
            near.witness.answer();
            near.witness.ended();
            far.witness.answer();
            far.finish(false);
        }
    });
}

#[test]
fn inside_established() {
    in_each_mode(|world| {
        for graceful in [false, true] {
            let (listener, door) = listen(world);
            let mut near = active(world, Witness::new(), DEPTHS);
            near.post_receives(8);
            close_inside(&mut near, graceful, |told| matches!(told, Told::Established(_)));
            Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"");
            let mut far = passive(world, Witness::new(), DEPTHS, door.take());
            far.post_receives(8);
            close_inside(&mut far, graceful, |told| matches!(told, Told::Established(_)));
            Endpoint::accept(&far.endpoint, b"");
            for end in [near, far] {
                end.witness.answer();
                end.witness.ended();
                assert_eq!(end.witness.entries(0).len(), 8);
            }
        }
    });
}

#[test]
fn inside_completions_and_inside_disconnected() {
    in_each_mode(|world| {
        for graceful in [false, true] {
            let mut pair = Pair::new(world);
            close_inside(&mut pair.far, graceful, |told| matches!(told, Told::Completion(..)));
            pair.near.poster().send(WORD, 77).unwrap();
            let endpoint = pair.near.endpoint.clone();
            close_inside(&mut pair.near, graceful, |told| *told == Told::Disconnected);
            pair.near.witness.ended();
            pair.far.witness.ended();
            assert_eq!(pair.far.witness.entries(0).len(), 8);
            assert_eq!(pair.near.witness.entries(0).len(), 9);
            assert_eq!(endpoint.local_address(), None);
        }
    });
}

/// Everything posted comes back before the end, successful or not.
#[test]
fn with_sends_outstanding() {
    in_each_mode(|world| {
        for graceful in [false, true] {
            let mut pair = Pair::new(world);
            for context in 100..108 {
                pair.near.poster().send(WORD, context).unwrap();
            }
            pair.near.close(graceful);
            if graceful {
                pair.far.witness.wait_for(|told| *told == Told::Disconnected);
            }
            pair.far.close(graceful);
            pair.near.witness.ended();
            pair.far.witness.ended();
            assert_eq!(pair.near.witness.entries(0).len(), 16);
            assert_eq!(pair.far.witness.entries(0).len(), 8);
        }
    });
}

/// Both sides say goodbye: the second one is told of the first, and nothing is aborted.
#[test]
fn graceful_on_both_sides() {
    in_each_mode(|world| {
        for near_first in [false, true] {
            let Pair { mut near, mut far } = Pair::new(world);
            let (first, second) = if near_first { (&mut near, &mut far) } else { (&mut far, &mut near) };
            first.close(true);
            second.witness.wait_for(|told| *told == Told::Disconnected);
            assert!(!first.witness.told().contains(&Told::Closed), "it waits for the other side");
            second.close(true);
            first.witness.ended();
            second.witness.ended();
            for end in [&near, &far] {
                assert!(end.witness.entries(0).iter().all(|entry| entry.0 == STATUS_CANCELLED));
            }
            assert!(!near.witness.told().contains(&Told::Disconnected) || !near_first);
        }
    });
}

/// A peer that never answers a goodbye does not keep the endpoint, once it is told not to wait.
#[test]
fn an_abort_ends_a_graceful_close() {
    in_each_mode(|world| {
        let mut pair = Pair::new(world);
        pair.near.close(true);
        pair.far.witness.wait_for(|told| *told == Told::Disconnected);
        assert!(!pair.near.witness.told().contains(&Told::Closed));
        Endpoint::abort(&pair.near.endpoint);
        pair.near.witness.ended();
        // Any number of times, and after the end.
        Endpoint::abort(&pair.near.endpoint);
        pair.far.finish(true);
    });
}

/// An abort that comes while the goodbye is being said is not lost.
#[test]
fn an_abort_right_behind_a_graceful_close() {
    in_each_mode(|world| {
        for _ in 0..50 {
            let mut pair = Pair::new(world);
            pair.near.close(true);
            Endpoint::abort(&pair.near.endpoint);
            pair.near.witness.ended();
            pair.far.finish(false);
        }
    });
}

/// Who asks for the close and who forbids it to wait may be two, and the second may be the first to come.
#[test]
fn an_abort_ahead_of_a_graceful_close() {
    in_each_mode(|world| {
        let mut pair = Pair::new(world);
        Endpoint::abort(&pair.near.endpoint);
        pair.near.poster().send(WORD, 77).unwrap();
        pair.far.witness.entries(1);
        pair.near.close(true);
        pair.near.witness.ended();
        pair.far.finish(false);
    });
}

/// The abort may come from another processor at any moment of the close.
#[test]
fn an_abort_beside_a_graceful_close() {
    in_each_mode(|world| {
        for _ in 0..50 {
            let mut pair = Pair::new(world);
            // The close is asked for, but cannot begin before this use ends.
            let endpoint = pair.near.endpoint.clone();
            let held = endpoint.enter().unwrap();
            pair.near.close(true);
            std::thread::scope(|scope| {
                scope.spawn(|| Endpoint::abort(&endpoint));
                drop(held);
            });
            pair.near.witness.ended();
            pair.far.finish(false);
        }
    });
}

/// An aborted peer: told of the loss once, after what had arrived, and its own close ends at once, graceful or not.
#[test]
fn the_peer_aborts() {
    in_each_mode(|world| {
        for graceful in [false, true] {
            let mut pair = Pair::new(world);
            for context in 100..104 {
                pair.near.poster().send(WORD, context).unwrap();
            }
            pair.near.witness.entries(4);
            pair.near.finish(false);
            pair.far.witness.wait_for(|told| *told == Told::Disconnected);
            let told = pair.far.witness.told();
            let loss = told.iter().position(|told| *told == Told::Disconnected).unwrap();
            let arrived =
                told[..loss].iter().filter(|told| matches!(told, Told::Completion(0, 4, _))).count();
            assert_eq!(arrived, 4, "what arrived is told before the loss: {told:?}");
            pair.far.finish(graceful);
        }
    });
}

/// An endpoint's memory lives as long as the endpoint, which may be longer than the connection.
#[test]
fn memory_outlives_the_connection() {
    in_each_mode(|world| {
        let pair = Pair::new(world);
        let (near, far) = (pair.near.endpoint.clone(), pair.far.endpoint.clone());
        pair.finish();
        near.memory(0).unwrap().region().write(0, b"still there").unwrap();
        drop(near);
        drop(far);
    });
}
