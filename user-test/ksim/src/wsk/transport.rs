//! The seam to the network: pairs of ends of byte streams, in memory.
//!
//! Sockets know no more of the network than these functions. An end says through [`Transport::take_changed`] that it may
//! have become readable, writable, finished or reset; whoever owns it then asks. The host's TCP
//! (`bridge`) sits at one of them.

use std::collections::{HashMap, VecDeque};

/// Names one end of a stream.
pub(super) type End = usize;

struct Half {
    peer: End,
    /// What the peer has written and this end's owner has not read.
    inbox: VecDeque<u8>,
    /// Bytes that were read but whose room the owner has not given back.
    held: usize,
    /// Bytes of room in all.
    window: usize,
    /// The peer writes no more.
    finished: bool,
    /// The stream is broken.
    reset: bool,
}

/// All streams of the machine.
#[derive(Default)]
pub(super) struct Transport {
    halves: HashMap<End, Half>,
    next: End,
    changed: Vec<End>,
}

impl Transport {
    /// Makes a stream; the windows are how many bytes may wait at each end.
    pub(super) fn pair(&mut self, first_window: usize, second_window: usize) -> (End, End) {
        let (first, second) = (self.next + 1, self.next + 2);
        self.next = second;
        for (end, peer, window) in [(first, second, first_window), (second, first, second_window)] {
            let half = Half { peer, inbox: VecDeque::new(), held: 0, window, finished: false, reset: false };
            self.halves.insert(end, half);
        }
        (first, second)
    }

    fn peer_of(&mut self, end: End) -> Option<(End, &mut Half)> {
        let peer = self.halves.get(&end)?.peer;
        Some((peer, self.halves.get_mut(&peer)?))
    }

    /// Ends that somebody should look at, each since the last call.
    pub(super) fn take_changed(&mut self) -> Vec<End> {
        std::mem::take(&mut self.changed)
    }

    /// How many bytes the peer has room for.
    pub(super) fn writable(&mut self, end: End) -> usize {
        let room = |half: &mut Half| half.window.saturating_sub(half.inbox.len() + half.held);
        self.peer_of(end).map_or(0, |(_, peer)| room(peer))
    }

    /// Gives the peer bytes; the caller has asked how many it has room for.
    pub(super) fn write(&mut self, end: End, bytes: &[u8]) {
        let Some((peer, half)) = self.peer_of(end) else { return };
        half.inbox.extend(bytes);
        self.changed.push(peer);
    }

    /// Says that nothing more will be written.
    pub(super) fn finish(&mut self, end: End) {
        let Some((peer, half)) = self.peer_of(end) else { return };
        half.finished = true;
        self.changed.push(peer);
    }

    /// How many bytes can be read.
    pub(super) fn readable(&self, end: End) -> usize {
        self.halves.get(&end).map_or(0, |half| half.inbox.len())
    }

    /// The first bytes that can be read, which stay.
    pub(super) fn peek(&self, end: End, count: usize) -> Vec<u8> {
        let Some(half) = self.halves.get(&end) else { return Vec::new() };
        let (first, second) = half.inbox.as_slices();
        let first = first.get(..count).unwrap_or(first);
        let rest = count - first.len();
        [first, second.get(..rest).unwrap_or(second)].concat()
    }

    /// Takes bytes away. Their room opens at once, or, if they are `held`, with [`release`](Self::release).
    pub(super) fn consume(&mut self, end: End, count: usize, held: bool) {
        let Some(half) = self.halves.get_mut(&end) else { return };
        let count = count.min(half.inbox.len());
        half.inbox.drain(..count);
        if count == 0 {
            return;
        }
        if held {
            half.held += count;
        } else {
            self.changed.push(half.peer);
        }
    }

    /// Opens the room of bytes that were held.
    pub(super) fn release(&mut self, end: End, count: usize) {
        let Some(half) = self.halves.get_mut(&end) else { return };
        half.held = half.held.saturating_sub(count);
        self.changed.push(half.peer);
    }

    /// Sets how many bytes may wait at this end.
    pub(super) fn set_window(&mut self, end: End, window: usize) {
        let Some(half) = self.halves.get_mut(&end) else { return };
        half.window = window;
        self.changed.push(half.peer);
    }

    /// Whether the peer writes no more. What it wrote before may still wait.
    pub(super) fn is_finished(&self, end: End) -> bool {
        self.halves.get(&end).is_some_and(|half| half.finished)
    }

    /// Whether the stream is broken. What waited is lost.
    pub(super) fn is_reset(&self, end: End) -> bool {
        self.halves.get(&end).is_none_or(|half| half.reset)
    }

    /// Whether both directions have ended. What this end has not read waits.
    pub(super) fn is_over(&mut self, end: End) -> bool {
        self.is_finished(end) && self.peer_of(end).is_none_or(|(_, peer)| peer.finished)
    }

    /// Breaks the stream.
    pub(super) fn reset(&mut self, end: End) {
        let Some((peer, half)) = self.peer_of(end) else { return };
        half.reset = true;
        half.inbox.clear();
        self.changed.push(peer);
        if let Some(half) = self.halves.get_mut(&end) {
            half.reset = true;
            half.inbox.clear();
            self.changed.push(end);
        }
    }

    /// Gives an end up: a stream that has not finished in both directions breaks.
    pub(super) fn close(&mut self, end: End) {
        let in_full = self.is_finished(end)
            && self.readable(end) == 0
            && self.peer_of(end).is_some_and(|(_, peer)| peer.finished);
        if !in_full {
            self.reset(end);
        }
        self.halves.remove(&end);
    }
}
