//! A table that grows: entries keep their place until they are removed.

use crate::TAG_PROVIDER;
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, PoolSlice};

/// Places a table has at first.
const FIRST: usize = 64;

/// Entries under their place numbers. Growing allocates outside the lock; everything else is a few instructions.
pub(crate) struct Table<T> {
    places: SpinLock<Option<PoolSlice<Option<T>>>>,
}

impl<T> Table<T> {
    pub(crate) const fn new() -> Self {
        Self { places: SpinLock::new(None) }
    }

    /// Adds an entry and returns its place. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// No memory to grow; the entry is dropped.
    pub(crate) fn insert(&self, entry: T) -> Result<usize, AllocError> {
        self.insert_unless(entry, |_| false)?.ok_or(AllocError)
    }

    /// Takes the entry at `place` away.
    pub(crate) fn remove(&self, place: usize) -> Option<T> {
        self.places.lock().as_deref_mut()?.get_mut(place)?.take()
    }

    /// Changes the entry that is the `same` as `entry`, or else `entry`, which is added. Returns the place of the one that was
    /// changed. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// No memory to grow; nothing was changed.
    pub(crate) fn change_or_insert<R>(
        &self,
        entry: T,
        same: impl Fn(&T) -> bool,
        change: impl FnOnce(&mut T) -> R,
    ) -> Result<(usize, R), AllocError> {
        loop {
            let full = {
                let mut places = self.places.lock();
                let places = places.as_deref_mut().unwrap_or_default();
                let there = places.iter().position(|place| place.as_ref().is_some_and(&same));
                let place = there.or_else(|| places.iter().position(Option::is_none));
                if let Some(place) = place
                    && let Some(found) = places.get_mut(place)
                {
                    return Ok((place, change(found.get_or_insert(entry))));
                }
                places.len()
            };
            self.grow(full)?;
        }
    }

    /// Changes the entry at `place`.
    pub(crate) fn change<R>(&self, place: usize, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.places.lock().as_deref_mut()?.get_mut(place)?.as_mut().map(change)
    }

    /// Takes the entry at `place` away if it is of no use any more.
    pub(crate) fn remove_if(&self, place: usize, useless: impl FnOnce(&mut T) -> bool) -> Option<T> {
        self.places.lock().as_deref_mut()?.get_mut(place)?.take_if(useless)
    }

    /// Calls `f` with every entry, one lock at a time, so that entries may come and go meanwhile: those that are there
    /// all the time are seen once. `f` runs outside the lock, on a clone.
    pub(crate) fn each(&self, mut f: impl FnMut(T) -> bool)
    where
        T: Clone,
    {
        let mut place = 0;
        loop {
            let entry = match self.places.lock().as_deref().and_then(|p| p.get(place)) {
                None => return,
                Some(entry) => entry.clone(),
            };
            if let Some(entry) = entry
                && !f(entry)
            {
                return;
            }
            place = place.saturating_add(1);
        }
    }

    /// Adds `entry` unless `conflicts` says that one of the entries excludes it.
    ///
    /// # Errors
    /// `Ok(None)`: excluded. `Err`: no memory to grow.
    pub(crate) fn insert_unless(
        &self,
        entry: T,
        conflicts: impl Fn(&T) -> bool,
    ) -> Result<Option<usize>, AllocError> {
        let mut entry = Some(entry);
        loop {
            let full = {
                let mut places = self.places.lock();
                let places = places.as_deref_mut().unwrap_or_default();
                if places.iter().flatten().any(&conflicts) {
                    return Ok(None);
                }
                if let Some((place, free)) = places.iter_mut().enumerate().find(|(_, p)| p.is_none()) {
                    *free = entry.take();
                    return Ok(Some(place));
                }
                places.len()
            };
            self.grow(full)?;
        }
    }

    /// Doubles the places, unless that has happened since `len` were seen.
    fn grow(&self, len: usize) -> Result<(), AllocError> {
        let room = len.checked_mul(2).ok_or(AllocError)?.max(FIRST);
        let mut grown = PoolSlice::try_new_with(TAG_PROVIDER, room, |_| None)?;
        let mut places = self.places.lock();
        let old = places.as_deref_mut().unwrap_or_default();
        if old.len() != len {
            return Ok(());
        }
        for (to, from) in grown.iter_mut().zip(old) {
            core::mem::swap(to, from);
        }
        // The old places are freed after the lock is dropped.
        let old = places.replace(grown);
        drop(places);
        drop(old);
        Ok(())
    }
}
