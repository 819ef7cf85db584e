//! A raw NDK consumer: calls through the dispatch tables, waits for completions, checks the rules of callbacks.

use core::ffi::c_void;
use core::ptr;
use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once};
use std::time::{Duration, Instant};
use std::vec::Vec;

use abi::NTSTATUS;
use abi::ndk::*;
use abi::status::{STATUS_PENDING, STATUS_SUCCESS};

pub(super) use super::address::{Address, read_address};
pub(super) use super::fabric::*;
use super::system::TestWsk;
use crate::{AnswerMode, Config, Iwarp, SoftNdk, SystemWsk};

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Calls a function of an object through its table.
macro_rules! ndk {
    ($object:expr, $function:ident $(, $argument:expr)* $(,)?) => {{
        let object = $object;
        // SAFETY: the test holds the object open.
        let table = unsafe { (*object).Dispatch };
        // SAFETY: tables live for ever.
        let function = unsafe { (*table).$function };
        // SAFETY: the test keeps the promises of the function type.
        unsafe { function(object $(, $argument)*) }
    }};
}

/// Calls a function whose first parameter is the object header.
macro_rules! ndk_header {
    ($object:expr, $function:ident $(, $argument:expr)* $(,)?) => {{
        let object = $object;
        // SAFETY: the test holds the object open.
        let table = unsafe { (*object).Dispatch };
        // SAFETY: tables live for ever.
        let function = unsafe { (*table).$function };
        // SAFETY: the test keeps the promises of the function type.
        unsafe { function(object.cast() $(, $argument)*) }
    }};
}

pub(super) use {ndk, ndk_header};

std::thread_local! {
    static POSTING: Cell<bool> = const { Cell::new(false) };
}

/// Runs a post; no callback may run inside it on this thread.
pub(super) fn post(call: impl FnOnce() -> NTSTATUS) -> NTSTATUS {
    POSTING.set(true);
    let status = call();
    POSTING.set(false);
    settle();
    status
}

/// What holds for every callback.
fn check_callback() {
    assert!(!POSTING.get(), "a callback inside a post");
    assert_eq!(ksim::processor::locks_held(), 0, "a callback with a lock held");
}

/// A value that a callback sets and a test waits for.
pub(super) struct Signal<T> {
    value: Mutex<Vec<T>>,
    changed: Condvar,
}

impl<T> Signal<T> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { value: Mutex::new(Vec::new()), changed: Condvar::new() })
    }

    pub(super) fn send(&self, value: T) {
        self.value.lock().unwrap().push(value);
        self.changed.notify_all();
    }

    /// The oldest value, when there is one.
    pub(super) fn take(&self) -> T {
        let (mut values, timeout) = self
            .changed
            .wait_timeout_while(self.value.lock().unwrap(), PATIENCE, |values| values.is_empty())
            .unwrap();
        assert!(!timeout.timed_out(), "nothing came");
        values.remove(0)
    }

    pub(super) fn count(&self) -> usize {
        settle();
        self.value.lock().unwrap().len()
    }
}

/// Where the outcome of one request goes.
pub(super) struct Pending {
    outcome: Arc<Signal<(NTSTATUS, usize)>>,
}

impl Pending {
    fn new() -> (Self, *mut c_void) {
        let outcome = Signal::new();
        let context = Arc::into_raw(outcome.clone()).cast_mut().cast();
        (Self { outcome }, context)
    }

    fn take_context(context: *mut c_void) -> Arc<Signal<(NTSTATUS, usize)>> {
        // SAFETY: made by `new`, and taken once: by the callback, or because there is none.
        unsafe { Arc::from_raw(context.cast_const().cast()) }
    }

    /// The status of the completion.
    pub(super) fn wait(&self) -> NTSTATUS {
        self.outcome.take().0
    }

    pub(super) fn is_done(&self) -> bool {
        self.outcome.count() > 0
    }
}

unsafe extern "system" fn on_request(context: *mut c_void, status: NTSTATUS) {
    check_callback();
    Pending::take_context(context).send((status, 0));
}

unsafe extern "system" fn on_create(context: *mut c_void, status: NTSTATUS, object: *mut NDK_OBJECT_HEADER) {
    check_callback();
    Pending::take_context(context).send((status, object.expose_provenance()));
}

unsafe extern "system" fn on_close(context: *mut c_void) {
    check_callback();
    Pending::take_context(context).send((STATUS_SUCCESS, 0));
}

