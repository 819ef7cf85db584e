//! The calls of clients' callbacks: from DPCs, one at a time for each socket, with no lock held.

use std::ffi::c_void;
use std::net::SocketAddr;
use std::ptr;

use abi::NTSTATUS;
use abi::status::{STATUS_DATA_NOT_ACCEPTED, STATUS_PENDING, STATUS_SUCCESS};
use abi::wsk::*;

use super::events::OF_CONNECTIONS;
use super::listen::Stage;
use super::memory::write_address;
use super::socket::{Category, Socket, State};
use super::world::{self, World};

/// DPCs run at DISPATCH_LEVEL.
const FLAGS: u32 = WSK_FLAG_AT_DISPATCH_LEVEL;

/// Bytes of one indication at most.
const INDICATED: usize = 256 << 10;
/// Datagrams of one indication at most.
const INDICATED_DATAGRAMS: usize = 32;

/// A call that is to be made, with all it needs.
enum Call {
    Accept {
        event: PFN_WSK_ACCEPT_EVENT,
        new: usize,
        local: SocketAddr,
        remote: SocketAddr,
        family: u16,
    },
    Inspect {
        event: PFN_WSK_INSPECT_EVENT,
        id: WSK_INSPECT_ID,
        local: SocketAddr,
        remote: SocketAddr,
        family: u16,
    },
    Abort {
        event: PFN_WSK_ABORT_EVENT,
        id: WSK_INSPECT_ID,
    },
    Receive {
        event: ReceiveEvent,
        list: *mut WSK_DATA_INDICATION,
        bytes: usize,
        flags: u32,
    },
    ReceiveFrom {
        event: PFN_WSK_RECEIVE_FROM_EVENT,
        list: *mut WSK_DATAGRAM_INDICATION,
    },
    Disconnect {
        event: PFN_WSK_DISCONNECT_EVENT,
        flags: u32,
    },
    Backlog {
        event: PFN_WSK_SEND_BACKLOG_EVENT,
        bytes: usize,
    },
    /// The socket is no longer functional.
    Dead(DeadEvent),
}

/// The two forms of the receive callback.
#[derive(Clone, Copy)]
enum ReceiveEvent {
    Plain(PFN_WSK_RECEIVE_EVENT),
    Ex(PFN_WSK_RECEIVE_EX_EVENT),
}

/// What tells a client that a socket is dead.
enum DeadEvent {
    Accept(PFN_WSK_ACCEPT_EVENT),
    Inspect(PFN_WSK_INSPECT_EVENT),
    Receive(ReceiveEvent),
    ReceiveFrom(PFN_WSK_RECEIVE_FROM_EVENT),
}

/// What a callback has answered.
enum Answer {
    Accept { new: usize, status: NTSTATUS, context: *mut c_void, dispatch: *const c_void },
    Inspect { id: WSK_INSPECT_ID, action: WSK_INSPECT_ACTION },
    Receive { status: NTSTATUS, indicated: usize, accepted: usize },
    ReceiveFrom(NTSTATUS),
    Nothing,
}

/// Room for an address of any family.
#[repr(C, align(8))]
struct Room([u8; size_of::<SOCKADDR_STORAGE>()]);

impl Room {
    fn of(address: SocketAddr, family: u16) -> Self {
        let mut room = Self([0; size_of::<SOCKADDR_STORAGE>()]);
        // SAFETY: room for every family's.
        unsafe { write_address(room.pointer(), address, family) };
        room
    }

    fn pointer(&mut self) -> *mut SOCKADDR {
        self.0.as_mut_ptr().cast()
    }
}

/// The table of a listener's client.
fn listen_table(socket: &Socket) -> Option<WSK_CLIENT_LISTEN_DISPATCH> {
    let table = if socket.category == Category::Stream {
        // SAFETY: the client's table, which it keeps as long as the socket.
        unsafe { socket.dispatch.cast::<WSK_CLIENT_STREAM_DISPATCH>().as_ref() }?.Listen
    } else {
        socket.dispatch.cast()
    };
    // SAFETY: as above.
    unsafe { table.as_ref() }.copied()
}

