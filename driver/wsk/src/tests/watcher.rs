//! A client with event callbacks.

use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::boxed::Box;
use std::sync::{Arc, Condvar, Mutex};
use std::vec::Vec;

use abi::NTSTATUS;
use abi::nt::{DISPATCH_LEVEL, IRP};
use abi::status::STATUS_SUCCESS;
use abi::wsk::*;
use irp::OwnedIrp;
use ksim::client::TestIrp;

use super::harness::{Connection, ListenSocket, PATIENCE, World, call, is_calling, request};

/// Its callbacks.
pub(super) static CALLBACKS: WSK_CLIENT_CONNECTION_DISPATCH = WSK_CLIENT_CONNECTION_DISPATCH {
    WskReceiveEvent: Some(receive),
    WskDisconnectEvent: Some(disconnect),
    WskSendBacklogEvent: Some(backlog),
};

/// What a callback was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Octets(Vec<u8>),
    Death,
    End,
    Loss,
    Backlog(usize),
}

/// A receive callback in progress.
pub(super) struct Shown {
    pub(super) list: *mut WSK_DATA_INDICATION,
    pub(super) octets: usize,
    /// `*BytesAccepted`.
    pub(super) accepted: usize,
}

impl Shown {
    /// The octets.
    pub(super) fn read(&self) -> Vec<u8> {
        octets(self.list)
    }
}

type Answers = Box<dyn Fn(&Watcher, &mut Shown) -> NTSTATUS + Send + Sync>;

/// The context of a socket: answers as its test wants, and remembers everything.
pub(super) struct Watcher {
    answers: Answers,
    said: Mutex<Vec<Said>>,
    changed: Condvar,
    inside: AtomicUsize,
    /// A receive callback is at its answer.
    answering: AtomicBool,
    /// The socket is gone: no callback may touch this any more.
    pub(super) gone: AtomicBool,
    /// The socket, for callbacks that call it.
    pub(super) socket: Mutex<Option<Connection>>,
    /// Nodes that were kept.
    pub(super) kept: Mutex<Vec<Kept>>,
}

/// A node that was kept.
#[derive(Clone, Copy)]
pub(super) struct Kept(pub(super) *mut WSK_DATA_INDICATION);

// SAFETY: nodes may be released from any thread.
unsafe impl Send for Kept {}

impl Watcher {
    pub(super) fn new(answers: impl Fn(&Self, &mut Shown) -> NTSTATUS + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            answers: Box::new(answers),
            said: Mutex::default(),
            changed: Condvar::new(),
            inside: AtomicUsize::new(0),
            answering: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            socket: Mutex::new(None),
            kept: Mutex::default(),
        })
    }

    /// One that takes everything.
    pub(super) fn willing() -> Arc<Self> {
        Self::new(|_, _| STATUS_SUCCESS)
    }

    /// One that keeps everything, node by node, with its own use of `Next`.
    pub(super) fn keeping() -> Arc<Self> {
        Self::new(|this, shown| {
            this.kept.lock().unwrap().extend(take_apart(shown.list));
            abi::status::STATUS_PENDING
        })
    }

    pub(super) fn context(self: &Arc<Self>) -> *mut c_void {
        Arc::as_ptr(self).cast_mut().cast()
    }

    fn say(&self, said: Said) {
        self.said.lock().unwrap().push(said);
        self.changed.notify_all();
    }

    /// Everything so far.
    pub(super) fn said(&self) -> Vec<Said> {
        self.said.lock().unwrap().clone()
    }

    /// The octets so far, and everything else.
    pub(super) fn told(&self) -> (Vec<u8>, Vec<Said>) {
        let (mut octets, mut others) = (Vec::new(), Vec::new());
        for said in self.said() {
            match said {
                Said::Octets(more) => octets.extend(more),
                other => others.push(other),
            }
        }
        (octets, others)
    }

    /// Waits until what was said is enough.
    #[track_caller]
    pub(super) fn wait(&self, enough: impl Fn(&[Said]) -> bool) {
        let said = self.said.lock().unwrap();
        let waited = self.changed.wait_timeout_while(said, PATIENCE, |said| !enough(said)).unwrap();
        assert!(!waited.1.timed_out(), "nobody says it; so far {} times something else", waited.0.len());
    }

    /// Waits until it was shown so many octets, some of them perhaps twice.
    #[track_caller]
    pub(super) fn wait_for_octets(&self, octets: usize) {
        self.wait(|said| {
            let lengths =
                said.iter().map(|said| if let Said::Octets(octets) = said { octets.len() } else { 0 });
            lengths.sum::<usize>() >= octets
        });
    }

    /// Runs `callback` as one that may not overlap with another of the same socket, nor come after its end.
    fn enter<R>(context: *mut c_void, callback: impl FnOnce(&Self) -> R) -> R {
        // SAFETY: the test keeps the watcher until the socket is closed.
        let this = unsafe { &*context.cast::<Self>() };
        assert!(!is_calling(), "a callback inside a call");
        assert!(!this.gone.load(Ordering::SeqCst), "a callback of a socket that is gone");
        assert_eq!(this.inside.fetch_add(1, Ordering::SeqCst), 0, "two callbacks at once");
        let result = callback(this);
        assert_eq!(this.inside.fetch_sub(1, Ordering::SeqCst), 1);
        assert!(!this.gone.load(Ordering::SeqCst), "the socket has gone under a callback");
        result
    }

    /// The socket, inside its callbacks.
    pub(super) fn alias(&self) -> Connection {
        self.socket.lock().unwrap().as_ref().unwrap().alias()
    }

    /// Whether a receive callback is at its answer. The ideal send backlog is told before it, in a callback too.
    pub(super) fn is_answering(&self) -> bool {
        self.answering.load(Ordering::SeqCst)
    }
}