/// A control request that may pend: `Ok` with a pending one, `Err` with an inline status.
pub(super) fn begin(
    call: impl FnOnce(NDK_FN_REQUEST_COMPLETION, *mut c_void) -> NTSTATUS,
) -> Result<Pending, NTSTATUS> {
    let (pending, context) = Pending::new();
    let status = call(on_request, context);
    if status == STATUS_PENDING {
        return Ok(pending);
    }
    assert!(!pending.is_done(), "a callback without STATUS_PENDING");
    drop(Pending::take_context(context));
    Err(status)
}

/// A control request, waited for.
pub(super) fn request(call: impl FnOnce(NDK_FN_REQUEST_COMPLETION, *mut c_void) -> NTSTATUS) -> NTSTATUS {
    match begin(call) {
        Ok(pending) => pending.wait(),
        Err(status) => status,
    }
}

/// A create, waited for.
pub(super) fn create<T>(
    call: impl FnOnce(NDK_FN_CREATE_COMPLETION, *mut c_void, *mut *mut T) -> NTSTATUS,
) -> Result<*mut T, NTSTATUS> {
    let (pending, context) = Pending::new();
    let mut out = ptr::null_mut();
    let status = call(on_create, context, &raw mut out);
    let object = if status == STATUS_PENDING {
        assert!(out.is_null(), "the out parameter was written although the create pends");
        let (status, object) = pending.outcome.take();
        if status != STATUS_SUCCESS {
            assert_eq!(object, 0, "an object with a failure");
            return Err(status);
        }
        ptr::with_exposed_provenance_mut(object)
    } else {
        assert!(!pending.is_done(), "a callback without STATUS_PENDING");
        drop(Pending::take_context(context));
        if status != STATUS_SUCCESS {
            assert!(out.is_null(), "an object with a failure");
            return Err(status);
        }
        out
    };
    assert!(!object.is_null());
    Ok(object)
}

/// Issues a close: `None` if it was done inline.
pub(super) fn begin_close<T>(object: *mut T, close: NDK_FN_CLOSE_OBJECT) -> Option<Pending> {
    let (pending, context) = Pending::new();
    // SAFETY: the test gives the object up.
    let status = unsafe { close(object.cast(), on_close, context) };
    if status == STATUS_PENDING {
        return Some(pending);
    }
    assert_eq!(status, STATUS_SUCCESS, "a close never fails");
    drop(Pending::take_context(context));
    None
}

/// Closes an object and waits.
pub(super) fn close<T>(object: *mut T, close: NDK_FN_CLOSE_OBJECT) {
    if let Some(pending) = begin_close(object, close) {
        assert_eq!(pending.wait(), STATUS_SUCCESS);
    }
}

macro_rules! close_slot {
    ($object:expr, $function:ident) => {{
        let object = $object;
        // SAFETY: the test holds the object open.
        let table = unsafe { (*object).Dispatch };
        // SAFETY: tables live for ever.
        unsafe { (*table).$function }
    }};
}

pub(super) use close_slot;

/// The outcome of a request that may pend.
pub(super) fn outcome(begun: Result<Pending, NTSTATUS>) -> NTSTATUS {
    begun.map_or_else(|status| status, |pending| pending.wait())
}

/// Over iWARP things happen in DPCs of the simulated system: waits until all have, unless inside one.
pub(super) fn settle() {
    if fabric() == Fabric::Iwarp && ksim::processor::irql() == 0 {
        ksim::quiesce();
    }
}

/// Every port.
pub(super) const ALL_PORTS: &[(u16, u16)] = &[(1, u16::MAX)];

/// The usual settings, but that an accept completes with the first FPDU alone, however slow the host is.
fn iwarp(wsk: &TestWsk) -> Iwarp<'static> {
    let first_fpdu_timeout = kernel::time::milliseconds(600_000);
    Iwarp { local_too: true, first_fpdu_timeout, ..Iwarp::new(wsk.system(), ALL_PORTS) }
}

/// A software adapter, one open of it, and the leak check.
pub(super) struct World {
    wsk: Option<TestWsk>,
    soft: Option<SoftNdk>,
    pub(super) adapter: *mut NDK_ADAPTER,
    _alone: Option<MutexGuard<'static, ()>>,
}

pub(super) const VERSION: NDK_VERSION = NDK_VERSION { Major: 2, Minor: 1 };
/// Tags of this crate, and of the events it uses. (Memory of a test may outlive its world.)
const TAGS: [&[u8; 4]; 6] = [b"WrSo", b"WrSj", b"WrSm", b"WrSp", b"WrSt", b"WrEv"];

