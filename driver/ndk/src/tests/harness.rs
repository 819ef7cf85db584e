//! A software adapter opened by this crate, and handlers that write down what happens to them.

use core::ffi::c_void;
use core::net::{Ipv4Addr, SocketAddr};
use core::ptr::NonNull;
use core::time::Duration;
use std::boxed::Box;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once};
use std::vec::Vec;

use abi::NTSTATUS;
use abi::ndk::{NDK_ADAPTER, NDK_ADAPTER_INFO, NDK_VERSION};
use kernel::pool::{PoolTag, Shared};
use softndk::{AnswerMode, Config, SoftNdk};

use crate::{
    Access, Adapter, CloseAdapter, Completion, Depths, Endpoint, Handler, Incoming, Limits, ListenHandler,
    Listener, Memory, Piece, Poster,
};

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// The same in units of 100 ns.
pub(super) const LONG: u64 = kernel::time::milliseconds(20_000);
pub(super) const TAG: PoolTag = PoolTag::new(b"WrTe");
pub(super) const DEPTHS: Depths = Depths { receives: 32, initiators: 32 };
pub(super) const MODES: [AnswerMode; 3] = [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early];

/// A software adapter, opened.
pub(super) struct World {
    // Boxed: its address is the context of the close.
    soft: Option<Box<SoftNdk>>,
    pub(super) adapter: Option<Shared<Adapter>>,
    /// What the adapter is to say of itself instead.
    pub(super) limits: Option<fn(&mut NDK_ADAPTER_INFO)>,
    /// What it is held to.
    pub(super) held_to: Limits,
    /// What tests before this one have left: only those that failed leave anything.
    before: Vec<ksim::pool::Usage>,
    _alone: MutexGuard<'static, ()>,
}

/// # Safety
/// `context` is the [`SoftNdk`] that opened `adapter`.
unsafe fn close(context: *mut c_void, adapter: NonNull<NDK_ADAPTER>) {
    // SAFETY: the world keeps the provider until its adapter is closed.
    let soft = unsafe { &*context.cast::<SoftNdk>() };
    // SAFETY: opened there, closed once.
    let give_back = |adapter: NonNull<NDK_ADAPTER>| unsafe { soft.close_adapter(adapter.as_ptr()) };
    // SAFETY: wrapped when it was opened.
    unsafe { ndkcheck::close(adapter, give_back) };
}

impl World {
    /// An adapter that answers in this way, in a kernel of this test's own.
    pub(super) fn unopened(answers: AnswerMode) -> Self {
        static BOOT: Once = Once::new();
        let alone = ksim::exclusive();
        // SAFETY: the simulated device stays for ever.
        BOOT.call_once(|| unsafe { kernel::init(ksim::device()) });
        let before = left();
        let soft = Box::new(SoftNdk::start(Config { answers, ..Config::default() }).unwrap());
        let held_to = Limits { answer: LONG, entries: kernel::time::milliseconds(5), memory: 1 << 30 };
        Self { soft: Some(soft), adapter: None, limits: None, held_to, before, _alone: alone }
    }

    pub(super) fn new(answers: AnswerMode) -> Self {
        let mut world = Self::unopened(answers);
        world.adapter = Some(world.adopt().unwrap());
        world
    }

    /// Opens the adapter and gives it to the crate.
    pub(super) fn adopt(&self) -> Result<Shared<Adapter>, NTSTATUS> {
        self.adopt_opened(self.open()?)
    }

    pub(super) fn open(&self) -> Result<NonNull<NDK_ADAPTER>, NTSTATUS> {
        let object = self.soft.as_ref().unwrap().open_adapter(NDK_VERSION { Major: 2, Minor: 0 })?;
        // SAFETY: opened just now, and used by nobody.
        let object = unsafe { ndkcheck::wrap(NonNull::new(object).unwrap()) };
        if let Some(limits) = self.limits {
            // SAFETY: wrapped just now.
            unsafe { ndkcheck::of(object) }.limits(limits);
        }
        Ok(object)
    }

