//! A provider over a software adapter, a client of it, and peers that are made by hand on the same adapter.

use core::ffi::c_void;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::ptr::{self, NonNull};
use core::time::Duration;
use std::boxed::Box;
use std::sync::{Condvar, Mutex, MutexGuard, Once};
use std::vec::Vec;

use abi::NTSTATUS;
use abi::ndk::{NDK_ADAPTER, NDK_VERSION};
use abi::nt::IRP;
use abi::status::STATUS_PENDING;
use abi::wsk::*;
use kernel::pool::{PoolTag, Shared};
use ksim::buffer::Chain;
use ksim::client::{Completion, TestIrp};
use ndk::{
    Access, Adapter, CloseAdapter, Depths, Endpoint, Handler, Incoming, ListenHandler, Listener, Memory,
    Piece, Poster,
};
use softndk::SoftNdk;
use stream::{ConnData, TargetEntry, TargetList};

use crate::{Provider, Settings};

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(20);
const TAG: PoolTag = PoolTag::new(b"WrTe");
const DEPTHS: Depths = Depths { receives: 128, initiators: 64 };

static CLIENT_DISPATCH: WSK_CLIENT_DISPATCH =
    WSK_CLIENT_DISPATCH { Version: 0x0100, Reserved: 0, WskClientEvent: None };

/// Provider, adapter and client.
pub(super) struct World {
    // Boxed: its address is the context of the close.
    soft: Option<Box<SoftNdk>>,
    pub(super) adapter: Shared<Adapter>,
    pub(super) provider: Shared<Provider>,
    registration: Box<WSK_REGISTRATION>,
    npi: WSK_PROVIDER_NPI,
    _alone: MutexGuard<'static, ()>,
}

/// # Safety
/// `context` is the [`SoftNdk`] that opened `adapter`.
unsafe fn close(context: *mut c_void, adapter: NonNull<NDK_ADAPTER>) {
    // SAFETY: the world keeps the provider until its adapter is closed.
    let soft = unsafe { &*context.cast::<SoftNdk>() };
    // SAFETY: opened there, closed once.
    unsafe { soft.close_adapter(adapter.as_ptr()) };
}

/// Makes the simulated kernel ready, for one test at a time.
pub(super) fn boot() -> MutexGuard<'static, ()> {
    static BOOT: Once = Once::new();
    let alone = ksim::exclusive();
    // SAFETY: the simulated device stays for ever.
    BOOT.call_once(|| unsafe { kernel::init(ksim::device()) });
    alone
}

/// A registration block that nobody has registered.
pub(super) fn block() -> Box<WSK_REGISTRATION> {
    Box::new(WSK_REGISTRATION {
        ReservedRegistrationState: 0,
        ReservedRegistrationContext: ptr::null_mut(),
        ReservedRegistrationLock: 0,
    })
}

/// What is allocated by any of the driver's crates, once nothing runs any more.
pub(super) fn left() -> Vec<ksim::pool::Usage> {
    ksim::quiesce();
    ksim::leaks().into_iter().filter(|usage| usage.tag.starts_with("Wr")).collect()
}

impl World {
    pub(super) fn new(settings: Settings) -> Self {
        let alone = boot();
        let soft = Box::new(SoftNdk::start(softndk::Config::default()).unwrap());
        let object = NonNull::new(soft.open_adapter(NDK_VERSION { Major: 2, Minor: 0 }).unwrap()).unwrap();
        let context = ptr::from_ref::<SoftNdk>(&soft).cast_mut().cast();
        // SAFETY: opened just now; `close` gives it back where it was opened.
        let adapter = unsafe { Adapter::adopt(object, CloseAdapter { close, context }) }.unwrap();
        let provider = Provider::new(settings).unwrap();
        provider.add_adapter(adapter.clone(), "test", &[IpAddr::V4(Ipv4Addr::LOCALHOST)]).unwrap();
        assert!(Provider::publish(&provider));
        let mut registration = block();
        let mut npi = WSK_CLIENT_NPI { ClientContext: ptr::null_mut(), Dispatch: &CLIENT_DISPATCH };
        // SAFETY: the block stays in its box until it is deregistered; the table is static.
        assert_eq!(unsafe { crate::wsk_register(&mut npi, &mut *registration) }, 0);
        let mut npi = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
        // SAFETY: registered above.
        assert_eq!(unsafe { crate::wsk_capture_provider_npi(&mut *registration, 0, &mut npi) }, 0);
        Self { soft: Some(soft), adapter, provider, registration, npi, _alone: alone }
    }