/// The table of a connection's client.
fn connection_table(socket: &Socket) -> Option<WSK_CLIENT_CONNECTION_DISPATCH> {
    let table = if socket.category == Category::Stream {
        // SAFETY: the client's table, which it keeps as long as the socket.
        unsafe { socket.dispatch.cast::<WSK_CLIENT_STREAM_DISPATCH>().as_ref() }?.Connect
    } else {
        socket.dispatch.cast()
    };
    // SAFETY: as above.
    unsafe { table.as_ref() }.copied()
}

fn receive_from_event(socket: &Socket) -> Option<PFN_WSK_RECEIVE_FROM_EVENT> {
    if !socket.wants(WSK_EVENT_RECEIVE_FROM) {
        return None;
    }
    // SAFETY: the client's table, which it keeps as long as the socket.
    unsafe { socket.dispatch.cast::<WSK_CLIENT_DATAGRAM_DISPATCH>().as_ref() }?.WskReceiveFromEvent
}

fn receive_event(socket: &Socket) -> Option<ReceiveEvent> {
    if let Some(event) = socket.events.receive_ex {
        return Some(ReceiveEvent::Ex(event));
    }
    if !socket.wants(WSK_EVENT_RECEIVE) {
        return None;
    }
    connection_table(socket)?.WskReceiveEvent.map(ReceiveEvent::Plain)
}

/// The DPC of a socket: completes what is to be completed, then calls the client as long as there is something to say.
pub(super) fn pump(at: usize) {
    if let Some(socket) = world::lock().sockets.get_mut(&at) {
        socket.pump_queued = false;
    }
    world::drain(at);
    loop {
        let mut world = world::lock();
        let Some((call, bit)) = world.next_call(at) else {
            world::finish_now(world, at);
            return;
        };
        let Some(socket) = world.sockets.get_mut(&at) else { return };
        let context = socket.context;
        socket.calling = true;
        socket.events.calling |= bit;
        drop(world);
        // SAFETY: the client's callback and context, valid until its socket is closed, which waits for this call.
        let answer = unsafe { call.make(context) };
        let mut world = world::lock();
        if let Some(socket) = world.sockets.get_mut(&at) {
            socket.calling = false;
        }
        world.event_returned(at, bit);
        world.answered(at, answer);
        world.touch(at);
        world::finish_now(world, at);
    }
}

impl ReceiveEvent {
    /// # Safety
    /// The callback and its context are the client's, and `list` is theirs during the call.
    unsafe fn call(
        self,
        context: *mut c_void,
        flags: u32,
        list: *mut WSK_DATA_INDICATION,
        bytes: usize,
    ) -> (NTSTATUS, usize) {
        let mut accepted = bytes;
        let status = match self {
            // SAFETY: as promised by the caller.
            Self::Plain(event) => unsafe { event(context, flags, list, bytes, &raw mut accepted) },
            // SAFETY: as promised by the caller.
            Self::Ex(event) => unsafe {
                event(context, flags, list, ptr::null_mut(), 0, bytes, &raw mut accepted)
            },
        };
        (status, accepted)
    }
}

