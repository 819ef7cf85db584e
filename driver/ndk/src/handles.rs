//! The contexts that a provider is given for its callbacks: numbers, not pointers.
//!
//! Each is a [`Key`] in a table of the adapter's. The callback looks its object up and gets a reference of its own, so the
//! object cannot go while the callback runs. A callback that comes when it must not finds nothing, and is counted:
//! for the adapter, or, when that is gone, among the [strays](stray_callbacks).
//!
//! * What happens any number of times, as events do, has a context that is [bound](Reserved::bind) to the object until it is
//!   [unbound](Reserved::unbind).
//! * What ends once, as requests and closes do, has a context that is [issued](Reserved::issue), and [taken](take) by its end.
//!
//! A lookup takes one spin lock, which is the adapter's, for a few instructions, and allocates nothing. Under the lock nothing
//! is called, and no reference is dropped.

use crate::TAG;
use crate::faults::{Fault, Faults};
use crate::table::{self, Key, PLACE_BITS, SERIAL_BITS, Table};
use abi::NTSTATUS;
use abi::status::STATUS_INSUFFICIENT_RESOURCES;
use core::any::TypeId;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::lock::SpinLock;
use kernel::pool::Shared;

/// Adapters at a time, with those whose last callbacks are waited for.
const ADAPTERS: usize = 64;
const ADAPTER_BITS: u32 = 6;

const _: () = assert!(ADAPTER_BITS + PLACE_BITS + SERIAL_BITS == usize::BITS, "a context has room for a key");
const _: () = assert!(ADAPTERS == 1 << ADAPTER_BITS, "and for the number of an adapter");

/// A reference to an object of some type.
struct Entry {
    object: *const (),
    kind: TypeId,
    /// Of a context that was issued: its end must be found.
    handles: Option<Shared<Handles>>,
}

// SAFETY: made of a reference that may be used and dropped anywhere.
unsafe impl Send for Entry {}

impl Entry {
    fn new<T: Send + Sync + 'static>(object: Shared<T>, handles: Option<Shared<Handles>>) -> Self {
        Self { object: Shared::into_raw(object).cast(), kind: TypeId::of::<T>(), handles }
    }

    fn is<T: 'static>(&self) -> bool {
        self.kind == TypeId::of::<T>()
    }

    fn is_issued<T: 'static>(&self) -> bool {
        self.is::<T>() && self.handles.is_some()
    }

    /// Another reference to the object; `None` when it is of another type.
    fn another<T: Send + Sync + 'static>(&self) -> Option<Shared<T>> {
        if !self.is::<T>() {
            return None;
        }
        // SAFETY: the object is a `T`, and the entry has a reference to it.
        Some(unsafe { Shared::clone_from_raw(self.object.cast()) })
    }

    /// The reference itself. One to an object of another type is left for ever.
    fn into_object<T: Send + Sync + 'static>(self) -> Option<Shared<T>> {
        if !self.is::<T>() {
            return None;
        }
        // SAFETY: the object is a `T`; the reference is the entry's, which ends here.
        Some(unsafe { Shared::from_raw(self.object.cast()) })
    }
}

/// The contexts of one adapter.
struct Contexts {
    /// The serial number of the adapter itself, older than all of its contexts; 0: there is none.
    id: u64,
    table: Table<Entry>,
    faults: Option<Shared<Faults>>,
}

impl Contexts {
    const NONE: Self = Self { id: 0, table: Table::without_places(), faults: None };

