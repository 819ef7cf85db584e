//! Which requests are under way.
//!
//! A request's handle is a place in a fixed table together with the number of times the place has been used, so a
//! handle that is used after its request was completed is always recognised, whatever has come in since.

use core::sync::atomic::{AtomicUsize, Ordering};

/// Bits of a handle that are the place.
const PLACE_BITS: u32 = 10;
/// Requests that can be under way at once.
pub(crate) const CAPACITY: usize = 1 << PLACE_BITS;
/// No request.
const FREE: usize = 0;
/// Being filled.
const CLAIMED: usize = 1;
/// Handles look like pointers: never null, and aligned.
const SHIFT: u32 = 4;

/// A request: the addresses of its IRP and of the device it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Address of the IRP.
    pub(crate) irp: usize,
    /// Address of the device.
    pub(crate) device: usize,
}

/// The table.
pub(crate) struct Slots {
    slots: [Slot; CAPACITY],
    uses: AtomicUsize,
}

struct Slot {
    /// [`FREE`], [`CLAIMED`] or the handle.
    state: AtomicUsize,
    irp: AtomicUsize,
    device: AtomicUsize,
}

impl Slots {
    /// An empty table.
    pub(crate) const fn new() -> Self {
        let slots = [const {
            Slot { state: AtomicUsize::new(FREE), irp: AtomicUsize::new(0), device: AtomicUsize::new(0) }
        }; CAPACITY];
        Self { slots, uses: AtomicUsize::new(0) }
    }

    /// Notes a request and returns its handle; `None` if there are too many.
    pub(crate) fn insert(&self, entry: Entry) -> Option<usize> {
        let number = self.uses.fetch_add(1, Ordering::Relaxed);
        for offset in 0..CAPACITY {
            let place = number.wrapping_add(offset) % CAPACITY;
            let slot = self.slots.get(place)?;
            let claim = slot.state.compare_exchange(FREE, CLAIMED, Ordering::Acquire, Ordering::Relaxed);
            if claim.is_err() {
                continue;
            }
            slot.irp.store(entry.irp, Ordering::Relaxed);
            slot.device.store(entry.device, Ordering::Relaxed);
            let handle = (number.wrapping_add(1) << PLACE_BITS | place) << SHIFT;
            slot.state.store(handle, Ordering::Release);
            return Some(handle);
        }
        None
    }

    /// The request behind `handle`; `None` if there is none any more.
    pub(crate) fn get(&self, handle: usize) -> Option<Entry> {
        let slot = self.slot(handle)?;
        let is_current = slot.state.load(Ordering::Acquire) == handle;
        is_current.then(|| Entry {
            irp: slot.irp.load(Ordering::Relaxed),
            device: slot.device.load(Ordering::Relaxed),
        })
    }

    /// Ends the request behind `handle`, once: of several callers one gets it.
    pub(crate) fn remove(&self, handle: usize) -> Option<Entry> {
        let entry = self.get(handle)?;
        let slot = self.slot(handle)?;
        let removed = slot.state.compare_exchange(handle, FREE, Ordering::AcqRel, Ordering::Relaxed);
        removed.is_ok().then_some(entry)
    }

    /// How many requests to the device at `device` are under way.
    pub(crate) fn count(&self, device: usize) -> usize {
        let handles = self.slots.iter().map(|slot| slot.state.load(Ordering::Acquire));
        handles.filter_map(|handle| self.get(handle)).filter(|entry| entry.device == device).count()
    }

    fn slot(&self, handle: usize) -> Option<&Slot> {
        let is_handle = handle > CLAIMED && handle.trailing_zeros() >= SHIFT;
        is_handle.then(|| self.slots.get(handle >> SHIFT & (CAPACITY - 1)))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: Entry = Entry { irp: 0x1000, device: 0x2000 };

    #[test]
    fn a_request_ends_once() {
        let slots = Slots::new();
        let handle = slots.insert(ENTRY).expect("room");
        assert_eq!(slots.get(handle), Some(ENTRY));
        assert_eq!(slots.remove(handle), Some(ENTRY));
        assert_eq!(slots.remove(handle), None);
        assert_eq!(slots.get(handle), None);
    }

    #[test]
    fn an_old_handle_stays_dead_when_its_place_is_used_again() {
        let slots = Slots::new();
        let old = slots.insert(ENTRY).expect("room");
        slots.remove(old);
        let device = |number| Entry { device: number, ..ENTRY };
        let young: Vec<_> = (0..CAPACITY).map(|number| slots.insert(device(number)).expect("room")).collect();
        assert_eq!(slots.get(old), None);
        assert!(!young.contains(&old));
        assert_eq!(slots.insert(ENTRY), None, "the table is full");
        assert_eq!(slots.count(5), 1);
    }

    #[test]
    fn nonsense_is_no_handle() {
        let slots = Slots::new();
        slots.insert(ENTRY).expect("room");
        for handle in [0, 1, 8, usize::MAX, usize::MAX << SHIFT] {
            assert_eq!(slots.get(handle), None);
        }
    }

    #[test]
    fn of_two_threads_that_end_a_request_one_gets_it() {
        let slots = Slots::new();
        for _ in 0..1000 {
            let handle = slots.insert(ENTRY).expect("room");
            let winners = std::thread::scope(|scope| {
                let other = scope.spawn(|| slots.remove(handle).is_some());
                let here = slots.remove(handle).is_some();
                [here, other.join().expect("no panic")].into_iter().filter(|won| *won).count()
            });
            assert_eq!(winners, 1);
        }
    }
}
