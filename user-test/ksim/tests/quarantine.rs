//! Writes to freed memory are found when the memory goes back to the host. A process of its own, because whoever frees
//! next may be the one to find them.

use std::ffi::c_void;

use wskrdma_ksim as ksim;

unsafe extern "C-unwind" {
    fn ExAllocatePool2(flags: u64, bytes: usize, tag: u32) -> *mut c_void;
    fn ExFreePoolWithTag(memory: *mut c_void, tag: u32);
}

/// Frees a fresh block and returns its address.
fn freed() -> *mut u8 {
    // SAFETY: a non-paged block.
    let memory = unsafe { ExAllocatePool2(0x40, 64, u32::from_le_bytes(*b"KsTe")) };
    // SAFETY: allocated above.
    unsafe { ExFreePoolWithTag(memory, 0) };
    memory.cast()
}

#[test]
fn a_write_after_the_free_is_caught() {
    freed();
    ksim::pool::check_quarantine();
    let stop = ksim::stops(|| {
        let memory = freed();
        // SAFETY: the simulation keeps freed memory for a while, for this.
        unsafe { *memory.wrapping_add(40) = 1 };
        ksim::pool::check_quarantine();
    });
    assert!(stop.is_some_and(|stop| stop.is(ksim::stop::DRIVER_CORRUPTED_EXPOOL)));
    // Enough to push the oldest blocks out.
    let stop = ksim::stops(|| {
        let memory = freed();
        // SAFETY: as above.
        unsafe { *memory = 1 };
        for _ in 0..5000 {
            freed();
        }
    });
    assert!(stop.is_some_and(|stop| stop.is(ksim::stop::DRIVER_CORRUPTED_EXPOOL)));
}
