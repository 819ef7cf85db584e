//! Who runs next, and what time it is.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::Ordering;
use std::thread::Thread;
use std::time::Duration;

use abi::nt::DISPATCH_LEVEL;

use super::{BATON, Random};
use crate::processor;

/// Lines of the trace that are kept.
const TRACE_LINES: usize = 4096;

/// How the next task is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strategy {
    /// Any of those that can run, with equal chances.
    Uniform,
    /// The one with the highest priority; priorities are drawn, and now and then the running task gets the lowest.
    Priorities,
}

/// What a run's schedule is like. All of it may be drawn from the seed by whoever starts the run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Processors of the machine, at least one.
    pub processors: usize,
    /// At how many of 1024 entries of the kernel others may go on first.
    pub switches_of_1024: u32,
    /// How the next task is chosen.
    pub strategy: Strategy,
    /// Entries of the kernel after which a run counts as one that runs in circles.
    pub steps_max: u64,
    /// Whether the trace has a line for each change of tasks.
    pub trace_switches: bool,
}

impl Settings {
    /// Draws a schedule's character from a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x5EED_0F5C_4ED0_1E55);
        Self {
            processors: random.pick(&[1, 2, 2, 4]).unwrap_or(1),
            switches_of_1024: random.pick(&[4, 32, 128, 512]).unwrap_or(32),
            strategy: random
                .pick(&[Strategy::Uniform, Strategy::Uniform, Strategy::Priorities])
                .unwrap_or(Strategy::Uniform),
            steps_max: 400_000,
            trace_switches: false,
        }
    }
}

/// What a run was like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Of everything that the run has done, in order: equal for equal runs.
    pub hash: u64,
    /// Entries of the simulated kernel.
    pub steps: u64,
    /// How often the baton went on.
    pub switches: u64,
    /// What the clock shows.
    pub time: Duration,
    /// Allocations that the seed has failed.
    pub failed_allocations: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Made, and its thread is not there yet.
    Coming,
    Ready,
    Waiting {
        thing: usize,
        deadline: Option<Duration>,
        what: &'static str,
    },
    Ended,
}

struct Task {
    name: String,
    state: State,
    thread: Option<Thread>,
    /// At DISPATCH_LEVEL or above, as of when it last gave the baton away.
    raised: bool,
    processor: usize,
    priority: u64,
}

pub(super) struct Scheduler {
    settings: Settings,
    random: Random,
    tasks: Vec<Task>,
    now: Duration,
    steps: u64,
    switches: u64,
    hasher: DefaultHasher,
    trace: VecDeque<String>,
    allocation_failures: u32,
    failed_allocations: u64,
    /// Why the run is over, for the first task.
    verdict: Option<String>,
    /// The latest priority that was handed out on the way down.
    lowest: u64,
}

impl Scheduler {
    pub(super) fn new(seed: u64, settings: Settings) -> Self {
        let mut random = Random::new(seed);
        let first = Task {
            name: "first".to_owned(),
            state: State::Ready,
            thread: Some(std::thread::current()),
            raised: false,
            processor: 0,
            priority: random.next() >> 1,
        };
        Self {
            settings: Settings { processors: settings.processors.max(1), ..settings },
            random,
            tasks: vec![first],
            now: Duration::ZERO,
            steps: 0,
            switches: 0,
            hasher: DefaultHasher::new(),
            trace: VecDeque::new(),
            allocation_failures: 0,
            failed_allocations: 0,
            verdict: None,
            lowest: u64::MAX >> 2,
        }
    }

    pub(super) fn summary(&self) -> Summary {
        Summary {
            hash: self.hasher.finish(),
            steps: self.steps,
            switches: self.switches,
            time: self.now,
            failed_allocations: self.failed_allocations,
        }
    }

    pub(super) const fn now(&self) -> Duration {
        self.now
    }

    pub(super) fn draw(&mut self, limit: u64) -> u64 {
        let drawn = self.random.below(limit);
        drawn.hash(&mut self.hasher);
        drawn
    }

