//! When a failure is remembered, and when no more.

use super::*;
use core::net::{Ipv4Addr, SocketAddrV6};

const MINUTE: u64 = 600_000_000;

fn at(host: u8, port: u16) -> SocketAddr {
    (Ipv4Addr::new(10, 0, 0, host), port).into()
}

#[test]
fn a_failure_is_remembered_until_its_time_is_over() {
    let mut misses = Misses::new(MINUTE);
    assert!(!misses.remembers(at(1, 80), 1000));
    misses.remember(at(1, 80), 1000);
    assert!(misses.remembers(at(1, 80), 1000));
    assert!(misses.remembers(at(1, 80), 1000 + MINUTE - 1));
    assert!(!misses.remembers(at(1, 80), 1000 + MINUTE));
}

#[test]
fn a_destination_is_an_address_and_a_port() {
    let mut misses = Misses::new(MINUTE);
    misses.remember(at(1, 80), 0);
    assert!(!misses.remembers(at(1, 81), 1));
    assert!(!misses.remembers(at(2, 80), 1));
    let v6 = |flow, scope| SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), 80, flow, scope));
    misses.remember(v6(5, 3), 0);
    assert!(misses.remembers(v6(6, 3), 1), "a flow is no part of a destination");
    assert!(!misses.remembers(v6(5, 4), 1), "a scope is");
}

#[test]
fn a_success_ends_it() {
    let mut misses = Misses::new(MINUTE);
    misses.remember(at(1, 80), 0);
    misses.remember(at(2, 80), 0);
    misses.forget(at(1, 80));
    assert!(!misses.remembers(at(1, 80), 1));
    assert!(misses.remembers(at(2, 80), 1));
}

#[test]
fn another_failure_begins_the_time_anew() {
    let mut misses = Misses::new(MINUTE);
    misses.remember(at(1, 80), 0);
    misses.remember(at(1, 80), MINUTE / 2);
    assert!(misses.remembers(at(1, 80), MINUTE));
    assert!(!misses.remembers(at(1, 80), MINUTE + MINUTE / 2));
    assert_eq!(misses.entries.len(), 0);
}

#[test]
fn the_oldest_gives_way() {
    let mut misses = Misses::new(MINUTE);
    for n in 0..PLACES {
        misses.remember(at(1, n.try_into().unwrap()), n as u64);
    }
    // The first is not the oldest any more.
    misses.remember(at(1, 0), PLACES as u64);
    misses.remember(at(9, 9), PLACES as u64 + 1);
    let now = PLACES as u64 + 2;
    assert_eq!(misses.entries.len(), PLACES);
    assert!(misses.remembers(at(9, 9), now) && misses.remembers(at(1, 0), now));
    assert!(!misses.remembers(at(1, 1), now));
    assert!(misses.remembers(at(1, 2), now));
}

#[test]
fn no_time_means_no_memory() {
    let mut misses = Misses::new(0);
    misses.remember(at(1, 80), 7);
    assert!(!misses.remembers(at(1, 80), 7));
}

#[test]
fn a_clock_that_is_behind_forgets_nothing() {
    let mut misses = Misses::new(MINUTE);
    misses.remember(at(1, 80), 1000);
    assert!(misses.remembers(at(1, 80), 999));
}