    /// Ends everything; every socket is closed and every peer gone. Nothing may be left.
    pub(super) fn finish(mut self) {
        // SAFETY: captured once; every socket is closed.
        unsafe { crate::wsk_release_provider_npi(&mut *self.registration) };
        // SAFETY: registered once.
        unsafe { crate::wsk_deregister(&mut *self.registration) };
        Provider::withdraw();
        self.provider.stop();
        let Self { soft, adapter, provider, .. } = self;
        drop((adapter, provider));
        soft.unwrap().stop();
        assert_eq!(left(), [], "still allocated");
    }

    fn socket(&self, flags: u32) -> *mut WSK_SOCKET {
        let (client, null) = (self.npi.Client, ptr::null_mut::<c_void>());
        let (stream, tcp) = (SOCK_STREAM, IPPROTO_TCP);
        // SAFETY: captured, so the provider's table is valid.
        let create = unsafe { (*self.npi.Dispatch).WskSocket };
        let made = request(|irp| {
            let (none, process) = (ptr::null(), null.cast());
            // SAFETY: a call as its page says.
            unsafe {
                create(
                    client,
                    AF_INET,
                    stream,
                    tcp,
                    flags,
                    null,
                    none,
                    process,
                    null.cast(),
                    null.cast(),
                    irp,
                )
            }
        });
        assert_eq!(made.wait().status, 0);
        ptr::with_exposed_provenance_mut(made.wait().information)
    }

    /// A bound connection socket.
    pub(super) fn connection(&self) -> Connection {
        let socket = Connection(self.socket(WSK_FLAG_CONNECTION_SOCKET));
        let bind = socket.table().WskBind;
        let mut at = ndk::SockAddr::from(loopback(0));
        // SAFETY: a call as its page says.
        let bound = request(|irp| unsafe { bind(socket.0, (&raw mut at).cast(), 0, irp) });
        assert_eq!(bound.wait().status, 0);
        socket
    }

    /// A socket that listens at `port`.
    pub(super) fn listen(&self, port: u16) -> ListenSocket {
        let socket = ListenSocket(self.socket(WSK_FLAG_LISTEN_SOCKET));
        let bind = socket.table().WskBind;
        let mut at = ndk::SockAddr::from(loopback(port));
        // SAFETY: a call as its page says.
        let bound = request(|irp| unsafe { bind(socket.0, (&raw mut at).cast(), 0, irp) });
        assert_eq!(bound.wait().status, 0);
        socket
    }
}

pub(super) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)
}

/// Makes a call with an IRP of its own.
pub(super) fn request(call: impl FnOnce(*mut IRP) -> NTSTATUS) -> TestIrp {
    let irp = TestIrp::new();
    let returned = call(irp.submit());
    assert_eq!(returned, STATUS_PENDING);
    irp
}

/// A request with octets.
pub(super) struct Transfer {
    irp: TestIrp,
    _chain: Chain,
}

impl Transfer {
    pub(super) fn wait(&self) -> Completion {
        self.irp.wait()
    }

    pub(super) fn is_done(&self) -> bool {
        self.irp.completion().is_some()
    }
}

/// A connection socket of the provider's.
pub(super) struct Connection(*mut WSK_SOCKET);

impl Connection {
    pub(super) fn from_accept(information: usize) -> Self {
        Self(ptr::with_exposed_provenance_mut(information))
    }

