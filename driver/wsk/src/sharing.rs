//! Who may use a transport address beside whom ("Sharing Transport Addresses").

use abi::NTSTATUS;
use abi::status::{STATUS_ACCESS_DENIED, STATUS_ADDRESS_ALREADY_EXISTS};
use core::net::SocketAddr;

/// What a socket has said about its address before WskBind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Neither option.
    #[default]
    None,
    /// SO_REUSEADDR.
    Reuse,
    /// SO_EXCLUSIVEADDRUSE.
    Exclusive,
}

/// An address that a socket is bound to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) address: SocketAddr,
    pub(crate) sharing: Sharing,
}

impl Bound {
    /// Whether `second` may be bound beside `self`, the first binder. Where the page asks for an access check the answer is
    /// that of the default security descriptor, which denies sharing.
    ///
    /// # Errors
    /// ADDRESS_ALREADY_EXISTS or ACCESS_DENIED, as in the page's table.
    pub(crate) fn admits(&self, second: &Self) -> Result<(), NTSTATUS> {
        let (first, other) = (self.address, second.address);
        if first.port() != other.port() || first.is_ipv4() != other.is_ipv4() {
            return Ok(());
        }
        let (wide, second_wide) = (first.ip().is_unspecified(), other.ip().is_unspecified());
        if !wide && !second_wide && first.ip() != other.ip() {
            return Ok(());
        }
        let in_use = Err(STATUS_ADDRESS_ALREADY_EXISTS);
        let denied = Err(STATUS_ACCESS_DENIED);
        match (second.sharing, second_wide, self.sharing, wide) {
            // A wildcard beside an exact address: two different addresses.
            (Sharing::None, true, _, false) => Ok(()),
            (Sharing::None, true, _, true) => in_use,
            (Sharing::None, false, _, true) => denied,
            (Sharing::None, false, Sharing::Reuse, false) => denied,
            (Sharing::None, false, _, false) => in_use,
            (Sharing::Reuse, true, _, false) => Ok(()),
            (Sharing::Reuse, true, Sharing::Reuse, true) => Ok(()),
            (Sharing::Reuse, true, _, true) => denied,
            (Sharing::Reuse, false, Sharing::Reuse, _) => Ok(()),
            (Sharing::Reuse, false, _, _) => denied,
            (Sharing::Exclusive, false, _, true) => denied,
            (Sharing::Exclusive, _, _, _) => in_use,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Sharing::{Exclusive, None, Reuse};

    const OK: Result<(), NTSTATUS> = Ok(());
    const INUSE: Result<(), NTSTATUS> = Err(STATUS_ADDRESS_ALREADY_EXISTS);
    const DENIED: Result<(), NTSTATUS> = Err(STATUS_ACCESS_DENIED);

    fn at(ip: &str, sharing: Sharing) -> Bound {
        Bound { address: SocketAddr::new(ip.parse().unwrap(), 445), sharing }
    }

    /// The page's table; where it says "access check", the default descriptor denies.
    #[test]
    fn the_table_of_the_page() {
        let firsts = [None, Reuse, Exclusive].map(|s| [at("0.0.0.0", s), at("10.0.0.1", s)]);
        let rows = [
            (at("0.0.0.0", None), [INUSE, OK, INUSE, OK, INUSE, OK]),
            (at("10.0.0.1", None), [DENIED, INUSE, DENIED, DENIED, DENIED, INUSE]),
            (at("0.0.0.0", Reuse), [DENIED, OK, OK, OK, DENIED, OK]),
            (at("10.0.0.1", Reuse), [DENIED, DENIED, OK, OK, DENIED, DENIED]),
            (at("0.0.0.0", Exclusive), [INUSE; 6]),
            (at("10.0.0.1", Exclusive), [DENIED, INUSE, DENIED, INUSE, DENIED, INUSE]),
        ];
        for (second, row) in rows {
            for (first, expected) in firsts.as_flattened().iter().zip(row) {
                assert_eq!(first.admits(&second), expected, "{second:?} beside {first:?}");
            }
        }
    }

    #[test]
    fn other_ports_families_and_exact_addresses_do_not_meet() {
        let first = at("10.0.0.1", Exclusive);
        for other in ["10.0.0.1:446", "[::]:445", "10.0.0.2:445"] {
            let second = Bound { address: other.parse().unwrap(), sharing: Exclusive };
            assert_eq!(first.admits(&second), OK, "{other}");
        }
    }
}
