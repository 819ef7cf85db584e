//! Sockets that go while somebody adds them up.
//!
//! One that goes leaves its counts behind and then leaves the table. Who looks in between would count it twice, and who reads what
//! was left behind before and the table after that would not count it at all. So both steps are bracketed by two counters: a look
//! during which neither has moved has seen each socket once.

use core::sync::atomic::{AtomicU64, Ordering};

/// Looks that are tried before one is taken as it is.
const LOOKS: usize = 16;

/// The brackets. IRQL <= DISPATCH_LEVEL; nobody waits.
pub(crate) struct Departures {
    begun: AtomicU64,
    ended: AtomicU64,
}

/// A socket is going.
pub(crate) struct Departure<'a>(&'a Departures);

impl Departures {
    pub(crate) const fn new() -> Self {
        Self { begun: AtomicU64::new(0), ended: AtomicU64::new(0) }
    }

    pub(crate) fn begin(&self) -> Departure<'_> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        Departure(self)
    }

    /// The result of a look during which no socket went, or of the last one.
    pub(crate) fn census<R>(&self, look: impl Fn() -> R) -> R {
        for _ in 1..LOOKS {
            let ended = self.ended.load(Ordering::SeqCst);
            let result = look();
            if self.begun.load(Ordering::SeqCst) == ended {
                return result;
            }
        }
        look()
    }
}

impl Drop for Departure<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::Departures;
    use core::cell::Cell;

    #[test]
    fn a_look_that_a_departure_crosses_is_repeated() {
        let departures = Departures::new();
        let looks = Cell::new(0);
        let look = || {
            looks.set(looks.get() + 1);
            if looks.get() < 3 {
                drop(departures.begin());
            }
            looks.get()
        };
        assert_eq!(departures.census(look), 3);
        assert_eq!(departures.census(|| 7), 7);
    }

    #[test]
    fn a_look_inside_a_departure_is_repeated_but_not_for_ever() {
        let departures = Departures::new();
        let going = departures.begin();
        let looks = Cell::new(0);
        departures.census(|| looks.set(looks.get() + 1));
        assert_eq!(looks.get(), super::LOOKS);
        drop(going);
        looks.set(0);
        departures.census(|| looks.set(looks.get() + 1));
        assert_eq!(looks.get(), 1);
    }
}
