//! The flight recorder: the last events, in memory that a crash dump has and a program can find there.
//!
//! The memory is a number of pages that stand for themselves, because a dump has pages in any order: each begins with a mark and
//! its number, and each entry carries its sequence number and a check word. Writers take the next place and never wait; a reader
//! leaves out what is just being written.
//!
//! ```text
//! page, 4096 octets:  mark 16 | version u32, number u32 | zero 112 | 45 entries of 88
//! entry, 11 words:    sequence | time | kind u16, reason u16, status u32 | value | local 24 | remote 24 | check
//! ```
//! Every word is little-endian. An address is: family u16 (2 or 23; 0 none), port u16, scope id u32, address in network order.

use crate::{Event, Kind, Reason};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use core::sync::atomic::{AtomicU64, Ordering, fence};

/// Octets of a page.
pub const PAGE: usize = 4096;
/// What a page begins with.
pub const MARK: [u8; 16] = *b"wskrdma recorder";
/// Version of this layout.
pub const VERSION: u32 = 1;

const PAGES: usize = 16;
const WORDS: usize = 11;
const HEADER: usize = 17;
const PER_PAGE: usize = 45;
/// Events that are kept.
pub const CAPACITY: usize = PAGES * PER_PAGE;
/// Octets of an entry.
const ENTRY: usize = WORDS * 8;

const AF_INET: u64 = 2;
const AF_INET6: u64 = 23;

/// An event with its place in the course of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Counts from 1 since the driver was loaded.
    pub sequence: u64,
    /// Time since the machine started, in units of 100 ns.
    pub time: u64,
    /// What has happened.
    pub event: Event,
}

#[derive(Debug)]
#[repr(C, align(4096))]
struct Page {
    header: [AtomicU64; HEADER],
    entries: [[AtomicU64; WORDS]; PER_PAGE],
}

const _: () = assert!(size_of::<Page>() == PAGE);

/// The pages. Methods: any IRQL; nobody waits for anybody.
#[derive(Debug)]
pub struct Recorder {
    next: AtomicU64,
    pages: [Page; PAGES],
}

impl Recorder {
    /// Without events. Zeroed memory, so that it adds nothing to an image.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: AtomicU64::new(0), pages: [const { Page::zero() }; PAGES] }
    }

    /// Keeps an event, and forgets the oldest one where there is no more room. Returns its sequence number.
    pub fn record(&self, time: u64, event: &Event) -> u64 {
        let taken = self.next.fetch_add(1, Ordering::Relaxed);
        let sequence = taken.wrapping_add(1);
        let place = place_of(sequence);
        let Some(page) = self.pages.get(place / PER_PAGE) else { return sequence };
        if place.is_multiple_of(PER_PAGE) {
            page.mark(place / PER_PAGE);
        }
        if let Some(entry) = page.entries.get(place % PER_PAGE) {
            write(entry, &encode(&Recorded { sequence, time, event: *event }));
        }
        sequence
    }

    /// The number of the event that was recorded last; 0: there is none.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// The event with this number, if it is still there and completely written.
    #[must_use]
    pub fn get(&self, sequence: u64) -> Option<Recorded> {
        let place = place_of(sequence);
        let entry = self.pages.get(place / PER_PAGE)?.entries.get(place % PER_PAGE)?;
        let words = entry.each_ref().map(|word| word.load(Ordering::Relaxed));
        decode(&words).filter(|recorded| recorded.sequence == sequence)
    }

    /// The events after `sequence` that are still there, oldest first.
    pub fn after(&self, sequence: u64) -> impl Iterator<Item = Recorded> + '_ {
        let last = self.last();
        let oldest = last.saturating_sub(CAPACITY as u64);
        (sequence.max(oldest).saturating_add(1)..=last).filter_map(|sequence| self.get(sequence))
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Page {
    const fn zero() -> Self {
        Self {
            header: [const { AtomicU64::new(0) }; HEADER],
            entries: [const { [const { AtomicU64::new(0) }; WORDS] }; PER_PAGE],
        }
    }

    fn mark(&self, number: usize) {
        let (first, second) = halves(&MARK);
        let version = u64::from(VERSION) | (number as u64) << 32;
        for (to, word) in self.header.iter().zip([first, second, version]) {
            to.store(word, Ordering::Relaxed);
        }
    }
}

fn place_of(sequence: u64) -> usize {
    // Less than the capacity.
    usize::try_from(sequence.wrapping_sub(1) % CAPACITY as u64).unwrap_or(0)
}

