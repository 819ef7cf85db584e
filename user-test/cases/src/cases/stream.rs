//! Stream sockets, `WskListen`.

use core::net::SocketAddr;

use abi::status::{STATUS_CANCELLED, STATUS_INVALID_DEVICE_STATE, STATUS_SUCCESS};
use abi::wsk::{SO_KEEPALIVE, SOL_SOCKET, WSK_EVENT_ACCEPT, WSK_EVENT_RECEIVE, WSK_FLAG_STREAM_SOCKET};

use crate::Case;
use crate::failure::{Check, expect};
use crate::tools::{accept, bind, close, connect, disconnect, local, remote};
use crate::watch::Watch;
use crate::world::{Call, Socket, World};

pub(super) const LISTENS: Case = Case { name: "stream-listens", section: "WskListen", run: listens };
pub(super) const CONNECTS: Case = Case { name: "stream-connects", section: "WskConnect", run: connects };
pub(super) const CONNECTS_WITH_DATA: Case =
    Case { name: "stream-connects-with-data", section: "WskConnectEx", run: connects_with_data };
pub(super) const UNBOUND: Case = Case { name: "stream-unbound", section: "WskListen", run: unbound };
pub(super) const NOT_LISTENING_YET: Case =
    Case { name: "stream-not-listening-yet", section: "WskListen", run: not_listening_yet };
pub(super) const KEEPS_ITS_ROLE: Case =
    Case { name: "stream-keeps-its-role", section: "WskListen", run: keeps_its_role };
pub(super) const CLOSED_WITH_ACCEPTS: Case =
    Case { name: "stream-closed-with-accepts", section: "WskCloseSocket", run: closed_with_accepts };
pub(super) const WITH_EVENTS: Case =
    Case { name: "stream-with-events", section: "WSK_CLIENT_STREAM_DISPATCH", run: with_events };
pub(super) const OPTIONS: Case =
    Case { name: "stream-options-before-listening", section: "SO_KEEPALIVE", run: options_before_listening };

const LISTENER: Watch = Watch(0);
const CONNECTION: Watch = Watch(1);
const NEAR: Watch = Watch(2);

fn stream(world: &mut dyn World) -> Check<Socket> {
    world.socket(abi::wsk::AF_INET, WSK_FLAG_STREAM_SOCKET)
}

fn stream_bound(world: &mut dyn World) -> Check<Socket> {
    let socket = stream(world)?;
    let any = world.any_port();
    world.succeeds(&bind(socket, any), 0)?;
    Ok(socket)
}

fn listening(world: &mut dyn World) -> Check<(Socket, SocketAddr)> {
    let socket = stream(world)?;
    let at = world.listen_at(socket)?;
    world.succeeds(&Call::Listen { on: socket.into() }, 0)?;
    Ok((socket, at))
}

/// Bound and told to listen, it accepts connection sockets.
fn listens(world: &mut dyn World) -> Check {
    let (listener, at) = listening(world)?;
    let near = world.bound()?;
    let accepting = world.start(&accept(listener))?;
    world.succeeds(&connect(near, at), 0)?;
    let far = world.made(accepting)?;
    world.sends(near, 0, 1000)?;
    world.receives(far, 0, 1000)?;
    world.close_all(&[near, far, listener])
}

/// What was set before it listens counts for what it accepts.
fn options_before_listening(world: &mut dyn World) -> Check {
    let socket = stream_bound(world)?;
    world.sets(socket, SOL_SOCKET, SO_KEEPALIVE, 1)?;
    let at = world.local_address(socket)?;
    world.succeeds(&Call::Listen { on: socket.into() }, 0)?;
    let accepting = world.start(&accept(socket))?;
    let near = world.connects(at)?;
    let far = world.made(accepting)?;
    expect(world.gets(far, SOL_SOCKET, SO_KEEPALIVE)? == 1, "the accepted socket inherits it", 0usize)?;
    world.close_all(&[near, far, socket])
}

/// Bound and connected, it carries a stream both ways.
fn connects(world: &mut dyn World) -> Check {
    let (listener, at) = listening(world)?;
    let near = stream_bound(world)?;
    let accepting = world.start(&accept(listener))?;
    world.succeeds(&connect(near, at), 0)?;
    let far = world.made(accepting)?;
    for (from, to) in [(near, far), (far, near)] {
        world.sends(from, 0, 10_000)?;
        world.receives(to, 0, 10_000)?;
    }
    world.succeeds(&disconnect(near), 0)?;
    world.is_at_end(far)?;
    let (here, there) = (world.local_address(near)?, world.remote_address(far)?);
    expect(here == there, "both ends name the same address", Some(there))?;
    world.close_all(&[near, far, listener])
}

