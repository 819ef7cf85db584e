//! Walking the MDL chain of a `WSK_BUF`.
//!
//! A `WSK_BUF` names `Length` bytes that begin `Offset` bytes into the first MDL of a chain. `Offset` must lie inside that
//! MDL, and the chain must be long enough; a client that breaks this gets `STATUS_INVALID_PARAMETER`, and no byte outside
//! the chain is touched.

use core::marker::PhantomData;
use core::ptr::{self, NonNull};

use abi::NTSTATUS;
use abi::nt::MDL;
use abi::status::{STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER};
use abi::wsk::WSK_BUF;

use super::{byte_count, system_address};

/// Why a chain cannot be walked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChainError {
    /// The chain ends before the bytes asked for do, or the offset lies outside the first MDL.
    TooShort,
    /// The pages of an MDL could not be mapped now.
    NotMapped,
}

impl ChainError {
    /// The status a caller outside gets: `STATUS_INVALID_PARAMETER` or `STATUS_INSUFFICIENT_RESOURCES`.
    #[must_use]
    pub const fn status(self) -> NTSTATUS {
        match self {
            Self::TooShort => STATUS_INVALID_PARAMETER,
            Self::NotMapped => STATUS_INSUFFICIENT_RESOURCES,
        }
    }
}

impl From<ChainError> for NTSTATUS {
    fn from(error: ChainError) -> Self {
        error.status()
    }
}

/// A run of bytes that lie side by side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// The kernel's address of the first byte.
    pub address: *mut u8,
    /// Bytes; never zero.
    pub length: usize,
}

/// The bytes of a `WSK_BUF` that one MDL describes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// The MDL.
    pub mdl: NonNull<MDL>,
    /// Bytes of the MDL before the first one.
    pub offset: usize,
    /// Bytes; never zero.
    pub length: usize,
}

/// The parts of a `WSK_BUF`, in order; see [`parts`].
#[derive(Clone, Debug)]
pub struct Parts<'chain> {
    mdl: *mut MDL,
    /// Bytes of the present MDL to pass over.
    skip: usize,
    /// Bytes still to come.
    remaining: usize,
    /// The chain is the client's; it stays while the request is outstanding.
    chain: PhantomData<&'chain MDL>,
}

/// The bytes `skip .. skip + length` of what `buf` names, by MDL; ends after the first error. IRQL ≤ DISPATCH_LEVEL; maps
/// nothing.
///
/// The parts cover exactly `length` bytes, or there is an error ([`ChainError::TooShort`]) behind them.
///
/// # Safety
/// The MDLs of the chain of `buf` are valid for `'chain`.
#[must_use]
pub unsafe fn parts(buf: &WSK_BUF, skip: usize, length: usize) -> Parts<'_> {
    // SAFETY: as promised by the caller.
    let in_first = unsafe { offset_in_first(buf) };
    // What must hold is that skip + length lies inside `Length`, and `Offset` inside the first MDL.
    let inside = skip.checked_add(length).is_some_and(|end| end <= buf.Length);
    let start = in_first.and_then(|offset| offset.checked_add(skip));
    match (inside, start) {
        (true, Some(start)) => Parts { mdl: buf.Mdl, skip: start, remaining: length, chain: PhantomData },
        // No MDL and a byte to come: the first step says that the chain is too short.
        _ => Parts { mdl: ptr::null_mut(), skip: 0, remaining: length.max(1), chain: PhantomData },
    }
}

/// The runs of bytes a `WSK_BUF` names, in order; see [`segments`].
#[derive(Clone, Debug)]
pub struct Segments<'chain>(Parts<'chain>);

/// The bytes `skip .. skip + length` of what `buf` names, as runs; ends after the first error. IRQL ≤ DISPATCH_LEVEL.
///
/// The runs cover exactly `length` bytes, or there is an error among them. Nothing is mapped before it is reached.
///
/// # Safety
/// The chain of `buf` is valid for `'chain`: every MDL describes locked pages or non-paged pool, and nobody else maps them
/// meanwhile. A run may be used while the request that brought `buf` is outstanding.
#[must_use]
pub unsafe fn segments(buf: &WSK_BUF, skip: usize, length: usize) -> Segments<'_> {
    // SAFETY: as promised by the caller.
    Segments(unsafe { parts(buf, skip, length) })
}

/// `Offset` if it lies inside the first MDL; an empty buffer needs no MDL.
///
/// # Safety
/// The first MDL of `buf` is valid, or null.
unsafe fn offset_in_first(buf: &WSK_BUF) -> Option<usize> {
    // Lossless: every supported target has 64-bit addresses.
    let offset = buf.Offset as usize;
    if buf.Mdl.is_null() {
        return (buf.Length == 0).then_some(0);
    }
    // SAFETY: as promised by the caller, and not null.
    let first = unsafe { byte_count(buf.Mdl) };
    (offset < first || buf.Length == 0).then_some(offset)
}

