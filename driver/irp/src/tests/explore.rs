//! Runs several parties through every order of their visible steps.
//!
//! Each party is a thread, but only one runs at a time: at each step (a word another party can see, a lock) it hands
//! over to the explorer, which picks who goes on. One run follows one list of picks; the explorer repeats the runs,
//! changing the last pick that still has an untried alternative, until there is none. So every interleaving is seen once,
//! or, with a bound, every interleaving with at most that many preemptions.
//!
//! The order is sequentially consistent: what the parties' atomics promise beyond that is not explored here.

use core::cell::RefCell;
use std::boxed::Box;
use std::collections::HashSet;
use std::string::String;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::vec::Vec;

/// Identifies a lock: its address.
pub(crate) type LockId = usize;

/// A limit that no exploration of these tests comes near; reaching it means that one does not end.
const RUNS_MAX: usize = 400_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Ready,
    Blocked(LockId),
    Done,
}

/// One decision: which of `options` was taken.
#[derive(Clone, Copy)]
struct Pick {
    taken: usize,
    options: usize,
}

struct State {
    parties: Vec<Status>,
    running: Option<usize>,
    held: HashSet<LockId>,
    /// Picks to follow; beyond its end the first option is taken.
    script: Vec<usize>,
    picks: Vec<Pick>,
    preemptions_left: usize,
    failure: Option<String>,
}

pub(crate) struct Scheduler {
    state: Mutex<State>,
    changed: Condvar,
}

std::thread_local! {
    static PARTY: RefCell<Option<(Arc<Scheduler>, usize)>> = const { RefCell::new(None) };
}

/// A step that other parties can see. Outside an exploration it does nothing.
pub(crate) fn step() {
    with_party(|scheduler, me| scheduler.hand_over(me, Status::Ready));
}

/// Before a lock is taken: waits until it is free.
pub(crate) fn acquire(lock: LockId) {
    with_party(|scheduler, me| {
        scheduler.hand_over(me, Status::Blocked(lock));
        scheduler.lock().held.insert(lock);
    });
}

/// After a lock was released.
pub(crate) fn release(lock: LockId) {
    with_party(|scheduler, _| {
        scheduler.lock().held.remove(&lock);
    });
}

fn with_party(work: impl FnOnce(&Scheduler, usize)) {
    let party = PARTY.with_borrow(Clone::clone);
    // A party that is unwinding must not wait for the others.
    if let Some((scheduler, me)) = party
        && !thread::panicking()
    {
        work(&scheduler, me);
    }
}

impl Scheduler {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Lets the explorer decide who goes on, and returns when it is `me` again.
    fn hand_over(&self, me: usize, status: Status) {
        let mut state = self.lock();
        state.parties[me] = status;
        state.pick(Some(me));
        self.changed.notify_all();
        self.wait_for_turn(state, me);
    }