/// It connects with data.
fn connects_with_data(world: &mut dyn World) -> Check {
    let (listener, at) = listening(world)?;
    let near = stream_bound(world)?;
    let accepting = world.start(&accept(listener))?;
    let buffer = Some(crate::tools::data(&100, 0));
    let connecting =
        world.start(&Call::ConnectEx { on: near.into(), address: Some(at), buffer, flags: 0 })?;
    let far = world.made(accepting)?;
    world.receives(far, 0, 100)?;
    world.succeeded(connecting)?;
    world.close_all(&[near, far, listener])
}

/// Unbound, it neither listens nor connects nor accepts.
fn unbound(world: &mut dyn World) -> Check {
    let socket = stream(world)?;
    world.fails(&Call::Listen { on: socket.into() }, &[STATUS_INVALID_DEVICE_STATE])?;
    let any = world.any_port();
    let nobody = SocketAddr::new(any.ip(), 1);
    world.fails(&connect(socket, nobody), &[STATUS_INVALID_DEVICE_STATE])?;
    world.is_refused(&accept(socket))?;
    world.fails(&local(socket), &[STATUS_INVALID_DEVICE_STATE])?;
    world.close_all(&[socket])
}

/// Bound but not listening, it accepts nothing.
fn not_listening_yet(world: &mut dyn World) -> Check {
    let socket = stream_bound(world)?;
    world.is_refused(&accept(socket))?;
    world.fails(&remote(socket), &[STATUS_INVALID_DEVICE_STATE])?;
    world.succeeds(&Call::Listen { on: socket.into() }, 0)?;
    let accepting = world.start(&accept(socket))?;
    world.cancel(accepting);
    world.failed(accepting, &[STATUS_CANCELLED])?;
    world.close_all(&[socket])
}

/// A listening one never connects, a connected one never listens.
fn keeps_its_role(world: &mut dyn World) -> Check {
    let (listener, at) = listening(world)?;
    world.is_refused(&connect(listener, at))?;
    world.is_refused(&Call::Listen { on: listener.into() })?;
    let near = stream_bound(world)?;
    let accepting = world.start(&accept(listener))?;
    world.succeeds(&connect(near, at), 0)?;
    let far = world.made(accepting)?;
    world.is_refused(&Call::Listen { on: near.into() })?;
    world.sends(near, 0, 10)?;
    world.receives(far, 0, 10)?;
    world.close_all(&[near, far, listener])
}

/// The close of a listening one ends its accepts before it.
fn closed_with_accepts(world: &mut dyn World) -> Check {
    let (listener, _) = listening(world)?;
    let accepts = [world.start(&accept(listener))?, world.start(&accept(listener))?];
    let closed = world.succeeds(&close(listener), 0)?;
    for accepting in accepts {
        let ended = world.failed(accepting, &[STATUS_CANCELLED])?;
        expect(ended.order < closed.order, "the close is the last to be completed", ended.order)?;
    }
    Ok(())
}

/// Its table has callbacks for both roles.
fn with_events(world: &mut dyn World) -> Check {
    world.hands_down(LISTENER, CONNECTION);
    let listener = world.watched_socket(LISTENER, WSK_FLAG_STREAM_SOCKET)?;
    let at = world.listen_at(listener)?;
    world.succeeds(&Call::Listen { on: listener.into() }, 0)?;
    world.enable(listener, WSK_EVENT_ACCEPT)?;
    let near = world.watched_socket(NEAR, WSK_FLAG_STREAM_SOCKET)?;
    let any = world.any_port();
    world.succeeds(&bind(near, any), 0)?;
    world.succeeds(&connect(near, at), 0)?;
    world.enable(near, WSK_EVENT_RECEIVE)?;
    let far = world.accepted(LISTENER, 0)?;
    world.sends(far, 0, 100)?;
    world.has_taken(NEAR, 100)?;
    let returned = world.events_at_once(far, WSK_EVENT_RECEIVE)?;
    expect(returned == STATUS_SUCCESS, "the accepted one is a connection", returned)?;
    world.sends(near, 0, 100)?;
    world.has_taken(CONNECTION, 100)?;
    world.close_all(&[near, far, listener])
}
