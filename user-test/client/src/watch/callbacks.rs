//! The functions that a provider calls.

use core::ffi::c_void;
use core::hint::spin_loop;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use core::ptr;
use core::sync::atomic::Ordering;

use abi::NTSTATUS;
use abi::nt::DISPATCH_LEVEL;
use abi::status::{STATUS_DATA_NOT_ACCEPTED, STATUS_PENDING, STATUS_SUCCESS};
use abi::wsk::*;
use cases::watch::{Acceptance, Event, InspectId, Kind, Release, Taking};

use super::Watcher;
use super::book::{Breach, Look, look};
use crate::calls::Open;

pub(super) static LISTEN: WSK_CLIENT_LISTEN_DISPATCH = WSK_CLIENT_LISTEN_DISPATCH {
    WskAcceptEvent: Some(accept),
    WskInspectEvent: Some(inspect),
    WskAbortEvent: Some(abort),
};

pub(super) static CONNECTION: WSK_CLIENT_CONNECTION_DISPATCH = WSK_CLIENT_CONNECTION_DISPATCH {
    WskReceiveEvent: Some(receive),
    WskDisconnectEvent: Some(disconnect),
    WskSendBacklogEvent: Some(backlog),
};

/// How long a callback is held at most, in units of 100 ns: a case that fails must not hold a provider for ever.
const HOLD_LIMIT: u64 = 200_000_000;

/// WskRelease.
///
/// # Safety
/// The socket is open, and the client does not use the nodes of the list any more.
pub(super) unsafe fn release(open: Open, list: *mut WSK_DATA_INDICATION) -> NTSTATUS {
    // SAFETY: the caller's promise.
    let table = unsafe { (*open.pointer).Dispatch };
    let function = if open.category == WSK_FLAG_STREAM_SOCKET {
        // SAFETY: the table of a stream socket.
        unsafe { (*table.cast::<WSK_PROVIDER_STREAM_DISPATCH>()).WskRelease }
    } else {
        // SAFETY: the table of a connection socket: listening ones get no data.
        unsafe { (*table.cast::<WSK_PROVIDER_CONNECTION_DISPATCH>()).WskRelease }
    };
    // SAFETY: a call as its page says.
    unsafe { function(open.pointer, list) }
}

/// An address that is valid during a callback.
///
/// # Safety
/// NULL, or an address as long as its family's.
unsafe fn address(at: *mut SOCKADDR) -> Option<SocketAddr> {
    if at.is_null() {
        return None;
    }
    // SAFETY: every address begins with its family.
    match unsafe { (*at).sa_family } {
        AF_INET => {
            // SAFETY: as long as its family's.
            let raw = unsafe { at.cast::<SOCKADDR_IN>().read_unaligned() };
            Some(SocketAddrV4::new(Ipv4Addr::from(raw.sin_addr), u16::from_be(raw.sin_port)).into())
        }
        AF_INET6 => {
            // SAFETY: as long as its family's.
            let raw = unsafe { at.cast::<SOCKADDR_IN6>().read_unaligned() };
            let (ip, port) = (Ipv6Addr::from(raw.sin6_addr), u16::from_be(raw.sin6_port));
            Some(SocketAddrV6::new(ip, port, raw.sin6_flowinfo, raw.sin6_scope_id).into())
        }
        _ => None,
    }
}

impl Watcher {
    /// The watch behind a context.
    ///
    /// # Safety
    /// `context` is one that [`parameters`](super::Watchers::parameters) gave, and the watches are there.
    unsafe fn of<'a>(context: *mut c_void) -> &'a Self {
        // SAFETY: the caller's promise.
        unsafe { &*context.cast::<Self>() }
    }

    /// A call begins: an event with what is common to all.
    fn begin(&self, kind: Kind, flags: u32) -> Event {
        let hub = self.hub();
        let order = hub.map_or(0, |hub| hub.order.fetch_add(1, Ordering::SeqCst).wrapping_add(1));
        let calling = hub.map_or(0, |hub| hub.calling.load(Ordering::Acquire));
        let inside = calling != 0 && calling == kernel::thread::current_id();
        let told = flags & WSK_FLAG_AT_DISPATCH_LEVEL != 0;
        let wrong_level = told && kernel::irql::current() != DISPATCH_LEVEL;
        let mut book = self.book.lock();
        book.find(Breach::InsideACall, inside);
        let gone = book.gone;
        book.find(Breach::AfterTheClose, gone);
        book.find(Breach::Level, wrong_level);
        Event {
            kind,
            flags: flags & !WSK_FLAG_AT_DISPATCH_LEVEL,
            death: false,
            octets: 0,
            nodes: 0,
            local: None,
            remote: None,
            id: None,
            socket: None,
            order,
        }
    }