    fn table(&self) -> &'static WSK_PROVIDER_CONNECTION_DISPATCH {
        // SAFETY: the socket is open.
        let table = unsafe { (*self.0).Dispatch };
        // SAFETY: the provider's tables are static.
        unsafe { &*table.cast() }
    }

    pub(super) fn connect(&self, port: u16) -> TestIrp {
        let connect = self.table().WskConnect;
        let mut to = ndk::SockAddr::from(loopback(port));
        // SAFETY: a call as its page says.
        request(|irp| unsafe { connect(self.0, (&raw mut to).cast(), 0, irp) })
    }

    pub(super) fn send(&self, octets: &[u8]) -> Transfer {
        let send = self.table().WskSend;
        let chain = Chain::new(octets, &[], ksim::buffer::Pages::NonPagedPool);
        let mut buffer = chain.whole();
        // SAFETY: a call as its page says; the chain lives as long as the request.
        let irp = request(|irp| unsafe { send(self.0, &mut buffer, 0, irp) });
        Transfer { irp, _chain: chain }
    }

    pub(super) fn receive(&self, length: usize) -> Transfer {
        let receive = self.table().WskReceive;
        let chain = Chain::zeroed(length);
        let mut buffer = chain.whole();
        // SAFETY: a call as its page says; the chain lives as long as the request.
        let irp = request(|irp| unsafe { receive(self.0, &mut buffer, 0, irp) });
        Transfer { irp, _chain: chain }
    }

    pub(super) fn disconnect(&self) -> TestIrp {
        let disconnect = self.table().WskDisconnect;
        // SAFETY: a call as its page says.
        request(|irp| unsafe { disconnect(self.0, ptr::null_mut(), 0, irp) })
    }

    pub(super) fn close(self) {
        let close = self.table().Basic.WskCloseSocket;
        // SAFETY: a call as its page says, the last one on the socket.
        assert_eq!(request(|irp| unsafe { close(self.0, irp) }).wait().status, 0);
    }
}

/// A listening socket of the provider's.
pub(super) struct ListenSocket(*mut WSK_SOCKET);

impl ListenSocket {
    fn table(&self) -> &'static WSK_PROVIDER_LISTEN_DISPATCH {
        // SAFETY: the socket is open.
        let table = unsafe { (*self.0).Dispatch };
        // SAFETY: the provider's tables are static.
        unsafe { &*table.cast() }
    }

    pub(super) fn accept(&self) -> TestIrp {
        let accept = self.table().WskAccept;
        let (null, none) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: a call as its page says.
        request(|irp| unsafe { accept(self.0, 0, null, ptr::null(), none, none, irp) })
    }

    pub(super) fn close(self) {
        let close = self.table().Basic.WskCloseSocket;
        // SAFETY: a call as its page says, the last one on the socket.
        assert_eq!(request(|irp| unsafe { close(self.0, irp) }).wait().status, 0);
    }
}

#[derive(Default)]
struct Seen {
    answer: Option<NTSTATUS>,
    disconnected: bool,
    closed: bool,
    requests: Vec<Incoming>,
}

/// What a peer made by hand sees.
#[derive(Default)]
pub(super) struct Watch {
    seen: Mutex<Seen>,
    changed: Condvar,
}

impl Watch {
    fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.seen.lock().unwrap());
        self.changed.notify_all();
    }

    fn wait<R>(&self, until: impl Fn(&mut Seen) -> Option<R>) -> R {
        let mut seen = self.seen.lock().unwrap();
        loop {
            if let Some(found) = until(&mut seen) {
                return found;
            }
            let (next, timeout) = self.changed.wait_timeout(seen, PATIENCE).unwrap();
            assert!(!timeout.timed_out(), "it does not happen");
            seen = next;
        }
    }
}

impl Handler for Watch {
    fn peer_data(&self, _data: &[u8]) -> bool {
        true
    }

    fn established(&self, status: NTSTATUS) {
        self.note(|seen| seen.answer = Some(status));
    }

    fn completions(&self, _entries: &[ndk::Completion]) {}

    fn disconnected(&self) {
        self.note(|seen| seen.disconnected = true);
    }

    fn closed(&self) {
        self.note(|seen| seen.closed = true);
    }
}

impl ListenHandler for Watch {
    fn incoming(&self, incoming: Incoming) {
        self.note(|seen| seen.requests.push(incoming));
    }
}

