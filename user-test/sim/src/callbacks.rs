//! Event callbacks of sockets: they write down what they are shown, and answer as the seed has it.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use abi::NTSTATUS;
use abi::nt::MDL;
use abi::status::{STATUS_DATA_NOT_ACCEPTED, STATUS_PENDING, STATUS_SUCCESS};
use abi::wsk::*;
use client::calls::Open;
use ksim::sim;

use crate::model::{self, Side};
use crate::report::{count, demand};

/// What the callbacks of one socket know. Its address is the socket's context; it is never freed.
pub(crate) struct Watch {
    pub(crate) side: Side,
    /// The port of the connection; zero until it is known.
    key: AtomicU32,
    inside: AtomicBool,
    /// The socket is about to be closed: nothing is kept any more.
    closing: AtomicBool,
    /// The close is completed.
    gone: AtomicBool,
    /// The provider has said that the socket or its connection is lost.
    pub(crate) lost: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Octets that came before the port was known.
    early: Vec<u8>,
    early_end: bool,
    /// Lists that are kept, with their octets.
    kept: Vec<(Kept, Vec<u8>)>,
}

#[derive(Clone, Copy)]
struct Kept(*mut WSK_DATA_INDICATION);

// SAFETY: kept nodes are the client's, on whatever thread.
unsafe impl Send for Kept {}

pub(crate) static CONNECTION: WSK_CLIENT_CONNECTION_DISPATCH = WSK_CLIENT_CONNECTION_DISPATCH {
    WskReceiveEvent: Some(receive),
    WskDisconnectEvent: Some(disconnect),
    WskSendBacklogEvent: Some(backlog),
};

/// The tables of a stream socket that only connects.
pub(crate) struct StreamTables(pub(crate) WSK_CLIENT_STREAM_DISPATCH);

// SAFETY: pointers to statics.
unsafe impl Sync for StreamTables {}

pub(crate) static STREAM: StreamTables =
    StreamTables(WSK_CLIENT_STREAM_DISPATCH { Listen: ptr::null(), Connect: &CONNECTION });

impl Watch {
    pub(crate) fn new(side: Side, key: u16) -> &'static Self {
        Box::leak(Box::new(Self {
            side,
            key: AtomicU32::new(key.into()),
            inside: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            state: Mutex::default(),
        }))
    }

    pub(crate) fn context(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self) -> Option<u16> {
        u16::try_from(self.key.load(Ordering::SeqCst)).ok().filter(|&key| key != 0)
    }

    /// Says which connection this is.
    pub(crate) fn is_of(&self, key: u16) {
        let early = {
            let mut state = self.state();
            self.key.store(key.into(), Ordering::SeqCst);
            (std::mem::take(&mut state.early), state.early_end)
        };
        model::read(key, self.side, &early.0);
        if early.1 {
            model::end(key, self.side);
        }
    }

    /// The close is completed: no callback may come any more.
    pub(crate) fn is_closed(&self) {
        demand!(
            !self.inside.load(Ordering::SeqCst),
            "a close is completed while a callback of its socket runs"
        );
        self.gone.store(true, Ordering::SeqCst);
    }

    /// Gives back everything that is kept, and keeps nothing from here on: the socket is about to be closed.
    pub(crate) fn begin_close(&self, open: Open) {
        self.closing.store(true, Ordering::SeqCst);
        self.release(open);
    }

    /// Gives back everything that is kept.
    pub(crate) fn release(&self, open: Open) {
        let kept = std::mem::take(&mut self.state().kept);
        if kept.is_empty() {
            return;
        }
        // SAFETY: open.
        let table = unsafe { (*open.pointer).Dispatch };
        let release = if open.category == WSK_FLAG_CONNECTION_SOCKET {
            // SAFETY: a connection socket's table.
            unsafe { (*table.cast::<WSK_PROVIDER_CONNECTION_DISPATCH>()).WskRelease }
        } else {
            // SAFETY: a stream socket's table.
            unsafe { (*table.cast::<WSK_PROVIDER_STREAM_DISPATCH>()).WskRelease }
        };
        for (Kept(list), octets) in kept {
            // SAFETY: kept, so it is the client's.
            let now = unsafe { octets_of(list) };
            demand!(now == octets, "octets that the client keeps have changed");
            // SAFETY: kept, and used no more.
            let status = unsafe { release(open.pointer, list) };
            demand!(status == STATUS_SUCCESS, "WskRelease of kept octets: {status:#x}");
        }
    }

    fn begin(&self) {
        demand!(!self.gone.load(Ordering::SeqCst), "a callback after the close is completed");
        demand!(!self.inside.swap(true, Ordering::SeqCst), "two callbacks of one socket at a time");
    }

    fn end(&self) {
        self.inside.store(false, Ordering::SeqCst);
    }

    fn take(&self, octets: &[u8]) {
        match self.key() {
            Some(key) => model::read(key, self.side, octets),
            None => self.state().early.extend(octets),
        }
    }
}