impl Call {
    /// # Safety
    /// The callback and `context` are the client's and valid.
    unsafe fn make(self, context: *mut c_void) -> Answer {
        match self {
            Self::Accept { event, new, local, remote, family } => {
                let (mut local, mut remote) = (Room::of(local, family), Room::of(remote, family));
                let (mut new_context, mut dispatch) = (ptr::null_mut(), ptr::null());
                let socket = ptr::with_exposed_provenance_mut(new);
                let (here, there) = (local.pointer(), remote.pointer());
                // SAFETY: as promised by the caller.
                let status = unsafe {
                    event(context, FLAGS, here, there, socket, &raw mut new_context, &raw mut dispatch)
                };
                Answer::Accept { new, status, context: new_context, dispatch: dispatch.cast() }
            }
            Self::Inspect { event, mut id, local, remote, family } => {
                let (mut local, mut remote) = (Room::of(local, family), Room::of(remote, family));
                let original = id;
                // SAFETY: as promised by the caller.
                let action = unsafe { event(context, local.pointer(), remote.pointer(), &raw mut id) };
                Answer::Inspect { id: original, action }
            }
            Self::Abort { event, mut id } => {
                // SAFETY: as promised by the caller.
                unsafe { event(context, &raw mut id) };
                Answer::Nothing
            }
            Self::Receive { event, list, bytes, flags } => {
                // SAFETY: as promised by the caller.
                let (status, accepted) = unsafe { event.call(context, flags, list, bytes) };
                Answer::Receive { status, indicated: bytes, accepted }
            }
            Self::ReceiveFrom { event, list } => {
                // SAFETY: as promised by the caller.
                Answer::ReceiveFrom(unsafe { event(context, FLAGS, list) })
            }
            Self::Disconnect { event, flags } => {
                // SAFETY: as promised by the caller.
                unsafe { event(context, flags) };
                Answer::Nothing
            }
            Self::Backlog { event, bytes } => {
                // SAFETY: as promised by the caller.
                unsafe { event(context, bytes) };
                Answer::Nothing
            }
            Self::Dead(event) => {
                // SAFETY: as promised by the caller.
                unsafe { event.make(context) };
                Answer::Nothing
            }
        }
    }
}

impl DeadEvent {
    /// # Safety
    /// As for [`Call::make`].
    unsafe fn make(self, context: *mut c_void) {
        let null = ptr::null_mut();
        match self {
            Self::Accept(event) => {
                let (mut new_context, mut dispatch) = (ptr::null_mut(), ptr::null());
                // SAFETY: as promised by the caller.
                unsafe {
                    event(
                        context,
                        FLAGS,
                        null,
                        null,
                        ptr::null_mut(),
                        &raw mut new_context,
                        &raw mut dispatch,
                    )
                };
            }
            Self::Inspect(event) => {
                // SAFETY: as promised by the caller.
                unsafe { event(context, null, null, ptr::null_mut()) };
            }
            Self::Receive(event) => {
                // SAFETY: as promised by the caller.
                unsafe { event.call(context, FLAGS, ptr::null_mut(), 0) };
            }
            Self::ReceiveFrom(event) => {
                // SAFETY: as promised by the caller.
                unsafe { event(context, FLAGS, ptr::null_mut()) };
            }
        }
    }
}

impl World {
    /// The next thing to tell a client, and the bit of its event.
    fn next_call(&mut self, at: usize) -> Option<(Call, u32)> {
        let socket = self.sockets.get(&at)?;
        if socket.calling || socket.closing.is_some() {
            return None;
        }
        if socket.dead {
            return self.next_obituary(at);
        }
        match socket.state {
            State::Listening => self.next_of_listener(at),
            State::Connected => self.next_of_connection(at),
            State::Bound if socket.category == Category::Datagram => self.next_of_datagrams(at),
            _ => None,
        }
    }

    fn next_obituary(&mut self, at: usize) -> Option<(Call, u32)> {
        let socket = self.sockets.get_mut(&at)?;
        if !std::mem::take(&mut socket.death_untold) {
            return None;
        }
        if socket.state == State::Listening {
            let table = listen_table(socket)?;
            if let (true, Some(event)) = (socket.wants(WSK_EVENT_ACCEPT), table.WskAcceptEvent) {
                return Some((Call::Dead(DeadEvent::Accept(event)), WSK_EVENT_ACCEPT));
            }
            let conditional = socket.option(SOL_SOCKET, SO_CONDITIONAL_ACCEPT) != 0;
            let event = table.WskInspectEvent.filter(|_| conditional)?;
            return Some((Call::Dead(DeadEvent::Inspect(event)), 0));
        }
        if socket.category == Category::Datagram {
            let event = receive_from_event(socket)?;
            return Some((Call::Dead(DeadEvent::ReceiveFrom(event)), WSK_EVENT_RECEIVE_FROM));
        }
        let event = receive_event(socket)?;
        Some((Call::Dead(DeadEvent::Receive(event)), WSK_EVENT_RECEIVE))
    }