    /// The event is written: holds the call where its script says so, and makes the call that it was told to make.
    fn pause(&self, kind: Kind) {
        self.changed.set();
        let hold = self.book.lock().script.hold == Some(kind);
        let end = kernel::time::interrupt_time_100ns().saturating_add(HOLD_LIMIT);
        while hold && self.held.load(Ordering::Acquire) && kernel::time::interrupt_time_100ns() < end {
            spin_loop();
        }
        let inside = self.book.lock().take_inside(kind);
        if let Some(inside) = inside {
            inside.make();
        }
    }

    /// Writes a call down that has no answer to be thought about.
    fn note(&self, event: Event) {
        self.book.lock().write(event);
        self.pause(event.kind);
    }
}

unsafe extern "system" fn accept(
    context: *mut c_void,
    flags: u32,
    local: *mut SOCKADDR,
    remote: *mut SOCKADDR,
    socket: *mut WSK_SOCKET,
    out_context: *mut *mut c_void,
    out_dispatch: *mut *const WSK_CLIENT_CONNECTION_DISPATCH,
) -> NTSTATUS {
    // SAFETY: the context of a watched socket.
    let this = unsafe { Watcher::of(context) };
    let mut event = this.begin(Kind::Accept, flags);
    event.death = socket.is_null();
    if event.death {
        this.note(event);
        return STATUS_SUCCESS;
    }
    // SAFETY: the provider's variable.
    let preset = unsafe { out_context.read().is_null() };
    // SAFETY: the provider's variable.
    let preset = preset && unsafe { out_dispatch.read().is_null() };
    // SAFETY: valid during the call.
    event.local = unsafe { address(local) };
    // SAFETY: valid during the call.
    event.remote = unsafe { address(remote) };
    let acceptance = {
        let mut book = this.book.lock();
        book.find(Breach::OutsNotNull, !preset);
        book.script.accept
    };
    let status = match acceptance {
        Acceptance::Plain => STATUS_SUCCESS,
        Acceptance::Refused(status) => status,
        Acceptance::Watched(by) => {
            if let Some(watcher) = this.hub().and_then(|hub| hub.watchers.get(by.0)) {
                let open = Open { pointer: socket, category: WSK_FLAG_CONNECTION_SOCKET };
                watcher.book.lock().open = Some(open);
                // SAFETY: the provider's variable.
                unsafe { out_context.write(ptr::from_ref(watcher).cast_mut().cast()) };
                // SAFETY: the provider's variable.
                unsafe { out_dispatch.write(&CONNECTION) };
            }
            STATUS_SUCCESS
        }
    };
    {
        let mut book = this.book.lock();
        let number = book.write(event);
        match acceptance {
            Acceptance::Plain => book.write_accepted(number, socket, None),
            Acceptance::Watched(by) => book.write_accepted(number, socket, Some(by)),
            Acceptance::Refused(_) => {}
        }
    }
    this.pause(Kind::Accept);
    status
}

unsafe extern "system" fn inspect(
    context: *mut c_void,
    local: *mut SOCKADDR,
    remote: *mut SOCKADDR,
    id: *mut WSK_INSPECT_ID,
) -> WSK_INSPECT_ACTION {
    // SAFETY: the context of a watched socket.
    let this = unsafe { Watcher::of(context) };
    let mut event = this.begin(Kind::Inspect, 0);
    // SAFETY: NULL or valid during the call.
    event.id = unsafe { id.as_ref() }.map(|id| InspectId { key: id.Key, serial: id.SerialNumber });
    event.death = event.id.is_none();
    // SAFETY: valid during the call.
    event.local = unsafe { address(local) };
    // SAFETY: valid during the call.
    event.remote = unsafe { address(remote) };
    let action = this.book.lock().script.inspect;
    this.note(event);
    action
}

unsafe extern "system" fn abort(context: *mut c_void, id: *mut WSK_INSPECT_ID) -> NTSTATUS {
    // SAFETY: the context of a watched socket.
    let this = unsafe { Watcher::of(context) };
    let mut event = this.begin(Kind::Abort, 0);
    // SAFETY: NULL or valid during the call.
    event.id = unsafe { id.as_ref() }.map(|id| InspectId { key: id.Key, serial: id.SerialNumber });
    this.note(event);
    STATUS_SUCCESS
}

unsafe extern "system" fn disconnect(context: *mut c_void, flags: u32) -> NTSTATUS {
    // SAFETY: the context of a watched socket.
    let this = unsafe { Watcher::of(context) };
    let event = this.begin(Kind::Disconnect, flags);
    this.note(event);
    STATUS_SUCCESS
}

