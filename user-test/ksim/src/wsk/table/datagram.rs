//! What datagram sockets have.

use std::net::SocketAddr;
use std::ptr;

use abi::NTSTATUS;
use abi::nt::IRP;
use abi::status::{STATUS_INVALID_PARAMETER, STATUS_SUCCESS};
use abi::wsk::*;

use super::socket::{on, release};
use crate::wsk::control::Function;
use crate::wsk::datagram::ReceiveFrom;
use crate::wsk::memory::{Buffer, read_address, read_bytes};
use crate::wsk::request::Request;
use crate::wsk::world::World;

/// Where a send goes and what else it says.
struct To {
    flags: u32,
    remote: *mut SOCKADDR,
    control: Vec<u8>,
}

impl To {
    /// # Safety
    /// `control` is NULL or readable for that many bytes.
    unsafe fn new(flags: u32, remote: *mut SOCKADDR, length: u32, control: *mut CMSGHDR) -> Self {
        // SAFETY: as promised by the caller.
        let control = unsafe { read_bytes(control.cast(), length as usize) };
        Self { flags, remote, control }
    }

    /// # Safety
    /// The address is NULL or readable.
    unsafe fn address(&self, family: u16) -> Result<Option<SocketAddr>, NTSTATUS> {
        if self.flags != 0 {
            return Err(STATUS_INVALID_PARAMETER);
        }
        if self.remote.is_null() {
            return Ok(None);
        }
        // SAFETY: as promised by the caller.
        unsafe { read_address(self.remote, family) }.map(Some)
    }
}

/// # Safety
/// The arguments are the client's.
unsafe fn send(
    function: Function,
    socket: *mut WSK_SOCKET,
    messages: Result<Vec<Vec<u8>>, NTSTATUS>,
    to: To,
    irp: *mut IRP,
) -> NTSTATUS {
    let work = |world: &mut World, at: usize, request: Request| {
        let family = world.sockets.get(&at).map_or(AF_INET, |socket| socket.kind.family);
        // SAFETY: as promised by the caller.
        let to_address = unsafe { to.address(family) };
        let sent = match (messages, to_address) {
            (Err(status), _) | (_, Err(status)) => Err(status),
            (Ok(messages), Ok(address)) => world.send_datagrams(at, &messages, address, &to.control),
        };
        match sent {
            Ok(bytes) => world.answer(at, request, STATUS_SUCCESS, bytes),
            Err(status) => world.answer(at, request, status, 0),
        }
    };
    // SAFETY: as promised by the caller.
    unsafe { on(function, socket, irp, work) }
}

/// # Safety
/// `buffer` is NULL or readable, and its chain valid.
unsafe fn message(buffer: *const WSK_BUF) -> Result<Vec<u8>, NTSTATUS> {
    // SAFETY: as promised by the caller.
    let buffer = unsafe { Buffer::read_from(buffer) }?;
    Ok(buffer.read(0, buffer.length))
}

/// WskSendTo.
pub(super) unsafe extern "system" fn wsk_send_to(
    socket: *mut WSK_SOCKET,
    buffer: *mut WSK_BUF,
    flags: u32,
    remote: *mut SOCKADDR,
    control_length: u32,
    control: *mut CMSGHDR,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's arguments.
    let messages = unsafe { message(buffer) }.map(|message| vec![message]);
    // SAFETY: the client's arguments.
    let to = unsafe { To::new(flags, remote, control_length, control) };
    // SAFETY: the client's arguments.
    unsafe { send(Function::WskSendTo, socket, messages, to, irp) }
}

/// WskSendMessages.
pub(super) unsafe extern "system" fn wsk_send_messages(
    socket: *mut WSK_SOCKET,
    list: *mut WSK_BUF_LIST,
    flags: u32,
    remote: *mut SOCKADDR,
    control_length: u32,
    control: *mut CMSGHDR,
    irp: *mut IRP,
) -> NTSTATUS {
    let mut messages = if list.is_null() { Err(STATUS_INVALID_PARAMETER) } else { Ok(Vec::new()) };
    // SAFETY: the client's list.
    let mut node = unsafe { list.as_ref() };
    while let (Some(part), Ok(all)) = (node, &mut messages) {
        // SAFETY: as above.
        match unsafe { message(&raw const part.Buffer) } {
            Ok(message) => all.push(message),
            Err(status) => messages = Err(status),
        }
        // SAFETY: as above.
        node = unsafe { part.Next.as_ref() };
    }
    // SAFETY: the client's arguments.
    let to = unsafe { To::new(flags, remote, control_length, control) };
    // SAFETY: the client's arguments.
    unsafe { send(Function::WskSendMessages, socket, messages, to, irp) }
}

/// WskReceiveFrom.
pub(super) unsafe extern "system" fn wsk_receive_from(
    socket: *mut WSK_SOCKET,
    buffer: *mut WSK_BUF,
    flags: u32,
    remote: *mut SOCKADDR,
    control_length: *mut u32,
    control: *mut CMSGHDR,
    control_flags: *mut u32,
    irp: *mut IRP,
) -> NTSTATUS {
    let work = |world: &mut World, at: usize, request: Request| {
        // SAFETY: the client's, readable during the call.
        match unsafe { Buffer::read_from(buffer) } {
            _ if flags != 0 => world.answer(at, request, STATUS_INVALID_PARAMETER, 0),
            Err(status) => world.answer(at, request, status, 0),
            Ok(buffer) => {
                let receive = ReceiveFrom { buffer, remote, control_length, control, control_flags };
                world.receive_from(at, request, receive);
            }
        }
    };
    // SAFETY: the client's IRP for this call.
    unsafe { on(Function::WskReceiveFrom, socket, irp, work) }
}

/// The link of a node.
///
/// # Safety
/// `node` is a live node.
unsafe fn next(node: usize) -> usize {
    // SAFETY: as promised by the caller.
    unsafe { (*ptr::with_exposed_provenance::<WSK_DATAGRAM_INDICATION>(node)).Next }.expose_provenance()
}

/// WskRelease for datagrams.
pub(super) unsafe extern "system" fn wsk_release(
    socket: *mut WSK_SOCKET,
    list: *mut WSK_DATAGRAM_INDICATION,
) -> NTSTATUS {
    // SAFETY: the nodes of a datagram socket are of that type.
    unsafe { release(socket, list.addr(), next) }
}
