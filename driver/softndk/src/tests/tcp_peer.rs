//! A peer that is no adapter: TCP of the simulated system, with whatever octets a test likes.

use core::cell::UnsafeCell;
use core::net::SocketAddr;
use std::sync::Mutex;
use std::vec::Vec;

use abi::NTSTATUS;
use abi::status::{STATUS_ADDRESS_ALREADY_EXISTS, STATUS_CONNECTION_REFUSED, nt_success};
use kernel::call::Call;
use kernel::pool::Shared;

use super::harness::*;
use crate::address::SockAddr;
use crate::tag;
use crate::tcp::{Kind, Socket, Staging, SystemWsk};

/// Octets that one receive takes.
const INPUT_LEN: usize = 1024;

/// How the other end has ended its direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ended {
    /// FIN.
    InOrder,
    /// Reset.
    Reset,
}

#[derive(Default)]
struct Seen {
    octets: Vec<u8>,
    ended: Option<Ended>,
    /// Of the last call that is none for octets.
    done: Option<(NTSTATUS, usize)>,
    /// No more receives are made.
    stopped: bool,
}

struct Inner {
    setup: Call<Self>,
    receive: Call<Self>,
    input: UnsafeCell<Staging>,
    remote: UnsafeCell<SockAddr>,
    socket: Mutex<Option<Socket>>,
    seen: Mutex<Seen>,
}

// SAFETY: the cells are the outstanding call's, and are read between two.
unsafe impl Send for Inner {}
// SAFETY: as for `Send`.
unsafe impl Sync for Inner {}

fn ended_setup(this: Shared<Inner>, status: NTSTATUS, information: usize) {
    this.seen.lock().unwrap().done = Some((status, information));
}

fn ended_receive(this: Shared<Inner>, status: NTSTATUS, octets: usize) {
    {
        let mut seen = this.seen.lock().unwrap();
        if !nt_success(status) {
            seen.ended = Some(Ended::Reset);
        } else if octets == 0 {
            seen.ended = Some(Ended::InOrder);
        } else {
            // SAFETY: the call has ended.
            let input = unsafe { &*this.input.get() };
            seen.octets.extend_from_slice(&input.octets()[..octets]);
        }
        if seen.ended.is_some() || seen.stopped {
            return;
        }
    }
    receive(&this);
}

fn receive(this: &Shared<Inner>) {
    let socket = this.socket.lock().unwrap().unwrap();
    // SAFETY: no receive is outstanding.
    let input = unsafe { &*this.input.get() }.describe(INPUT_LEN);
    // SAFETY: open and connected; a fresh IRP; the buffer lives with the owner.
    let call = |irp| unsafe { socket.receive(input, irp) };
    // SAFETY: prepared, and one at a time.
    unsafe { this.receive.start(this, call) };
}

/// A TCP connection, or a socket that listens.
pub(super) struct TcpPeer {
    inner: Shared<Inner>,
    system: SystemWsk,
}

impl TcpPeer {
    fn without_socket(system: SystemWsk) -> Self {
        let inner = Inner {
            setup: Call::new(ended_setup),
            receive: Call::new(ended_receive),
            input: UnsafeCell::new(Staging::new(INPUT_LEN).unwrap()),
            remote: UnsafeCell::new(SockAddr::EMPTY),
            socket: Mutex::new(None),
            seen: Mutex::default(),
        };
        inner.setup.prepare().unwrap();
        inner.receive.prepare().unwrap();
        Self { inner: Shared::try_new(tag::STREAM, inner).unwrap(), system }
    }

    /// A bound socket; `None`: the address is taken.
    fn new(system: SystemWsk, kind: Kind, local: SocketAddr) -> Option<Self> {
        let peer = Self::without_socket(system);
        // SAFETY: a fresh IRP.
        let (status, made) = peer.call(|irp| unsafe { Socket::make(system, kind, local.is_ipv4(), irp) });
        assert!(nt_success(status), "{status:#x}");
        let socket = Socket::from_information(made).unwrap();
        *peer.inner.socket.lock().unwrap() = Some(socket);
        let local = SockAddr::new(&local);
        // SAFETY: open; a fresh IRP.
        let (status, _) = peer.call(|irp| unsafe { socket.bind(&local, irp) });
        if !nt_success(status) {
            assert_eq!(status, STATUS_ADDRESS_ALREADY_EXISTS);
            peer.close();
            return None;
        }
        Some(peer)
    }

