//! `WskConnect`.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use abi::status::{
    STATUS_CANCELLED, STATUS_CONNECTION_ACTIVE, STATUS_CONNECTION_REFUSED, STATUS_INVALID_DEVICE_STATE,
    STATUS_SUCCESS,
};

use crate::Case;
use crate::failure::{Check, expect};
use crate::tools::{Pair, accept, bind, connect};
use crate::world::{Call, World};

pub(super) const UNBOUND: Case = Case { name: "connect-unbound", section: "WskConnect", run: unbound };
pub(super) const REFUSED: Case = Case { name: "connect-refused", section: "WskConnect", run: refused };
pub(super) const AGAIN_AFTER_REFUSAL: Case =
    Case { name: "connect-again-after-refusal", section: "WskConnect", run: again_after_refusal };
pub(super) const TWICE: Case = Case { name: "connect-twice", section: "WskConnect", run: twice };
pub(super) const BAD_ADDRESS: Case =
    Case { name: "connect-bad-address", section: "WskConnect", run: bad_address };
pub(super) const NOBODY_THERE: Case =
    Case { name: "connect-nobody-there", section: "WskConnect", run: nobody_there };
pub(super) const CANCELLED: Case = Case { name: "connect-cancelled", section: "WskConnect", run: cancelled };

/// A connection socket is bound before it connects.
fn unbound(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let socket = world.connection_socket()?;
    world.fails(&connect(socket, at), &[STATUS_INVALID_DEVICE_STATE])?;
    world.close_all(&[socket, listener])
}

/// Where nobody listens the answer is CONNECTION_REFUSED; the socket stays bound.
fn refused(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let socket = world.bound()?;
    world.close_all(&[listener])?;
    let before = world.local_address(socket)?;
    world.fails(&connect(socket, at), &[STATUS_CONNECTION_REFUSED])?;
    let after = world.local_address(socket)?;
    expect(before == after, "the socket stays bound", Some(after))?;
    world.close_all(&[socket])
}

/// A refused socket may connect again, at once, from its own address.
fn again_after_refusal(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let near = world.bound()?;
    world.close_all(&[listener])?;
    let here = world.local_address(near)?;
    world.fails(&connect(near, at), &[STATUS_CONNECTION_REFUSED])?;
    world.fails(&connect(near, at), &[STATUS_CONNECTION_REFUSED])?;
    let listener = world.listen_socket()?;
    world.succeeds(&bind(listener, at), 0)?;
    let accepting = world.start(&accept(listener))?;
    world.succeeds(&connect(near, at), 0)?;
    let accepted = world.succeeded(accepting)?;
    expect(accepted.remote == Some(here), "the connection comes from the bound address", accepted.remote)?;
    let far = world.made(accepting)?;
    world.close_pair(Pair { listener, near, far })
}

/// A connected socket, on either side, connects no more.
fn twice(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let pair = world.pair_over(listener, at)?;
    for socket in [pair.near, pair.far] {
        world.fails(&connect(socket, at), &[STATUS_CONNECTION_ACTIVE])?;
    }
    world.sends(pair.near, 0, 10)?;
    world.receives(pair.far, 0, 10)?;
    world.close_pair(pair)
}

/// No address, one of the other family, one without a port: refused, and the socket can still connect.
fn bad_address(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let near = world.bound()?;
    world.is_refused(&Call::Connect { on: near.into(), address: None })?;
    world.is_refused(&connect(near, SocketAddr::new(Ipv6Addr::LOCALHOST.into(), at.port())))?;
    world.is_refused(&connect(near, SocketAddr::new(at.ip(), 0)))?;
    let accepting = world.start(&accept(listener))?;
    world.succeeds(&connect(near, at), 0)?;
    let far = world.made(accepting)?;
    world.close_pair(Pair { listener, near, far })
}

/// An address that belongs to nobody (RFC 5737) is an error, whichever.
fn nobody_there(world: &mut dyn World) -> Check {
    let socket = world.bound()?;
    let nobody = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 4791);
    world.is_refused(&connect(socket, nobody))?;
    world.close_all(&[socket])
}

/// A connect that is cancelled ends promptly, one way or the other, and the socket can be closed.
fn cancelled(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    for _ in 0..20 {
        let near = world.bound()?;
        let connecting = world.start(&connect(near, at))?;
        world.cancel(connecting);
        let completion = world.done(connecting)?;
        expect(
            matches!(completion.status, STATUS_SUCCESS | STATUS_CANCELLED),
            "the connect is cancelled unless it has succeeded",
            completion.status,
        )?;
        world.close_all(&[near])?;
    }
    world.close_all(&[listener])
}
