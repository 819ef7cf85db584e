//! A client: one task that does its operations one after the other, each without waiting unless it says so.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use abi::NTSTATUS;
use abi::status::{STATUS_CANCELLED, STATUS_INSUFFICIENT_RESOURCES, STATUS_SUCCESS};
use abi::wsk::*;
use cases::world::{Buffer, Call, Control, Input};
use client::calls::Open;
use ksim::buffer::Pages;
use ksim::client::Completion;
use ksim::sim;

use crate::breaks;
use crate::callbacks::{self, Watch};
use crate::machine;
use crate::model::{self, Fate, Side};
use crate::plan::{Deed, LISTEN_PORT, Misuse, Plan, SLOTS, Step};
use crate::plant::{self, Plant};
use crate::report::{count, demand};
use crate::request::{ON, Request};

/// The listening socket is bound.
static LISTENS: AtomicBool = AtomicBool::new(false);

/// How long a client waits for something that another one may never do.
const A_WHILE: Duration = Duration::from_secs(1);

/// What a request is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Send {
        id: u64,
        length: usize,
    },
    Receive {
        length: usize,
    },
    /// Of no octets, so that callbacks go on.
    Rearm,
    Disconnect {
        send: Option<u64>,
    },
    Abort,
    Address,
    Misuse(Misuse),
}

/// A connection socket.
pub(crate) struct Socket {
    pub(crate) open: Open,
    pub(crate) side: Side,
    /// The port of the connection.
    pub(crate) key: u16,
    pub(crate) watch: Option<&'static Watch>,
    /// Its callbacks are enabled.
    pub(crate) events: bool,
    pub(crate) connected: bool,
    connecting: Option<Request>,
    pub(crate) requests: VecDeque<(What, Request)>,
}

/// A place for a socket.
pub(crate) enum Slot {
    Empty,
    Listening(Open),
    Accepting(Request, Option<&'static Watch>),
    Socket(Box<Socket>),
}

/// A client of a machine.
pub(crate) struct Actor {
    pub(crate) npi: WSK_PROVIDER_NPI,
    machine: usize,
    raised: bool,
    faulty: bool,
    pub(crate) slots: Vec<Slot>,
}

// SAFETY: sockets and IRPs may be used from any thread.
unsafe impl Send for Actor {}

impl Actor {
    pub(crate) fn new(plan: &Plan, number: usize, npi: WSK_PROVIDER_NPI) -> Self {
        let machine = plan.machine_of(number);
        let slots = (0..SLOTS).map(|_| Slot::Empty).collect();
        Self { npi, machine, raised: plan.raised, faulty: plan.faults.any(), slots }
    }

    /// Does everything of a list.
    pub(crate) fn run(&mut self, steps: &[Step]) {
        for step in steps {
            sim::note(format_args!("{step}"));
            self.act(&step.deed);
        }
    }

    fn act(&mut self, deed: &Deed) {
        match *deed {
            Deed::Listen { slot, port, stream } => self.listen(slot, port, stream),
            Deed::Open { slot, port, stream, events } => self.open(slot, port, stream, events),
            Deed::Accept { on, slot, events } => self.accept(on, slot, events),
            Deed::Connect { slot, machine, port } => self.connect(slot, machine, port),
            Deed::Pause { time } => sim::sleep(Duration::from_micros(time)),
            Deed::Cancel { slot, nth } => self.cancel(slot, nth),
            Deed::Misuse { slot, what } => self.misuse(slot, what),
            Deed::Close { slot } => self.close(slot),
            Deed::Send { slot, length, pieces } => self.send(slot, length, pieces),
            Deed::Receive { slot, length, all } => self.receive(slot, length, all),
            Deed::Await { slot, limit } => {
                self.settle(slot, A_WHILE);
                if let Some(socket) = self.socket(slot) {
                    socket.reap(Duration::from_micros(limit));
                }
            }
            Deed::Disconnect { slot, length, abortive } => self.disconnect(slot, length, abortive),
            Deed::Release { slot } => {
                if let Some(Socket { watch: Some(watch), open, .. }) = self.socket(slot) {
                    watch.release(*open);
                }
            }
            Deed::Addresses { slot } => self.addresses(slot),
            Deed::Break(what) => breaks::happen(what),
            Deed::Unload => machine::unload(),
        }
    }

