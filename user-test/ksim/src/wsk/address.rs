//! Local addresses: binding, sharing, and what `WskGetLocalAddress` says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use abi::NTSTATUS;
use abi::status::{
    STATUS_ACCESS_DENIED, STATUS_ADDRESS_ALREADY_EXISTS, STATUS_INVALID_ADDRESS_COMPONENT,
    STATUS_INVALID_DEVICE_STATE, STATUS_NOT_IMPLEMENTED, STATUS_TOO_MANY_ADDRESSES,
};
use abi::wsk::{
    AF_INET6, IPPROTO_IPV6, IPV6_V6ONLY, SO_EXCLUSIVEADDRUSE, SO_REUSEADDR, SOCK_RAW, SOCK_STREAM, SOL_SOCKET,
};

use super::socket::{Category, Socket, State};
use super::world::World;

/// Ports that are given out where none is asked for.
const EPHEMERAL_FIRST: u16 = 49152;
const EPHEMERAL_COUNT: u16 = 16384;

/// How a socket wants its address to be shared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Default,
    Reuse,
    Exclusive,
}

fn sharing(socket: &Socket) -> Sharing {
    if socket.option(SOL_SOCKET, SO_EXCLUSIVEADDRUSE) != 0 {
        Sharing::Exclusive
    } else if socket.option(SOL_SOCKET, SO_REUSEADDR) != 0 {
        Sharing::Reuse
    } else {
        Sharing::Default
    }
}

/// Whether the second bind to a port is allowed: the table of "Sharing Transport Addresses". `same_process` decides
/// where Windows checks the second socket's security context against the first one's descriptor.
fn may_share(
    first: (Sharing, IpAddr),
    second: (Sharing, IpAddr),
    same_process: bool,
) -> Result<(), NTSTATUS> {
    use Sharing::{Default, Exclusive, Reuse};
    const IN_USE: Result<(), NTSTATUS> = Err(STATUS_ADDRESS_ALREADY_EXISTS);
    const DENIED: Result<(), NTSTATUS> = Err(STATUS_ACCESS_DENIED);
    let check = if same_process { Ok(()) } else { DENIED };
    let (first_wild, second_wild) = (first.1.is_unspecified(), second.1.is_unspecified());
    if !first_wild && !second_wild && first.1 != second.1 {
        return Ok(());
    }
    match (second.0, second_wild, first.0, first_wild) {
        (Default, true, _, true) => IN_USE,
        (Default, true, _, false) => Ok(()),
        (Default, false, Default | Reuse, true) => check,
        (Default, false, Exclusive, true) => DENIED,
        (Default, false, Reuse, false) => DENIED,
        (Default, false, Default | Exclusive, false) => IN_USE,
        (Reuse, true, Reuse, true) => Ok(()),
        (Reuse, true, _, true) => DENIED,
        (Reuse, true, _, false) => Ok(()),
        (Reuse, false, Reuse, _) => Ok(()),
        (Reuse, false, Default, true) => check,
        (Reuse, false, ..) => DENIED,
        (Exclusive, true, ..) => IN_USE,
        (Exclusive, false, Exclusive, true) => DENIED,
        (Exclusive, false, _, true) => check,
        (Exclusive, false, _, false) => IN_USE,
    }
}

/// Whether a socket's address covers IPv4 as well as IPv6.
pub(super) fn is_dual(socket: &Socket) -> bool {
    let v6only = socket.options.get(&(IPPROTO_IPV6, IPV6_V6ONLY));
    socket.kind.family == AF_INET6 && v6only.is_some_and(|value| value.iter().all(|&byte| byte == 0))
}

impl World {
    /// Whether an address is the machine's. The wildcard is not.
    pub(super) fn is_local(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.addresses.contains(&ip)
    }

