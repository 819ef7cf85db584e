//! `WskDisconnect`.

use abi::status::{
    STATUS_CONNECTION_DISCONNECTED, STATUS_CONNECTION_INVALID, STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_PARAMETER, STATUS_SUCCESS,
};
use abi::wsk::{WSK_FLAG_ABORTIVE, WSK_FLAG_WAITALL};

use super::send::MANY;
use crate::Case;
use crate::failure::{Check, expect};
use crate::tools::{abort, data, disconnect, receive, room, send};
use crate::world::{Call, World};

pub(super) const END_OF_STREAM: Case =
    Case { name: "disconnect-end-of-stream", section: "WskDisconnect", run: end_of_stream };
pub(super) const HALF_CLOSE: Case =
    Case { name: "disconnect-half-close", section: "WskDisconnect", run: half_close };
pub(super) const BEHIND_SENDS: Case =
    Case { name: "disconnect-behind-sends", section: "WskDisconnect", run: behind_sends };
pub(super) const WITH_DATA: Case =
    Case { name: "disconnect-with-data", section: "WskDisconnect", run: with_data };
pub(super) const TWICE: Case = Case { name: "disconnect-twice", section: "WskDisconnect", run: twice };
pub(super) const NOT_CONNECTED: Case =
    Case { name: "disconnect-not-connected", section: "WskDisconnect", run: not_connected };
pub(super) const ABORT: Case = Case { name: "disconnect-abort", section: "WskDisconnect", run: aborts };
pub(super) const ABORT_WITH_DATA: Case =
    Case { name: "disconnect-abort-with-data", section: "WskDisconnect", run: abort_with_data };
pub(super) const ABORT_FORCES_A_GRACEFUL_ONE: Case = Case {
    name: "disconnect-abort-forces-a-graceful-one",
    section: "WskDisconnect",
    run: abort_forces_a_graceful_one,
};

/// What a request ends with whose direction this side has finished itself.
const FINISHED: [i32; 2] = [STATUS_INVALID_DEVICE_STATE, STATUS_CONNECTION_DISCONNECTED];

/// The end of the stream comes after the data, is SUCCESS with 0 octets, and comes again for ever.
fn end_of_stream(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let waiting = world.start(&receive(pair.near, room(&10), 0))?;
    world.sends(pair.near, 0, 100)?;
    world.succeeds(&disconnect(pair.near), 0)?;
    world.receives(pair.far, 0, 100)?;
    for _ in 0..5 {
        world.is_at_end(pair.far)?;
    }
    world.fails(&send(pair.near, data(&10, 100)), &FINISHED)?;
    world.succeeds(&disconnect(pair.far), 0)?;
    let completion = world.succeeded(waiting)?;
    expect(completion.information == 0, "a waiting receive gets the end", completion.information)?;
    for _ in 0..5 {
        world.is_at_end(pair.near)?;
        world.is_at_end(pair.far)?;
    }
    world.close_pair(pair)
}

/// Each direction ends by itself, whichever end begins.
fn half_close(world: &mut dyn World) -> Check {
    for far_first in [false, true] {
        let pair = world.pair()?;
        let (first, second) = if far_first { (pair.far, pair.near) } else { (pair.near, pair.far) };
        world.sends(first, 0, 10)?;
        world.receives(second, 0, 10)?;
        world.succeeds(&disconnect(first), 0)?;
        world.is_at_end(second)?;
        let sending = world.start(&send(second, data(&400_000, 0)))?;
        world.receives(first, 0, 400_000)?;
        world.succeeded(sending)?;
        world.succeeds(&disconnect(second), 0)?;
        world.is_at_end(first)?;
        world.close_pair(pair)?;
    }
    Ok(())
}

/// A graceful disconnect waits for the sends before it, and is the last to be completed.
fn behind_sends(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let length = 262_144;
    let mut sends = [None; 4];
    let mut position = 0u64;
    for slot in &mut sends {
        *slot = Some(world.start(&send(pair.near, data(&length, position)))?);
        position = position.wrapping_add(length as u64);
    }
    let ending = world.start(&disconnect(pair.near))?;
    world.fails(&send(pair.near, data(&10, position)), &FINISHED)?;
    expect(!world.is_done(ending), "the disconnect waits for the sends", 0usize)?;
    world.receives(pair.far, 0, MANY)?;
    world.is_at_end(pair.far)?;
    let ended = world.succeeded(ending)?;
    let mut before = 0;
    for operation in sends.into_iter().flatten() {
        let sent = world.succeeded(operation)?;
        expect(sent.information == length, "a send is whole", sent.information)?;
        expect(
            before < sent.order && sent.order < ended.order,
            "sends end in order, before the disconnect",
            sent.order,
        )?;
        before = sent.order;
    }
    world.close_pair(pair)
}

