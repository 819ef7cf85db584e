//! Where things lie in a connection's memory.

use crate::settings::Settings;
use abi::NTSTATUS;
use abi::status::STATUS_INSUFFICIENT_RESOURCES;
use heapless::Vec;
use kernel::pool::Shared;
use ndk::{Access, Adapter, AdapterInfo, Depths, Memory, Piece};
use stream::{Config, Extensions, LocalMemory, MAX_HEAD_LEN, TARGET_ENTRY_LEN};

/// The target list: the peer writes descriptors here.
pub(super) const LIST: usize = 0;
/// Receive slots, send slots and the send buffer: nobody writes here but this side and its adapter.
pub(super) const LOCAL: usize = 1;

/// Octets of a send slot: a target entry to be written, then the head of the message.
const SEND_SLOT: usize = (TARGET_ENTRY_LEN + MAX_HEAD_LEN).next_multiple_of(16);

/// Pages of a region for direct placement: with fewer a buffer is hardly worth its registration, and more are never
/// advertised at once.
const REGION_PAGES_MIN: u32 = 16;
const REGION_PAGES_MAX: u32 = 512;
/// Initiator requests for the region at a time, beside those of the engine: its registration, and the end of that.
const REGION_REQUESTS: u32 = 2;

/// Bounds of a ring that SO_RCVBUF asks for, in octets: 16 KiB and 1 MiB.
const RINGS: (u32, u32) = (16 << 10, 1 << 20);

/// The ring for a receive buffer of so many octets: whole pages.
pub(super) const fn ring_octets(wanted: u32) -> u32 {
    let (least, most) = RINGS;
    if wanted <= least {
        least
    } else if wanted >= most {
        most
    } else {
        wanted.next_multiple_of(4096)
    }
}

/// Sizes and places of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) config: Config,
    /// Octets that the ring may grow to.
    pub(super) longest_ring: u32,
    /// Octets of the send buffer.
    send_octets: u32,
    /// A send of fewer octets is copied.
    pub(super) in_place_from: usize,
    /// Pages of a region for direct placement.
    pub(super) region_pages: u32,
}

impl Layout {
    /// `receive_buffer`: octets that SO_RCVBUF asks for, which the ring may grow to, within bounds.
    pub(super) fn new(settings: &Settings, receive_buffer: Option<u32>, info: &AdapterInfo) -> Self {
        let limit = |wanted: u16, most: u32| wanted.min(u16::try_from(most).unwrap_or(u16::MAX));
        let in_place_from = match settings.zero_copy_octets {
            0 => usize::MAX,
            octets => octets as usize,
        };
        let direct = in_place_from != usize::MAX && info.fast_pages >= REGION_PAGES_MIN;
        let mut extensions = Extensions::all();
        // A writer only follows; a reader needs a region.
        extensions.set(Extensions::DIRECT, direct);
        // The head of a message and stream octets come from two places.
        extensions.set(Extensions::SEND_DATA, info.max_gather >= 2);
        let longest_ring = receive_buffer.map_or(settings.ring_octets, ring_octets);
        // Every request of a connection may have an entry on one queue at the same time.
        let share = info.max_cq_depth / 2;
        let config = Config {
            extensions,
            ring_len: settings.first_ring_octets.min(longest_ring),
            receive_depth: limit(Config::DEFAULT.receive_depth, info.max_receives.min(share)),
            send_queue_depth: limit(
                Config::DEFAULT.send_queue_depth,
                info.max_initiators.min(share).saturating_sub(REGION_REQUESTS),
            ),
            ..Config::DEFAULT
        };
        let region_pages = info.fast_pages.min(REGION_PAGES_MAX);
        Self { config, longest_ring, send_octets: settings.send_octets, in_place_from, region_pages }
    }

    pub(super) fn depths(&self) -> Depths {
        let initiators = u32::from(self.config.send_queue_depth).saturating_add(REGION_REQUESTS);
        Depths { receives: self.config.receive_depth.into(), initiators }
    }

    /// Whether what `other` registers does for this one. On one adapter they differ only in the ring, which SO_RCVBUF may
    /// ask to be shorter.
    pub(super) const fn has_memory_of(&self, other: &Self) -> bool {
        self.config.ring_len == other.config.ring_len
    }

    /// Allocates and registers the endpoint's memory, in the order of [`LIST`], [`LOCAL`]. IRQL: PASSIVE_LEVEL.
    pub(super) fn register(&self, adapter: &Shared<Adapter>) -> Result<Vec<Memory, 4>, NTSTATUS> {
        let local = self.local_octets();
        let parts = [(self.config.list_len(), Access::RemoteWrite), (local, Access::LocalWrite)];
        let mut memories = Vec::new();
        for (len, access) in parts {
            let memory = Memory::register(adapter, len, access)?;
            memories.push(memory).map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
        }
        Ok(memories)
    }

    /// Octets of memory that the connection may come to: with both rings, while one takes the place of the other.
    pub(super) const fn octets(&self) -> u64 {
        let grows = self.longest_ring > self.config.ring_len;
        let longer = if grows { self.longest_ring as u64 } else { 0 };
        let rings = (self.config.ring_len as u64).saturating_add(longer);
        rings.saturating_add(self.config.list_len() as u64).saturating_add(self.local_octets() as u64)
    }

    const fn local_octets(&self) -> usize {
        self.buffer_offset().saturating_add(self.send_octets as usize)
    }

    /// What the engine tells the peer of the memory.
    pub(super) fn describe(ring: &Memory, list: &Memory) -> LocalMemory {
        LocalMemory {
            ring_addr: ring.address(),
            ring_key: ring.remote_token(),
            list_addr: list.address(),
            list_key: list.remote_token(),
        }
    }

    /// Receive slot `n`.
    pub(super) fn receive_slot(&self, n: usize) -> Piece {
        let len = self.config.message_len;
        Piece { memory: LOCAL, offset: n.saturating_mul(usize::from(len)), len: len.into() }
    }

    const fn send_slots(&self) -> usize {
        (self.config.receive_depth as usize)
            .saturating_mul(self.config.message_len as usize)
            .next_multiple_of(SEND_SLOT)
    }

    /// The slot of Send number `n`: where a target entry to be written lies, and where the head of its message begins.
    /// Slots are used in turn; a Send's slot is free again before the initiator queue has room for the one that needs it.
    pub(super) fn send_slot(&self, n: u64) -> (Piece, usize) {
        let index = usize::try_from(n % u64::from(self.config.send_queue_depth)).unwrap_or(0);
        let offset = self.send_slots().saturating_add(index.saturating_mul(SEND_SLOT));
        let entry = Piece { memory: LOCAL, offset, len: TARGET_ENTRY_LEN as u32 };
        (entry, offset.saturating_add(TARGET_ENTRY_LEN))
    }

    const fn buffer_offset(&self) -> usize {
        self.send_slots().saturating_add((self.config.send_queue_depth as usize).saturating_mul(SEND_SLOT))
    }

    /// Octets of the send buffer.
    pub(super) const fn send_octets(&self) -> u32 {
        self.send_octets
    }

    /// Where octet `n` of those that were ever copied lies in local memory, and how many of the send buffer follow without a
    /// wrap.
    pub(super) fn send_buffer(&self, n: u64) -> (usize, u32) {
        let size = u64::from(self.send_octets);
        let at = n.checked_rem(size).unwrap_or(0);
        let contiguous = u32::try_from(size.saturating_sub(at)).unwrap_or(u32::MAX);
        (self.buffer_offset().saturating_add(usize::try_from(at).unwrap_or(0)), contiguous)
    }
}
