//! Page-aligned memory with its MDL, as an adapter registers it.

use core::ffi::c_void;
use core::ptr::NonNull;

use abi::nt::{MDL, PAGE_SIZE};

use crate::mdl::OwnedMdl;
use crate::pool::{AllocError, PoolTag, allocate, free};

/// The bytes asked for lie outside the region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfBounds;

/// Zeroed non-paged memory that begins on a page, and an MDL over all of it.
///
/// An adapter, and through it a peer, may read and write the bytes at any time while they are registered, so no reference
/// to them is ever made: they are copied in and out. Dropping it frees both; whoever registered it invalidates first.
#[derive(Debug)]
pub struct Region {
    /// First in order: an MDL goes before what it describes.
    mdl: OwnedMdl,
    memory: Memory,
}

/// The bytes; freed when dropped.
#[derive(Debug)]
struct Memory {
    allocation: NonNull<c_void>,
    /// The first byte on a page boundary of the allocation.
    first: NonNull<u8>,
    len: usize,
}

// SAFETY: the bytes have no owner thread; all access is by volatile copies.
unsafe impl Send for Memory {}
// SAFETY: as for `Send`: several processors may copy at once, as the peer may.
unsafe impl Sync for Memory {}

impl Memory {
    /// Whole pages, so that an adapter that registers pages registers nothing of anybody else.
    fn try_new(tag: PoolTag, len: usize) -> Result<Self, AllocError> {
        let bytes = len.checked_next_multiple_of(PAGE_SIZE).ok_or(AllocError)?;
        let allocation = allocate(tag, bytes)?;
        if allocation.addr().get().is_multiple_of(PAGE_SIZE) {
            return Ok(Self { allocation, first: allocation.cast(), len });
        }
        // Windows puts a page or more on a page boundary. Wine does not; there a page more holds one.
        // SAFETY: allocated above and not used.
        unsafe { free(allocation) };
        let allocation = allocate(tag, bytes.checked_add(PAGE_SIZE).ok_or(AllocError)?)?;
        let offset = (PAGE_SIZE - allocation.addr().get() % PAGE_SIZE) % PAGE_SIZE;
        // SAFETY: the next page boundary is less than a page away, and the allocation is that much longer.
        let first = unsafe { allocation.byte_add(offset) }.cast();
        Ok(Self { allocation, first, len })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: came from `allocate`, and the region's owner has taken every other user away.
        unsafe { free(self.allocation) };
    }
}

impl Region {
    /// A region of `len` zeroed bytes. IRQL ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// [`AllocError`]: no memory, `len` is zero, or `len` does not fit into an MDL (32 bits).
    pub fn try_new(tag: PoolTag, len: usize) -> Result<Self, AllocError> {
        if len == 0 {
            return Err(AllocError);
        }
        let memory = Memory::try_new(tag, len)?;
        // SAFETY: non-paged pool, which `memory` keeps for as long as the MDL.
        let mdl = unsafe { OwnedMdl::for_non_paged_pool(memory.first.as_ptr(), len)? };
        Ok(Self { mdl, memory })
    }

    /// The first byte; valid for [`len`](Self::len) bytes while the region lives. Others may write them at any time.
    #[must_use]
    pub const fn as_ptr(&self) -> *mut u8 {
        self.memory.first.as_ptr()
    }

    /// Bytes; never zero.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a region is never empty")]
    pub const fn len(&self) -> usize {
        self.memory.len
    }

    /// The MDL over all bytes, always mapped; valid while the region lives.
    #[must_use]
    pub const fn mdl(&self) -> *mut MDL {
        self.mdl.as_ptr()
    }

    /// Copies bytes out, beginning at `offset`. Any IRQL ≤ DISPATCH_LEVEL.
    ///
    /// Each byte is read once, so what `dst` holds afterwards cannot change under a check. Bytes that somebody writes
    /// meanwhile come out old or new, in any mixture.
    ///
    /// # Errors
    /// [`OutOfBounds`]; nothing is copied.
    pub fn read(&self, offset: usize, dst: &mut [u8]) -> Result<(), OutOfBounds> {
        let from = self.address(offset, dst.len())?;
        // SAFETY: `address` has checked the range; `dst` is private memory of as many bytes.
        unsafe { copy_volatile(from, dst.as_mut_ptr(), dst.len()) };
        Ok(())
    }

    /// Copies bytes in, beginning at `offset`. Any IRQL ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// [`OutOfBounds`]; nothing is copied.
    pub fn write(&self, offset: usize, src: &[u8]) -> Result<(), OutOfBounds> {
        let to = self.address(offset, src.len())?;
        // SAFETY: `address` has checked the range; `src` is private memory of as many bytes.
        unsafe { copy_volatile(src.as_ptr(), to, src.len()) };
        Ok(())
    }

    /// The address of `len` bytes at `offset`, if they lie inside.
    fn address(&self, offset: usize, len: usize) -> Result<*mut u8, OutOfBounds> {
        let end = offset.checked_add(len).ok_or(OutOfBounds)?;
        if end > self.len() {
            return Err(OutOfBounds);
        }
        // SAFETY: `offset` is at most the length of the allocation.
        Ok(unsafe { self.as_ptr().add(offset) })
    }
}

/// Copies `len` bytes with volatile accesses, eight at a time, so that the compiler reads and writes each byte once.
///
/// # Safety
/// `from` is readable and `to` writable for `len` bytes, and they do not overlap.
unsafe fn copy_volatile(from: *const u8, to: *mut u8, len: usize) {
    const WORD: usize = size_of::<u64>();
    /// Eight bytes at any address: one access, where an array of bytes would be eight.
    #[repr(C, packed)]
    #[derive(Clone, Copy)]
    struct Unaligned(u64);
    let words = len / WORD;
    for index in 0..words {
        // SAFETY: word `index` lies inside `from`.
        let source = unsafe { from.cast::<Unaligned>().add(index) };
        // SAFETY: word `index` lies inside `to`.
        let target = unsafe { to.cast::<Unaligned>().add(index) };
        // SAFETY: readable, and of alignment 1.
        let word = unsafe { source.read_volatile() };
        // SAFETY: writable, and of alignment 1.
        unsafe { target.write_volatile(word) };
    }
    for index in words * WORD..len {
        // SAFETY: byte `index` lies inside `from`.
        let source = unsafe { from.add(index) };
        // SAFETY: byte `index` lies inside `to`.
        let target = unsafe { to.add(index) };
        // SAFETY: readable.
        let byte = unsafe { source.read_volatile() };
        // SAFETY: writable.
        unsafe { target.write_volatile(byte) };
    }
}

#[cfg(test)]
mod tests;
