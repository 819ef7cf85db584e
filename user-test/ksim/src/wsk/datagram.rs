//! Datagrams: who gets them, `WskReceiveFrom`, fixed addresses.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use abi::NTSTATUS;
use abi::status::{
    STATUS_ACCESS_DENIED, STATUS_BUFFER_OVERFLOW, STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER,
    STATUS_SUCCESS,
};
use abi::wsk::*;

use super::address::is_dual;
use super::ancillary;
use super::memory::{Buffer, address_bytes, read_address, write_address, write_bytes};
use super::op::Operation;
use super::options::{ControlCall, Controlled};
use super::request::Request;
use super::socket::{Category, Socket, State};
use super::world::World;

/// A datagram that has come in.
#[derive(Clone)]
pub(super) struct Packet {
    pub(super) data: Vec<u8>,
    pub(super) from: SocketAddr,
    /// Where it was sent to.
    pub(super) to: IpAddr,
}

/// What a datagram socket has.
#[derive(Default)]
pub(super) struct Datagrams {
    pub(super) receives: VecDeque<usize>,
    pub(super) queue: VecDeque<Packet>,
    /// What the callback that runs indicates.
    pub(super) in_call: Vec<Packet>,
    /// SIO_WSK_SET_REMOTE_ADDRESS.
    fixed_remote: Option<SocketAddr>,
    /// SIO_WSK_SET_SENDTO_ADDRESS.
    fixed_target: Option<SocketAddr>,
}

/// What `WskReceiveFrom` asks for.
pub(super) struct ReceiveFrom {
    pub(super) buffer: Buffer,
    pub(super) remote: *mut SOCKADDR,
    pub(super) control_length: *mut u32,
    pub(super) control: *mut CMSGHDR,
    pub(super) control_flags: *mut u32,
}

const BROADCAST: IpAddr = IpAddr::V4(Ipv4Addr::BROADCAST);

impl World {
    fn datagram_socket(&self, at: usize) -> Result<&Socket, NTSTATUS> {
        let socket = self.sockets.get(&at).ok_or(STATUS_INVALID_DEVICE_STATE)?;
        if socket.category != Category::Datagram || socket.state != State::Bound {
            return Err(STATUS_INVALID_DEVICE_STATE);
        }
        Ok(socket)
    }

    /// `WskSendTo`, `WskSendMessages`: each element is one datagram, or several if `control` says so. Returns the bytes.
    ///
    /// # Errors
    /// Not bound, or no destination.
    pub(super) fn send_datagrams(
        &mut self,
        at: usize,
        messages: &[Vec<u8>],
        to: Option<SocketAddr>,
        control: &[u8],
    ) -> Result<usize, NTSTATUS> {
        let socket = self.datagram_socket(at)?;
        let fixed = socket.datagrams.fixed_remote.or(socket.datagrams.fixed_target);
        let to = to.or(fixed).ok_or(STATUS_INVALID_PARAMETER)?;
        if to.ip() == BROADCAST && socket.option(SOL_SOCKET, SO_BROADCAST) == 0 {
            return Err(STATUS_ACCESS_DENIED);
        }
        let local = socket.local.ok_or(STATUS_INVALID_DEVICE_STATE)?;
        let kind = socket.kind;
        let (source, segment) = ancillary::of_send(control);
        let from = source.map_or_else(|| self.source(local, to), |ip| SocketAddr::new(ip, local.port()));
        let targets = self.targets(kind.socket_type, kind.protocol, to);
        for message in messages {
            let segment = segment.filter(|&size| size != 0).unwrap_or(usize::MAX);
            let parts = message.chunks(segment).map(<[u8]>::to_vec);
            // A datagram without data is one all the same.
            let parts: Vec<_> = if message.is_empty() { vec![Vec::new()] } else { parts.collect() };
            for data in parts {
                for &target in &targets {
                    self.deliver(target, Packet { data: data.clone(), from, to: to.ip() });
                }
            }
        }
        Ok(messages.iter().map(Vec::len).sum())
    }

    /// Who gets what is sent to an address.
    fn targets(&self, socket_type: u16, protocol: u32, to: SocketAddr) -> Vec<usize> {
        let mut wild = Vec::new();
        for (&at, socket) in &self.sockets {
            let same = (socket.kind.socket_type, socket.kind.protocol) == (socket_type, protocol);
            let Ok(_) = self.datagram_socket(at) else { continue };
            let Some(local) = socket.local else { continue };
            let port_fits = socket_type == SOCK_RAW || local.port() == to.port();
            if !same || !port_fits || socket.dead || socket.closing.is_some() {
                continue;
            }
            if local.ip() == to.ip() {
                return vec![at];
            }
            if local.ip().is_unspecified() && (local.is_ipv4() == to.is_ipv4() || is_dual(socket)) {
                wild.push(at);
            }
        }
        if to.ip() != BROADCAST {
            wild.truncate(usize::from(self.is_local(to.ip())));
        }
        wild
    }

