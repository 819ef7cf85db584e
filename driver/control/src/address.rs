//! An IP transport address as it crosses the boundary.

use crate::record::record;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// AF_INET.
const AF_INET: u16 = 2;
/// AF_INET6 (Windows' value, whatever the host).
const AF_INET6: u16 = 23;

record! {
    /// An address: 24 octets. All zero means "none".
    #[derive(Default)]
    pub struct Address {
        /// 0 none, 2 AF_INET, 23 AF_INET6.
        family: u16,
        /// Port in host order.
        port: u16,
        /// IPv6 scope id, 0 for IPv4.
        scope_id: u32,
        /// Address octets in network order; IPv4 uses the first four.
        ip: [u8; 16],
    }
}

impl Address {
    /// The address as Rust's type; `None` for "none" and for an unknown family.
    #[must_use]
    pub fn to_socket_addr(&self) -> Option<SocketAddr> {
        match self.family {
            AF_INET => {
                let [a, b, c, d, ..] = self.ip;
                Some(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), self.port).into())
            }
            AF_INET6 => Some(SocketAddrV6::new(Ipv6Addr::from(self.ip), self.port, 0, self.scope_id).into()),
            _ => None,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(value: SocketAddr) -> Self {
        let mut ip = [0; 16];
        let (family, scope_id) = match value.ip() {
            IpAddr::V4(v4) => {
                for (to, from) in ip.iter_mut().zip(v4.octets()) {
                    *to = from;
                }
                (AF_INET, 0)
            }
            IpAddr::V6(v6) => {
                ip = v6.octets();
                (AF_INET6, if let SocketAddr::V6(a) = value { a.scope_id() } else { 0 })
            }
        };
        Self { family, port: value.port(), scope_id, ip }
    }
}
