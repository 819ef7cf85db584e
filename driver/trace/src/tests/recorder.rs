use super::*;
use std::sync::Barrier;
use std::vec::Vec;

extern crate std;

fn event(value: u64) -> Event {
    Event {
        kind: Kind::FellBack,
        reason: Reason::PeerUnreachable,
        status: -5,
        value,
        local: "10.0.0.1:80".parse().ok(),
        remote: "[fe80::1%9]:65535".parse().ok(),
    }
}

/// The memory as a dump has it.
fn pages(recorder: &Recorder) -> Vec<Vec<u8>> {
    let page = |page: &Page| {
        let words = page.header.iter().chain(page.entries.iter().flatten());
        words.flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect()
    };
    recorder.pages.iter().map(page).collect()
}

#[test]
fn an_event_comes_back_as_it_was() {
    let recorder = Recorder::new();
    assert_eq!(recorder.after(0).count(), 0);
    assert_eq!(recorder.record(77, &event(3)), 1);
    assert_eq!(recorder.record(78, &Event::new(Kind::DriverStopping)), 2);
    let all: Vec<_> = recorder.after(0).collect();
    assert_eq!(all[0], Recorded { sequence: 1, time: 77, event: event(3) });
    assert_eq!(all[1].event, Event::new(Kind::DriverStopping));
    assert_eq!(recorder.after(1).map(|r| r.sequence).collect::<Vec<_>>(), [2]);
    assert_eq!(recorder.after(2).count(), 0);
    assert_eq!(recorder.after(u64::MAX).count(), 0);
}

#[test]
fn the_oldest_are_forgotten() {
    let recorder = Recorder::new();
    let many = 3 * CAPACITY as u64 + 7;
    (1..=many).for_each(|n| assert_eq!(recorder.record(n, &event(n)), n));
    let kept: Vec<_> = recorder.after(0).map(|r| r.event.value).collect();
    assert_eq!(kept.len(), CAPACITY);
    assert!(kept.iter().copied().eq(many - CAPACITY as u64 + 1..=many));
    assert_eq!(recorder.get(1), None);
}

#[test]
fn a_dump_has_the_events_whatever_the_order_of_its_pages() {
    let recorder = Recorder::new();
    let many = CAPACITY as u64 + 100;
    (1..=many).for_each(|n| assert_ne!(recorder.record(n, &event(n)), 0));
    let mut pages = pages(&recorder);
    pages.reverse();
    let mut found: Vec<_> = pages.iter().flat_map(|page| events_of_page(page)).collect();
    found.sort_by_key(|r| r.sequence);
    assert!(found.iter().copied().eq(recorder.after(0)));
}

#[test]
fn what_is_no_page_has_no_events() {
    let recorder = Recorder::new();
    recorder.record(1, &event(1));
    let page = pages(&recorder).swap_remove(0);
    assert_eq!(events_of_page(&page).count(), 1);
    assert_eq!(events_of_page(&page[..PAGE - 1]).count(), 0);
    assert_eq!(events_of_page(&[]).count(), 0);
    // Every damaged octet of the mark, the version and the entry is seen; the rest of the page is empty.
    for place in (0..16).chain(16..20).chain(HEADER * 8..HEADER * 8 + ENTRY) {
        let mut damaged = page.clone();
        damaged[place] ^= 0x40;
        assert_eq!(events_of_page(&damaged).count(), 0, "octet {place}");
    }
}

#[test]
fn many_writers_lose_nothing_and_readers_see_only_whole_events() {
    const WRITERS: u64 = 4;
    const EACH: u64 = 150;
    let recorder = Recorder::new();
    let barrier = Barrier::new(WRITERS as usize + 1);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (recorder, barrier) = (&recorder, &barrier);
            scope.spawn(move || {
                barrier.wait();
                (0..EACH).for_each(|n| assert_ne!(recorder.record(writer, &event(writer * EACH + n)), 0));
            });
        }
        barrier.wait();
        while recorder.last() < WRITERS * EACH {
            assert!(recorder.after(0).all(|r| r.event == event(r.event.value)));
        }
    });
    let mut values: Vec<_> = recorder.after(0).map(|r| r.event.value).collect();
    values.sort_unstable();
    assert!(values.iter().copied().eq(0..WRITERS * EACH), "fewer than the capacity, so all are there");
}