    fn next_of_listener(&mut self, at: usize) -> Option<(Call, u32)> {
        let socket = self.sockets.get_mut(&at)?;
        let table = listen_table(socket);
        let family = socket.kind.family;
        let inspect = table.and_then(|table| table.WskInspectEvent);
        let abort = table.and_then(|table| table.WskAbortEvent);
        let inspections = &mut socket.listen.inspections;
        if let Some(place) = inspections.iter().position(|inspection| inspection.stage == Stage::Aborted) {
            let gone = inspections.remove(place);
            if let Some(event) = abort {
                return Some((Call::Abort { event, id: gone.id }, 0));
            }
        }
        if let Some(place) = inspections.iter().position(|inspection| inspection.stage == Stage::New) {
            let inspection = inspections.get_mut(place)?;
            inspection.stage = Stage::Calling;
            let (id, local, remote) = (inspection.id, inspection.local, inspection.remote);
            match inspect {
                Some(event) => return Some((Call::Inspect { event, id, local, remote, family }, 0)),
                // A client that does not look accepts.
                None => self.inspected(at, id, WskInspectAccept),
            }
        }
        let socket = self.sockets.get_mut(&at)?;
        if !socket.wants(WSK_EVENT_ACCEPT) || !socket.listen.accepts.is_empty() {
            return None;
        }
        let event = table?.WskAcceptEvent?;
        let arrival = socket.listen.arrivals.pop_front()?;
        let (local, remote) = (arrival.local, arrival.remote);
        let new = self.accepted(at, arrival).ok()?;
        // It may be closed, even before the callback returns.
        self.hold(new);
        Some((Call::Accept { event, new, local, remote, family }, WSK_EVENT_ACCEPT))
    }

    fn next_of_datagrams(&mut self, at: usize) -> Option<(Call, u32)> {
        let socket = self.sockets.get_mut(&at)?;
        let event = receive_from_event(socket)?;
        if socket.datagrams.queue.is_empty() || !socket.datagrams.receives.is_empty() {
            return None;
        }
        let count = socket.datagrams.queue.len().min(INDICATED_DATAGRAMS);
        let packets: Vec<_> = socket.datagrams.queue.drain(..count).collect();
        let list = self.indicate_datagrams(at, &packets);
        if let Some(socket) = self.sockets.get_mut(&at) {
            socket.datagrams.in_call = packets;
        }
        if list.is_null() {
            self.take_back(at);
            return None;
        }
        Some((Call::ReceiveFrom { event, list }, WSK_EVENT_RECEIVE_FROM))
    }

    /// Puts datagrams back that were to be indicated.
    fn take_back(&mut self, at: usize) {
        let Some(socket) = self.sockets.get_mut(&at) else { return };
        for packet in std::mem::take(&mut socket.datagrams.in_call).into_iter().rev() {
            socket.datagrams.queue.push_front(packet);
        }
    }

    fn received_from(&mut self, at: usize, status: NTSTATUS) {
        if status == STATUS_PENDING {
            self.keep_call(at);
        }
        self.forget_call(at);
        let Some(socket) = self.sockets.get_mut(&at) else { return };
        let fixed = socket.events.fixed & WSK_EVENT_RECEIVE_FROM != 0;
        if status == STATUS_DATA_NOT_ACCEPTED && !fixed {
            socket.events.enabled &= !WSK_EVENT_RECEIVE_FROM;
            self.take_back(at);
        } else {
            socket.datagrams.in_call.clear();
        }
        self.serve_receives_from(at);
    }

