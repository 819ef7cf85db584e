//! `WskReceive`.

use abi::status::{STATUS_CANCELLED, STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED};
use abi::wsk::{WSK_FLAG_DRAIN, WSK_FLAG_WAITALL};

use crate::Case;
use crate::failure::{Check, expect};
use crate::tools::{EMPTY, disconnect, receive, room};
use crate::world::{Buffer, Call, World};

pub(super) const PARTIAL: Case = Case { name: "receive-partial", section: "WskReceive", run: partial };
pub(super) const IN_ORDER: Case = Case { name: "receive-in-order", section: "WskReceive", run: in_order };
pub(super) const CHAINS: Case = Case { name: "receive-chains", section: "WskReceive", run: chains };
pub(super) const BUFFER_TOO_LONG: Case =
    Case { name: "receive-buffer-too-long", section: "WSK_BUF", run: buffer_too_long };
pub(super) const NOTHING: Case = Case { name: "receive-nothing", section: "WskReceive", run: nothing };
pub(super) const WAITALL: Case = Case { name: "receive-waitall", section: "WskReceive", run: waitall };
pub(super) const WAITALL_AT_THE_END: Case =
    Case { name: "receive-waitall-at-the-end", section: "WskReceive", run: waitall_at_the_end };
pub(super) const DRAIN: Case = Case { name: "receive-drain", section: "WskReceive", run: drain };
pub(super) const FLAGS: Case = Case { name: "receive-flags", section: "WskReceive", run: flags };
pub(super) const CANCELLED: Case =
    Case { name: "receive-cancelled", section: "Canceling IRPs", run: cancelled };
pub(super) const CANCELLED_WAITALL: Case =
    Case { name: "receive-cancelled-waitall", section: "Canceling IRPs", run: cancelled_waitall };
pub(super) const NOT_CONNECTED: Case =
    Case { name: "receive-not-connected", section: "WskReceive", run: not_connected };

/// A receive without flags ends with what is there; what it has no room for waits for the next one.
fn partial(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let receiving = world.start(&receive(pair.far, room(&256), 0))?;
    expect(!world.is_done(receiving), "a receive waits for data", 0usize)?;
    world.sends(pair.near, 0, 10)?;
    world.received(receiving, 0, 10)?;
    world.sends(pair.near, 10, 100)?;
    for (position, length) in [(10, 30), (40, 1), (41, 69)] {
        let receiving = world.start(&receive(pair.far, room(&length), 0))?;
        world.received(receiving, position, length)?;
    }
    world.close_pair(pair)
}

/// Receives are served in the order of their calls.
fn in_order(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let receives = [
        world.start(&receive(pair.far, room(&100), 0))?,
        world.start(&receive(pair.far, room(&100), WSK_FLAG_WAITALL))?,
        world.start(&receive(pair.far, room(&100), 0))?,
    ];
    world.sends(pair.near, 0, 10)?;
    world.received(receives[0], 0, 10)?;
    for waiting in &receives[1..] {
        expect(!world.is_done(*waiting), "later receives wait on", 0usize)?;
    }
    world.sends(pair.near, 10, 99)?;
    world.sends(pair.near, 109, 2)?;
    world.received(receives[1], 10, 100)?;
    world.received(receives[2], 110, 1)?;
    world.close_pair(pair)
}

/// Any chain is filled from its offset on, and nothing beside is written.
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
        let buffer = Buffer { mdls, offset, length, position: None };
        let receiving = world.start(&receive(pair.far, buffer, WSK_FLAG_WAITALL))?;
        world.sends(pair.near, position, length)?;
        let completion = world.succeeded(receiving)?;
        expect(completion.information == length, "the buffer is full", completion.information)?;
        let before = offset as usize;
        world.is_untouched(receiving, 0, before)?;
        world.holds(receiving, before, position, length)?;
        world.is_untouched(receiving, before.saturating_add(length), 256)?;
        position = position.wrapping_add(length as u64);
    }
    world.close_pair(pair)
}

/// A `WSK_BUF` that names more than its chain holds is refused; so is none at all. No data are lost by it.
fn buffer_too_long(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    world.sends(pair.near, 0, 10)?;
    let too_long = [
        Buffer { mdls: &[100], offset: 0, length: 101, position: None },
        Buffer { mdls: &[100, 50], offset: 10, length: 141, position: None },
        Buffer { mdls: &[100], offset: 0, length: usize::MAX, position: None },
        Buffer { mdls: &[], offset: 0, length: 1, position: None },
    ];
    for buffer in too_long {
        world.fails(&receive(pair.far, buffer, 0), &[STATUS_INVALID_PARAMETER])?;
    }
    let none = Call::Receive { on: pair.far.into(), buffer: None, flags: 0 };
    world.fails(&none, &[STATUS_INVALID_PARAMETER])?;
    world.receives(pair.far, 0, 10)?;
    world.close_pair(pair)
}

/// A receive of no octets ends at once and takes nothing, whether there are data or not.
fn nothing(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    world.succeeds(&receive(pair.far, EMPTY, 0), 0)?;
    world.sends(pair.near, 0, 10)?;
    world.succeeds(&receive(pair.far, EMPTY, 0), 0)?;
    world.receives(pair.far, 0, 10)?;
    world.close_pair(pair)
}