    pub(crate) fn socket(&mut self, slot: usize) -> Option<&mut Socket> {
        match self.slots.get_mut(slot) {
            Some(Slot::Socket(socket)) => Some(socket),
            _ => None,
        }
    }

    /// A connected socket, if the slot has or gets one.
    fn connected(&mut self, slot: usize) -> Option<&mut Socket> {
        self.settle(slot, A_WHILE);
        self.socket(slot).filter(|socket| socket.connected)
    }

    fn put(&mut self, slot: usize, what: Slot) {
        if let Some(place) = self.slots.get_mut(slot) {
            *place = what;
        }
    }

    fn is_empty(&self, slot: usize) -> bool {
        matches!(self.slots.get(slot), Some(Slot::Empty))
    }

    /// What a request has come to that is not about a connection.
    fn demand(&self, what: &str, request: &Request) -> Option<Completion> {
        let done = request.outcome(what);
        count(format!("{what} {:#x}", done.status));
        demand!(self.faulty || done.status == STATUS_SUCCESS, "{what} fails with {:#x}", done.status);
        (done.status == STATUS_SUCCESS).then_some(done)
    }

    /// WskSocket and WskBind.
    fn make(
        &self,
        category: u32,
        port: u16,
        context: *mut core::ffi::c_void,
        table: *const core::ffi::c_void,
    ) -> Option<Open> {
        let made = Request::socket(self.npi, category, context, table);
        let made = self.demand("WskSocket", &made)?;
        let open = Open { pointer: ptr::with_exposed_provenance_mut(made.information), category };
        let address = Some(SocketAddr::new(machine::address(self.machine), port));
        let bound = Request::make(self.npi, open, self.raised, &Call::Bind { on: ON.into(), address }, None);
        if self.demand("WskBind", &bound).is_none() {
            self.close_socket(open);
            return None;
        }
        Some(open)
    }

    fn close_socket(&self, open: Open) {
        let closed = Request::make(self.npi, open, self.raised, &Call::Close { on: ON.into() }, None);
        let done = closed.outcome("WskCloseSocket");
        demand!(done.status == STATUS_SUCCESS, "WskCloseSocket fails with {:#x}", done.status);
    }

    fn listen(&mut self, slot: usize, port: u16, stream: bool) {
        if !self.is_empty(slot) {
            return;
        }
        let category = if stream { WSK_FLAG_STREAM_SOCKET } else { WSK_FLAG_LISTEN_SOCKET };
        let Some(open) = self.make(category, port, ptr::null_mut(), ptr::null()) else { return };
        if stream {
            let listens = Request::make(self.npi, open, self.raised, &Call::Listen { on: ON.into() }, None);
            if self.demand("WskListen", &listens).is_none() {
                return self.close_socket(open);
            }
        }
        self.put(slot, Slot::Listening(open));
        LISTENS.store(true, Ordering::SeqCst);
    }

    fn open(&mut self, slot: usize, port: u16, stream: bool, events: bool) {
        if !self.is_empty(slot) {
            return;
        }
        let category = if stream { WSK_FLAG_STREAM_SOCKET } else { WSK_FLAG_CONNECTION_SOCKET };
        let watch = events.then(|| Watch::new(Side::Connecting, port));
        let table = match (watch, stream) {
            (None, _) => ptr::null(),
            (_, false) => (&raw const callbacks::CONNECTION).cast(),
            (_, true) => (&raw const callbacks::STREAM.0).cast(),
        };
        let context = watch.map_or(ptr::null_mut(), Watch::context);
        let Some(open) = self.make(category, port, context, table) else { return };
        if self.faulty {
            model::excuse(port, "faults");
        }
        self.put(slot, Slot::Socket(Box::new(Socket::new(open, Side::Connecting, port, watch))));
    }

