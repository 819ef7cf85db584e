//! A world with TCP beside RDMA, and a client of the system's own WSK, whose sockets know no other way than TCP.

use core::ffi::c_void;
use core::net::SocketAddr;
use core::ptr;
use std::boxed::Box;
use std::vec::Vec;

use abi::NTSTATUS;
use abi::status::STATUS_SUCCESS;
use abi::wsk::*;
use abi::wskrdma::{SIO_WSKRDMA_QUERY_PATH, WSKRDMA_PATH};
use ksim::buffer::{Chain, Pages};
use ksim::client::TestIrp;
use ksim::wsk::{Answers, Config, Function};
use softndk::AnswerMode;
use trace::Reason;

use super::super::control::Form;
use super::super::harness::{Connection, World, block, loopback, request};
use crate::view::{SocketView, View};
use crate::{Provider, Settings};

/// Everything that the adapter and the system may answer with.
pub(in crate::tests) const WAYS: [(AnswerMode, Answers); 4] = [
    (AnswerMode::Inline, Answers::Inline),
    (AnswerMode::Later, Answers::Later),
    (AnswerMode::Early, Answers::Inline),
    (AnswerMode::Early, Answers::Later),
];

static CLIENT_DISPATCH: WSK_CLIENT_DISPATCH =
    WSK_CLIENT_DISPATCH { Version: 0x0100, Reserved: 0, WskClientEvent: None };

/// A client of the system's own WSK.
pub(in crate::tests) struct Plain {
    registration: Box<WSK_REGISTRATION>,
    npi: WSK_PROVIDER_NPI,
}

impl Plain {
    fn new() -> Self {
        let mut registration = block();
        let mut npi = WSK_CLIENT_NPI { ClientContext: ptr::null_mut(), Dispatch: &CLIENT_DISPATCH };
        // SAFETY: the block stays in its box until it is deregistered; the table is static.
        assert_eq!(unsafe { kernel::wsk::register(&mut npi, &mut *registration) }, 0);
        let mut npi = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
        // SAFETY: registered above.
        assert_eq!(unsafe { kernel::wsk::capture(&mut *registration, 0, &mut npi) }, 0);
        Self { registration, npi }
    }

    fn end(mut self) {
        // SAFETY: captured once; every socket is closed.
        unsafe { kernel::wsk::release(&mut *self.registration) };
        // SAFETY: registered once.
        unsafe { kernel::wsk::deregister(&mut *self.registration) };
    }

    /// A socket of the system's, bound.
    pub(in crate::tests) fn bound(&self, flags: u32, at: SocketAddr) -> Connection {
        let socket = make(self.npi, flags);
        assert_eq!(bind(&socket, at).wait().status, STATUS_SUCCESS);
        socket
    }

    /// One that listens.
    pub(in crate::tests) fn listener(&self, port: u16) -> Connection {
        self.bound(WSK_FLAG_LISTEN_SOCKET, loopback(port))
    }
}

fn make(npi: WSK_PROVIDER_NPI, flags: u32) -> Connection {
    let made = begin_socket(npi, flags, ptr::null_mut(), ptr::null()).wait();
    assert_eq!(made.status, STATUS_SUCCESS);
    Connection::from_accept(made.information)
}

/// WskSocket for TCP over IPv4.
pub(in crate::tests) fn begin_socket(
    npi: WSK_PROVIDER_NPI,
    flags: u32,
    context: *mut c_void,
    dispatch: *const c_void,
) -> TestIrp {
    // SAFETY: captured, so the provider's table is valid.
    let create = unsafe { (*npi.Dispatch).WskSocket };
    let none = ptr::null_mut::<c_void>();
    request(|irp| {
        let (process, thread, descriptor) = (none.cast(), none.cast(), none.cast());
        // SAFETY: a call as its page says.
        unsafe {
            create(
                npi.Client,
                AF_INET,
                SOCK_STREAM,
                IPPROTO_TCP,
                flags,
                context,
                dispatch,
                process,
                thread,
                descriptor,
                irp,
            )
        }
    })
}

/// WskBind of a connection or listening socket: both have it at the same place.
pub(in crate::tests) fn bind(socket: &Connection, at: SocketAddr) -> TestIrp {
    let bind = table(socket).WskBind;
    let mut at = ndk::SockAddr::from(at);
    // SAFETY: a call as its page says.
    request(|irp| unsafe { bind(socket.raw(), (&raw mut at).cast(), 0, irp) })
}

/// WskAccept of a listening socket.
pub(in crate::tests) fn accept(listener: &Connection) -> TestIrp {
    // SAFETY: the socket is open.
    let table = unsafe { (*listener.raw()).Dispatch };
    // SAFETY: a listening socket's table, which is static.
    let accept = unsafe { (*table.cast::<WSK_PROVIDER_LISTEN_DISPATCH>()).WskAccept };
    let none = ptr::null_mut();
    // SAFETY: a call as its page says.
    request(|irp| unsafe { accept(listener.raw(), 0, ptr::null_mut(), ptr::null(), none, none, irp) })
}

/// The functions of a connection socket, ours or the system's.
pub(in crate::tests) fn table(socket: &Connection) -> &'static WSK_PROVIDER_CONNECTION_DISPATCH {
    // SAFETY: the socket is open.
    let table = unsafe { (*socket.raw()).Dispatch };
    // SAFETY: the tables of both are static.
    unsafe { &*table.cast() }
}

