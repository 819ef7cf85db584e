//! The event callbacks of the conformance cases: they record what they are called with, judge what holds for every call, and
//! answer as their case has said.
//!
//! | module | is |
//! |---|---|
//! | `book` | what one watch remembers |
//! | `callbacks` | the functions that a provider calls |
//! | [`inside`] | calls that are made from callbacks and completion routines |
//!
//! Both worlds use this code. A callback takes no lock but its own book's, and calls nothing with it.

mod book;
mod callbacks;
pub mod inside;

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use abi::NTSTATUS;
use abi::wsk::*;
use cases::watch::{Event as Seen, Kind, Release, Script, WATCHES, Watch};
use cases::world::Socket;
use kernel::event::{Event, EventType};
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, PoolBox, PoolSlice, Shared};
use kernel::time::interrupt_time_100ns;

use crate::calls::Open;
use crate::handle::TAG;
use book::Book;
pub use book::Breach;
pub use callbacks::receive_ex;
use inside::Inside;

/// How often a wait looks again, in units of 100 ns: nobody is told of an event that came between looking and waiting.
const GLANCE: u64 = 20_000;

/// One watch. A provider has its address as a socket's context.
pub(crate) struct Watcher {
    book: SpinLock<Book>,
    changed: Event,
    held: AtomicBool,
    hub: AtomicPtr<Hub>,
}

/// What all watches of a world share.
struct Hub {
    watchers: PoolSlice<Watcher>,
    /// Counts completions and events.
    order: Shared<AtomicU64>,
    /// The thread that is inside a call of the client's.
    calling: AtomicUsize,
    stream: WSK_CLIENT_STREAM_DISPATCH,
}

/// All watches of a world. They stay until every socket is closed.
pub struct Watchers(PoolBox<Hub>);

impl Watcher {
    fn new() -> Result<Self, AllocError> {
        Ok(Self {
            book: SpinLock::new(Book::new()),
            changed: Event::new(EventType::Notification, false)?,
            held: AtomicBool::new(false),
            hub: AtomicPtr::new(ptr::null_mut()),
        })
    }

    fn hub(&self) -> Option<&Hub> {
        // SAFETY: set when the watches were made; the hub has this watcher.
        unsafe { self.hub.load(Ordering::Acquire).as_ref() }
    }
}

impl Watchers {
    /// Watches that count on in `order`.
    ///
    /// # Errors
    /// [`AllocError`].
    pub fn new(order: &Shared<AtomicU64>) -> Result<Self, AllocError> {
        let hub = Hub {
            watchers: PoolSlice::try_build(TAG, WATCHES, |_| Watcher::new())?,
            order: order.clone(),
            calling: AtomicUsize::new(0),
            stream: WSK_CLIENT_STREAM_DISPATCH {
                Listen: &callbacks::LISTEN,
                Connect: &callbacks::CONNECTION,
            },
        };
        let hub = PoolBox::try_new(TAG, hub)?;
        let address = hub.as_ptr();
        for watcher in hub.watchers.iter() {
            watcher.hub.store(address, Ordering::Release);
        }
        Ok(Self(hub))
    }

    fn watcher(&self, watch: Watch) -> Option<&Watcher> {
        self.0.watchers.get(watch.0)
    }

    /// `SocketContext` and `Dispatch` for a socket of this category; NULL for a watch that is not there.
    #[must_use]
    pub fn parameters(&self, watch: Watch, category: u32) -> (*mut c_void, *const c_void) {
        let Some(watcher) = self.watcher(watch) else { return (ptr::null_mut(), ptr::null()) };
        let table: *const c_void = match category {
            WSK_FLAG_LISTEN_SOCKET => (&raw const callbacks::LISTEN).cast(),
            WSK_FLAG_STREAM_SOCKET => (&raw const self.0.stream).cast(),
            _ => (&raw const callbacks::CONNECTION).cast(),
        };
        (ptr::from_ref(watcher).cast_mut().cast(), table)
    }

    /// The watch's socket is there.
    pub fn attach(&self, watch: Watch, open: Open) {
        if let Some(watcher) = self.watcher(watch) {
            watcher.book.lock().open = Some(open);
        }
    }

    /// The watch's socket is closed: no callback may come any more.
    pub fn detach(&self, watch: Watch) {
        if let Some(watcher) = self.watcher(watch) {
            watcher.book.lock().gone = true;
        }
    }