    fn accept(&mut self, on: usize, slot: usize, events: bool) {
        let Some(Slot::Listening(open)) = self.slots.get(on) else { return };
        let open = *open;
        if !self.is_empty(slot) {
            return;
        }
        let watch = events.then(|| Watch::new(Side::Accepting, 0));
        let context = watch.map_or(ptr::null_mut(), Watch::context);
        let table = if events { &raw const callbacks::CONNECTION } else { ptr::null() };
        let request = Request::accept(open, self.raised, context, table);
        self.put(slot, Slot::Accepting(request, watch));
    }

    fn connect(&mut self, slot: usize, machine: usize, port: u16) {
        let deadline = sim::now() + A_WHILE;
        while port == LISTEN_PORT && !LISTENS.load(Ordering::SeqCst) && sim::now() < deadline {
            sim::sleep(Duration::from_millis(10));
        }
        let (npi, raised) = (self.npi, self.raised);
        let Some(socket) = self.socket(slot).filter(|socket| !socket.connected) else { return };
        if socket.connecting.is_some() {
            return;
        }
        let address = Some(SocketAddr::new(machine::address(machine), port));
        let call = Call::Connect { on: ON.into(), address };
        socket.connecting = Some(Request::make(npi, socket.open, raised, &call, None));
    }

    /// Waits for a slot's WskAccept or WskConnect.
    pub(crate) fn settle(&mut self, slot: usize, limit: Duration) {
        let (npi, raised, faulty) = (self.npi, self.raised, self.faulty);
        match self.slots.get_mut(slot) {
            Some(Slot::Accepting(request, watch)) => {
                let Some(done) = request.wait(limit) else { return };
                count(format!("WskAccept {:#x}", done.status));
                let cancelled = request.cancelled;
                let may_fail = faulty || (cancelled && done.status == STATUS_CANCELLED);
                demand!(may_fail || done.status == STATUS_SUCCESS, "WskAccept fails with {:#x}", done.status);
                let [_, remote] = request.addresses();
                let watch = *watch;
                if done.status != STATUS_SUCCESS {
                    return self.put(slot, Slot::Empty);
                }
                let Some(remote) = remote else {
                    crate::report::violation(format_args!("WskAccept gives no remote address"));
                };
                let pointer = ptr::with_exposed_provenance_mut(done.information);
                let open = Open { pointer, category: WSK_FLAG_CONNECTION_SOCKET };
                model::accepted(remote.port());
                let mut socket = Socket::new(open, Side::Accepting, remote.port(), watch);
                socket.connected = true;
                if let Some(watch) = watch {
                    watch.is_of(remote.port());
                }
                socket.enable(npi, raised);
                self.put(slot, Slot::Socket(Box::new(socket)));
            }
            Some(Slot::Socket(socket)) => {
                let Some(request) = socket.connecting.take() else { return };
                let done = request.outcome("WskConnect");
                count(format!("WskConnect {:#x}", done.status));
                socket.connected = done.status == STATUS_SUCCESS;
                if socket.connected {
                    socket.enable(npi, raised);
                } else {
                    model::excuse(socket.key, "the connect has failed");
                }
            }
            _ => {}
        }
    }

    fn send(&mut self, slot: usize, length: usize, pieces: usize) {
        let (npi, raised) = (self.npi, self.raised);
        let Some(socket) = self.connected(slot) else { return };
        let id = model::send_begins(socket.key, socket.side, length);
        let octets = model::content(id, length);
        // A chain does not begin with an MDL of no octets.
        let cuts: Vec<usize> = (1..pieces).map(|_| length / pieces).filter(|&cut| cut != 0).collect();
        let pages = if id.is_multiple_of(2) { Pages::NonPagedPool } else { Pages::Locked };
        let buffer = Buffer { mdls: &[], offset: 0, length, position: None };
        let call = Call::Send { on: ON.into(), buffer: Some(buffer), flags: 0 };
        let request = Request::make(npi, socket.open, raised, &call, Some((&octets, &cuts, pages)));
        socket.requests.push_back((What::Send { id, length }, request));
    }