/// WskConnect to any address.
pub(in crate::tests) fn connect(socket: &Connection, to: SocketAddr) -> TestIrp {
    let connect = table(socket).WskConnect;
    let mut to = ndk::SockAddr::from(to);
    // SAFETY: a call as its page says.
    request(|irp| unsafe { connect(socket.raw(), (&raw mut to).cast(), 0, irp) })
}

/// WskConnectEx with octets, and the chain they are in.
pub(in crate::tests) fn connect_ex(socket: &Connection, port: u16, octets: &[u8]) -> (TestIrp, Chain) {
    let connect = table(socket).WskConnectEx;
    let mut to = ndk::SockAddr::from(loopback(port));
    let chain = {
        // The client's own.
        let _plenty = ksim::pool::fail_after(u64::MAX);
        Chain::new(octets, &[], Pages::NonPagedPool)
    };
    let mut buffer = chain.whole();
    // SAFETY: a call as its page says; the chain lives as long as its request.
    let irp = request(|irp| unsafe { connect(socket.raw(), (&raw mut to).cast(), &mut buffer, 0, irp) });
    (irp, chain)
}

/// WskGetLocalAddress and WskGetRemoteAddress.
pub(in crate::tests) fn addresses(socket: &Connection) -> [Result<SocketAddr, NTSTATUS>; 2] {
    [table(socket).WskGetLocalAddress, table(socket).WskGetRemoteAddress].map(|get| {
        let mut room = [0_u64; 4];
        // SAFETY: a call as its page says, with room for both families.
        let told = request(|irp| unsafe { get(socket.raw(), room.as_mut_ptr().cast(), irp) }).wait();
        if told.status != STATUS_SUCCESS {
            return Err(told.status);
        }
        // SAFETY: written by the provider.
        Ok(unsafe { ndk::socket_addr_from_raw(room.as_ptr().cast()) }.expect("an address"))
    })
}

/// SIO_WSKRDMA_QUERY_PATH.
pub(in crate::tests) fn path(socket: *mut WSK_SOCKET) -> (u32, Reason) {
    let size = size_of::<WSKRDMA_PATH>();
    let answered = Form::new(&[], size).control(socket, (WskIoctl, SIO_WSKRDMA_QUERY_PATH, 0));
    assert_eq!((answered.status, answered.output.len()), (STATUS_SUCCESS, size));
    // SAFETY: as many octets as the structure has, all of them numbers.
    let path: WSKRDMA_PATH = unsafe { answered.output.as_ptr().cast::<WSKRDMA_PATH>().read_unaligned() };
    (path.Path, Reason::from_code(path.Reason).expect("a reason"))
}

/// A world, its client, and a client of the system's own.
pub(in crate::tests) struct Stage {
    pub(in crate::tests) world: World,
    pub(in crate::tests) plain: Plain,
}

impl Stage {
    /// With these rules; everything is answered at once.
    pub(in crate::tests) fn new(rules: &[&str]) -> Self {
        Self::answering(rules, WAYS[0])
    }

    pub(in crate::tests) fn answering(rules: &[&str], ways: (AnswerMode, Answers)) -> Self {
        Self::with(rules, ways, Settings::DEFAULT)
    }

    pub(in crate::tests) fn with(
        rules: &[&str],
        (adapter, system): (AnswerMode, Answers),
        settings: Settings,
    ) -> Self {
        let world = World::with_rules(rules, settings, adapter);
        ksim::wsk::reset();
        ksim::wsk::configure(Config { answers: system, ..Config::default() });
        Self { world, plain: Plain::new() }
    }

    /// Ends everything: nothing is left, here or at the system.
    pub(in crate::tests) fn finish(self) {
        self.finish_with(|| {});
    }

    /// The same with something to be ended after the provider.
    pub(in crate::tests) fn finish_with(self, end: impl FnOnce()) {
        self.plain.end();
        self.world.finish_with(end);
    }

    pub(in crate::tests) fn provider(&self) -> &Provider {
        &self.world.provider
    }

    /// How often each reason was counted, where it was.
    pub(in crate::tests) fn reasons(&self) -> Vec<(Reason, u64)> {
        self.provider().reasons().iter().filter(|(_, count)| *count != 0).collect()
    }

    /// All sockets of ours.
    pub(in crate::tests) fn views(&self) -> Vec<SocketView> {
        let mut views = Vec::new();
        self.provider().view(&mut |view| {
            if let View::Socket(socket) = view {
                views.push(socket);
            }
            true
        });
        views
    }

    /// The way and the reason of the only connection socket of ours, as the status reply has them.
    pub(in crate::tests) fn view(&self) -> (Option<bool>, Reason) {
        let of_connections = |view: &SocketView| view.kind == WSK_FLAG_CONNECTION_SOCKET;
        let views: Vec<_> = self.views().into_iter().filter(of_connections).collect();
        assert_eq!(views.len(), 1);
        (views[0].rdma, views[0].reason)
    }
}

/// Whether the system was asked to connect since the last look at `before`.
pub(in crate::tests) fn connects() -> u64 {
    ksim::wsk::calls(Function::WskConnect) + ksim::wsk::calls(Function::WskConnectEx)
}

/// Sockets that the system has, closed ones apart.
pub(in crate::tests) fn system_sockets() -> usize {
    ksim::quiesce();
    ksim::wsk::outstanding().sockets
}
