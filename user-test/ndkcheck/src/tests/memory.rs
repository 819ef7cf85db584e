//! Regions, mappings, windows.

use std::ptr;

use abi::NTSTATUS;
use abi::ndk::*;
use kernel::region::Region;

use super::harness::*;
use crate::rule::Rule;

#[test]
fn element_memory() {
    breaks(Rule::ElementMemory, |world| {
        let pair = world.pair();
        let mut element = pair.memory.element(2 * PAGE - 4, 5);
        assert_ne!(receive(pair.far_qp, 1, &[element]), 0);
        element.Length = 4;
        assert_eq!(receive(pair.far_qp, 1, &[element]), 0);
        assert_eq!(world.checker.caught().len(), 1);
        element.MemoryRegionToken ^= 0x5555;
        assert_ne!(send(pair.near_qp, 2, &[element], 0), 0);
    });
}

/// Logical addresses are held against what is mapped.
#[test]
fn logical_elements() {
    breaks(Rule::ElementMemory, |world| {
        let pair = world.pair();
        let region = Region::try_new(TAG, 2 * PAGE).unwrap();
        let mapping = world.map(&region, PAGE);
        let mut token = 0;
        call!(pair.pd, NdkGetPrivilegedMemoryRegionToken(&raw mut token));
        let element = |offset: i64, length| NDK_SGE {
            Anonymous: NDK_SGE_ADDRESS { LogicalAddress: mapping.pages[0] + i64::from(mapping.fbo) + offset },
            Length: length,
            MemoryRegionToken: token,
        };
        assert_eq!(receive(pair.far_qp, 1, &[element(0, PAGE as u32)]), 0);
        assert!(world.checker.caught().is_empty());
        assert_ne!(receive(pair.far_qp, 2, &[element(PAGE as i64, 8)]), 0);
        world.caught(Rule::ElementMemory);
        assert_ne!(receive(pair.far_qp, 2, &[element(-1, 8)]), 0);
        world.close_objects();
        world.unmap(&mapping);
    });
}

#[test]
fn lam_release() {
    breaks(Rule::LamRelease, |world| {
        let pair = world.pair();
        let region = Region::try_new(TAG, PAGE).unwrap();
        let mapping = world.map(&region, PAGE);
        let mut token = 0;
        call!(pair.pd, NdkGetPrivilegedMemoryRegionToken(&raw mut token));
        let element = NDK_SGE {
            Anonymous: NDK_SGE_ADDRESS { LogicalAddress: mapping.pages[0] },
            Length: 8,
            MemoryRegionToken: token,
        };
        assert_eq!(receive(pair.far_qp, 1, &[element]), 0);
        // In use.
        world.unmap(&mapping);
        world.caught(Rule::LamRelease);
        world.close_objects();
        world.unmap(&mapping);
        assert!(world.checker.caught().is_empty());
        // Again.
        world.unmap(&mapping);
    });
}

#[test]
fn element_rights() {
    breaks(Rule::ElementRights, |world| {
        let pair = world.pair();
        let read_only = memory(pair.pd, 0);
        assert_eq!(send(pair.near_qp, 1, &[read_only.element(0, 0)], 0), 0);
        assert_ne!(receive(pair.near_qp, 1, &[read_only.element(0, 8)]), 0);
        world.close_objects();
    });
}

#[test]
fn region_in_use() {
    breaks(Rule::RegionInUse, |world| {
        let pair = world.pair();
        assert_eq!(receive(pair.far_qp, 1, &[pair.memory.element(0, 8)]), 0);
        assert_ne!(ask(|done, context| call!(pair.memory.mr, NdkDeregisterMr(done, context))), 0);
        world.caught(Rule::RegionInUse);
        assert_ne!(call!(pair.memory.mr, NdkCloseMr(told, Bell::new().context())), 0);
    });
}

#[test]
fn region_state() {
    breaks(Rule::RegionState, |world| {
        let pair = world.pair();
        let region = Region::try_new(TAG, PAGE).unwrap();
        let (ordinary, fast) = (mr(pair.pd, false), mr(pair.pd, true));
        // The wrong kind, the wrong time, nothing there.
        assert_ne!(register(fast, &region, 0), 0);
        assert_ne!(ask(|done, context| call!(ordinary, NdkInitializeFastRegisterMr(1, 0, done, context))), 0);
        assert_ne!(ask(|done, context| call!(ordinary, NdkDeregisterMr(done, context))), 0);
        assert_eq!(call!(ordinary, NdkGetLocalTokenFromMr()), 0);
        assert_ne!(register(pair.memory.mr, &region, 0), 0);
        assert_ne!(call!(pair.near_qp, NdkInvalidate(context(1), pair.memory.mr.cast(), 0)), 0);
        assert_eq!(world.checker.caught().len(), 6);
        assert_eq!(ask(|done, context| call!(fast, NdkInitializeFastRegisterMr(1, 0, done, context))), 0);
        assert_ne!(call!(pair.near_qp, NdkInvalidate(context(1), fast.cast(), 0)), 0);
        world.close_objects();
    });
}