    pub(crate) fn receive(&mut self, slot: usize, length: usize, all: bool) {
        let (npi, raised) = (self.npi, self.raised);
        let Some(socket) = self.connected(slot) else { return };
        // What callbacks take and what requests take would come in no order that a client knows.
        let (what, length, flags) = match (socket.events, all) {
            (true, _) => (What::Rearm, 0, 0),
            (false, true) => (What::Receive { length }, length, WSK_FLAG_WAITALL),
            (false, false) => (What::Receive { length }, length, 0),
        };
        let buffer = Buffer { mdls: &[], offset: 0, length, position: None };
        let call = Call::Receive { on: ON.into(), buffer: Some(buffer), flags };
        let room = vec![cases::pattern::UNTOUCHED; length.max(1)];
        let octets: Option<(&[u8], &[usize], Pages)> = Some((&room, &[], Pages::NonPagedPool));
        let request = Request::make(npi, socket.open, raised, &call, octets);
        socket.requests.push_back((what, request));
    }

    pub(crate) fn disconnect(&mut self, slot: usize, length: usize, abortive: bool) {
        let (npi, raised) = (self.npi, self.raised);
        let Some(socket) = self.connected(slot) else { return };
        let (key, side) = (socket.key, socket.side);
        if abortive {
            model::excuse(key, "an abort");
            let call = Call::Disconnect { on: ON.into(), buffer: None, flags: WSK_FLAG_ABORTIVE };
            let request = Request::make(npi, socket.open, raised, &call, None);
            socket.requests.push_back((What::Abort, request));
            return;
        }
        if model::is_announced(key, side) {
            return;
        }
        let send = (length != 0).then(|| model::send_begins(key, side, length));
        model::announce(key, side);
        let octets = send.map(|id| model::content(id, length));
        let buffer = send.map(|_| Buffer { mdls: &[], offset: 0, length, position: None });
        let call = Call::Disconnect { on: ON.into(), buffer, flags: 0 };
        let cuts: &[usize] = &[];
        let octets = octets.as_deref().map(|octets| (octets, cuts, Pages::NonPagedPool));
        let request = Request::make(npi, socket.open, raised, &call, octets);
        socket.requests.push_back((What::Disconnect { send }, request));
    }

    fn addresses(&mut self, slot: usize) {
        let (npi, raised) = (self.npi, self.raised);
        let Some(socket) = self.connected(slot) else { return };
        for call in [Call::LocalAddress { on: ON.into() }, Call::RemoteAddress { on: ON.into() }] {
            let request = Request::make(npi, socket.open, raised, &call, None);
            socket.requests.push_back((What::Address, request));
        }
    }

    fn cancel(&mut self, slot: usize, nth: usize) {
        let raised = self.raised;
        match self.slots.get_mut(slot) {
            Some(Slot::Accepting(request, _)) => request.cancel(raised),
            Some(Slot::Socket(socket)) => {
                if let Some(request) = &mut socket.connecting {
                    model::excuse(socket.key, "a cancelled connect");
                    request.cancel(raised);
                } else if let Some((what, request)) = socket.requests.get_mut(nth) {
                    if matches!(what, What::Send { .. } | What::Disconnect { .. }) {
                        model::excuse(socket.key, "a cancelled send");
                    }
                    request.cancel(raised);
                }
            }
            _ => {}
        }
    }

    fn misuse(&mut self, slot: usize, what: Misuse) {
        let (npi, raised) = (self.npi, self.raised);
        let address = Some(SocketAddr::new(machine::address(self.machine), 9));
        let Some(socket) = self.connected(slot) else { return };
        let on = ON.into();
        let buffer = Some(Buffer { mdls: &[], offset: 0, length: 0, position: None });
        let some = Some(Buffer { mdls: &[], offset: 0, length: 100, position: None });
        let call = match what {
            Misuse::Connect => Call::Connect { on, address },
            Misuse::Bind => Call::Bind { on, address },
            Misuse::SendFlags => Call::Send { on, buffer, flags: WSK_FLAG_OOB | 0x80 },
            Misuse::ReceiveFlags => Call::Receive { on, buffer, flags: WSK_FLAG_WAITALL | WSK_FLAG_DRAIN },
            Misuse::ShortChain => Call::Send { on, buffer: some, flags: 0 },
            Misuse::AbortiveData => Call::Disconnect { on, buffer: some, flags: WSK_FLAG_ABORTIVE },
            Misuse::NoIrp => {
                let call = Call::Send { on, buffer: some, flags: 0 };
                let status = Request::make_without_irp(npi, socket.open, &call);
                demand!(status < 0, "WskSend without an IRP returns {status:#x}");
                return;
            }
        };
        let octets: Option<(&[u8], &[usize], Pages)> = Some((&[1; 10], &[], Pages::NonPagedPool));
        let request = Request::make(npi, socket.open, raised, &call, octets);
        socket.requests.push_back((What::Misuse(what), request));
    }

