//! Turning the simulated kernel by hand: work items and DPCs run one generation at a time.
//!
//! The simulation has a fixed number of threads for each queue, and serves each queue in order. A *stop* is a routine of
//! ours that keeps its thread until it is told to return. With all threads of a queue in stops nothing of the driver runs;
//! when one stop is let go with the next one queued behind everything that is queued by then, exactly that everything runs.

use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use std::vec::Vec;

use kernel::dpc::Dpc;
use kernel::pool::PoolTag;
use kernel::work::WorkItem;

const TAG: PoolTag = PoolTag::new(b"Test");

/// How long a generation of work items is given before DPCs go on beside it: it may be waiting for one.
const BRIEFLY: Duration = Duration::from_micros(500);

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Queued, or not used.
    Away,
    /// Keeps its thread.
    Here,
    /// Told to return.
    LetGo,
}

#[derive(Default)]
struct Stop {
    state: Mutex<Option<State>>,
    changed: Condvar,
}

/// The routine of every stop.
///
/// # Safety
/// `context` is a [`Stop`] that lives until the routine has returned.
unsafe fn stand(context: *mut c_void) {
    // SAFETY: the caller's promise.
    let stop = unsafe { &*context.cast::<Stop>() };
    let mut state = stop.state.lock().unwrap_or_else(PoisonError::into_inner);
    // It may have been told before it got here.
    if *state != Some(State::LetGo) {
        *state = Some(State::Here);
        stop.changed.notify_all();
    }
    while *state != Some(State::LetGo) {
        state = stop.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    *state = Some(State::Away);
    stop.changed.notify_all();
}

impl Stop {
    fn set(&self, new: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Some(new);
        self.changed.notify_all();
    }

    /// Whether it keeps its thread, at the latest after `limit`.
    fn is_here(&self, limit: Duration) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |state: &mut Option<State>| *state != Some(State::Here);
        let waited = self.changed.wait_timeout_while(state, limit, waiting);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

/// What has a stop's routine called.
enum Vehicle {
    Dpc(Dpc),
    Work(WorkItem),
}

/// A stop with its vehicle, which goes first.
struct Post {
    vehicle: Vehicle,
    stop: Arc<Stop>,
}

impl Post {
    fn new(dpc: bool) -> Self {
        let stop = Arc::new(Stop::default());
        let context = ptr::from_ref::<Stop>(&stop).cast_mut().cast();
        let vehicle = if dpc {
            // SAFETY: the stop outlives the DPC.
            Vehicle::Dpc(unsafe { Dpc::new(TAG, stand, context) }.unwrap())
        } else {
            // SAFETY: the stop outlives the work item.
            Vehicle::Work(unsafe { WorkItem::new(TAG, stand, context) }.unwrap())
        };
        Self { vehicle, stop }
    }

    fn queue(&self) {
        self.stop.set(State::Away);
        match &self.vehicle {
            Vehicle::Dpc(dpc) => dpc.queue(),
            Vehicle::Work(item) => item.queue(),
        };
    }
}

/// One queue of the kernel, held.
struct Line {
    /// Keeps all threads but one.
    walls: Vec<Post>,
    /// The two that take turns on the last one.
    turns: [Post; 2],
    current: usize,
    /// A generation is running, and the next stop is queued behind it.
    running: bool,
}

const PATIENCE: Duration = Duration::from_secs(10);

impl Line {
    /// Waits until nothing runs, then takes every thread of the queue.
    fn hold(dpc: bool, threads: usize) -> Self {
        let walls: Vec<Post> = (1..threads).map(|_| Post::new(dpc)).collect();
        let turns = [Post::new(dpc), Post::new(dpc)];
        for post in walls.iter().chain(&turns[..1]) {
            post.queue();
            assert!(post.stop.is_here(PATIENCE), "a thread of the queue is not free");
        }
        Self { walls, turns, current: 0, running: false }
    }

    /// Lets everything run that is queued now. Whether it has returned within `limit`; if not, the next call waits on.
    fn turn(&mut self, limit: Duration) -> bool {
        let next = 1 - self.current;
        if !self.running {
            self.turns[next].queue();
            self.turns[self.current].stop.set(State::LetGo);
            self.running = true;
        }
        if self.turns[next].stop.is_here(limit) {
            self.current = next;
            self.running = false;
        }
        !self.running
    }

    fn let_go(&self) {
        for post in self.walls.iter().chain(&self.turns) {
            let state = *post.stop.state.lock().unwrap();
            if state.is_some() {
                post.stop.set(State::LetGo);
            }
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // A stop that is still queued returns as soon as it runs.
        self.let_go();
    }
}

/// Both queues, held. Dropping it lets everything run.
pub(crate) struct Crank {
    dpcs: Line,
    work: Line,
    step: usize,
}

impl Crank {
    /// Stops the kernel's queues, once nothing runs.
    pub(crate) fn hold() -> Self {
        ksim::quiesce();
        let dpcs = Line::hold(true, ksim::dpc::PROCESSORS);
        let work = Line::hold(false, ksim::work::THREADS_PER_QUEUE);
        Self { dpcs, work, step: 0 }
    }

    /// One generation of work items or of DPCs, in turns. Work items that wait for a DPC go on in later steps.
    pub(crate) fn step(&mut self) {
        if self.step.is_multiple_of(2) {
            self.work.turn(BRIEFLY);
        } else {
            assert!(self.dpcs.turn(PATIENCE), "a DPC does not return");
        }
        self.step += 1;
    }
}

/// All threads but one of each queue, kept away.
pub(crate) struct Walls {
    posts: Vec<Post>,
}

impl Walls {
    /// Keeps them, once nothing runs.
    pub(crate) fn raise() -> Self {
        ksim::quiesce();
        let mut posts = Vec::new();
        for (dpc, threads) in [(true, ksim::dpc::PROCESSORS), (false, ksim::work::THREADS_PER_QUEUE)] {
            for _ in 1..threads {
                let post = Post::new(dpc);
                post.queue();
                assert!(post.stop.is_here(PATIENCE), "a thread of the queue is not free");
                posts.push(post);
            }
        }
        Self { posts }
    }
}

impl Drop for Walls {
    fn drop(&mut self) {
        for post in &self.posts {
            post.stop.set(State::LetGo);
        }
    }
}

/// A routine of ours, queued behind everything that is queued by then.
pub(crate) struct Turn(Post);

impl Turn {
    fn of(dpc: bool) -> Self {
        let post = Post::new(dpc);
        post.queue();
        Self(post)
    }

    pub(crate) fn of_work() -> Self {
        Self::of(false)
    }

    pub(crate) fn of_dpcs() -> Self {
        Self::of(true)
    }

    /// Waits until it has come to that.
    pub(crate) fn wait(self) {
        assert!(self.0.stop.is_here(PATIENCE), "what is queued before does not return");
        self.0.stop.set(State::LetGo);
    }
}
