//! Numbered places with a generation: a key that was given back finds nothing, whoever has its place now.
//!
//! A key has a place and a serial number. Serial numbers are given out once, over all tables, so that a key of another table
//! finds nothing either. There are 2^38 of them: an old key finds something again only when as many were given out since,
//! and its place has just the same number.

use crate::TAG;
use abi::NTSTATUS;
use abi::status::STATUS_INSUFFICIENT_RESOURCES;
use core::sync::atomic::{AtomicU64, Ordering};
use heapless::Vec;
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, PoolSlice};

/// Places of the first chunk; each further one has twice as many as the one before.
const FIRST: usize = 64;
/// Chunks of a table, which has 1,048,512 places with all of them.
const CHUNKS: usize = 14;
/// Bits of a place in a key.
pub(crate) const PLACE_BITS: u32 = 20;
/// Bits of a serial number.
pub(crate) const SERIAL_BITS: u32 = 38;
const SERIAL_MASK: u64 = (1 << SERIAL_BITS) - 1;
/// The end of the list of free places.
const NONE: u32 = u32::MAX;

const _: () = assert!(FIRST * ((1 << CHUNKS) - 1) <= 1 << PLACE_BITS, "a key has room for every place");

/// The next serial number.
pub(crate) static SERIAL: AtomicU64 = AtomicU64::new(1);

/// A serial number that nobody has; never 0.
pub(crate) fn serial() -> u64 {
    loop {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed) & SERIAL_MASK;
        if serial != 0 {
            return serial;
        }
    }
}

/// Where something is in a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    /// 0: of nothing.
    serial: u64,
    place: u32,
}

impl Key {
    /// The key of nothing.
    pub(crate) const NOTHING: Self = Self { serial: 0, place: 0 };

    /// As a number of 58 bits, which is not 0.
    pub(crate) const fn to_bits(self) -> u64 {
        self.serial << PLACE_BITS | self.place as u64
    }

    /// Any number is a key; most are of nothing.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        let place = (bits & ((1 << PLACE_BITS) - 1)) as u32;
        Self { serial: bits >> PLACE_BITS & SERIAL_MASK, place }
    }

    pub(crate) const fn serial(self) -> u64 {
        self.serial
    }
}

struct Place<V> {
    /// 0 while it is free.
    serial: u64,
    /// The next free place.
    next: u32,
    value: Option<V>,
}

/// A chunk of places, all free.
type Chunk<V> = PoolSlice<Place<V>>;

/// Places from `first` on, each the next one's predecessor on the list of free ones.
fn chunk<V>(number: usize) -> Result<Chunk<V>, AllocError> {
    let len = FIRST << number;
    let first = len.saturating_sub(FIRST);
    PoolSlice::try_new_with(TAG, len, |index| {
        let next = first.saturating_add(index).saturating_add(1) as u32;
        Place { serial: 0, next, value: None }
    })
}

/// The table: it grows, and never shrinks.
pub(crate) struct Table<V> {
    chunks: Vec<Chunk<V>, CHUNKS>,
    free: u32,
}

impl<V> Table<V> {
    /// One that has no place, and gets none.
    pub(crate) const fn without_places() -> Self {
        Self { chunks: Vec::new(), free: NONE }
    }

    /// One with its first places.
    ///
    /// # Errors
    /// No memory.
    pub(crate) fn new() -> Result<Self, AllocError> {
        let mut this = Self::without_places();
        let first = chunk(0)?;
        this.add(first).map_err(|_| AllocError)?;
        Ok(this)
    }

    /// Takes in the next chunk; gives it back when it is not the next one any more.
    fn add(&mut self, mut chunk: Chunk<V>) -> Result<(), Chunk<V>> {
        let number = self.chunks.len();
        if chunk.len() != FIRST << number {
            return Err(chunk);
        }
        if let Some(last) = chunk.last_mut() {
            last.next = self.free;
        }
        let first = chunk.len().saturating_sub(FIRST) as u32;
        self.chunks.push(chunk)?;
        self.free = first;
        Ok(())
    }