    /// WskCloseSocket, and a look at everything that it has ended.
    pub(crate) fn close(&mut self, slot: usize) {
        if matches!(self.slots.get(slot), Some(Slot::Accepting(..))) {
            // Its listening socket's close ends it.
            return;
        }
        match std::mem::replace(self.slots.get_mut(slot).unwrap_or(&mut Slot::Empty), Slot::Empty) {
            Slot::Listening(open) => self.close_socket(open),
            Slot::Socket(mut socket) => {
                if !model::is_finished(socket.key) {
                    model::excuse(socket.key, "a close");
                }
                if let Some(watch) = socket.watch {
                    watch.begin_close(socket.open);
                    self.close_socket(socket.open);
                    watch.is_closed();
                } else {
                    self.close_socket(socket.open);
                }
                if let Some(request) = socket.connecting.take() {
                    let done = request.wait(Duration::ZERO);
                    demand!(done.is_some(), "a close is completed before a WskConnect of its socket");
                }
                while let Some((what, request)) = socket.requests.pop_front() {
                    let Some(done) = request.wait(Duration::ZERO) else {
                        crate::report::violation(format_args!(
                            "a close is completed before a request of its socket: {what:?}"
                        ));
                    };
                    socket.judge(what, &request, done);
                }
            }
            Slot::Empty | Slot::Accepting(..) => {}
        }
    }
}

impl Socket {
    fn new(open: Open, side: Side, key: u16, watch: Option<&'static Watch>) -> Self {
        let requests = VecDeque::new();
        Self { open, side, key, watch, events: false, connected: false, connecting: None, requests }
    }

    /// Enables the callbacks, if there are any.
    fn enable(&mut self, npi: WSK_PROVIDER_NPI, raised: bool) {
        if self.watch.is_none() {
            return;
        }
        let control = Control {
            request: WskSetOption,
            code: SO_WSK_EVENT_CALLBACK,
            level: SOL_SOCKET,
            input: Input::Events(WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT | WSK_EVENT_SEND_BACKLOG),
            output: 0,
            returned: false,
        };
        let call = Call::Control { on: ON.into(), control };
        let done = Request::make(npi, self.open, raised, &call, None).outcome("SO_WSK_EVENT_CALLBACK");
        count(format!("SO_WSK_EVENT_CALLBACK {:#x}", done.status));
        let excused = model::excuse_of(self.key).is_some();
        demand!(
            excused || done.status == STATUS_SUCCESS,
            "SO_WSK_EVENT_CALLBACK fails with {:#x}",
            done.status
        );
        self.events = done.status == STATUS_SUCCESS;
    }

    /// Looks at every request that has ended; receives in the order of their calls, which is that of the stream. Waits for
    /// the oldest, if nothing has.
    pub(crate) fn reap_all(&mut self, limit: Duration) {
        if !self.requests.iter().any(|(_, request)| request.wait(Duration::ZERO).is_some()) {
            self.reap(limit);
        }
        let mut at = 0;
        let mut behind = false;
        while let Some((what, request)) = self.requests.get(at) {
            let reads = matches!(what, What::Receive { .. });
            match request.wait(Duration::ZERO).filter(|_| !(reads && behind)) {
                Some(done) => {
                    if let Some((what, request)) = self.requests.remove(at) {
                        self.judge(what, &request, done);
                    }
                }
                None => {
                    behind |= reads;
                    at += 1;
                }
            }
        }
    }

