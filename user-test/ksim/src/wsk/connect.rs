//! `WskConnect` and its kin: routes, listeners, established connections.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use abi::NTSTATUS;
use abi::status::{
    STATUS_ADDRESS_ALREADY_EXISTS, STATUS_CONNECTION_ACTIVE, STATUS_CONNECTION_REFUSED,
    STATUS_HOST_UNREACHABLE, STATUS_INVALID_ADDRESS_COMPONENT, STATUS_INVALID_DEVICE_STATE, STATUS_SUCCESS,
};
use abi::wsk::{SO_RCVBUF, SOCK_STREAM, SOL_SOCKET, WSK_INSPECT_ID};

use super::address::is_dual;
use super::control::Route;
use super::listen::Arrival;
use super::op::Operation;
use super::request::Request;
use super::socket::{Category, Link, Socket, State};
use super::world::World;

impl World {
    /// Whether `WskConnect` may begin. What it answers without it begins is not marked pending on Windows.
    pub(super) fn refuses_connect(&self, at: usize) -> Option<NTSTATUS> {
        let socket = self.sockets.get(&at)?;
        (!socket.dead && socket.state == State::Created).then_some(STATUS_INVALID_DEVICE_STATE)
    }

    fn check_connect(&self, at: usize, to: SocketAddr) -> Result<SocketAddr, NTSTATUS> {
        let Some(socket) = self.sockets.get(&at) else { return Err(STATUS_INVALID_DEVICE_STATE) };
        match (socket.category, socket.state) {
            (Category::Connection | Category::Stream, State::Bound) => {}
            (Category::Connection | Category::Stream, State::Connecting | State::Connected) => {
                return Err(STATUS_CONNECTION_ACTIVE);
            }
            _ => return Err(STATUS_INVALID_DEVICE_STATE),
        }
        if socket.kind.socket_type != SOCK_STREAM {
            return Err(STATUS_INVALID_DEVICE_STATE);
        }
        if to.ip().is_unspecified() || to.port() == 0 {
            return Err(STATUS_INVALID_ADDRESS_COMPONENT);
        }
        socket.local.ok_or(STATUS_INVALID_DEVICE_STATE)
    }

    /// The address a socket bound to `local` has on the way to `to`.
    pub(super) fn source(&self, local: SocketAddr, to: SocketAddr) -> SocketAddr {
        if !local.ip().is_unspecified() {
            return local;
        }
        let ip = if self.is_local(to.ip()) {
            to.ip()
        } else {
            let found = self.local_addresses(to.is_ipv4()).last().copied();
            found.unwrap_or(if to.is_ipv4() {
                IpAddr::V4(Ipv4Addr::LOCALHOST)
            } else {
                IpAddr::V6(Ipv6Addr::LOCALHOST)
            })
        };
        SocketAddr::new(ip, local.port())
    }

    /// `WskConnect`; `first` are the bytes of `WskConnectEx`, `hidden` says that it is `WskSocketConnect`.
    pub(super) fn connect(
        &mut self,
        at: usize,
        request: Request,
        to: SocketAddr,
        first: &[u8],
        hidden: bool,
    ) {
        let local = match self.check_connect(at, to) {
            Ok(local) => local,
            Err(status) => return self.connect_fails(at, request, status, hidden),
        };
        let here = self.source(local, to);
        let twice = |socket: &Socket| {
            socket.state == State::Connected && (socket.local, socket.remote) == (Some(here), Some(to))
        };
        if self.sockets.values().any(twice) {
            return self.connect_fails(at, request, STATUS_ADDRESS_ALREADY_EXISTS, hidden);
        }
        if let Some(socket) = self.sockets.get_mut(&at) {
            socket.state = State::Connecting;
            socket.listen.first = first.to_vec();
        }
        let Some(number) = self.park(at, request, Operation::Connect { hidden }) else { return };
        if let Some(socket) = self.sockets.get_mut(&at) {
            socket.connect = Some(number);
        }
        let any_port = SocketAddr::new(to.ip(), 0);
        let route = self.faults.routes.get(&to).or_else(|| self.faults.routes.get(&any_port)).copied();
        match route {
            Some(Route::Hangs) => {}
            Some(Route::Fails(status)) => self.connect_ends(at, Err(status)),
            None if self.is_joined() && self.listener_at(to).is_none() => {
                self.connect_outside(at, here, to);
            }
            None if !self.is_local(to.ip()) => self.connect_ends(at, Err(STATUS_HOST_UNREACHABLE)),
            None => match self.listener_at(to) {
                None => self.connect_ends(at, Err(STATUS_CONNECTION_REFUSED)),
                Some(listener) => self.request_connection(listener, at, here, to),
            },
        }
    }

