//! Socket addresses as their octets.

use core::net::{IpAddr, SocketAddr};

use abi::NTSTATUS;
use abi::status::STATUS_SUCCESS;
use abi::wsk::SOCKADDR;

/// The bytes of a socket address.
pub(super) struct Address {
    bytes: [u8; 28],
    pub(super) length: u32,
}

impl Address {
    pub(super) fn new(address: SocketAddr) -> Self {
        let mut bytes = [0; 28];
        bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        let length = match address.ip() {
            IpAddr::V4(ip) => {
                bytes[0] = 2;
                bytes[4..8].copy_from_slice(&ip.octets());
                16
            }
            IpAddr::V6(ip) => {
                bytes[0] = 23;
                bytes[8..24].copy_from_slice(&ip.octets());
                28
            }
        };
        Self { bytes, length }
    }

    pub(super) fn as_ptr(&self) -> *const SOCKADDR {
        self.bytes.as_ptr().cast()
    }
}

/// Reads an address through one of the getters.
pub(super) fn read_address(get: impl Fn(*mut SOCKADDR, *mut u32) -> NTSTATUS) -> SocketAddr {
    let mut bytes = [0u8; 28];
    let mut length = 0;
    assert_eq!(get(bytes.as_mut_ptr().cast(), &raw mut length), abi::status::STATUS_BUFFER_TOO_SMALL);
    assert_eq!(get(bytes.as_mut_ptr().cast(), &raw mut length), STATUS_SUCCESS);
    let port = u16::from_be_bytes([bytes[2], bytes[3]]);
    let ip = match (bytes[0], length) {
        (2, 16) => IpAddr::from([bytes[4], bytes[5], bytes[6], bytes[7]]),
        (23, 28) => IpAddr::from(<[u8; 16]>::try_from(&bytes[8..24]).unwrap()),
        other => panic!("family and length {other:?}"),
    };
    SocketAddr::new(ip, port)
}
