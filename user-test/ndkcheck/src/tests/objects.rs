//! Lifetimes, levels, completion queues.

use std::ffi::c_void;
use std::ptr;

use abi::NTSTATUS;
use abi::ndk::*;

use super::harness::*;
use crate::rule::Rule;

unsafe extern "system" {
    fn KfRaiseIrql(new: u8) -> u8;
    fn KeLowerIrql(new: u8);
}

#[test]
fn close_in_call() {
    breaks(Rule::CloseInCall, |world| {
        let pd = world.pd();
        let cq = world.cq(8);
        inside!(cq, NDK_CQ, NdkArmCq(u32) -> () = (), move || {
            call!(cq, NdkCloseCq(told, Bell::new().context()));
        });
        call!(cq, NdkArmCq(NDK_CQ_NOTIFY_ANY));
        assert_ne!(
            call!(pd, NdkClosePd(told, Bell::new().context())),
            abi::status::STATUS_INVALID_DEVICE_REQUEST
        );
    });
}

/// A completion may close the object of its own request, though the call has not returned.
#[test]
fn a_completion_may_close_its_object() {
    unsafe extern "system" fn close_it(mr: *mut c_void, _: NTSTATUS) {
        let mr: *mut NDK_MR = mr.cast();
        call!(mr, NdkCloseMr(told, Bell::new().context()));
    }
    let world = World::new();
    let mr = mr(world.pd(), true);
    world.checker.next(crate::Slot::InitializeFastRegisterMr, crate::Act::Answer(crate::When::Early));
    call!(mr, NdkInitializeFastRegisterMr(1, 0, close_it, mr.cast()));
    world.finish();
}

#[test]
fn use_after_close() {
    breaks(Rule::UseAfterClose, |world| {
        let (pd, cq) = (world.pd(), world.cq(8));
        call!(cq, NdkCloseCq(told, Bell::new().context()));
        // On the object itself, with it, and the close again.
        call!(cq, NdkArmCq(NDK_CQ_NOTIFY_ANY));
        assert!(qp_of(pd, cq, 4, 0).is_err());
        call!(cq, NdkCloseCq(told, Bell::new().context()));
        assert_eq!(world.checker.caught().len(), 3);
        call!(cq, NdkArmCq(NDK_CQ_NOTIFY_ANY));
    });
}

#[test]
fn adapter_close_in_callback() {
    unsafe extern "system" fn close_all(world: *mut c_void, _: NTSTATUS) {
        // SAFETY: the world of the test, which waits.
        let world = unsafe { &*world.cast::<World>() };
        world.close_adapter();
    }
    let world = World::new();
    world.checker.expect(Rule::AdapterCloseInCallback);
    let mr = mr(world.pd(), true);
    world.checker.next(crate::Slot::InitializeFastRegisterMr, crate::Act::Answer(crate::When::Early));
    let context = ptr::from_ref(&world).cast_mut().cast();
    call!(mr, NdkInitializeFastRegisterMr(1, 0, close_all, context));
    world.caught(Rule::AdapterCloseInCallback);
    world.finish();
}

#[test]
fn adapter_close_leak() {
    let world = World::new();
    world.checker.expect(Rule::AdapterCloseLeak);
    let _pd = world.pd();
    world.close_adapter();
    world.caught(Rule::AdapterCloseLeak);
    world.finish();
}

#[test]
fn cq_overlap() {
    breaks(Rule::CqOverlap, |world| {
        let cq = world.cq(8);
        inside!(cq, NDK_CQ, NdkArmCq(u32) -> () = (), move || {
            assert_eq!(reap(cq), []);
            call!(cq, NdkArmCq(NDK_CQ_NOTIFY_ANY));
        });
        call!(cq, NdkArmCq(NDK_CQ_NOTIFY_ANY));
        // One after the other is right.
        assert_eq!(reap(cq), []);
    });
}

#[test]
fn moderation_overlap() {
    breaks(Rule::ModerationOverlap, |world| {
        let cq = world.cq(8);
        inside!(cq, NDK_CQ, NdkControlCqInterruptModeration(u32, u32) -> NTSTATUS = 0, move || {
            call!(cq, NdkControlCqInterruptModeration(0, 0));
        });
        call!(cq, NdkControlCqInterruptModeration(0, 0));
    });
}