    pub(super) fn adopt_opened(&self, object: NonNull<NDK_ADAPTER>) -> Result<Shared<Adapter>, NTSTATUS> {
        let context = core::ptr::from_ref::<SoftNdk>(self.soft.as_ref().unwrap()).cast_mut().cast();
        // SAFETY: opened here and used by nobody; `close` gives it back where it was opened.
        unsafe { Adapter::adopt(object, CloseAdapter { close, context }, self.held_to) }
    }

    /// Closes an adapter that was opened and not adopted.
    pub(super) fn close_unadopted(&self, object: NonNull<NDK_ADAPTER>) {
        let soft = self.soft.as_ref().unwrap();
        // SAFETY: the world's own, closed once.
        unsafe { close(core::ptr::from_ref::<SoftNdk>(soft).cast_mut().cast(), object) };
    }

    /// What stands between the crate and the software adapter.
    pub(super) fn checker(&self) -> ndkcheck::Checker {
        let object = NonNull::new(self.adapter().object()).unwrap();
        // SAFETY: wrapped when it was opened.
        unsafe { ndkcheck::of(object) }
    }

    pub(super) fn adapter(&self) -> &Shared<Adapter> {
        self.adapter.as_ref().unwrap()
    }

    /// Closes the adapter and the provider, and checks that nothing is left.
    pub(super) fn finish(mut self) {
        if let Some(adapter) = self.adapter.take() {
            assert!(adapter.close(LONG), "the adapter is not closed in time");
        }
        self.soft.take().unwrap().stop();
        let left: Vec<_> = left().into_iter().filter(|usage| !self.before.contains(usage)).collect();
        assert_eq!(left, [], "still allocated");
    }
}

/// What is allocated by any of the driver's crates, once nothing runs any more.
pub(super) fn left() -> Vec<ksim::pool::Usage> {
    ksim::quiesce();
    ksim::leaks().into_iter().filter(|usage| usage.tag.starts_with("Wr")).collect()
}

/// Runs a test over an adapter of each kind.
pub(super) fn in_each_mode(test: impl Fn(&World)) {
    for mode in MODES {
        let world = World::new(mode);
        test(&world);
        world.finish();
    }
}

pub(super) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)
}

/// What a handler was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    PeerData(Vec<u8>),
    Refused(Vec<u8>),
    Established(NTSTATUS),
    /// Status, octets, context.
    Completion(NTSTATUS, u32, usize),
    Disconnected,
    Closed,
}

/// Done inside a callback.
type Deed = Box<dyn FnMut(&Told) + Send>;

struct Diary {
    told: Vec<Told>,
    deed: Option<Deed>,
}

/// A handler that writes down what happens, and checks what must hold always.
pub(super) struct Witness {
    diary: Mutex<Diary>,
    changed: Condvar,
    accepts: bool,
}

impl Witness {
    pub(super) fn new() -> Shared<Arc<Self>> {
        Self::that_answers(true)
    }

    /// `peer_data` is answered so.
    pub(super) fn that_answers(accepts: bool) -> Shared<Arc<Self>> {
        let diary = Mutex::new(Diary { told: Vec::new(), deed: None });
        Shared::try_new(TAG, Arc::new(Self { diary, changed: Condvar::new(), accepts })).unwrap()
    }

    /// Has `deed` done inside every callback from now on.
    pub(super) fn does(&self, deed: impl FnMut(&Told) + Send + 'static) {
        self.diary.lock().unwrap().deed = Some(Box::new(deed));
    }

