//! One wrapped adapter, and what happens to a consumer that breaks a rule.

use std::fmt;
use std::io::Write as _;
use std::mem::zeroed;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use abi::NTSTATUS;
use abi::ndk::{NDK_ADAPTER, NDK_ADAPTER_INFO, NDK_CONNECTOR, NDK_CQ, NDK_VERSION, NdkObjectTypeAdapter};
use abi::nt::PASSIVE_LEVEL;
use ksim::sync::Mutex;
pub(crate) use ksim::sync::lock;

use crate::memory::Book;
use crate::object::{Body, Object, Ref};
use crate::request::{in_callback, tell_cq, tell_disconnect};
use crate::rule::Rule;
use crate::script::{Act, Chooser, EntryAct, Script, Slot};
use crate::table;

/// A broken rule that was expected.
#[derive(Debug, Clone)]
pub struct Violation {
    /// Which one.
    pub rule: Rule,
    /// Where and how.
    pub text: String,
}

/// A rule was broken and the consumer's call is not handed on.
#[derive(Debug)]
pub(crate) struct Refused;

/// A wrapped adapter with everything made of it.
pub(crate) struct Check {
    pub(crate) info: NDK_ADAPTER_INFO,
    pub(crate) version: NDK_VERSION,
    /// Every proxy ever made: kept to the end, so that the use of a closed one is found and not followed.
    objects: Mutex<Vec<Kept>>,
    pub(crate) memory: Mutex<Book>,
    pub(crate) script: Script,
    expected: Mutex<Vec<Rule>>,
    caught: Mutex<Vec<Violation>>,
    sequence: AtomicUsize,
}

/// A proxy that this check frees.
struct Kept(Ref);

