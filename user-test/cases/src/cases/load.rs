//! Much of everything.

use abi::wsk::WSK_FLAG_WAITALL;

use crate::Case;
use crate::failure::{Check, expect};
use crate::tools::{Pair, data, disconnect, receive, room, send};
use crate::world::{Operation, Socket, World};

pub(super) const ONE_STREAM: Case = Case { name: "load-one-stream", section: "WskSend", run: one_stream };
pub(super) const MANY_CONNECTIONS: Case =
    Case { name: "load-many-connections", section: "WskAccept", run: many_connections };
pub(super) const BOTH_WAYS: Case = Case { name: "load-both-ways", section: "WskSend", run: both_ways };
pub(super) const ONE_AFTER_THE_OTHER: Case =
    Case { name: "load-one-after-the-other", section: "WskConnect", run: one_after_the_other };

pub(super) const SMALL_MESSAGES: Case =
    Case { name: "load-small-messages", section: "WskSend", run: small_messages };

/// Octets of the long stream: many rings, and no multiple of anything.
const STREAM: usize = (2 << 20) + 12_345;

/// A long stream with several sends outstanding, and sizes that fall on every boundary of the ring.
fn one_stream(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let mut sends: [Option<Operation>; 4] = [None; 4];
    let (mut sent, mut received) = (0usize, 0usize);
    let mut step = 0usize;
    while received < STREAM {
        for slot in &mut sends {
            let rest = STREAM.saturating_sub(sent);
            let free = match *slot {
                Some(operation) => world.is_done(operation),
                None => true,
            };
            if !free || rest == 0 {
                continue;
            }
            let length = rest.min((step.wrapping_mul(7919) % 65_537).max(1));
            if let Some(operation) = slot.replace(world.start(&send(pair.near, data(&length, sent as u64)))?)
            {
                world.succeeded(operation)?;
            }
            sent = sent.saturating_add(length);
            step = step.wrapping_add(1);
        }
        if received == sent {
            // Every send was still being completed above, and all they brought is here: nothing would come.
            for slot in &mut sends {
                if let Some(operation) = slot.take() {
                    world.succeeded(operation)?;
                }
            }
            continue;
        }
        let length = STREAM.saturating_sub(received).min((step.wrapping_mul(6151) % 50_021).max(1));
        let receiving = world.start(&receive(pair.far, room(&length), 0))?;
        let completion = world.succeeded(receiving)?;
        expect(completion.information != 0, "the stream has not ended", completion.information)?;
        world.holds(receiving, 0, received as u64, completion.information)?;
        received = received.saturating_add(completion.information);
    }
    for operation in sends.into_iter().flatten() {
        world.succeeded(operation)?;
    }
    world.succeeds(&disconnect(pair.near), 0)?;
    world.is_at_end(pair.far)?;
    world.close_pair(pair)
}

/// Many connections over one listening socket, each with a stream of its own.
fn many_connections(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let mut pairs: [Option<Pair>; 16] = [None; 16];
    for slot in &mut pairs {
        *slot = Some(world.pair_over(listener, at)?);
    }
    let base = |index: usize| (index as u64) << 32;
    let mut operations: [[Option<Operation>; 2]; 16] = [[None; 2]; 16];
    for (index, (pair, slots)) in pairs.iter().flatten().zip(&mut operations).enumerate() {
        *slots = [
            Some(world.start(&receive(pair.far, room(&20_000), WSK_FLAG_WAITALL))?),
            Some(world.start(&send(pair.near, data(&20_000, base(index))))?),
        ];
    }
    for (index, [receiving, sending]) in operations.into_iter().enumerate() {
        if let (Some(receiving), Some(sending)) = (receiving, sending) {
            world.received(receiving, base(index), 20_000)?;
            world.succeeded(sending)?;
        }
    }
    for pair in pairs.iter().flatten().rev() {
        world.close_all(&[pair.far, pair.near])?;
    }
    world.close_all(&[listener])
}

/// Both directions at once, each with more than the rings hold.
fn both_ways(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let length = 700_001;
    let directions: [(Socket, Socket); 2] = [(pair.near, pair.far), (pair.far, pair.near)];
    let mut operations = [None; 2];
    for ((from, to), slot) in directions.into_iter().zip(&mut operations) {
        let sending = world.start(&send(from, data(&length, 0)))?;
        let receiving = world.start(&receive(to, room(&length), WSK_FLAG_WAITALL))?;
        *slot = Some((sending, receiving));
    }
    for (sending, receiving) in operations.into_iter().flatten() {
        world.received(receiving, 0, length)?;
        world.succeeded(sending)?;
    }
    world.close_pair(pair)
}

/// Short connections, one after the other: everything that one uses is there for the next.
fn one_after_the_other(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    for round in 0..30usize {
        let pair = world.pair_over(listener, at)?;
        world.sends(pair.near, 0, 100)?;
        world.receives(pair.far, 0, 100)?;
        if round % 2 == 0 {
            world.succeeds(&disconnect(pair.near), 0)?;
            world.is_at_end(pair.far)?;
            world.succeeds(&disconnect(pair.far), 0)?;
            world.is_at_end(pair.near)?;
        }
        world.close_all(&[pair.near, pair.far])?;
    }
    world.close_all(&[listener])
}

/// A thousand messages of 64 octets, each answered by one as long.
fn small_messages(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    for round in 0..1000 {
        let position = round * 64;
        world.sends(pair.near, position, 64)?;
        world.receives(pair.far, position, 64)?;
        world.sends(pair.far, position, 64)?;
        world.receives(pair.near, position, 64)?;
    }
    world.close_pair(pair)
}
