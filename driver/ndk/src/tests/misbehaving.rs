//! Providers that do what they must not, and answers that no page documents: contained, told, and never a hang.

use abi::NTSTATUS;
use abi::ndk::NDK_ADAPTER_INFO;
use abi::status::*;
use ndkcheck::{Act, EntryAct, Slot, When};

use super::harness::*;
use crate::{Access, Endpoint, Fault, Listener, Memory, Piece};

const WORD: Piece = Piece { memory: 0, offset: 4096, len: 4 };
/// A failure that no page of NDKPI names.
const UNDOCUMENTED: NTSTATUS = 0xC0FF_EE01_u32.cast_signed();

/// How often the adapter's provider has broken this promise.
fn faults(world: &World, fault: Fault) -> u32 {
    world.adapter().faults(fault)
}

/// Every wait at PASSIVE_LEVEL gives the provider's status on, whichever it is and however it comes.
#[test]
fn requests_fail_with_any_status() {
    for when in [When::Inline, When::Early, When::Dpc] {
        for status in [UNDOCUMENTED, STATUS_INSUFFICIENT_RESOURCES, STATUS_BUFFER_OVERFLOW] {
            let world = World::new(MODES[0]);
            let checker = world.checker();
            let fail = |slot| checker.next(slot, Act::Fail(when, status));
            let register = || Memory::register(world.adapter(), 8192, Access::LocalWrite).err();
            for slot in [Slot::CreateMr, Slot::RegisterMr] {
                fail(slot);
                assert_eq!(register(), Some(status), "{slot:?} {when:?}");
            }
            let listen = || Listener::listen(world.adapter(), loopback(0), Door::new()).err();
            for slot in [Slot::CreateListener, Slot::Listen] {
                fail(slot);
                assert_eq!(listen(), Some(status), "{slot:?} {when:?}");
            }
            let build = || {
                let memories = heapless::Vec::new();
                Endpoint::active(world.adapter(), Witness::new(), DEPTHS, memories).err()
            };
            for slot in [Slot::CreateCq, Slot::CreateQp, Slot::CreateConnector] {
                fail(slot);
                assert_eq!(build(), Some(status), "{slot:?} {when:?}");
            }
            world.finish();
        }
    }
}

/// A success without an object is none.
#[test]
fn success_without_an_object() {
    for when in [When::Inline, When::Early, When::Dpc] {
        let world = World::new(MODES[0]);
        let checker = world.checker();
        checker.next(Slot::CreateMr, Act::Fail(when, STATUS_SUCCESS));
        let memory = Memory::register(world.adapter(), 8192, Access::LocalWrite);
        assert_eq!(memory.err(), Some(STATUS_INTERNAL_ERROR), "{when:?}");
        checker.next(Slot::CreateQp, Act::Fail(when, STATUS_SUCCESS));
        let endpoint = Endpoint::active(world.adapter(), Witness::new(), DEPTHS, heapless::Vec::new());
        assert_eq!(endpoint.err(), Some(STATUS_INTERNAL_ERROR), "{when:?}");
        world.finish();
    }
}