impl Drop for Kept {
    fn drop(&mut self) {
        // SAFETY: came from a box in `Check::keep`; the check goes, and with it the last call that could use it.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl Check {
    /// Keeps a new proxy.
    pub(crate) fn keep(&self, object: Box<Object>) -> Ref {
        let kept = Ref::new(Box::leak(object));
        lock(&self.objects).push(Kept(kept));
        kept
    }

    /// A number for a posted request, unlike any other of this adapter and never 0.
    pub(crate) fn next_sequence(&self) -> usize {
        self.sequence.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether the version in force has what came with this one.
    pub(crate) fn has(&self, major: u16, minor: u16) -> bool {
        (self.version.Major, self.version.Minor) >= (major, minor)
    }

    /// `Ok` when the rule is kept.
    pub(crate) fn demand(
        &self,
        kept: bool,
        rule: Rule,
        text: impl FnOnce() -> String,
    ) -> Result<(), Refused> {
        if kept { Ok(()) } else { Err(self.broken(rule, text())) }
    }

    /// A rule is broken: ends the process, unless the test expects it.
    pub(crate) fn broken(&self, rule: Rule, text: String) -> Refused {
        if !lock(&self.expected).contains(&rule) {
            stop(rule, format_args!("{text}"));
        }
        lock(&self.caught).push(Violation { rule, text });
        Refused
    }
}

/// Ends the process, on whatever thread. The report goes past the test harness, which keeps what a dying test says. A
/// deterministic run ends with a panic, for it has a report of its own.
#[expect(clippy::panic, reason = "a run's panic hook is what reports its seed")]
pub(crate) fn stop(rule: Rule, text: fmt::Arguments<'_>) -> ! {
    let thread = std::thread::current();
    let report = format!(
        "\n*** NDK CONTRACT {} (NDKPI reference, section {}) in thread {}: {text}\n    {}\n{}\n",
        rule.name(),
        rule.section(),
        thread.name().unwrap_or("without a name"),
        rule.text(),
        std::backtrace::Backtrace::force_capture(),
    );
    if ksim::sim::is_task() {
        panic!("{report}");
    }
    let _ = std::io::stderr().lock().write_all(report.as_bytes());
    std::process::abort();
}

/// A handle to a wrapped adapter, for scripts and expectations.
#[derive(Clone)]
pub struct Checker(Arc<Check>);

impl Checker {
    /// From now on a violation of `rule` is written down instead of ending the process. The call that breaks it is not
    /// handed on.
    pub fn expect(&self, rule: Rule) {
        lock(&self.0.expected).push(rule);
    }

    /// The expected violations that came, oldest first, since the last time this was asked.
    #[must_use]
    pub fn caught(&self) -> Vec<Violation> {
        std::mem::take(&mut *lock(&self.0.caught))
    }

    /// The next call of this slot that nothing was said about yet is answered so.
    pub fn next(&self, slot: Slot, act: Act) {
        self.0.script.next(slot, act);
    }

    /// Every call of this slot is answered so, unless [`next`](Self::next) says otherwise.
    pub fn always(&self, slot: Slot, act: Act) {
        self.0.script.always(slot, act);
    }

    /// Every call is answered as `chooser` says, unless [`next`](Self::next) or [`always`](Self::always) say otherwise.
    pub fn choose(&self, chooser: Chooser) {
        self.0.script.choose(chooser);
    }

    /// Nothing is out of the ordinary any more. What was kept back stays kept back.
    pub fn relent(&self) {
        self.0.script.relent();
    }

    /// What becomes of the next completion entries that are reaped, one for each.
    pub fn entries(&self, acts: &[EntryAct]) {
        lock(&self.0.script.entries).extend(acts);
    }

    /// `NdkQueryAdapterInfo` tells these limits instead. The rules go on with the true ones.
    pub fn limits(&self, change: fn(&mut NDK_ADAPTER_INFO)) {
        *lock(&self.0.script.limits) = Some(change);
    }

    /// How many callbacks wait for their turn.
    #[must_use]
    pub fn turns(&self) -> usize {
        self.0.script.turns()
    }

    /// Makes the oldest callback that waits for its turn; `false` when there is none.
    pub fn turn(&self) -> bool {
        self.0.script.turn()
    }

    /// Makes all callbacks that wait for their turn, and those that come of them.
    pub fn turn_all(&self) {
        while self.turn() {}
    }

    /// Makes the disconnect event of a connector, whatever its state; `false` when the consumer never gave one.
    ///
    /// # Safety
    /// `connector` is a proxy of this adapter, open or closed, whose event may be called: its context still exists.
    pub unsafe fn disconnect_event(&self, connector: *mut NDK_CONNECTOR) -> bool {
        // SAFETY: proxies live as long as their check, which `self` holds.
        let object = unsafe { Ref::from_raw(connector.cast()) };
        tell_disconnect(&self.0, object, 0)
    }

    /// Makes the notification of a completion queue with this status.
    ///
    /// # Safety
    /// `cq` is a proxy of this adapter whose context still exists.
    pub unsafe fn notify(&self, cq: *mut NDK_CQ, status: NTSTATUS) {
        // SAFETY: proxies live as long as their check, which `self` holds.
        let object = unsafe { Ref::from_raw(cq.cast()) };
        tell_cq(&self.0, object, status);
    }

    /// No provider may: makes every callback of what is closed once more, and calls the completion of every request and close
    /// once more; how many that were. Those without a context are left out.
    #[must_use]
    pub fn repeat(&self) -> u32 {
        let closed: Vec<Ref> = {
            let objects = lock(&self.0.objects);
            objects.iter().map(|kept| kept.0).filter(|object| !object.is_open()).collect()
        };
        let mut calls = 0;
        for object in closed {
            let told = match &object.body {
                Body::Cq(_) => {
                    tell_cq(&self.0, object, 0);
                    true
                }
                Body::Connector(_) => tell_disconnect(&self.0, object, 0),
                Body::Listener(_) => table::listener::tell_nothing(&self.0, object),
                _ => false,
            };
            calls += u32::from(told);
        }
        for given in self.0.script.given() {
            given.repeat(&self.0);
            calls += 1;
        }
        calls
    }

    /// The completion queues whose close was not issued.
    #[must_use]
    pub fn open_cqs(&self) -> Vec<NonNull<NDK_CQ>> {
        self.open_objects(|body| matches!(body, Body::Cq(_))).into_iter().map(NonNull::cast).collect()
    }

    /// The connectors whose close was not issued.
    #[must_use]
    pub fn open_connectors(&self) -> Vec<NonNull<NDK_CONNECTOR>> {
        self.open_objects(|body| matches!(body, Body::Connector(_))).into_iter().map(NonNull::cast).collect()
    }

    pub(crate) fn open_objects(&self, is: impl Fn(&Body) -> bool) -> Vec<NonNull<Object>> {
        let objects = lock(&self.0.objects);
        let open = objects.iter().map(|kept| kept.0).filter(|object| object.is_open() && is(&object.body));
        open.map(Ref::non_null).collect()
    }
}

/// Holds the consumer to what the close of its adapter demands.
fn may_close(check: &Check, adapter: Ref) -> Result<(), Refused> {
    let inside = || "an adapter is closed inside a callback".to_owned();
    check.demand(!in_callback(), Rule::AdapterCloseInCallback, inside)?;
    let level = ksim::processor::irql();
    let high = || format!("the adapter is closed at IRQL {level}");
    check.demand(level == PASSIVE_LEVEL, Rule::Irql, high)?;
    let twice = || "the adapter is closed twice".to_owned();
    check.demand(adapter.is_open(), Rule::UseAfterClose, twice)?;
    let calls = adapter.calls();
    check
        .demand(calls == 0, Rule::CloseInCall, || format!("{calls} calls into the adapter are under way"))?;
    let left: Vec<String> = {
        let objects = lock(&check.objects);
        let open = objects.iter().map(|kept| kept.0).filter(|object| object.is_open() && *object != adapter);
        open.map(|object| object.to_string()).collect()
    };
    let mappings = lock(&check.memory).mappings();
    check.demand(left.is_empty() && mappings == 0, Rule::AdapterCloseLeak, || {
        format!("the adapter is closed with {mappings} mappings and these objects open: {left:?}")
    })
}

/// Puts the checks before an open adapter. PASSIVE_LEVEL. The adapter that comes back goes to [`close`] instead of to
/// whoever opened the first one.
///
/// # Safety
/// `adapter` is open, and nobody else uses it.
#[must_use]
pub unsafe fn wrap(adapter: NonNull<NDK_ADAPTER>) -> NonNull<NDK_ADAPTER> {
    let inner = adapter.as_ptr();
    // SAFETY: NDK_ADAPTER_INFO is plain integers.
    let mut info: NDK_ADAPTER_INFO = unsafe { zeroed() };
    let mut size = size_of::<NDK_ADAPTER_INFO>() as u32;
    // SAFETY: open (caller).
    let table = unsafe { (*inner).Dispatch };
    // SAFETY: the table of a live object.
    let query = unsafe { (*table).NdkQueryAdapterInfo };
    // A provider that cannot tell has no limits that could be checked; the consumer's own query finds out.
    // SAFETY: open (caller); `info` has `size` bytes.
    let _status = unsafe { query(inner, &raw mut info, &raw mut size) };
    // SAFETY: open (caller).
    let version = unsafe { (*inner).Header.Version };
    let check = Arc::new(Check {
        info,
        version,
        objects: Mutex::new(Vec::new()),
        memory: Mutex::new(Book::default()),
        script: Script::default(),
        expected: Mutex::new(Vec::new()),
        caught: Mutex::new(Vec::new()),
        sequence: AtomicUsize::new(0),
    });
    let object =
        Object::make(&check, NdkObjectTypeAdapter, (&raw const table::adapter::TABLE).cast(), Body::Adapter);
    object.open(inner.cast());
    // The adapter's own reference, until it is closed.
    let _ = Arc::into_raw(check);
    object.non_null().cast()
}

/// Closes a wrapped adapter: holds the consumer to what an adapter's close demands, and has `inner` close the first one,
/// which blocks. PASSIVE_LEVEL.
///
/// # Safety
/// `adapter` came from [`wrap`] and is closed once.
pub unsafe fn close(adapter: NonNull<NDK_ADAPTER>, inner: impl FnOnce(NonNull<NDK_ADAPTER>)) {
    // SAFETY: a wrapped adapter (caller).
    let checker = unsafe { of(adapter) };
    let check = &checker.0;
    // SAFETY: the adapter's proxy (caller).
    let object = unsafe { Ref::from_raw(adapter.as_ptr().cast()) };
    if may_close(check, object).is_err() {
        return;
    }
    object.begin_close();
    check.script.end();
    if let Some(adapter) = NonNull::new(object.inner()) {
        inner(adapter);
    }
    // SAFETY: the reference that `wrap` left for the adapter; it is closed once (caller).
    drop(unsafe { Arc::from_raw(object.check()) });
}

/// The handle of a wrapped adapter.
///
/// # Safety
/// `adapter` came from [`wrap`] and is open.
#[must_use]
pub unsafe fn of(adapter: NonNull<NDK_ADAPTER>) -> Checker {
    // SAFETY: a proxy that is open (caller).
    let object = unsafe { Ref::from_raw(adapter.as_ptr().cast()) };
    Checker(object.shared_check())
}