    /// A callback came that must not.
    fn note(&self, key: Key, fault: Fault) {
        match &self.faults {
            Some(faults) if key.serial() > self.id => faults.note(fault),
            _ => {
                STRAYS.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

static CONTEXTS: [SpinLock<Contexts>; ADAPTERS] = [const { SpinLock::new(Contexts::NONE) }; ADAPTERS];
static STRAYS: AtomicU32 = AtomicU32::new(0);

/// Callbacks that came for adapters that are gone. IRQL <= DISPATCH_LEVEL.
#[must_use]
pub fn stray_callbacks() -> u32 {
    STRAYS.load(Ordering::Relaxed)
}

/// The contexts of one adapter, as long as this lives, which every context that somebody has keeps up. Afterwards nothing
/// finds anything.
pub(crate) struct Handles {
    adapter: usize,
}

impl Handles {
    /// For an adapter whose provider's faults are counted in `faults`. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES: no memory, or there are too many adapters.
    pub(crate) fn open(faults: &Shared<Faults>) -> Result<Shared<Self>, NTSTATUS> {
        let table = Table::new().map_err(|no_memory| no_memory.status())?;
        let mut new = Contexts { id: table::serial(), table, faults: Some(faults.clone()) };
        let free = CONTEXTS.iter().position(|contexts| {
            let mut contexts = contexts.lock();
            let free = contexts.id == 0;
            if free {
                core::mem::swap(&mut *contexts, &mut new);
            }
            free
        });
        let adapter = free.ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
        Shared::try_new(TAG, Self { adapter }).map_err(|no_memory| no_memory.status())
    }

    /// A context for something that is to come. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub(crate) fn reserve(this: &Shared<Self>) -> Result<Reserved, NTSTATUS> {
        let contexts = CONTEXTS.get(this.adapter).ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
        let key = table::reserve(contexts, |contexts| &mut contexts.table)?;
        Ok(Reserved { handles: this.clone(), key })
    }

    fn with<R>(&self, f: impl FnOnce(&mut Table<Entry>) -> Option<R>) -> Option<R> {
        f(&mut CONTEXTS.get(self.adapter)?.lock().table)
    }
}

impl Drop for Handles {
    fn drop(&mut self) {
        let contexts = CONTEXTS.get(self.adapter).map(|contexts| {
            let mut contexts = contexts.lock();
            core::mem::replace(&mut *contexts, Contexts::NONE)
        });
        drop(contexts);
    }
}

/// A context that belongs to whoever has this. Dropping it gives it back, and nothing finds anything by it any more. IRQL <=
/// DISPATCH_LEVEL.
pub(crate) struct Reserved {
    handles: Shared<Handles>,
    key: Key,
}

impl Reserved {
    /// What the provider is given.
    pub(crate) fn context(&self) -> *mut c_void {
        context(self.handles.adapter, self.key)
    }

    /// From now on the context [finds](find) the object, which has this reference until [`unbind`](Self::unbind). Once.
    pub(crate) fn bind<T: Send + Sync + 'static>(&self, object: Shared<T>) {
        let before = self.handles.with(|table| table.put(self.key, Entry::new(object, None)).ok());
        debug_assert!(matches!(before, Some(None)), "bound once, by its owner");
    }

    /// The context finds nothing any more; the reference of [`bind`](Self::bind), once.
    pub(crate) fn unbind<T: Send + Sync + 'static>(&self) -> Option<Shared<T>> {
        self.handles.with(|table| table.take(self.key))?.into_object()
    }

    /// A context for one end of one request: [`take`] gets the object by it, once.
    pub(crate) fn issue<T: Send + Sync + 'static>(mut self, object: Shared<T>) -> *mut c_void {
        let entry = Entry::new(object, Some(self.handles.clone()));
        // The place is the entry's from here on, and its taker's.
        let before = core::mem::replace(&mut self.key, Key::NOTHING);
        let key = self.handles.with(|table| {
            // Another key than before, by which a second end of what was before may come.
            let key = table.renew(before)?;
            table.put(key, entry).ok()?;
            Some(key)
        });
        context(self.handles.adapter, key.unwrap_or(Key::NOTHING))
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.key == Key::NOTHING {
            return;
        }
        // What is bound to it keeps its owner, so nothing is.
        let left = self.handles.with(|table| table.release(self.key));
        debug_assert!(left.is_none(), "unbound before");
    }
}

fn context(adapter: usize, key: Key) -> *mut c_void {
    ptr::without_provenance_mut((key.to_bits() << ADAPTER_BITS) as usize | adapter)
}

fn parts(context: *mut c_void) -> (usize, Key) {
    let bits = context.addr();
    (bits % ADAPTERS, Key::from_bits((bits / ADAPTERS) as u64))
}

/// The object that a context is bound to. If there is none, or one of another type, `fault` is counted. IRQL <=
/// DISPATCH_LEVEL.
pub(crate) fn find<T: Send + Sync + 'static>(context: *mut c_void, fault: Fault) -> Option<Shared<T>> {
    let (adapter, key) = parts(context);
    let contexts = CONTEXTS.get(adapter)?.lock();
    let found = contexts.table.get(key).and_then(Entry::another);
    if found.is_none() {
        contexts.note(key, fault);
    }
    found
}

