//! Small conversations in every order that the fabric, the two owners and the two programs can take.

use super::fabric::{Endpoint, Step, World};
use super::ours::Ours;
use crate::{Config, Extensions};
use std::collections::HashSet;
use std::format;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::vec::Vec;

const STEPS: [Step; 5] =
    [Step::Transmit, Step::Deliver(1), Step::Handle(1), Step::Complete(1), Step::Read(1)];

#[derive(Clone)]
struct Node {
    world: World<Ours, Ours>,
    /// What the programs of the two sides still do, first step first.
    scripts: [&'static [Step]; 2],
    /// What identifies the state of each side.
    keys: [u64; 2],
}

/// Identifies the state of a side, without what only records how it came about.
fn key(side: &Ours) -> u64 {
    let mut hasher = DefaultHasher::new();
    // The counters come last in the engine, the last event in the side.
    let text = format!("{side:?}");
    let (engine, rest) = text.split_once("counters: ").unwrap();
    let (_counters, rest) = rest.split_once(" }").unwrap();
    let (rest, _event) = rest.split_once("last_event: ").unwrap();
    (engine, rest).hash(&mut hasher);
    hasher.finish()
}

impl Node {
    /// Every state that one step leads to.
    fn next(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for on_a in [true, false] {
            let side = usize::from(!on_a);
            for step in STEPS {
                let mut next = self.clone();
                if next.world.step(on_a, step) {
                    all.push(next.with_keys(on_a, step));
                }
            }
            if let [first, rest @ ..] = self.scripts[side] {
                let mut next = self.clone();
                next.world.step(on_a, *first);
                next.scripts[side] = rest;
                all.push(next.with_keys(on_a, *first));
            }
        }
        all
    }

    /// Brings the keys up to date after `step`: what is delivered here was under way on the other side.
    fn with_keys(mut self, on_a: bool, step: Step) -> Self {
        let both = matches!(step, Step::Deliver(_));
        if on_a || both {
            self.keys[0] = key(&self.world.a);
        }
        if !on_a || both {
            self.keys[1] = key(&self.world.b);
        }
        self
    }
}

/// Goes through every reachable state. In each one in which nothing more can happen, both sides must have
/// read all and be done.
fn explore(config: Config, a: &'static [Step], b: &'static [Step]) {
    let mut open = Vec::from([Node { world: Ours::pair(config, config), scripts: [a, b], keys: [0; 2] }]);
    let mut seen = HashSet::new();
    let mut ends = 0;
    while let Some(node) = open.pop() {
        let next = node.next();
        if next.is_empty() {
            let World { a, b } = &node.world;
            let ((a_sent, a_read), (b_sent, b_read)) = (a.totals(), b.totals());
            assert_eq!((a_sent, b_sent), (b_read, a_read), "stuck: {a:#?} {b:#?}");
            assert!(a.at_end() && b.at_end(), "no end of stream: {a:#?} {b:#?}");
            assert!(a.finished() && b.finished(), "not finished: {a:#?} {b:#?}");
            ends += 1;
        }
        open.extend(next.into_iter().filter(|node| seen.insert((node.scripts.map(<[_]>::len), node.keys))));
    }
    assert!(ends > 0 && seen.len() > 500, "{ends} ends of {} states: nothing explored", seen.len());
}

fn tiny() -> Config {
    Config {
        ring_len: 4,
        list_entries: 2,
        receive_depth: 28,
        send_queue_depth: 8,
        reserve: 12,
        merge_below: 0,
        message_len: 4,
        extensions: Extensions::empty(),
    }
}

#[test]
fn a_stream_longer_than_the_ring() {
    explore(tiny(), &[Step::Send(5), Step::ShutDown], &[Step::ShutDown]);
}

#[test]
fn both_directions() {
    explore(tiny(), &[Step::Send(2), Step::ShutDown], &[Step::Send(1), Step::ShutDown]);
}

#[test]
fn small_sends_that_are_merged() {
    let config = Config { merge_below: 4, ..tiny() };
    explore(config, &[Step::Send(1), Step::Send(1), Step::ShutDown], &[Step::ShutDown]);
}

/// With octets inside the messages, and credits beside them.
#[test]
fn equals() {
    let config = Config { message_len: 10, extensions: Extensions::all(), ..tiny() };
    explore(config, &[Step::Send(2), Step::ShutDown], &[Step::Send(1), Step::ShutDown]);
}

#[test]
fn three_entries_for_two_regions() {
    let config = Config { ring_len: 2, list_entries: 3, ..tiny() };
    explore(config, &[Step::ShutDown], &[Step::Send(3), Step::ShutDown]);
}

#[test]
fn a_ring_that_grows() {
    let config = Config { ring_len: 2, ..tiny() };
    explore(config, &[Step::Send(2), Step::ShutDown], &[Step::Grow(4), Step::ShutDown]);
}