/// The nodes of a list, each of them alone and with something of the client's own in `Next`.
pub(super) fn take_apart(list: *mut WSK_DATA_INDICATION) -> Vec<Kept> {
    let mut nodes = Vec::new();
    let mut next = list;
    while !next.is_null() {
        let node = next;
        // SAFETY: a node of the indication, which the client has.
        next = unsafe { (*node).Next };
        // SAFETY: as above.
        unsafe { (*node).Next = core::ptr::without_provenance_mut(0xC11E47) };
        nodes.push(Kept(node));
    }
    nodes
}

/// The octets of a list.
fn octets(list: *mut WSK_DATA_INDICATION) -> Vec<u8> {
    let mut all = Vec::new();
    let mut next = list;
    while !next.is_null() {
        // SAFETY: a node of the indication.
        let node = unsafe { next.read() };
        // SAFETY: its MDL.
        let mdl = unsafe { node.Buffer.Mdl.read() };
        assert_ne!(
            mdl.MdlFlags & (abi::nt::MDL_SOURCE_IS_NONPAGED_POOL | abi::nt::MDL_MAPPED_TO_SYSTEM_VA),
            0
        );
        assert!(node.Buffer.Length != 0);
        assert!(node.Buffer.Offset as usize + node.Buffer.Length <= mdl.ByteCount as usize);
        let first = mdl.MappedSystemVa.cast::<u8>().wrapping_add(node.Buffer.Offset as usize);
        // SAFETY: the described octets are mapped there while the client has the node.
        all.extend_from_slice(unsafe { core::slice::from_raw_parts(first, node.Buffer.Length) });
        next = node.Next;
    }
    all
}

fn check_level(flags: u32) {
    let raised = kernel::irql::current() == DISPATCH_LEVEL;
    assert!(flags & WSK_FLAG_AT_DISPATCH_LEVEL == 0 || raised, "told to be at DISPATCH_LEVEL");
}