    /// The machine's addresses of a family, the loopback's first.
    pub(super) fn local_addresses(&self, ipv4: bool) -> Vec<IpAddr> {
        let loopback = if ipv4 { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { IpAddr::V6(Ipv6Addr::LOCALHOST) };
        let others = self.addresses.iter().copied().filter(|ip| ip.is_ipv4() == ipv4);
        std::iter::once(loopback).chain(others).collect()
    }

    /// Whether `socket` may be bound to `to` beside all others.
    fn may_bind(&self, socket: &Socket, to: SocketAddr) -> Result<(), NTSTATUS> {
        for other in self.sockets.values().filter(|other| other.owns_port) {
            let Some(taken) = other.local.filter(|local| local.port() == to.port()) else { continue };
            let same_family =
                taken.is_ipv4() == to.is_ipv4() || (is_dual(other) && taken.ip().is_unspecified());
            if other.kind.socket_type != socket.kind.socket_type
                || socket.kind.socket_type == SOCK_RAW
                || other.kind.protocol != socket.kind.protocol
                || !same_family
            {
                continue;
            }
            let first = (sharing(other), taken.ip());
            may_share(first, (sharing(socket), to.ip()), other.process == socket.process)?;
        }
        Ok(())
    }

    /// `WskBind`, with what it does for the socket's category.
    ///
    /// # Errors
    /// As the function's completion.
    pub(super) fn bind(&mut self, at: usize, to: SocketAddr) -> Result<(), NTSTATUS> {
        let ip = to.ip();
        let known = ip.is_unspecified() || self.is_local(ip);
        let Some(socket) = self.sockets.get(&at) else { return Err(STATUS_INVALID_DEVICE_STATE) };
        let stream = socket.kind.socket_type == SOCK_STREAM;
        if stream == (socket.category == Category::Datagram) {
            return Err(STATUS_NOT_IMPLEMENTED);
        }
        if socket.state != State::Created {
            return Err(STATUS_INVALID_DEVICE_STATE);
        }
        if !known {
            return Err(STATUS_INVALID_ADDRESS_COMPONENT);
        }
        let port = match to.port() {
            0 if socket.kind.socket_type == SOCK_RAW => 0,
            0 => (0..EPHEMERAL_COUNT)
                .map(|port| EPHEMERAL_FIRST + (self.next_port.wrapping_add(port)) % EPHEMERAL_COUNT)
                .find(|&port| self.is_free(socket, port))
                .ok_or(STATUS_TOO_MANY_ADDRESSES)?,
            port => {
                self.may_bind(socket, to)?;
                port
            }
        };
        let listens = socket.category == Category::Listen;
        if listens {
            self.listen_outside(at, SocketAddr::new(ip, port))?;
        }
        self.next_port = self.next_port.wrapping_add(1);
        if let Some(socket) = self.sockets.get_mut(&at) {
            socket.local = Some(SocketAddr::new(ip, port));
            socket.owns_port = true;
            socket.state = if listens { State::Listening } else { State::Bound };
        }
        self.touch(at);
        Ok(())
    }

    /// Whether nobody has anything of that port.
    fn is_free(&self, socket: &Socket, port: u16) -> bool {
        let kind = socket.kind.socket_type;
        let mut others = self.sockets.values().filter(|other| other.kind.socket_type == kind);
        !others.any(|other| other.local.is_some_and(|local| local.port() == port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every cell of the published table, in its order.
    #[test]
    fn addresses_are_shared_as_published() {
        use Sharing::{Default, Exclusive, Reuse};
        let (w, s) = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::LOCALHOST));
        let first = [(Default, w), (Default, s), (Reuse, w), (Reuse, s), (Exclusive, w), (Exclusive, s)];
        let table = [
            (Default, w, ["in use", "ok", "in use", "ok", "in use", "ok"]),
            (Default, s, ["check", "in use", "check", "denied", "denied", "in use"]),
            (Reuse, w, ["denied", "ok", "ok", "ok", "denied", "ok"]),
            (Reuse, s, ["check", "denied", "ok", "ok", "denied", "denied"]),
            (Exclusive, w, ["in use"; 6]),
            (Exclusive, s, ["check", "in use", "check", "in use", "denied", "in use"]),
        ];
        for (second, ip, row) in table {
            for (column, wanted) in row.into_iter().enumerate() {
                let found = [true, false].map(|same| may_share(first[column], (second, ip), same));
                let (ok, denied) = (Ok(()), Err(STATUS_ACCESS_DENIED));
                let wanted = match wanted {
                    "ok" => [ok; 2],
                    "check" => [ok, denied],
                    "denied" => [denied; 2],
                    _ => [Err(STATUS_ADDRESS_ALREADY_EXISTS); 2],
                };
                assert_eq!(found, wanted, "{ip} column {column}");
            }
        }
        let other = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
        assert_eq!(may_share((Exclusive, s), (Exclusive, other), false), Ok(()));
    }
}
