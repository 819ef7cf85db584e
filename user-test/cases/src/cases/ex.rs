//! `WskSendEx` and `WskReceiveEx`.

use abi::status::{STATUS_CANCELLED, STATUS_NOT_SUPPORTED};
use abi::wsk::{WSK_FLAG_DRAIN, WSK_FLAG_NODELAY, WSK_FLAG_OOB, WSK_FLAG_WAITALL};

use crate::Case;
use crate::failure::{Check, expect};
use crate::tools::{EMPTY, data, disconnect, receive, room, send};
use crate::world::{Call, World};

pub(super) const BOTH_WAYS: Case = Case { name: "ex-both-ways", section: "WskSendEx", run: both_ways };
pub(super) const FLAGS: Case = Case { name: "ex-flags", section: "WskSendEx", run: flags };
pub(super) const CANCELLED: Case = Case { name: "ex-cancelled", section: "Canceling IRPs", run: cancelled };
pub(super) const NOT_CONNECTED: Case =
    Case { name: "ex-not-connected", section: "WskSendEx", run: not_connected };

/// They carry the stream as WskSend and WskReceive do, side by side with those.
fn both_ways(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let (near, far) = (pair.near.into(), pair.far.into());
    world.succeeds(&Call::SendEx { on: near, buffer: data(&100, 0), flags: 0 }, 100)?;
    world.succeeds(&send(pair.near, data(&100, 100)), 100)?;
    let first = world.start(&receive(pair.far, room(&50), WSK_FLAG_WAITALL))?;
    world.received(first, 0, 50)?;
    let second = world.start(&Call::ReceiveEx { on: far, buffer: room(&150), flags: WSK_FLAG_WAITALL })?;
    world.received(second, 50, 150)?;
    world.close_pair(pair)
}

/// Flags are those of WskSend and WskReceive.
fn flags(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let (near, far) = (pair.near.into(), pair.far.into());
    let urgent = Call::SendEx { on: near, buffer: data(&10, 0), flags: WSK_FLAG_OOB };
    world.fails(&urgent, &[STATUS_NOT_SUPPORTED])?;
    world.succeeds(&Call::SendEx { on: near, buffer: data(&10, 0), flags: WSK_FLAG_NODELAY }, 10)?;
    world.receives(pair.far, 0, 10)?;
    let wrong = Call::ReceiveEx { on: far, buffer: room(&10), flags: 0x10 };
    world.fails(&wrong, &[STATUS_NOT_SUPPORTED])?;
    let draining = world.start(&Call::ReceiveEx { on: far, buffer: EMPTY, flags: WSK_FLAG_DRAIN })?;
    world.sends(pair.near, 10, 100)?;
    world.succeeds(&disconnect(pair.near), 0)?;
    world.succeeded(draining)?;
    world.close_pair(pair)
}

/// A WskReceiveEx that waits is cancelled inside IoCancelIrp.
fn cancelled(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let call = Call::ReceiveEx { on: pair.far.into(), buffer: room(&10), flags: 0 };
    let receiving = world.start(&call)?;
    world.cancel(receiving);
    expect(world.is_done(receiving), "it is completed inside IoCancelIrp", 0usize)?;
    world.failed(receiving, &[STATUS_CANCELLED])?;
    world.close_pair(pair)
}

/// Without a connection they fail.
fn not_connected(world: &mut dyn World) -> Check {
    let socket = world.bound()?;
    world.is_refused(&Call::SendEx { on: socket.into(), buffer: data(&10, 0), flags: 0 })?;
    world.is_refused(&Call::ReceiveEx { on: socket.into(), buffer: room(&10), flags: 0 })?;
    world.close_all(&[socket])
}
