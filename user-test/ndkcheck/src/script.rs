//! Answers out of the ordinary.

use ksim::sync::Mutex;
use std::collections::{HashMap, VecDeque};
use std::ffi::c_void;
use std::ptr;

use abi::NTSTATUS;
use abi::ndk::NDK_ADAPTER_INFO;
use kernel::dpc::Dpc;
use kernel::pool::PoolTag;

use crate::check::lock;
use crate::request::{Completion, Given};

/// A slot whose answer a script can choose, by its name in the dispatch table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the dispatch tables")]
pub enum Slot {
    CreateCq,
    CreatePd,
    CreateSharedEndpoint,
    CreateConnector,
    CreateListener,
    BuildLam,
    CreateMr,
    CreateMw,
    CreateSrq,
    CreateQp,
    CreateQpWithSrq,
    ResizeCq,
    RegisterMr,
    DeregisterMr,
    InitializeFastRegisterMr,
    ModifySrq,
    Connect,
    ConnectWithSharedEndpoint,
    CompleteConnect,
    Accept,
    Disconnect,
    Listen,
    ClosePd,
    CloseCq,
    CloseMr,
    CloseMw,
    CloseSrq,
    CloseQp,
    CloseConnector,
    CloseListener,
    CloseSharedEndpoint,
    /// Answered inline only, as are all below.
    Reject,
    GetConnectionData,
    Send,
    Receive,
    Write,
    Read,
    SrqReceive,
}

/// When a completion is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Not at all: the call returns the status.
    Inline,
    /// Before the call returns.
    Early,
    /// When the test says [`Checker::turn`](crate::Checker::turn).
    Turn,
    /// In a DPC.
    Dpc,
}

/// What becomes of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It goes to the provider, and the answer comes as the provider gives it.
    Pass,
    /// It goes to the provider, and the answer comes so. An answer that pends cannot be made inline; it stays as it is.
    Answer(When),
    /// It does not reach the provider and ends with this status.
    Fail(When, NTSTATUS),
    /// It pends until the object is closed, and then is cancelled, as the lifetime rules have it.
    UntilClosed,
    /// No provider may: it pends for ever. A close is carried out, but nobody is told.
    Never,
    /// No provider may: the completion is called twice.
    Twice,
    /// No provider may: the completion is called, and the call does not return PENDING.
    CallAndReturn,
}

/// What becomes of one completion entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryAct {
    /// It is handed out.
    Pass,
    /// It is handed out with this status.
    Status(NTSTATUS),
    /// No provider may: it disappears.
    Swallow,
    /// No provider may: it is handed out twice.
    Twice,
    /// No provider may: it is handed out with this queue pair context.
    QueuePair(usize),
}

/// Says what becomes of each call.
pub type Chooser = fn(Slot) -> Act;

/// A callback that waits.
type Job = Box<dyn FnOnce()>;

/// A job, which goes from thread to thread with the pointers of its consumer.
struct Waiting(Job);

// SAFETY: a job holds proxies, the consumer's callbacks and contexts, which may be used on any thread.
unsafe impl Send for Waiting {}

/// The DPC that makes callbacks, and its queue.
struct Later {
    jobs: Mutex<VecDeque<Waiting>>,
    dpc: Mutex<Option<Dpc>>,
}

/// # Safety
/// `context` is a [`Later`] that outlives its DPC.
unsafe fn make_later(context: *mut c_void) {
    // SAFETY: as promised by the caller.
    let later = unsafe { &*context.cast::<Later>() };
    loop {
        let Some(Waiting(job)) = lock(&later.jobs).pop_front() else { return };
        job();
    }
}