    fn note(&self, told: Told) {
        assert_eq!(ksim::processor::locks_held(), 0, "called with a lock held");
        let mut deed = {
            let mut diary = self.diary.lock().unwrap();
            assert!(!diary.told.contains(&Told::Closed), "{told:?} after the close");
            if matches!(told, Told::Established(_)) {
                let before = diary.told.iter().any(|told| matches!(told, Told::Established(_)));
                assert!(!before, "established twice");
            }
            assert!(told != Told::Disconnected || !diary.told.contains(&told), "disconnected twice");
            diary.told.push(told.clone());
            diary.deed.take()
        };
        self.changed.notify_all();
        if let Some(deed) = &mut deed {
            deed(&told);
        }
        let mut diary = self.diary.lock().unwrap();
        if diary.deed.is_none() {
            diary.deed = deed;
        }
    }

    /// Everything so far.
    pub(super) fn told(&self) -> Vec<Told> {
        self.diary.lock().unwrap().told.clone()
    }

    /// Waits until `which` has been told.
    pub(super) fn wait_for(&self, which: impl Fn(&Told) -> bool) -> Told {
        let diary = self.diary.lock().unwrap();
        let waiting = |diary: &mut Diary| !diary.told.iter().any(&which);
        let (diary, timeout) = self.changed.wait_timeout_while(diary, PATIENCE, waiting).unwrap();
        assert!(!timeout.timed_out(), "it does not happen; told: {:?}", diary.told);
        diary.told.iter().find(|told| which(told)).unwrap().clone()
    }

    /// Waits for the answer to a connect or accept.
    pub(super) fn answer(&self) -> NTSTATUS {
        match self.wait_for(|told| matches!(told, Told::Established(_))) {
            Told::Established(status) => status,
            other => panic!("{other:?}"),
        }
    }

    /// Waits for the end.
    pub(super) fn ended(&self) {
        self.wait_for(|told| *told == Told::Closed);
    }

    /// Waits for so many completions, and returns them all.
    pub(super) fn entries(&self, count: usize) -> Vec<(NTSTATUS, u32, usize)> {
        let of = |diary: &Diary| -> Vec<(NTSTATUS, u32, usize)> {
            let all = diary.told.iter();
            all.filter_map(|told| match told {
                Told::Completion(status, octets, context) => Some((*status, *octets, *context)),
                _ => None,
            })
            .collect()
        };
        let diary = self.diary.lock().unwrap();
        let waiting = |diary: &mut Diary| of(diary).len() < count;
        let (diary, timeout) = self.changed.wait_timeout_while(diary, PATIENCE, waiting).unwrap();
        assert!(!timeout.timed_out(), "completions are missing; told: {:?}", diary.told);
        of(&diary)
    }
}

// The handler is the `Arc` so that a deed can hold what it needs without a circle of pool references.
impl Handler for Arc<Witness> {
    fn peer_data(&self, data: &[u8]) -> bool {
        self.note(Told::PeerData(data.to_vec()));
        self.accepts
    }

    fn refused(&self, data: &[u8]) {
        self.note(Told::Refused(data.to_vec()));
    }

    fn established(&self, status: NTSTATUS) {
        self.note(Told::Established(status));
    }

    fn completions(&self, entries: &[Completion]) {
        assert!(!entries.is_empty(), "no completions");
        for entry in entries {
            self.note(Told::Completion(entry.status, entry.octets, entry.context));
        }
    }

    fn disconnected(&self) {
        self.note(Told::Disconnected);
    }

    fn closed(&self) {
        self.note(Told::Closed);
    }
}

/// A listener's handler that keeps the requests.
pub(super) struct Door {
    waiting: Mutex<Vec<Incoming>>,
    changed: Condvar,
}

impl Door {
    pub(super) fn new() -> Shared<Self> {
        Shared::try_new(TAG, Self { waiting: Mutex::new(Vec::new()), changed: Condvar::new() }).unwrap()
    }

    /// The oldest request, when there is one.
    pub(super) fn take(&self) -> Incoming {
        let waiting = self.waiting.lock().unwrap();
        let (mut waiting, timeout) =
            self.changed.wait_timeout_while(waiting, PATIENCE, |waiting| waiting.is_empty()).unwrap();
        assert!(!timeout.timed_out(), "no request arrives");
        waiting.remove(0)
    }

