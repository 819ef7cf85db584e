//! Two connections over a lossless stream that cuts, delays and pushes back as it likes: every octet arrives once and in order, every
//! request completes once and in order, and what RFC 5040 section 5.5 promises holds at every event.

use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;

use super::harness::*;
use crate::iwarp::mpa::{Agreement, Rtr};
use crate::iwarp::rdmap::ReadRequest;
use crate::iwarp::{Event, Request, WorkRequest};

/// Memory that the peer writes; each Write has a place of its own.
const TARGET: u32 = 1;
/// Memory that the peer reads; never changes.
const SOURCE: u32 = 2;
/// Memory that reads go to; each read has a place of its own.
const SINK: u32 = 3;
/// Octets of a place, and of the longest message.
const PLACE: usize = 3000;
/// Requests of each side.
const REQUESTS: usize = 12;

/// The octet at `at` of the request `number` of `side`.
fn octet(side: usize, number: usize, at: usize) -> u8 {
    (at.wrapping_mul(31) ^ (at >> 8) ^ number.wrapping_mul(101) ^ side.wrapping_mul(57)) as u8
}

fn octets(side: usize, number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| octet(side, number, at)).collect()
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    work: WorkRequest,
    len: usize,
    /// Where in the source, for a read.
    from: usize,
}

struct Side {
    number: usize,
    end: End,
    plans: Vec<Plan>,
    posted: usize,
    completed: usize,
    /// Sends delivered here.
    delivered: usize,
    ready: usize,
    /// On their way to the peer.
    wire: VecDeque<u8>,
    /// How many octets the wire takes.
    window: usize,
}

impl Side {
    fn new(number: usize, agreement: &Agreement, random: &mut Random) -> Self {
        let emss = [0, 130, 536, 1460, 1461, 9000, 100_000][random.below(7)];
        let mut end = End::new(agreement, emss);
        for (stag, base) in [(TARGET, 0x1_0000_0000u64), (SOURCE, 77), (SINK, u64::MAX - 0xFFFF)] {
            end.adapter.regions.push(Region::new(stag, base, PLACE * REQUESTS));
        }
        end.adapter.region(SOURCE).octets = octets(number, 99, PLACE * REQUESTS);
        end.adapter.receives.extend(vec![PLACE as u32; REQUESTS + 1]);
        let can_read = agreement.ord() > 0;
        let plans = (0..REQUESTS)
            .map(|at| {
                let len = if random.chance(4) { random.below(3) } else { random.below(PLACE + 1) };
                let (length, place) = (len as u32, (at * PLACE) as u64);
                let from = random.below(PLACE * (REQUESTS - 1));
                let request = match random.below(if can_read { 3 } else { 2 }) {
                    0 => Request::Send { length, solicited: random.chance(2), invalidate: None },
                    1 => Request::Write { length, stag: TARGET, to: 0x1_0000_0000 + place },
                    _ => Request::Read(ReadRequest {
                        sink_stag: SINK,
                        sink_to: u64::MAX - 0xFFFF + place,
                        size: length,
                        source_stag: SOURCE,
                        source_to: 77 + from as u64,
                    }),
                };
                Plan { work: WorkRequest { request, read_fence: random.chance(5) }, len, from }
            })
            .collect();
        let most = if random.chance(2) { 200 } else { 20_000 };
        let window = 1 + random.below(most);
        Self {
            number,
            end,
            plans,
            posted: 0,
            completed: 0,
            delivered: 0,
            ready: 0,
            wire: VecDeque::new(),
            window,
        }
    }

    /// Posts and writes a little.
    fn work(&mut self, random: &mut Random) {
        if let Some(plan) = self.plans.get(self.posted)
            && self.end.connection.post(plan.work).is_ok()
        {
            self.end.adapter.source = octets(self.number, self.posted, plan.len);
            self.posted += 1;
        }
        // TCP takes no more as long as its window is full.
        if self.wire.len() >= self.window {
            return;
        }
        let most = self.end.connection.fpdu_len_max();
        let mut out = vec![0; if random.chance(3) { random.below(most) } else { most }];
        let done = self.end.connection.transmit(&mut out, &mut self.end.adapter);
        self.wire.extend(&out[..done.octets]);
        if let Some(event) = done.event {
            self.handle(event, None);
        }
    }

