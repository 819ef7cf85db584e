//! The events in the form of TraceLogging: they describe themselves, so that no manifest has to be installed.
//!
//! Metadata are made at compile time. Forms: `TraceLoggingProvider.h`; the numbers are those of `abi::etw`, which names its
//! sources.
//!
//! ```text
//! provider:  size u16 | name, NUL
//! event:     size u16 | tag 0 | name, NUL | fields: name, NUL, type [, how it is shown]
//! payload:   the fields' octets, one behind the other
//! ```

use crate::{Level, Recorded};
use core::net::SocketAddr;

/// The provider's name.
pub const PROVIDER: &str = "wskrdma";
/// The provider's GUID, which follows from its name: the first fields as numbers, then eight octets.
pub const GUID: (u32, u16, u16, [u8; 8]) =
    (0x0AD5_5972, 0xAC5B, 0x5EBB, [0xA9, 0x80, 0xD4, 0x82, 0x42, 0x89, 0x40, 0x42]);
/// Channel of self-describing events.
pub const CHANNEL: u8 = 11;

const SIZE: usize = 2;
const IN_UINT32: u8 = 8;
const IN_UINT64: u8 = 10;
const IN_INT32: u8 = 7;
const IN_ANSI: u8 = 2;
const IN_BINARY: u8 = 14;
/// An octet that tells how the field is shown follows the type.
const CHAIN: u8 = 0x80;
const OUT_NTSTATUS: u8 = 14;
const OUT_SOCKADDR: u8 = 10;

/// The fields that every event has.
const FIELDS: &[(&str, &[u8])] = &[
    ("Sequence", &[IN_UINT64]),
    ("Reason", &[IN_UINT32]),
    ("ReasonName", &[IN_ANSI]),
    ("Status", &[IN_INT32 | CHAIN, OUT_NTSTATUS]),
    ("Value", &[IN_UINT64]),
    ("Local", &[IN_BINARY | CHAIN, OUT_SOCKADDR]),
    ("Remote", &[IN_BINARY | CHAIN, OUT_SOCKADDR]),
];

/// Octets of an event's metadata.
#[expect(clippy::indexing_slicing, reason = "evaluated at compile time only")]
pub(crate) const fn length(name: &str) -> usize {
    let (mut octets, mut field) = (SIZE + 1 + name.len() + 1, 0);
    while field < FIELDS.len() {
        octets += FIELDS[field].0.len() + 1 + FIELDS[field].1.len();
        field += 1;
    }
    octets
}

/// Copies `from` to `at`; evaluated at compile time, where a place that does not exist is an error of the build.
#[expect(clippy::indexing_slicing, reason = "evaluated at compile time only")]
const fn copy<const N: usize>(mut to: [u8; N], at: usize, from: &[u8]) -> [u8; N] {
    let mut place = 0;
    while place < from.len() {
        to[at + place] = from[place];
        place += 1;
    }
    to
}

/// An event's metadata.
#[expect(clippy::indexing_slicing, reason = "evaluated at compile time only")]
pub(crate) const fn event<const N: usize>(name: &str) -> [u8; N] {
    assert!(N == length(name) && N <= u16::MAX as usize);
    let mut octets = copy([0; N], 0, &(N as u16).to_le_bytes());
    octets = copy(octets, SIZE + 1, name.as_bytes());
    let (mut at, mut field) = (SIZE + 1 + name.len() + 1, 0);
    while field < FIELDS.len() {
        let (name, kind) = FIELDS[field];
        octets = copy(octets, at, name.as_bytes());
        octets = copy(octets, at + name.len() + 1, kind);
        at += name.len() + 1 + kind.len();
        field += 1;
    }
    octets
}

/// The provider's metadata.
pub const PROVIDER_METADATA: [u8; SIZE + PROVIDER.len() + 1] = {
    const LENGTH: usize = SIZE + PROVIDER.len() + 1;
    copy(copy([0; LENGTH], 0, &(LENGTH as u16).to_le_bytes()), SIZE, PROVIDER.as_bytes())
};

/// Octets of the longest payload.
const PAYLOAD: usize = 8 + 4 + 32 + 4 + 8 + 2 * (2 + 28);

/// An event as it is handed to ETW.
#[derive(Clone, Copy, Debug)]
pub struct Encoded {
    /// Its level.
    pub level: Level,
    /// Its category.
    pub keyword: u64,
    /// What it is called and which fields it has.
    pub metadata: &'static [u8],
    payload: [u8; PAYLOAD],
    used: usize,
}

impl Encoded {
    /// An event in this form. Without `addresses` its addresses are empty.
    #[must_use]
    pub fn new(recorded: &Recorded, addresses: bool) -> Self {
        let event = &recorded.event;
        let kind = event.kind;
        let mut this = Self {
            level: kind.level(),
            keyword: kind.keyword(),
            metadata: kind.metadata(),
            payload: [0; PAYLOAD],
            used: 0,
        };
        this.put(&recorded.sequence.to_le_bytes());
        this.put(&event.reason.code().to_le_bytes());
        this.put(event.reason.name().as_bytes());
        this.put(&[0]);
        this.put(&event.status.to_le_bytes());
        this.put(&event.value.to_le_bytes());
        this.put_address(event.local.filter(|_| addresses));
        this.put_address(event.remote.filter(|_| addresses));
        this
    }

    /// The fields' octets.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.payload.get(..self.used).unwrap_or_default()
    }

    fn put(&mut self, octets: &[u8]) {
        let room = self.payload.get_mut(self.used..).unwrap_or_default();
        room.iter_mut().zip(octets).for_each(|(to, octet)| *to = *octet);
        self.used = self.used.saturating_add(octets.len()).min(PAYLOAD);
    }

    /// A count of octets, then a `SOCKADDR_IN` or `SOCKADDR_IN6`.
    fn put_address(&mut self, address: Option<SocketAddr>) {
        match address {
            None => self.put(&0_u16.to_le_bytes()),
            Some(SocketAddr::V4(v4)) => {
                self.put(&16_u16.to_le_bytes());
                self.put(&2_u16.to_le_bytes());
                self.put(&v4.port().to_be_bytes());
                self.put(&v4.ip().octets());
                self.put(&[0; 8]);
            }
            Some(SocketAddr::V6(v6)) => {
                self.put(&28_u16.to_le_bytes());
                self.put(&23_u16.to_le_bytes());
                self.put(&v6.port().to_be_bytes());
                self.put(&[0; 4]);
                self.put(&v6.ip().octets());
                self.put(&v6.scope_id().to_le_bytes());
            }
        }
    }
}

#[cfg(test)]
#[path = "tests/tracelogging.rs"]
mod tests;
