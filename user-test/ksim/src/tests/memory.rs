//! Pool, MDLs and test buffers.

use std::ffi::c_void;
use std::ptr;

use abi::nt::{
    MDL, MDL_PARTIAL, MDL_PARTIAL_HAS_BEEN_MAPPED, MDL_SOURCE_IS_NONPAGED_POOL, PAGE_SIZE,
    POOL_FLAG_NON_PAGED, POOL_FLAG_PAGED, POOL_FLAG_UNINITIALIZED,
};

use super::*;
use crate::buffer::{Chain, Pages};
use crate::pool::{Scope, fail_after};
use crate::stop::{
    BAD_POOL_CALLER, BAD_POOL_HEADER, DRIVER_VERIFIER_DETECTED_VIOLATION, IRQL_NOT_LESS_OR_EQUAL,
};

const TAG: u32 = u32::from_le_bytes(*b"KsTe");

fn allocate(bytes: usize) -> *mut u8 {
    // SAFETY: no precondition that the simulation would not check.
    unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, bytes, TAG) }.cast()
}

fn free(memory: *mut u8) {
    // SAFETY: no precondition that the simulation would not check.
    unsafe { ExFreePoolWithTag(memory.cast(), 0) };
}

/// Reads bytes of a block that lives.
fn bytes(memory: *const u8, count: usize) -> Vec<u8> {
    // SAFETY: the tests pass blocks of at least that size.
    unsafe { std::slice::from_raw_parts(memory, count) }.to_vec()
}

#[test]
fn blocks_are_filled_and_aligned_as_promised() {
    let scope = Scope::new();
    for size in [1, 15, 16, 17, PAGE_SIZE - 1, PAGE_SIZE, 3 * PAGE_SIZE + 1] {
        let zeroed = allocate(size);
        assert_eq!(bytes(zeroed, size), vec![0; size]);
        assert_eq!(zeroed.addr() % if size >= PAGE_SIZE { PAGE_SIZE } else { 16 }, 0);
        // SAFETY: no precondition that the simulation would not check.
        let fresh =
            unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED | POOL_FLAG_UNINITIALIZED, size, TAG) }.cast();
        assert_ne!(
            bytes(fresh, size),
            vec![0; size],
            "not zeroed, so that a driver that relies on it is found"
        );
        // SAFETY: as above.
        let old: *mut u8 = unsafe { ExAllocatePoolWithTag(512, size, TAG) }.cast();
        assert_ne!(bytes(old, size), vec![0; size]);
        assert_eq!(scope.usage()[0].blocks, 3);
        assert_eq!(scope.usage()[0].bytes, 3 * size);
        [zeroed, fresh, old].into_iter().for_each(free);
    }
    scope.assert_empty();
}

#[test]
fn faulty_allocations_are_caught() {
    // SAFETY: the simulation checks the arguments; here and below.
    assert_stops(BAD_POOL_CALLER, || unsafe {
        ExAllocatePool2(POOL_FLAG_NON_PAGED, 1, 0);
    });
    assert_stops(BAD_POOL_CALLER, || {
        allocate(0);
    });
    // SAFETY: as above.
    assert_stops(DRIVER_VERIFIER_DETECTED_VIOLATION, || unsafe {
        ExAllocatePool2(POOL_FLAG_PAGED, 1, TAG);
    });
    assert_stops(IRQL_NOT_LESS_OR_EQUAL, || {
        raise(3);
        allocate(1);
    });
}

#[test]
fn faulty_frees_are_caught() {
    assert_stops(BAD_POOL_CALLER, || {
        let memory = allocate(8);
        free(memory);
        free(memory);
    });
    assert_stops(BAD_POOL_CALLER, || free(ptr::from_mut(&mut 0)));
    assert_stops(BAD_POOL_CALLER, || {
        let memory = allocate(8);
        // SAFETY: the simulation checks the arguments.
        unsafe { ExFreePoolWithTag(memory.cast(), TAG + 1) };
    });
}

#[test]
fn a_write_behind_a_block_is_caught() {
    for (size, beyond) in [(1, 0), (24, 15), (PAGE_SIZE, 7)] {
        assert_stops(BAD_POOL_HEADER, || {
            let memory = allocate(size);
            // SAFETY: outside the block but inside the host's allocation: the guard.
            unsafe { *memory.wrapping_add(size + beyond) = 1 };
            free(memory);
        });
    }
}

#[test]
fn allocations_fail_where_a_test_wants_them_to() {
    let failing = fail_after(2);
    let blocks = [allocate(1), allocate(1), allocate(1), allocate(1)];
    assert_eq!(blocks.map(<*mut u8>::is_null), [false, false, true, true]);
    assert!(failing.has_failed());
    drop(failing);
    let later = allocate(1);
    assert!(!later.is_null());
    [blocks[0], blocks[1], later].into_iter().for_each(free);
    assert!(!fail_after(0).has_failed());
}

#[test]
fn a_scope_counts_its_own_blocks_wherever_they_are_freed() {
    let outer = Scope::new();
    let one = allocate(1);
    let inner = Scope::new();
    let two = allocate(1);
    assert_eq!(inner.usage()[0].blocks, 1);
    drop(inner);
    assert_eq!(outer.usage()[0].blocks, 1);
    let two = two.expose_provenance();
    std::thread::scope(|scope| scope.spawn(|| free(ptr::with_exposed_provenance_mut(two))).join()).unwrap();
    free(one);
    outer.assert_empty();
}

