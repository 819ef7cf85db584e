//! What scripts make of answers.

use std::ptr;

use abi::ndk::*;
use abi::status::{STATUS_CANCELLED, STATUS_INSUFFICIENT_RESOURCES, STATUS_IO_TIMEOUT, STATUS_PENDING};

use super::harness::*;
use crate::{Act, EntryAct, Slot, When};

/// The same request, answered in each way.
#[test]
fn an_answer_comes_when_the_script_says() {
    let world = World::new();
    let pd = world.pd();
    for act in [Act::Pass, Act::Answer(When::Inline)] {
        world.checker.next(Slot::CreateMr, act);
        let (bell, mut made) = (Bell::new(), ptr::null_mut());
        assert_eq!(call!(pd, NdkCreateMr(1, created, bell.context(), &raw mut made)), 0);
        assert!(!made.is_null() && bell.count() == 0);
    }
    for when in [When::Early, When::Turn, When::Dpc] {
        world.checker.next(Slot::CreateMr, Act::Answer(when));
        let (bell, mut made) = (Bell::new(), ptr::null_mut());
        assert_eq!(call!(pd, NdkCreateMr(1, created, bell.context(), &raw mut made)), STATUS_PENDING);
        assert!(made.is_null(), "the object comes with the completion");
        if when == When::Turn {
            ksim::quiesce();
            assert_eq!(bell.count(), 0);
            assert!(world.checker.turn() && !world.checker.turn());
        }
        let (status, object) = bell.wait();
        assert!(status == 0 && object != 0);
    }
    world.finish();
}

/// Any status, in any way, without the provider; what was to be made is not there.
#[test]
fn a_request_fails_as_the_script_says() {
    let world = World::new();
    let pd = world.pd();
    for when in [When::Inline, When::Early, When::Turn, When::Dpc] {
        world.checker.next(Slot::CreateMr, Act::Fail(when, STATUS_INSUFFICIENT_RESOURCES));
        let (bell, mut made) = (Bell::new(), ptr::null_mut());
        let returned = call!(pd, NdkCreateMr(1, created, bell.context(), &raw mut made));
        world.checker.turn_all();
        let status = if when == When::Inline { returned } else { bell.wait().0 };
        assert_eq!(status, STATUS_INSUFFICIENT_RESOURCES);
        assert_eq!(returned == STATUS_PENDING, when != When::Inline);
        assert_eq!(bell.count(), 0);
    }
    world.finish();
}

/// A request may wait until its object is closed, and ends before the close does.
#[test]
fn a_request_ends_with_its_object() {
    let world = World::new();
    let mr = mr(world.pd(), true);
    world.checker.next(Slot::InitializeFastRegisterMr, Act::UntilClosed);
    let bell = Bell::new();
    assert_eq!(call!(mr, NdkInitializeFastRegisterMr(1, 0, requested, bell.context())), STATUS_PENDING);
    ksim::quiesce();
    assert_eq!(bell.count(), 0);
    assert_eq!(call!(mr, NdkCloseMr(told, bell.context())), 0);
    assert_eq!(bell.wait().0, STATUS_CANCELLED);
    world.finish();
}

/// What no provider may do.
#[test]
fn a_provider_misbehaves() {
    let world = World::new();
    let pd = world.pd();
    let bell = Bell::new();
    let initialize =
        |mr: *mut NDK_MR| call!(mr, NdkInitializeFastRegisterMr(1, 0, requested, bell.context()));
    world.checker.next(Slot::InitializeFastRegisterMr, Act::Twice);
    assert_eq!(initialize(mr(pd, true)), STATUS_PENDING);
    assert_eq!(bell.count(), 2);
    world.checker.next(Slot::InitializeFastRegisterMr, Act::CallAndReturn);
    assert_eq!(initialize(mr(pd, true)), 0);
    assert_eq!(bell.count(), 3);
    world.checker.next(Slot::InitializeFastRegisterMr, Act::Never);
    assert_eq!(initialize(mr(pd, true)), STATUS_PENDING);
    world.checker.next(Slot::CloseMr, Act::Never);
    assert_eq!(call!(mr(pd, true), NdkCloseMr(told, bell.context())), STATUS_PENDING);
    world.checker.limits(|info| info.MaxCqDepth = 0);
    let mut info = NDK_ADAPTER_INFO::default();
    let mut size = size_of::<NDK_ADAPTER_INFO>() as u32;
    assert_eq!(call!(world.adapter, NdkQueryAdapterInfo(&raw mut info, &raw mut size)), 0);
    assert_eq!(info.MaxCqDepth, 0);
    world.finish();
    assert_eq!(bell.count(), 3);
}

#[test]
fn entries_are_changed() {
    let world = World::new();
    let pair = world.pair();
    let acts = [EntryAct::Status(STATUS_IO_TIMEOUT), EntryAct::Swallow, EntryAct::Twice];
    world.checker.entries(&acts);
    for number in 0..3 {
        assert_eq!(receive(pair.near_qp, 10 + number, &[pair.memory.element(64 * number, 64)]), 0);
    }
    call!(pair.near_qp, NdkFlush());
    assert_eq!(reap(pair.cq), [(STATUS_IO_TIMEOUT, 10), (STATUS_CANCELLED, 12)]);
    assert_eq!(reap(pair.cq), [(STATUS_CANCELLED, 12)]);
    assert_eq!(reap(pair.cq), []);
    world.finish();
}
