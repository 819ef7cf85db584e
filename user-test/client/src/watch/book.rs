//! What one watch remembers.

use core::ptr;

use abi::wsk::{PWSK_SOCKET, WSK_BUF, WSK_DATA_INDICATION};
use cases::pattern;
use cases::watch::{EVENTS, Event, Kind, Release, Script, Watch};

use super::inside::Inside;
use crate::calls::Open;

/// Most nodes that a watch keeps at a time.
const KEPT: usize = 64;

/// What a client writes into `Next` of a node that it keeps.
const OWN_USE: usize = 0x00C1_1E47;

/// A rule that a provider has broken in a callback, which no case looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "`expected` says what each is")]
pub enum Breach {
    InsideACall,
    AfterTheClose,
    Overlap,
    Level,
    NotPreset,
    Sum,
    NotMapped,
    Octets,
    KeptChanged,
    DeathWithOctets,
    OutsNotNull,
    ControlData,
}

impl Breach {
    /// What should have been so.
    #[must_use]
    pub const fn expected(self) -> &'static str {
        match self {
            Self::InsideACall => "no callback comes inside a call of the client's",
            Self::AfterTheClose => "no callback comes after the socket's close",
            Self::Overlap => "WskReceiveEvent is called serially",
            Self::Level => "AT_DISPATCH_LEVEL is told at that level only",
            Self::NotPreset => "BytesAccepted is preset to BytesIndicated",
            Self::Sum => "BytesIndicated is the sum of the nodes' lengths, all of which are there",
            Self::NotMapped => "the MDLs of an indication are mapped",
            Self::Octets => "the octets of an indication are those of the stream",
            Self::KeptChanged => "kept octets stay as they are until they are released",
            Self::DeathWithOctets => "a death notice has no octets and no flags",
            Self::OutsNotNull => "AcceptSocketContext and AcceptSocketDispatch are preset to NULL",
            Self::ControlData => "there is no ancillary data",
        }
    }
}

/// A node that is kept.
#[derive(Clone, Copy)]
struct Kept {
    node: *mut WSK_DATA_INDICATION,
    position: u64,
}

/// What is released: nodes of the provider's, or one that is none.
pub(super) struct Chain {
    first: *mut WSK_DATA_INDICATION,
    foreign: WSK_DATA_INDICATION,
    is_foreign: bool,
}

impl Chain {
    pub(super) fn first(&mut self) -> *mut WSK_DATA_INDICATION {
        if self.is_foreign { &mut self.foreign } else { self.first }
    }
}

pub(super) struct Book {
    pub(super) script: Script,
    /// Receive events answered since the script was set.
    pub(super) answered: usize,
    pub(super) events: [Option<Event>; EVENTS],
    /// Events so far.
    count: usize,
    /// Accepted sockets by the number of their event.
    accepted: [Option<(PWSK_SOCKET, Option<Watch>)>; EVENTS],
    kept: [Option<Kept>; KEPT],
    inside: [Option<(Kind, Inside)>; 4],
    pub(super) open: Option<Open>,
    /// The position of the stream that the next indication begins at.
    pub(super) position: u64,
    /// Octets taken or kept.
    pub(super) taken: u64,
    pub(super) breach: Option<Breach>,
    pub(super) gone: bool,
    pub(super) receiving: bool,
}

// SAFETY: sockets and nodes may be used from any thread.
unsafe impl Send for Book {}

impl Book {
    pub(super) const fn new() -> Self {
        Self {
            script: Script::WILLING,
            answered: 0,
            events: [None; EVENTS],
            count: 0,
            accepted: [None; EVENTS],
            kept: [None; KEPT],
            inside: [const { None }; 4],
            open: None,
            position: 0,
            taken: 0,
            breach: None,
            gone: false,
            receiving: false,
        }
    }

    /// As new, in place: a book is too long for a kernel stack.
    pub(super) fn reset(&mut self) {
        self.script = Script::WILLING;
        self.events.fill(None);
        self.accepted.fill(None);
        self.kept.fill(None);
        for place in &mut self.inside {
            *place = None;
        }
        (self.answered, self.count, self.open) = (0, 0, None);
        (self.position, self.taken, self.breach) = (0, 0, None);
        (self.gone, self.receiving) = (false, false);
    }

    pub(super) fn find(&mut self, breach: Breach, is_broken: bool) {
        if is_broken {
            self.breach.get_or_insert(breach);
        }
    }

    /// Remembers an event; its number.
    pub(super) fn write(&mut self, event: Event) -> usize {
        let number = self.count;
        if let Some(place) = self.events.get_mut(number) {
            *place = Some(event);
        }
        self.count = number.saturating_add(1);
        number
    }

    pub(super) fn write_accepted(&mut self, number: usize, socket: PWSK_SOCKET, by: Option<Watch>) {
        if let Some(place) = self.accepted.get_mut(number) {
            *place = Some((socket, by));
        }
    }

    pub(super) fn take_accepted(&mut self) -> Option<(usize, PWSK_SOCKET, Option<Watch>)> {
        let (number, place) = self.accepted.iter_mut().enumerate().find(|(_, place)| place.is_some())?;
        let (socket, by) = place.take()?;
        Some((number, socket, by))
    }

