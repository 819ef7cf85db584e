//! `WskBind`.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use abi::status::{
    STATUS_ADDRESS_ALREADY_EXISTS, STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER, STATUS_SUCCESS,
};

use crate::Case;
use crate::failure::{Check, expect};
use crate::tools::bind;
use crate::world::{Call, World};

pub(super) const CHOOSES_A_PORT: Case =
    Case { name: "bind-chooses-a-port", section: "WskBind", run: chooses_a_port };
pub(super) const ADDRESS_IN_USE: Case =
    Case { name: "bind-address-in-use", section: "WskBind", run: address_in_use };
pub(super) const REFUSALS: Case = Case { name: "bind-refusals", section: "WskBind", run: refusals };
pub(super) const TWICE: Case = Case { name: "bind-twice", section: "WskBind", run: twice };
pub(super) const PORT_COMES_BACK: Case =
    Case { name: "bind-port-comes-back", section: "WskBind", run: port_comes_back };

/// An address that belongs to nobody (RFC 5737).
const ELSEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 0);
const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Port 0 is a real port as soon as the bind is over, for both categories and for the wildcard.
fn chooses_a_port(world: &mut dyn World) -> Check {
    let ip = world.ipv4();
    let mut ports = [0; 4];
    let sockets = [
        (world.listen_socket()?, ip),
        (world.connection_socket()?, ip),
        (world.listen_socket()?, ANY),
        (world.connection_socket()?, ANY),
    ];
    for ((socket, at), port) in sockets.into_iter().zip(&mut ports) {
        world.succeeds(&bind(socket, SocketAddr::new(at, 0)), 0)?;
        let address = world.local_address(socket)?;
        expect(address.ip() == at && address.port() != 0, "the local address has a port", Some(address))?;
        *port = address.port();
    }
    for (index, port) in ports.iter().enumerate() {
        let others = ports.iter().take(index);
        expect(
            !others.clone().any(|other| other == port),
            "every socket has a port of its own",
            u64::from(*port),
        )?;
    }
    for (socket, _) in sockets {
        world.close_all(&[socket])?;
    }
    Ok(())
}

/// An address in use is exactly ADDRESS_ALREADY_EXISTS: clients try the next port on this value only. The socket can
/// still be bound to another one.
fn address_in_use(world: &mut dyn World) -> Check {
    let (listener, listening) = world.listener()?;
    let connection = world.bound()?;
    let taken = world.local_address(connection)?;
    for address in [listening, taken] {
        for socket in [world.listen_socket()?, world.connection_socket()?] {
            world.fails(&bind(socket, address), &[STATUS_ADDRESS_ALREADY_EXISTS])?;
            let any = world.any_port();
            world.succeeds(&bind(socket, any), 0)?;
            world.close_all(&[socket])?;
        }
    }
    // A wildcard beside one address is no conflict ("Sharing Transport Addresses").
    for port in [listening.port(), taken.port()] {
        let socket = world.connection_socket()?;
        let binding = world.start(&bind(socket, SocketAddr::new(ANY, port)))?;
        let bound = world.done(binding)?;
        let either = matches!(bound.status, STATUS_SUCCESS | STATUS_ADDRESS_ALREADY_EXISTS);
        expect(either, "the wildcard is bound, or the address is in use", bound.status)?;
        world.close_all(&[socket])?;
    }
    world.close_all(&[listener, connection])
}

/// No address, an address of the other family, an address of nobody: refused, and the socket can still be bound.
fn refusals(world: &mut dyn World) -> Check {
    for socket in [world.listen_socket()?, world.connection_socket()?] {
        world.is_refused(&Call::Bind { on: socket.into(), address: None })?;
        world.is_refused(&bind(socket, SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 0)))?;
        world.is_refused(&bind(socket, ELSEWHERE))?;
        let any = world.any_port();
        world.succeeds(&bind(socket, any), 0)?;
        world.close_all(&[socket])?;
    }
    Ok(())
}

/// A socket is bound once; a second bind changes nothing.
fn twice(world: &mut dyn World) -> Check {
    let (listener, address) = world.listener()?;
    let connection = world.bound()?;
    let any = world.any_port();
    for socket in [listener, connection] {
        let before = world.local_address(socket)?;
        world.fails(&bind(socket, any), &[STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER])?;
        let after = world.local_address(socket)?;
        expect(before == after, "the local address stays", Some(after))?;
    }
    let pair = world.pair_over(listener, address)?;
    world.close_pair(pair)?;
    world.close_all(&[connection])
}

/// A closed socket's port is free when its close is over.
fn port_comes_back(world: &mut dyn World) -> Check {
    let (listener, address) = world.listener()?;
    world.close_all(&[listener])?;
    let connection = world.connection_socket()?;
    world.succeeds(&bind(connection, address), 0)?;
    world.close_all(&[connection])?;
    let listener = world.listen_socket()?;
    world.succeeds(&bind(listener, address), 0)?;
    let pair = world.pair_over(listener, address)?;
    world.close_pair(pair)
}
