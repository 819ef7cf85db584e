//! The deterministic mode: one task runs at a time, and one seed decides everything that a machine leaves open.
//!
//! [`run`] makes its caller the first task of a run. Threads of the simulated kernel that are started from then on are tasks
//! as well: host threads of which only the one with the baton runs. At each entry of the simulated kernel the
//! seeded scheduler may hand the baton on; a task that waits waits in the scheduler. The clock stands still while anybody can
//! run, and jumps to the next deadline when nobody can. When nobody can run and no deadline is left, the run is dead:
//! the first task panics with the list of who waits for what.
//!
//! Processors: a task at DISPATCH_LEVEL keeps its processor, below that it has none. With all processors taken only
//! those tasks are chosen that have one.
//!
//! A run needs a process of its own mode: one that has started threads of the threaded mode cannot have deterministic
//! runs. What a run leaves behind (parked threads, statics of the driver's crates) stays in the process, so whoever wants the
//! same trace for the same seed gives each run a fresh process.

mod random;
mod scheduler;
mod task;

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

pub use random::Random;
use scheduler::Scheduler;
pub use scheduler::{Settings, Strategy, Summary};
pub use task::Task;

use crate::stop;
use crate::stop::HOST;

/// How long a task steps back that cannot go on until others have done something nobody tells it of.
const PAUSE: Duration = Duration::from_micros(1);

/// Nobody is woken about it.
const NEVER: usize = 0;

thread_local! {
    static ME: Cell<Option<usize>> = const { Cell::new(None) };
}

static RUNS: AtomicU64 = AtomicU64::new(0);
/// Who has the baton.
static BATON: AtomicUsize = AtomicUsize::new(0);
static THREADED: AtomicBool = AtomicBool::new(false);
static SCHEDULER: std::sync::Mutex<Option<Scheduler>> = std::sync::Mutex::new(None);

/// The run of which the calling thread is a task; zero for none.
pub(crate) fn run_number() -> u64 {
    if is_task() { RUNS.load(Ordering::SeqCst) } else { 0 }
}

/// Threads of the threaded mode are started.
pub(crate) fn threaded_mode_begins() {
    THREADED.store(true, Ordering::SeqCst);
}

/// Whether the calling thread is a task of a deterministic run.
#[must_use]
pub fn is_task() -> bool {
    ME.get().is_some()
}

/// The number of the calling task.
pub(crate) fn task() -> Option<usize> {
    ME.get()
}

/// Looks at the scheduler; `None` if the caller is no task.
fn with<R>(look: impl FnOnce(usize, &mut Scheduler) -> R) -> Option<R> {
    let me = ME.get()?;
    let mut scheduler = SCHEDULER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    Some(look(me, scheduler.as_mut()?))
}

/// Runs `body` as the first task of a deterministic run. The run is over when it returns, whatever other tasks do.
///
/// # Panics
/// If the process has a run, or threads of the threaded mode. When the run is dead or runs in circles.
pub fn run<R>(seed: u64, settings: Settings, body: impl FnOnce() -> R) -> (R, Summary) {
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            ME.set(None);
            *SCHEDULER.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        }
    }
    if THREADED.load(Ordering::SeqCst) {
        stop!(HOST, "this process has threads of the threaded mode");
    }
    {
        let mut scheduler = SCHEDULER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if scheduler.is_some() {
            drop(scheduler);
            stop!(HOST, "a deterministic run is under way");
        }
        *scheduler = Some(Scheduler::new(seed, settings));
    }
    RUNS.fetch_add(1, Ordering::SeqCst);
    BATON.store(0, Ordering::SeqCst);
    ME.set(Some(0));
    let end = End;
    let result = body();
    let summary = with(|_, scheduler| scheduler.summary());
    drop(end);
    let Some(summary) = summary else { stop!(HOST, "the run is gone") };
    (result, summary)
}

/// Starts a task.
pub fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Task {
    task::spawn(name, body)
}

/// An entry of the simulated kernel: others may go on first.
pub(crate) fn point(label: &'static str) {
    if crate::host::holds_mutex() {
        return;
    }
    let next = with(|me, scheduler| scheduler.point(me, label));
    hand_on(next.flatten());
    stop_if_dead();
}

/// Waits until the thing is [woken](wake) or the time has come.
pub(crate) fn block(thing: usize, deadline: Option<Duration>, what: &'static str) {
    let next = with(|me, scheduler| scheduler.block(me, thing, deadline, what));
    hand_on(next.flatten());
    stop_if_dead();
}

/// Ends the run on its first task, if it is dead.
fn stop_if_dead() {
    let dead = with(|_, scheduler| scheduler.take_verdict()).flatten();
    if let Some(dead) = dead {
        stop!(HOST, "{dead}");
    }
}

/// Lets everybody go on who waits for the thing.
pub(crate) fn wake(thing: usize) {
    with(|_, scheduler| scheduler.wake(thing));
}

/// Steps back for a moment.
pub fn pause(what: &'static str) {
    block(NEVER, Some(now() + PAUSE), what);
}

/// Waits that long, by the run's clock.
pub fn sleep(time: Duration) {
    block(NEVER, Some(now() + time), "time");
}

/// The run's clock; zero outside of one.
#[must_use]
pub fn now() -> Duration {
    with(|_, scheduler| scheduler.now()).unwrap_or_default()
}

/// The processor that the calling task has; `None` if it is no task.
pub(crate) fn processor() -> Option<usize> {
    with(|me, scheduler| scheduler.processor(me))
}

/// A number below `limit` of the run's seed; zero outside of a run.
#[must_use]
pub fn draw(limit: u64) -> u64 {
    with(|_, scheduler| scheduler.draw(limit)).unwrap_or(0)
}

/// Has so many of 65536 allocations fail from now on, wherever [`crate::pool::fail_after`] says nothing else.
pub fn fail_allocations(of_65536: u32) {
    with(|_, scheduler| scheduler.set_allocation_failures(of_65536));
}

/// How many allocations have failed so.
#[must_use]
pub fn failed_allocations() -> u64 {
    with(|_, scheduler| scheduler.failed_allocations()).unwrap_or(0)
}

/// Whether the present allocation fails.
pub(crate) fn allocation_fails() -> bool {
    with(|_, scheduler| scheduler.allocation_fails()).unwrap_or(false)
}

/// Writes a line into the trace.
pub fn note(text: fmt::Arguments<'_>) {
    with(|me, scheduler| scheduler.note(me, text));
}

/// The latest lines of the trace, oldest first.
#[must_use]
pub fn trace() -> Vec<String> {
    with(|_, scheduler| scheduler.trace()).unwrap_or_default()
}

/// Gives the baton to the task, if it is another one, and waits to get it back.
fn hand_on(next: Option<std::thread::Thread>) {
    let (Some(next), Some(me)) = (next, ME.get()) else { return };
    next.unpark();
    wait_for_baton(me);
}

fn wait_for_baton(me: usize) {
    while BATON.load(Ordering::SeqCst) != me {
        std::thread::park();
    }
}
