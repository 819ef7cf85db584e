//! Completions collected under a lock.

use std::sync::Arc;
use std::vec::Vec;

use abi::status::{STATUS_CANCELLED, STATUS_SUCCESS};

use super::client::{Client, Log};
use crate::sync::SpinLock;
use crate::{CompletionBatch, Outcome};

#[test]
fn a_batch_completes_in_order_and_not_before_its_flush() {
    let log = Arc::<Log>::default();
    let clients: Vec<Client> = (0..5).map(|name| Client::logging(name, &log)).collect();
    let mut batch = CompletionBatch::new();
    for (name, client) in clients.iter().enumerate() {
        batch.push(client.enter(), Outcome::success(name));
    }
    assert_eq!(batch.len(), 5);
    assert!(log.names().is_empty());
    batch.flush();
    assert!(batch.is_empty());
    assert_eq!(log.names(), [0, 1, 2, 3, 4]);
    for (name, client) in clients.iter().enumerate() {
        assert_eq!(client.outcome(), (STATUS_SUCCESS, name));
    }
}

#[test]
fn a_forgotten_batch_completes_what_is_in_it() {
    let client = Client::new(0);
    let mut batch = CompletionBatch::new();
    batch.push(client.enter(), Outcome::CANCELLED);
    drop(batch);
    assert_eq!(client.outcome(), (STATUS_CANCELLED, 0));
}

#[test]
fn a_batch_can_be_used_again_after_its_flush() {
    let clients = [Client::new(0), Client::new(1)];
    let mut batch = CompletionBatch::new();
    for client in &clients {
        batch.push(client.enter(), Outcome::success(0));
        batch.flush();
        assert_eq!(client.outcome(), (STATUS_SUCCESS, 0));
    }
}

#[test]
fn collect_completes_after_the_lock_is_dropped() {
    let lock = Arc::new(SpinLock::new(0));
    let in_routine = Arc::clone(&lock);
    let client = Client::with_routine(0, &Arc::default(), move || *in_routine.lock() += 1);
    let irp = client.enter();
    let result = CompletionBatch::collect(&lock, |count, batch| {
        batch.push(irp, Outcome::success(1));
        *count = 10;
        "done"
    });
    assert_eq!(result, "done");
    assert_eq!(*lock.lock(), 11);
}