    fn socket(&self) -> Socket {
        self.inner.socket.lock().unwrap().unwrap()
    }

    fn call(&self, call: impl FnOnce(*mut abi::nt::IRP) -> NTSTATUS) -> (NTSTATUS, usize) {
        self.inner.seen.lock().unwrap().done = None;
        // SAFETY: prepared, and one at a time.
        unsafe { self.inner.setup.start(&self.inner, call) };
        settle();
        self.inner.seen.lock().unwrap().done.expect("a call of the simulated system ends")
    }

    /// A connection to `to`, without an octet.
    pub(super) fn connect(system: SystemWsk, to: SocketAddr) -> Self {
        Self::try_connect(system, to).expect("the system takes a connection")
    }

    /// `None`: the system refuses, because too many connections wait to be accepted.
    pub(super) fn try_connect(system: SystemWsk, to: SocketAddr) -> Option<Self> {
        let peer = Self::new(system, Kind::Connection, SocketAddr::new(to.ip(), 0))?;
        let (socket, to) = (peer.socket(), SockAddr::new(&to));
        // SAFETY: open and bound; a fresh IRP.
        let (status, _) = peer.call(|irp| unsafe { socket.connect(&to, irp) });
        if !nt_success(status) {
            assert_eq!(status, STATUS_CONNECTION_REFUSED);
            peer.close();
            return None;
        }
        receive(&peer.inner);
        Some(peer)
    }

    /// A plain TCP server.
    pub(super) fn listen(system: SystemWsk, at: SocketAddr) -> Self {
        Self::try_listen(system, at).expect("the address is free")
    }

    /// `None`: the address is taken.
    pub(super) fn try_listen(system: SystemWsk, at: SocketAddr) -> Option<Self> {
        Self::new(system, Kind::Listen, at)
    }

    /// The connection that has arrived.
    pub(super) fn accept(&self) -> Self {
        let socket = self.socket();
        // SAFETY: open and bound; a fresh IRP; the place lives with the owner.
        let (status, made) = self.call(|irp| unsafe { socket.accept(self.inner.remote.get(), irp) });
        assert!(nt_success(status), "{status:#x}");
        let peer = Self::without_socket(self.system);
        *peer.inner.socket.lock().unwrap() = Socket::from_information(made);
        receive(&peer.inner);
        peer
    }

    /// Sends octets. Returns whether the system took them.
    pub(super) fn send(&self, octets: &[u8]) -> bool {
        let mut staging = Staging::new(octets.len().max(1)).unwrap();
        staging.octets_mut()[..octets.len()].copy_from_slice(octets);
        let (socket, buffer) = (self.socket(), staging.describe(octets.len()));
        // SAFETY: open and connected; a fresh IRP; the buffer outlives the call, which has ended when this returns.
        let (status, _) = self.call(|irp| unsafe { socket.send(buffer, irp) });
        nt_success(status)
    }

    /// Sends no more.
    pub(super) fn finish(&self) {
        let socket = self.socket();
        // SAFETY: open and connected; a fresh IRP.
        self.call(|irp| unsafe { socket.disconnect(irp) });
    }

    /// Everything that has arrived and was not looked at.
    pub(super) fn take(&self) -> Vec<u8> {
        settle();
        core::mem::take(&mut self.inner.seen.lock().unwrap().octets)
    }

    pub(super) fn ended(&self) -> Option<Ended> {
        settle();
        self.inner.seen.lock().unwrap().ended
    }

    /// Waits for the other end to end its direction.
    pub(super) fn wait_for_end(&self) -> Ended {
        eventually("the other end has closed", || self.ended())
    }

    /// Takes no more octets, but for those of the receive that is outstanding.
    pub(super) fn stop_reading(&self) {
        self.inner.seen.lock().unwrap().stopped = true;
    }

    /// Closes; a reset, if the connection has not ended in both directions.
    pub(super) fn close(self) {
        self.stop_reading();
        let socket = self.socket();
        // SAFETY: open, and not used again; a fresh IRP.
        self.call(|irp| unsafe { socket.close(irp) });
    }
}
