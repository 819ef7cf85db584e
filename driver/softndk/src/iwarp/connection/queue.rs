//! A queue of reads, with a place for each that the read limits allow.

use crate::config::READ_LIMIT_MAX;

const PLACES: usize = READ_LIMIT_MAX as usize;

#[derive(Debug)]
pub(super) struct Queue<T> {
    places: [T; PLACES],
    head: usize,
    len: usize,
}

impl<T: Copy + Default> Queue<T> {
    pub(super) fn new() -> Self {
        Self { places: [T::default(); PLACES], head: 0, len: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends; `None`, and nothing done, if it is full.
    pub(super) fn push(&mut self, item: T) -> Option<()> {
        if self.len >= PLACES {
            return None;
        }
        let at = self.place(self.len);
        *self.places.get_mut(at)? = item;
        self.len = self.len.wrapping_add(1);
        Some(())
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let item = *self.front_mut()?;
        self.head = self.place(1);
        self.len = self.len.wrapping_sub(1);
        Some(item)
    }

    pub(super) fn front_mut(&mut self) -> Option<&mut T> {
        if self.is_empty() { None } else { self.places.get_mut(self.head) }
    }

    pub(super) fn back_mut(&mut self) -> Option<&mut T> {
        let last = self.len.checked_sub(1)?;
        let at = self.place(last);
        self.places.get_mut(at)
    }

    fn place(&self, behind_head: usize) -> usize {
        self.head.wrapping_add(behind_head) % PLACES
    }
}
