//! MDL chains for tests: any cut of any data, with guard bytes around each piece.

use std::ptr;

use abi::nt::{MDL, PAGE_SIZE};
use abi::wsk::WSK_BUF;

use crate::mdl::{IoAllocateMdl, IoFreeMdl, MmBuildMdlForNonPagedPool, lock_pages, unlock_pages};

/// What lies before and behind each piece.
const GUARD: u8 = 0xEE;
const GUARD_BYTES: usize = 32;

/// How the pieces of a chain look to the driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pages {
    /// Non-paged pool: mapped from the beginning.
    NonPagedPool,
    /// Locked pages of a caller: the driver must map them.
    Locked,
}

struct Piece {
    memory: Box<[u8]>,
    /// Where the bytes begin in `memory`.
    start: usize,
    length: usize,
    mdl: *mut MDL,
}

/// A chain of MDLs over memory of its own.
///
/// Dropping it frees everything and checks the guard bytes, so a driver that writes beside the buffer is found.
pub struct Chain {
    pieces: Vec<Piece>,
}

// SAFETY: the memory is the chain's own; whoever is handed its MDLs follows the rules of the request.
unsafe impl Send for Chain {}

impl Chain {
    /// A chain that holds `data`, cut into pieces of these lengths; what is left makes one more piece.
    ///
    /// A piece of length zero gives an MDL without bytes. Every piece begins at another offset into its page.
    #[must_use]
    pub fn new(data: &[u8], cuts: &[usize], pages: Pages) -> Self {
        let mut pieces = Vec::new();
        let mut rest = data;
        for &length in cuts {
            let (piece, later) = rest.split_at(length.min(rest.len()));
            pieces.push(Piece::new(piece, pieces.len(), pages));
            rest = later;
        }
        if !rest.is_empty() || pieces.is_empty() {
            pieces.push(Piece::new(rest, pieces.len(), pages));
        }
        for pair in pieces.windows(2) {
            if let [piece, next] = pair {
                // SAFETY: both MDLs are this chain's own.
                unsafe { (*piece.mdl).Next = next.mdl };
            }
        }
        Self { pieces }
    }

    /// A chain of `length` zero bytes in one piece of non-paged pool.
    #[must_use]
    pub fn zeroed(length: usize) -> Self {
        Self::new(&vec![0; length], &[], Pages::NonPagedPool)
    }

    /// The first MDL; valid while the chain lives.
    #[must_use]
    pub fn mdl(&self) -> *mut MDL {
        self.pieces.first().map_or(ptr::null_mut(), |piece| piece.mdl)
    }

    /// A `WSK_BUF` that names `length` bytes, `offset` bytes into the chain's first MDL. It may name more than there is.
    #[must_use]
    pub fn wsk_buf(&self, offset: u32, length: usize) -> WSK_BUF {
        WSK_BUF { Mdl: self.mdl(), Offset: offset, Length: length }
    }

    /// A `WSK_BUF` that names all bytes.
    #[must_use]
    pub fn whole(&self) -> WSK_BUF {
        self.wsk_buf(0, self.pieces.iter().map(|piece| piece.length).sum())
    }

    /// The bytes as they are now, all pieces in order.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.pieces.iter().flat_map(|piece| piece.bytes().to_vec()).collect()
    }

    /// Overwrites every byte, as its owner may once no request has the chain.
    pub fn fill(&mut self, byte: u8) {
        for piece in &mut self.pieces {
            let range = piece.start..piece.start + piece.length;
            piece.memory.get_mut(range).unwrap_or_default().fill(byte);
        }
    }

    /// Panics if something was written beside the pieces.
    #[track_caller]
    pub fn assert_guards(&self) {
        for (number, piece) in self.pieces.iter().enumerate() {
            assert!(piece.guards_are_intact(), "piece {number} of the chain was written beside");
        }
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_guards();
        }
    }
}

impl Piece {
    fn new(data: &[u8], number: usize, pages: Pages) -> Self {
        // A page of room to choose the offset from, so that pieces cross page boundaries in many ways.
        let mut memory = vec![GUARD; data.len() + 2 * GUARD_BYTES + PAGE_SIZE].into_boxed_slice();
        let wanted = (number * 1021 + 7) % PAGE_SIZE;
        let earliest = memory.as_ptr().addr() + GUARD_BYTES;
        let start = GUARD_BYTES + (wanted + PAGE_SIZE - earliest % PAGE_SIZE) % PAGE_SIZE;
        if let Some(bytes) = memory.get_mut(start..start + data.len()) {
            bytes.copy_from_slice(data);
        }
        let address = memory.as_mut_ptr().wrapping_add(start);
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        // SAFETY: there is no IRP.
        let mdl = unsafe { IoAllocateMdl(address.cast(), length, 0, 0, ptr::null_mut()) };
        assert!(!mdl.is_null(), "no memory for a test's MDL");
        match pages {
            // SAFETY: fresh, with room for its pages.
            Pages::NonPagedPool => unsafe { MmBuildMdlForNonPagedPool(mdl) },
            // SAFETY: as above.
            Pages::Locked => unsafe { lock_pages(mdl) },
        }
        Self { memory, start, length: data.len(), mdl }
    }

    fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..self.start + self.length).unwrap_or(&[])
    }

    fn guards_are_intact(&self) -> bool {
        let before = self.memory.get(..self.start).unwrap_or(&[]);
        let behind = self.memory.get(self.start + self.length..).unwrap_or(&[]);
        before.iter().chain(behind).all(|&byte| byte == GUARD)
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // SAFETY: the chain's own MDL.
        unsafe { unlock_pages(self.mdl) };
        // SAFETY: as above; freed once.
        unsafe { IoFreeMdl(self.mdl) };
    }
}
