//! `WskCloseSocket`.

use abi::status::{STATUS_CANCELLED, STATUS_SUCCESS};

use super::send::MANY;
use crate::Case;
use crate::failure::{Check, expect};
use crate::tools::{LOST, accept, close, connect, data, disconnect, receive, room, send};
use crate::world::World;

pub(super) const LISTENER_WITH_ACCEPTS: Case =
    Case { name: "close-listener-with-accepts", section: "WskCloseSocket", run: listener_with_accepts };
pub(super) const CONNECTION_WITH_REQUESTS: Case =
    Case { name: "close-connection-with-requests", section: "WskCloseSocket", run: connection_with_requests };
pub(super) const RESETS: Case = Case { name: "close-resets", section: "WskCloseSocket", run: resets };
pub(super) const IN_ORDER: Case = Case { name: "close-in-order", section: "WskCloseSocket", run: in_order };
pub(super) const ACCEPTED_LIVES_ON: Case =
    Case { name: "close-accepted-lives-on", section: "WskCloseSocket", run: accepted_lives_on };
pub(super) const NOT_ACCEPTED_IS_RESET: Case =
    Case { name: "close-not-accepted-is-reset", section: "WskCloseSocket", run: not_accepted_is_reset };
pub(super) const WHILE_CONNECTING: Case =
    Case { name: "close-while-connecting", section: "WskCloseSocket", run: while_connecting };

/// Waiting accepts end with CANCELLED, each before the close.
fn listener_with_accepts(world: &mut dyn World) -> Check {
    let (listener, _) = world.listener()?;
    let accepts =
        [world.start(&accept(listener))?, world.start(&accept(listener))?, world.start(&accept(listener))?];
    let closed = world.succeeds(&close(listener), 0)?;
    for accepting in accepts {
        let accepted = world.failed(accepting, &[STATUS_CANCELLED])?;
        expect(accepted.order < closed.order, "the close is the last to be completed", accepted.order)?;
    }
    Ok(())
}

/// Receives, sends and a disconnect that wait are completed, each before the close.
fn connection_with_requests(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let near = pair.near;
    let waiting = [
        world.start(&receive(near, room(&10), 0))?,
        world.start(&receive(near, room(&10), 0))?,
        world.start(&receive(near, room(&10), 0))?,
        world.start(&send(near, data(&MANY, 0)))?,
        world.start(&send(near, data(&MANY, MANY as u64)))?,
        world.start(&disconnect(near))?,
    ];
    let closed = world.succeeds(&close(near), 0)?;
    for operation in waiting {
        let completion = world.done(operation)?;
        let ended = completion.status == STATUS_CANCELLED || LOST.contains(&completion.status);
        expect(ended, "what waits is cancelled or aborted", completion.status)?;
        expect(completion.information == 0, "a failure reports Information 0", completion.information)?;
        expect(completion.order < closed.order, "the close is the last to be completed", completion.order)?;
    }
    world.close_all(&[pair.far, pair.listener])
}

/// A close without a disconnect resets the connection: after what has arrived comes a loss, never an end in order.
fn resets(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    world.sends(pair.near, 0, 1000)?;
    world.close_all(&[pair.near])?;
    let mut position = 0u64;
    loop {
        let receiving = world.start(&receive(pair.far, room(&256), 0))?;
        let completion = world.done(receiving)?;
        if completion.status != STATUS_SUCCESS {
            world.is_lost(receiving)?;
            break;
        }
        expect(completion.information != 0, "a reset is no end of stream", completion.information)?;
        world.holds(receiving, 0, position, completion.information)?;
        position = position.wrapping_add(completion.information as u64);
    }
    world.is_refused(&send(pair.far, data(&10, 0)))?;
    world.close_all(&[pair.far, pair.listener])
}

/// When both directions have ended, a close resets nothing.
fn in_order(world: &mut dyn World) -> Check {
    for far_first in [false, true] {
        let pair = world.pair()?;
        world.sends(pair.near, 0, 1000)?;
        world.succeeds(&disconnect(pair.near), 0)?;
        world.sends(pair.far, 0, 1000)?;
        world.succeeds(&disconnect(pair.far), 0)?;
        let (first, second) = if far_first { (pair.far, pair.near) } else { (pair.near, pair.far) };
        world.receives(first, 0, 1000)?;
        world.is_at_end(first)?;
        world.close_all(&[first])?;
        world.receives(second, 0, 1000)?;
        world.is_at_end(second)?;
        world.close_all(&[second, pair.listener])?;
    }
    Ok(())
}

/// Accepted connections do not need their listening socket.
fn accepted_lives_on(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    world.close_all(&[pair.listener])?;
    for (from, to) in [(pair.near, pair.far), (pair.far, pair.near)] {
        world.sends(from, 0, 1000)?;
        world.receives(to, 0, 1000)?;
    }
    world.close_all(&[pair.far, pair.near])
}

/// A connection that nobody has accepted ends with the listening socket.
fn not_accepted_is_reset(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let near = world.bound()?;
    world.succeeds(&connect(near, at), 0)?;
    let receiving = world.start(&receive(near, room(&10), 0))?;
    world.close_all(&[listener])?;
    world.is_lost(receiving)?;
    world.close_all(&[near])
}

/// A close at any moment of a connect ends both, the close last.
fn while_connecting(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    for _ in 0..20 {
        let near = world.bound()?;
        let connecting = world.start(&connect(near, at))?;
        let closed = world.succeeds(&close(near), 0)?;
        let connected = world.done(connecting)?;
        let ended = matches!(connected.status, STATUS_SUCCESS | STATUS_CANCELLED);
        expect(ended, "the connect is cancelled unless it has succeeded", connected.status)?;
        expect(connected.order < closed.order, "the close is the last to be completed", connected.order)?;
    }
    world.close_all(&[listener])
}
