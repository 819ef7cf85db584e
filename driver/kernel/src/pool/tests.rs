use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::vec::Vec;

use ksim::pool::{Scope, fail_after};
use ksim::stop::DRIVER_VIOLATION;

use super::{AllocError, PoolBox, PoolSlice, PoolTag, Shared};

const TAG: PoolTag = PoolTag::new(b"PoTe");

/// Counts its drops.
struct Counts<'drops>(&'drops AtomicUsize);

impl Drop for Counts<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// An error of a constructor, or no memory.
#[derive(PartialEq, Eq, Debug)]
enum BuildError {
    NoMemory,
    Refused(usize),
}

impl From<AllocError> for BuildError {
    fn from(AllocError: AllocError) -> Self {
        Self::NoMemory
    }
}

#[test]
fn a_tag_reads_from_left_to_right_in_memory() {
    assert_eq!(TAG.get().to_ne_bytes(), *b"PoTe");
}

#[test]
fn a_box_owns_its_value_and_gives_everything_back() {
    let (scope, drops) = (Scope::new(), AtomicUsize::new(0));
    let mut boxed = PoolBox::try_new(TAG, (7_u32, Counts(&drops))).unwrap();
    boxed.0 += 1;
    assert_eq!(boxed.0, 8);
    let raw = boxed.into_raw();
    assert_eq!(drops.load(Ordering::Relaxed), 0);
    // SAFETY: from `into_raw`, once.
    drop(unsafe { PoolBox::from_raw(raw) });
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    scope.assert_empty();
}

#[test]
fn without_memory_a_value_is_dropped_and_an_error_returned() {
    let (scope, drops, failing) = (Scope::new(), AtomicUsize::new(0), fail_after(0));
    assert_eq!(PoolBox::try_new(TAG, Counts(&drops)).err(), Some(AllocError));
    assert_eq!(Shared::try_new(TAG, Counts(&drops)).err(), Some(AllocError));
    assert_eq!(drops.load(Ordering::Relaxed), 2);
    let called = Cell::new(false);
    assert_eq!(PoolSlice::try_new_with(TAG, 3, |_| called.set(true)).err(), Some(AllocError));
    assert!(!called.get());
    assert!(failing.has_failed());
    scope.assert_empty();
}

#[test]
fn a_slice_holds_what_was_filled_in() {
    let scope = Scope::new();
    let mut slice = PoolSlice::try_new_with(TAG, 1000, |index| index * 2).unwrap();
    slice[3] = 1;
    assert_eq!(slice.len(), 1000);
    assert_eq!(slice[..5], [0, 2, 4, 1, 8]);
    drop(slice);
    assert!(PoolSlice::try_new_with(TAG, 0, |index| index).unwrap().is_empty());
    scope.assert_empty();
}

#[test]
fn a_slice_whose_size_does_not_fit_is_refused() {
    assert_eq!(PoolSlice::try_new_with(TAG, usize::MAX / 4, |index| index).err(), Some(AllocError));
}

#[test]
fn a_slice_that_fails_half_way_drops_what_it_has() {
    let (scope, drops) = (Scope::new(), AtomicUsize::new(0));
    let build = |index| if index < 3 { Ok(Counts(&drops)) } else { Err(BuildError::Refused(index)) };
    assert_eq!(PoolSlice::try_build(TAG, 9, build).err(), Some(BuildError::Refused(3)));
    assert_eq!(drops.load(Ordering::Relaxed), 3);
    scope.assert_empty();
}

#[test]
fn shared_owners_see_one_value_and_the_last_one_frees_it() {
    let (scope, drops) = (Scope::new(), AtomicUsize::new(0));
    let one = Shared::try_new(TAG, Counts(&drops)).unwrap();
    let two = one.clone();
    assert!(Shared::ptr_eq(&one, &two));
    let other = Shared::try_new(TAG, Counts(&drops)).unwrap();
    assert!(!Shared::ptr_eq(&one, &other));
    drop(other);
    let raw = Shared::into_raw(one);
    assert_eq!(raw, Shared::as_ptr(&two));
    drop(two);
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    // SAFETY: the reference behind `raw` lives.
    let three = unsafe { Shared::clone_from_raw(raw) };
    // SAFETY: from `into_raw`, once.
    drop(unsafe { Shared::from_raw(raw) });
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    drop(three);
    assert_eq!(drops.load(Ordering::Relaxed), 2);
    scope.assert_empty();
}

#[test]
fn a_value_can_know_the_address_it_will_have() {
    struct Knows {
        own: *const Knows,
        _aligned: u128,
    }
    let build = |own| Ok::<_, AllocError>(Knows { own, _aligned: 0 });
    let shared = Shared::try_new_cyclic(TAG, build).unwrap();
    assert_eq!(shared.own, Shared::as_ptr(&shared));
    let boxed = PoolBox::try_new_cyclic(TAG, build).unwrap();
    assert_eq!(boxed.own, boxed.as_ptr().cast_const());
}

#[test]
fn a_constructor_that_refuses_leaves_nothing() {
    let scope = Scope::new();
    let refuse = |_: *const u64| Err(BuildError::Refused(0));
    assert_eq!(Shared::try_new_cyclic(TAG, refuse).err(), Some(BuildError::Refused(0)));
    assert_eq!(PoolBox::try_new_cyclic(TAG, refuse).err(), Some(BuildError::Refused(0)));
    scope.assert_empty();
}

#[test]
fn a_count_that_would_overflow_stops_the_machine() {
    let stop = ksim::stops(|| {
        let shared = Shared::try_new(TAG, 0_u8).unwrap();
        shared.count_for_test().set_for_test(isize::MAX.unsigned_abs());
        let _second = shared.clone();
    });
    assert!(stop.is_some_and(|stop| stop.is(DRIVER_VIOLATION)));
}

#[test]
fn owners_on_many_threads_leave_one_by_one() {
    let drops = AtomicUsize::new(0);
    let shared = Shared::try_new(TAG, Counts(&drops)).unwrap();
    std::thread::scope(|scope| {
        let owners: Vec<_> = (0..4).map(|_| shared.clone()).collect();
        for owner in owners {
            scope.spawn(move || (0..1000).for_each(|_| drop(owner.clone())));
        }
        drop(shared);
    });
    assert_eq!(drops.load(Ordering::Relaxed), 1);
}