unsafe extern "system" fn receive(
    context: *mut c_void,
    flags: u32,
    list: *mut WSK_DATA_INDICATION,
    indicated: usize,
    accepted: *mut usize,
) -> NTSTATUS {
    check_level(flags);
    Watcher::enter(context, |this| {
        // SAFETY: the provider's variable.
        assert_eq!(unsafe { accepted.read() }, indicated, "preset");
        if list.is_null() {
            assert_eq!((indicated, flags & !WSK_FLAG_AT_DISPATCH_LEVEL), (0, 0));
            this.say(Said::Death);
            return STATUS_SUCCESS;
        }
        // The ring is scarce; the system's buffers end a message.
        let flags = flags & !WSK_FLAG_AT_DISPATCH_LEVEL;
        assert!(matches!(flags, WSK_FLAG_RELEASE_ASAP | WSK_FLAG_ENTIRE_MESSAGE));
        let shown_octets = octets(list);
        assert_eq!(shown_octets.len(), indicated);
        let mut shown = Shown { list, octets: indicated, accepted: indicated };
        this.answering.store(true, Ordering::SeqCst);
        let status = (this.answers)(this, &mut shown);
        this.answering.store(false, Ordering::SeqCst);
        // SAFETY: as above.
        unsafe { accepted.write(shown.accepted) };
        this.say(Said::Octets(shown_octets));
        status
    })
}

/// The receive-ex callback.
pub(super) unsafe extern "system" fn receive_ex(
    context: *mut c_void,
    flags: u32,
    list: *mut WSK_DATA_INDICATION,
    control: *mut CMSGHDR,
    control_length: u32,
    indicated: usize,
    accepted: *mut usize,
) -> NTSTATUS {
    assert!(control.is_null() && control_length == 0);
    // SAFETY: the same parameters.
    unsafe { receive(context, flags, list, indicated, accepted) }
}

unsafe extern "system" fn disconnect(context: *mut c_void, flags: u32) -> NTSTATUS {
    check_level(flags);
    Watcher::enter(context, |this| {
        this.say(if flags & WSK_FLAG_ABORTIVE == 0 { Said::End } else { Said::Loss });
    });
    STATUS_SUCCESS
}

unsafe extern "system" fn backlog(context: *mut c_void, size: usize) -> NTSTATUS {
    Watcher::enter(context, |this| this.say(Said::Backlog(size)));
    STATUS_SUCCESS
}

impl Connection {
    /// SO_WSK_EVENT_CALLBACK without an IRP.
    pub(super) fn events(&self, mask: u32) -> NTSTATUS {
        call(|| crate::connection::Connection::set_events(&self.object(), mask, None))
    }

    /// The same with one.
    pub(super) fn events_with(&self, mask: u32) -> TestIrp {
        let set = |irp: OwnedIrp| {
            let object = self.object();
            crate::connection::Connection::set_events(&object, mask, Some(irp.keep(&object)));
        };
        // SAFETY: a client's IRP, entered here.
        request(|irp: *mut IRP| unsafe { irp::pend(irp, set) })
    }
}

/// Two ends that are connected, the second one with callbacks, and the socket that has accepted.
pub(super) struct Pair {
    pub(super) near: Connection,
    pub(super) far: Connection,
    pub(super) listener: ListenSocket,
    pub(super) watcher: Arc<Watcher>,
}

impl Pair {
    pub(super) const PORT: u16 = 40_002;

    /// The end with callbacks is the one that has accepted, or the one that has connected.
    pub(super) fn new(world: &World, watcher: Arc<Watcher>, accepts: bool) -> Self {
        let listener = world.listen(Self::PORT);
        let (near, accepting) = if accepts {
            (world.connection(), listener.accept_with(watcher.context(), &CALLBACKS))
        } else {
            (world.connection_with(watcher.context(), &CALLBACKS), listener.accept())
        };
        assert_eq!(near.connect(Self::PORT).wait().status, 0);
        let far = Connection::from_accept(accepting.wait().information);
        let (near, far) = if accepts { (near, far) } else { (far, near) };
        *watcher.socket.lock().unwrap() = Some(far.alias());
        Self { near, far, listener, watcher }
    }

    /// The usual one, with events enabled.
    pub(super) fn with(world: &World, watcher: Arc<Watcher>, mask: u32) -> Self {
        let pair = Self::new(world, watcher, true);
        assert_eq!(pair.far.events(mask), STATUS_SUCCESS);
        pair
    }

    /// Closes everything; nothing is kept.
    pub(super) fn close(self) {
        self.far.close();
        self.watcher.gone.store(true, Ordering::SeqCst);
        self.near.close();
        self.listener.close();
    }
}
