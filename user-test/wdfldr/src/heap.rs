//! Memory from the kernel's pool, and the symbols that the compiler expects of a runtime.

use core::alloc::{GlobalAlloc, Layout};

use crate::nt;

/// "WdfT", as it reads in a dump.
const TAG: u32 = u32::from_le_bytes(*b"WdfT");
/// What the pool guarantees.
const ALIGNMENT: usize = 16;

struct Pool;

// SAFETY: blocks come from the pool with at least the alignment asked for, or are null.
unsafe impl GlobalAlloc for Pool {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > ALIGNMENT {
            return core::ptr::null_mut();
        }
        // SAFETY: any size may be asked for.
        unsafe { nt::ExAllocatePoolWithTag(nt::NON_PAGED_POOL_NX, layout.size(), TAG) }.cast()
    }

    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: the block came from `alloc`.
        unsafe { nt::ExFreePoolWithTag(block.cast(), TAG) };
    }
}

#[global_allocator]
static POOL: Pool = Pool;

/// Microsoft's linker wants to see it wherever floating point might be used.
#[unsafe(no_mangle)]
static _fltused: i32 = 0;

/// Named by the unwind tables of the built libraries; nothing here unwinds.
#[unsafe(no_mangle)]
extern "C" fn __CxxFrameHandler3() -> i32 {
    0
}
