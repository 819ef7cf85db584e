//! A client's data buffer.

use abi::NTSTATUS;
use abi::status::STATUS_INSUFFICIENT_RESOURCES;
use abi::wsk::WSK_BUF;
use kernel::mdl::{Part, Segment, chain_covers, parts, segments};
use kernel::region::Region;

/// A copy of a client's `WSK_BUF`. The 24 octets are copied because clients keep them on the stack; the MDL chain is
/// the client's and stays until the IRP is completed.
///
/// Whoever holds one holds the IRP that brought it: it is used only before that IRP is completed.
#[derive(Clone, Copy)]
pub(crate) struct ClientBuffer(WSK_BUF);

// SAFETY: the MDL chain describes locked memory that may be reached from any thread.
unsafe impl Send for ClientBuffer {}

impl ClientBuffer {
    /// No octets.
    pub(crate) const EMPTY: Self = Self(WSK_BUF { Mdl: core::ptr::null_mut(), Offset: 0, Length: 0 });

    /// Copies a client's buffer description; `None` for NULL and for a chain shorter than it claims, which is a client
    /// bug that would bug-check elsewhere.
    ///
    /// # Safety
    /// `buffer` is NULL or readable now, and its MDL chain is valid until the IRP it came with is completed.
    pub(crate) unsafe fn from_client(buffer: *const WSK_BUF) -> Option<Self> {
        if buffer.is_null() {
            return None;
        }
        // SAFETY: readable now; a client's structure need not be aligned.
        let buffer = unsafe { buffer.read_unaligned() };
        // SAFETY: the chain is valid, as promised.
        unsafe { chain_covers(&buffer) }.then_some(Self(buffer))
    }

    /// Octets.
    pub(crate) fn len(&self) -> usize {
        self.0.Length
    }

    /// What one MDL describes of the octets from `skip` on; `None` behind the last one.
    pub(crate) fn part(&self, skip: usize) -> Option<Part> {
        let rest = self.len().checked_sub(skip).filter(|&rest| rest != 0)?;
        // SAFETY: the holder holds the IRP, so the chain is valid.
        unsafe { parts(&self.0, skip, rest) }.next()?.ok()
    }

    /// Copies `len` octets from `skip` on into `region` at `offset`.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES: the client's pages could not be mapped.
    pub(crate) fn copy_out(
        &self,
        skip: usize,
        region: &Region,
        offset: usize,
        len: usize,
    ) -> Result<(), NTSTATUS> {
        let mut to = offset;
        // SAFETY: the holder holds the IRP, so the chain is valid.
        for segment in unsafe { segments(&self.0, skip, len) } {
            let Segment { address, length } = segment.map_err(|e| e.status())?;
            // SAFETY: the segment is mapped memory of the client that is valid as long as the chain.
            let octets = unsafe { core::slice::from_raw_parts(address, length) };
            region.write(to, octets).map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
            to = to.saturating_add(length);
        }
        Ok(())
    }

    /// Copies `len` octets of `region` at `offset` into the buffer, from `skip` on.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES: the client's pages could not be mapped.
    pub(crate) fn copy_in(
        &self,
        skip: usize,
        region: &Region,
        offset: usize,
        len: usize,
    ) -> Result<(), NTSTATUS> {
        let mut from = offset;
        // SAFETY: the holder holds the IRP, so the chain is valid.
        for segment in unsafe { segments(&self.0, skip, len) } {
            let Segment { address, length } = segment.map_err(|e| e.status())?;
            // SAFETY: the segment is mapped memory of the client, given to be written, valid as long as the chain.
            let octets = unsafe { core::slice::from_raw_parts_mut(address, length) };
            region.read(from, octets).map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
            from = from.saturating_add(length);
        }
        Ok(())
    }
}
