//! Every allocation fails once: each call then fails whole, and works when tried again.

use core::net::SocketAddr;

use abi::NTSTATUS;
use abi::ndk::*;
use abi::status::*;

use super::harness::*;
use super::pair::*;
use super::registration::*;
use super::srq::{TestSrq, create_qp};
use crate::{AnswerMode, Config, SoftNdk};

/// Calls `attempt` with one allocation more each time until none fails, and returns how often one did.
///
/// A failure must be `STATUS_INSUFFICIENT_RESOURCES` and leave nothing behind.
fn retry<T>(mut attempt: impl FnMut() -> Result<T, NTSTATUS>) -> (T, u64) {
    for successes in 0..1000 {
        ksim::quiesce();
        let before = outstanding();
        let failing = ksim::pool::fail_after(successes);
        let result = attempt();
        let failed = failing.has_failed();
        drop(failing);
        match result {
            Ok(value) => {
                assert!(!failed, "an allocation failed and nobody noticed");
                return (value, successes);
            }
            Err(status) => {
                assert!(failed, "status {status:#x} without a failed allocation");
                assert_eq!(status, STATUS_INSUFFICIENT_RESOURCES);
                ksim::quiesce();
                assert_eq!(outstanding(), before, "after {successes} allocations");
            }
        }
    }
    panic!("it never succeeds");
}

fn done(status: NTSTATUS) -> Result<(), NTSTATUS> {
    if status == STATUS_SUCCESS { Ok(()) } else { Err(status) }
}

/// A request that waits for the other side, or the failure it ended with.
fn pending(begun: Result<Pending, NTSTATUS>) -> Result<Pending, NTSTATUS> {
    ksim::quiesce();
    match begun {
        // A failure that was known at once, told by a callback.
        Ok(pending) if pending.is_done() => Err(pending.wait()),
        other => other,
    }
}

fn a_failed_allocation_fails_the_call_and_nothing_else() {
    for answers in [AnswerMode::Inline, AnswerMode::Early, AnswerMode::Later] {
        everything(answers);
    }
}

