//! The way to the host's own TCP, for tests with real peers: off unless [`join_host`](super::join_host) has been called.
//!
//! A connection with the outside is a stream in memory whose far end belongs to two threads that carry its octets to and from a
//! socket of the host, as far as there is room: what nobody reads stays with the sender, both ways. The end of a direction and
//! a reset are carried, too.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use abi::NTSTATUS;
use abi::status::{
    STATUS_ACCESS_DENIED, STATUS_ADDRESS_ALREADY_EXISTS, STATUS_CONNECTION_REFUSED, STATUS_HOST_UNREACHABLE,
    STATUS_IO_TIMEOUT,
};
use socket2::SockRef;

use super::listen::Arrival;
use super::socket::{Link, State};
use super::transport::End;
use super::world::{self, World};
use crate::host::{self, Condvar};

/// Octets that wait at the far end of a stream on their way out.
const WINDOW: usize = 64 << 10;
/// Octets that are carried at once.
const PIECE: usize = 64 << 10;
/// How long a write waits for a peer that does not read, until somebody looks whether the stream has been reset.
const LOOK: Duration = Duration::from_millis(50);
/// How long the host tries to connect.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is joined.
pub(super) struct Bridge {
    /// Ports whose listeners listen on the host as well.
    listens: RangeInclusive<u16>,
    /// The host's listeners, by socket.
    listeners: HashMap<usize, Arc<TcpListener>>,
    /// Far ends, and what wakes those who carry for them.
    ends: HashMap<End, Arc<Condvar>>,
}

impl Bridge {
    pub(super) fn new(listens: RangeInclusive<u16>) -> Self {
        Self { listens, listeners: HashMap::new(), ends: HashMap::new() }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// The status of a host's error.
fn status_of(error: &io::Error) -> NTSTATUS {
    match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => STATUS_CONNECTION_REFUSED,
        ErrorKind::TimedOut => STATUS_IO_TIMEOUT,
        ErrorKind::AddrInUse => STATUS_ADDRESS_ALREADY_EXISTS,
        ErrorKind::PermissionDenied => STATUS_ACCESS_DENIED,
        _ => STATUS_HOST_UNREACHABLE,
    }
}

impl World {
    /// Whether a connect that nobody here answers goes to the host.
    pub(super) fn is_joined(&self) -> bool {
        self.bridge.is_some()
    }

    /// Connects a socket that waits with `to` on the host.
    pub(super) fn connect_outside(&mut self, at: usize, here: SocketAddr, to: SocketAddr) {
        let Some(number) = self.sockets.get(&at).and_then(|socket| socket.connect) else { return };
        host::spawn("connect to the host", move || {
            let result = TcpStream::connect_timeout(&to, PATIENCE);
            let mut world = world::lock();
            let waits = world.sockets.get(&at).is_some_and(|socket| socket.connect == Some(number));
            match result {
                // It was cancelled, or its socket closed.
                _ if !waits => {}
                Err(error) => world.connect_ends(at, Err(status_of(&error))),
                Ok(stream) => world.established_outside(at, here, to, stream),
            }
            world::finish(world, 0);
        });
    }

    fn established_outside(&mut self, at: usize, here: SocketAddr, to: SocketAddr, stream: TcpStream) {
        let (mine, theirs) = self.transport.pair(self.window_of(at), WINDOW);
        let Some(socket) = self.sockets.get_mut(&at) else { return };
        let mut link = Link::new(mine, self.config.ideal_send_backlog);
        link.unsent.extend(std::mem::take(&mut socket.listen.first));
        socket.link = Some(link);
        socket.local = Some(here);
        socket.remote = Some(to);
        self.owners.insert(mine, at);
        self.carry(theirs, stream);
        self.connect_ends(at, Ok(()));
        self.progress(at);
    }

    /// Has the host listen for a socket that listens, if its port is one of those.
    ///
    /// # Errors
    /// The host's, as the completion of the bind.
    pub(super) fn listen_outside(&mut self, at: usize, local: SocketAddr) -> Result<(), NTSTATUS> {
        let Some(bridge) = &mut self.bridge else { return Ok(()) };
        if !bridge.listens.contains(&local.port()) {
            return Ok(());
        }
        let listener = Arc::new(TcpListener::bind(local).map_err(|error| status_of(&error))?);
        bridge.listeners.insert(at, Arc::clone(&listener));
        host::spawn("accept from the host", move || {
            while let Ok((stream, from)) = listener.accept() {
                let mut world = world::lock();
                if !world.arrived(at, &listener, stream, from) {
                    return;
                }
                world::finish(world, 0);
            }
        });
        Ok(())
    }

