//! Peers that are made by hand on the provider's adapter.

use std::sync::{Condvar, Mutex};
use std::vec::Vec;

use abi::NTSTATUS;
use abi::status::STATUS_SUCCESS;
use kernel::pool::Shared;
use ndk::{Access, Endpoint, Handler, Incoming, ListenHandler, Listener, Memory, Piece, Poster};
use stream::{Advert, ConnData, TargetEntry, TargetList, Word};

use super::harness::{DEPTHS, PATIENCE, TAG, World, loopback};

#[derive(Default)]
struct Seen {
    answer: Option<NTSTATUS>,
    disconnected: bool,
    closed: bool,
    /// The receive that the last message came in.
    heard: Option<usize>,
    requests: Vec<Incoming>,
}

/// What a peer made by hand sees.
#[derive(Default)]
pub(super) struct Watch {
    seen: Mutex<Seen>,
    changed: Condvar,
}

impl Watch {
    fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.seen.lock().unwrap());
        self.changed.notify_all();
    }

    fn wait<R>(&self, until: impl Fn(&mut Seen) -> Option<R>) -> R {
        let mut seen = self.seen.lock().unwrap();
        loop {
            if let Some(found) = until(&mut seen) {
                return found;
            }
            let (next, timeout) = self.changed.wait_timeout(seen, PATIENCE).unwrap();
            assert!(!timeout.timed_out(), "it does not happen");
            seen = next;
        }
    }
}

impl Handler for Watch {
    fn peer_data(&self, _data: &[u8]) -> bool {
        true
    }

    fn refused(&self, _data: &[u8]) {}

    fn established(&self, status: NTSTATUS) {
        self.note(|seen| seen.answer = Some(status));
    }

    fn completions(&self, entries: &[ndk::Completion]) {
        let receives = DEPTHS.receives as usize;
        let last = entries.iter().rfind(|entry| entry.status == STATUS_SUCCESS && entry.context < receives);
        if let Some(last) = last {
            self.note(|seen| seen.heard = Some(last.context));
        }
    }

    fn disconnected(&self) {
        self.note(|seen| seen.disconnected = true);
    }

    fn closed(&self) {
        self.note(|seen| seen.closed = true);
    }
}

impl ListenHandler for Watch {
    fn incoming(&self, incoming: Incoming) {
        self.note(|seen| seen.requests.push(incoming));
    }
}

/// A listener made by hand.
pub(super) struct Door {
    watch: Shared<Watch>,
    _listener: Listener<Watch>,
}

impl Door {
    pub(super) fn open(world: &World, port: u16) -> Self {
        let watch = Shared::try_new(TAG, Watch::default()).unwrap();
        let listener = Listener::listen(&world.adapter, loopback(port), watch.clone()).unwrap();
        Self { watch, _listener: listener }
    }

    pub(super) fn take(&self) -> Incoming {
        self.watch.wait(|seen| (!seen.requests.is_empty()).then(|| seen.requests.remove(0)))
    }
}

/// One end of a connection made by hand: it says what a test wants it to say.
pub(super) struct Peer {
    watch: Shared<Watch>,
    poster: Option<Poster<Watch>>,
    endpoint: Shared<Endpoint<Watch>>,
    /// Octets of memory that messages have taken: those on their way keep theirs.
    said: usize,
}

/// Octets of an advert behind its word.
const ADVERT: usize = 24;
/// Octets of each receive.
const MESSAGE: usize = 64;
/// Octets of all receives, behind which lies what is sent.
const RECEIVES: usize = MESSAGE * DEPTHS.receives as usize;

/// Octets of the region that a hand-made peer lets be written.
pub(super) const ROOM: u32 = 4096;

impl Peer {
    fn new(
        world: &World,
        build: impl FnOnce(Shared<Watch>, heapless::Vec<Memory, 4>) -> Poster<Watch>,
    ) -> Self {
        let watch = Shared::try_new(TAG, Watch::default()).unwrap();
        let mut memories = heapless::Vec::new();
        for (length, access) in [(RECEIVES + 8192, Access::LocalWrite), (8192, Access::RemoteWrite)] {
            assert!(memories.push(Memory::register(&world.adapter, length, access).unwrap()).is_ok());
        }
        let mut poster = build(watch.clone(), memories);
        for slot in 0..DEPTHS.receives as usize {
            poster.receive(Piece { memory: 0, offset: MESSAGE * slot, len: MESSAGE as u32 }, slot).unwrap();
        }
        let endpoint = poster.endpoint().clone();
        Self { watch, poster: Some(poster), endpoint, said: 0 }
    }

