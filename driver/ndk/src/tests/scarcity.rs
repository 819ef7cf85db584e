//! No memory: each allocation fails once, and nothing is left behind.

use std::sync::Arc;

use abi::NTSTATUS;
use abi::status::STATUS_INSUFFICIENT_RESOURCES;

use super::harness::*;
use crate::{Access, Endpoint, FastRegion, Listener, Mapping, Memory, SharedEndpoint, Window};

/// Calls `make` with 0, 1, 2… allocations that succeed, until none has failed. `make` returns what it made, if it did.
fn with_each_allocation_failing<T>(world: &World, mut make: impl FnMut(&World) -> Result<T, NTSTATUS>) {
    let before = left();
    for successes in 0..200 {
        let failing = ksim::pool::fail_after(successes);
        let made = make(world);
        let failed = failing.has_failed();
        drop(failing);
        match made {
            Ok(made) => {
                drop(made);
                if !failed {
                    assert!(successes > 0, "it allocates something");
                    assert_eq!(left(), before, "left behind after success");
                    return;
                }
            }
            Err(status) => {
                assert!(failed, "{status:#x} although memory is there");
                assert_eq!(status, STATUS_INSUFFICIENT_RESOURCES);
            }
        }
        assert_eq!(left(), before, "left behind after {successes} allocations");
    }
    panic!("it never succeeds");
}

#[test]
fn registering_memory() {
    in_each_mode(|world| {
        with_each_allocation_failing(world, |world| {
            Memory::register(world.adapter(), 10_000, Access::RemoteWrite)
        });
    });
}

#[test]
fn building_an_endpoint() {
    in_each_mode(|world| {
        // The first endpoint makes the completion queue, which stays.
        Pair::new(world).finish();
        with_each_allocation_failing(world, |world| {
            let memories = heapless::Vec::new();
            let witness = ksim_ok(Witness::new);
            let poster = Endpoint::active(world.adapter(), witness.clone(), DEPTHS, memories)?;
            // Ending it needs no memory.
            poster.close(false);
            witness.ended();
            Ok(())
        });
    });
}

/// Runs `make` with memory, whatever the test is doing.
fn ksim_ok<T>(make: impl FnOnce() -> T) -> T {
    let _memory = ksim::pool::fail_after(u64::MAX);
    make()
}

#[test]
fn making_the_first_completion_queue() {
    for mode in MODES {
        for successes in 0..100 {
            let world = World::new(mode);
            let witness: kernel::pool::Shared<Arc<Witness>> = Witness::new();
            let failing = ksim::pool::fail_after(successes);
            let made = Endpoint::active(world.adapter(), witness.clone(), DEPTHS, heapless::Vec::new());
            let failed = failing.has_failed();
            drop(failing);
            let succeeded = made.is_ok();
            if let Ok(poster) = made {
                poster.close(false);
                witness.ended();
            }
            drop(witness);
            world.finish();
            if succeeded && !failed {
                break;
            }
            assert!(successes < 99);
        }
    }
}

#[test]
fn listening() {
    in_each_mode(|world| {
        with_each_allocation_failing(world, |world| {
            let door = ksim_ok(Door::new);
            Listener::listen(world.adapter(), loopback(0), door)
        });
    });
}

#[test]
fn sharing_an_address() {
    in_each_mode(|world| {
        with_each_allocation_failing(world, |world| SharedEndpoint::create(world.adapter(), loopback(0)));
    });
}

#[test]
fn regions_and_windows() {
    in_each_mode(|world| {
        with_each_allocation_failing(world, |world| FastRegion::create(world.adapter(), 8));
        with_each_allocation_failing(world, |world| Window::create(world.adapter()));
    });
}

#[test]
fn mapping_pages() {
    in_each_mode(|world| {
        let region = kernel::region::Region::try_new(TAG, 5000).unwrap();
        with_each_allocation_failing(world, |world| {
            let (tell, told) = std::sync::mpsc::channel();
            let mdl = core::ptr::NonNull::new(region.mdl()).unwrap();
            // SAFETY: non-paged pool that outlives the mapping.
            unsafe { Mapping::build(world.adapter(), mdl, 5000, move |built| tell.send(built).unwrap()) };
            told.recv().unwrap()
        });
    });
}

/// An adapter that cannot be adopted is closed again, and its close needs no memory.
#[test]
fn adopting_an_adapter() {
    for mode in MODES {
        let world = World::unopened(mode);
        with_each_allocation_failing(&world, |world| {
            let adapter = world.adopt()?;
            assert!(adapter.close(LONG));
            Ok(())
        });
        world.finish();
    }
}
