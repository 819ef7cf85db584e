//! `WskSocket`.

use abi::wsk::{AF_INET, IPPROTO_TCP, SOCK_STREAM, WSK_FLAG_CONNECTION_SOCKET, WSK_FLAG_LISTEN_SOCKET};

use crate::Case;
use crate::failure::Check;
use crate::tools::tcp_socket;
use crate::world::{Call, World};

pub(super) const CATEGORIES: Case = Case { name: "socket-categories", section: "WskSocket", run: categories };
pub(super) const REFUSALS: Case = Case { name: "socket-refusals", section: "WskSocket", run: refusals };

/// Listening and connection sockets, of both families.
fn categories(world: &mut dyn World) -> Check {
    let mut sockets = [world.listen_socket()?, world.connection_socket()?];
    world.close_all(&sockets)?;
    if world.ipv6().is_some() {
        sockets =
            [world.ipv6_socket(WSK_FLAG_LISTEN_SOCKET)?, world.ipv6_socket(WSK_FLAG_CONNECTION_SOCKET)?];
        world.close_all(&sockets)?;
    }
    Ok(())
}

/// What no transport can be: the IRP is completed all the same, and no socket comes about.
fn refusals(world: &mut dyn World) -> Check {
    // AF_MAX and beyond; neither a type nor a protocol; more than one category.
    world.is_refused(&tcp_socket(0x7FFF, WSK_FLAG_CONNECTION_SOCKET))?;
    world.is_refused(&tcp_socket(AF_INET, WSK_FLAG_CONNECTION_SOCKET | WSK_FLAG_LISTEN_SOCKET))?;
    world.is_refused(&tcp_socket(AF_INET, u32::MAX))?;
    for (socket_type, protocol) in [(0x77, IPPROTO_TCP), (SOCK_STREAM, 0xFF77)] {
        let flags = WSK_FLAG_CONNECTION_SOCKET;
        world.is_refused(&Call::Socket {
            null_client: false,
            family: AF_INET,
            socket_type,
            protocol,
            flags,
        })?;
    }
    Ok(())
}
