//! The numbers by which consumers name memory: region tokens and logical addresses.
//!
//! Each holds the place of its region or mapping in a table and a key that changes whenever the name must stop working.

use abi::ndk::NDK_LOGICAL_ADDRESS;

use crate::config::PAGE_SIZE;

/// The token that gives local access to any logical address of the adapter: the same in every protection domain.
///
/// Its place is beyond [`REGIONS_MAX`](crate::REGIONS_MAX), so it never names a region.
pub(crate) const PRIVILEGED_TOKEN: u32 = 0xFFFF_FF00;

/// Token of a region: place in bits 31..9 (plus one, so that 0 is never a token), key in bits 8..1, bit 0 set when it is for
/// the peer. Local and remote tokens of one region differ, so that mistaking one for the other is caught.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token {
    pub(crate) place: u32,
    pub(crate) key: u8,
    pub(crate) remote: bool,
}

impl Token {
    pub(crate) const fn encode(self) -> u32 {
        ((self.place + 1) << 9) | ((self.key as u32) << 1) | self.remote as u32
    }

    pub(crate) const fn decode(token: u32) -> Option<Self> {
        let Some(place) = (token >> 9).checked_sub(1) else { return None };
        Some(Self { place, key: (token >> 1) as u8, remote: token & 1 == 1 })
    }
}

/// A byte of a logical address mapping: place in bits 62..40 (plus one), key in bits 39..32, below that the byte's distance
/// from the start of the first page, in logical space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Logical {
    pub(crate) place: u32,
    pub(crate) key: u8,
    /// Bytes from the start of the first page, holes included.
    pub(crate) distance: u32,
}

impl Logical {
    pub(crate) const fn encode(self) -> NDK_LOGICAL_ADDRESS {
        ((self.place as i64 + 1) << 40) | ((self.key as i64) << 32) | self.distance as i64
    }

    pub(crate) const fn decode(address: NDK_LOGICAL_ADDRESS) -> Option<Self> {
        if address < 0 {
            return None;
        }
        let Some(place) = ((address >> 40) as u32).checked_sub(1) else { return None };
        Some(Self { place, key: (address >> 32) as u8, distance: address as u32 })
    }
}

/// How far apart the pages of a mapping are in logical space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Spacing {
    /// Side by side.
    Adjacent,
    /// A hole of one page after each.
    Scattered,
}

impl Spacing {
    /// Distance of a page's start, in bytes.
    pub(crate) const fn distance(self, page: usize) -> usize {
        match self {
            Self::Adjacent => page * PAGE_SIZE,
            Self::Scattered => page * 2 * PAGE_SIZE,
        }
    }

    /// The offset from the first page's start, in bytes of memory, of a distance; `None` in a hole.
    pub(crate) const fn offset(self, distance: usize) -> Option<usize> {
        let page = distance / PAGE_SIZE;
        let within = distance % PAGE_SIZE;
        match self {
            Self::Adjacent => Some(distance),
            Self::Scattered if page.is_multiple_of(2) => Some(page / 2 * PAGE_SIZE + within),
            Self::Scattered => None,
        }
    }

    /// Bytes reachable from `offset` without crossing a hole, when `left` bytes are left in all.
    pub(crate) const fn contiguous(self, offset: usize, left: usize) -> usize {
        match self {
            Self::Adjacent => left,
            Self::Scattered => {
                let in_page = PAGE_SIZE - offset % PAGE_SIZE;
                if left < in_page { left } else { in_page }
            }
        }
    }
}
