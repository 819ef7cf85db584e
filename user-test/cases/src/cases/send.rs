//! `WskSend`.

use abi::status::{STATUS_CANCELLED, STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED};
use abi::wsk::{WSK_FLAG_NODELAY, WSK_FLAG_OOB};

use crate::Case;
use crate::failure::{Check, expect};
use crate::tools::{EMPTY, LOST, data, receive, room, send};
use crate::world::{Buffer, Call, World};

pub(super) const SMALL: Case = Case { name: "send-small", section: "WskSend", run: small };
pub(super) const IN_ORDER: Case = Case { name: "send-in-order", section: "WskSend", run: in_order };
pub(super) const CHAINS: Case = Case { name: "send-chains", section: "WskSend", run: chains };
pub(super) const BUFFER_TOO_LONG: Case =
    Case { name: "send-buffer-too-long", section: "WSK_BUF", run: buffer_too_long };
pub(super) const NOTHING: Case = Case { name: "send-nothing", section: "WskSend", run: nothing };
pub(super) const FLAGS: Case = Case { name: "send-flags", section: "WskSend", run: flags };
pub(super) const CANCELLED: Case = Case { name: "send-cancelled", section: "Canceling IRPs", run: cancelled };
pub(super) const CANCELLED_HALF_WAY: Case =
    Case { name: "send-cancelled-half-way", section: "Canceling IRPs", run: cancelled_half_way };
pub(super) const NOT_CONNECTED: Case =
    Case { name: "send-not-connected", section: "WskSend", run: not_connected };

/// More octets than any provider takes while nobody receives.
pub(super) const MANY: usize = 1 << 20;

/// One octet, and as many as a message of the wire carries.
fn small(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let mut position = 0;
    for length in [1, 2, 3, 4, 5, 63, 64, 65, 1500] {
        for (from, to) in [(pair.near, pair.far), (pair.far, pair.near)] {
            world.sends(from, position, length)?;
            world.receives(to, position, length)?;
        }
        position = position.wrapping_add(length as u64);
    }
    world.close_pair(pair)
}

/// The order of calls is the order of octets, however many sends wait.
fn in_order(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let mut sends = [None; 64];
    let mut position = 0u64;
    for (index, slot) in sends.iter_mut().enumerate() {
        let length = index.wrapping_mul(997) % 9001;
        *slot = Some((world.start(&send(pair.near, data(&length, position)))?, length));
        position = position.wrapping_add(length as u64);
    }
    world.receives(pair.far, 0, usize::try_from(position).unwrap_or(usize::MAX))?;
    for (operation, length) in sends.into_iter().flatten() {
        let completion = world.succeeded(operation)?;
        expect(completion.information == length, "a send is whole or it fails", completion.information)?;
    }
    world.close_pair(pair)
}

/// Any chain, cut anywhere, with MDLs of no octets, from an offset on: exactly the named octets are sent.
fn chains(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let mut position = 0u64;
    let chains: [(&[usize], u32, usize); 6] = [
        (&[1, 1, 1, 1], 0, 4),
        (&[100, 0, 200, 3], 10, 280),
        (&[5000, 5000, 5000], 4999, 10_001),
        (&[77, 0, 0], 0, 77),
        (&[4096, 1, 4096], 4095, 4098),
        (&[10, 100], 3, 50),
    ];
    for (mdls, offset, length) in chains {
        let buffer = Buffer { mdls, offset, length, position: Some(position) };
        world.succeeds(&send(pair.near, buffer), length)?;
        world.receives(pair.far, position, length)?;
        position = position.wrapping_add(length as u64);
    }
    world.close_pair(pair)
}

/// A `WSK_BUF` that names more than its chain holds is refused, before an octet is sent; so is none at all.
fn buffer_too_long(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let too_long = [
        Buffer { mdls: &[100], offset: 0, length: 101, position: None },
        Buffer { mdls: &[100, 50], offset: 10, length: 141, position: None },
        Buffer { mdls: &[100], offset: 0, length: usize::MAX, position: None },
        Buffer { mdls: &[], offset: 0, length: 1, position: None },
    ];
    for buffer in too_long {
        world.fails(&send(pair.near, buffer), &[STATUS_INVALID_PARAMETER])?;
    }
    let none = Call::Send { on: pair.near.into(), buffer: None, flags: 0 };
    world.fails(&none, &[STATUS_INVALID_PARAMETER])?;
    world.sends(pair.near, 0, 10)?;
    world.receives(pair.far, 0, 10)?;
    world.close_pair(pair)
}

