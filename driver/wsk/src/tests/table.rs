//! The table that grows.

use std::vec::Vec;

use super::harness::{boot, left};
use crate::table::Table;

fn entries(table: &Table<u32>) -> Vec<u32> {
    let mut all = Vec::new();
    table.each(|entry| {
        all.push(entry);
        true
    });
    all
}

#[test]
fn entries_keep_their_places() {
    let _alone = boot();
    let table = Table::new();
    let places: Vec<usize> = (0..1000u32).map(|entry| table.insert(entry).unwrap()).collect();
    assert_eq!(entries(&table), (0..1000).collect::<Vec<_>>());
    for (entry, place) in places.iter().enumerate().filter(|(entry, _)| entry % 3 == 0) {
        assert_eq!(table.remove(*place), Some(entry as u32));
        assert_eq!(table.remove(*place), None, "once");
    }
    assert_eq!(entries(&table).len(), 666);
    assert_eq!(table.remove(usize::MAX), None);
    // A free place is used again before the table grows.
    let place = table.insert(5000).unwrap();
    assert!(places.contains(&place));
    drop(table);
    assert_eq!(left(), []);
}

#[test]
fn a_conflict_keeps_an_entry_out() {
    let _alone = boot();
    let table = Table::new();
    let place = table.insert_unless(7, |other| *other == 7).unwrap();
    assert!(place.is_some());
    assert_eq!(table.insert_unless(7, |other| *other == 7).unwrap(), None);
    table.remove(place.unwrap());
    assert!(table.insert_unless(7, |other| *other == 7).unwrap().is_some());
    drop(table);
    assert_eq!(left(), []);
}

#[test]
fn the_walk_ends_when_it_is_told_to() {
    let _alone = boot();
    let table = Table::new();
    for entry in 0..10 {
        table.insert(entry).unwrap();
    }
    let mut seen = 0;
    table.each(|_| {
        seen += 1;
        seen < 4
    });
    assert_eq!(seen, 4);
}

#[test]
fn no_memory_to_grow() {
    let _alone = boot();
    let table = Table::new();
    let failing = ksim::pool::fail_after(0);
    assert!(table.insert(1).is_err());
    drop(failing);
    let room = (0..).take_while(|entry| {
        let _failing = (*entry > 0).then(|| ksim::pool::fail_after(0));
        table.insert(*entry).is_ok()
    });
    let room = room.count();
    assert!(room > 1, "what is there stays usable");
    assert_eq!(entries(&table).len(), room);
    drop(table);
    assert_eq!(left(), []);
}