    /// A connection of the host has arrived; `false` if nobody listens any more.
    fn arrived(&mut self, at: usize, on: &Arc<TcpListener>, stream: TcpStream, from: SocketAddr) -> bool {
        let listener = self.bridge.as_ref().and_then(|bridge| bridge.listeners.get(&at));
        let listens = listener.is_some_and(|listener| Arc::ptr_eq(listener, on));
        let socket = self.sockets.get(&at).filter(|_| listens);
        let room = socket.filter(|socket| {
            socket.state == State::Listening && socket.listen.arrivals.len() < self.config.backlog
        });
        let (Ok(local), Some(_)) = (stream.local_addr(), room) else {
            abort(&stream);
            return socket.is_some();
        };
        let (theirs, mine) = self.transport.pair(WINDOW, self.window_of(at));
        if let Some(socket) = self.sockets.get_mut(&at) {
            let arrival = Arrival { end: mine, local, remote: from, inspected: None };
            socket.listen.arrivals.push_back(arrival);
        }
        self.carry(theirs, stream);
        self.progress(at);
        true
    }

    /// A socket listens no more.
    pub(super) fn leave_outside(&mut self, at: usize) {
        let listener = self.bridge.as_mut().and_then(|bridge| bridge.listeners.remove(&at));
        if let Some(listener) = listener {
            // Whoever accepts there wakes up.
            let _ = SockRef::from(&*listener).shutdown(Shutdown::Both);
        }
    }

    /// A stream has changed at an end that is no socket's.
    pub(super) fn changed_outside(&self, end: End) {
        if let Some(changed) = self.bridge.as_ref().and_then(|bridge| bridge.ends.get(&end)) {
            changed.notify_all();
        }
    }

    /// Leaves the host: listeners end, connections break.
    pub(super) fn part_from_host(&mut self) {
        let Some(bridge) = &self.bridge else { return };
        let listeners: Vec<usize> = bridge.listeners.keys().copied().collect();
        let ends: Vec<End> = bridge.ends.keys().copied().collect();
        for at in listeners {
            self.leave_outside(at);
        }
        for end in ends {
            self.transport.reset(end);
            self.changed_outside(end);
        }
        self.bridge = None;
    }

    /// Carries between the far end of a stream and a socket of the host, on two threads.
    fn carry(&mut self, end: End, stream: TcpStream) {
        let changed = Arc::new(Condvar::new());
        if let Some(bridge) = &mut self.bridge {
            bridge.ends.insert(end, Arc::clone(&changed));
        }
        // One segment for each write of the sender, as far as TCP can.
        let _ = stream.set_nodelay(true);
        let _ = stream.set_write_timeout(Some(LOOK));
        let (stream, other) = (Arc::new(stream), Arc::clone(&changed));
        let outward = Arc::clone(&stream);
        host::spawn("from the host", move || carry_in(end, &stream, &changed));
        host::spawn("to the host", move || carry_out(end, &outward, &other));
    }
}

/// Makes the last owner's close send a reset, and wakes who reads.
fn abort(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let _ = socket.set_linger(Some(Duration::ZERO));
    let _ = socket.shutdown(Shutdown::Read);
}

/// Carries octets from the host until the direction ends.
fn carry_in(end: End, stream: &TcpStream, changed: &Condvar) {
    let mut piece = vec![0; PIECE];
    let mut stream = stream;
    loop {
        let mut world = world::lock();
        let room = loop {
            if world.transport.is_reset(end) {
                return;
            }
            match world.transport.writable(end) {
                0 => world = host::wait(changed, world, "the other end"),
                room => break room.min(PIECE),
            }
        };
        drop(world);
        let Some(piece) = piece.get_mut(..room) else { return };
        let read = stream.read(piece);
        let mut world = world::lock();
        match read {
            Ok(0) => world.transport.finish(end),
            Ok(count) => world.transport.write(end, piece.get(..count).unwrap_or_default()),
            Err(_) => world.transport.reset(end),
        }
        let goes_on = matches!(read, Ok(1..));
        world::finish(world, 0);
        // Whoever carries the other way may wait for this one's end.
        changed.notify_all();
        if !goes_on {
            return;
        }
    }
}

/// Carries octets to the host, and ends the stream when both directions have ended.
fn carry_out(end: End, stream: &TcpStream, changed: &Condvar) {
    let mut out = stream;
    let mut said_end = false;
    loop {
        let mut world = world::lock();
        loop {
            let over = said_end && world.transport.is_over(end);
            if over || world.transport.is_reset(end) {
                let broken = world.transport.is_reset(end);
                world.transport.close(end);
                if let Some(bridge) = &mut world.bridge {
                    bridge.ends.remove(&end);
                }
                world::finish(world, 0);
                if broken {
                    abort(stream);
                }
                return;
            }
            if world.transport.readable(end) != 0 || (!said_end && world.transport.is_finished(end)) {
                break;
            }
            world = host::wait(changed, world, "the other end");
        }
        let octets = world.transport.peek(end, world.transport.readable(end).min(PIECE));
        drop(world);
        if octets.is_empty() {
            said_end = true;
            // The other side may have gone.
            let _ = stream.shutdown(Shutdown::Write);
            continue;
        }
        let written = out.write(&octets);
        let mut world = world::lock();
        match written {
            Ok(count) => world.transport.consume(end, count, false),
            // The peer does not read: another look at whether the stream is still there.
            Err(error) if is_timeout(&error) => {}
            Err(_) => world.transport.reset(end),
        }
        world::finish(world, 0);
    }
}
