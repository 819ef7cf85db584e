//! The reference to its owner that an IRP carries until it has been completed.

use core::ffi::c_void;
use core::ptr;

use kernel::pool::Shared;

/// Gives a reference back.
pub(crate) type Release = unsafe fn(*const c_void);

/// One reference to a [`Shared`] owner of any type, or none, as two words that fit into an IRP.
///
/// Plain words: whoever moves them out of their place has the reference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeper {
    pub(crate) owner: *const c_void,
    pub(crate) release: Option<Release>,
}

impl Keeper {
    /// No owner.
    pub(crate) const NONE: Self = Self { owner: ptr::null(), release: None };

    /// Takes one reference to `owner`.
    pub(crate) fn of<O>(owner: &Shared<O>) -> Self {
        Self { owner: Shared::into_raw(owner.clone()).cast(), release: Some(release::<O>) }
    }

    /// Whether there is a reference.
    pub(crate) const fn is_some(&self) -> bool {
        self.release.is_some()
    }

    /// Whether the reference is one to `owner`.
    pub(crate) fn is<O>(&self, owner: &Shared<O>) -> bool {
        ptr::eq(self.owner, Shared::as_ptr(owner).cast())
    }

    /// Turns the reference back into what it was made of.
    ///
    /// # Safety
    /// Made by [`of`](Self::of) with this `O`, and not released yet.
    pub(crate) unsafe fn into_shared<O>(self) -> Shared<O> {
        // SAFETY: as for this function.
        unsafe { Shared::from_raw(self.owner.cast()) }
    }

    /// Gives the reference back, if there is one. The owner's drop may run in this call.
    ///
    /// # Safety
    /// Called once for each [`of`](Self::of), with no lock held that the owner's drop needs.
    pub(crate) unsafe fn release(self) {
        if let Some(release) = self.release {
            // SAFETY: the two words were made together.
            unsafe { release(self.owner) };
        }
    }
}

/// # Safety
/// `owner` came from `Shared::<O>::into_raw`, and the reference is taken back once.
unsafe fn release<O>(owner: *const c_void) {
    // SAFETY: as for this function.
    drop(unsafe { Shared::<O>::from_raw(owner.cast()) });
}
