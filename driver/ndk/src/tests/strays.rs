//! Callbacks after the end of what they are for, and ends that come twice: nothing happens but a count. That no memory that
//! is gone is touched, the simulated kernel's pool sees to.

use core::ptr::{self, NonNull};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::vec::Vec;

use ndkcheck::{Act, EntryAct, Rule, Slot};

use super::harness::*;
use crate::object::slot;
use crate::wait;
use crate::{
    Access, Endpoint, FastRegion, Fault, Mapping, Memory, Piece, RegionOwner, SharedEndpoint, Source, Window,
};
use kernel::pool::Shared;
use kernel::region::Region;

const WORD: Piece = Piece { memory: 0, offset: 4096, len: 4 };

/// Every slot that ends by a completion.
const ENDED: [Slot; 26] = [
    Slot::CreateCq,
    Slot::CreatePd,
    Slot::CreateSharedEndpoint,
    Slot::CreateConnector,
    Slot::CreateListener,
    Slot::BuildLam,
    Slot::CreateMr,
    Slot::CreateMw,
    Slot::CreateQp,
    Slot::RegisterMr,
    Slot::DeregisterMr,
    Slot::InitializeFastRegisterMr,
    Slot::Connect,
    Slot::ConnectWithSharedEndpoint,
    Slot::CompleteConnect,
    Slot::Accept,
    Slot::Disconnect,
    Slot::Listen,
    Slot::ClosePd,
    Slot::CloseCq,
    Slot::CloseMr,
    Slot::CloseMw,
    Slot::CloseQp,
    Slot::CloseConnector,
    Slot::CloseListener,
    Slot::CloseSharedEndpoint,
];

/// How often the provider has broken a promise.
fn faults(world: &World) -> u32 {
    Fault::ALL.map(|fault| world.adapter().faults(fault)).iter().sum()
}

/// Who waits for the end of a region.
struct Owner(Mutex<u32>);

impl RegionOwner for Owner {
    fn region_closed(this: Shared<Self>) {
        *this.0.lock().unwrap() += 1;
    }
}

/// Makes one of everything that a provider calls back for, uses it, and ends it.
fn live(world: &World) {
    let mut pair = Pair::new(world);
    pair.near.poster().send(WORD, 77).unwrap();
    pair.near.witness.entries(1);
    pair.far.witness.entries(1);
    pair.near.close(true);
    pair.far.witness.wait_for(|told| *told == Told::Disconnected);
    // The goodbye of the one waits for the other's.
    pair.far.close(true);
    pair.finish();

    let shared = SharedEndpoint::create(world.adapter(), loopback(0)).unwrap();
    let (listener, door) = listen(world);
    let near = active(world, Witness::new(), DEPTHS);
    Endpoint::connect(&near.endpoint, Source::Shared(&shared), listener.address(), b"");
    drop(door.take());
    assert_ne!(near.witness.answer(), 0);
    near.finish(false);
    drop((shared, listener, door));

    drop(Memory::register(world.adapter(), 8192, Access::RemoteWrite).unwrap());
    drop(Window::create(world.adapter()).unwrap());
    drop(FastRegion::create(world.adapter(), 4).unwrap());
    let owner = Shared::try_new(TAG, Owner(Mutex::new(0))).unwrap();
    FastRegion::create(world.adapter(), 4).unwrap().close(owner.clone());
    let region = Region::try_new(TAG, 5000).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    // SAFETY: non-paged pool that outlives the mapping.
    unsafe {
        Mapping::build(world.adapter(), NonNull::new(region.mdl()).unwrap(), 5000, move |built| {
            tell.send(built.is_ok()).unwrap();
        });
    };
    ksim::quiesce();
    assert_eq!((*owner.0.lock().unwrap(), told.iter().collect::<Vec<_>>()), (1, std::vec![true]));
}

/// Everything that was ever to be called back is called back once more: while the adapter is open, when it is closed, and when
/// it is gone.
#[test]
fn whatever_comes_again_is_counted() {
    for mode in MODES {
        let mut world = World::new(mode);
        live(&world);
        let checker = world.checker();
        let before = faults(&world);
        let calls = checker.repeat();
        assert!(calls > 50, "{calls}");
        assert_eq!(faults(&world), before + calls, "{mode:?}");
        // Others are served.
        Pair::new(&world).finish();

        assert!(world.adapter().close(LONG));
        let before = faults(&world);
        let calls = checker.repeat();
        assert_eq!(faults(&world), before + calls, "{mode:?}");

        drop(world.adapter.take());
        let strays = crate::stray_callbacks();
        assert_eq!(checker.repeat(), calls);
        assert_eq!(crate::stray_callbacks(), strays.wrapping_add(calls), "{mode:?}");

        // Another adapter, which has the place of the first one, does not answer for it.
        world.adapter = Some(world.adopt().unwrap());
        assert_eq!(checker.repeat(), calls);
        assert_eq!(faults(&world), 0);
        drop(checker);
        world.finish();
    }
}

