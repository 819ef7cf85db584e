//! A run of bytes as a list of pages the processor can reach.

use abi::NTSTATUS;
use abi::nt::MDL;
use abi::status::{STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER};
use kernel::mdl::system_address;
use kernel::pool::PoolSlice;

use crate::config::{PAGE_SIZE, REGISTRATION_BYTES_MAX};
use crate::tag;

/// One page: where the processor sees its first byte, and which mapping it came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    pub(crate) address: *mut u8,
    /// Place of the logical address mapping whose page this is; [`Page::NO_MAPPING`] for a page straight from an MDL.
    pub(crate) mapping: u32,
    /// The key that mapping had.
    pub(crate) key: u8,
}

// SAFETY: a plain number until `move_bytes` follows it, under the lock of the region or mapping that holds it.
unsafe impl Send for Page {}

impl Page {
    pub(crate) const NO_MAPPING: u32 = u32::MAX;
    /// A place in a list that names no memory yet.
    pub(crate) const NONE: Self = Self { address: core::ptr::null_mut(), mapping: Self::NO_MAPPING, key: 0 };
}

/// The locked pages behind the first bytes of an MDL chain.
#[derive(Debug)]
pub(crate) struct Pages {
    pub(crate) list: PoolSlice<Page>,
    /// Offset of the first byte in the first page, in bytes.
    pub(crate) first_byte_offset: usize,
    /// Bytes.
    pub(crate) length: usize,
    /// Virtual address of the first byte in the address space the MDL was made in: an index, never followed.
    pub(crate) base: u64,
}

/// Pages that `length` bytes touch when the first lies at `first_byte_offset` of a page.
pub(crate) const fn pages_spanned(first_byte_offset: usize, length: usize) -> usize {
    (first_byte_offset + length).div_ceil(PAGE_SIZE)
}

/// What can be told about an MDL chain without mapping it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) first_byte_offset: usize,
    pub(crate) length: usize,
    base: usize,
    /// MDLs of the chain that hold the bytes.
    parts: usize,
}

impl Extent {
    /// Checks that the first `length` bytes of the chain are virtually contiguous.
    ///
    /// # Errors
    /// `STATUS_INVALID_PARAMETER`: they are not, there are fewer, `length` is 0 or above the adapter's limit.
    ///
    /// # Safety
    /// `mdl` is null or the head of a valid chain that nobody changes.
    pub(crate) unsafe fn of(mdl: *const MDL, length: usize) -> Result<Self, NTSTATUS> {
        if length == 0 || length > REGISTRATION_BYTES_MAX {
            return Err(STATUS_INVALID_PARAMETER);
        }
        // SAFETY: null or valid (caller).
        let mut next = unsafe { mdl.as_ref() };
        let base = next.map(virtual_address).ok_or(STATUS_INVALID_PARAMETER)?;
        let (mut covered, mut parts) = (0usize, 0);
        while covered < length {
            let part = next.ok_or(STATUS_INVALID_PARAMETER)?;
            if Some(virtual_address(part)) != base.checked_add(covered) {
                return Err(STATUS_INVALID_PARAMETER);
            }
            covered = covered.saturating_add(part.ByteCount as usize);
            parts += 1;
            // SAFETY: the links of a valid chain are null or valid (caller).
            next = unsafe { part.Next.as_ref() };
        }
        Ok(Self { first_byte_offset: base % PAGE_SIZE, length, base, parts })
    }

    /// Number of pages.
    pub(crate) const fn pages(&self) -> usize {
        pages_spanned(self.first_byte_offset, self.length)
    }
}

impl Pages {
    /// Maps the bytes of `extent`, which was taken from this very chain.
    ///
    /// An MDL that has no system address yet gets one. It belongs to the MDL: the kernel takes it away when the consumer
    /// unlocks the pages, which it may do only after the region or mapping is gone.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: no pool, or no system address.
    ///
    /// # Safety
    /// `mdl` is the valid chain `extent` was made from; nobody else maps it during the call; its pages are locked, and stay so
    /// until the result is dropped.
    pub(crate) unsafe fn map(mdl: *mut MDL, extent: &Extent) -> Result<Self, NTSTATUS> {
        let mut list = PoolSlice::try_new_with(tag::MEMORY, extent.pages(), |_| Page::NONE)?;
        let first_page = extent.base - extent.first_byte_offset;
        let mut next = mdl;
        for _ in 0..extent.parts {
            let part = next;
            // SAFETY: null or valid (caller).
            let Some(header) = (unsafe { part.as_ref() }) else { return Err(STATUS_INVALID_PARAMETER) };
            let (start, bytes, offset) =
                (virtual_address(header), header.ByteCount as usize, header.ByteOffset as usize);
            next = header.Next;
            if bytes == 0 {
                continue;
            }
            // SAFETY: valid, with locked pages, and not being mapped elsewhere (caller).
            let first_byte = unsafe { system_address(part) }.ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
            let page = first_byte.wrapping_sub(offset);
            // The last page of one MDL may be the first of the next: it is the same page, seen twice.
            let here = (start - offset - first_page) / PAGE_SIZE;
            for (step, place) in list.iter_mut().skip(here).take(pages_spanned(offset, bytes)).enumerate() {
                *place = Page { address: page.wrapping_add(step * PAGE_SIZE), ..Page::NONE };
            }
        }
        Ok(Self {
            list,
            first_byte_offset: extent.first_byte_offset,
            length: extent.length,
            base: extent.base as u64,
        })
    }
}

/// `MmGetMdlVirtualAddress` as a number.
fn virtual_address(mdl: &MDL) -> usize {
    mdl.StartVa.addr() + mdl.ByteOffset as usize
}
