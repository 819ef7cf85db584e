//! Where the octets of the send stream are until they are sent: in the send buffer, or in the memory of a client.

use super::layout::{LOCAL, Layout};
use heapless::Deque;
use ndk::{AdapterInfo, Local, Mapping, Piece};

/// Extents of a stream. With all of them in use nothing more is taken in until octets are sent.
const EXTENTS: usize = 16;

/// Octets of the stream that are in one place.
struct Extent {
    /// Offset in the stream of the first octet.
    start: u64,
    /// Offset behind the last one.
    end: u64,
    place: Place,
}

enum Place {
    /// The send buffer, as a ring, from this octet of all that were ever copied on.
    Copied(u64),
    /// A client's memory, from this octet of the mapping on.
    Mapped(Mapping, usize),
}

/// The octets of the send stream that are queued and not sent.
pub(super) struct SendStream {
    extents: Deque<Extent, EXTENTS>,
    /// Octets ever copied, and those of them that are sent.
    copied: u64,
    freed: u64,
}

impl SendStream {
    pub(super) const fn new() -> Self {
        Self { extents: Deque::new(), copied: 0, freed: 0 }
    }

    /// Whether octets in another place than the last ones can be taken in.
    pub(super) fn has_place(&self) -> bool {
        !self.extents.is_full()
    }

    /// Where the next octets can be copied to in local memory, and how many; 0: there is no room.
    pub(super) fn room(&self, layout: &Layout) -> (usize, usize) {
        let extends = matches!(self.extents.back(), Some(Extent { place: Place::Copied(_), .. }));
        if !extends && !self.has_place() {
            return (0, 0);
        }
        let (place, contiguous) = layout.send_buffer(self.copied);
        let held = self.copied.wrapping_sub(self.freed);
        let room = layout.send_octets().saturating_sub(u32::try_from(held).unwrap_or(u32::MAX));
        (place, room.min(contiguous) as usize)
    }

    /// `len` octets were copied to where [`SendStream::room`] has said, and are the next ones of the stream, from `start` on.
    pub(super) fn copied(&mut self, start: u64, len: u64) {
        let end = start.saturating_add(len);
        match self.extents.back_mut() {
            Some(Extent { end: last, place: Place::Copied(_), .. }) => *last = end,
            // There is room: `room` has said so.
            _ => drop(self.extents.push_back(Extent { start, end, place: Place::Copied(self.copied) })),
        }
        self.copied = self.copied.wrapping_add(len);
    }

    /// `len` octets of a mapping, from octet `first` on, are the next ones of the stream, from `start` on. There is a place.
    pub(super) fn mapped(&mut self, start: u64, mapping: Mapping, first: usize, len: u64) {
        let end = start.saturating_add(len);
        // There is room: `has_place` has said so.
        drop(self.extents.push_back(Extent { start, end, place: Place::Mapped(mapping, first) }));
    }

    /// The stream is sent up to `sent`. Mappings of which all is sent are released.
    pub(super) fn sent(&mut self, sent: u64) {
        while let Some(extent) = self.extents.front() {
            if let Place::Copied(first) = extent.place {
                let gone = sent.min(extent.end).saturating_sub(extent.start);
                self.freed = self.freed.max(first.wrapping_add(gone));
            }
            if extent.end > sent {
                return;
            }
            self.extents.pop_front();
        }
    }

    /// No request uses any of the octets any more.
    pub(super) fn clear(&mut self) {
        self.extents.clear();
    }

    /// How many octets from `offset` of the stream on one request can name, which may be 0.
    pub(super) fn reach(&self, layout: &Layout, info: &AdapterInfo, offset: u64) -> u32 {
        let Some((extent, skip)) = self.find(offset) else { return 0 };
        let here = match &extent.place {
            Place::Copied(first) => layout.send_buffer(first.wrapping_add(skip)).1,
            Place::Mapped(mapping, first) => {
                let at = first.saturating_add(usize::try_from(skip).unwrap_or(usize::MAX));
                mapping.reach(at, mapped_elements(info))
            }
        };
        let rest = extent.end.saturating_sub(offset);
        here.min(info.max_transfer).min(u32::try_from(rest).unwrap_or(u32::MAX))
    }

    /// `len` octets from `offset` of the stream on, no more than [`SendStream::reach`] has said.
    pub(super) fn local(&self, layout: &Layout, offset: u64, len: u32) -> Option<Local<'_>> {
        let (extent, skip) = self.find(offset)?;
        Some(match &extent.place {
            Place::Copied(first) => {
                let (offset, _) = layout.send_buffer(first.wrapping_add(skip));
                Local::Piece(Piece { memory: LOCAL, offset, len })
            }
            Place::Mapped(mapping, first) => {
                Local::Mapped { mapping, offset: first.checked_add(usize::try_from(skip).ok()?)?, len }
            }
        })
    }

    /// The extent that has the octet at `offset` of the stream, and how many of its octets are before that.
    fn find(&self, offset: u64) -> Option<(&Extent, u64)> {
        let extent = self.extents.iter().find(|extent| offset < extent.end)?;
        Some((extent, offset.checked_sub(extent.start)?))
    }
}

/// Elements for octets of a mapping. A Send has one for its head, and its octets, fewer than a page has, are on two pages at
/// most; an adapter that gathers only two gets no more than one run.
fn mapped_elements(info: &AdapterInfo) -> u32 {
    match info.gather() {
        0..=2 => 1,
        gather => gather,
    }
}