    /// Takes a piece of what the peer has written.
    fn hear(&mut self, peer: &mut Self, random: &mut Random) {
        let most = if random.chance(2) { 5 } else { 5000 };
        let count = peer.wire.len().min(random.below(most));
        let piece: Vec<u8> = peer.wire.drain(..count).collect();
        let mut rest = &piece[..];
        while let Some(event) = self.end.connection.receive(&mut rest, &mut self.end.adapter) {
            self.handle(event, Some(&*peer));
        }
    }

    fn handle(&mut self, event: Event, peer: Option<&Self>) {
        match event {
            Event::Ready => self.ready += 1,
            Event::Completed(count) => {
                assert!(count > 0);
                for _ in 0..count {
                    self.check_completed();
                    self.completed += 1;
                }
                assert!(self.completed <= self.posted, "completed before it was posted");
            }
            Event::Received { length, solicited, invalidated } => {
                self.check_received(peer.unwrap(), length, solicited);
                assert_eq!(invalidated, None);
            }
            event => panic!("{event:?}"),
        }
    }

    /// The oldest request that is not complete is now.
    fn check_completed(&mut self) {
        let plan = self.plans[self.completed];
        if matches!(plan.work.request, Request::Read(_)) {
            let source = octets(1 - self.number, 99, PLACE * REQUESTS);
            let place = self.completed * PLACE;
            let sink = &self.end.adapter.region(SINK).octets[place..place + plan.len];
            assert_eq!(sink, &source[plan.from..plan.from + plan.len], "a read is not placed");
        }
    }

    /// A Send is here, and with it everything that its sender posted before.
    fn check_received(&mut self, peer: &Self, length: u32, solicited: bool) {
        let is_send = |plan: &Plan| matches!(plan.work.request, Request::Send { .. });
        let mut sends = peer.plans.iter().enumerate().filter(|(_, plan)| is_send(plan));
        let (number, plan) = sends.nth(self.delivered).unwrap();
        self.delivered += 1;
        assert_eq!(plan.work.request, Request::Send { length, solicited, invalidate: None });
        assert_eq!(self.end.adapter.claimed, octets(peer.number, number, plan.len));
        self.check_written(peer, number);
    }

    /// The Writes among the first `count` requests of the peer are in memory.
    fn check_written(&mut self, peer: &Self, count: usize) {
        for (number, plan) in peer.plans.iter().enumerate().take(count) {
            if matches!(plan.work.request, Request::Write { .. }) {
                let place = number * PLACE;
                let target = &self.end.adapter.region(TARGET).octets[place..place + PLACE];
                assert_eq!(target[..plan.len], octets(peer.number, number, plan.len));
                assert_eq!(target[plan.len..], vec![0; PLACE - plan.len], "written behind the end");
            }
        }
    }

    fn is_done(&self) -> bool {
        self.completed == REQUESTS && self.wire.is_empty() && self.end.connection.is_idle()
    }
}

#[test]
fn every_octet_arrives_once_and_in_order() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let limits = |random: &mut Random| (random.below(4) as u16, random.below(4) as u16);
        let terms = Terms {
            crc: random.chance(2),
            enhanced: true,
            // An RTR Send would be one Send more.
            rtr: [Rtr::empty(), Rtr::WRITE, Rtr::READ][random.below(3)],
            initiator: limits(&mut random),
            responder: limits(&mut random),
        };
        let (ours, theirs) = terms.agree();
        let mut initiator = Side::new(0, &ours, &mut random);
        let mut responder = Side::new(1, &theirs, &mut random);
        if terms.rtr.is_empty() {
            // The responder must wait for something.
            initiator.plans[0].work.request = Request::Write { length: 0, stag: 0, to: 0 };
            initiator.plans[0].len = 0;
        }
        let mut steps = 0;
        while !(initiator.is_done() && responder.is_done()) {
            match random.below(4) {
                0 => initiator.work(&mut random),
                1 => responder.work(&mut random),
                2 => initiator.hear(&mut responder, &mut random),
                _ => responder.hear(&mut initiator, &mut random),
            }
            steps += 1;
            assert!(steps < 1_000_000, "no progress");
        }
        assert_eq!((initiator.ready, responder.ready), (0, 1));
        initiator.check_written(&responder, REQUESTS);
        responder.check_written(&initiator, REQUESTS);
        for (side, peer) in [(&initiator, &responder), (&responder, &initiator)] {
            let is_send = |plan: &&Plan| matches!(plan.work.request, Request::Send { .. });
            assert_eq!(side.delivered, peer.plans.iter().filter(is_send).count());
        }
        assert_eq!(initiator.end.connection.end_of_stream(), Some(Event::Closed));
        assert_eq!(responder.end.connection.end_of_stream(), Some(Event::Closed));
    }
}