    pub(super) fn has_accepted(&self) -> bool {
        self.accepted.iter().any(Option::is_some)
    }

    pub(super) fn arm(&mut self, kind: Kind, inside: Inside) -> bool {
        match self.inside.iter_mut().find(|place| place.is_none()) {
            Some(place) => {
                *place = Some((kind, inside));
                true
            }
            None => false,
        }
    }

    /// The calls that an event of `kind` makes.
    pub(super) fn take_inside(&mut self, kind: Kind) -> Option<Inside> {
        let place =
            self.inside.iter_mut().find(|place| matches!(place, Some((wanted, _)) if *wanted == kind))?;
        place.take().map(|(_, inside)| inside)
    }

    /// Keeps the nodes of a list, each for itself. What finds no place stays the client's for ever, which is a leak to be found.
    pub(super) fn keep(&mut self, list: *mut WSK_DATA_INDICATION) {
        let mut position = self.position;
        let mut next = list;
        while !next.is_null() {
            let node = next;
            // SAFETY: a node of the indication, which the client has.
            let value = unsafe { node.read() };
            next = value.Next;
            // SAFETY: as above.
            unsafe { (*node).Next = ptr::without_provenance_mut(OWN_USE) };
            // The first free place behind the last used one: the order is the order of arrival.
            let used = self.kept.iter().rposition(Option::is_some).map_or(0, |last| last.saturating_add(1));
            if let Some(place) = self.kept.get_mut(used) {
                *place = Some(Kept { node, position });
            }
            position = position.wrapping_add(value.Buffer.Length as u64);
        }
    }

    /// Takes kept nodes out, linked as they are to be released. `None`: nothing is kept.
    pub(super) fn chain(&mut self, which: Release) -> Option<Chain> {
        let buffer = WSK_BUF { Mdl: ptr::null_mut(), Offset: 0, Length: 0 };
        let foreign = WSK_DATA_INDICATION { Next: ptr::null_mut(), Buffer: buffer };
        let is_foreign = which == Release::Foreign;
        let first = match which {
            Release::Foreign | Release::Null => ptr::null_mut(),
            Release::Oldest => {
                let kept = self.kept.iter_mut().find_map(Option::take)?;
                self.link(kept, ptr::null_mut())
            }
            Release::Newest => {
                let kept = self.kept.iter_mut().rev().find_map(Option::take)?;
                self.link(kept, ptr::null_mut())
            }
            Release::All | Release::Backwards => {
                let mut first = ptr::null_mut();
                loop {
                    let kept = if which == Release::All {
                        self.kept.iter_mut().rev().find_map(Option::take)
                    } else {
                        self.kept.iter_mut().find_map(Option::take)
                    };
                    let Some(kept) = kept else { break };
                    first = self.link(kept, first);
                }
                (!first.is_null()).then_some(first)?
            }
        };
        Some(Chain { first, foreign, is_foreign })
    }

    /// Links a node before `next`, once its octets are looked at.
    fn link(&mut self, kept: Kept, next: *mut WSK_DATA_INDICATION) -> *mut WSK_DATA_INDICATION {
        // SAFETY: a node that the client has kept.
        let buffer = unsafe { (*kept.node).Buffer };
        let same = look(&buffer, kept.position);
        self.find(Breach::KeptChanged, same != Look::Stream);
        // SAFETY: as above.
        unsafe { (*kept.node).Next = next };
        kept.node
    }
}

/// What the octets of a buffer are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// The stream's.
    Stream,
    Other,
    NotMapped,
    /// Fewer than the buffer names.
    Short,
}

/// Looks at the octets of an indicated buffer.
pub(super) fn look(buffer: &WSK_BUF, position: u64) -> Look {
    // Lossless: 64-bit addresses.
    let (mut skip, mut left) = (buffer.Offset as usize, buffer.Length);
    let mut position = position;
    let mut next = buffer.Mdl;
    while left != 0 {
        if next.is_null() {
            return Look::Short;
        }
        // SAFETY: an MDL of the indication, which the client has.
        let mdl = unsafe { next.read() };
        let mapped = abi::nt::MDL_MAPPED_TO_SYSTEM_VA | abi::nt::MDL_SOURCE_IS_NONPAGED_POOL;
        if mdl.MdlFlags & mapped == 0 {
            return Look::NotMapped;
        }
        let length = (mdl.ByteCount as usize).saturating_sub(skip).min(left);
        let first = mdl.MappedSystemVa.cast::<u8>().wrapping_add(skip);
        for offset in 0..length {
            // SAFETY: inside what the mapped MDL describes.
            let octet = unsafe { first.wrapping_add(offset).read_volatile() };
            if octet != pattern::octet(position) {
                return Look::Other;
            }
            position = position.wrapping_add(1);
        }
        skip = skip.saturating_sub(mdl.ByteCount as usize);
        left = left.saturating_sub(length);
        next = mdl.Next;
    }
    Look::Stream
}