    fn deliver(&mut self, at: usize, packet: Packet) {
        let room = self.window_of(at);
        let Some(socket) = self.sockets.get_mut(&at) else { return };
        let datagrams = &mut socket.datagrams;
        let waiting: usize = datagrams.queue.iter().map(|packet| packet.data.len()).sum();
        let foreign = datagrams.fixed_remote.is_some_and(|only| only != packet.from);
        if foreign || waiting + packet.data.len() > room {
            return;
        }
        datagrams.queue.push_back(packet);
        self.serve_receives_from(at);
        self.touch(at);
    }

    /// `WskReceiveFrom`.
    pub(super) fn receive_from(&mut self, at: usize, request: Request, receive: ReceiveFrom) {
        if let Err(status) = self.datagram_socket(at) {
            return self.answer(at, request, status, 0);
        }
        let Some(number) = self.park(at, request, Operation::ReceiveFrom(receive)) else { return };
        if let Some(socket) = self.sockets.get_mut(&at) {
            socket.datagrams.receives.push_back(number);
        }
        self.serve_receives_from(at);
    }

    /// Gives datagrams to those who wait for them.
    pub(super) fn serve_receives_from(&mut self, at: usize) {
        loop {
            let Some(socket) = self.sockets.get_mut(&at) else { return };
            if socket.datagrams.queue.is_empty() {
                return;
            }
            let Some(number) = socket.datagrams.receives.pop_front() else { return };
            let Some(packet) = socket.datagrams.queue.pop_front() else { return };
            let control = ancillary::of_receive(socket, &packet);
            let family = socket.kind.family;
            let Some(Operation::ReceiveFrom(receive)) = self.waiting.get(&number).map(|w| &w.what) else {
                continue;
            };
            // SAFETY: what the request names is its own until it is completed, which it is not.
            let (status, copied) = unsafe { receive.fill(&packet, &control, family) };
            self.conclude(number, status, copied);
        }
    }

    /// SIO_WSK_SET_REMOTE_ADDRESS and SIO_WSK_SET_SENDTO_ADDRESS.
    pub(super) fn fix_address(&mut self, at: usize, call: &ControlCall) -> Controlled {
        let result = self.datagram_socket(at).and_then(|socket| {
            let family = socket.kind.family;
            if call.input.is_empty() {
                return Ok(None);
            }
            if call.input.len() < address_bytes(family) {
                return Err(STATUS_INVALID_PARAMETER);
            }
            // SAFETY: long enough for the family.
            unsafe { read_address(call.input.as_ptr().cast(), family) }.map(Some)
        });
        match (result, self.sockets.get_mut(&at)) {
            (Ok(address), Some(socket)) => {
                if call.code == SIO_WSK_SET_REMOTE_ADDRESS {
                    socket.datagrams.fixed_remote = address;
                    // What others have sent before is not for this socket any more.
                    let wanted = |packet: &Packet| address.is_none_or(|only| only == packet.from);
                    socket.datagrams.queue.retain(wanted);
                } else {
                    socket.datagrams.fixed_target = address;
                }
                Controlled::Done(STATUS_SUCCESS, Vec::new())
            }
            (Err(status), _) => Controlled::Done(status, Vec::new()),
            (Ok(_), None) => Controlled::Done(STATUS_INVALID_PARAMETER, Vec::new()),
        }
    }
}

impl ReceiveFrom {
    /// Writes a datagram to where the request wants it; returns the status and the bytes.
    ///
    /// # Safety
    /// What the request names is valid.
    unsafe fn fill(&self, packet: &Packet, control: &[u8], family: u16) -> (NTSTATUS, usize) {
        let copied = packet.data.len().min(self.buffer.length);
        self.buffer.write(0, packet.data.get(..copied).unwrap_or(&[]));
        // SAFETY: as promised by the caller.
        unsafe { write_address(self.remote, packet.from, family) };
        let mut flags = 0;
        if copied < packet.data.len() {
            flags |= MSG_TRUNC;
        }
        if packet.to == BROADCAST {
            flags |= MSG_BCAST;
        }
        // SAFETY: as promised by the caller.
        if let Some(length) = unsafe { self.control_length.as_mut() } {
            let room = if self.control.is_null() { 0 } else { *length as usize };
            let fits = ancillary::whole(control, room);
            if fits < control.len() {
                flags |= MSG_CTRUNC;
            }
            if let Some(bytes) = control.get(..fits).filter(|bytes| !bytes.is_empty()) {
                // SAFETY: as promised by the caller; they fit.
                unsafe { write_bytes(self.control.cast(), bytes) };
            }
            *length = u32::try_from(fits).unwrap_or(0);
        }
        // SAFETY: as promised by the caller.
        if let Some(to) = unsafe { self.control_flags.as_mut() } {
            *to = flags;
        }
        (if flags & MSG_TRUNC == 0 { STATUS_SUCCESS } else { STATUS_BUFFER_OVERFLOW }, copied)
    }
}