/// Once with a full catch, after which there may be more, and once inside a notification without a look.
#[test]
fn arm_undrained() {
    unsafe extern "system" fn arm_at_once(cell: *mut c_void, _: NTSTATUS) {
        // SAFETY: the cell of the test.
        let cq = unsafe { *cell.cast::<*mut NDK_CQ>() };
        call!(cq, NdkArmCq(NDK_CQ_NOTIFY_ANY));
    }
    breaks(Rule::ArmUndrained, |world| {
        let pair = world.pair();
        let elements = [pair.memory.element(0, 8)];
        assert_eq!(receive(pair.far_qp, 1, &elements), 0);
        assert_eq!(send(pair.near_qp, 2, &[pair.memory.element(PAGE, 8)], 0), 0);
        // SAFETY: plain.
        let mut one: NDK_RESULT_EX = unsafe { std::mem::zeroed() };
        assert_eq!(call!(pair.cq, NdkGetCqResultsEx(&raw mut one, 1)), 1);
        call!(pair.cq, NdkArmCq(NDK_CQ_NOTIFY_ANY));
        world.caught(Rule::ArmUndrained);
        assert_eq!(reap(pair.cq).len(), 1);
        call!(pair.cq, NdkArmCq(NDK_CQ_NOTIFY_ANY));
        assert!(world.checker.caught().is_empty());
        let cell: *mut *mut NDK_CQ = Box::leak(Box::new(ptr::null_mut()));
        let eager = world.cq_with(8, arm_at_once, cell.cast()).unwrap();
        // SAFETY: the cell is the test's.
        unsafe { *cell = eager };
        // SAFETY: the queue is open, and its context is never freed.
        unsafe { world.checker.notify(eager, 0) };
    });
}

#[test]
fn arm_type() {
    breaks(Rule::ArmType, |world| {
        call!(world.cq(8), NdkArmCq(3));
    });
}

#[test]
fn cq_room() {
    breaks(Rule::CqRoom, |world| {
        let (pd, cq) = (world.pd(), world.cq(15));
        let first = qp(pd, cq);
        assert!(qp_of(pd, cq, 4, 0).is_err());
        world.caught(Rule::CqRoom);
        // Room is back when the queue pair is closed.
        call!(first, NdkCloseQp(told, Bell::new().context()));
        qp(pd, cq);
        assert!(world.checker.caught().is_empty());
        assert_ne!(ask(|done, context| call!(cq, NdkResizeCq(7, done, context))), 0);
    });
}

#[test]
fn resize_unsupported() {
    breaks(Rule::ResizeUnsupported, |world| {
        let cq = world.cq(8);
        // The software adapter can: the check is told otherwise.
        let check = check(cq);
        let info = ptr::from_ref(&check.info).cast_mut();
        // SAFETY: nobody else uses the check meanwhile.
        let flags = unsafe { &raw mut (*info).AdapterFlags };
        // SAFETY: as above.
        unsafe { flags.write(0) };
        assert_ne!(ask(|done, context| call!(cq, NdkResizeCq(16, done, context))), 0);
    });
}

#[test]
fn irql() {
    breaks(Rule::Irql, |world| {
        let mut info = NDK_ADAPTER_INFO::default();
        let mut size = size_of::<NDK_ADAPTER_INFO>() as u32;
        // SAFETY: the thread is at PASSIVE_LEVEL.
        let before = unsafe { KfRaiseIrql(2) };
        assert_ne!(call!(world.adapter, NdkQueryAdapterInfo(&raw mut info, &raw mut size)), 0);
        // SAFETY: the thread is at DISPATCH_LEVEL.
        unsafe { KfRaiseIrql(5) };
        let created = make(|done, context, out| call!(world.adapter, NdkCreatePd(done, context, out)));
        // SAFETY: the level from before.
        unsafe { KeLowerIrql(before) };
        assert!(created.is_err());
        assert_eq!(world.checker.caught().len(), 2);
        // SAFETY: the thread is at PASSIVE_LEVEL.
        unsafe { KfRaiseIrql(2) };
        assert_ne!(call!(world.adapter, NdkQueryAdapterInfo(&raw mut info, &raw mut size)), 0);
        // SAFETY: the level from before.
        unsafe { KeLowerIrql(before) };
    });
}

#[test]
fn callback_level() {
    unsafe extern "system" fn stay_up(_: *mut c_void, _: NTSTATUS) {
        // SAFETY: raising is allowed anywhere below.
        unsafe { KfRaiseIrql(5) };
    }
    breaks(Rule::CallbackLevel, |world| {
        let mr = mr(world.pd(), true);
        world.checker.next(crate::Slot::InitializeFastRegisterMr, crate::Act::Answer(crate::When::Early));
        call!(mr, NdkInitializeFastRegisterMr(1, 0, stay_up, ptr::null_mut()));
    });
}

#[test]
fn limits() {
    breaks(Rule::Limits, |world| {
        let (pd, cq) = (world.pd(), world.cq(1 << 16));
        assert!(world.cq_with(u32::MAX, requested, ptr::null_mut()).is_err());
        assert!(qp_of(pd, cq, 1 << 15, 0).is_err());
        assert!(qp_of(pd, cq, 4, 1 << 20).is_err());
        assert_eq!(world.checker.caught().len(), 3);
        assert_ne!(ask(|done, context| call!(cq, NdkResizeCq(u32::MAX, done, context))), 0);
    });
}

/// In version 1.2 there is no slot of 2.1.
#[test]
fn version() {
    let world = World::of_version(NDK_VERSION { Major: 1, Minor: 0 });
    world.checker.expect(Rule::Version);
    let connector = world.connector();
    let null = ptr::null_mut();
    assert_ne!(ask(|done, context| call!(connector, NdkCompleteConnectEx(None, null, done, context))), 0);
    world.caught(Rule::Version);
    world.finish();
}
