//! Every order of the steps of protocol B: a request that the hardware has against its cancellation.

use core::mem;
use core::sync::atomic::{AtomicBool, Ordering};
use std::boxed::Box;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::vec;
use std::vec::Vec;

use abi::NTSTATUS;
use abi::status::{STATUS_CANCELLED, STATUS_SUCCESS};
use kernel::pool::{PoolTag, Shared};

use super::client::{Client, assert_violation};
use super::explore::{self, Party, every_order};
use crate::invariant::HARDWARE_SIDE_DROPPED;
use crate::{Armed, HardwareSide, Outcome, Posted, PostedRequest};

/// A simulated adapter's view of one request: what it holds, and whether it may still use the client's memory.
#[derive(Default)]
struct Adapter {
    posted: Mutex<Option<HardwareSide<Work>>>,
    uses_memory: AtomicBool,
    aborted: AtomicBool,
    answers_abort_inline: bool,
}

#[derive(Clone)]
struct Work(Arc<Adapter>);

impl PostedRequest for Work {
    fn abort(&self) {
        self.0.aborted.store(true, Ordering::SeqCst);
        if self.0.answers_abort_inline {
            self.0.finish(Outcome::failure(STATUS_CANCELLED));
        }
    }
}

impl Adapter {
    fn take(&self) -> Option<HardwareSide<Work>> {
        self.posted.lock().unwrap().take()
    }

    /// The adapter gives the request back, if it has it.
    fn finish(&self, outcome: Outcome) {
        explore::step();
        let Some(side) = self.take() else { return };
        self.uses_memory.store(false, Ordering::SeqCst);
        if let Some((irp, outcome)) = side.done(outcome) {
            irp.complete(outcome);
        }
    }

    /// What a send does: arms, posts if it may. Returns whether the object was busy.
    fn post(&self, request: &Shared<Posted<Work>>, client: &Client) -> bool {
        match Posted::arm(request, client.enter()) {
            Armed::Post(side) => {
                self.uses_memory.store(true, Ordering::SeqCst);
                *self.posted.lock().unwrap() = Some(side);
                false
            }
            Armed::Cancelled(irp) => {
                irp.complete(Outcome::CANCELLED);
                false
            }
            Armed::LeftToCancel => false,
            Armed::Busy(irp) => {
                irp.complete(Outcome::failure(BUSY));
                true
            }
        }
    }
}

/// Any status nobody else uses.
const BUSY: NTSTATUS = abi::status::STATUS_INSUFFICIENT_RESOURCES;

fn request(answers_abort_inline: bool) -> (Arc<Adapter>, Shared<Posted<Work>>) {
    let adapter = Arc::new(Adapter { answers_abort_inline, ..Adapter::default() });
    let request = Shared::try_new(PoolTag::new(b"WrTs"), Posted::new(Work(Arc::clone(&adapter)))).unwrap();
    (adapter, request)
}

/// A client that looks, in its completion routine, whether the adapter still uses its memory.
fn watching(adapter: &Arc<Adapter>, broken: &Arc<AtomicBool>) -> Client {
    let (adapter, broken) = (Arc::clone(adapter), Arc::clone(broken));
    Client::with_routine(0, &Arc::default(), move || {
        if adapter.uses_memory.load(Ordering::SeqCst) {
            broken.store(true, Ordering::SeqCst);
        }
    })
}

/// The request object serves another request.
fn assert_free(adapter: &Arc<Adapter>, request: &Shared<Posted<Work>>) {
    let client = Client::new(99);
    assert!(!adapter.post(request, &client), "the object is busy");
    adapter.finish(Outcome::success(99));
    assert_eq!(client.outcome(), (STATUS_SUCCESS, 99));
}

type Outcomes = Arc<Mutex<BTreeSet<(NTSTATUS, usize)>>>;

fn seen(outcomes: &Outcomes) -> Vec<(NTSTATUS, usize)> {
    outcomes.lock().unwrap().iter().copied().collect()
}

fn cancel_party(client: &Arc<Client>) -> Party {
    let client = Arc::clone(client);
    Box::new(move || {
        client.cancel();
    })
}

#[test]
fn cancel_against_hardware_completion() {
    let outcomes = Outcomes::default();
    let results = Arc::clone(&outcomes);
    every_order(usize::MAX, move || {
        let (adapter, request) = request(false);
        let broken = Arc::new(AtomicBool::new(false));
        let client = Arc::new(watching(&adapter, &broken));
        assert!(!adapter.post(&request, &client));
        let hardware = Arc::clone(&adapter);
        let finish: Party = Box::new(move || hardware.finish(Outcome::success(512)));
        let parties = vec![finish, cancel_party(&client)];
        let results = Arc::clone(&results);
        let check = Box::new(move || {
            assert_eq!(client.outcome(), (STATUS_SUCCESS, 512), "the hardware's report stands");
            assert!(!broken.load(Ordering::SeqCst), "completed while the adapter used the memory");
            assert_free(&adapter, &request);
            results.lock().unwrap().insert((0, usize::from(adapter.aborted.load(Ordering::SeqCst))));
        });
        (parties, check)
    });
    assert_eq!(seen(&outcomes), [(0, 0), (0, 1)], "with and without the cancel routine");
}