    fn connect_fails(&mut self, at: usize, request: Request, status: NTSTATUS, hidden: bool) {
        if hidden {
            self.abandon_with(at, request, status);
        } else {
            self.answer(at, request, status, 0);
        }
    }

    /// The listener that a connection to `to` reaches: one of that very address first.
    fn listener_at(&self, to: SocketAddr) -> Option<usize> {
        let mut wild = None;
        for (&at, socket) in &self.sockets {
            let Some(local) = socket.local.filter(|local| local.port() == to.port()) else { continue };
            if socket.state != State::Listening || socket.dead || socket.closing.is_some() {
                continue;
            }
            if local.ip() == to.ip() {
                return Some(at);
            }
            if local.ip().is_unspecified() && (local.is_ipv4() == to.is_ipv4() || is_dual(socket)) {
                wild = Some(at);
            }
        }
        wild
    }

    /// Bytes that a socket takes in before anybody asks for them.
    pub(super) fn window_of(&self, at: usize) -> usize {
        let wanted = self.sockets.get(&at).map_or(0, |socket| socket.option(SOL_SOCKET, SO_RCVBUF));
        if wanted == 0 { self.config.receive_window } else { wanted as usize }
    }

    /// Connects a socket that waits with a listener: the handshake is done, and the listener has one more arrival.
    pub(super) fn establish(
        &mut self,
        listener: usize,
        at: usize,
        here: SocketAddr,
        to: SocketAddr,
        inspected: Option<WSK_INSPECT_ID>,
    ) {
        let full = self.sockets.get(&listener).is_none_or(|l| l.listen.arrivals.len() >= self.config.backlog);
        if full {
            return self.connect_ends(at, Err(STATUS_CONNECTION_REFUSED));
        }
        let windows = (self.window_of(at), self.window_of(listener));
        let (mine, theirs) = self.transport.pair(windows.0, windows.1);
        let Some(socket) = self.sockets.get_mut(&at) else { return };
        let mut link = Link::new(mine, self.config.ideal_send_backlog);
        link.unsent.extend(std::mem::take(&mut socket.listen.first));
        socket.link = Some(link);
        socket.local = Some(here);
        socket.remote = Some(to);
        self.owners.insert(mine, at);
        if let Some(listener) = self.sockets.get_mut(&listener) {
            let arrival = Arrival { end: theirs, local: to, remote: here, inspected };
            listener.listen.arrivals.push_back(arrival);
        }
        self.connect_ends(at, Ok(()));
        self.progress(at);
        self.progress(listener);
    }

    /// Ends a connect that waits.
    pub(super) fn connect_ends(&mut self, at: usize, result: Result<(), NTSTATUS>) {
        let Some(socket) = self.sockets.get_mut(&at) else { return };
        socket.state = if result.is_ok() { State::Connected } else { State::Bound };
        let Some(number) = socket.connect.take() else { return };
        let waiting = self.waiting.get(&number).map(|waiting| &waiting.what);
        let hidden = matches!(waiting, Some(Operation::Connect { hidden: true }));
        match result {
            Ok(()) => self.conclude(number, STATUS_SUCCESS, if hidden { at } else { 0 }),
            Err(status) => self.conclude(number, status, 0),
        }
    }
}
