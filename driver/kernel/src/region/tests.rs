use abi::nt::{MDL_SOURCE_IS_NONPAGED_POOL, PAGE_SIZE};
use ksim::pool::{Scope, fail_after};

use super::{OutOfBounds, Region};
use crate::mdl;
use crate::pool::{AllocError, PoolTag};

const TAG: PoolTag = PoolTag::new(b"ReTe");

#[test]
fn a_region_is_zeroed_page_aligned_and_described_by_its_mdl() {
    let scope = Scope::new();
    let region = Region::try_new(TAG, PAGE_SIZE + 100).unwrap();
    assert_eq!(region.len(), PAGE_SIZE + 100);
    assert_eq!(region.as_ptr().addr() % PAGE_SIZE, 0);
    // SAFETY: the region's MDL lives as long as the region.
    let descriptor = unsafe { &*region.mdl() };
    assert_eq!(descriptor.ByteCount as usize, region.len());
    assert_eq!(descriptor.StartVa.cast(), region.as_ptr());
    assert_ne!(descriptor.MdlFlags & MDL_SOURCE_IS_NONPAGED_POOL, 0);
    // SAFETY: as above; nobody else maps it.
    assert_eq!(unsafe { mdl::system_address(region.mdl()) }, Some(region.as_ptr()));
    let mut bytes = [1; PAGE_SIZE + 100];
    region.read(0, &mut bytes).unwrap();
    assert!(bytes.iter().all(|&byte| byte == 0));
    drop(region);
    scope.assert_empty();
}

#[test]
fn bytes_go_in_and_come_out_at_any_offset_and_length() {
    let region = Region::try_new(TAG, 64).unwrap();
    let data: [u8; 64] = core::array::from_fn(|index| u8::try_from(index).unwrap() + 1);
    for offset in 0..=64 {
        for len in 0..=64 - offset {
            region.write(0, &[0; 64]).unwrap();
            region.write(offset, &data[..len]).unwrap();
            let mut all = [0xFF; 64];
            region.read(0, &mut all).unwrap();
            assert_eq!(all[..offset], [0; 64][..offset]);
            assert_eq!(all[offset..offset + len], data[..len]);
            assert_eq!(all[offset + len..], [0; 64][offset + len..]);
            let mut part = [0; 64];
            region.read(offset, &mut part[..len]).unwrap();
            assert_eq!(part[..len], data[..len]);
        }
    }
}

#[test]
fn nothing_outside_is_reached() {
    let region = Region::try_new(TAG, 10).unwrap();
    let mut byte = [0];
    assert_eq!(region.read(10, &mut byte), Err(OutOfBounds));
    assert_eq!(region.write(7, &[0; 4]), Err(OutOfBounds));
    assert_eq!(region.write(usize::MAX, &[0; 4]), Err(OutOfBounds));
    assert_eq!(region.read(10, &mut []), Ok(()));
    assert_eq!(region.write(11, &[]), Err(OutOfBounds));
}

#[test]
fn impossible_sizes_are_refused() {
    for len in [0, usize::MAX, 1 << 40] {
        let _failing = fail_after(1);
        assert_eq!(Region::try_new(TAG, len).err(), Some(AllocError), "{len}");
    }
}

#[test]
fn each_failing_allocation_leaves_nothing() {
    let scope = Scope::new();
    for successes in 0.. {
        let failing = fail_after(successes);
        let region = Region::try_new(TAG, 100);
        assert_eq!(region.is_err(), failing.has_failed());
        drop(region);
        scope.assert_empty();
        if !failing.has_failed() {
            assert_eq!(successes, 2, "the memory and its MDL");
            break;
        }
    }
}
