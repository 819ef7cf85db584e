//! `WskSocketConnect`.

use core::net::{Ipv6Addr, SocketAddr};

use abi::status::{STATUS_CANCELLED, STATUS_CONNECTION_REFUSED, STATUS_SUCCESS};
use abi::wsk::WSK_EVENT_RECEIVE;

use crate::Case;
use crate::failure::{Check, expect};
use crate::tools::{Pair, accept};
use crate::watch::Watch;
use crate::world::{Call, World};

pub(super) const IN_ONE_CALL: Case =
    Case { name: "socket-connect-in-one-call", section: "WskSocketConnect", run: in_one_call };
pub(super) const WITH_CALLBACKS: Case =
    Case { name: "socket-connect-with-callbacks", section: "WskSocketConnect", run: with_callbacks };
pub(super) const REFUSED: Case =
    Case { name: "socket-connect-refused", section: "WskSocketConnect", run: refused };
pub(super) const BAD_ADDRESSES: Case =
    Case { name: "socket-connect-bad-addresses", section: "WskSocketConnect", run: bad_addresses };
pub(super) const CANCELLED: Case =
    Case { name: "socket-connect-cancelled", section: "Canceling IRPs", run: cancelled };
pub(super) const WITHOUT_AN_IRP: Case = Case {
    name: "socket-connect-without-an-irp",
    section: "Using IRPs with Winsock Kernel Functions",
    run: without_an_irp,
};

const WATCH: Watch = Watch(1);

/// One request makes, binds and connects; Information is the socket.
fn in_one_call(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let accepting = world.start(&accept(listener))?;
    let any = world.any_port();
    let connecting = world.start(&Call::SocketConnect { local: any, remote: at })?;
    let near = world.made(connecting)?;
    let far = world.made(accepting)?;
    let (here, there) = (world.local_address(near)?, world.remote_address(far)?);
    expect(here == there, "both ends name the same address", Some(there))?;
    world.sends(near, 0, 1000)?;
    world.receives(far, 0, 1000)?;
    world.close_pair(Pair { listener, near, far })
}

/// The socket has the callbacks of the request, and its events are off at first.
fn with_callbacks(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let accepting = world.start(&accept(listener))?;
    let any = world.any_port();
    let call = Call::SocketConnect { local: any, remote: at };
    let connecting = world.start(&Call::Watched { by: WATCH, call: &call })?;
    let near = world.made(connecting)?;
    let far = world.made(accepting)?;
    world.sends(far, 0, 100)?;
    world.sees_no_more(WATCH, 0)?;
    world.enable(near, WSK_EVENT_RECEIVE)?;
    world.has_taken(WATCH, 100)?;
    world.close_pair(Pair { listener, near, far })
}

/// Where nobody listens it is CONNECTION_REFUSED, and nothing is left to close.
fn refused(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    world.close_all(&[listener])?;
    let any = world.any_port();
    world.fails(&Call::SocketConnect { local: any, remote: at }, &[STATUS_CONNECTION_REFUSED])?;
    Ok(())
}

/// Addresses of two families, and a local address that is taken, are refused.
fn bad_addresses(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let any = world.any_port();
    let other = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), at.port());
    world.is_refused(&Call::SocketConnect { local: any, remote: other })?;
    world.is_refused(&Call::SocketConnect { local: at, remote: at })?;
    world.close_all(&[listener])
}

/// Cancelled, it ends promptly; a socket that came about all the same can be closed.
fn cancelled(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let any = world.any_port();
    for _ in 0..10 {
        let connecting = world.start(&Call::SocketConnect { local: any, remote: at })?;
        world.cancel(connecting);
        let ended = world.done(connecting)?;
        let either = matches!(ended.status, STATUS_SUCCESS | STATUS_CANCELLED);
        expect(either, "it is cancelled unless it has succeeded", ended.status)?;
        if let Some(socket) = ended.socket {
            world.close_all(&[socket])?;
        }
    }
    world.close_all(&[listener])
}

/// Without an IRP it is INVALID_PARAMETER.
fn without_an_irp(world: &mut dyn World) -> Check {
    let any = world.any_port();
    let returned = world.call_without_irp(&Call::SocketConnect { local: any, remote: any });
    let refused = returned == Some(abi::status::STATUS_INVALID_PARAMETER);
    expect(refused, "an IRP is needed", returned.unwrap_or(0))
}