    pub(super) fn processor(&self, me: usize) -> usize {
        self.tasks.get(me).map_or(0, |task| task.processor)
    }

    pub(super) const fn set_allocation_failures(&mut self, of_65536: u32) {
        self.allocation_failures = of_65536;
    }

    pub(super) const fn failed_allocations(&self) -> u64 {
        self.failed_allocations
    }

    pub(super) fn allocation_fails(&mut self) -> bool {
        if self.allocation_failures == 0 {
            return false;
        }
        let fails = self.random.chance(self.allocation_failures.into(), 65536);
        fails.hash(&mut self.hasher);
        self.failed_allocations += u64::from(fails);
        fails
    }

    pub(super) fn note(&mut self, me: usize, text: fmt::Arguments<'_>) {
        let name = self.tasks.get(me).map_or("", |task| task.name.as_str());
        let line = format!("{:>12.3} us  {name}: {text}", self.now.as_nanos() as f64 / 1e3);
        line.hash(&mut self.hasher);
        self.keep(line);
    }

    fn keep(&mut self, line: String) {
        if self.trace.len() == TRACE_LINES {
            self.trace.pop_front();
        }
        self.trace.push_back(line);
    }

    pub(super) fn trace(&self) -> Vec<String> {
        self.trace.iter().cloned().collect()
    }

    pub(super) fn enlist(&mut self, name: &str) -> usize {
        let priority = self.random.next() >> 1;
        let (state, processor) = (State::Coming, 0);
        self.tasks.push(Task {
            name: name.to_owned(),
            state,
            thread: None,
            raised: false,
            processor,
            priority,
        });
        self.tasks.len() - 1
    }

    /// The thread of an enlisted task is there.
    pub(super) fn begin(&mut self, new: usize, thread: Thread) {
        if let Some(task) = self.tasks.get_mut(new) {
            task.thread = Some(thread);
            task.state = State::Ready;
        }
    }

    /// An entry of the kernel. Who gets the baton, if not the caller.
    pub(super) fn point(&mut self, me: usize, label: &'static str) -> Option<Thread> {
        self.steps += 1;
        (me, label).hash(&mut self.hasher);
        if self.steps > self.settings.steps_max && self.verdict.is_none() {
            return self.give_up(me, "the run runs in circles");
        }
        if !self.random.chance(self.settings.switches_of_1024.into(), 1024) {
            return None;
        }
        if self.settings.strategy == Strategy::Priorities {
            // Every now and then whoever runs has to wait for all others.
            self.lowest -= 1;
            let lowest = self.lowest;
            if let Some(task) = self.tasks.get_mut(me) {
                task.priority = lowest;
            }
        }
        self.hand_on(me, label)
    }

    /// The caller waits. Who gets the baton; `None` if it has it again at once.
    pub(super) fn block(
        &mut self,
        me: usize,
        thing: usize,
        deadline: Option<Duration>,
        what: &'static str,
    ) -> Option<Thread> {
        self.steps += 1;
        (me, what, deadline).hash(&mut self.hasher);
        if self.steps > self.settings.steps_max && self.verdict.is_none() {
            return self.give_up(me, "the run runs in circles");
        }
        if let Some(task) = self.tasks.get_mut(me) {
            task.state = State::Waiting { thing, deadline, what };
        }
        self.hand_on(me, what)
    }

    pub(super) fn wake(&mut self, about: usize) {
        for task in &mut self.tasks {
            if matches!(task.state, State::Waiting { thing, .. } if thing == about) {
                task.state = State::Ready;
            }
        }
    }

    /// The caller is over.
    pub(super) fn end(&mut self, me: usize) -> Option<Thread> {
        if let Some(task) = self.tasks.get_mut(me) {
            task.state = State::Ended;
        }
        self.hand_on(me, "end")
    }

    /// Why the run is over, for whoever is told first.
    pub(super) fn take_verdict(&mut self) -> Option<String> {
        if BATON.load(Ordering::SeqCst) == 0 { self.verdict.take() } else { None }
    }