#[test]
fn cancel_before_during_and_after_arming() {
    let outcomes = Outcomes::default();
    let results = Arc::clone(&outcomes);
    every_order(usize::MAX, move || {
        let (adapter, request) = request(false);
        let broken = Arc::new(AtomicBool::new(false));
        let client = Arc::new(watching(&adapter, &broken));
        let (hardware, object, sender) = (Arc::clone(&adapter), request.clone(), Arc::clone(&client));
        let send: Party = Box::new(move || {
            assert!(!hardware.post(&object, &sender));
            hardware.finish(Outcome::success(512));
        });
        let parties = vec![send, cancel_party(&client)];
        let results = Arc::clone(&results);
        let check = Box::new(move || {
            results.lock().unwrap().insert(client.outcome());
            assert!(!broken.load(Ordering::SeqCst), "completed while the adapter used the memory");
            assert_free(&adapter, &request);
        });
        (parties, check)
    });
    assert_eq!(seen(&outcomes), [(STATUS_CANCELLED, 0), (STATUS_SUCCESS, 512)]);
}

#[test]
fn an_adapter_that_answers_the_abort_inline() {
    let outcomes = Outcomes::default();
    let results = Arc::clone(&outcomes);
    every_order(usize::MAX, move || {
        let (adapter, request) = request(true);
        let broken = Arc::new(AtomicBool::new(false));
        let client = Arc::new(watching(&adapter, &broken));
        assert!(!adapter.post(&request, &client));
        let hardware = Arc::clone(&adapter);
        let finish: Party = Box::new(move || hardware.finish(Outcome::success(512)));
        let parties = vec![finish, cancel_party(&client)];
        let results = Arc::clone(&results);
        let check = Box::new(move || {
            results.lock().unwrap().insert(client.outcome());
            assert!(!broken.load(Ordering::SeqCst), "completed while the adapter used the memory");
            drop(request);
        });
        (parties, check)
    });
    assert_eq!(seen(&outcomes), [(STATUS_CANCELLED, 0), (STATUS_SUCCESS, 512)]);
}

#[test]
fn the_object_is_used_again_at_once_or_reports_busy() {
    let outcomes = Outcomes::default();
    let results = Arc::clone(&outcomes);
    every_order(usize::MAX, move || {
        let (adapter, request) = request(false);
        let first = Arc::new(Client::new(1));
        let second = Arc::new(Client::new(2));
        assert!(!adapter.post(&request, &first));
        let (hardware, object, sender) = (Arc::clone(&adapter), request.clone(), Arc::clone(&second));
        let reuse: Party = Box::new(move || {
            hardware.finish(Outcome::success(1));
            hardware.post(&object, &sender);
            hardware.finish(Outcome::success(2));
        });
        let parties = vec![reuse, cancel_party(&first)];
        let results = Arc::clone(&results);
        let check = Box::new(move || {
            assert_eq!(first.outcome(), (STATUS_SUCCESS, 1));
            results.lock().unwrap().insert(second.outcome());
            assert_free(&adapter, &request);
        });
        (parties, check)
    });
    assert_eq!(seen(&outcomes), [(BUSY, 0), (STATUS_SUCCESS, 2)]);
}

/// Counts the completions that had happened when it was dropped.
struct Owner {
    client: Arc<Client>,
    completions_at_drop: Arc<Mutex<Option<usize>>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        *self.completions_at_drop.lock().unwrap() = Some(self.client.seen().len());
    }
}

#[test]
fn the_owner_is_kept_until_the_posted_irp_is_completed() {
    every_order(usize::MAX, || {
        let (adapter, request) = request(false);
        let client = Arc::new(Client::new(0));
        let dropped = Arc::new(Mutex::new(None));
        let owner = Owner { client: Arc::clone(&client), completions_at_drop: Arc::clone(&dropped) };
        let owner = Shared::try_new(PoolTag::new(b"WrTs"), owner).unwrap();
        let irp = client.enter().keep(&owner);
        drop(owner);
        let (hardware, object) = (Arc::clone(&adapter), request.clone());
        let send: Party = Box::new(move || {
            match Posted::arm(&object, irp) {
                Armed::Post(side) => *hardware.posted.lock().unwrap() = Some(side),
                Armed::Cancelled(irp) => irp.complete(Outcome::CANCELLED),
                Armed::LeftToCancel => {}
                Armed::Busy(_) => panic!("nobody else uses it"),
            }
            hardware.finish(Outcome::success(1));
        });
        let parties = vec![send, cancel_party(&client)];
        let check = Box::new(move || {
            client.outcome();
            assert_eq!(*dropped.lock().unwrap(), Some(1), "dropped right after the completion");
            drop(adapter);
        });
        (parties, check)
    });
}

#[test]
fn an_irp_cancelled_before_arming_is_not_posted() {
    let (adapter, request) = request(false);
    let client = Client::new(0);
    let irp = client.enter();
    client.cancel();
    let Armed::Cancelled(irp) = Posted::arm(&request, irp) else { panic!("armed a cancelled IRP") };
    irp.complete(Outcome::CANCELLED);
    assert_eq!(client.outcome(), (STATUS_CANCELLED, 0));
    assert_free(&adapter, &request);
}

#[test]
fn the_claim_survives_the_way_through_a_context_word() {
    let (adapter, request) = request(false);
    let client = Client::new(0);
    assert!(!adapter.post(&request, &client));
    let context = adapter.take().unwrap().into_context();
    // SAFETY: from `into_context` just now.
    let side = unsafe { HardwareSide::<Work>::from_context(context) };
    assert!(Shared::ptr_eq(side.posted(), &request));
    let (irp, outcome) = side.done(Outcome::success(3)).unwrap();
    irp.complete(outcome);
    assert_eq!(client.outcome(), (STATUS_SUCCESS, 3));
    assert!(!request.request().0.aborted.load(Ordering::SeqCst));
}

#[test]
fn a_forgotten_claim_is_caught() {
    let (adapter, request) = request(false);
    let client = Client::new(0);
    assert!(!adapter.post(&request, &client));
    let side = adapter.take().unwrap();
    assert_violation(HARDWARE_SIDE_DROPPED, || drop(side));
    // Lost by the violation, so it cannot be freed.
    mem::forget(client);
}
