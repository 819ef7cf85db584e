//! How each call reaches the provider: through the tables, with what a client may give up when the call returns made
//! unusable then.

use std::ffi::c_void;
use std::net::SocketAddr;
use std::ptr;

use abi::NTSTATUS;
use abi::nt::IRP;
use abi::wsk::*;
use cases::pattern::{self, UNTOUCHED};
use cases::world::{Buffer, Call};
use ksim::buffer::{Chain, Pages};

use crate::world::{Native, Open};

/// The memory of a buffer: an MDL chain with the stream's octets in the named part. The kinds of pages take turns.
pub(crate) fn chain(buffer: &Buffer<'_>, turn: usize) -> Option<Chain> {
    if buffer.mdls.is_empty() {
        return None;
    }
    let mut octets = vec![UNTOUCHED; buffer.mdls.iter().sum()];
    let start = octets.len().min(buffer.offset as usize);
    let end = octets.len().min(start.saturating_add(buffer.length));
    if let Some(position) = buffer.position {
        pattern::fill(&mut octets[start..end], position);
    }
    let pages = if turn.is_multiple_of(2) { Pages::NonPagedPool } else { Pages::Locked };
    Some(Chain::new(&octets, buffer.mdls, pages))
}

/// The table of a socket.
fn table<T>(open: Open) -> &'static T {
    // SAFETY: the socket is open.
    let table = unsafe { (*open.pointer).Dispatch };
    // SAFETY: the category says which table it is; the provider's tables are static.
    unsafe { &*table.cast::<T>() }
}

fn listens(open: Open) -> bool {
    open.category == WSK_FLAG_LISTEN_SOCKET
}

/// A parameter that the provider may look at during the call only.
struct Brief<const N: usize>([u8; N]);

impl<const N: usize> Brief<N> {
    fn of<T: Copy>(value: &T) -> Self {
        let mut octets = [0; N];
        assert!(size_of::<T>() <= N);
        // SAFETY: both are valid for the size of `T`, and do not overlap.
        unsafe { ptr::copy_nonoverlapping(ptr::from_ref(value).cast(), octets.as_mut_ptr(), size_of::<T>()) };
        Self(octets)
    }

    fn address(address: SocketAddr) -> Self {
        let address = ndk::SockAddr::from(address);
        let mut octets = [UNTOUCHED; N];
        // SAFETY: both are valid for the length of the address, and do not overlap.
        unsafe {
            ptr::copy_nonoverlapping(address.as_ptr().cast(), octets.as_mut_ptr(), address.length() as usize)
        };
        Self(octets)
    }

    fn as_mut_ptr<T>(&mut self) -> *mut T {
        self.0.as_mut_ptr().cast()
    }
}

impl<const N: usize> Drop for Brief<N> {
    fn drop(&mut self) {
        for octet in &mut self.0 {
            // SAFETY: an octet of this value; volatile, so that it is written although nobody reads it.
            unsafe { ptr::from_mut(octet).write_volatile(0xDD) };
        }
    }
}