    fn next_of_connection(&mut self, at: usize) -> Option<(Call, u32)> {
        let socket = self.sockets.get_mut(&at)?;
        let table = connection_table(socket);
        let receive = receive_event(socket);
        let disconnect = table.and_then(|table| table.WskDisconnectEvent);
        let disconnect = disconnect.filter(|_| socket.wants(WSK_EVENT_DISCONNECT));
        let backlog = table.and_then(|table| table.WskSendBacklogEvent);
        let backlog = backlog.filter(|_| socket.wants(WSK_EVENT_SEND_BACKLOG));
        let link = socket.link.as_mut()?;
        if let (Some(event), Some(_), false) = (disconnect, link.broken, link.told_abortive) {
            link.told_abortive = true;
            return Some((
                Call::Disconnect { event, flags: FLAGS | WSK_FLAG_ABORTIVE },
                WSK_EVENT_DISCONNECT,
            ));
        }
        if link.broken.is_some() || link.silent {
            return None;
        }
        let end = link.end;
        let readable = self.transport.readable(end);
        if let (Some(event), true, false) = (receive, readable != 0 && link.receives.is_empty(), link.stopped)
        {
            link.indicating = true;
            let bytes = readable.min(INDICATED);
            let data = self.transport.peek(end, bytes);
            let list = self.indicate(at, &data);
            if !list.is_null() {
                let pushed = if bytes == readable { WSK_FLAG_ENTIRE_MESSAGE } else { 0 };
                return Some((
                    Call::Receive { event, list, bytes, flags: FLAGS | pushed },
                    WSK_EVENT_RECEIVE,
                ));
            }
            self.link(at).ok()?.indicating = false;
            return None;
        }
        let finished = self.transport.is_finished(end);
        let told = self.config.ideal_send_backlog;
        let link = self.link(at).ok()?;
        if let (Some(event), true, false) = (disconnect, finished && readable == 0, link.told_graceful) {
            link.told_graceful = true;
            return Some((Call::Disconnect { event, flags: FLAGS }, WSK_EVENT_DISCONNECT));
        }
        let event = backlog.filter(|_| link.backlog != told)?;
        link.backlog = told;
        Some((Call::Backlog { event, bytes: told }, WSK_EVENT_SEND_BACKLOG))
    }

    /// Does what a callback's answer asks for.
    fn answered(&mut self, at: usize, answer: Answer) {
        match answer {
            Answer::Nothing => {}
            Answer::Inspect { id, action } => self.inspected(at, id, action),
            Answer::Accept { new, status, context, dispatch } => {
                let inherited = self.sockets.get(&at).map_or(0, |from| from.events.enabled & OF_CONNECTIONS);
                if status == STATUS_SUCCESS {
                    if let Some(socket) = self.sockets.get_mut(&new) {
                        socket.context = context;
                        socket.dispatch = dispatch;
                        socket.events.enabled |= inherited;
                    }
                    self.progress(new);
                } else {
                    self.end_with(new, None);
                }
                self.let_go(new);
            }
            Answer::ReceiveFrom(status) => self.received_from(at, status),
            Answer::Receive { status, indicated, accepted } => self.received(at, status, indicated, accepted),
        }
    }

    fn received(&mut self, at: usize, status: NTSTATUS, indicated: usize, accepted: usize) {
        let (taken, kept) = match status {
            STATUS_PENDING => (indicated, Some(self.keep_call(at))),
            STATUS_SUCCESS => (accepted.min(indicated), None),
            _ => (0, None),
        };
        self.forget_call(at);
        let Ok(link) = self.link(at) else { return };
        link.indicating = false;
        link.stopped = taken < indicated;
        let (end, whole) = (link.end, link.broken.is_none());
        if whole {
            self.transport.consume(end, taken, kept.is_some());
        }
        if let (Some(kept), true) = (kept, whole) {
            // What was released before the callback returned.
            self.transport.release(end, indicated - kept);
        }
        self.progress(at);
    }
}
