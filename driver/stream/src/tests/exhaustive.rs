//! Small conversations in every order that the fabric and the two owners can take.

use super::fabric::{Endpoint, Step, World};
use super::ours::Ours;
use crate::Config;
use std::collections::HashSet;
use std::format;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::vec::Vec;

type Pair = World<Ours, Ours>;

/// What can happen next; the work of a side is taken whenever, or at once after every step.
const STEPS: [Step; 5] = [Step::Transmit, Step::Deliver(1), Step::Handle(1), Step::Complete(1), Step::Read(1)];

/// The state without what only records how it came about.
fn key(world: &Pair) -> u64 {
    let mut world = world.clone();
    world.a.last_event = None;
    world.b.last_event = None;
    let mut hasher = DefaultHasher::new();
    // The counters come last in the engine.
    for side in format!("{world:?}").split("counters: ") {
        side.split_once(" }").map_or(side, |(_counters, rest)| rest).hash(&mut hasher);
    }
    hasher.finish()
}

/// Goes through every reachable state. In each one in which nothing more can happen, both sides must be done.
fn explore(start: Pair, transmit_at_once: bool) -> (usize, usize) {
    let mut seen = HashSet::new();
    let mut open = Vec::from([start]);
    let mut ends = 0;
    while let Some(world) = open.pop() {
        let mut stuck = true;
        for on_a in [true, false] {
            for step in STEPS {
                let mut next = world.clone();
                if !next.step(on_a, step) {
                    continue;
                }
                if transmit_at_once {
                    next.step(on_a, Step::Transmit);
                }
                stuck = false;
                if seen.insert(key(&next)) {
                    open.push(next);
                }
            }
        }
        if stuck {
            ends += 1;
            let ((a_sent, a_read), (b_sent, b_read)) = (world.a.totals(), world.b.totals());
            assert_eq!((a_sent, b_sent), (b_read, a_read), "stuck: {world:#?}");
            assert!(world.a.at_end() && world.b.at_end(), "no end of stream: {world:#?}");
            assert!(world.a.finished() && world.b.finished(), "not finished: {world:#?}");
        }
    }
    (seen.len(), ends)
}

fn pair(ring_len: u32, list_entries: u8, merge_below: u32) -> Pair {
    let config =
        Config { ring_len, list_entries, receive_depth: 24, send_queue_depth: 8, reserve: 8, merge_below };
    Ours::pair(config, config)
}

#[test]
fn probe() {
    for (a, b) in [(1, 0), (3, 0), (5, 0), (2, 1), (3, 2)] {
        for at_once in [true, false] {
            let mut world = pair(4, 2, 0);
            world.a.send(a);
            world.b.send(b);
            world.a.shut_down();
            world.b.shut_down();
            let t = std::time::Instant::now();
            std::eprintln!("{a} {b} {at_once} {:?} {:?}", explore(world, at_once), t.elapsed());
        }
    }
}