    /// This thread makes a call of the client's until the value is dropped.
    #[must_use]
    pub fn calling(&self) -> Calling<'_> {
        self.0.calling.store(kernel::thread::current_id(), Ordering::Release);
        Calling(&self.0.calling)
    }

    /// Sets how a watch answers.
    pub fn set_script(&self, watch: Watch, script: Script) {
        if let Some(watcher) = self.watcher(watch) {
            watcher.held.store(script.hold.is_some(), Ordering::Release);
            let mut book = watcher.book.lock();
            book.script = script;
            book.answered = 0;
        }
    }

    /// See [`cases::World::set_position`].
    pub fn set_position(&self, watch: Watch, position: u64) {
        if let Some(watcher) = self.watcher(watch) {
            watcher.book.lock().position = position;
        }
    }

    /// See [`cases::World::let_go`].
    pub fn let_go(&self, watch: Watch) {
        if let Some(watcher) = self.watcher(watch) {
            watcher.held.store(false, Ordering::Release);
        }
    }

    /// Waits until `found` finds something in the watch's book.
    fn wait<R>(&self, watch: Watch, limit: Duration, found: impl Fn(&Book) -> Option<R>) -> Option<R> {
        let watcher = self.watcher(watch)?;
        let limit = u64::try_from(limit.as_nanos() / 100).unwrap_or(u64::MAX);
        let end = interrupt_time_100ns().saturating_add(limit);
        loop {
            watcher.changed.clear();
            if let Some(result) = found(&watcher.book.lock()) {
                return Some(result);
            }
            let left = end.saturating_sub(interrupt_time_100ns());
            if left == 0 {
                return None;
            }
            let _in_time = watcher.changed.wait(Some(left.min(GLANCE)));
        }
    }

    /// See [`cases::World::event`].
    #[must_use]
    pub fn event(&self, watch: Watch, number: usize, limit: Duration) -> Option<Seen> {
        self.wait(watch, limit, |book| book.events.get(number).copied().flatten())
    }

    /// See [`cases::World::taken`].
    #[must_use]
    pub fn taken(&self, watch: Watch, least: u64, limit: Duration) -> u64 {
        let enough = self.wait(watch, limit, |book| (book.taken >= least).then_some(book.taken));
        enough.unwrap_or_else(|| self.watcher(watch).map_or(0, |watcher| watcher.book.lock().taken))
    }

    /// Gives the accepted sockets that nobody has numbers for yet, with their watch and the event's number.
    #[must_use]
    pub fn accepted(&self) -> Option<(Watch, usize, PWSK_SOCKET, Option<Watch>)> {
        self.0.watchers.iter().enumerate().find_map(|(index, watcher)| {
            let mut book = watcher.book.lock();
            let (number, pointer, by) = book.take_accepted()?;
            Some((Watch(index), number, pointer, by))
        })
    }

    /// Whether there are such sockets.
    #[must_use]
    pub fn has_accepted(&self) -> bool {
        self.0.watchers.iter().any(|watcher| watcher.book.lock().has_accepted())
    }

    /// Tells which number an accepted socket has got.
    pub fn adopt(&self, watch: Watch, number: usize, socket: Socket) {
        if let Some(watcher) = self.watcher(watch)
            && let Some(Some(event)) = watcher.book.lock().events.get_mut(number)
        {
            event.socket = Some(socket);
        }
    }

    /// Has the next event of `kind` make a call.
    pub fn call_inside(&self, watch: Watch, kind: Kind, inside: Inside) -> bool {
        self.watcher(watch).is_some_and(|watcher| watcher.book.lock().arm(kind, inside))
    }

    /// See [`cases::World::release`]; `None`: the watch has no socket, or keeps nothing.
    #[must_use]
    pub fn release(&self, watch: Watch, which: Release) -> Option<NTSTATUS> {
        let watcher = self.watcher(watch)?;
        let (open, mut chain) = {
            let mut book = watcher.book.lock();
            (book.open?, book.chain(which)?)
        };
        // SAFETY: the socket is open, and what is released is the client's.
        Some(unsafe { callbacks::release(open, chain.first()) })
    }

    /// The first rule that a provider has broken in a callback.
    #[must_use]
    pub fn breach(&self) -> Option<Breach> {
        self.0.watchers.iter().find_map(|watcher| watcher.book.lock().breach)
    }

    /// Lets go what is held, so that sockets can be closed, and gives back what is kept.
    pub fn relent(&self) {
        for (index, watcher) in self.0.watchers.iter().enumerate() {
            watcher.held.store(false, Ordering::Release);
            watcher.book.lock().script = Script::WILLING;
            if !watcher.book.lock().gone {
                let _nothing_kept = self.release(Watch(index), Release::All);
            }
        }
    }

    /// Forgets everything. Every socket is closed.
    pub fn clear(&self) {
        for watcher in self.0.watchers.iter() {
            watcher.held.store(false, Ordering::Release);
            watcher.book.lock().reset();
        }
    }
}

/// See [`Watchers::calling`].
pub struct Calling<'a>(&'a AtomicUsize);

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
    }
}
