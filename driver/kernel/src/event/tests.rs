use std::thread;

use ksim::pool::{Scope, fail_after};
use ksim::stop::DRIVER_VIOLATION;

use super::{Event, EventType};
use crate::lock::SpinLock;
use crate::pool::AllocError;
use crate::time;

#[test]
fn a_notification_event_stays_set_until_it_is_cleared() {
    let event = Event::new(EventType::Notification, false).unwrap();
    assert!(!event.wait(Some(0)));
    event.set();
    assert!(event.wait(Some(0)));
    assert!(event.wait(None));
    event.clear();
    assert!(!event.wait(Some(0)));
}

#[test]
fn a_synchronization_event_lets_one_through() {
    let event = Event::new(EventType::Synchronization, true).unwrap();
    assert!(event.wait(None));
    assert!(!event.wait(Some(0)));
}

#[test]
fn a_wait_ends_when_somebody_sets_the_event() {
    let there = Event::new(EventType::Synchronization, false).unwrap();
    let back = Event::new(EventType::Synchronization, false).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..100 {
                there.wait_forever();
                back.set();
            }
        });
        for _ in 0..100 {
            there.set();
            assert!(back.wait(Some(time::milliseconds(10_000))));
        }
    });
}

#[test]
fn a_wait_ends_when_the_time_is_over() {
    let event = Event::new(EventType::Notification, false).unwrap();
    let before = time::interrupt_time_100ns();
    assert!(!event.wait(Some(time::milliseconds(2))));
    assert!(time::interrupt_time_100ns() - before >= time::milliseconds(2));
}

#[test]
fn waiting_at_dispatch_level_stops_the_machine_but_looking_does_not() {
    let stop = ksim::stops(|| {
        let event = Event::new(EventType::Notification, true).unwrap();
        let lock = SpinLock::new(());
        let _at_dispatch = lock.lock();
        assert!(event.wait(Some(0)));
        let _ = event.wait(None);
    });
    assert!(stop.is_some_and(|stop| stop.is(DRIVER_VIOLATION)));
}

#[test]
fn without_memory_there_is_no_event() {
    let (scope, _failing) = (Scope::new(), fail_after(0));
    assert_eq!(Event::new(EventType::Notification, false).err(), Some(AllocError));
    scope.assert_empty();
}