/// A fast-register region of two pages, and what to register in it.
struct Fast {
    mr: *mut NDK_MR,
    region: Region,
    mapping: Box<Mapping>,
}

impl Fast {
    fn new(world: &World, pd: *mut NDK_PD, remote: bool) -> Self {
        let mr = mr(pd, true);
        let remote = u8::from(remote);
        assert_eq!(ask(|done, context| call!(mr, NdkInitializeFastRegisterMr(2, remote, done, context))), 0);
        let region = Region::try_new(TAG, 2 * PAGE).unwrap();
        let mapping = world.map(&region, 2 * PAGE);
        Self { mr, region, mapping }
    }

    fn register(&self, qp: *mut NDK_QP, pages: u32, fbo: u32, length: usize, flags: u32) -> NTSTATUS {
        let base = ptr::without_provenance((1 << 20) + fbo as usize);
        let array = self.mapping.pages.as_ptr();
        call!(qp, NdkFastRegister(context(5), self.mr, pages, array, fbo, length, base, flags))
    }

    /// The registration may be left, the mapping may not.
    fn finish(&self, world: &World) {
        world.close_objects();
        world.unmap(&self.mapping);
        assert_eq!(self.region.len(), 2 * PAGE);
    }
}

#[test]
fn fast_register() {
    breaks(Rule::FastRegister, |world| {
        let pair = world.pair();
        let fast = Fast::new(world, pair.pd, false);
        assert_ne!(fast.register(pair.near_qp, 3, 0, PAGE, 0), 0);
        assert_ne!(fast.register(pair.near_qp, 1, 1, PAGE, 0), 0);
        assert_ne!(fast.register(pair.near_qp, 2, PAGE as u32, 8, 0), 0);
        assert_ne!(fast.register(pair.near_qp, 2, 0, PAGE, NDK_OP_FLAG_ALLOW_REMOTE_READ), 0);
        assert_eq!(world.checker.caught().len(), 4);
        // Pages that nobody has mapped.
        let pages = [12 * PAGE as i64];
        let register = || {
            let base = ptr::without_provenance(1 << 20);
            call!(pair.near_qp, NdkFastRegister(context(5), fast.mr, 1, pages.as_ptr(), 0, 1, base, 0))
        };
        assert_ne!(register(), 0);
        world.caught(Rule::FastRegister);
        assert_eq!(fast.register(pair.near_qp, 2, 5, PAGE, NDK_OP_FLAG_ALLOW_LOCAL_WRITE), 0);
        assert!(world.checker.caught().is_empty());
        assert_eq!(call!(pair.near_qp, NdkInvalidate(context(6), fast.mr.cast(), 0)), 0);
        assert_ne!(fast.register(pair.near_qp, 1, 0, PAGE + 1, 0), 0);
        fast.finish(world);
    });
}

#[test]
fn fast_register_valid() {
    breaks(Rule::FastRegisterValid, |world| {
        let pair = world.pair();
        let fast = Fast::new(world, pair.pd, true);
        let flags = NDK_OP_FLAG_ALLOW_REMOTE_WRITE;
        assert_eq!(fast.register(pair.near_qp, 1, 0, PAGE, flags), 0);
        assert_ne!(fast.register(pair.near_qp, 1, 0, PAGE, flags), 0);
        world.caught(Rule::FastRegisterValid);
        assert_eq!(call!(pair.near_qp, NdkInvalidate(context(6), fast.mr.cast(), 0)), 0);
        assert_eq!(fast.register(pair.near_qp, 1, 0, PAGE, flags), 0);
        assert_eq!(reap(pair.cq).len(), 3);
        assert!(world.checker.caught().is_empty());
        assert_ne!(fast.register(pair.near_qp, 1, 0, PAGE, flags), 0);
        fast.finish(world);
    });
}

#[test]
fn bind() {
    breaks(Rule::Bind, |world| {
        let pair = world.pair();
        let (mr, start) = (pair.memory.mr, pair.memory.region.as_ptr().cast_const().cast());
        let null = ptr::null_mut();
        assert_ne!(call!(pair.near_qp, NdkBind(context(1), mr, null, start, 3 * PAGE, 0)), 0);
        let unregistered = self::mr(pair.pd, false);
        assert_ne!(call!(pair.near_qp, NdkBind(context(1), unregistered, null, start, 8, 0)), 0);
        assert_eq!(world.checker.caught().len(), 2);
        assert_ne!(call!(pair.near_qp, NdkBind(context(1), mr, null, ptr::null(), 8, 0)), 0);
    });
}
