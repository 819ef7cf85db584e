//! Memory of a test, and the ways to give it to the adapter.

use core::ptr;
use std::vec::Vec;

use abi::NTSTATUS;
use abi::ndk::*;
use abi::nt::MDL;
use abi::status::STATUS_SUCCESS;
use kernel::pool::PoolTag;
use kernel::region::Region;

use super::harness::*;

/// Pages of memory that can be registered.
pub(super) struct Memory {
    pub(super) region: Region,
}

impl Memory {
    pub(super) fn new(bytes: usize) -> Self {
        Self { region: Region::try_new(PoolTag::new(b"Test"), bytes).unwrap() }
    }

    pub(super) fn with(bytes: &[u8]) -> Self {
        let memory = Self::new(bytes.len());
        memory.region.write(0, bytes).unwrap();
        memory
    }

    pub(super) fn bytes(&self, offset: usize, length: usize) -> Vec<u8> {
        let mut bytes = std::vec![0; length];
        self.region.read(offset, &mut bytes).unwrap();
        bytes
    }

    pub(super) fn address(&self) -> u64 {
        self.region.as_ptr().expose_provenance() as u64
    }

    pub(super) fn mdl(&self) -> *mut MDL {
        self.region.mdl()
    }
}

/// A region over test memory.
pub(super) struct TestMr {
    pub(super) mr: *mut NDK_MR,
}

impl TestMr {
    /// `NdkRegisterMr` over all of `memory`.
    pub(super) fn registered(pd: *mut NDK_PD, memory: &Memory, flags: NDK_MR_FLAG) -> Self {
        let mr = Self::bare(pd, false);
        assert_eq!(mr.register(memory, flags), STATUS_SUCCESS);
        mr
    }

    pub(super) fn register(&self, memory: &Memory, flags: NDK_MR_FLAG) -> NTSTATUS {
        let (mdl, length) = (memory.mdl(), memory.region.len());
        request(|rc, context| ndk!(self.mr, NdkRegisterMr, mdl, length, flags.bits(), rc, context))
    }

    pub(super) fn bare(pd: *mut NDK_PD, fast: bool) -> Self {
        let mr = create(|cc, context, out| ndk!(pd, NdkCreateMr, u8::from(fast), cc, context, out));
        Self { mr: mr.unwrap() }
    }

    /// Initialised for fast registration.
    pub(super) fn fast(pd: *mut NDK_PD, pages: u32, remote: bool) -> Self {
        let mr = Self::bare(pd, true);
        let status = request(|rc, context| {
            ndk!(mr.mr, NdkInitializeFastRegisterMr, pages, u8::from(remote), rc, context)
        });
        assert_eq!(status, STATUS_SUCCESS);
        mr
    }

    pub(super) fn deregister(&self) -> NTSTATUS {
        request(|rc, context| ndk!(self.mr, NdkDeregisterMr, rc, context))
    }

    pub(super) fn local(&self) -> u32 {
        ndk!(self.mr, NdkGetLocalTokenFromMr)
    }

    pub(super) fn remote(&self) -> u32 {
        ndk!(self.mr, NdkGetRemoteTokenFromMr)
    }

    pub(super) fn close(self) {
        close(self.mr, close_slot!(self.mr, NdkCloseMr));
    }
}

/// A logical address mapping.
pub(super) struct TestLam {
    adapter: *mut NDK_ADAPTER,
    buffer: Vec<u64>,
    pub(super) first_byte_offset: u32,
}

impl TestLam {
    pub(super) fn build(adapter: *mut NDK_ADAPTER, mdl: *mut MDL, length: usize) -> Result<Self, NTSTATUS> {
        let mut first_byte_offset = 0;
        let mut size = 0;
        let status = request(|rc, context| {
            let offset = &raw mut first_byte_offset;
            let null = ptr::null_mut();
            ndk!(adapter, NdkBuildLAM, mdl, length, Some(rc), context, null, &raw mut size, offset)
        });
        if status != abi::status::STATUS_BUFFER_TOO_SMALL {
            return Err(status);
        }
        let mut buffer = std::vec![0; size.div_ceil(8) as usize];
        let status = request(|rc, context| {
            let offset = &raw mut first_byte_offset;
            let lam = buffer.as_mut_ptr().cast();
            ndk!(adapter, NdkBuildLAM, mdl, length, Some(rc), context, lam, &raw mut size, offset)
        });
        if status != STATUS_SUCCESS {
            return Err(status);
        }
        Ok(Self { adapter, buffer, first_byte_offset })
    }

    /// Logical addresses of the pages.
    pub(super) fn pages(&self) -> Vec<i64> {
        let count = self.buffer[1] as u32 as usize;
        self.buffer[2..2 + count].iter().map(|page| page.cast_signed()).collect()
    }

    pub(super) fn release(mut self) {
        ndk!(self.adapter, NdkReleaseLAM, self.buffer.as_mut_ptr().cast());
    }
}

/// An element with a virtual address.
pub(super) fn sge(address: u64, length: u32, token: u32) -> NDK_SGE {
    let address = NDK_SGE_ADDRESS { LogicalAddress: address.cast_signed() };
    NDK_SGE { Anonymous: address, Length: length, MemoryRegionToken: token }
}
