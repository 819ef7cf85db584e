//! Scatter/gather elements as they are kept.

use abi::ndk::NDK_SGE;

/// One element (`NDK_SGE`), without the union: addresses are only looked up, never followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Element {
    /// Logical with the privileged token, virtual with any other.
    pub(crate) address: u64,
    /// Bytes.
    pub(crate) length: u32,
    pub(crate) token: u32,
}

impl Element {
    pub(crate) fn new(sge: &NDK_SGE) -> Self {
        // SAFETY: both members are eight bytes of plain data, and every value is a valid number.
        let address = unsafe { sge.Anonymous.LogicalAddress };
        Self { address: address.cast_unsigned(), length: sge.Length, token: sge.MemoryRegionToken }
    }
}

/// The consumer's list as a slice.
///
/// # Safety
/// `list` is readable for `count` elements for as long as the result is used, unless `count` is 0.
pub(crate) unsafe fn list<'a>(list: *const NDK_SGE, count: u32) -> &'a [NDK_SGE] {
    if count == 0 || list.is_null() {
        return &[];
    }
    // SAFETY: readable (caller), not null, and the consumer leaves it alone during the call.
    unsafe { core::slice::from_raw_parts(list, count as usize) }
}

/// Bytes in all elements together; saturates far above every limit.
pub(crate) fn total_bytes(elements: &[NDK_SGE]) -> u64 {
    elements.iter().map(|element| u64::from(element.Length)).sum()
}