    /// Drops what waits.
    pub(super) fn clear(&self) {
        let waiting = core::mem::take(&mut *self.waiting.lock().unwrap());
        drop(waiting);
    }
}

impl ListenHandler for Door {
    fn incoming(&self, incoming: Incoming) {
        assert_eq!(ksim::processor::locks_held(), 0, "called with a lock held");
        self.waiting.lock().unwrap().push(incoming);
        self.changed.notify_all();
    }
}

/// One end of a connection: its handler and the right to post.
pub(super) struct End {
    pub(super) witness: Shared<Arc<Witness>>,
    pub(super) poster: Option<Poster<Arc<Witness>>>,
    pub(super) endpoint: Shared<Endpoint<Arc<Witness>>>,
}

impl End {
    pub(super) fn new(witness: Shared<Arc<Witness>>, poster: Poster<Arc<Witness>>) -> Self {
        let endpoint = poster.endpoint().clone();
        Self { witness, poster: Some(poster), endpoint }
    }

    pub(super) fn poster(&mut self) -> &mut Poster<Arc<Witness>> {
        self.poster.as_mut().unwrap()
    }

    /// Posts `count` receives of 64 octets each; contexts from 0.
    pub(super) fn post_receives(&mut self, count: usize) {
        for context in 0..count {
            self.poster().receive(Piece { memory: 0, offset: context * 64, len: 64 }, context).unwrap();
        }
    }

    /// Asks for the end.
    pub(super) fn close(&mut self, graceful: bool) {
        self.poster.take().unwrap().close(graceful);
    }

    /// Asks for the end and waits for it.
    pub(super) fn finish(mut self, graceful: bool) {
        if self.poster.is_some() {
            self.close(graceful);
        }
        self.witness.ended();
        assert_eq!(self.witness.told().last(), Some(&Told::Closed));
    }
}

/// Two regions: one for the local side, one that the peer may write.
pub(super) fn memories(world: &World) -> heapless::Vec<Memory, 4> {
    let mut memories = heapless::Vec::new();
    for access in [Access::LocalWrite, Access::RemoteWrite] {
        let memory = Memory::register(world.adapter(), 8192, access).unwrap();
        assert!(memories.push(memory).is_ok());
    }
    memories
}

pub(super) fn active(world: &World, witness: Shared<Arc<Witness>>, depths: Depths) -> End {
    let poster = Endpoint::active(world.adapter(), witness.clone(), depths, memories(world)).unwrap();
    End::new(witness, poster)
}

pub(super) fn passive(
    world: &World,
    witness: Shared<Arc<Witness>>,
    depths: Depths,
    incoming: Incoming,
) -> End {
    let poster = Endpoint::passive(incoming, witness.clone(), depths, memories(world)).unwrap();
    End::new(witness, poster)
}

/// A listener at a port of the provider's choice.
pub(super) fn listen(world: &World) -> (Listener<Door>, Shared<Door>) {
    let door = Door::new();
    (Listener::listen(world.adapter(), loopback(0), door.clone()).unwrap(), door)
}

/// A connection, with 8 receives posted at either end.
pub(super) struct Pair {
    pub(super) near: End,
    pub(super) far: End,
}

impl Pair {
    pub(super) fn new(world: &World) -> Self {
        Self::with(world, Witness::new(), Witness::new(), DEPTHS)
    }

    pub(super) fn with(
        world: &World,
        near: Shared<Arc<Witness>>,
        far: Shared<Arc<Witness>>,
        depths: Depths,
    ) -> Self {
        let (listener, door) = listen(world);
        let mut near = active(world, near, depths);
        near.post_receives(8);
        Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"near");
        let mut far = passive(world, far, depths, door.take());
        far.post_receives(8);
        Endpoint::accept(&far.endpoint, b"far");
        assert_eq!(near.witness.answer(), 0);
        assert_eq!(far.witness.answer(), 0);
        Self { near, far }
    }

    pub(super) fn finish(self) {
        self.near.finish(false);
        self.far.finish(false);
    }
}
