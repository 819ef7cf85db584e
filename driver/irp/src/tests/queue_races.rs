//! Every order of the steps of protocol A: a parked request against its cancellation, the arrival of data, and close.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::boxed::Box;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::vec;
use std::vec::Vec;

use abi::NTSTATUS;
use abi::status::{STATUS_CANCELLED, STATUS_SUCCESS};
use kernel::pool::Shared;

use super::client::{Client, Log};
use super::explore::{Party, every_order};
use super::socket::{Socket, receive};

/// No bound on preemptions: two parties have few enough orders.
const ALL: usize = usize::MAX;
/// With three parties: every order with at most this many preemptions.
const THREE_PARTIES: usize = 3;

/// The outcomes seen over all orders, to prove that the exploration reached each side of the race.
type Outcomes = Arc<Mutex<BTreeSet<(NTSTATUS, usize)>>>;

fn seen(outcomes: &Outcomes) -> Vec<(NTSTATUS, usize)> {
    outcomes.lock().unwrap().iter().copied().collect()
}

/// A parked request's client in `IoCancelIrp`. If a cancel routine was called, the completion must have happened inside,
/// because the client may free the IRP right after the call.
fn cancel_party(client: &Arc<Client>) -> Party {
    let client = Arc::clone(client);
    Box::new(move || {
        if client.cancel() {
            assert_eq!(client.outcome().0, STATUS_CANCELLED, "completed before IoCancelIrp returned");
        }
    })
}

fn socket_party(socket: &Shared<Socket>, work: impl FnOnce(&Shared<Socket>) + Send + 'static) -> Party {
    let socket = socket.clone();
    Box::new(move || work(&socket))
}

fn close_party(socket: Shared<Socket>, close: &Arc<Client>) -> Party {
    let close = Arc::clone(close);
    Box::new(move || Socket::close(socket, &close))
}

#[test]
fn cancel_before_during_and_after_parking() {
    let called = Arc::new(Mutex::new(BTreeSet::new()));
    let results = Arc::clone(&called);
    every_order(ALL, move || {
        let alive = Arc::new(AtomicUsize::new(0));
        let socket = Socket::counted(&alive);
        let client = Arc::new(Client::new(0));
        let receiver = Arc::clone(&client);
        let park = socket_party(&socket, move |socket| Socket::receive(socket, &receiver, receive(0, 1)));
        let routine_called = Arc::new(AtomicBool::new(false));
        let (canceller, noted) = (Arc::clone(&client), Arc::clone(&routine_called));
        let cancel: Party = Box::new(move || noted.store(canceller.cancel(), Ordering::SeqCst));
        let results = Arc::clone(&results);
        let check = Box::new(move || {
            assert_eq!(client.outcome(), (STATUS_CANCELLED, 0), "a cancel is never lost");
            assert!(socket.lock.lock().receives.is_empty());
            drop(socket);
            assert_eq!(alive.load(Ordering::SeqCst), 0);
            results.lock().unwrap().insert(routine_called.load(Ordering::SeqCst));
        });
        (vec![park, cancel], check)
    });
    assert_eq!(called.lock().unwrap().len(), 2, "completed by the routine in some orders, by park in others");
}

#[test]
fn cancel_against_arrival() {
    let outcomes = Outcomes::default();
    let results = Arc::clone(&outcomes);
    every_order(ALL, move || {
        let alive = Arc::new(AtomicUsize::new(0));
        let socket = Socket::counted(&alive);
        let (first, second) = (Arc::new(Client::new(1)), Client::new(2));
        Socket::receive(&socket, &first, receive(1, 10));
        Socket::receive(&socket, &second, receive(2, 10));
        let arrive = socket_party(&socket, |socket| assert!(socket.arrive(10)));
        let parties = vec![arrive, cancel_party(&first)];
        let results = Arc::clone(&results);
        let check = Box::new(move || {
            let outcome = first.outcome();
            if outcome.0 == STATUS_CANCELLED {
                assert_eq!(second.outcome(), (STATUS_SUCCESS, 10), "the data went to the next one");
            } else {
                assert!(!second.is_completed());
                assert!(socket.arrive(1));
            }
            drop(socket);
            assert_eq!(alive.load(Ordering::SeqCst), 0);
            results.lock().unwrap().insert(outcome);
        });
        (parties, check)
    });
    assert_eq!(seen(&outcomes), [(STATUS_CANCELLED, 0), (STATUS_SUCCESS, 10)]);
}