fn everything(answers: AnswerMode) {
    let alone = boot();
    // A notifier once made is kept, so the first queue is made while nothing fails.
    let (soft, failures) = retry(|| SoftNdk::start(Config { answers, ..Config::default() }));
    assert!(failures > 4);
    let (adapter, failures) = retry(|| soft.open_adapter(VERSION));
    assert!(failures > 2);
    let world = World::over(soft, adapter, alone);
    let spare = TestCq::new(&world, 1);
    spare.close();

    let (pd, _) = retry(|| create(|cc, context, out| ndk!(adapter, NdkCreatePd, cc, context, out)));
    let (cq, _) = retry(|| TestCq::try_new(&world, 4));
    let (listener, _) = retry(|| TestListener::try_new(&world));
    let at = Address::new("127.0.0.1:5555".parse().unwrap());
    let (endpoint, _) = retry(|| {
        create(|cc, context, out| {
            ndk!(adapter, NdkCreateSharedEndpoint, at.as_ptr(), at.length, cc, context, out)
        })
    });
    close(endpoint, close_slot!(endpoint, NdkCloseSharedEndpoint));
    let to: SocketAddr = "127.0.0.1:5556".parse().unwrap();
    retry(|| done(listener.listen(to)));
    retry(|| done(request(|rc, context| ndk!(cq.cq, NdkResizeCq, 64, rc, context))));
    cq.close();

    let memory = Memory::new(5000);
    let (lam, _) = retry(|| TestLam::build(adapter, memory.mdl(), 5000));
    lam.release();
    let make_mr =
        |fast: u8| retry(|| create(|cc, context, out| ndk!(pd, NdkCreateMr, fast, cc, context, out))).0;
    let (plain, fast) = (TestMr { mr: make_mr(0) }, TestMr { mr: make_mr(1) });
    retry(|| done(plain.register(&memory, NDK_MR_FLAG::empty())));
    retry(|| done(plain.deregister()));
    retry(|| done(plain.register(&memory, NDK_MR_FLAG::ALLOW_LOCAL_WRITE)));
    retry(|| done(request(|rc, context| ndk!(fast.mr, NdkInitializeFastRegisterMr, 8, 1, rc, context))));
    fast.close();
    let (window, _) = retry(|| create::<NDK_MW>(|cc, context, out| ndk!(pd, NdkCreateMw, cc, context, out)));
    let (srq, failures) = retry(|| TestSrq::try_new(pd, 4, 1, 2));
    assert!(failures > 4);
    retry(|| done(srq.modify(8, 1)));
    let cqs = [TestCq::new(&world, 9), TestCq::new(&world, 9)];
    retry(|| done(ndk!(cqs[0].cq, NdkControlCqInterruptModeration, 10, 4)));
    let (sharing, failures) = retry(|| create_qp(pd, srq.srq, &cqs[0], &cqs[1]));
    assert!(failures > 4);
    close(sharing, close_slot!(sharing, NdkCloseQp));
    cqs.into_iter().for_each(TestCq::close);
    srq.close();

    let mut ends = [(), ()].map(|()| {
        let mut cqs = Some((TestCq::new(&world, 9), TestCq::new(&world, 9)));
        retry(|| {
            let (receives, initiators) = cqs.take().unwrap();
            End::try_over(pd, receives, initiators, Sizes::default()).map_err(
                |(status, receives, initiators)| {
                    cqs = Some((receives, initiators));
                    status
                },
            )
        })
        .0
    });
    let [active, passive] = &mut ends;
    let (connector, _) =
        retry(|| create(|cc, context, out| ndk!(adapter, NdkCreateConnector, cc, context, out)));
    let from: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let (connect, failures) = retry(|| pending(active.begin_connect(connector, from, to, &[])));
    assert!(failures > 5);
    let requested = listener.take_request();
    let (accept, _) = retry(|| pending(passive.begin_accept(requested, &[])));
    assert_eq!(connect.wait(), STATUS_SUCCESS);
    retry(|| done(active.complete_connect()));
    assert_eq!(accept.wait(), STATUS_SUCCESS);
    retry(|| done(passive.bind(window, &plain, &memory)));
    assert_eq!(passive.initiators.one().Status, STATUS_SUCCESS);
    let (disconnect, _) = retry(|| pending(active.begin_disconnect()));

    // The data path and every close work without a single allocation.
    let failing = ksim::pool::fail_after(0);
    assert_eq!(passive.receive(1, &[]), STATUS_SUCCESS);
    passive.flush();
    assert_eq!(disconnect.wait(), STATUS_CONNECTION_ABORTED);
    assert_eq!(passive.receives.one().Status, STATUS_CANCELLED);
    for end in ends {
        end.close();
    }
    listener.close();
    close(window, close_slot!(window, NdkCloseMw));
    plain.close();
    close(pd, close_slot!(pd, NdkClosePd));
    assert!(!failing.has_failed(), "something was allocated");
    drop(failing);
    drop(memory);
    world.finish();
}

fn tables_can_be_full() {
    let world = World::new(Config { regions_max: 1, mappings_max: 1, ..Config::default() });
    let pd = world.pd();
    let make = || create(|cc, context, out| ndk!(pd, NdkCreateMr, 0, cc, context, out));
    let first = make().unwrap();
    assert_eq!(make().err(), Some(STATUS_INSUFFICIENT_RESOURCES));
    close(first, close_slot!(first, NdkCloseMr));
    let second: *mut NDK_MR = make().unwrap();
    close(second, close_slot!(second, NdkCloseMr));
    let memory = Memory::new(10);
    let lam = TestLam::build(world.adapter, memory.mdl(), 10).unwrap();
    let full = TestLam::build(world.adapter, memory.mdl(), 10);
    assert_eq!(full.err(), Some(STATUS_INSUFFICIENT_RESOURCES));
    lam.release();
    TestLam::build(world.adapter, memory.mdl(), 10).unwrap().release();
    close(pd, close_slot!(pd, NdkClosePd));
    world.finish();
}

fn a_configuration_that_cannot_be_is_refused() {
    let _alone = boot();
    for config in [
        Config { regions_max: crate::REGIONS_MAX + 1, ..Config::default() },
        Config { mappings_max: crate::MAPPINGS_MAX + 1, ..Config::default() },
        Config { ephemeral_ports: (5, 4), ..Config::default() },
        Config { ephemeral_ports: (0, 4), ..Config::default() },
    ] {
        assert_eq!(SoftNdk::start(config).err(), Some(STATUS_INVALID_PARAMETER));
    }
    assert_nothing_left();
}

over_both_fabrics!(
    a_failed_allocation_fails_the_call_and_nothing_else,
    tables_can_be_full,
    a_configuration_that_cannot_be_is_refused,
);