/// Every request and every close is answered twice, or answered and returned.
#[test]
fn whatever_ends_twice_ends_once() {
    for slot in ENDED {
        let world = World::new(MODES[0]);
        world.checker().always(slot, Act::Twice);
        live(&world);
        world.finish();
    }
    for mode in MODES {
        for act in [Act::Twice, Act::CallAndReturn] {
            let world = World::new(mode);
            for slot in ENDED {
                world.checker().always(slot, act);
            }
            live(&world);
            assert!(world.adapter().faults(Fault::AnsweredTwice) > 10 || act == Act::CallAndReturn);
            world.finish();
        }
    }
}

/// Events come without end while their connection ends: each is told or counted.
#[test]
fn events_during_the_end() {
    for _ in 0..20 {
        let world = World::new(MODES[0]);
        let Pair { near, far } = Pair::new(&world);
        let (checker, over) = (world.checker(), AtomicBool::new(false));
        // A notification that was not asked for, in the middle of a pass, is what the pass cannot have drained after.
        checker.expect(Rule::ArmUndrained);
        let connectors = checker.open_connectors();
        let cqs = checker.open_cqs();
        let addresses: Vec<usize> =
            connectors.iter().map(|connector| connector.as_ptr().expose_provenance()).collect();
        let queues: Vec<usize> = cqs.iter().map(|cq| cq.as_ptr().expose_provenance()).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                loop {
                    // Once more after the end.
                    let is_last = over.load(Ordering::Acquire);
                    for address in &addresses {
                        // SAFETY: a proxy of this adapter, whose context is no pointer.
                        unsafe { checker.disconnect_event(ptr::with_exposed_provenance_mut(*address)) };
                    }
                    for address in &queues {
                        // SAFETY: as above.
                        unsafe { checker.notify(ptr::with_exposed_provenance_mut(*address), 0) };
                    }
                    if is_last {
                        break;
                    }
                }
            });
            near.finish(false);
            far.finish(false);
            assert!(world.adapter().close(LONG));
            over.store(true, Ordering::Release);
        });
        assert!(world.adapter().faults(Fault::EventTooMany) > 0);
        drop(checker);
        world.finish();
    }
}

/// A connection request for a listener that is gone is rejected, and does not keep the adapter open.
#[test]
fn requests_for_a_listener_that_is_gone() {
    in_each_mode(|world| {
        let (listener, door) = listen(world);
        let event = listener.event();
        drop(listener);
        ksim::quiesce();
        let object = world.adapter().object();
        let create = slot!(object, NdkCreateConnector);
        let connector = wait::create(&world.adapter().patience(), (), |(), done, context, out| {
            // SAFETY: the adapter is open.
            unsafe { create(object, done, context, out) }
        });
        assert_eq!(world.checker().open_connectors().len(), 1);
        event(connector.unwrap());
        assert_eq!(world.checker().open_connectors().len(), 0);
        assert_eq!(world.adapter().faults(Fault::EventTooMany), 1);
        drop(door);
    });
}

/// A completion entry for a queue pair that nobody knows, or nobody knows any more.
#[test]
fn entries_of_strangers() {
    let world = World::new(MODES[0]);
    let gone = {
        let pair = Pair::new(&world);
        let context = pair.near.endpoint.queue_pair_context().addr();
        pair.finish();
        context
    };
    for stranger in [0, 1, gone, usize::MAX] {
        let before = world.adapter().faults(Fault::EntryTooMany);
        let mut pair = Pair::new(&world);
        world.checker().entries(&[EntryAct::QueuePair(stranger)]);
        pair.near.poster().send(WORD, 77).unwrap();
        // One of the two entries is lost to its owner, who ends without it.
        pair.near.close(false);
        pair.far.witness.wait_for(|told| *told == Told::Disconnected);
        pair.far.close(false);
        pair.near.witness.ended();
        pair.far.witness.ended();
        assert_eq!(world.adapter().faults(Fault::EntryTooMany), before + 1, "{stranger:#x}");
        drop(pair);
        Pair::new(&world).finish();
    }
    assert_eq!(world.adapter().faults(Fault::EntryMissing), 4);
    world.finish();
}