/// What a test has said about one adapter.
pub(crate) struct Script {
    next: Mutex<HashMap<Slot, VecDeque<Act>>>,
    always: Mutex<HashMap<Slot, Act>>,
    chooser: Mutex<Option<Chooser>>,
    pub(crate) entries: Mutex<VecDeque<EntryAct>>,
    pub(crate) limits: Mutex<Option<fn(&mut NDK_ADAPTER_INFO)>>,
    turns: Mutex<VecDeque<Waiting>>,
    /// Every completion that came with a request.
    given: Mutex<Vec<Given>>,
    // Boxed: the DPC has its address.
    later: Box<Later>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            next: Mutex::default(),
            always: Mutex::default(),
            chooser: Mutex::default(),
            entries: Mutex::default(),
            limits: Mutex::default(),
            turns: Mutex::default(),
            given: Mutex::default(),
            later: Box::new(Later { jobs: Mutex::default(), dpc: Mutex::default() }),
        }
    }
}

impl Script {
    pub(crate) fn next(&self, slot: Slot, act: Act) {
        lock(&self.next).entry(slot).or_default().push_back(act);
    }

    pub(crate) fn always(&self, slot: Slot, act: Act) {
        self.prepare(act);
        lock(&self.always).insert(slot, act);
    }

    pub(crate) fn choose(&self, chooser: Chooser) {
        *lock(&self.chooser) = Some(chooser);
    }

    pub(crate) fn relent(&self) {
        lock(&self.next).clear();
        lock(&self.always).clear();
        *lock(&self.chooser) = None;
        lock(&self.entries).clear();
        *lock(&self.limits) = None;
    }

    /// A completion has come with a request.
    pub(crate) fn was_given(&self, name: &'static str, completion: Completion) {
        if completion.has_context() {
            lock(&self.given).push(Given { name, completion });
        }
    }

    /// Every completion so far.
    pub(crate) fn given(&self) -> Vec<Given> {
        lock(&self.given).clone()
    }

    /// What becomes of this call.
    pub(crate) fn act(&self, slot: Slot) -> Act {
        if let Some(act) = lock(&self.next).get_mut(&slot).and_then(VecDeque::pop_front) {
            self.prepare(act);
            return act;
        }
        if let Some(act) = lock(&self.always).get(&slot) {
            return *act;
        }
        let chooser = *lock(&self.chooser);
        let act = chooser.map_or(Act::Pass, |choose| choose(slot));
        self.prepare(act);
        act
    }

    /// The status of a call that is only answered inline, if the script has one for it.
    pub(crate) fn refuses(&self, slot: Slot) -> Option<NTSTATUS> {
        match self.act(slot) {
            Act::Fail(_, status) => Some(status),
            _ => None,
        }
    }

    /// Makes the DPC, if the act needs it and there is none.
    fn prepare(&self, act: Act) {
        if !matches!(act, Act::Answer(When::Dpc) | Act::Fail(When::Dpc, _)) {
            return;
        }
        let mut dpc = lock(&self.later.dpc);
        if dpc.is_none() {
            let context = ptr::from_ref::<Later>(&self.later).cast_mut().cast();
            let _plenty = ksim::pool::fail_after(u64::MAX);
            // SAFETY: `make_later` takes the `Later`, which drops its DPC before it goes.
            *dpc = unsafe { Dpc::new(PoolTag::new(b"Test"), make_later, context) }.ok();
        }
    }

    /// Makes a callback when it is time.
    pub(crate) fn run(&self, when: When, job: Job) {
        match when {
            When::Inline | When::Early => job(),
            When::Turn => lock(&self.turns).push_back(Waiting(job)),
            When::Dpc => {
                lock(&self.later.jobs).push_back(Waiting(job));
                if let Some(dpc) = &*lock(&self.later.dpc) {
                    dpc.queue();
                }
            }
        }
    }

    pub(crate) fn turns(&self) -> usize {
        lock(&self.turns).len()
    }

    pub(crate) fn turn(&self) -> bool {
        let job = lock(&self.turns).pop_front();
        job.is_some_and(|Waiting(job)| {
            job();
            true
        })
    }

    /// The adapter is being closed: every callback that waits is made, and none comes afterwards. PASSIVE_LEVEL.
    pub(crate) fn end(&self) {
        // Not inside the statement that locks: its drop waits for callbacks.
        let dpc = lock(&self.later.dpc).take();
        drop(dpc);
        loop {
            let Some(Waiting(job)) = lock(&self.later.jobs).pop_front() else { break };
            job();
        }
        while self.turn() {}
    }
}
