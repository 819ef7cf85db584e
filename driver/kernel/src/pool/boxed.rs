//! One owned value in non-paged pool.

use core::fmt;
use core::marker::PhantomData;
use core::mem::{ManuallyDrop, align_of, size_of};
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use super::{AllocError, POOL_ALIGNMENT, PoolTag, allocate, free};

/// Owns one `T` in non-paged pool; the address never changes while the box lives.
///
/// Dropping it drops the value and frees the memory (IRQL ≤ DISPATCH_LEVEL, or lower where `T`'s own drop asks for it).
pub struct PoolBox<T> {
    value: NonNull<T>,
    owns: PhantomData<T>,
}

// SAFETY: the box is the only owner of the value, so sending it sends the value.
unsafe impl<T: Send> Send for PoolBox<T> {}
// SAFETY: a shared box gives only shared access to the value.
unsafe impl<T: Sync> Sync for PoolBox<T> {}

impl<T> PoolBox<T> {
    const ALIGNED: () = assert!(align_of::<T>() <= POOL_ALIGNMENT, "pool memory is only 16-byte aligned");

    /// Moves `value` into pool. IRQL ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// [`AllocError`]: no memory; `value` is dropped.
    pub fn try_new(tag: PoolTag, value: T) -> Result<Self, AllocError> {
        Self::try_new_cyclic(tag, |_| Ok(value))
    }

    /// Builds a value that must know its own address, as the context of a routine that gets no other argument.
    ///
    /// `build` gets the address the value will have. It may store the address, but nothing may follow it before this
    /// call has returned, because there is no value there yet. IRQL ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// No memory (`build` is not called), or whatever `build` returns; nothing is left allocated.
    pub fn try_new_cyclic<E: From<AllocError>>(
        tag: PoolTag,
        build: impl FnOnce(*const T) -> Result<T, E>,
    ) -> Result<Self, E> {
        const { Self::ALIGNED };
        let memory = allocate(tag, size_of::<T>())?;
        let slot = memory.cast::<T>();
        match build(slot.as_ptr()) {
            Ok(value) => {
                // SAFETY: the allocation is fresh, large enough for a `T` and aligned for it (checked above).
                unsafe { slot.write(value) };
                Ok(Self { value: slot, owns: PhantomData })
            }
            Err(error) => {
                // SAFETY: allocated above and never shared: there is no value at the address that `build` saw.
                unsafe { free(memory) };
                Err(error)
            }
        }
    }

    /// Gives up ownership: the value lives until [`from_raw`](Self::from_raw) takes it back.
    #[must_use = "the value leaks unless it is taken back"]
    pub fn into_raw(self) -> *mut T {
        ManuallyDrop::new(self).value.as_ptr()
    }

    /// Takes back what [`into_raw`](Self::into_raw) gave away.
    ///
    /// # Safety
    /// `value` came from `into_raw` of a `PoolBox<T>`, is taken back once, and no reference to it is left.
    #[must_use]
    pub unsafe fn from_raw(value: *mut T) -> Self {
        // SAFETY: a pointer from `into_raw` is not null.
        let value = unsafe { NonNull::new_unchecked(value) };
        Self { value, owns: PhantomData }
    }

    /// The address of the value; valid while the box lives.
    #[must_use]
    pub fn as_ptr(&self) -> *mut T {
        self.value.as_ptr()
    }
}

impl<T> Deref for PoolBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the box owns an initialised value; the borrow of the box covers the borrow of the value.
        unsafe { self.value.as_ref() }
    }
}

impl<T> DerefMut for PoolBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and the box is borrowed exclusively.
        unsafe { self.value.as_mut() }
    }
}

impl<T> Drop for PoolBox<T> {
    fn drop(&mut self) {
        // SAFETY: the value is initialised and this is its only owner's drop.
        unsafe { self.value.drop_in_place() };
        // SAFETY: the memory came from `allocate`, and its value is gone.
        unsafe { free(self.value.cast()) };
    }
}

impl<T: fmt::Debug> fmt::Debug for PoolBox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
