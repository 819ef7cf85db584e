//! Parking, taking and cancelling, one thing after the other.

use core::mem;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use abi::status::{STATUS_CANCELLED, STATUS_SUCCESS};

use super::client::{Client, Log, assert_violation};
use super::socket::{Socket, receive};
use crate::invariant::{IRP_OF_ANOTHER_OWNER, QUEUE_OF_ANOTHER_OWNER};
use crate::{CompletionBatch, Outcome};

#[test]
fn parked_requests_come_out_in_order_with_their_records() {
    let socket = Socket::new();
    let clients: Vec<Client> = (0..4).map(Client::new).collect();
    for (name, client) in clients.iter().enumerate() {
        Socket::receive(&socket, client, receive(name, 100 + name));
    }
    assert_eq!(socket.lock.lock().receives.len(), 4);
    let mut names = Vec::new();
    CompletionBatch::collect(&socket.lock, |state, batch| {
        while let Some((irp, record)) = state.receives.take_next() {
            assert_eq!(record, receive(record.name, 100 + record.name));
            names.push(record.name);
            batch.push(irp, Outcome::success(record.wanted));
        }
        assert!(state.receives.is_empty());
    });
    assert_eq!(names, [0, 1, 2, 3]);
    for (name, client) in clients.iter().enumerate() {
        assert_eq!(client.outcome(), (STATUS_SUCCESS, 100 + name));
    }
}

#[test]
fn an_irp_cancelled_before_parking_is_given_back() {
    let socket = Socket::new();
    let client = Client::new(0);
    let irp = client.enter();
    assert!(!client.cancel(), "there is no cancel routine yet");
    assert!(irp.is_cancelled());
    let back = socket.lock.lock().receives.park(&socket, irp, receive(0, 1)).unwrap_err();
    assert!(socket.lock.lock().receives.is_empty());
    assert!(!client.is_completed());
    back.complete(Outcome::CANCELLED);
    assert_eq!(client.outcome(), (STATUS_CANCELLED, 0));
}

#[test]
fn a_parked_irp_is_completed_inside_the_cancel_and_may_be_freed_at_once() {
    let alive = Arc::new(AtomicUsize::new(0));
    let socket = Socket::counted(&alive);
    let (first, second) = (Client::new(1), Client::new(2));
    Socket::receive(&socket, &first, receive(1, 10));
    Socket::receive(&socket, &second, receive(2, 10));
    assert!(first.cancel());
    assert_eq!(first.outcome(), (STATUS_CANCELLED, 0));
    drop(first);
    assert_eq!(socket.after_cancel.load(Ordering::SeqCst), 1);
    assert_eq!(socket.lock.lock().cancelled, [1]);
    assert!(socket.arrive(7));
    assert_eq!(second.outcome(), (STATUS_SUCCESS, 7));
    assert!(!second.cancel(), "a late cancel finds nothing to do");
    assert_eq!(second.seen().len(), 1);
    drop(socket);
    assert_eq!(alive.load(Ordering::SeqCst), 0, "no parked request has kept a reference");
}

#[test]
fn a_cancelled_partial_receive_reports_the_bytes_already_placed() {
    let socket = Socket::new();
    let client = Client::new(0);
    Socket::receive(&socket, &client, receive(0, 100));
    let placed = socket.lock.lock().receives.update_front(|record| {
        record.placed += 40;
        record.placed
    });
    assert_eq!(placed, Some(40));
    assert_eq!(socket.lock.lock().receives.front().map(|record| record.placed), Some(40));
    assert!(client.cancel());
    assert_eq!(client.outcome(), (STATUS_CANCELLED, 40));
}

#[test]
fn take_if_leaves_the_others_in_order() {
    let socket = Socket::new();
    let clients: Vec<Client> = (0..5).map(Client::new).collect();
    for (name, client) in clients.iter().enumerate() {
        Socket::receive(&socket, client, receive(name, 0));
    }
    let mut order = Vec::new();
    CompletionBatch::collect(&socket.lock, |state, batch| {
        for name in [2, 4, 0] {
            let (irp, record) = state.receives.take_if(|record| record.name == name).unwrap();
            assert_eq!(record.name, name);
            batch.push(irp, Outcome::success(0));
        }
        assert!(state.receives.take_if(|record| record.name == 2).is_none());
        while let Some((irp, record)) = state.receives.take_next() {
            order.push(record.name);
            batch.push(irp, Outcome::success(0));
        }
    });
    assert_eq!(order, [1, 3]);
}

