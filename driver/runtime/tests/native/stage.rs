//! A client for tests, step by step.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use abi::status::STATUS_SUCCESS;
use abi::wsk::{
    AF_INET, IPPROTO_TCP, SOCK_STREAM, WSK_FLAG_CONNECTION_SOCKET, WSK_FLAG_LISTEN_SOCKET, WSK_FLAG_WAITALL,
};
use cases::world::{Buffer, Call, Completion, Operation, Socket};
use cases::{PATIENCE, World};
use wskrdma_runtime::AnswerMode;

use crate::world::Native;

/// Each way in which the adapter may answer.
pub(crate) const MODES: [AnswerMode; 3] = [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early];
/// A port of the provider's choice.
pub(crate) const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A client that takes the steps of a test one after the other, and insists on each.
pub(crate) struct Stage {
    pub(crate) world: Native,
}

// SAFETY: a client's sockets and IRPs may be used from any thread.
unsafe impl Send for Stage {}

impl Stage {
    /// Another client of the same provider.
    pub(crate) fn guest(&self) -> Self {
        Self { world: self.world.guest() }
    }

    pub(crate) fn start(&mut self, call: &Call<'_>) -> Operation {
        self.world.call(call).unwrap()
    }

    #[track_caller]
    pub(crate) fn end(&mut self, operation: Operation) -> Completion {
        self.world.wait(operation, PATIENCE).expect("the request never ends")
    }

    pub(crate) fn is_done(&mut self, operation: Operation) -> bool {
        self.world.wait(operation, Duration::ZERO).is_some()
    }

    #[track_caller]
    pub(crate) fn succeeds(&mut self, call: &Call<'_>) -> Completion {
        let operation = self.start(call);
        let completion = self.end(operation);
        assert_eq!(completion.status, STATUS_SUCCESS, "{call:?}");
        completion
    }

    pub(crate) fn socket(&mut self, flags: u32) -> Socket {
        let family = AF_INET;
        let (socket_type, protocol) = (SOCK_STREAM, IPPROTO_TCP);
        let made = self.succeeds(&Call::Socket { null_client: false, family, socket_type, protocol, flags });
        made.socket.unwrap()
    }

    pub(crate) fn bind(&mut self, socket: Socket) -> SocketAddr {
        self.succeeds(&Call::Bind { on: socket.into(), address: Some(ANY) });
        self.succeeds(&Call::LocalAddress { on: socket.into() }).address.unwrap()
    }

    pub(crate) fn listener(&mut self) -> (Socket, SocketAddr) {
        let socket = self.socket(WSK_FLAG_LISTEN_SOCKET);
        (socket, self.bind(socket))
    }

    pub(crate) fn bound(&mut self) -> Socket {
        let socket = self.socket(WSK_FLAG_CONNECTION_SOCKET);
        self.bind(socket);
        socket
    }

    pub(crate) fn pair(&mut self) -> (Socket, Socket, Socket) {
        let (listener, at) = self.listener();
        let near = self.bound();
        let accepting = self.start(&accept(listener));
        self.succeeds(&connect(near, at));
        (listener, near, self.end(accepting).socket.unwrap())
    }

    /// Sends a little from one end to the other.
    #[track_caller]
    pub(crate) fn talk(&mut self, from: Socket, to: Socket) {
        let (length, position) = (100, Some(0));
        let buffer = Buffer { mdls: &[100], offset: 0, length, position };
        let receiving = self.start(&receive(to, &[100], WSK_FLAG_WAITALL));
        self.succeeds(&Call::Send { on: from.into(), buffer: Some(buffer), flags: 0 });
        assert_eq!(self.end(receiving).information, length);
    }
}

pub(crate) fn accept(socket: Socket) -> Call<'static> {
    Call::Accept { on: socket.into(), addresses: true }
}

pub(crate) fn connect(socket: Socket, address: SocketAddr) -> Call<'static> {
    Call::Connect { on: socket.into(), address: Some(address) }
}

pub(crate) fn receive(socket: Socket, length: &[usize], flags: u32) -> Call<'_> {
    let buffer = Buffer { mdls: length, offset: 0, length: length.iter().sum(), position: None };
    Call::Receive { on: socket.into(), buffer: Some(buffer), flags }
}

pub(crate) fn send(socket: Socket, length: &[usize]) -> Call<'_> {
    let buffer = Buffer { mdls: length, offset: 0, length: length.iter().sum(), position: Some(0) };
    Call::Send { on: socket.into(), buffer: Some(buffer), flags: 0 }
}

pub(crate) fn disconnect(socket: Socket, flags: u32) -> Call<'static> {
    Call::Disconnect { on: socket.into(), buffer: None, flags }
}

pub(crate) fn close(socket: Socket) -> Call<'static> {
    Call::Close { on: socket.into() }
}
