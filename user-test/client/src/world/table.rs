//! A growing table of values by number.

use kernel::pool::{AllocError, PoolSlice};

use crate::handle::TAG;

/// Places in a new table.
const FIRST: usize = 64;

/// Values by number; what was added has its place until the table is emptied.
pub(super) struct Table<T> {
    places: PoolSlice<Option<T>>,
    len: usize,
}

impl<T> Table<T> {
    pub(super) fn new() -> Result<Self, AllocError> {
        Ok(Self { places: PoolSlice::try_new_with(TAG, FIRST, |_| None)?, len: 0 })
    }

    /// Numbers used so far.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Makes sure that the next `count` calls of [`add`](Self::add) find a place.
    ///
    /// # Errors
    /// [`AllocError`]; the table is as it was.
    pub(super) fn reserve(&mut self, count: usize) -> Result<(), AllocError> {
        let needed = self.len.checked_add(count).ok_or(AllocError)?;
        if needed <= self.places.len() {
            return Ok(());
        }
        let more = needed.checked_next_power_of_two().ok_or(AllocError)?;
        let mut places = PoolSlice::try_new_with(TAG, more, |_| None)?;
        for (to, from) in places.iter_mut().zip(self.places.iter_mut()) {
            *to = from.take();
        }
        self.places = places;
        Ok(())
    }

    /// Adds a value and returns its number.
    ///
    /// # Errors
    /// The value, if there is no place for it.
    pub(super) fn add(&mut self, value: T) -> Result<u32, T> {
        let (Some(place), Ok(number)) = (self.places.get_mut(self.len), u32::try_from(self.len)) else {
            return Err(value);
        };
        *place = Some(value);
        self.len = self.len.saturating_add(1);
        Ok(number)
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.places.get(number as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.places.get_mut(number as usize)?.as_mut()
    }

    pub(super) fn take(&mut self, number: u32) -> Option<T> {
        self.places.get_mut(number as usize)?.take()
    }

    /// Drops every value.
    pub(super) fn clear(&mut self) {
        for place in self.places.iter_mut() {
            *place = None;
        }
        self.len = 0;
    }
}
