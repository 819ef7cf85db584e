//! WSK sockets of a client: connections within this process.

use std::ffi::c_void;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ptr;

use abi::NTSTATUS;
use abi::nt::IRP;
use abi::wsk::*;
use anyhow::Result;
use ksim::client::{Completion, TestIrp};

use crate::request::Request;
use crate::world::{Client, check};

fn address(at: SocketAddrV4) -> SOCKADDR_IN {
    SOCKADDR_IN {
        sin_family: AF_INET,
        sin_port: at.port().to_be(),
        sin_addr: at.ip().octets(),
        sin_zero: [0; 8],
    }
}

/// Makes a call with an IRP and waits for it.
fn succeed(what: &str, call: impl FnOnce(*mut IRP) -> NTSTATUS) -> Result<Completion> {
    let irp = TestIrp::new();
    let _returned = call(irp.submit());
    let completion = irp.wait();
    check(what, completion.status).map(|()| completion)
}

/// An open socket; closed by its drop.
pub(crate) struct Socket {
    pointer: *mut WSK_SOCKET,
}

// SAFETY: a socket is for any thread.
unsafe impl Send for Socket {}
// SAFETY: as above.
unsafe impl Sync for Socket {}

/// What a connection is made with: the client's context and table.
#[derive(Clone, Copy)]
pub(crate) struct Callbacks {
    pub(crate) context: *mut c_void,
    pub(crate) table: *const WSK_CLIENT_CONNECTION_DISPATCH,
}

impl Callbacks {
    pub(crate) const NONE: Self = Self { context: ptr::null_mut(), table: ptr::null() };
}

impl Socket {
    fn make(client: &Client, category: u32, callbacks: Callbacks) -> Result<Self> {
        // SAFETY: captured, and valid until it is released.
        let table = unsafe { &*client.provider.Dispatch };
        // SAFETY: context and table stay as long as the socket; no process, thread or descriptor; the IRP stays.
        let made = succeed("WskSocket", |irp| unsafe {
            (table.WskSocket)(
                client.provider.Client,
                AF_INET,
                SOCK_STREAM,
                IPPROTO_TCP,
                category,
                callbacks.context,
                callbacks.table.cast(),
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
                irp,
            )
        })?;
        Ok(Self { pointer: ptr::with_exposed_provenance_mut(made.information) })
    }

    fn dispatch(&self) -> *const c_void {
        // SAFETY: open.
        unsafe { (*self.pointer).Dispatch }
    }

    fn listens(&self) -> &WSK_PROVIDER_LISTEN_DISPATCH {
        // SAFETY: of a listening socket, or of a connection's table, which begins with the same functions.
        unsafe { &*self.dispatch().cast() }
    }

    fn connects(&self) -> &WSK_PROVIDER_CONNECTION_DISPATCH {
        // SAFETY: of a connection socket.
        unsafe { &*self.dispatch().cast() }
    }

    fn bind(&self, to: SocketAddrV4) -> Result<()> {
        let mut to = address(to);
        // SAFETY: open; WskBind is in the same place of every table.
        succeed("WskBind", |irp| unsafe {
            (self.listens().WskBind)(self.pointer, (&raw mut to).cast(), 0, irp)
        })
        .map(drop)
    }

    /// Enables the indication of octets.
    ///
    /// # Errors
    /// The provider's status.
    pub(crate) fn enable_receive_event(&self) -> Result<()> {
        let control =
            WSK_EVENT_CALLBACK_CONTROL { NpiId: &NPI_WSK_INTERFACE_ID, EventMask: WSK_EVENT_RECEIVE };
        let basic = self.dispatch().cast::<WSK_PROVIDER_BASIC_DISPATCH>();
        // SAFETY: every table begins so.
        let function = unsafe { (*basic).WskControlSocket };
        let (size, input) = (size_of_val(&control), (&raw const control).cast_mut().cast());
        let (nothing, no_size, no_irp) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: open; the structure stays during the call, which needs no IRP to enable.
        let status = unsafe {
            function(
                self.pointer,
                WskSetOption,
                SO_WSK_EVENT_CALLBACK,
                SOL_SOCKET,
                size,
                input,
                0,
                nothing,
                no_size,
                no_irp,
            )
        };
        check("SO_WSK_EVENT_CALLBACK", status)
    }

    /// Sends the octets of the request.
    pub(crate) fn send(&self, request: &Request) {
        let function = self.connects().WskSend;
        // SAFETY: open; buffer and IRP stay until the completion.
        request.submit(|buffer, irp| unsafe { function(self.pointer, buffer, 0, irp) });
    }

    /// Receives into the request's buffer; with WSK_FLAG_WAITALL until it is full.
    pub(crate) fn receive(&self, request: &Request, flags: u32) {
        let function = self.connects().WskReceive;
        // SAFETY: open; buffer and IRP stay until the completion.
        request.submit(|buffer, irp| unsafe { function(self.pointer, buffer, flags, irp) });
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let basic = self.dispatch().cast::<WSK_PROVIDER_BASIC_DISPATCH>();
        // SAFETY: every table begins so.
        let function = unsafe { (*basic).WskCloseSocket };
        // SAFETY: open, and nobody uses it afterwards.
        let closed = succeed("WskCloseSocket", |irp| unsafe { function(self.pointer, irp) });
        assert!(closed.is_ok(), "{closed:?}");
    }
}

/// A listening socket.
pub(crate) struct Listener {
    socket: Socket,
    at: SocketAddrV4,
}

impl Listener {
    /// Listens on a port of the provider's choice.
    ///
    /// # Errors
    /// The provider's status.
    pub(crate) fn new(client: &Client) -> Result<Self> {
        let socket = Socket::make(client, WSK_FLAG_LISTEN_SOCKET, Callbacks::NONE)?;
        socket.bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
        let mut room = address(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        // SAFETY: open and bound; there is room for the address.
        succeed("WskGetLocalAddress", |irp| unsafe {
            (socket.listens().WskGetLocalAddress)(socket.pointer, (&raw mut room).cast(), irp)
        })?;
        Ok(Self { socket, at: SocketAddrV4::new(Ipv4Addr::LOCALHOST, u16::from_be(room.sin_port)) })
    }

    /// A connection from this process to itself: who connects, and who accepts.
    ///
    /// # Errors
    /// The provider's status.
    pub(crate) fn pair(&self, client: &Client, near: Callbacks, far: Callbacks) -> Result<(Socket, Socket)> {
        let near = Socket::make(client, WSK_FLAG_CONNECTION_SOCKET, near)?;
        near.bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
        let accepting = TestIrp::new();
        let no_address = ptr::null_mut();
        // SAFETY: open; no addresses are asked for; context and table stay as long as the socket.
        let _returned = unsafe {
            (self.socket.listens().WskAccept)(
                self.socket.pointer,
                0,
                far.context,
                far.table,
                no_address,
                ptr::null_mut(),
                accepting.submit(),
            )
        };
        let mut to = address(self.at);
        // SAFETY: open and bound.
        let connected = succeed("WskConnect", |irp| unsafe {
            (near.connects().WskConnect)(near.pointer, (&raw mut to).cast(), 0, irp)
        });
        if let Err(error) = connected {
            accepting.cancel();
            accepting.wait();
            return Err(error);
        }
        let accepted = accepting.wait();
        check("WskAccept", accepted.status)?;
        let far = Socket { pointer: ptr::with_exposed_provenance_mut(accepted.information) };
        Ok((near, far))
    }
}
