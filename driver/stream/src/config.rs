//! What an engine is built with: sizes, the role in the handshake, and the local memory that the peer writes
//! into.

use crate::wire::{Extensions, MESSAGE_LEN, Offer, TARGET_ENTRY_LEN, TargetEntry, TargetList};

/// Fewest credits that either side may advertise: the smallest receive queue Linux makes, and what the split
/// of the peer's receive queue between data, credit and control messages needs.
pub const MIN_CREDITS: u16 = 16;
/// Most credits an engine can advertise: it remembers the length of every message not yet read.
pub const MAX_CREDITS: u16 = 256;
/// Fewest receives kept back from the peer's data messages for its credit and control messages.
pub const MIN_RESERVE: u16 = 12;
/// Most entries in the local target list.
pub const MAX_LIST_ENTRIES: usize = 8;
/// Largest ring in octets.
pub const MAX_RING_LEN: u32 = 1 << 30;
/// Longest message, in octets.
pub const MAX_MESSAGE_LEN: u16 = 256;
/// Fewest initiator queue slots: one data message beside the slots kept for credit and control messages.
pub const MIN_SEND_QUEUE_DEPTH: u16 = 8;
/// Most initiator queue slots an engine uses: it remembers every Send not yet completed.
pub const MAX_SEND_QUEUE_DEPTH: u16 = 128;

/// Sizes of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Octets of the ring: even, 2 to [`MAX_RING_LEN`]. The peer gets it in halves. It can
    /// [grow](crate::Engine::grow) later.
    pub ring_len: u32,
    /// Entries of the local target list, 2 to [`MAX_LIST_ENTRIES`]. Linux uses 2.
    pub list_entries: u8,
    /// Receives that the owner keeps posted. `receive_depth - reserve` are advertised as credits:
    /// [`MIN_CREDITS`] to [`MAX_CREDITS`].
    pub receive_depth: u16,
    /// Initiator queue slots that the engine may fill, [`MIN_SEND_QUEUE_DEPTH`] to [`MAX_SEND_QUEUE_DEPTH`].
    pub send_queue_depth: u16,
    /// Receives kept back for messages that are not counted by credits, at least [`MIN_RESERVE`].
    pub reserve: u16,
    /// While a data message is outstanding, fewer queued octets than this wait for its completion, to go out
    /// together. 0 sends all at once always.
    pub merge_below: u32,
    /// Octets of each receive that the owner posts: [`MESSAGE_LEN`](crate::MESSAGE_LEN) to [`MAX_MESSAGE_LEN`].
    /// An equal sends up to 8 octets fewer of the stream inside a message.
    pub message_len: u16,
    /// What is offered to an equal. Empty: nothing, as to a Linux peer.
    pub extensions: Extensions,
}

impl Config {
    /// Sizes that suit a Linux peer with its own defaults: 128 KiB of ring, and few enough credits that the
    /// bound on Sends towards the peer's receive queue of 384 is exact.
    pub const DEFAULT: Self = Self {
        ring_len: 131_072,
        list_entries: 2,
        receive_depth: 192,
        send_queue_depth: 128,
        reserve: 16,
        merge_below: 4096,
        message_len: MAX_MESSAGE_LEN,
        extensions: Extensions::all(),
    };

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// The first field out of range.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        if !is_ring_len(self.ring_len) {
            return Err(ConfigError::RingLen);
        }
        if self.list_entries < 2 || self.list_entries as usize > MAX_LIST_ENTRIES {
            return Err(ConfigError::ListEntries);
        }
        if self.reserve < MIN_RESERVE {
            return Err(ConfigError::Reserve);
        }
        if self.credits() < MIN_CREDITS || self.credits() > MAX_CREDITS {
            return Err(ConfigError::ReceiveDepth);
        }
        if self.send_queue_depth < MIN_SEND_QUEUE_DEPTH || self.send_queue_depth > MAX_SEND_QUEUE_DEPTH {
            return Err(ConfigError::SendQueueDepth);
        }
        if (self.message_len as usize) < MESSAGE_LEN || self.message_len > MAX_MESSAGE_LEN {
            return Err(ConfigError::MessageLen);
        }
        Ok(())
    }

    /// Credits advertised to the peer.
    #[must_use]
    pub const fn credits(&self) -> u16 {
        self.receive_depth.saturating_sub(self.reserve)
    }

    /// What the private data offers.
    pub(crate) const fn offer(&self) -> Option<Offer> {
        if self.extensions.is_empty() {
            return None;
        }
        Some(Offer { extensions: self.extensions, message_len: self.message_len })
    }

    /// Octets of the target list.
    #[must_use]
    pub const fn list_len(&self) -> usize {
        (self.list_entries as usize).saturating_mul(TARGET_ENTRY_LEN)
    }
}

/// Whether a ring can have `len` octets.
pub(crate) const fn is_ring_len(len: u32) -> bool {
    len >= 2 && len <= MAX_RING_LEN && len.is_multiple_of(2)
}

/// Why an engine could not be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// [`Config::ring_len`] is odd or out of range.
    RingLen,
    /// [`Config::list_entries`] is out of range.
    ListEntries,
    /// [`Config::receive_depth`] leaves too few or too many credits.
    ReceiveDepth,
    /// [`Config::send_queue_depth`] is out of range.
    SendQueueDepth,
    /// [`Config::reserve`] is too small.
    Reserve,
    /// [`Config::message_len`] is out of range.
    MessageLen,
    /// The ring or the target list wraps the address space.
    Memory,
}

/// The side taken in the handshake.
///
/// iWARP lets the passive side send nothing before it received something (RFC 5044 section 7.1.2), so an
/// engine in that role hands out no work before its first message. An active engine has its first credit
/// message ready at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// This side connects.
    Active,
    /// This side accepts.
    Passive,
}

/// Addresses and keys under which the peer reaches the local ring and target list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalMemory {
    /// Address of the ring's first octet.
    pub ring_addr: u64,
    /// Remote key of the ring.
    pub ring_key: u32,
    /// Address of target entry 0.
    pub list_addr: u64,
    /// Remote key of the target list.
    pub list_key: u32,
}

impl LocalMemory {
    /// The ring as one region, or an error where it leaves the address space.
    pub(crate) fn ring(&self, config: &Config) -> Result<TargetEntry, ConfigError> {
        let ring = TargetEntry { addr: self.ring_addr, key: self.ring_key, len: config.ring_len };
        if ring.wraps() { Err(ConfigError::Memory) } else { Ok(ring) }
    }

    /// The target list, or an error where it leaves the address space.
    pub(crate) fn list(&self, config: &Config) -> Result<TargetList, ConfigError> {
        let list =
            TargetList { addr: self.list_addr, key: self.list_key, entries: u32::from(config.list_entries) };
        if list.wraps() { Err(ConfigError::Memory) } else { Ok(list) }
    }
}