    /// Tells the first task that the run is over.
    fn give_up(&mut self, me: usize, why: &str) -> Option<Thread> {
        let mut text = format!("{why}, at {:?} after {} steps:", self.now, self.steps);
        for (number, task) in self.tasks.iter().enumerate() {
            let _infallible = match task.state {
                State::Waiting { what, deadline: None, .. } => {
                    write!(text, "\n  {number} {}: waits for {what}", task.name)
                }
                State::Waiting { what, deadline: Some(deadline), .. } => {
                    write!(text, "\n  {number} {}: waits for {what} until {deadline:?}", task.name)
                }
                State::Ready => write!(text, "\n  {number} {}: can run", task.name),
                State::Coming | State::Ended => continue,
            };
        }
        self.verdict = Some(text);
        if let Some(first) = self.tasks.first_mut() {
            first.state = State::Ready;
        }
        self.give(me, 0)
    }

    /// Gives the baton to a task; `None` if the caller keeps it.
    fn give(&mut self, me: usize, next: usize) -> Option<Thread> {
        if next == me {
            return None;
        }
        self.switches += 1;
        next.hash(&mut self.hasher);
        BATON.store(next, Ordering::SeqCst);
        self.tasks.get(next)?.thread.clone()
    }

    /// Chooses who goes on.
    fn hand_on(&mut self, me: usize, at: &'static str) -> Option<Thread> {
        if let Some(task) = self.tasks.get_mut(me) {
            task.raised = processor::irql() >= DISPATCH_LEVEL;
        }
        loop {
            if let Some(next) = self.choose() {
                if self.settings.trace_switches && next != me {
                    let name = self.tasks.get(next).map(|task| task.name.clone()).unwrap_or_default();
                    self.note(me, format_args!("at {at}, now {name} ({next})"));
                }
                self.seat(next);
                return self.give(me, next);
            }
            if !self.pass_time() {
                return self.give_up(me, "nobody can run and no deadline is left");
            }
        }
    }

    /// One of those that can run, and have a processor or find one.
    fn choose(&mut self) -> Option<usize> {
        let taken = self.tasks.iter().filter(|task| task.raised && task.state != State::Ended).count();
        let full = taken >= self.settings.processors;
        let can_run = |task: &Task| task.state == State::Ready && (task.raised || !full);
        let candidates = self.tasks.iter().enumerate().filter(|(_, task)| can_run(task));
        match self.settings.strategy {
            Strategy::Priorities => {
                candidates.max_by_key(|(number, task)| (task.priority, *number)).map(|(number, _)| number)
            }
            Strategy::Uniform => {
                let candidates: Vec<usize> = candidates.map(|(number, _)| number).collect();
                self.random.pick(&candidates)
            }
        }
    }

    /// Gives a task that comes without a processor one of those that are free.
    fn seat(&mut self, next: usize) {
        if self.tasks.get(next).is_none_or(|task| task.raised) {
            return;
        }
        let raised = |task: &&Task| task.raised && task.state != State::Ended;
        let taken: Vec<usize> = self.tasks.iter().filter(raised).map(|task| task.processor).collect();
        let free: Vec<usize> = (0..self.settings.processors).filter(|one| !taken.contains(one)).collect();
        let processor = self.random.pick(&free).unwrap_or(0);
        if let Some(task) = self.tasks.get_mut(next) {
            task.processor = processor;
        }
    }

    /// Lets the clock jump to the next deadline; `false` if there is none.
    fn pass_time(&mut self) -> bool {
        let deadlines = self.tasks.iter().filter_map(|task| match task.state {
            State::Waiting { deadline, .. } => deadline,
            _ => None,
        });
        let Some(next) = deadlines.min() else { return false };
        self.now = self.now.max(next);
        for task in &mut self.tasks {
            if matches!(task.state, State::Waiting { deadline: Some(deadline), .. } if deadline <= self.now) {
                task.state = State::Ready;
            }
        }
        true
    }
}