/// Each step of a handshake fails with each documented status, and with one that is not, in each way.
#[test]
fn handshakes_fail_with_any_status() {
    let statuses = [
        STATUS_INSUFFICIENT_RESOURCES,
        STATUS_NETWORK_UNREACHABLE,
        STATUS_HOST_UNREACHABLE,
        STATUS_CONNECTION_REFUSED,
        STATUS_IO_TIMEOUT,
        STATUS_SHARING_VIOLATION,
        STATUS_INVALID_ADDRESS,
        STATUS_TOO_MANY_ADDRESSES,
        STATUS_ADDRESS_ALREADY_EXISTS,
        STATUS_CONNECTION_INVALID,
        STATUS_CONNECTION_ABORTED,
        UNDOCUMENTED,
    ];
    let world = World::new(MODES[0]);
    let (listener, door) = listen(&world);
    for when in [When::Inline, When::Early, When::Dpc] {
        for status in statuses {
            let act = Act::Fail(when, status);
            world.checker().next(Slot::Connect, act);
            let near = active(&world, Witness::new(), DEPTHS);
            Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"");
            assert_eq!(near.witness.answer(), status, "connect {when:?}");
            near.finish(true);

            let near = active(&world, Witness::new(), DEPTHS);
            Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"");
            world.checker().next(Slot::Accept, act);
            let far = passive(&world, Witness::new(), DEPTHS, door.take());
            Endpoint::accept(&far.endpoint, b"");
            assert_eq!(far.witness.answer(), status, "accept {when:?}");
            far.finish(true);
            assert_ne!(near.witness.answer(), 0);
            near.finish(true);

            world.checker().next(Slot::CompleteConnect, act);
            let near = active(&world, Witness::new(), DEPTHS);
            Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"");
            let far = passive(&world, Witness::new(), DEPTHS, door.take());
            Endpoint::accept(&far.endpoint, b"");
            assert_eq!(near.witness.answer(), status, "complete {when:?}");
            near.finish(true);
            assert_ne!(far.witness.answer(), 0);
            far.finish(true);
        }
    }
    drop((listener, door));
    world.finish();
}

/// The private data cannot be read: the connection is refused with that status.
#[test]
fn private_data_that_cannot_be_read() {
    let world = World::new(MODES[0]);
    let (listener, door) = listen(&world);
    let near = active(&world, Witness::new(), DEPTHS);
    Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"");
    let incoming = door.take();
    world.checker().always(Slot::GetConnectionData, Act::Fail(When::Inline, UNDOCUMENTED));
    assert_eq!(incoming.private_data(&mut [0; 512]).err(), Some(UNDOCUMENTED));
    let far = passive(&world, Witness::new(), DEPTHS, incoming);
    Endpoint::accept(&far.endpoint, b"");
    assert_eq!(near.witness.answer(), UNDOCUMENTED);
    near.finish(true);
    assert_ne!(far.witness.answer(), 0);
    far.finish(true);
    drop((listener, door));
    world.finish();
}

/// Steps that are answered twice, or answered and returned, are told once.
#[test]
fn handshakes_that_are_answered_twice() {
    for mode in MODES {
        for act in [Act::Twice, Act::CallAndReturn] {
            let world = World::new(mode);
            for slot in [Slot::Connect, Slot::CompleteConnect, Slot::Accept] {
                world.checker().next(slot, act);
            }
            let pair = Pair::new(&world);
            ksim::quiesce();
            // What pends cannot be returned as well.
            assert!(act == Act::CallAndReturn || faults(&world, Fault::AnsweredTwice) == 3, "{mode:?}");
            pair.finish();
            world.finish();
        }
    }
}

/// A handshake that never ends ends with its endpoint, whether or not the provider says a last word.
#[test]
fn handshakes_that_never_end() {
    for act in [Act::UntilClosed, Act::Never] {
        let world = World::new(MODES[0]);
        let (listener, door) = listen(&world);
        for graceful in [false, true] {
            world.checker().next(Slot::Connect, act);
            let mut near = active(&world, Witness::new(), DEPTHS);
            near.post_receives(8);
            Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"");
            near.finish(graceful);

            let near = active(&world, Witness::new(), DEPTHS);
            Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"");
            world.checker().next(Slot::Accept, act);
            let far = passive(&world, Witness::new(), DEPTHS, door.take());
            Endpoint::accept(&far.endpoint, b"");
            far.finish(graceful);
            assert_ne!(near.witness.answer(), 0);
            near.finish(graceful);
        }
        drop((listener, door));
        world.finish();
    }
}