/// A send of no octets succeeds and is not seen.
fn nothing(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    world.succeeds(&send(pair.near, EMPTY), 0)?;
    let receiving = world.start(&receive(pair.far, room(&100), 0))?;
    world.succeeds(&send(pair.near, Buffer { mdls: &[10], offset: 10, length: 0, position: None }), 0)?;
    expect(!world.is_done(receiving), "a send of no octets ends no receive", 0usize)?;
    world.sends(pair.near, 0, 10)?;
    world.received(receiving, 0, 10)?;
    world.close_pair(pair)
}

/// Urgent data are refused; bits that no transport knows are let pass, because clients have them in their flags.
fn flags(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let length = 10;
    let with =
        |flags, position| Call::Send { on: pair.near.into(), buffer: Some(data(&length, position)), flags };
    world.fails(&with(WSK_FLAG_OOB, 0), &[STATUS_NOT_SUPPORTED])?;
    world.fails(&with(WSK_FLAG_OOB | WSK_FLAG_NODELAY, 0), &[STATUS_NOT_SUPPORTED])?;
    // NODELAY, then what Linux calls MSG_NOSIGNAL and MSG_MORE.
    for (position, flags) in [(0, WSK_FLAG_NODELAY), (10, 0x4000), (20, 0x8000 | 0x4000)] {
        world.succeeds(&with(flags, position), length)?;
        world.receives(pair.far, position, length)?;
    }
    world.close_pair(pair)
}

/// A send that waits behind others is cancelled inside IoCancelIrp, and nothing of it is sent.
fn cancelled(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let first = world.start(&send(pair.near, data(&MANY, 0)))?;
    let second = world.start(&send(pair.near, data(&MANY, 77)))?;
    let third = world.start(&send(pair.near, data(&1000, MANY as u64)))?;
    world.cancel(second);
    expect(world.is_done(second), "the cancelled send is completed inside IoCancelIrp", 0usize)?;
    world.failed(second, &[STATUS_CANCELLED])?;
    world.receives(pair.far, 0, MANY)?;
    world.receives(pair.far, MANY as u64, 1000)?;
    for send in [first, third] {
        world.succeeded(send)?;
    }
    world.close_pair(pair)
}

/// A send of which a part is sent ends promptly when it is cancelled. It cannot be taken back, so the connection ends
/// with it: the reader sees a beginning of the stream, and then a loss, never an end in order.
fn cancelled_half_way(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let first = world.start(&send(pair.near, data(&MANY, 0)))?;
    let second = world.start(&send(pair.near, data(&MANY, MANY as u64)))?;
    world.cancel(first);
    world.failed(first, &[STATUS_CANCELLED])?;
    // The end of the connection cancels what waits behind it ("WskDisconnect").
    let behind = world.done(second)?;
    let ended = behind.status == STATUS_CANCELLED || LOST.contains(&behind.status);
    expect(ended, "a send behind it ends with the connection", behind.status)?;
    let mut position = 0u64;
    loop {
        let length = 50_000;
        let operation = world.start(&receive(pair.far, room(&length), 0))?;
        let completion = world.done(operation)?;
        if completion.status != 0 {
            world.is_lost(operation)?;
            break;
        }
        expect(completion.information != 0, "a cut stream has no end in order", completion.information)?;
        world.holds(operation, 0, position, completion.information)?;
        position = position.wrapping_add(completion.information as u64);
    }
    let receiving = world.start(&receive(pair.near, room(&16), 0))?;
    world.is_lost(receiving)?;
    world.close_pair(pair)
}

/// Without a connection nothing is sent.
fn not_connected(world: &mut dyn World) -> Check {
    let (created, bound) = (world.connection_socket()?, world.bound()?);
    for socket in [created, bound] {
        world.is_refused(&send(socket, data(&10, 0)))?;
        world.is_refused(&send(socket, EMPTY))?;
    }
    world.close_all(&[created, bound])
}
