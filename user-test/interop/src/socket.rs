//! WSK sockets as a program with time uses them: every call waits for its IRP.

use std::ffi::c_void;
use std::net::SocketAddr;
use std::ptr;
use std::time::Duration;

use abi::NTSTATUS;
use abi::nt::IRP;
use abi::wsk::*;
use anyhow::{Result, anyhow};
use ksim::buffer::{Chain, Pages};
use ksim::client::{Completion, TestIrp};

use crate::world::{World, failed};

/// An IRP that takes longer is lost: every peer is given time enough, and is emulated.
const PATIENCE: Duration = Duration::from_secs(150);

/// Room for the address of either family.
#[repr(C, align(8))]
struct Address([u8; 32]);

impl Address {
    fn new(address: SocketAddr) -> Self {
        let mut room = Self([0; 32]);
        let place = room.0.as_mut_ptr();
        let port = address.port().to_be();
        match address {
            SocketAddr::V4(v4) => {
                let raw = SOCKADDR_IN {
                    sin_family: AF_INET,
                    sin_port: port,
                    sin_addr: v4.ip().octets(),
                    sin_zero: [0; 8],
                };
                // SAFETY: there is room, and it is aligned.
                unsafe { place.cast::<SOCKADDR_IN>().write(raw) };
            }
            SocketAddr::V6(v6) => {
                let raw = SOCKADDR_IN6 {
                    sin6_family: AF_INET6,
                    sin6_port: port,
                    sin6_flowinfo: 0,
                    sin6_addr: v6.ip().octets(),
                    sin6_scope_id: 0,
                };
                // SAFETY: as above.
                unsafe { place.cast::<SOCKADDR_IN6>().write(raw) };
            }
        }
        room
    }

    fn pointer(&mut self) -> *mut SOCKADDR {
        self.0.as_mut_ptr().cast()
    }
}

/// Makes a call with an IRP and waits for it.
fn wait(what: &str, call: impl FnOnce(*mut IRP) -> NTSTATUS) -> Result<Completion> {
    let irp = TestIrp::new();
    // What a function returns its IRP tells as well.
    let _returned = call(irp.submit());
    let completion = irp.wait_for(PATIENCE);
    if completion.is_none() {
        // Its memory is the provider's for ever.
        std::mem::forget(irp);
    }
    completion.ok_or_else(|| anyhow!("{what} is not completed after {} s", PATIENCE.as_secs()))
}

fn succeed(what: &str, call: impl FnOnce(*mut IRP) -> NTSTATUS) -> Result<Completion> {
    let completion = wait(what, call)?;
    if completion.status < 0 { Err(failed(what, completion.status)) } else { Ok(completion) }
}

/// An open socket.
struct Socket(*mut WSK_SOCKET);

// SAFETY: a socket is for any thread.
unsafe impl Send for Socket {}
// SAFETY: as above.
unsafe impl Sync for Socket {}

impl Socket {
    fn make(world: &World, at: SocketAddr, category: u32) -> Result<Self> {
        // SAFETY: captured, and valid until it is released.
        let table = unsafe { &*world.provider.Dispatch };
        let family = if at.is_ipv4() { AF_INET } else { AF_INET6 };
        let null = ptr::null_mut();
        // SAFETY: no context, table, process, thread or descriptor; the IRP stays.
        let made = succeed("WskSocket", |irp| unsafe {
            (table.WskSocket)(
                world.provider.Client,
                family,
                SOCK_STREAM,
                IPPROTO_TCP,
                category,
                ptr::null_mut(),
                ptr::null(),
                ptr::null_mut(),
                ptr::null_mut(),
                null,
                irp,
            )
        })?;
        Ok(Self(ptr::with_exposed_provenance_mut(made.information)))
    }

    fn dispatch(&self) -> *const c_void {
        // SAFETY: open.
        unsafe { (*self.0).Dispatch }
    }

    fn listens(&self) -> &WSK_PROVIDER_LISTEN_DISPATCH {
        // SAFETY: of a listening socket, or of a connection's table, which begins with the same functions.
        unsafe { &*self.dispatch().cast() }
    }

    fn connects(&self) -> &WSK_PROVIDER_CONNECTION_DISPATCH {
        // SAFETY: of a connection socket.
        unsafe { &*self.dispatch().cast() }
    }

    fn bind(&self, to: SocketAddr) -> Result<()> {
        let mut to = Address::new(to);
        // SAFETY: open; WskBind is in the same place of every table.
        succeed("WskBind", |irp| unsafe { (self.listens().WskBind)(self.0, to.pointer(), 0, irp) }).map(drop)
    }