/// A goodbye that is never answered is cut short by an abort, and one that is answered twice is taken once.
#[test]
fn goodbyes_that_go_wrong() {
    for act in [Act::UntilClosed, Act::Never, Act::Twice, Act::Fail(When::Dpc, UNDOCUMENTED)] {
        let world = World::new(MODES[0]);
        world.checker().next(Slot::Disconnect, act);
        let mut pair = Pair::new(&world);
        pair.near.close(true);
        Endpoint::abort(&pair.near.endpoint);
        pair.near.finish(false);
        pair.far.finish(false);
        ksim::quiesce();
        world.finish();
    }
}

/// Closes in every way, and answered twice: each step of the teardown is gone once.
#[test]
fn closes_in_every_way() {
    for act in [Act::Answer(When::Early), Act::Answer(When::Dpc), Act::Twice, Act::CallAndReturn] {
        let world = World::new(MODES[0]);
        let pair = Pair::new(&world);
        for slot in [Slot::CloseConnector, Slot::CloseQp] {
            world.checker().always(slot, act);
        }
        pair.finish();
        world.checker().relent();
        ksim::quiesce();
        let misbehaves = matches!(act, Act::Twice | Act::CallAndReturn);
        assert_eq!(faults(&world, Fault::AnsweredTwice) != 0, misbehaves, "{act:?}");
        world.finish();
    }
}

/// The disconnect event comes twice, and once more after the connector's close.
#[test]
fn too_many_events() {
    for mode in MODES {
        let world = World::new(mode);
        let Pair { near, far } = Pair::new(&world);
        let connector = near.endpoint.connector();
        for _ in 0..2 {
            // SAFETY: the context exists.
            assert!(unsafe { world.checker().disconnect_event(connector) });
        }
        near.witness.wait_for(|told| *told == Told::Disconnected);
        assert_eq!(faults(&world, Fault::EventTooMany), 1);
        near.finish(false);
        ksim::quiesce();
        let before = faults(&world, Fault::EventTooMany);
        // SAFETY: the endpoint is gone, and its context is no pointer.
        unsafe { world.checker().disconnect_event(connector) };
        assert_eq!(faults(&world, Fault::EventTooMany), before + 1);
        far.finish(false);
        world.finish();
    }
}

/// A post that claims success and posts nothing, or leaves no entry: the endpoint ends all the same.
#[test]
fn entries_that_never_come() {
    for graceful in [false, true] {
        let world = World::new(MODES[0]);
        let mut pair = Pair::new(&world);
        world.checker().next(Slot::Send, Act::Fail(When::Inline, STATUS_SUCCESS));
        pair.near.poster().send(WORD, 77).unwrap();
        world.checker().entries(&[EntryAct::Swallow]);
        pair.near.close(graceful);
        pair.far.witness.wait_for(|told| *told == Told::Disconnected);
        pair.far.close(graceful);
        pair.near.witness.ended();
        pair.far.witness.ended();
        assert!(faults(&world, Fault::EntryMissing) >= 1);
        // Others go on.
        drop(pair);
        Pair::new(&world).finish();
        world.finish();
    }
}

/// A post may fail with any status, and a success that is none posts nothing.
#[test]
fn posts_that_fail() {
    let world = World::new(MODES[0]);
    let mut pair = Pair::new(&world);
    for status in [STATUS_NO_MORE_ENTRIES, STATUS_DATA_OVERRUN, STATUS_CONNECTION_INVALID, UNDOCUMENTED] {
        for slot in [Slot::Send, Slot::Write, Slot::Receive] {
            world.checker().next(slot, Act::Fail(When::Inline, status));
        }
        assert_eq!(pair.near.poster().send(WORD, 1), Err(status));
        assert_eq!(pair.near.poster().write(WORD, 0, 0), Err(status));
        assert_eq!(pair.near.poster().receive(WORD, 1), Err(status));
    }
    for status in [STATUS_PENDING, STATUS_TIMEOUT] {
        world.checker().next(Slot::Send, Act::Fail(When::Inline, status));
        assert_eq!(pair.near.poster().send(WORD, 1), Err(STATUS_INTERNAL_ERROR));
    }
    pair.finish();
    world.finish();
}