    fn place(&self, place: u32) -> Option<&Place<V>> {
        let (number, index) = locate(place);
        self.chunks.get(number)?.get(index)
    }

    fn place_mut(&mut self, place: u32) -> Option<&mut Place<V>> {
        let (number, index) = locate(place);
        self.chunks.get_mut(number)?.get_mut(index)
    }

    fn held_by(&mut self, key: Key) -> Option<&mut Place<V>> {
        self.place_mut(key.place).filter(|place| place.serial == key.serial && key.serial != 0)
    }

    /// Takes a free place; `None` when there is none.
    fn take_place(&mut self) -> Option<Key> {
        let number = self.free;
        let place = self.place_mut(number)?;
        let (key, next) = (Key { serial: serial(), place: number }, place.next);
        place.serial = key.serial;
        self.free = next;
        Some(key)
    }

    /// What is there.
    pub(crate) fn get(&self, key: Key) -> Option<&V> {
        self.place(key.place).filter(|place| place.serial == key.serial && key.serial != 0)?.value.as_ref()
    }

    /// Puts something there, instead of what was; gives it back when the key is of nothing.
    pub(crate) fn put(&mut self, key: Key, value: V) -> Result<Option<V>, V> {
        match self.held_by(key) {
            Some(place) => Ok(place.value.replace(value)),
            None => Err(value),
        }
    }

    /// Takes what is there. The place stays taken.
    pub(crate) fn take(&mut self, key: Key) -> Option<V> {
        self.held_by(key)?.value.take()
    }

    /// The same place under another key; the old one finds nothing any more.
    pub(crate) fn renew(&mut self, key: Key) -> Option<Key> {
        let place = self.held_by(key)?;
        place.serial = serial();
        Some(Key { serial: place.serial, ..key })
    }

    /// Gives the place back, and what is there.
    pub(crate) fn release(&mut self, key: Key) -> Option<V> {
        let free = self.free;
        let place = self.held_by(key)?;
        place.serial = 0;
        place.next = free;
        let value = place.value.take();
        self.free = key.place;
        value
    }
}

/// The number of the chunk, and where in it.
const fn locate(place: u32) -> (usize, usize) {
    let number = (place as usize / FIRST).saturating_add(1).ilog2();
    (number as usize, (place as usize).saturating_add(FIRST).saturating_sub(FIRST << number))
}

