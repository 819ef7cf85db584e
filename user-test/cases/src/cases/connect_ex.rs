//! `WskConnectEx`.

use abi::status::{
    STATUS_BUFFER_OVERFLOW, STATUS_CANCELLED, STATUS_CONNECTION_ACTIVE, STATUS_CONNECTION_REFUSED,
    STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER, STATUS_SUCCESS,
};

use core::net::SocketAddr;

use crate::Case;
use crate::failure::{Check, expect};
use crate::tools::{EMPTY, Pair, accept, data};
use crate::world::{Buffer, Call, Socket, World};

pub(super) const WITHOUT_DATA: Case =
    Case { name: "connect-ex-without-data", section: "WskConnectEx", run: without_data };
pub(super) const WITH_DATA: Case =
    Case { name: "connect-ex-with-data", section: "WskConnectEx", run: with_data };
pub(super) const WITH_A_CHAIN: Case =
    Case { name: "connect-ex-with-a-chain", section: "WskConnectEx", run: with_a_chain };
pub(super) const WITH_NO_OCTETS: Case =
    Case { name: "connect-ex-with-no-octets", section: "WskConnectEx", run: with_no_octets };
pub(super) const TOO_MUCH_DATA: Case =
    Case { name: "connect-ex-too-much-data", section: "WskConnectEx", run: too_much_data };
pub(super) const BAD_REQUESTS: Case =
    Case { name: "connect-ex-bad-requests", section: "WskConnectEx", run: bad_requests };
pub(super) const WRONG_STATES: Case =
    Case { name: "connect-ex-wrong-states", section: "WskConnectEx", run: wrong_states };
pub(super) const REFUSED: Case = Case { name: "connect-ex-refused", section: "WskConnectEx", run: refused };
pub(super) const CANCELLED: Case =
    Case { name: "connect-ex-cancelled", section: "Canceling IRPs", run: cancelled };

fn with(socket: Socket, address: SocketAddr, buffer: Option<Buffer<'_>>) -> Call<'_> {
    Call::ConnectEx { on: socket.into(), address: Some(address), buffer, flags: 0 }
}

/// Without a buffer it is a connect.
fn without_data(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let near = world.bound()?;
    let accepting = world.start(&accept(listener))?;
    world.succeeds(&with(near, at, None), 0)?;
    let far = world.made(accepting)?;
    world.sends(near, 0, 10)?;
    world.receives(far, 0, 10)?;
    world.close_pair(Pair { listener, near, far })
}

/// The data of the request are the first octets of the stream.
fn with_data(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    for length in [1, 100, 65_535] {
        let near = world.bound()?;
        let accepting = world.start(&accept(listener))?;
        let connecting = world.start(&with(near, at, Some(data(&length, 0))))?;
        let far = world.made(accepting)?;
        world.receives(far, 0, length)?;
        world.succeeded(connecting)?;
        world.sends(near, length as u64, 10)?;
        world.receives(far, length as u64, 10)?;
        world.close_all(&[near, far])?;
    }
    world.close_all(&[listener])
}

/// The data may lie in a chain, from an offset on.
fn with_a_chain(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let near = world.bound()?;
    let accepting = world.start(&accept(listener))?;
    let buffer = Buffer { mdls: &[100, 0, 200], offset: 10, length: 250, position: Some(0) };
    let connecting = world.start(&with(near, at, Some(buffer)))?;
    let far = world.made(accepting)?;
    world.receives(far, 0, 250)?;
    world.succeeded(connecting)?;
    world.close_pair(Pair { listener, near, far })
}

/// A buffer of no octets is none.
fn with_no_octets(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let near = world.bound()?;
    let accepting = world.start(&accept(listener))?;
    world.succeeds(&with(near, at, Some(EMPTY)), 0)?;
    let far = world.made(accepting)?;
    world.close_pair(Pair { listener, near, far })
}

/// More than 65535 octets are BUFFER_OVERFLOW, and the socket can still connect.
fn too_much_data(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let near = world.bound()?;
    world.fails(&with(near, at, Some(data(&65_536, 0))), &[STATUS_BUFFER_OVERFLOW])?;
    let accepting = world.start(&accept(listener))?;
    world.succeeds(&with(near, at, None), 0)?;
    let far = world.made(accepting)?;
    world.close_pair(Pair { listener, near, far })
}

/// Flags, no address, and a buffer that is too long for its chain are refused.
fn bad_requests(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let near = world.bound()?;
    let flags = Call::ConnectEx { on: near.into(), address: Some(at), buffer: None, flags: 1 };
    world.fails(&flags, &[STATUS_INVALID_PARAMETER])?;
    world.is_refused(&Call::ConnectEx { on: near.into(), address: None, buffer: None, flags: 0 })?;
    let long = Buffer { mdls: &[10], offset: 0, length: 11, position: None };
    world.fails(&with(near, at, Some(long)), &[STATUS_INVALID_PARAMETER])?;
    world.close_all(&[near, listener])
}

/// Unbound and connected sockets do not connect.
fn wrong_states(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let at = world.remote_address(pair.near)?;
    let unbound = world.connection_socket()?;
    world.fails(&with(unbound, at, None), &[STATUS_INVALID_DEVICE_STATE])?;
    world.fails(&with(pair.near, at, Some(data(&10, 0))), &[STATUS_CONNECTION_ACTIVE])?;
    world.sends(pair.near, 0, 10)?;
    world.receives(pair.far, 0, 10)?;
    world.close_all(&[unbound])?;
    world.close_pair(pair)
}

/// Where nobody listens it is CONNECTION_REFUSED, and the data are the client's again.
fn refused(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    world.close_all(&[listener])?;
    let near = world.bound()?;
    world.fails(&with(near, at, Some(data(&1000, 0))), &[STATUS_CONNECTION_REFUSED])?;
    world.close_all(&[near])
}

/// Cancelled, it ends promptly, one way or the other.
fn cancelled(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    for _ in 0..10 {
        let near = world.bound()?;
        let connecting = world.start(&with(near, at, Some(data(&1000, 0))))?;
        world.cancel(connecting);
        let ended = world.done(connecting)?;
        let either = matches!(ended.status, STATUS_SUCCESS | STATUS_CANCELLED);
        expect(either, "it is cancelled unless it has succeeded", ended.status)?;
        world.close_all(&[near])?;
    }
    world.close_all(&[listener])
}
