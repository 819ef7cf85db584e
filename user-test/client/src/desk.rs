//! Where cases are handed in, and the thread that runs them: one at a time.

use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, Ordering};

use abi::NTSTATUS;
use abi::status::{STATUS_DEVICE_BUSY, STATUS_DEVICE_NOT_READY, STATUS_INVALID_DEVICE_STATE};
use abi::wsk::WSK_PROVIDER_NPI;
use cases::Case;
use control::client::cases::RunRequest;
use kernel::event::{Event, EventType};
use kernel::lock::SpinLock;
use kernel::pool::Shared;
use kernel::thread::Thread;

use crate::handle::TAG;
use crate::operation::Ioctl;
use crate::registration::RegistrationFunctions;
use crate::verdict;
use crate::world::{Kernel, Stuck};

/// A case to run.
pub(crate) struct Job {
    pub(crate) case: &'static Case,
    pub(crate) run: RunRequest,
    pub(crate) npi: WSK_PROVIDER_NPI,
    /// What a client of the case's own registers with, if it may have one.
    pub(crate) functions: Option<RegistrationFunctions>,
    /// The IOCTL that is completed with the reply.
    pub(crate) ioctl: Ioctl,
    /// Whose it is: the address of a handle.
    pub(crate) owner: usize,
}

// SAFETY: the provider's functions may be called from any thread.
unsafe impl Send for Job {}

#[derive(Default)]
struct State {
    job: Option<Job>,
    /// Whose case runs or waits to.
    owner: Option<usize>,
    ending: bool,
    /// A case has left requests that are never completed.
    stuck: bool,
}

/// The desk of one client.
pub(crate) struct Desk {
    state: SpinLock<State>,
    wake: Event,
    cancelled: AtomicBool,
    thread: SpinLock<Option<Thread>>,
}

impl Desk {
    /// A desk with its thread. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// No memory, or no thread.
    pub(crate) fn open() -> Result<Shared<Self>, NTSTATUS> {
        let desk = Self {
            state: SpinLock::new(State::default()),
            wake: Event::new(EventType::Synchronization, false)?,
            cancelled: AtomicBool::new(false),
            thread: SpinLock::new(None),
        };
        let desk = Shared::try_new(TAG, desk)?;
        let context = Shared::into_raw(desk.clone());
        // SAFETY: the thread gets an owner of the desk of its own.
        match unsafe { Thread::spawn(TAG, work, context.cast_mut().cast()) } {
            Ok(thread) => *desk.thread.lock() = Some(thread),
            Err(status) => {
                // SAFETY: there is no thread, so its owner is still this call's.
                drop(unsafe { Shared::from_raw(context) });
                return Err(status);
            }
        }
        Ok(desk)
    }

    /// Hands a case in.
    ///
    /// # Errors
    /// DEVICE_BUSY, INVALID_DEVICE_STATE or DEVICE_NOT_READY, and the IOCTL, which is the caller's to complete.
    pub(crate) fn submit(&self, job: Job) -> Result<(), (NTSTATUS, Ioctl)> {
        let mut state = self.state.lock();
        let refused = if state.stuck {
            STATUS_INVALID_DEVICE_STATE
        } else if state.ending {
            STATUS_DEVICE_NOT_READY
        } else if state.owner.is_some() {
            STATUS_DEVICE_BUSY
        } else {
            state.owner = Some(job.owner);
            state.job = Some(job);
            self.cancelled.store(false, Ordering::Release);
            drop(state);
            self.wake.set();
            return Ok(());
        };
        Err((refused, job.ioctl))
    }

    /// Has the case that runs end soon: `owner`'s, or anybody's.
    pub(crate) fn cancel(&self, owner: Option<usize>) {
        let state = self.state.lock();
        if state.owner.is_some() && (owner.is_none() || state.owner == owner) {
            self.cancelled.store(true, Ordering::Release);
        }
    }

    /// 1 while a case runs, 2 when none can run any more, otherwise 0.
    pub(crate) fn state(&self) -> u32 {
        let state = self.state.lock();
        if state.stuck { 2 } else { u32::from(state.owner.is_some()) }
    }

    /// Ends the thread, once the case that runs has ended. PASSIVE_LEVEL.
    ///
    /// It does not return while requests of a case are never completed: their memory is in use, and so is this code.
    pub(crate) fn close(&self) {
        self.state.lock().ending = true;
        self.cancel(None);
        self.wake.set();
        let thread = self.thread.lock().take();
        drop(thread);
    }

    /// Runs a case and completes its IOCTL.
    fn run(&self, job: Job) {
        let Job { case, run, npi, functions, ioctl, .. } = job;
        // SAFETY: the client releases the provider, and its image goes, after it has closed the desk.
        let world = unsafe { Kernel::new(npi, functions, &run, &self.cancelled) };
        let mut world = match world {
            Ok(world) => world,
            Err(error) => {
                self.state.lock().owner = None;
                return ioctl.complete(error.status(), 0);
            }
        };
        let (reply, cleared) = verdict::run(case, &mut world);
        {
            let mut state = self.state.lock();
            state.owner = None;
            state.stuck |= cleared == Err(Stuck);
        }
        ioctl.answer(&reply);
        if cleared.is_err() {
            // What is stuck may still use its memory.
            while world.clear().is_err() {
                world.outlast();
            }
        }
    }
}

/// The thread.
///
/// # Safety
/// `context` is an owner of the desk, given up.
unsafe fn work(context: *mut c_void) {
    // SAFETY: the caller's promise.
    let desk = unsafe { Shared::<Desk>::from_raw(context.cast_const().cast()) };
    loop {
        let job = desk.state.lock().job.take();
        if let Some(job) = job {
            desk.run(job);
            continue;
        }
        if desk.state.lock().ending {
            return;
        }
        desk.wake.wait_forever();
    }
}