#[test]
fn cancel_against_progress_noted_in_place() {
    let outcomes = Outcomes::default();
    let results = Arc::clone(&outcomes);
    every_order(ALL, move || {
        let socket = Socket::new();
        let client = Arc::new(Client::new(0));
        Socket::receive(&socket, &client, receive(0, 100));
        let placed = Arc::new(AtomicUsize::new(0));
        let noted = Arc::clone(&placed);
        let progress = socket_party(&socket, move |socket| {
            for _ in 0..2 {
                if socket.lock.lock().receives.update_front(|record| record.placed += 20).is_some() {
                    noted.fetch_add(20, Ordering::SeqCst);
                }
            }
        });
        let parties = vec![progress, cancel_party(&client)];
        let results = Arc::clone(&results);
        let check = Box::new(move || {
            let outcome = client.outcome();
            assert_eq!(outcome, (STATUS_CANCELLED, placed.load(Ordering::SeqCst)), "no byte is lost");
            results.lock().unwrap().insert(outcome);
        });
        (parties, check)
    });
    assert_eq!(seen(&outcomes), [(STATUS_CANCELLED, 0), (STATUS_CANCELLED, 20), (STATUS_CANCELLED, 40)]);
}

#[test]
fn cancel_against_parking_again_in_front() {
    let outcomes = Outcomes::default();
    let results = Arc::clone(&outcomes);
    every_order(ALL, move || {
        let alive = Arc::new(AtomicUsize::new(0));
        let socket = Socket::counted(&alive);
        let client = Arc::new(Client::new(0));
        Socket::receive(&socket, &client, receive(0, 100));
        let placed = Arc::new(AtomicUsize::new(0));
        let noted = Arc::clone(&placed);
        let progress = socket_party(&socket, move |socket| {
            if Socket::arrive_in_part(socket, 20) {
                noted.fetch_add(20, Ordering::SeqCst);
            }
        });
        let parties = vec![progress, cancel_party(&client)];
        let results = Arc::clone(&results);
        let check = Box::new(move || {
            let outcome = client.outcome();
            assert_eq!(outcome, (STATUS_CANCELLED, placed.load(Ordering::SeqCst)), "no byte is lost");
            drop(socket);
            assert_eq!(alive.load(Ordering::SeqCst), 0);
            results.lock().unwrap().insert(outcome);
        });
        (parties, check)
    });
    assert_eq!(seen(&outcomes), [(STATUS_CANCELLED, 0), (STATUS_CANCELLED, 20)]);
}

#[test]
fn close_against_cancel() {
    let orders = Arc::new(Mutex::new(BTreeSet::new()));
    let results = Arc::clone(&orders);
    every_order(ALL, move || {
        let alive = Arc::new(AtomicUsize::new(0));
        let log = Arc::<Log>::default();
        let socket = Socket::counted(&alive);
        let clients = [1, 2].map(|name| Arc::new(Client::logging(name, &log)));
        for (name, client) in clients.iter().enumerate() {
            Socket::receive(&socket, client, receive(name, 1));
        }
        let close = Arc::new(Client::logging(9, &log));
        let parties = vec![close_party(socket, &close), cancel_party(&clients[0])];
        let results = Arc::clone(&results);
        let check = Box::new(move || {
            for client in &clients {
                assert_eq!(client.outcome(), (STATUS_CANCELLED, 0));
            }
            assert_eq!(close.outcome(), (STATUS_SUCCESS, 0));
            assert_eq!(log.names().last(), Some(&9), "the close request comes last");
            assert_eq!(alive.load(Ordering::SeqCst), 0);
            results.lock().unwrap().insert(log.names());
        });
        (parties, check)
    });
    let orders = orders.lock().unwrap();
    assert!(orders.contains(&vec![1, 2, 9]));
    assert!(
        orders.contains(&vec![2, 1, 9]),
        "the cancel routine finished after the close had emptied the queue"
    );
}

