//! The MDL chain of a request: each MDL over non-paged pool of its own, with guard octets on both sides.

use core::ptr;

use abi::nt::{MDL, PAGE_SIZE};
use cases::pattern::UNTOUCHED;
use cases::world::Buffer;
use kernel::mdl::OwnedMdl;
use kernel::pool::{AllocError, PoolSlice};

use crate::calls;
use crate::handle::TAG;

/// Octets of guard on each side of what an MDL describes.
const GUARD: usize = 32;

struct Piece {
    /// First in order: an MDL goes before what it describes.
    mdl: OwnedMdl,
    memory: PoolSlice<u8>,
    /// Where the described octets begin in the memory.
    start: usize,
    length: usize,
}

impl Piece {
    /// The piece of `buffer` that begins at the chain's octet `from`. `number` decides how it lies in its page.
    fn new(buffer: &Buffer<'_>, from: usize, length: usize, number: usize) -> Result<Self, AllocError> {
        // Pieces begin at different offsets into a page, and so cross page boundaries in many ways.
        let shift = if length < PAGE_SIZE { 0 } else { number.wrapping_mul(1021) % PAGE_SIZE };
        let start = GUARD.saturating_add(shift);
        let whole = start.checked_add(length).and_then(|n| n.checked_add(GUARD)).ok_or(AllocError)?;
        let mut memory = PoolSlice::try_new_with(TAG, whole, |_| UNTOUCHED)?;
        let named = memory.get_mut(start..start.saturating_add(length));
        calls::fill(buffer, from, named.unwrap_or_default());
        let address = memory.as_mut_ptr().wrapping_add(start);
        // SAFETY: non-paged pool that stays as long as the MDL.
        let mdl = unsafe { OwnedMdl::for_non_paged_pool(address, length)? };
        Ok(Self { mdl, memory, start, length })
    }

    /// The octet at `offset` of what the MDL describes. A provider may be writing: each is read once.
    fn octet(&self, offset: usize) -> Option<u8> {
        if offset >= self.length {
            return None;
        }
        let octet = self.memory.get(self.start.checked_add(offset)?)?;
        // SAFETY: an octet of this piece's memory.
        Some(unsafe { ptr::from_ref(octet).read_volatile() })
    }

    fn is_guarded(&self) -> bool {
        let end = self.start.saturating_add(self.length);
        let before = self.memory.get(..self.start).unwrap_or_default();
        let behind = self.memory.get(end..).unwrap_or_default();
        before.iter().chain(behind).all(|&octet| octet == UNTOUCHED)
    }
}

/// An MDL chain. It stays until the request's IRP is completed.
pub(super) struct Chain {
    pieces: PoolSlice<Piece>,
}

impl Chain {
    /// The chain of a buffer; `None` if it has no MDL.
    ///
    /// # Errors
    /// [`AllocError`].
    pub(super) fn new(buffer: &Buffer<'_>) -> Result<Option<Self>, AllocError> {
        if buffer.mdls.is_empty() {
            return Ok(None);
        }
        let mut from = 0_usize;
        let pieces = PoolSlice::try_build(TAG, buffer.mdls.len(), |number| {
            let length = buffer.mdls.get(number).copied().unwrap_or_default();
            let piece = Piece::new(buffer, from, length, number);
            from = from.saturating_add(length);
            piece
        })?;
        for pair in pieces.windows(2) {
            if let [piece, next] = pair {
                // SAFETY: an MDL of this chain's own, which nobody else knows yet.
                unsafe { (*piece.mdl.as_ptr()).Next = next.mdl.as_ptr() };
            }
        }
        Ok(Some(Self { pieces }))
    }

    /// The first MDL.
    pub(super) fn mdl(&self) -> *mut MDL {
        self.pieces.first().map_or(ptr::null_mut(), |piece| piece.mdl.as_ptr())
    }

    /// Copies the chain's octets from `from` on; what is not there comes out untouched.
    pub(super) fn read(&self, from: usize, into: &mut [u8]) {
        let mut skip = from;
        let mut rest = into;
        for piece in self.pieces.iter() {
            if skip >= piece.length {
                skip = skip.saturating_sub(piece.length);
                continue;
            }
            let length = piece.length.saturating_sub(skip).min(rest.len());
            let (now, later) = rest.split_at_mut(length);
            for (index, to) in now.iter_mut().enumerate() {
                *to = piece.octet(skip.saturating_add(index)).unwrap_or(UNTOUCHED);
            }
            (rest, skip) = (later, 0);
        }
        rest.fill(UNTOUCHED);
    }

    /// Whether nothing was written beside the MDLs' octets.
    pub(super) fn is_guarded(&self) -> bool {
        self.pieces.iter().all(Piece::is_guarded)
    }
}
