//! A fixed number of owned values in non-paged pool.

use core::fmt;
use core::marker::PhantomData;
use core::mem::{align_of, size_of};
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};
use core::slice;

use super::{AllocError, POOL_ALIGNMENT, PoolTag, allocate, free};

/// Owns `len` values of `T`, side by side in one allocation of non-paged pool.
///
/// The number is fixed when it is built. Dropping it drops the values in order and frees the memory.
pub struct PoolSlice<T> {
    first: NonNull<T>,
    len: usize,
    owns: PhantomData<T>,
}

// SAFETY: the slice is the only owner of its values, so sending it sends the values.
unsafe impl<T: Send> Send for PoolSlice<T> {}
// SAFETY: a shared slice gives only shared access to its values.
unsafe impl<T: Sync> Sync for PoolSlice<T> {}

impl<T> PoolSlice<T> {
    const ALIGNED: () = assert!(align_of::<T>() <= POOL_ALIGNMENT, "pool memory is only 16-byte aligned");

    /// Allocates `len` values and sets value `i` to `fill(i)`. IRQL ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// [`AllocError`]: no memory, or the size in bytes does not fit; `fill` is not called.
    pub fn try_new_with(
        tag: PoolTag,
        len: usize,
        mut fill: impl FnMut(usize) -> T,
    ) -> Result<Self, AllocError> {
        Self::try_build(tag, len, |index| Ok(fill(index)))
    }

    /// Like [`try_new_with`](Self::try_new_with) for values whose construction can fail. IRQL ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// No memory, or the first error of `fill`; the values built before it are dropped and nothing is left allocated.
    pub fn try_build<E: From<AllocError>>(
        tag: PoolTag,
        len: usize,
        mut fill: impl FnMut(usize) -> Result<T, E>,
    ) -> Result<Self, E> {
        const { Self::ALIGNED };
        let bytes = size_of::<T>().checked_mul(len).ok_or(AllocError)?;
        let mut built = Self { first: allocate(tag, bytes)?.cast(), len: 0, owns: PhantomData };
        while built.len < len {
            let value = fill(built.len)?;
            // SAFETY: `built.len < len`, so the place is inside the allocation.
            let place = unsafe { built.first.add(built.len) };
            // SAFETY: the place is allocated, aligned and holds no value yet.
            unsafe { place.write(value) };
            built.len += 1;
        }
        Ok(built)
    }
}

impl<T> Deref for PoolSlice<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `len` initialised values lie at `first`; the borrow of `self` covers them.
        unsafe { slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for PoolSlice<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `self` is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.first.as_ptr(), self.len) }
    }
}

impl<T> Drop for PoolSlice<T> {
    fn drop(&mut self) {
        let values = ptr::slice_from_raw_parts_mut(self.first.as_ptr(), self.len);
        // SAFETY: `len` values are initialised and this is their only owner's drop.
        unsafe { ptr::drop_in_place(values) };
        // SAFETY: the memory came from `allocate`, and its values are gone.
        unsafe { free(self.first.cast()) };
    }
}

impl<T: fmt::Debug> fmt::Debug for PoolSlice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