#[test]
fn a_request_served_in_part_keeps_its_place() {
    let socket = Socket::new();
    let (first, second) = (Client::new(1), Client::new(2));
    Socket::receive(&socket, &first, receive(1, 10));
    Socket::receive(&socket, &second, receive(2, 10));
    assert!(Socket::arrive_in_part(&socket, 4));
    assert!(!first.is_completed());
    assert!(socket.arrive(6));
    assert_eq!(first.outcome(), (STATUS_SUCCESS, 10));
    assert!(socket.arrive(1));
    assert_eq!(second.outcome(), (STATUS_SUCCESS, 1));
}

#[test]
fn the_close_request_is_completed_after_everything_parked() {
    let alive = Arc::new(AtomicUsize::new(0));
    let log = Arc::<Log>::default();
    let socket = Socket::counted(&alive);
    let clients: Vec<Client> = (0..3).map(|name| Client::logging(name, &log)).collect();
    Socket::receive(&socket, &clients[0], receive(0, 1));
    Socket::receive(&socket, &clients[1], receive(1, 1));
    let irp = clients[2].enter();
    socket.lock.lock().accepts.park(&socket, irp, ()).unwrap();
    let close = Client::logging(9, &log);
    Socket::close(socket, &close);
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    assert_eq!(log.names(), [0, 1, 2, 9]);
    for client in &clients {
        assert_eq!(client.outcome(), (STATUS_CANCELLED, 0));
    }
    assert_eq!(close.outcome(), (STATUS_SUCCESS, 0));
}

#[test]
fn a_completion_routine_may_cancel_the_next_request_of_the_same_queue() {
    let socket = Socket::new();
    let second = Arc::new(Client::new(2));
    let to_cancel = Arc::clone(&second);
    let first = Client::with_routine(1, &Arc::default(), move || {
        assert!(to_cancel.cancel());
    });
    Socket::receive(&socket, &first, receive(1, 1));
    Socket::receive(&socket, &second, receive(2, 1));
    assert!(socket.arrive(1));
    assert_eq!(first.outcome(), (STATUS_SUCCESS, 1));
    assert_eq!(second.outcome(), (STATUS_CANCELLED, 0));
}

#[test]
fn parking_with_another_owner_is_caught() {
    let (socket, other) = (Socket::new(), Socket::new());
    let client = Client::new(0);
    let irp = client.enter();
    assert_violation(QUEUE_OF_ANOTHER_OWNER, || {
        let _ = socket.lock.lock().receives.park(&other, irp, receive(0, 0));
    });
    // Lost by the violation, so it cannot be freed.
    mem::forget(client);
}

#[test]
fn an_irp_has_one_owner() {
    let (socket, other) = (Socket::new(), Socket::new());
    let client = Client::new(0);
    let irp = client.enter().keep(&socket).keep(&socket);
    assert_violation(IRP_OF_ANOTHER_OWNER, || drop(irp.keep(&other)));
    mem::forget(client);
}

#[test]
fn a_request_keeps_its_owner_until_its_completion_routine_has_returned() {
    let alive = Arc::new(AtomicUsize::new(0));
    let in_routine = Arc::new(AtomicUsize::new(0));
    let socket = Socket::counted(&alive);
    let (seen, noted) = (Arc::clone(&alive), Arc::clone(&in_routine));
    let client = Client::with_routine(0, &Arc::default(), move || {
        noted.store(seen.load(Ordering::SeqCst), Ordering::SeqCst);
    });
    Socket::receive(&socket, &client, receive(0, 1));
    let (irp, _) = socket.lock.lock().receives.take_next().unwrap();
    drop(socket);
    assert_eq!(alive.load(Ordering::SeqCst), 1);
    irp.complete(Outcome::success(0));
    assert_eq!(in_routine.load(Ordering::SeqCst), 1);
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

#[test]
fn a_record_of_no_size_is_a_record() {
    let socket = Socket::new();
    let clients = vec![Client::new(0), Client::new(1)];
    for client in &clients {
        let irp = client.enter();
        socket.lock.lock().accepts.park(&socket, irp, ()).unwrap();
    }
    assert!(clients[0].cancel());
    CompletionBatch::collect(&socket.lock, |state, batch| {
        state.accepts.drain_into(batch, |()| Outcome::success(0x1000));
    });
    assert_eq!(clients[0].outcome(), (STATUS_CANCELLED, 0));
    assert_eq!(clients[1].outcome(), (STATUS_SUCCESS, 0x1000));
}