fn mdl_over(memory: *mut u8, length: u32) -> *mut MDL {
    // SAFETY: there is no IRP.
    unsafe { IoAllocateMdl(memory.cast(), length, 0, 0, ptr::null_mut()) }
}

/// Maps an MDL that the test owns.
fn map(mdl: *mut MDL) -> *mut c_void {
    // SAFETY: the test's own MDL; the simulation checks the rest.
    unsafe { MmMapLockedPagesSpecifyCache(mdl, 0, 1, ptr::null_mut(), 0, 16) }
}

#[test]
fn mdls_describe_pool_and_parts_of_other_mdls() {
    let scope = Scope::new();
    let memory = allocate(3 * PAGE_SIZE);
    let source = mdl_over(memory.wrapping_add(10), 2 * 4096);
    // SAFETY: the test's own MDL.
    unsafe { MmBuildMdlForNonPagedPool(source) };
    let part = mdl_over(memory, 3 * 4096);
    let address = memory.wrapping_add(5000);
    // SAFETY: both are the test's own.
    unsafe { IoBuildPartialMdl(source, part, address.cast(), 100) };
    // SAFETY: as above.
    let fields = unsafe { &*part };
    assert_eq!((fields.ByteCount, fields.ByteOffset), (100, 5000 - 4096));
    assert_eq!(fields.MappedSystemVa.cast(), address);
    assert_eq!(
        fields.MdlFlags & (MDL_PARTIAL | MDL_SOURCE_IS_NONPAGED_POOL),
        MDL_PARTIAL | MDL_SOURCE_IS_NONPAGED_POOL
    );
    // SAFETY: both are the test's own.
    unsafe { IoBuildPartialMdl(source, part, address.cast(), 0) };
    // SAFETY: as above.
    assert_eq!(unsafe { (*part).ByteCount }, 2 * 4096 + 10 - 5000, "zero means to the end");
    for mdl in [part, source] {
        // SAFETY: as above.
        unsafe { IoFreeMdl(mdl) };
    }
    free(memory);
    scope.assert_empty();
}

#[test]
fn a_part_of_locked_pages_has_a_mapping_of_its_own() {
    let chain = Chain::new(&[7; 100], &[], Pages::Locked);
    let part = mdl_over(ptr::null_mut(), 8192);
    // SAFETY: the chain's MDL lives.
    let source = unsafe { &*chain.mdl() };
    let address = source.StartVa.wrapping_byte_add(source.ByteOffset as usize + 5);
    // SAFETY: both MDLs live.
    unsafe { IoBuildPartialMdl(chain.mdl(), part, address, 10) };
    assert_eq!(map(part), address);
    // SAFETY: the test's own MDL.
    assert_ne!(unsafe { (*part).MdlFlags } & MDL_PARTIAL_HAS_BEEN_MAPPED, 0);
    // SAFETY: as above.
    unsafe { IoFreeMdl(part) };
}

#[test]
fn faulty_uses_of_mdls_are_caught() {
    let violation = DRIVER_VERIFIER_DETECTED_VIOLATION;
    assert_stops(violation, || {
        map(mdl_over(ptr::null_mut(), 10));
    });
    assert_stops(violation, || {
        map(ptr::null_mut());
    });
    assert_stops(violation, || {
        let chain = Chain::new(&[0; 10], &[], Pages::Locked);
        // SAFETY: the simulation checks the state.
        unsafe { IoFreeMdl(chain.mdl()) };
    });
    assert_stops(violation, || {
        let chain = Chain::new(&[0; 10], &[], Pages::NonPagedPool);
        map(chain.mdl());
    });
    assert_stops(violation, || {
        let chain = Chain::new(&[0; 10], &[], Pages::NonPagedPool);
        let part = mdl_over(ptr::null_mut(), 10);
        // SAFETY: both MDLs live; the range is not inside, which the simulation checks.
        unsafe { IoBuildPartialMdl(chain.mdl(), part, 16 as *mut c_void, 10) };
    });
    assert_stops(violation, || {
        let (source, part) = (mdl_over(ptr::null_mut(), 10), mdl_over(ptr::null_mut(), 10));
        // SAFETY: both MDLs live; the source has no pages, which the simulation checks.
        unsafe { IoBuildPartialMdl(source, part, ptr::null_mut(), 10) };
    });
}

#[test]
fn a_chain_holds_its_data_however_it_is_cut() {
    let data: Vec<u8> = (0..=255).collect();
    for cuts in [&[][..], &[1, 0, 2], &[255], &[300, 1]] {
        let chain = Chain::new(&data, cuts, Pages::NonPagedPool);
        assert_eq!(chain.bytes(), data);
        assert_eq!(chain.whole().Length, 256);
    }
    assert_eq!(Chain::zeroed(3).bytes(), [0; 3]);
}

#[test]
fn a_write_beside_a_chain_is_caught() {
    for beside in [-1, 10] {
        let stop = crate::stops(|| {
            let chain = Chain::new(&[0; 10], &[], Pages::NonPagedPool);
            // SAFETY: the chain's MDL lives.
            let address = unsafe { (*chain.mdl()).MappedSystemVa }.cast::<u8>();
            // SAFETY: outside the piece but inside the host's allocation: the guard.
            unsafe { *address.wrapping_offset(beside) = 1 };
        });
        assert!(stop.is_some_and(|stop| stop.text.contains("written beside")));
    }
}
