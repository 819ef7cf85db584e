//! Descriptions of remote memory: the target entry and the list of them.

/// Octets of a target entry.
pub const TARGET_ENTRY_LEN: usize = 16;

/// A region that the reader of this entry may write: address, key and octets left.
///
/// In a target list it is in the byte order of the list's owner, which for every host of this driver is
/// little-endian. In the private data it is big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetEntry {
    /// Remote virtual address of the next octet to write.
    pub addr: u64,
    /// Remote key (iWARP: STag), as the number that a verbs provider calls `rkey`.
    pub key: u32,
    /// Octets left in the region. 0 means that the entry is empty.
    pub len: u32,
}

impl TargetEntry {
    /// The octets as they lie in a little-endian owner's target list.
    #[must_use]
    pub const fn encode(&self) -> [u8; TARGET_ENTRY_LEN] {
        let [a0, a1, a2, a3, a4, a5, a6, a7] = self.addr.to_le_bytes();
        let [k0, k1, k2, k3] = self.key.to_le_bytes();
        let [l0, l1, l2, l3] = self.len.to_le_bytes();
        [a0, a1, a2, a3, a4, a5, a6, a7, k0, k1, k2, k3, l0, l1, l2, l3]
    }

    /// Reads an entry of a little-endian owner's target list. Every pattern is an entry; see
    /// [`TargetEntry::wraps`].
    #[must_use]
    pub const fn decode(octets: [u8; TARGET_ENTRY_LEN]) -> Self {
        let [a0, a1, a2, a3, a4, a5, a6, a7, k0, k1, k2, k3, l0, l1, l2, l3] = octets;
        Self {
            addr: u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
            key: u32::from_le_bytes([k0, k1, k2, k3]),
            len: u32::from_le_bytes([l0, l1, l2, l3]),
        }
    }

    /// Whether address and length together leave the 64-bit address space.
    #[must_use]
    pub const fn wraps(&self) -> bool {
        self.addr.checked_add(self.len as u64).is_none()
    }
}

/// Where a target list lies and how many entries it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetList {
    /// Remote virtual address of entry 0.
    pub addr: u64,
    /// Remote key of the list.
    pub key: u32,
    /// Entries, at least 2.
    pub entries: u32,
}

impl TargetList {
    /// Address of the entry at `index`, or `None` where that leaves the address space.
    #[must_use]
    pub const fn entry_addr(&self, index: u32) -> Option<u64> {
        match (index as u64).checked_mul(TARGET_ENTRY_LEN as u64) {
            Some(offset) => self.addr.checked_add(offset),
            None => None,
        }
    }

    /// Whether the list leaves the 64-bit address space.
    #[must_use]
    pub const fn wraps(&self) -> bool {
        self.entry_addr(self.entries).is_none()
    }
}