    fn close(&self) -> Result<()> {
        let basic = self.dispatch().cast::<WSK_PROVIDER_BASIC_DISPATCH>();
        // SAFETY: every table begins so.
        let function = unsafe { (*basic).WskCloseSocket };
        // SAFETY: open, and nobody uses it afterwards.
        succeed("WskCloseSocket", |irp| unsafe { function(self.0, irp) }).map(drop)
    }
}

/// A bound listening socket.
pub(crate) struct Listener(Socket);

impl Listener {
    /// Listens.
    ///
    /// # Errors
    ///
    /// The driver's status.
    pub(crate) fn bind(world: &World, at: SocketAddr) -> Result<Self> {
        let socket = Socket::make(world, at, WSK_FLAG_LISTEN_SOCKET)?;
        socket.bind(at)?;
        Ok(Self(socket))
    }

    /// The next connection.
    ///
    /// # Errors
    ///
    /// The driver's status, or none came in time.
    pub(crate) fn accept(&self) -> Result<Stream> {
        let null = ptr::null_mut();
        // SAFETY: open; no context, table or addresses.
        let accepted = succeed("WskAccept", |irp| unsafe {
            (self.0.listens().WskAccept)(self.0.0, 0, ptr::null_mut(), ptr::null(), null, null, irp)
        })?;
        Ok(Stream(Socket(ptr::with_exposed_provenance_mut(accepted.information))))
    }

    /// Closes the socket.
    ///
    /// # Errors
    ///
    /// The driver's status.
    pub(crate) fn close(self) -> Result<()> {
        self.0.close()
    }
}

/// A connected socket.
pub(crate) struct Stream(Socket);

impl Stream {
    /// Connects.
    ///
    /// # Errors
    ///
    /// The driver's status.
    pub(crate) fn connect(world: &World, to: SocketAddr) -> Result<Self> {
        let socket = Socket::make(world, to, WSK_FLAG_CONNECTION_SOCKET)?;
        socket.bind(SocketAddr::new(to.ip(), 0))?;
        let mut there = Address::new(to);
        // SAFETY: open and bound.
        let connected = succeed("WskConnect", |irp| unsafe {
            (socket.connects().WskConnect)(socket.0, there.pointer(), 0, irp)
        });
        if let Err(error) = connected {
            socket.close()?;
            return Err(error);
        }
        Ok(Self(socket))
    }

    /// Sends all of it.
    ///
    /// # Errors
    ///
    /// The driver's status.
    pub(crate) fn send(&self, octets: &[u8]) -> Result<()> {
        let chain = Chain::new(octets, &[], Pages::NonPagedPool);
        let mut buffer = chain.whole();
        // SAFETY: open; the chain stays until the IRP is completed.
        let sent = succeed("WskSend", |irp| unsafe {
            (self.0.connects().WskSend)(self.0.0, &raw mut buffer, 0, irp)
        });
        // A lost IRP keeps its buffer.
        if sent.is_err() {
            std::mem::forget(chain);
        }
        sent.map(drop)
    }

    /// Receives what is there, up to so many octets; none at the end of the stream.
    ///
    /// # Errors
    ///
    /// The driver's status.
    pub(crate) fn receive(&self, most: usize) -> Result<Vec<u8>> {
        let chain = Chain::zeroed(most);
        let mut buffer = chain.whole();
        // SAFETY: open; the chain stays until the IRP is completed.
        let received = succeed("WskReceive", |irp| unsafe {
            (self.0.connects().WskReceive)(self.0.0, &raw mut buffer, 0, irp)
        });
        match received {
            Ok(completion) => {
                let mut octets = chain.bytes();
                octets.truncate(completion.information);
                Ok(octets)
            }
            Err(error) => {
                std::mem::forget(chain);
                Err(error)
            }
        }
    }

    /// Ends the own direction, behind everything sent.
    ///
    /// # Errors
    ///
    /// The driver's status.
    pub(crate) fn finish(&self) -> Result<()> {
        // SAFETY: open; no last octets.
        let done = succeed("WskDisconnect", |irp| unsafe {
            (self.0.connects().WskDisconnect)(self.0.0, ptr::null_mut(), 0, irp)
        });
        done.map(drop)
    }

    /// Closes the socket; abortively if a direction is not finished.
    ///
    /// # Errors
    ///
    /// The driver's status.
    pub(crate) fn close(self) -> Result<()> {
        self.0.close()
    }
}