/// The object that a context was issued for, and a context for what it asks for next. If it was taken before, or is none of
/// this type, a second answer is counted. IRQL <= DISPATCH_LEVEL.
pub(crate) fn take<T: Send + Sync + 'static>(context: *mut c_void) -> Option<(Shared<T>, Reserved)> {
    let (adapter, key) = parts(context);
    let (entry, key) = {
        let mut contexts = CONTEXTS.get(adapter)?.lock();
        let is_there = contexts.table.get(key).is_some_and(Entry::is_issued::<T>);
        if !is_there {
            contexts.note(key, Fault::AnsweredTwice);
            return None;
        }
        let entry = contexts.table.take(key)?;
        (entry, contexts.table.renew(key)?)
    };
    let Entry { object, kind, handles } = entry;
    let object = Entry { object, kind, handles: None }.into_object()?;
    Some((object, Reserved { handles: handles?, key }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicI32;
    use std::vec::Vec;

    /// The contexts of an adapter, and its faults.
    fn open() -> (Shared<Handles>, Shared<Faults>) {
        let faults = Shared::try_new(TAG, Faults::default()).unwrap();
        (Handles::open(&faults).unwrap(), faults)
    }

    fn object(value: u32) -> Shared<AtomicU32> {
        Shared::try_new(TAG, AtomicU32::new(value)).unwrap()
    }

    fn value(found: Option<Shared<AtomicU32>>) -> Option<u32> {
        found.map(|found| found.load(Ordering::Relaxed))
    }

    #[test]
    fn what_is_bound_is_found_until_it_is_unbound() {
        let _alone = ksim::exclusive();
        let (handles, faults) = open();
        let reserved = Handles::reserve(&handles).unwrap();
        let context = reserved.context();
        let of = |context| value(find::<AtomicU32>(context, Fault::EventTooMany));
        assert_eq!(of(context), None, "nothing is bound yet");
        reserved.bind(object(7));
        assert_eq!((of(context), of(context)), (Some(7), Some(7)));
        // Callbacks of another kind get nothing that they would take for their own.
        assert!(find::<AtomicI32>(context, Fault::EventTooMany).is_none());
        assert!(take::<AtomicI32>(context).is_none());
        assert!(take::<AtomicU32>(context).is_none(), "not issued");
        assert_eq!(value(reserved.unbind()), Some(7));
        assert!(reserved.unbind::<AtomicU32>().is_none());
        assert_eq!(of(context), None);
        drop(reserved);
        assert_eq!(of(context), None);
        // Whoever has the place next is another one.
        let next = Handles::reserve(&handles).unwrap();
        next.bind(object(8));
        assert_eq!((of(context), of(next.context())), (None, Some(8)));
        drop(next.unbind::<AtomicU32>());
        assert_eq!((faults.count(Fault::EventTooMany), faults.count(Fault::AnsweredTwice)), (5, 2));
    }

    #[test]
    fn what_is_issued_is_taken_once() {
        let _alone = ksim::exclusive();
        let (handles, faults) = open();
        let reserved = Handles::reserve(&handles).unwrap();
        let before = reserved.context();
        let first = reserved.issue(object(1));
        let (found, again) = take::<AtomicU32>(first).unwrap();
        let second = again.issue(found);
        assert!(before != first && first != second && before != second);
        assert!(take::<AtomicU32>(first).is_none() && take::<AtomicU32>(before).is_none());
        // What was issued keeps the table up.
        drop(handles);
        assert!(take::<AtomicU32>(second).is_some());
        let strays = stray_callbacks();
        assert!(take::<AtomicU32>(second).is_none());
        assert_eq!(stray_callbacks(), strays.wrapping_add(1));
        assert_eq!(faults.count(Fault::AnsweredTwice), 2);
    }

    /// Ends that come at the same time from several processors are one.
    #[test]
    fn one_of_many_takes_it() {
        let _alone = ksim::exclusive();
        let (handles, faults) = open();
        for _ in 0..200 {
            let context = Handles::reserve(&handles).unwrap().issue(object(1)).addr();
            let taken = AtomicU32::new(0);
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        if take::<AtomicU32>(ptr::without_provenance_mut(context)).is_some() {
                            taken.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
            assert_eq!(taken.into_inner(), 1);
        }
        assert_eq!(faults.count(Fault::AnsweredTwice), 400);
    }

    #[test]
    fn there_are_so_many_adapters() {
        let _alone = ksim::exclusive();
        let faults = Shared::try_new(TAG, Faults::default()).unwrap();
        let mut all: Vec<_> = core::iter::from_fn(|| Handles::open(&faults).ok()).collect();
        assert_eq!(all.len(), ADAPTERS);
        assert_eq!(Handles::open(&faults).err(), Some(STATUS_INSUFFICIENT_RESOURCES));
        all.pop();
        assert!(Handles::open(&faults).is_ok());
    }

    #[test]
    fn no_memory() {
        let _alone = ksim::exclusive();
        let faults = Shared::try_new(TAG, Faults::default()).unwrap();
        for successes in 0..2 {
            let _failing = ksim::pool::fail_after(successes);
            assert_eq!(Handles::open(&faults).err(), Some(STATUS_INSUFFICIENT_RESOURCES));
        }
        let (handles, _) = open();
        let held: Vec<_> = (0..64).map(|_| Handles::reserve(&handles).unwrap()).collect();
        {
            let _failing = ksim::pool::fail_after(0);
            assert_eq!(Handles::reserve(&handles).err(), Some(STATUS_INSUFFICIENT_RESOURCES));
        }
        assert!(Handles::reserve(&handles).is_ok());
        drop(held);
    }
}