unsafe extern "system" fn backlog(context: *mut c_void, size: usize) -> NTSTATUS {
    // SAFETY: the context of a watched socket.
    let this = unsafe { Watcher::of(context) };
    let event = this.begin(Kind::Backlog, 0);
    this.note(Event { octets: size, ..event });
    STATUS_SUCCESS
}

unsafe extern "system" fn receive(
    context: *mut c_void,
    flags: u32,
    list: *mut WSK_DATA_INDICATION,
    indicated: usize,
    accepted: *mut usize,
) -> NTSTATUS {
    // SAFETY: the context of a watched socket, and the parameters of its callback.
    unsafe { take(context, Kind::Receive, flags, list, indicated, accepted) }
}

/// The receive-ex callback of every watch.
///
/// # Safety
/// As for a WSK_CLIENT_CONNECTION_DISPATCH's callbacks; `context` is a watch's.
pub unsafe extern "system" fn receive_ex(
    context: *mut c_void,
    flags: u32,
    list: *mut WSK_DATA_INDICATION,
    _control: *mut CMSGHDR,
    control_length: u32,
    indicated: usize,
    accepted: *mut usize,
) -> NTSTATUS {
    // SAFETY: the context of a watched socket.
    let this = unsafe { Watcher::of(context) };
    this.book.lock().find(Breach::ControlData, control_length != 0);
    // SAFETY: the context of a watched socket, and the parameters of its callback.
    unsafe { take(context, Kind::ReceiveEx, flags, list, indicated, accepted) }
}

/// # Safety
/// As for `receive`.
unsafe fn take(
    context: *mut c_void,
    kind: Kind,
    flags: u32,
    list: *mut WSK_DATA_INDICATION,
    indicated: usize,
    accepted: *mut usize,
) -> NTSTATUS {
    // SAFETY: the context of a watched socket.
    let this = unsafe { Watcher::of(context) };
    let mut event = this.begin(kind, flags);
    event.octets = indicated;
    event.death = list.is_null();
    // SAFETY: the provider's variable.
    let preset = unsafe { accepted.read() } == indicated;
    let taking = {
        let mut book = this.book.lock();
        let overlaps = book.receiving;
        book.find(Breach::Overlap, overlaps);
        book.find(Breach::NotPreset, !preset);
        book.find(Breach::DeathWithOctets, event.death && (indicated != 0 || event.flags != 0));
        book.receiving = true;
        let taking = if book.answered < book.script.times { book.script.receive } else { Taking::All };
        book.answered = book.answered.saturating_add(1);
        taking
    };
    // The list is the client's during the call: it is looked at without the lock.
    let (mut sum, mut next, mut seen) = (0_usize, list, Look::Stream);
    let position = this.book.lock().position;
    while !next.is_null() {
        // SAFETY: a node of the indication.
        let node = unsafe { next.read() };
        let found = look(&node.Buffer, position.wrapping_add(sum as u64));
        if seen == Look::Stream {
            seen = found;
        }
        sum = sum.saturating_add(node.Buffer.Length);
        event.nodes = event.nodes.saturating_add(1);
        next = node.Next;
    }
    let (octets, status) = {
        let mut book = this.book.lock();
        book.find(Breach::Sum, sum != indicated || seen == Look::Short);
        book.find(Breach::NotMapped, seen == Look::NotMapped);
        book.find(Breach::Octets, seen == Look::Other);
        match taking {
            _ if event.death => (0, STATUS_SUCCESS),
            Taking::All => (indicated, STATUS_SUCCESS),
            Taking::Part(octets) => {
                let octets = octets.min(indicated);
                // SAFETY: the provider's variable.
                unsafe { accepted.write(octets) };
                (octets, STATUS_SUCCESS)
            }
            Taking::Keep | Taking::KeepAndRelease => {
                book.keep(list);
                (indicated, STATUS_PENDING)
            }
            Taking::Nothing => (0, STATUS_DATA_NOT_ACCEPTED),
            Taking::Fails(status) => (0, status),
        }
    };
    if taking == Taking::KeepAndRelease {
        loop {
            let (open, chain) = {
                let mut book = this.book.lock();
                (book.open, book.chain(Release::Newest))
            };
            let (Some(open), Some(mut chain)) = (open, chain) else { break };
            // SAFETY: the socket is open inside its callback; the node is not used any more.
            let released = unsafe { release(open, chain.first()) };
            this.book.lock().find(Breach::KeptChanged, released != STATUS_SUCCESS);
        }
    }
    {
        // Not earlier: who sees this may close the socket, which must not come before a release.
        let mut book = this.book.lock();
        book.position = position.wrapping_add(octets as u64);
        book.taken = book.taken.wrapping_add(octets as u64);
        book.write(event);
    }
    this.pause(kind);
    this.book.lock().receiving = false;
    status
}
