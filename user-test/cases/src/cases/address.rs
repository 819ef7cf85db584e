//! `WskGetLocalAddress` and `WskGetRemoteAddress`.

use core::net::{Ipv4Addr, SocketAddr};

use abi::status::STATUS_INVALID_DEVICE_STATE;
use abi::wsk::{WSK_FLAG_CONNECTION_SOCKET, WSK_FLAG_LISTEN_SOCKET};

use crate::Case;
use crate::failure::{Check, expect};
use crate::tools::{Pair, accept, bind, connect, local, remote};
use crate::world::{Socket, World};

pub(super) const BEFORE: Case = Case { name: "address-before", section: "WskGetLocalAddress", run: before };
pub(super) const AFTER: Case = Case { name: "address-after", section: "WskGetRemoteAddress", run: after };
pub(super) const IPV6: Case = Case { name: "address-ipv6", section: "WskGetRemoteAddress", run: ipv6 };

/// Not bound: no local address. Not connected: no remote address.
fn before(world: &mut dyn World) -> Check {
    let (listener, connection) = (world.listen_socket()?, world.connection_socket()?);
    for socket in [listener, connection] {
        world.fails(&local(socket), &[STATUS_INVALID_DEVICE_STATE])?;
    }
    world.fails(&remote(connection), &[STATUS_INVALID_DEVICE_STATE])?;
    let any = world.any_port();
    world.succeeds(&bind(connection, any), 0)?;
    world.fails(&remote(connection), &[STATUS_INVALID_DEVICE_STATE])?;
    world.close_all(&[listener, connection])
}

/// Connected: both ends agree, and a socket bound to the wildcard has an address.
fn after(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let near = world.connection_socket()?;
    world.succeeds(&bind(near, SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)), 0)?;
    let bound = world.local_address(near)?;
    let accepting = world.start(&accept(listener))?;
    world.succeeds(&connect(near, at), 0)?;
    let accepted = world.succeeded(accepting)?;
    let far = world.made(accepting)?;
    let here = world.local_address(near)?;
    expect(!here.ip().is_unspecified(), "a connected socket has an address", Some(here))?;
    expect(here.port() == bound.port(), "connecting keeps the port", Some(here))?;
    expect(accepted.address == Some(at), "the accept names its local address", accepted.address)?;
    expect(accepted.remote == Some(here), "the accept names its remote address", accepted.remote)?;
    agree(world, near, far, here, at)?;
    world.close_pair(Pair { listener, near, far })
}

fn agree(world: &mut dyn World, near: Socket, far: Socket, here: SocketAddr, there: SocketAddr) -> Check {
    let found = [world.remote_address(near)?, world.local_address(far)?, world.remote_address(far)?];
    for (found, expected) in found.into_iter().zip([there, there, here]) {
        expect(found == expected, "both ends name the same addresses", Some(found))?;
    }
    Ok(())
}

/// The same over IPv6, with addresses of 28 octets.
fn ipv6(world: &mut dyn World) -> Check {
    let Some(ip) = world.ipv6() else { return Ok(()) };
    let listener = world.ipv6_socket(WSK_FLAG_LISTEN_SOCKET)?;
    world.succeeds(&bind(listener, SocketAddr::new(ip, 0)), 0)?;
    let at = world.local_address(listener)?;
    let near = world.ipv6_socket(WSK_FLAG_CONNECTION_SOCKET)?;
    world.succeeds(&bind(near, SocketAddr::new(ip, 0)), 0)?;
    let accepting = world.start(&accept(listener))?;
    world.succeeds(&connect(near, at), 0)?;
    let far = world.made(accepting)?;
    let here = world.local_address(near)?;
    agree(world, near, far, here, at)?;
    world.sends(near, 0, 1000)?;
    world.receives(far, 0, 1000)?;
    world.close_pair(Pair { listener, near, far })
}