impl Iterator for Parts<'_> {
    type Item = Result<Part, ChainError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.remaining != 0 {
            let Some(mdl) = NonNull::new(self.mdl) else {
                self.remaining = 0;
                return Some(Err(ChainError::TooShort));
            };
            // SAFETY: `parts` was promised a valid chain, and this MDL is in it.
            let bytes = unsafe { byte_count(mdl.as_ptr()) };
            let offset = self.skip;
            // SAFETY: as above.
            self.mdl = unsafe { mdl.as_ref() }.Next;
            self.skip = offset.saturating_sub(bytes);
            let length = bytes.saturating_sub(offset).min(self.remaining);
            if length == 0 {
                continue;
            }
            self.remaining -= length;
            return Some(Ok(Part { mdl, offset, length }));
        }
        None
    }
}

impl core::iter::FusedIterator for Parts<'_> {}

impl Iterator for Segments<'_> {
    type Item = Result<Segment, ChainError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Part { mdl, offset, length } = match self.0.next()? {
            Ok(part) => part,
            Err(error) => return Some(Err(error)),
        };
        // SAFETY: `segments` was promised a valid chain that nobody else maps.
        let Some(base) = (unsafe { system_address(mdl.as_ptr()) }) else {
            self.0.remaining = 0;
            return Some(Err(ChainError::NotMapped));
        };
        // SAFETY: the part lies inside the bytes mapped at `base`.
        let address = unsafe { base.add(offset) };
        Some(Ok(Segment { address, length }))
    }
}

impl core::iter::FusedIterator for Segments<'_> {}

/// The bytes a chain holds from `buf.Offset` on, at most `buf.Length`. IRQL ≤ DISPATCH_LEVEL; maps nothing.
///
/// # Safety
/// The MDLs of the chain of `buf` are valid.
#[must_use]
pub unsafe fn chain_length(buf: &WSK_BUF) -> usize {
    // SAFETY: as promised by the caller.
    let Some(offset) = (unsafe { offset_in_first(buf) }) else {
        return 0;
    };
    let Some(enough) = offset.checked_add(buf.Length) else {
        return 0;
    };
    let (mut mdl, mut total) = (buf.Mdl, 0_usize);
    while !mdl.is_null() && total < enough {
        // SAFETY: as promised by the caller.
        total = total.saturating_add(unsafe { byte_count(mdl) });
        // SAFETY: as above.
        mdl = unsafe { (*mdl).Next };
    }
    total.min(enough).saturating_sub(offset)
}

/// Whether the chain holds all `buf.Length` bytes it claims: the check of a buffer that comes from a client.
/// IRQL ≤ DISPATCH_LEVEL; maps nothing.
///
/// # Safety
/// The MDLs of the chain of `buf` are valid.
#[must_use]
pub unsafe fn chain_covers(buf: &WSK_BUF) -> bool {
    // SAFETY: as promised by the caller.
    let offset_inside = unsafe { offset_in_first(buf) }.is_some();
    // SAFETY: as above.
    offset_inside && unsafe { chain_length(buf) } == buf.Length
}

/// Copies bytes out of a chain: `dst.len()` bytes that begin `skip` bytes into `buf`. IRQL ≤ DISPATCH_LEVEL.
///
/// # Errors
/// [`ChainError::TooShort`] if `buf` does not name or hold those bytes, [`ChainError::NotMapped`]. `dst` may then be filled
/// in part.
///
/// # Safety
/// As for [`segments`]; the chain does not overlap `dst`. Its bytes may change meanwhile (they are the client's), in which
/// case any mixture is copied.
pub unsafe fn copy_out(buf: &WSK_BUF, skip: usize, dst: &mut [u8]) -> Result<(), ChainError> {
    let mut rest = dst;
    // SAFETY: as promised by the caller.
    for segment in unsafe { segments(buf, skip, rest.len()) } {
        let Segment { address, length } = segment?;
        let (now, later) = rest.split_at_mut_checked(length).ok_or(ChainError::TooShort)?;
        // SAFETY: the run has `length` readable bytes and `now` as many writable ones, and they do not overlap.
        unsafe { ptr::copy_nonoverlapping(address, now.as_mut_ptr(), length) };
        rest = later;
    }
    Ok(())
}

/// Copies bytes into a chain: all of `src`, to where `skip` bytes into `buf` begin. IRQL ≤ DISPATCH_LEVEL.
///
/// # Errors
/// [`ChainError::TooShort`] if `buf` does not name or hold those bytes, [`ChainError::NotMapped`]. The chain may then be
/// filled in part.
///
/// # Safety
/// As for [`segments`]; the chain is writable and does not overlap `src`.
pub unsafe fn copy_in(buf: &WSK_BUF, skip: usize, src: &[u8]) -> Result<(), ChainError> {
    let mut rest = src;
    // SAFETY: as promised by the caller.
    for segment in unsafe { segments(buf, skip, rest.len()) } {
        let Segment { address, length } = segment?;
        let (now, later) = rest.split_at_checked(length).ok_or(ChainError::TooShort)?;
        // SAFETY: the run has `length` writable bytes and `now` as many readable ones, and they do not overlap.
        unsafe { ptr::copy_nonoverlapping(now.as_ptr(), address, length) };
        rest = later;
    }
    Ok(())
}