/// The data of a disconnect go out before the end.
fn with_data(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    for (from, to) in [(pair.near, pair.far), (pair.far, pair.near)] {
        let sending = world.start(&send(from, data(&1000, 0)))?;
        let length = 200_000;
        let call = Call::Disconnect { on: from.into(), buffer: Some(data(&length, 1000)), flags: 0 };
        let ending = world.start(&call)?;
        world.receives(to, 0, 201_000)?;
        world.is_at_end(to)?;
        world.succeeded(sending)?;
        world.succeeded(ending)?;
    }
    world.close_pair(pair)
}

/// The second graceful disconnect is too late, and harmless.
fn twice(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    world.succeeds(&disconnect(pair.near), 0)?;
    world.fails(&disconnect(pair.near), &FINISHED)?;
    world.is_at_end(pair.far)?;
    world.sends(pair.far, 0, 10)?;
    world.receives(pair.near, 0, 10)?;
    world.close_pair(pair)
}

/// What is not connected cannot be disconnected.
fn not_connected(world: &mut dyn World) -> Check {
    let (created, bound) = (world.connection_socket()?, world.bound()?);
    for socket in [created, bound] {
        let statuses = [STATUS_INVALID_DEVICE_STATE, STATUS_CONNECTION_INVALID];
        world.fails(&disconnect(socket), &statuses)?;
        world.fails(&abort(socket), &statuses)?;
    }
    world.close_all(&[created, bound])
}

/// An abort ends both directions at both ends, whatever waits, and is never an end of stream.
fn aborts(world: &mut dyn World) -> Check {
    for far_first in [false, true] {
        let pair = world.pair()?;
        let (first, second) = if far_first { (pair.far, pair.near) } else { (pair.near, pair.far) };
        let mut waiting = [None; 4];
        for (slot, socket) in waiting.iter_mut().zip([first, second, first, second]) {
            *slot = Some(world.start(&receive(socket, room(&10), 0))?);
        }
        world.succeeds(&abort(first), 0)?;
        for operation in waiting.into_iter().flatten() {
            let completion = world.done(operation)?;
            expect(completion.status != STATUS_SUCCESS, "an abort is no end of stream", completion.status)?;
            world.is_lost(operation)?;
        }
        for socket in [first, second] {
            let receiving = world.start(&receive(socket, room(&10), 0))?;
            world.is_lost(receiving)?;
            world.is_refused(&send(socket, data(&10, 0)))?;
            world.is_refused(&disconnect(socket))?;
        }
        world.close_pair(pair)?;
    }
    Ok(())
}

/// An abort takes no data.
fn abort_with_data(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let buffer = Some(data(&10, 0));
    let call = Call::Disconnect { on: pair.near.into(), buffer, flags: WSK_FLAG_ABORTIVE };
    world.fails(&call, &[STATUS_INVALID_PARAMETER])?;
    world.sends(pair.near, 0, 10)?;
    world.receives(pair.far, 0, 10)?;
    world.close_pair(pair)
}

/// A graceful disconnect that cannot go on, because nobody receives, is ended by an abort.
fn abort_forces_a_graceful_one(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let sending = world.start(&send(pair.near, data(&MANY, 0)))?;
    let ending = world.start(&disconnect(pair.near))?;
    let receiving = world.start(&receive(pair.near, room(&10), WSK_FLAG_WAITALL))?;
    expect(!world.is_done(ending), "the disconnect waits for the send", 0usize)?;
    world.succeeds(&abort(pair.near), 0)?;
    for operation in [sending, ending, receiving] {
        let completion = world.done(operation)?;
        expect(completion.status != STATUS_SUCCESS, "what the abort cut off fails", completion.status)?;
    }
    world.close_pair(pair)
}