impl Native {
    /// Makes the call with this IRP, MDL chain and room for two addresses.
    pub(crate) fn make(
        &self,
        call: &Call<'_>,
        irp: *mut IRP,
        chain: Option<&Chain>,
        first: *mut SOCKADDR,
        second: *mut SOCKADDR,
    ) -> NTSTATUS {
        let mdl = chain.map_or(ptr::null_mut(), Chain::mdl);
        let brief = |buffer: Buffer<'_>| {
            Brief::<24>::of(&WSK_BUF { Mdl: mdl, Offset: buffer.offset, Length: buffer.length })
        };
        match *call {
            Call::Socket { .. }
            | Call::SocketConnect { .. }
            | Call::ControlClient { .. }
            | Call::GetAddressInfo
            | Call::GetNameInfo => self.make_client_call(call, irp),
            Call::ControlSocket { on, code } => {
                let (socket, open) = self.socket(on);
                let control = table::<WSK_PROVIDER_BASIC_DISPATCH>(open).WskControlSocket;
                let null = ptr::null_mut();
                // SAFETY: a call as its page says; without buffers nothing is looked at.
                unsafe { control(socket, WskIoctl, code, 0, 0, null, 0, null, null.cast(), irp) }
            }
            Call::Bind { on, address } => {
                let (socket, open) = self.socket(on);
                let bind = if listens(open) {
                    table::<WSK_PROVIDER_LISTEN_DISPATCH>(open).WskBind
                } else {
                    table::<WSK_PROVIDER_CONNECTION_DISPATCH>(open).WskBind
                };
                let mut at = address.map(Brief::<28>::address);
                // SAFETY: a call as its page says; the address is valid during the call.
                unsafe { bind(socket, at.as_mut().map_or(ptr::null_mut(), Brief::as_mut_ptr), 0, irp) }
            }
            Call::Accept { on, addresses } => {
                let (socket, open) = self.socket(on);
                let accept = table::<WSK_PROVIDER_LISTEN_DISPATCH>(open).WskAccept;
                let [local, remote] = if addresses { [first, second] } else { [ptr::null_mut(); 2] };
                // SAFETY: a call as its page says; the addresses live as long as the request.
                unsafe { accept(socket, 0, ptr::null_mut(), ptr::null(), local, remote, irp) }
            }
            Call::InspectComplete { on } => {
                let (socket, open) = self.socket(on);
                let complete = table::<WSK_PROVIDER_LISTEN_DISPATCH>(open).WskInspectComplete;
                let mut id = WSK_INSPECT_ID { Key: 0, SerialNumber: 0 };
                // SAFETY: a call as its page says.
                unsafe { complete(socket, &mut id, WskInspectAccept, irp) }
            }
            Call::Connect { on, address } => {
                let (socket, open) = self.socket(on);
                let connect = table::<WSK_PROVIDER_CONNECTION_DISPATCH>(open).WskConnect;
                let mut to = address.map(Brief::<28>::address);
                // SAFETY: a call as its page says; the address is valid during the call.
                unsafe { connect(socket, to.as_mut().map_or(ptr::null_mut(), Brief::as_mut_ptr), 0, irp) }
            }
            Call::ConnectEx { on, address } => {
                let (socket, open) = self.socket(on);
                let connect = table::<WSK_PROVIDER_CONNECTION_DISPATCH>(open).WskConnectEx;
                let mut to = Brief::<28>::address(address);
                // SAFETY: a call as its page says; the address is valid during the call.
                unsafe { connect(socket, to.as_mut_ptr(), ptr::null_mut(), 0, irp) }
            }
            Call::LocalAddress { on } => {
                let (socket, open) = self.socket(on);
                let get = if listens(open) {
                    table::<WSK_PROVIDER_LISTEN_DISPATCH>(open).WskGetLocalAddress
                } else {
                    table::<WSK_PROVIDER_CONNECTION_DISPATCH>(open).WskGetLocalAddress
                };
                // SAFETY: a call as its page says; the address lives as long as the request.
                unsafe { get(socket, first, irp) }
            }
            Call::RemoteAddress { on } => {
                let (socket, open) = self.socket(on);
                let get = table::<WSK_PROVIDER_CONNECTION_DISPATCH>(open).WskGetRemoteAddress;
                // SAFETY: a call as its page says; the address lives as long as the request.
                unsafe { get(socket, first, irp) }
            }
            Call::Send { on, buffer, flags } => {
                let (socket, open) = self.socket(on);
                let send = table::<WSK_PROVIDER_CONNECTION_DISPATCH>(open).WskSend;
                let mut buffer = buffer.map(brief);
                let buffer = buffer.as_mut().map_or(ptr::null_mut(), Brief::as_mut_ptr);
                // SAFETY: a call as its page says; the buffer is valid during the call, its chain as long as the request.
                unsafe { send(socket, buffer, flags, irp) }
            }
            Call::SendEx { on, buffer } => {
                let (socket, open) = self.socket(on);
                let send = table::<WSK_PROVIDER_CONNECTION_DISPATCH>(open).WskSendEx;
                let mut buffer = brief(buffer);
                // SAFETY: as for a send.
                unsafe { send(socket, buffer.as_mut_ptr(), 0, 0, ptr::null_mut(), irp) }
            }
            Call::Receive { on, buffer, flags } => {
                let (socket, open) = self.socket(on);
                let receive = table::<WSK_PROVIDER_CONNECTION_DISPATCH>(open).WskReceive;
                let mut buffer = buffer.map(brief);
                let buffer = buffer.as_mut().map_or(ptr::null_mut(), Brief::as_mut_ptr);
                // SAFETY: as for a send.
                unsafe { receive(socket, buffer, flags, irp) }
            }
            Call::ReceiveEx { on, buffer } => {
                let (socket, open) = self.socket(on);
                let receive = table::<WSK_PROVIDER_CONNECTION_DISPATCH>(open).WskReceiveEx;
                let mut buffer = brief(buffer);
                let none = ptr::null_mut();
                // SAFETY: as for a send.
                unsafe { receive(socket, buffer.as_mut_ptr(), 0, none, ptr::null_mut(), none, irp) }
            }
            Call::Disconnect { on, buffer, flags } => {
                let (socket, open) = self.socket(on);
                let disconnect = table::<WSK_PROVIDER_CONNECTION_DISPATCH>(open).WskDisconnect;
                let mut buffer = buffer.map(brief);
                let buffer = buffer.as_mut().map_or(ptr::null_mut(), Brief::as_mut_ptr);
                // SAFETY: as for a send.
                unsafe { disconnect(socket, buffer, flags, irp) }
            }
            Call::Close { on } => {
                let (socket, open) = self.socket(on);
                let close = table::<WSK_PROVIDER_BASIC_DISPATCH>(open).WskCloseSocket;
                // SAFETY: a call as its page says; the socket is not used afterwards unless this fails.
                unsafe { close(socket, irp) }
            }
        }
    }

    /// The functions that need no socket.
    fn make_client_call(&self, call: &Call<'_>, irp: *mut IRP) -> NTSTATUS {
        // SAFETY: captured, so the provider's table is valid.
        let provider = unsafe { &*self.npi.Dispatch };
        let client = self.npi.Client;
        let null = ptr::null_mut::<c_void>();
        match *call {
            Call::Socket { null_client, family, socket_type, protocol, flags } => {
                let client = if null_client { ptr::null_mut() } else { client };
                let (context, none) = (null, ptr::null());
                // SAFETY: a call as its page says.
                unsafe {
                    (provider.WskSocket)(
                        client,
                        family,
                        socket_type,
                        protocol,
                        flags,
                        context,
                        none,
                        null.cast(),
                        null.cast(),
                        null.cast(),
                        irp,
                    )
                }
            }
            Call::SocketConnect { local, remote } => {
                let mut local = Brief::<28>::address(local);
                let mut remote = Brief::<28>::address(remote);
                // SAFETY: a call as its page says; the addresses are valid during the call.
                unsafe {
                    (provider.WskSocketConnect)(
                        client,
                        SOCK_STREAM,
                        IPPROTO_TCP,
                        local.as_mut_ptr(),
                        remote.as_mut_ptr(),
                        0,
                        null,
                        ptr::null(),
                        null.cast(),
                        null.cast(),
                        null.cast(),
                        irp,
                    )
                }
            }
            Call::ControlClient { code } => {
                // SAFETY: a call as its page says; without buffers nothing is looked at.
                unsafe { (provider.WskControlClient)(client, code, 0, null, 0, null, null.cast(), irp) }
            }
            Call::GetAddressInfo => {
                let mut result = ptr::null_mut();
                let none = ptr::null_mut();
                // SAFETY: a call as its page says.
                unsafe {
                    (provider.WskGetAddressInfo)(
                        client,
                        none,
                        none,
                        0,
                        null.cast(),
                        null.cast(),
                        &mut result,
                        null.cast(),
                        null.cast(),
                        irp,
                    )
                }
            }
            _ => {
                let none = ptr::null_mut();
                // SAFETY: a call as its page says.
                unsafe {
                    (provider.WskGetNameInfo)(
                        client,
                        ptr::null_mut(),
                        0,
                        none,
                        none,
                        0,
                        null.cast(),
                        null.cast(),
                        irp,
                    )
                }
            }
        }
    }
}