/// With WAITALL a receive ends when its buffer is full, also when that is more than any ring holds.
fn waitall(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let receiving = world.start(&receive(pair.far, room(&100), WSK_FLAG_WAITALL))?;
    world.sends(pair.near, 0, 40)?;
    world.sends(pair.near, 40, 60)?;
    world.received(receiving, 0, 100)?;
    let receiving = world.start(&receive(pair.far, room(&700_000), WSK_FLAG_WAITALL))?;
    world.sends(pair.near, 100, 699_999)?;
    expect(!world.is_done(receiving), "the buffer is not full yet", 0usize)?;
    world.sends(pair.near, 700_099, 1)?;
    world.received(receiving, 100, 700_000)?;
    world.close_pair(pair)
}

/// The end of the stream ends a WAITALL receive with what it has; the next one gets the end itself.
fn waitall_at_the_end(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let receiving = world.start(&receive(pair.far, room(&100), WSK_FLAG_WAITALL))?;
    world.sends(pair.near, 0, 40)?;
    world.succeeds(&disconnect(pair.near), 0)?;
    world.received(receiving, 0, 40)?;
    world.is_at_end(pair.far)?;
    world.succeeds(&receive(pair.far, room(&100), WSK_FLAG_WAITALL), 0)?;
    world.close_pair(pair)
}

/// A DRAIN receive throws away everything until the stream ends.
fn drain(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    world.sends(pair.near, 0, 10)?;
    world.receives(pair.far, 0, 5)?;
    let draining = world.start(&receive(pair.far, EMPTY, WSK_FLAG_DRAIN))?;
    world.sends(pair.near, 10, 700_000)?;
    expect(!world.is_done(draining), "draining ends with the stream", 0usize)?;
    world.succeeds(&disconnect(pair.near), 0)?;
    let completion = world.succeeded(draining)?;
    expect(completion.information == 0, "drained octets are not received", completion.information)?;
    world.is_at_end(pair.far)?;
    world.close_pair(pair)
}

/// Flags that contradict each other or that no transport has.
fn flags(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    for flags in [0x10, 0x8000_0000, WSK_FLAG_WAITALL | 0x40] {
        world.fails(&receive(pair.far, room(&10), flags), &[STATUS_NOT_SUPPORTED])?;
    }
    let both = WSK_FLAG_WAITALL | WSK_FLAG_DRAIN;
    world.fails(&receive(pair.far, EMPTY, both), &[STATUS_INVALID_PARAMETER])?;
    world.fails(&receive(pair.far, room(&10), WSK_FLAG_DRAIN), &[STATUS_INVALID_PARAMETER])?;
    world.sends(pair.near, 0, 10)?;
    world.receives(pair.far, 0, 10)?;
    world.close_pair(pair)
}

/// A cancelled receive ends inside IoCancelIrp; the data go to the next one.
fn cancelled(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    for flags in [0, WSK_FLAG_WAITALL] {
        let first = world.start(&receive(pair.far, room(&100), flags))?;
        let second = world.start(&receive(pair.far, room(&100), 0))?;
        world.cancel(first);
        expect(world.is_done(first), "the cancelled receive is completed inside IoCancelIrp", 0usize)?;
        world.failed(first, &[STATUS_CANCELLED])?;
        world.sends(pair.near, 0, 10)?;
        world.received(second, 0, 10)?;
        // Without effect: it is completed.
        world.cancel(second);
    }
    let draining = world.start(&receive(pair.far, EMPTY, WSK_FLAG_DRAIN))?;
    world.cancel(draining);
    world.failed(draining, &[STATUS_CANCELLED])?;
    world.sends(pair.near, 0, 10)?;
    world.receives(pair.far, 0, 10)?;
    world.close_pair(pair)
}

/// A cancelled WAITALL receive reports the octets it has taken; none is lost.
fn cancelled_waitall(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let mut position = 0u64;
    for length in [1, 40, 99] {
        let receiving = world.start(&receive(pair.far, room(&100), WSK_FLAG_WAITALL))?;
        world.sends(pair.near, position, length)?;
        world.cancel(receiving);
        let completion = world.done(receiving)?;
        expect(completion.status == STATUS_CANCELLED, "the receive is cancelled", completion.status)?;
        let taken = completion.information;
        expect(taken <= length, "no more is reported than was sent", taken)?;
        world.holds(receiving, 0, position, taken)?;
        world.is_untouched(receiving, taken, 100usize.saturating_sub(taken))?;
        let rest = length.saturating_sub(taken);
        if rest != 0 {
            world.receives(pair.far, position.wrapping_add(taken as u64), rest)?;
        }
        position = position.wrapping_add(length as u64);
    }
    world.sends(pair.near, position, 10)?;
    world.receives(pair.far, position, 10)?;
    world.close_pair(pair)
}

/// Without a connection nothing is received.
fn not_connected(world: &mut dyn World) -> Check {
    let (created, bound) = (world.connection_socket()?, world.bound()?);
    for socket in [created, bound] {
        world.is_refused(&receive(socket, room(&10), 0))?;
    }
    world.close_all(&[created, bound])
}