/// Takes a place of the table that `of` names; the table grows if it has to, outside its lock. IRQL <= DISPATCH_LEVEL.
///
/// # Errors
/// INSUFFICIENT_RESOURCES: no memory, or the table has all the places that it can.
pub(crate) fn reserve<T, V>(lock: &SpinLock<T>, of: fn(&mut T) -> &mut Table<V>) -> Result<Key, NTSTATUS> {
    loop {
        let chunks = {
            let mut locked = lock.lock();
            let table = of(&mut locked);
            if let Some(key) = table.take_place() {
                return Ok(key);
            }
            table.chunks.len()
        };
        if !(1..CHUNKS).contains(&chunks) {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        let more = chunk(chunks).map_err(|no_memory| no_memory.status())?;
        // Somebody else may have been faster; then there is room.
        let surplus = of(&mut lock.lock()).add(more);
        drop(surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn table() -> SpinLock<Table<u32>> {
        SpinLock::new(Table::new().unwrap())
    }

    fn key(table: &SpinLock<Table<u32>>, value: u32) -> Key {
        let key = reserve(table, |table| table).unwrap();
        assert_eq!(table.lock().put(key, value), Ok(None));
        key
    }

    #[test]
    fn places_are_numbered_without_gaps() {
        let mut expected = 0..;
        for number in 0..4 {
            for index in 0..FIRST << number {
                assert_eq!(locate(expected.next().unwrap()), (number, index));
            }
        }
        assert_eq!(locate(u32::MAX - 1).0, 26);
    }

    #[test]
    fn a_key_finds_what_is_its_own() {
        let _alone = ksim::exclusive();
        let table = table();
        let keys: Vec<Key> = (0..1000).map(|value| key(&table, value)).collect();
        for (value, key) in (0..).zip(&keys) {
            assert_eq!(table.lock().get(*key), Some(&value));
            assert_eq!(Key::from_bits(key.to_bits()), *key);
        }
        for (value, key) in (0..).zip(&keys) {
            assert_eq!(table.lock().release(*key), Some(value));
            assert_eq!(table.lock().get(*key), None);
            assert_eq!(table.lock().release(*key), None);
        }
        // Every place is free again, so none is added.
        let chunks = table.lock().chunks.len();
        for value in 0..1000 {
            key(&table, value);
        }
        assert_eq!(table.lock().chunks.len(), chunks);
        assert!(keys.iter().all(|key| table.lock().get(*key).is_none()), "an old key finds a new owner");
    }

    #[test]
    fn a_key_is_of_one_table_and_one_time() {
        let _alone = ksim::exclusive();
        let (one, two) = (table(), table());
        let (here, there) = (key(&one, 1), key(&two, 2));
        assert_eq!(one.lock().get(there), None);
        assert_eq!(two.lock().get(here), None);
        let renewed = one.lock().renew(here).unwrap();
        assert_eq!(one.lock().get(here), None);
        assert_eq!(one.lock().take(here), None);
        assert_eq!(one.lock().renew(here), None);
        assert_eq!(one.lock().put(here, 3), Err(3));
        assert_eq!(one.lock().take(renewed), Some(1));
        assert_eq!(one.lock().get(renewed), None);
        for bits in [0, 1, u64::MAX, 63, u64::from(NONE)] {
            assert_eq!(one.lock().get(Key::from_bits(bits)), None, "{bits:#x}");
            assert_eq!(one.lock().release(Key::from_bits(bits)), None, "{bits:#x}");
        }
    }

    #[test]
    fn serial_numbers_begin_anew() {
        let _alone = ksim::exclusive();
        let table = table();
        let before = key(&table, 1);
        SERIAL.store(SERIAL_MASK - 2, Ordering::Relaxed);
        let keys: Vec<Key> = (2..8).map(|value| key(&table, value)).collect();
        SERIAL.store(1 << 20, Ordering::Relaxed);
        assert!(keys.iter().any(|key| key.serial == SERIAL_MASK) && keys.iter().any(|key| key.serial == 1));
        assert!(keys.iter().all(|key| key.serial != 0 && key.to_bits() != 0));
        for (value, key) in (1..).zip(core::iter::once(&before).chain(&keys)) {
            assert_eq!(table.lock().get(*key), Some(&value));
        }
    }

    #[test]
    fn a_table_that_cannot_grow() {
        let _alone = ksim::exclusive();
        let table = table();
        let keys: Vec<Key> = (0..FIRST as u32).map(|value| key(&table, value)).collect();
        {
            let _none = ksim::pool::fail_after(0);
            assert_eq!(reserve(&table, |table| table), Err(STATUS_INSUFFICIENT_RESOURCES));
        }
        assert_eq!(table.lock().chunks.len(), 1);
        assert_eq!(table.lock().get(keys[0]), Some(&0));
        key(&table, 64);
        assert_eq!(table.lock().chunks.len(), 2);
    }

    #[test]
    fn a_table_that_is_full() {
        let _alone = ksim::exclusive();
        let table = table();
        let all = FIRST * ((1 << CHUNKS) - 1);
        let last = (0..all).map(|_| reserve(&table, |table| table).unwrap()).last().unwrap();
        assert_eq!(reserve(&table, |table| table), Err(STATUS_INSUFFICIENT_RESOURCES));
        table.lock().release(last);
        assert!(reserve(&table, |table| table).is_ok());
        let closed = SpinLock::new(Table::<u32>::without_places());
        assert_eq!(reserve(&closed, |table| table), Err(STATUS_INSUFFICIENT_RESOURCES));
    }
}
