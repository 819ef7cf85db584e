//! Sockets that go while somebody adds them up.
//!
//! One that goes leaves its counts behind and then leaves the table. Who looks in between would count it twice, and who reads what
//! was left behind before and the table after that would not count it at all. So both steps are one under a lock, which also counts
//! them: a look before and after which the number is the same has seen each socket once.

use kernel::lock::SpinLock;

/// Looks without the lock, before one is made with it held.
const LOOKS: usize = 16;

/// The lock, and how many sockets have gone. IRQL <= DISPATCH_LEVEL. It is taken before the locks of tables, adapters and sockets.
pub(crate) struct Departures(SpinLock<u64>);

impl Departures {
    pub(crate) const fn new() -> Self {
        Self(SpinLock::new(0))
    }

    /// Runs `leave`, with which a socket goes.
    pub(crate) fn depart<R>(&self, leave: impl FnOnce() -> R) -> R {
        let mut gone = self.0.lock();
        *gone = gone.wrapping_add(1);
        leave()
    }

    /// The result of a look during which no socket went: of one of the first, or of one that keeps sockets from going.
    pub(crate) fn census<R>(&self, look: impl Fn() -> R) -> R {
        for _ in 0..LOOKS {
            let before = *self.0.lock();
            let result = look();
            if *self.0.lock() == before {
                return result;
            }
        }
        let _nobody_goes = self.0.lock();
        look()
    }
}

#[cfg(test)]
mod tests {
    use super::{Departures, LOOKS};
    use core::cell::Cell;

    #[test]
    fn a_look_that_a_departure_crosses_is_repeated() {
        let departures = Departures::new();
        let looks = Cell::new(0);
        let look = || {
            looks.set(looks.get() + 1);
            if looks.get() < 3 {
                departures.depart(|| ());
            }
            looks.get()
        };
        assert_eq!(departures.census(look), 3);
        assert_eq!(departures.census(|| 7), 7);
    }

    #[test]
    fn where_sockets_go_all_the_time_the_last_look_keeps_them() {
        let departures = Departures::new();
        let looks = Cell::new(0);
        let result = departures.census(|| {
            looks.set(looks.get() + 1);
            if looks.get() <= LOOKS {
                departures.depart(|| ());
            }
            // Nobody could depart in the one that counts: the lock is held.
            looks.get()
        });
        assert_eq!(result, LOOKS + 1);
    }
}