    fn wait_for_turn(&self, mut state: MutexGuard<'_, State>, me: usize) {
        while state.running != Some(me) {
            if state.failure.is_some() {
                drop(state);
                panic!("another party failed");
            }
            state = self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        state.parties[me] = Status::Ready;
    }

    fn leave(&self, me: usize, failure: Option<String>) {
        let mut state = self.lock();
        state.parties[me] = Status::Done;
        match failure {
            Some(failure) => _ = state.failure.get_or_insert(failure),
            None => state.pick(None),
        }
        self.changed.notify_all();
    }
}

impl State {
    /// Picks who runs next; `current` is the party that could go on without a preemption.
    fn pick(&mut self, current: Option<usize>) {
        let mut options: Vec<usize> = Vec::new();
        // The current party comes first, so that the default is to go on without a switch.
        let order =
            current.into_iter().chain((0..self.parties.len()).filter(|party| Some(*party) != current));
        for party in order {
            match self.parties[party] {
                Status::Ready => options.push(party),
                Status::Blocked(lock) if !self.held.contains(&lock) => options.push(party),
                Status::Blocked(_) | Status::Done => {}
            }
        }
        let can_go_on = current.is_some() && options.first() == current.as_ref();
        if can_go_on && self.preemptions_left == 0 {
            options.truncate(1);
        }
        if options.is_empty() {
            self.running = None;
            if self.parties.iter().any(|status| *status != Status::Done) {
                self.failure.get_or_insert("deadlock".into());
            }
            return;
        }
        let taken = self.script.get(self.picks.len()).copied().unwrap_or(0);
        self.picks.push(Pick { taken, options: options.len() });
        if can_go_on && taken != 0 {
            self.preemptions_left -= 1;
        }
        self.running = Some(options[taken]);
    }
}

/// One party's work in one run.
pub(crate) type Party = Box<dyn FnOnce() + Send>;

/// Runs `setup` again and again, each time executing the parties it returns in another order, until every order has
/// been seen; `preemptions` bounds how often a party that could go on is interrupted (`usize::MAX`: no bound). What
/// `setup` returns beside the parties is called after each run, to look at the result.
///
/// Returns the number of orders.
pub(crate) fn every_order(preemptions: usize, setup: impl Fn() -> (Vec<Party>, Box<dyn FnOnce()>)) -> usize {
    let mut script: Vec<usize> = Vec::new();
    for runs in 1..=RUNS_MAX {
        let (parties, check) = setup();
        let picks = run(parties, script.clone(), preemptions);
        check();
        let Some(last) = picks.iter().rposition(|pick| pick.taken + 1 < pick.options) else {
            return runs;
        };
        script = picks[..last].iter().map(|pick| pick.taken).collect();
        script.push(picks[last].taken + 1);
    }
    panic!("more than {RUNS_MAX} orders");
}

fn run(parties: Vec<Party>, script: Vec<usize>, preemptions: usize) -> Vec<Pick> {
    let scheduler = Arc::new(Scheduler {
        state: Mutex::new(State {
            parties: parties.iter().map(|_| Status::Ready).collect(),
            running: None,
            held: HashSet::new(),
            script,
            picks: Vec::new(),
            preemptions_left: preemptions,
            failure: None,
        }),
        changed: Condvar::new(),
    });
    scheduler.lock().pick(None);
    thread::scope(|scope| {
        for (me, party) in parties.into_iter().enumerate() {
            let scheduler = Arc::clone(&scheduler);
            scope.spawn(move || take_part(&scheduler, me, party));
        }
    });
    let mut state = scheduler.lock();
    if let Some(failure) = state.failure.take() {
        let order: Vec<usize> = state.picks.iter().map(|pick| pick.taken).collect();
        panic!("{failure}; picks {order:?}");
    }
    core::mem::take(&mut state.picks)
}

fn take_part(scheduler: &Arc<Scheduler>, me: usize, party: Party) {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        PARTY.set(Some((Arc::clone(scheduler), me)));
        scheduler.wait_for_turn(scheduler.lock(), me);
        party();
    }));
    PARTY.set(None);
    scheduler.leave(me, result.err().map(|payload| message(&*payload)));
}

fn message(payload: &(dyn core::any::Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).into()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a party panicked".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::vec;

    /// Two parties that each read, step, and write back: the explorer must find the lost update and the order without it.
    #[test]
    fn the_explorer_finds_a_lost_update() {
        let seen = Arc::new(Mutex::new(HashSet::new()));
        let results = Arc::clone(&seen);
        every_order(usize::MAX, move || {
            let word = Arc::new(AtomicUsize::new(0));
            let party = || -> Party {
                let word = Arc::clone(&word);
                Box::new(move || {
                    let value = word.load(Ordering::SeqCst);
                    step();
                    word.store(value + 1, Ordering::SeqCst);
                })
            };
            let results = Arc::clone(&results);
            let word_after = Arc::clone(&word);
            let check = Box::new(move || {
                results.lock().unwrap().insert(word_after.load(Ordering::SeqCst));
            });
            (vec![party(), party()], check)
        });
        assert_eq!(*seen.lock().unwrap(), HashSet::from([1, 2]));
    }

    #[test]
    fn the_number_of_orders_is_the_binomial() {
        // Three segments and three segments: 6! / (3! 3!).
        let orders = every_order(usize::MAX, || {
            let party = || -> Party {
                Box::new(|| {
                    step();
                    step();
                })
            };
            (vec![party(), party()], Box::new(|| {}))
        });
        assert_eq!(orders, 20);
    }

    #[test]
    #[should_panic(expected = "deadlock")]
    fn the_explorer_finds_a_deadlock() {
        every_order(usize::MAX, || {
            let party = |first: LockId, second: LockId| -> Party {
                Box::new(move || {
                    acquire(first);
                    acquire(second);
                    release(second);
                    release(first);
                })
            };
            (vec![party(1, 2), party(2, 1)], Box::new(|| {}))
        });
    }
}
