//! A ring in shared memory, filled and emptied by memcpy: what no adapter can beat.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};

use super::Way;

/// As large as the ring of a connection.
const RING: usize = 128 << 10;

/// A byte stream from one producer to one consumer.
struct Ring {
    memory: Box<[u8]>,
    /// Octets put in and taken out since the beginning.
    put: AtomicUsize,
    taken: AtomicUsize,
}

impl Ring {
    fn new() -> Self {
        Self { memory: vec![0; RING].into(), put: AtomicUsize::new(0), taken: AtomicUsize::new(0) }
    }

    /// Copies as many octets in as there is room for.
    fn put(&mut self, octets: &[u8]) -> Option<usize> {
        let put = self.put.load(Ordering::Relaxed);
        let free = RING - (put - self.taken.load(Ordering::Acquire));
        let at = put % RING;
        let count = octets.len().min(free).min(RING - at);
        self.memory.get_mut(at..at + count)?.copy_from_slice(octets.get(..count)?);
        self.put.store(put + count, Ordering::Release);
        Some(count)
    }

    /// Copies as many octets out as there are, or only shows them.
    fn take(&self, into: &mut [u8], copied: bool) -> Option<usize> {
        let taken = self.taken.load(Ordering::Relaxed);
        let there = self.put.load(Ordering::Acquire) - taken;
        let at = taken % RING;
        let count = into.len().min(there).min(RING - at);
        let octets = self.memory.get(at..at + count)?;
        if copied {
            into.get_mut(..count)?.copy_from_slice(octets);
        }
        black_box(octets.as_ptr());
        self.taken.store(taken + count, Ordering::Release);
        Some(count)
    }

    fn pass(&mut self, message: &[u8], room: &mut [u8], copied: bool) -> Option<()> {
        let (mut sent, mut taken) = (0, 0);
        while taken < message.len() {
            sent += self.put(black_box(message.get(sent..)?))?;
            taken += self.take(room.get_mut(taken..)?, copied)?;
        }
        Some(())
    }
}

/// Two rings.
pub(crate) struct Rings {
    there: Ring,
    back: Option<Ring>,
    message: Vec<u8>,
    room: Vec<u8>,
    copied: bool,
}

impl Rings {
    /// For messages of `octets`, with an answer or without; copied out, or read where they lie.
    pub(crate) fn new(octets: usize, answers: bool, copied: bool) -> Self {
        let back = answers.then(Ring::new);
        Self { there: Ring::new(), back, message: vec![7; octets], room: vec![0; octets], copied }
    }
}

impl Way for Rings {
    fn run(&mut self, times: u64) -> Result<()> {
        for _ in 0..times {
            self.there.pass(&self.message, &mut self.room, self.copied).context("a ring is broken")?;
            if let Some(back) = &mut self.back {
                back.pass(&self.message, &mut self.room, self.copied).context("a ring is broken")?;
            }
        }
        Ok(())
    }
}