    /// Whether it has a receive outstanding.
    pub(crate) fn reads(&self) -> bool {
        self.requests.iter().any(|(what, _)| matches!(what, What::Receive { .. } | What::Rearm))
    }

    /// Looks at the oldest request, if it ends in time; whether it has.
    pub(crate) fn reap(&mut self, limit: Duration) -> bool {
        let Some((_, request)) = self.requests.front() else { return false };
        let Some(done) = request.wait(limit) else { return false };
        if let Some((what, request)) = self.requests.pop_front() {
            self.judge(what, &request, done);
        }
        true
    }

    /// Holds the end of a request against the model.
    fn judge(&self, what: What, request: &Request, done: Completion) {
        let (key, side, status) = (self.key, self.side, done.status);
        let excuse = model::excuse_of(key);
        let cancelled = request.cancelled && status == STATUS_CANCELLED;
        let excused = cancelled || excuse.is_some();
        sim::note(format_args!("port {key} {side:?}: {what:?} ended {status:#x}, {}", done.information));
        count(format!("{} {status:#x}", name(what)));
        match what {
            What::Send { id, length } => {
                let late = model::is_announced(key, side);
                self.sent(id, length, done, fate(request, status), excused || late);
            }
            What::Receive { length } => {
                let n = done.information;
                demand!(n <= length, "WskReceive of {length} octets gives {n}");
                let octets = request.octets();
                // A peer may have written to the buffer of one that did not end well (direct placement).
                demand!(
                    status != STATUS_SUCCESS
                        || octets.iter().skip(n).all(|&octet| octet == cases::pattern::UNTOUCHED),
                    "WskReceive of {n} octets has written more"
                );
                model::read(key, side, octets.get(..n).unwrap_or_default());
                if status == STATUS_SUCCESS && (n == 0 || plant::is(Plant::End)) {
                    model::end(key, side);
                }
                demand!(
                    status == STATUS_SUCCESS || excused,
                    "WskReceive fails with {status:#x} on port {key}"
                );
            }
            What::Disconnect { send } => {
                if let Some(id) = send {
                    model::send_ends(key, side, id, fate(request, status));
                }
                demand!(
                    status == STATUS_SUCCESS || excused,
                    "WskDisconnect fails with {status:#x} on port {key}"
                );
            }
            What::Rearm => {
                demand!(done.information == 0, "WskReceive of no octets gives {}", done.information);
                demand!(status == STATUS_SUCCESS || excused, "WskReceive of nothing fails with {status:#x}");
            }
            What::Abort => {}
            What::Address => demand!(status == STATUS_SUCCESS || excused, "an address: {status:#x}"),
            What::Misuse(Misuse::SendFlags) => {}
            What::Misuse(misuse) => demand!(status < 0, "{misuse:?} ends with {status:#x}"),
        }
    }

    fn sent(&self, id: u64, length: usize, done: Completion, fate: Fate, excused: bool) {
        let status: NTSTATUS = done.status;
        model::send_ends(self.key, self.side, id, fate);
        if fate == Fate::Done {
            demand!(done.information == length, "WskSend of {length} octets has sent {}", done.information);
        } else {
            demand!(done.information == 0, "a WskSend that failed has sent {}", done.information);
            demand!(excused, "WskSend fails with {status:#x} on port {}", self.key);
        }
    }
}

/// What has become of a send that ended so.
const fn fate(request: &Request, status: NTSTATUS) -> Fate {
    match status {
        STATUS_SUCCESS => Fate::Done,
        STATUS_CANCELLED if request.cancelled => Fate::Cancelled,
        STATUS_INSUFFICIENT_RESOURCES => Fate::Cancelled,
        // It ended with its connection, which may have carried it before.
        _ => Fate::Lost,
    }
}

/// A word for a request.
const fn name(what: What) -> &'static str {
    match what {
        What::Send { .. } => "WskSend",
        What::Receive { .. } => "WskReceive",
        What::Rearm => "WskReceive of nothing",
        What::Disconnect { .. } => "WskDisconnect",
        What::Abort => "WskDisconnect abortive",
        What::Address => "an address",
        What::Misuse(_) => "misuse",
    }
}