/// A listener made by hand.
pub(super) struct Door {
    watch: Shared<Watch>,
    _listener: Listener<Watch>,
}

impl Door {
    pub(super) fn open(world: &World, port: u16) -> Self {
        let watch = Shared::try_new(TAG, Watch::default()).unwrap();
        let listener = Listener::listen(&world.adapter, loopback(port), watch.clone()).unwrap();
        Self { watch, _listener: listener }
    }

    pub(super) fn take(&self) -> Incoming {
        self.watch.wait(|seen| (!seen.requests.is_empty()).then(|| seen.requests.remove(0)))
    }
}

/// One end of a connection made by hand: it says what a test wants it to say.
pub(super) struct Peer {
    watch: Shared<Watch>,
    poster: Option<Poster<Watch>>,
    endpoint: Shared<Endpoint<Watch>>,
}

/// Octets of the region that a hand-made peer lets be written.
pub(super) const ROOM: u32 = 4096;

impl Peer {
    fn new(
        world: &World,
        build: impl FnOnce(Shared<Watch>, heapless::Vec<Memory, 4>) -> Poster<Watch>,
    ) -> Self {
        let watch = Shared::try_new(TAG, Watch::default()).unwrap();
        let mut memories = heapless::Vec::new();
        for access in [Access::LocalWrite, Access::RemoteWrite] {
            assert!(memories.push(Memory::register(&world.adapter, 8192, access).unwrap()).is_ok());
        }
        let mut poster = build(watch.clone(), memories);
        for slot in 0..DEPTHS.receives as usize {
            poster.receive(Piece { memory: 0, offset: 0, len: 64 }, slot).unwrap();
        }
        let endpoint = poster.endpoint().clone();
        Self { watch, poster: Some(poster), endpoint }
    }

    /// Private data that are in order: room of [`ROOM`] octets, then a target list.
    pub(super) fn data(&self) -> ConnData {
        let memory = self.endpoint.memory(1).unwrap();
        ConnData {
            big_endian: false,
            iomap_size: None,
            credits: 64,
            target_list: TargetList { addr: memory.address() + 4096, key: memory.remote_token(), entries: 2 },
            first_region: TargetEntry { addr: memory.address(), key: memory.remote_token(), len: ROOM },
        }
    }

    /// Connects to a socket that listens at `port`, with private data made from what is right.
    pub(super) fn connect(world: &World, port: u16, data: impl FnOnce(ConnData) -> Vec<u8>) -> Self {
        let adapter = &world.adapter;
        let peer = Self::new(world, |handler, memories| {
            Endpoint::active(adapter, handler, DEPTHS, memories).unwrap()
        });
        let data = data(peer.data());
        Endpoint::connect(&peer.endpoint, loopback(0), loopback(port), &data);
        peer
    }

    /// Accepts a request.
    pub(super) fn accept(world: &World, incoming: Incoming, data: impl FnOnce(ConnData) -> Vec<u8>) -> Self {
        let peer = Self::new(world, |handler, memories| {
            Endpoint::passive(incoming, handler, DEPTHS, memories).unwrap()
        });
        let data = data(peer.data());
        Endpoint::accept(&peer.endpoint, &data);
        peer
    }

    /// The answer to its connect or accept.
    pub(super) fn answer(&self) -> NTSTATUS {
        self.watch.wait(|seen| seen.answer)
    }

    /// Sends these octets as one message.
    pub(super) fn say(&mut self, octets: &[u8]) {
        self.endpoint.memory(0).unwrap().region().write(4096, octets).unwrap();
        let piece = Piece { memory: 0, offset: 4096, len: octets.len() as u32 };
        // The other side may have given up already.
        let _ = self.poster.as_mut().unwrap().send(piece, 1 << 20);
    }

    /// Waits until the other side is gone.
    pub(super) fn is_left(&self) {
        self.watch.wait(|seen| seen.disconnected.then_some(()));
    }

    /// Ends it.
    pub(super) fn close(mut self, graceful: bool) {
        self.poster.take().unwrap().close(graceful);
        self.watch.wait(|seen| seen.closed.then_some(()));
    }
}