    /// Private data that are in order: room of [`ROOM`] octets, then a target list.
    pub(super) fn data(&self) -> ConnData {
        let memory = self.endpoint.memory(1).unwrap();
        ConnData {
            big_endian: false,
            iomap_size: None,
            credits: 64,
            offer: None,
            target_list: TargetList { addr: memory.address() + 4096, key: memory.remote_token(), entries: 2 },
            first_region: TargetEntry { addr: memory.address(), key: memory.remote_token(), len: ROOM },
        }
    }

    /// Connects to a socket that listens at `port`, with private data made from what is right.
    pub(super) fn connect(world: &World, port: u16, data: impl FnOnce(ConnData) -> Vec<u8>) -> Self {
        let adapter = &world.adapter;
        let peer = Self::new(world, |handler, memories| {
            Endpoint::active(adapter, handler, DEPTHS, memories).unwrap()
        });
        let data = data(peer.data());
        Endpoint::connect(&peer.endpoint, loopback(0), loopback(port), &data);
        peer
    }

    /// Accepts a request.
    pub(super) fn accept(world: &World, incoming: Incoming, data: impl FnOnce(ConnData) -> Vec<u8>) -> Self {
        let peer = Self::new(world, |handler, memories| {
            Endpoint::passive(incoming, handler, DEPTHS, memories).unwrap()
        });
        let data = data(peer.data());
        Endpoint::accept(&peer.endpoint, &data);
        peer
    }

    /// The answer to its connect or accept.
    pub(super) fn answer(&self) -> NTSTATUS {
        self.watch.wait(|seen| seen.answer)
    }

    /// Sends these octets as one message, once the connection is complete, if it ever is.
    pub(super) fn say(&mut self, octets: &[u8]) {
        if self.answer() != 0 {
            return;
        }
        let offset = RECEIVES + self.said;
        self.said += octets.len();
        self.endpoint.memory(0).unwrap().region().write(offset, octets).unwrap();
        let piece = Piece { memory: 0, offset, len: octets.len() as u32 };
        // The other side may have given up already.
        let _ = self.poster.as_mut().unwrap().send(piece, 1 << 20);
    }

    /// Waits until the last message that came begins with this word.
    pub(super) fn hears(&self, word: Word) {
        self.watch.wait(|seen| {
            let mut octets = [0; 4];
            let from = MESSAGE * seen.heard?;
            self.endpoint.memory(0).unwrap().region().read(from, &mut octets).unwrap();
            (octets == word.octets()).then_some(())
        });
    }

    /// The advert that comes.
    pub(super) fn takes_advert(&self) -> Advert {
        self.hears(Word::Advert);
        let from = MESSAGE * self.watch.wait(|seen| seen.heard) + 4;
        let mut octets = [0; ADVERT];
        self.endpoint.memory(0).unwrap().region().read(from, &mut octets).unwrap();
        Advert::decode(&octets).unwrap()
    }

    /// Writes octets to `address`, and says `word` behind them.
    pub(super) fn write(&mut self, octets: &[u8], address: u64, token: u32, word: Word) {
        let offset = RECEIVES + self.said;
        self.said += octets.len();
        self.endpoint.memory(0).unwrap().region().write(offset, octets).unwrap();
        let piece = Piece { memory: 0, offset, len: octets.len() as u32 };
        // The other side may have given up already.
        let _ = self.poster.as_mut().unwrap().write(piece, address, token);
        self.say(&word.octets());
    }

    /// An entry of its target list, once the other side has described other memory there than `before`.
    pub(super) fn room(&self, entry: usize, before: TargetEntry) -> TargetEntry {
        let list = self.endpoint.memory(1).unwrap();
        self.watch.wait(|_| {
            let mut octets = [0; stream::TARGET_ENTRY_LEN];
            list.region().read(4096 + stream::TARGET_ENTRY_LEN * entry, &mut octets).unwrap();
            Some(TargetEntry::decode(octets)).filter(|found| found.len != 0 && *found != before)
        })
    }

    /// Waits until the other side is gone.
    pub(super) fn is_left(&self) {
        self.watch.wait(|seen| seen.disconnected.then_some(()));
    }

    /// Ends it.
    pub(super) fn close(mut self, graceful: bool) {
        self.poster.take().unwrap().close(graceful);
        self.watch.wait(|seen| seen.closed.then_some(()));
    }
}
