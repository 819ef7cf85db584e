//! Octets on their way to or from the system's TCP.

use abi::wsk::WSK_BUF;
use kernel::mdl::OwnedMdl;
use kernel::pool::{AllocError, PoolSlice};

use crate::tag;

/// A buffer with its MDL. While a call of the system's has it, nobody here looks at its octets.
#[derive(Debug)]
pub(crate) struct Staging {
    /// First in order: an MDL goes before what it describes.
    mdl: OwnedMdl,
    octets: PoolSlice<u8>,
}

impl Staging {
    pub(crate) fn new(len: usize) -> Result<Self, AllocError> {
        let mut octets = PoolSlice::try_new_with(tag::STREAM, len, |_| 0)?;
        // SAFETY: non-paged pool, which the slice keeps for as long as the MDL, and does not move.
        let mdl = unsafe { OwnedMdl::for_non_paged_pool(octets.as_mut_ptr(), len)? };
        Ok(Self { mdl, octets })
    }

    pub(crate) fn octets(&self) -> &[u8] {
        &self.octets
    }

    pub(crate) fn octets_mut(&mut self) -> &mut [u8] {
        &mut self.octets
    }

    pub(crate) fn len(&self) -> usize {
        self.octets.len()
    }

    /// The first `length` octets, for a call of the system's.
    pub(crate) const fn describe(&self, length: usize) -> WSK_BUF {
        WSK_BUF { Mdl: self.mdl.as_ptr(), Offset: 0, Length: length }
    }
}