/// # Safety
/// `context` is a [`Watch`].
unsafe fn watch(context: *mut c_void) -> &'static Watch {
    // SAFETY: the caller's promise; it is never freed.
    unsafe { &*context.cast::<Watch>() }
}

/// The octets that a list shows.
///
/// # Safety
/// The list is the client's, and readable.
unsafe fn octets_of(list: *mut WSK_DATA_INDICATION) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut next = list;
    while !next.is_null() {
        // SAFETY: a node of the list.
        let node = unsafe { next.read() };
        let (mut skip, mut left) = (node.Buffer.Offset as usize, node.Buffer.Length);
        let mut mdl: *mut MDL = node.Buffer.Mdl;
        while left != 0 {
            demand!(!mdl.is_null(), "an indication names more octets than its MDLs have");
            // SAFETY: an MDL of the node.
            let fields = unsafe { &*mdl };
            let bytes = fields.ByteCount as usize;
            let here = bytes.saturating_sub(skip).min(left);
            let start = fields.StartVa.wrapping_byte_add(fields.ByteOffset as usize + skip);
            if here != 0 {
                // SAFETY: octets that the MDL describes; the simulation's pages are where its addresses say.
                octets.extend_from_slice(unsafe { std::slice::from_raw_parts(start.cast::<u8>(), here) });
            }
            skip = skip.saturating_sub(bytes);
            left -= here;
            mdl = fields.Next;
        }
        next = node.Next;
    }
    octets
}

unsafe extern "system" fn receive(
    context: *mut c_void,
    _flags: u32,
    list: *mut WSK_DATA_INDICATION,
    indicated: usize,
    accepted: *mut usize,
) -> NTSTATUS {
    // SAFETY: the context of a watched socket.
    let this = unsafe { watch(context) };
    this.begin();
    if list.is_null() {
        this.lost.store(true, Ordering::SeqCst);
        this.end();
        return STATUS_SUCCESS;
    }
    // SAFETY: the client's during the call.
    let octets = unsafe { octets_of(list) };
    demand!(octets.len() == indicated, "BytesIndicated is {indicated}, and the list has {}", octets.len());
    let (status, taken) = match sim::draw(8) {
        0 => (STATUS_DATA_NOT_ACCEPTED, 0),
        1 => {
            let part = usize::try_from(sim::draw(indicated as u64 + 1)).unwrap_or(0);
            // SAFETY: the provider's variable.
            unsafe { accepted.write(part) };
            (STATUS_SUCCESS, part)
        }
        2 | 3 if !this.closing.load(Ordering::SeqCst) => {
            this.state().kept.push((Kept(list), octets.clone()));
            (STATUS_PENDING, indicated)
        }
        _ => (STATUS_SUCCESS, indicated),
    };
    this.take(octets.get(..taken).unwrap_or_default());
    count(format!("WskReceiveEvent {status:#x}"));
    this.end();
    status
}

unsafe extern "system" fn disconnect(context: *mut c_void, flags: u32) -> NTSTATUS {
    // SAFETY: the context of a watched socket.
    let this = unsafe { watch(context) };
    this.begin();
    if flags & WSK_FLAG_ABORTIVE != 0 {
        this.lost.store(true, Ordering::SeqCst);
        count("WskDisconnectEvent abortive".to_owned());
    } else {
        count("WskDisconnectEvent graceful".to_owned());
        match this.key() {
            Some(key) => model::end(key, this.side),
            None => this.state().early_end = true,
        }
    }
    this.end();
    STATUS_SUCCESS
}

unsafe extern "system" fn backlog(context: *mut c_void, _size: usize) -> NTSTATUS {
    // SAFETY: the context of a watched socket.
    let this = unsafe { watch(context) };
    this.begin();
    this.end();
    STATUS_SUCCESS
}