/// An entry that comes twice is handed on once, and the endpoint is not taken for finished or unfinished by it.
#[test]
fn entries_that_come_twice() {
    let world = World::new(MODES[0]);
    let mut pair = Pair::new(&world);
    world.checker().entries(&[EntryAct::Pass; 2]);
    pair.near.poster().send(WORD, 77).unwrap();
    pair.near.witness.entries(1);
    pair.far.witness.entries(1);
    world.checker().entries(&[EntryAct::Twice; 16]);
    pair.near.close(false);
    pair.near.witness.ended();
    pair.far.close(false);
    pair.far.witness.ended();
    assert_eq!(pair.near.witness.entries(0).len() + pair.far.witness.entries(0).len(), 17);
    assert!(faults(&world, Fault::EntryTooMany) >= 1);
    drop(pair);
    world.finish();
}

/// An entry may carry any status.
#[test]
fn entries_with_any_status() {
    let world = World::new(MODES[0]);
    let mut pair = Pair::new(&world);
    world.checker().entries(&[EntryAct::Status(UNDOCUMENTED); 2]);
    pair.near.poster().send(WORD, 77).unwrap();
    assert_eq!(pair.near.witness.entries(1)[0].0, UNDOCUMENTED);
    pair.finish();
    world.finish();
}

/// An adapter with limits that cannot carry a stream is refused and given back.
#[test]
fn absurd_limits() {
    let changes: [fn(&mut NDK_ADAPTER_INFO); 9] = [
        |info| info.Version.Major = 0,
        |info| info.MaxCallerData = 0,
        |info| info.MaxReceiveQueueDepth = 31,
        |info| info.MaxInitiatorQueueDepth = 15,
        |info| info.MaxTransferLength = 1,
        |info| info.MaxRegistrationSize = (1 << 20) - 1,
        |info| info.MaxInitiatorRequestSge = 0,
        |info| info.MaxReceiveRequestSge = 0,
        |info| info.MaxCqDepth = 63,
    ];
    for change in changes {
        let mut world = World::unopened(MODES[0]);
        world.limits = Some(change);
        assert_eq!(world.adopt().err(), Some(STATUS_NOT_SUPPORTED));
        world.finish();
    }
    // More than there can be is taken as far as it is needed.
    let mut world = World::unopened(MODES[0]);
    world.limits = Some(|info| {
        (info.MaxRegistrationSize, info.MaxTransferLength, info.MaxInlineDataSize) =
            (usize::MAX, u32::MAX, 256);
        (info.MaxReceiveQueueDepth, info.MaxInitiatorQueueDepth) = (u32::MAX, u32::MAX);
    });
    world.adapter = Some(world.adopt().unwrap());
    Pair::new(&world).finish();
    world.finish();
}

/// A completion queue that fails takes its connections with it, and lets its endpoints end without the entries they are owed.
#[test]
fn a_completion_queue_fails() {
    for status in [STATUS_BUFFER_OVERFLOW, STATUS_INTERNAL_ERROR, UNDOCUMENTED] {
        let world = World::new(MODES[0]);
        let mut pair = Pair::new(&world);
        for cq in world.checker().open_cqs() {
            // SAFETY: the queue is open.
            unsafe { world.checker().notify(cq.as_ptr(), status) };
        }
        for end in [&pair.near, &pair.far] {
            end.witness.wait_for(|told| *told == Told::Disconnected);
        }
        world.checker().next(Slot::Send, Act::Fail(When::Inline, STATUS_SUCCESS));
        pair.near.poster().send(WORD, 77).unwrap();
        pair.finish();
        assert_eq!(faults(&world, Fault::EntryMissing), 0, "nothing is waited for");
        // The next connection gets another queue.
        Pair::new(&world).finish();
        world.finish();
    }
}