/// What was allocated when the present test began: something only if an earlier one failed.
static BEFORE: Mutex<[usize; 6]> = Mutex::new([0; 6]);

/// Blocks allocated now, by tag.
pub(super) fn outstanding() -> [usize; 6] {
    TAGS.map(ksim::pool::outstanding)
}

/// Makes the simulated kernel ready; other tests wait. What a test that failed has left at the system ends here: its ports are free
/// again, and its peers are heard no more.
pub(super) fn boot() -> MutexGuard<'static, ()> {
    static BOOT: Once = Once::new();
    let alone = ksim::exclusive();
    // SAFETY: the simulated device stays for ever.
    BOOT.call_once(|| unsafe { kernel::init(ksim::device()) });
    POSTING.set(false);
    ksim::wsk::sockets().into_iter().for_each(|left| ksim::wsk::kill(left.socket));
    ksim::wsk::reset();
    ksim::quiesce();
    *BEFORE.lock().unwrap() = outstanding();
    alone
}

/// The leak check.
pub(super) fn assert_nothing_left() {
    ksim::quiesce();
    let (now, before) = (outstanding(), *BEFORE.lock().unwrap());
    // Less than before: a timer of a test that failed has freed something.
    let more = now.iter().zip(before).any(|(now, before)| *now > before);
    assert!(!more, "blocks left with the tags {TAGS:?}: {before:?} before, {now:?} now");
}

impl World {
    pub(super) fn new(config: Config<'_>) -> Self {
        let alone = boot();
        let wsk = (fabric() == Fabric::Iwarp).then(TestWsk::new);
        config.addresses.iter().filter(|ip| !ip.is_loopback()).for_each(|ip| ksim::wsk::add_address(*ip));
        let iwarp = wsk.as_ref().map(iwarp);
        let soft = SoftNdk::start(Config { iwarp: config.iwarp.or(iwarp), ..config }).unwrap();
        let adapter = soft.open_adapter(VERSION).unwrap();
        Self { wsk, ..Self::over(soft, adapter, alone) }
    }

    pub(super) fn over(soft: SoftNdk, adapter: *mut NDK_ADAPTER, alone: MutexGuard<'static, ()>) -> Self {
        Self { wsk: None, soft: Some(soft), adapter, _alone: Some(alone) }
    }

    /// Over iWARP with other settings than usual.
    pub(super) fn tuned(tune: impl FnOnce(&mut Iwarp<'_>)) -> Self {
        let alone = boot();
        let wsk = TestWsk::new();
        let mut iwarp = iwarp(&wsk);
        tune(&mut iwarp);
        let soft = SoftNdk::start(Config { iwarp: Some(iwarp), ..Config::default() }).unwrap();
        let adapter = soft.open_adapter(VERSION).unwrap();
        Self { wsk: Some(wsk), ..Self::over(soft, adapter, alone) }
    }

    pub(super) fn plain() -> Self {
        Self::new(Config::default())
    }

    pub(super) fn with_answers(answers: AnswerMode) -> Self {
        Self::new(Config { answers, ..Config::default() })
    }

    /// The simulated system's WSK, for a peer that is no adapter.
    pub(super) fn system(&self) -> SystemWsk {
        self.wsk.as_ref().expect("a test over iWARP").system()
    }

    pub(super) fn soft(&self) -> &SoftNdk {
        self.soft.as_ref().unwrap()
    }

    pub(super) fn finish(mut self) {
        let soft = self.soft.take().unwrap();
        // SAFETY: opened by `new`, closed once.
        unsafe { soft.close_adapter(self.adapter) };
        soft.stop();
        drop(self.wsk.take());
        assert_nothing_left();
    }

    /// Another open of the same adapter.
    pub(super) fn second(&self) -> Self {
        let adapter = self.soft().open_adapter(NDK_VERSION { Major: 1, Minor: 0 }).unwrap();
        Self { wsk: None, soft: None, adapter, _alone: None }
    }

    pub(super) fn close_second(self, first: &Self) {
        // SAFETY: opened by `second`, closed once.
        unsafe { first.soft().close_adapter(self.adapter) };
    }

    pub(super) fn pd(&self) -> *mut NDK_PD {
        create(|cc, context, out| ndk!(self.adapter, NdkCreatePd, cc, context, out)).unwrap()
    }

    pub(super) fn connector(&self) -> *mut NDK_CONNECTOR {
        create(|cc, context, out| ndk!(self.adapter, NdkCreateConnector, cc, context, out)).unwrap()
    }
}

/// A completion queue that counts its notifications.
pub(super) struct TestCq {
    pub(super) cq: *mut NDK_CQ,
    pub(super) notified: Arc<Signal<NTSTATUS>>,
    context: *mut CqContext,
}

struct CqContext {
    notified: Arc<Signal<NTSTATUS>>,
    inside: std::sync::atomic::AtomicBool,
    hook: Mutex<Option<std::boxed::Box<dyn FnMut() + Send>>>,
}

unsafe extern "system" fn on_cq(context: *mut c_void, status: NTSTATUS) {
    check_callback();
    assert_eq!(ksim::processor::irql(), abi::nt::DISPATCH_LEVEL);
    // SAFETY: the context lives until the queue is closed.
    let context = unsafe { &*context.cast::<CqContext>() };
    let before = context.inside.swap(true, std::sync::atomic::Ordering::SeqCst);
    assert!(!before, "two callbacks of one queue at once");
    if let Some(hook) = context.hook.lock().unwrap().as_mut() {
        hook();
    }
    context.inside.store(false, std::sync::atomic::Ordering::SeqCst);
    context.notified.send(status);
}

impl TestCq {
    pub(super) fn new(world: &World, depth: u32) -> Self {
        Self::try_new(world, depth).unwrap()
    }