#[test]
fn close_against_arrival_against_cancel() {
    let outcomes = Outcomes::default();
    let results = Arc::clone(&outcomes);
    every_order(THREE_PARTIES, move || {
        let alive = Arc::new(AtomicUsize::new(0));
        let log = Arc::<Log>::default();
        let socket = Socket::counted(&alive);
        let client = Arc::new(Client::logging(1, &log));
        Socket::receive(&socket, &client, receive(1, 5));
        let arrive = socket_party(&socket, |socket| {
            socket.arrive(5);
        });
        let close = Arc::new(Client::logging(9, &log));
        let parties = vec![arrive, cancel_party(&client), close_party(socket, &close)];
        let results = Arc::clone(&results);
        let check = Box::new(move || {
            results.lock().unwrap().insert(client.outcome());
            assert_eq!(close.outcome(), (STATUS_SUCCESS, 0));
            assert_eq!(log.names(), [1, 9], "the close request comes last");
            assert_eq!(alive.load(Ordering::SeqCst), 0);
        });
        (parties, check)
    });
    assert_eq!(seen(&outcomes), [(STATUS_CANCELLED, 0), (STATUS_SUCCESS, 5)]);
}

#[test]
fn parking_against_cancel_against_arrival() {
    let outcomes = Outcomes::default();
    let results = Arc::clone(&outcomes);
    every_order(THREE_PARTIES, move || {
        let alive = Arc::new(AtomicUsize::new(0));
        let socket = Socket::counted(&alive);
        let client = Arc::new(Client::new(0));
        let receiver = Arc::clone(&client);
        let park = socket_party(&socket, move |socket| Socket::receive(socket, &receiver, receive(0, 1)));
        let arrive = socket_party(&socket, |socket| {
            socket.arrive(1);
        });
        let parties = vec![park, cancel_party(&client), arrive];
        let results = Arc::clone(&results);
        let check = Box::new(move || {
            results.lock().unwrap().insert(client.outcome());
            assert!(socket.lock.lock().receives.is_empty());
            drop(socket);
            assert_eq!(alive.load(Ordering::SeqCst), 0);
        });
        (parties, check)
    });
    assert_eq!(seen(&outcomes), [(STATUS_CANCELLED, 0), (STATUS_SUCCESS, 1)]);
}

#[test]
fn two_cancels_against_arrival() {
    let outcomes = Arc::new(Mutex::new(BTreeSet::new()));
    let results = Arc::clone(&outcomes);
    every_order(THREE_PARTIES, move || {
        let alive = Arc::new(AtomicUsize::new(0));
        let socket = Socket::counted(&alive);
        let clients = [1, 2].map(|name| Arc::new(Client::new(name)));
        for (name, client) in clients.iter().enumerate() {
            Socket::receive(&socket, client, receive(name, 1));
        }
        let arrive = socket_party(&socket, |socket| {
            socket.arrive(1);
        });
        let parties = vec![arrive, cancel_party(&clients[0]), cancel_party(&clients[1])];
        let results = Arc::clone(&results);
        let check = Box::new(move || {
            results.lock().unwrap().insert(clients.each_ref().map(|client| client.outcome().0));
            assert!(socket.lock.lock().receives.is_empty());
            drop(socket);
            assert_eq!(alive.load(Ordering::SeqCst), 0);
        });
        (parties, check)
    });
    let outcomes = outcomes.lock().unwrap();
    let expected = [
        [STATUS_CANCELLED, STATUS_CANCELLED],
        [STATUS_CANCELLED, STATUS_SUCCESS],
        [STATUS_SUCCESS, STATUS_CANCELLED],
    ];
    assert_eq!(*outcomes, BTreeSet::from(expected));
}

#[test]
fn the_client_may_free_the_irp_as_soon_as_a_cancel_routine_was_called() {
    every_order(ALL, move || {
        let socket = Socket::new();
        let client = Client::new(0);
        Socket::receive(&socket, &client, receive(0, 1));
        let arrive = socket_party(&socket, |socket| {
            socket.arrive(1);
        });
        let left = Arc::new(Mutex::new(None));
        let keep = Arc::clone(&left);
        let cancel: Party = Box::new(move || {
            if client.cancel() {
                assert_eq!(client.outcome(), (STATUS_CANCELLED, 0));
                drop(client);
            } else {
                *keep.lock().unwrap() = Some(client);
            }
        });
        let check = Box::new(move || {
            if let Some(client) = left.lock().unwrap().take() {
                assert_eq!(client.outcome(), (STATUS_SUCCESS, 1));
            }
            assert!(socket.lock.lock().receives.is_empty());
        });
        (vec![arrive, cancel], check)
    });
}