/// The words change one by one; the check word tells a reader whether it has those of one event.
fn write(entry: &[AtomicU64; WORDS], words: &[u64; WORDS]) {
    for (to, word) in entry.iter().zip(words) {
        to.store(*word, Ordering::Relaxed);
    }
    // A crash right after the event has it whole.
    fence(Ordering::Release);
}

/// A word that no mixture of two events has, but by chance.
fn check(words: &[u64; WORDS]) -> u64 {
    let mut sum = 0x9E37_79B9_7F4A_7C15_u64;
    for word in words.iter().take(WORDS.saturating_sub(1)) {
        sum = (sum ^ word).wrapping_mul(0xBF58_476D_1CE4_E5B9).rotate_left(29);
    }
    sum
}

fn halves(octets: &[u8; 16]) -> (u64, u64) {
    let word = u128::from_le_bytes(*octets);
    // Both halves fit.
    (word as u64, (word >> 64) as u64)
}

fn address_words(address: Option<SocketAddr>) -> [u64; 3] {
    let Some(address) = address else { return [0; 3] };
    let (family, scope, mut octets) = match address {
        SocketAddr::V4(_) => (AF_INET, 0, [0; 16]),
        SocketAddr::V6(v6) => (AF_INET6, u64::from(v6.scope_id()), v6.ip().octets()),
    };
    if let IpAddr::V4(v4) = address.ip() {
        octets.iter_mut().zip(v4.octets()).for_each(|(to, octet)| *to = octet);
    }
    let (first, second) = halves(&octets);
    [family | u64::from(address.port()) << 16 | scope << 32, first, second]
}

fn address_of([head, first, second]: [u64; 3]) -> Option<SocketAddr> {
    let octets = (u128::from(first) | u128::from(second) << 64).to_le_bytes();
    let port = (head >> 16) as u16;
    match head & 0xFFFF {
        AF_INET => {
            let [a, b, c, d, ..] = octets;
            Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), port))
        }
        AF_INET6 => Some(SocketAddrV6::new(Ipv6Addr::from(octets), port, 0, (head >> 32) as u32).into()),
        _ => None,
    }
}

fn encode(recorded: &Recorded) -> [u64; WORDS] {
    let Recorded { sequence, time, event } = recorded;
    let reason = u64::from(event.reason.code() & 0xFFFF);
    let status = u64::from(event.status.cast_unsigned());
    let what = u64::from(event.kind.code()) | reason << 16 | status << 32;
    let [l0, l1, l2] = address_words(event.local);
    let [r0, r1, r2] = address_words(event.remote);
    let mut words = [*sequence, *time, what, event.value, l0, l1, l2, r0, r1, r2, 0];
    let sum = check(&words);
    if let Some(last) = words.last_mut() {
        *last = sum;
    }
    words
}

fn decode(words: &[u64; WORDS]) -> Option<Recorded> {
    let [sequence, time, what, value, l0, l1, l2, r0, r1, r2, sum] = *words;
    if sequence == 0 || sum != check(words) {
        return None;
    }
    let event = Event {
        kind: Kind::from_code(what as u16)?,
        reason: Reason::from_code(u32::from((what >> 16) as u16))?,
        status: ((what >> 32) as u32).cast_signed(),
        value,
        local: address_of([l0, l1, l2]),
        remote: address_of([r0, r1, r2]),
    };
    Some(Recorded { sequence, time, event })
}

/// The events of a page as it lies in a dump, in the order of their places; nothing where it is no page of this version.
pub fn events_of_page(page: &[u8]) -> impl Iterator<Item = Recorded> + '_ {
    let marked = page.len() == PAGE && page.starts_with(&MARK) && word(page, 2) as u32 == VERSION;
    let entries = if marked { page.get(HEADER * 8..).unwrap_or_default() } else { &[] };
    entries.chunks_exact(ENTRY).filter_map(|entry| {
        let mut words = [0; WORDS];
        for (place, to) in words.iter_mut().enumerate() {
            *to = word(entry, place);
        }
        decode(&words)
    })
}

/// The little-endian word at a place; zero behind the end.
fn word(octets: &[u8], place: usize) -> u64 {
    let start = place.saturating_mul(8);
    let octets = octets.get(start..start.saturating_add(8)).and_then(|octets| octets.try_into().ok());
    octets.map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
#[path = "tests/recorder.rs"]
mod tests;
