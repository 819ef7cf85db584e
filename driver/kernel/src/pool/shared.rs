//! A reference-counted value in non-paged pool.

use core::fmt;
use core::marker::PhantomData;
use core::mem::{ManuallyDrop, align_of, offset_of, size_of};
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::AtomicUsize;

use super::{AllocError, POOL_ALIGNMENT, PoolTag, allocate, free};
use crate::bugcheck::{DRIVER_VIOLATION, REFERENCE_COUNT_OVERFLOW, bugcheck};
use crate::word::{CountOverflow, RefCount};

struct Counted<T> {
    count: RefCount<AtomicUsize>,
    value: T,
}

/// One of several owners of a `T` in non-paged pool; the last one dropped drops the value and frees the memory.
///
/// Cloning and dropping cost one atomic operation each and are allowed at IRQL ≤ DISPATCH_LEVEL. The last drop runs
/// wherever it happens to run: a `T` whose own drop needs PASSIVE_LEVEL must see to it.
///
/// A count that would overflow is a violated invariant (the driver leaks references) and ends in a bug check: going on
/// would free memory that is in use.
pub struct Shared<T> {
    counted: NonNull<Counted<T>>,
    owns: PhantomData<Counted<T>>,
}

// SAFETY: owners on several processors share the value (`Sync`), and any of them may drop it (`Send`).
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as for `Send`: `&Shared<T>` can be cloned into an owner.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    const ALIGNED: () =
        assert!(align_of::<Counted<T>>() <= POOL_ALIGNMENT, "pool memory is only 16-byte aligned");

    /// Moves `value` into pool with one owner. IRQL ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// [`AllocError`]: no memory; `value` is dropped.
    pub fn try_new(tag: PoolTag, value: T) -> Result<Self, AllocError> {
        Self::try_new_cyclic(tag, |_| Ok(value))
    }

    /// Builds a value that must know its own address, as the context of a DPC inside it.
    ///
    /// `build` gets the address the value will have: the same that [`into_raw`](Self::into_raw) gives. It may store
    /// the address, but nothing may follow it before this call has returned. IRQL ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// No memory (`build` is not called), or whatever `build` returns; nothing is left allocated.
    pub fn try_new_cyclic<E: From<AllocError>>(
        tag: PoolTag,
        build: impl FnOnce(*const T) -> Result<T, E>,
    ) -> Result<Self, E> {
        const { Self::ALIGNED };
        let memory = allocate(tag, size_of::<Counted<T>>())?;
        let counted = memory.cast::<Counted<T>>();
        // SAFETY: the offset lies inside the allocation just made.
        let address = unsafe { memory.byte_add(offset_of!(Counted<T>, value)) }.cast::<T>();
        match build(address.as_ptr()) {
            Ok(value) => {
                // SAFETY: the allocation is fresh, large enough and aligned (checked above).
                unsafe { counted.write(Counted { count: RefCount::new(), value }) };
                Ok(Self { counted, owns: PhantomData })
            }
            Err(error) => {
                // SAFETY: allocated above and never shared: there is no value at the address that `build` saw.
                unsafe { free(memory) };
                Err(error)
            }
        }
    }

    /// Whether both are owners of the same value.
    #[must_use]
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        this.counted == other.counted
    }

    /// The address of the value, without giving up ownership.
    #[must_use]
    pub fn as_ptr(this: &Self) -> *const T {
        &raw const **this
    }

    /// Turns this owner into a plain pointer, for a context word of a foreign structure.
    ///
    /// The reference lives on until [`from_raw`](Self::from_raw) takes it back.
    #[must_use = "the reference leaks unless it is taken back"]
    pub fn into_raw(this: Self) -> *const T {
        Self::as_ptr(&ManuallyDrop::new(this))
    }

    /// Takes back the reference that [`into_raw`](Self::into_raw) put into `value`.
    ///
    /// # Safety
    /// `value` came from `into_raw` of a `Shared<T>`, and each such reference is taken back once.
    #[must_use]
    pub unsafe fn from_raw(value: *const T) -> Self {
        let address = value.cast_mut().cast::<u8>();
        // SAFETY: the value lies at this offset inside its `Counted`, which is one allocation.
        let counted = unsafe { address.sub(offset_of!(Counted<T>, value)) }.cast::<Counted<T>>();
        // SAFETY: an address inside an allocation is not null.
        let counted = unsafe { NonNull::new_unchecked(counted) };
        Self { counted, owns: PhantomData }
    }

    /// Makes one more owner from a pointer to the value, leaving the reference behind the pointer alone.
    ///
    /// # Safety
    /// `value` is the address of a value inside a `Shared<T>` of which some owner lives during this call.
    #[must_use]
    pub unsafe fn clone_from_raw(value: *const T) -> Self {
        // SAFETY: the same address `into_raw` would give; the borrowed owner is forgotten and not dropped.
        let borrowed = ManuallyDrop::new(unsafe { Self::from_raw(value) });
        Self::clone(&borrowed)
    }

    #[cfg(test)]
    pub(crate) fn count_for_test(&self) -> &RefCount<AtomicUsize> {
        self.count()
    }

    fn count(&self) -> &RefCount<AtomicUsize> {
        // SAFETY: this owner's reference keeps the allocation alive; the count is only ever shared.
        unsafe { &(*self.counted.as_ptr()).count }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        if let Err(CountOverflow) = self.count().acquire() {
            let address = self.counted.as_ptr().addr();
            bugcheck(DRIVER_VIOLATION, REFERENCE_COUNT_OVERFLOW, address, 0, 0);
        }
        Self { counted: self.counted, owns: PhantomData }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this owner's reference keeps the value alive, and owners only share it.
        unsafe { &(*self.counted.as_ptr()).value }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        if !self.count().release() {
            return;
        }
        // SAFETY: this was the last reference, so nobody else can reach the value.
        unsafe { self.counted.drop_in_place() };
        // SAFETY: the memory came from `allocate`, and its value is gone.
        unsafe { free(self.counted.cast()) };
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