    pub(super) fn try_new(world: &World, depth: u32) -> Result<Self, NTSTATUS> {
        let notified = Signal::new();
        let context = std::boxed::Box::into_raw(std::boxed::Box::new(CqContext {
            notified: notified.clone(),
            inside: std::sync::atomic::AtomicBool::new(false),
            hook: Mutex::new(None),
        }));
        let made = create(|cc, request_context, out| {
            let affinity = ptr::null();
            ndk!(world.adapter, NdkCreateCq, depth, on_cq, context.cast(), affinity, cc, request_context, out)
        });
        match made {
            Ok(cq) => Ok(Self { cq, notified, context }),
            Err(status) => {
                // SAFETY: nobody got it.
                drop(unsafe { std::boxed::Box::from_raw(context) });
                Err(status)
            }
        }
    }

    /// Runs `hook` inside each notification.
    pub(super) fn set_hook(&self, hook: impl FnMut() + Send + 'static) {
        // SAFETY: the context lives until the queue is closed.
        let context = unsafe { &*self.context };
        *context.hook.lock().unwrap() = Some(std::boxed::Box::new(hook));
    }

    pub(super) fn arm(&self, kind: u32) {
        ndk!(self.cq, NdkArmCq, kind);
    }

    /// Everything in the queue.
    pub(super) fn drain(&self) -> Vec<NDK_RESULT_EX> {
        drain(self.cq)
    }

    /// Everything in the queue, once there is something: over iWARP another thread may be at it.
    fn some(&self) -> Vec<NDK_RESULT_EX> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let all = self.drain();
            if !all.is_empty() || fabric() == Fabric::Memory || Instant::now() > patience {
                return all;
            }
            std::thread::yield_now();
        }
    }

    /// The one entry in the queue.
    pub(super) fn one(&self) -> NDK_RESULT_EX {
        let all = self.some();
        assert_eq!(all.len(), 1, "{all:?}");
        all[0]
    }

    pub(super) fn close(self) {
        close(self.cq, close_slot!(self.cq, NdkCloseCq));
        self.forget();
    }

    /// Frees the context of a queue closed by other means.
    pub(super) fn forget(self) {
        // SAFETY: the queue is closed.
        drop(unsafe { std::boxed::Box::from_raw(self.context) });
    }
}

pub(super) fn drain(cq: *mut NDK_CQ) -> Vec<NDK_RESULT_EX> {
    settle();
    let mut all = Vec::new();
    loop {
        let mut batch = [EMPTY; 3];
        let count = ndk!(cq, NdkGetCqResultsEx, batch.as_mut_ptr(), 3) as usize;
        all.extend_from_slice(&batch[..count]);
        if count < 3 {
            return all;
        }
    }
}

const EMPTY: NDK_RESULT_EX = NDK_RESULT_EX {
    Status: 0,
    BytesTransferred: 0,
    QPContext: ptr::null_mut(),
    RequestContext: ptr::null_mut(),
    Type: 0,
    ProviderErrorCode: 0,
    TypeSpecificCompletionOutput: 0,
};

/// What `look` finds, as soon as it finds something.
pub(super) fn eventually<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let patience = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < patience, "waited in vain: {what}");
        std::thread::yield_now();
    }
}
