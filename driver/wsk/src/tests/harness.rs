//! A provider over a software adapter, and a client of it.

use core::ffi::c_void;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::ptr::{self, NonNull};
use core::time::Duration;
use std::boxed::Box;
use std::cell::Cell;
use std::sync::{LazyLock, Mutex, MutexGuard, Once, PoisonError};
use std::thread_local;
use std::vec::Vec;

use abi::NTSTATUS;
use abi::ndk::{NDK_ADAPTER, NDK_ADAPTER_INFO, NDK_VERSION};
use abi::nt::IRP;
use abi::status::{STATUS_NOT_IMPLEMENTED, STATUS_PENDING};
use abi::wsk::*;
use kernel::pool::{PoolTag, Shared};
use ksim::buffer::Chain;
use ksim::client::{Completion, TestIrp};
use ksim::wsk::Outstanding;
use ndk::{Adapter, CloseAdapter, Depths, Fault};
use ndkcheck::{Act, Slot, When};
use softndk::{AnswerMode, SoftNdk};

pub(super) use super::listener::*;
pub(super) use super::peer::*;
use crate::Interface;
use crate::policy::{Policy, PolicyBuilder};
use crate::{AdapterView, Provider, Settings, View};

/// Far longer than anything takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
pub(super) const TAG: PoolTag = PoolTag::new(b"WrTe");
pub(super) const DEPTHS: Depths = Depths { receives: 128, initiators: 64 };

static CLIENT_DISPATCH: WSK_CLIENT_DISPATCH =
    WSK_CLIENT_DISPATCH { Version: 0x0100, Reserved: 0, WskClientEvent: None };

/// Provider, adapter and client.
pub(crate) struct World {
    // Boxed: its address is the context of the close.
    soft: Option<Box<SoftNdk>>,
    pub(super) adapter: Shared<Adapter>,
    /// What stands between the adapter and the provider.
    pub(super) checker: ndkcheck::Checker,
    pub(crate) provider: Shared<Provider>,
    published: Published,
    registration: Box<WSK_REGISTRATION>,
    npi: WSK_PROVIDER_NPI,
    /// How the adapter answers.
    answers: AnswerMode,
    _alone: MutexGuard<'static, ()>,
}

/// Clients find the provider until this is dropped, as a test that fails does before the next one begins.
struct Published;

impl Drop for Published {
    fn drop(&mut self) {
        Provider::withdraw();
    }
}

/// What tests before this one have left: only those that failed leave anything.
static BEFORE: LazyLock<Mutex<Left>> = LazyLock::new(Mutex::default);

/// What is allocated by any of the driver's crates, and what the system is owed.
type Left = (Vec<ksim::pool::Usage>, Outstanding);

/// # Safety
/// `context` is the [`SoftNdk`] that opened `adapter`.
unsafe fn close(context: *mut c_void, adapter: NonNull<NDK_ADAPTER>) {
    // SAFETY: the world keeps the provider until its adapter is closed.
    let soft = unsafe { &*context.cast::<SoftNdk>() };
    // SAFETY: opened there, closed once.
    let give_back = |adapter: NonNull<NDK_ADAPTER>| unsafe { soft.close_adapter(adapter.as_ptr()) };
    // SAFETY: wrapped when it was opened.
    unsafe { ndkcheck::close(adapter, give_back) };
}

/// Makes the simulated kernel ready, for one test at a time.
pub(crate) fn boot() -> MutexGuard<'static, ()> {
    static BOOT: Once = Once::new();
    let alone = ksim::exclusive();
    // SAFETY: the simulated device stays for ever.
    BOOT.call_once(|| unsafe { kernel::init(ksim::device()) });
    ksim::quiesce();
    *before() = (allocated(), ksim::wsk::outstanding());
    alone
}

fn before() -> MutexGuard<'static, Left> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn allocated() -> Vec<ksim::pool::Usage> {
    ksim::leaks().into_iter().filter(|usage| usage.tag.starts_with("Wr")).collect()
}

/// A registration block that nobody has registered.
pub(super) fn block() -> Box<WSK_REGISTRATION> {
    Box::new(WSK_REGISTRATION {
        ReservedRegistrationState: 0,
        ReservedRegistrationContext: ptr::null_mut(),
        ReservedRegistrationLock: 0,
    })
}

/// What this test has allocated by any of the driver's crates and not freed, once nothing runs any more.
pub(crate) fn left() -> Vec<ksim::pool::Usage> {
    ksim::quiesce();
    let before = before();
    allocated().into_iter().filter(|usage| !before.0.contains(usage)).collect()
}

fn policy(rules: &[&str]) -> Policy {
    let mut policy = PolicyBuilder::new();
    for rule in rules {
        policy.add(rule).unwrap();
    }
    policy.build().unwrap()
}

impl World {
    pub(crate) fn new(settings: Settings) -> Self {
        Self::answering(settings, AnswerMode::Inline)
    }

    /// The same with a system that serves no control operations.
    pub(super) fn without_system_controls() -> Self {
        let alone = boot();
        ksim::wsk::fail_next(ksim::wsk::Function::WskControlClient, STATUS_NOT_IMPLEMENTED);
        let settings = Settings { policy: policy(&["require any any"]), ..Settings::DEFAULT };
        Self::start(alone, settings, AnswerMode::Inline)
    }

    /// The same over an adapter that answers in this way. Everything runs over RDMA, or not at all.
    pub(super) fn answering(settings: Settings, answers: AnswerMode) -> Self {
        Self::with_rules(&["require any any"], settings, answers)
    }

    /// The same with these rules instead: with TCP beside RDMA where they say so.
    pub(super) fn with_rules(rules: &[&str], settings: Settings, answers: AnswerMode) -> Self {
        let alone = boot();
        Self::start(alone, Settings { policy: policy(rules), ..settings }, answers)
    }

    /// Everything over RDMA, and the adapter tells these limits of itself.
    pub(super) fn limited(settings: Settings, limits: fn(&mut NDK_ADAPTER_INFO)) -> Self {
        // Before the policy, whose memory another test would find.
        let alone = boot();
        let settings = Settings { policy: policy(&["require any any"]), prepared_endpoints: 0, ..settings };
        Self::start_with(alone, settings, AnswerMode::Inline, |checker| checker.limits(limits))
    }

    /// Everything over RDMA, with as many endpoints made ahead as the settings say.
    pub(super) fn preparing(settings: Settings, answers: AnswerMode) -> Self {
        let alone = boot();
        let settings = Settings { policy: policy(&["require any any"]), ..settings };
        Self::start_with(alone, settings, answers, |_| {})
    }

    fn start(alone: MutexGuard<'static, ()>, settings: Settings, answers: AnswerMode) -> Self {
        // Whoever says what the adapter does next must know what it is asked.
        let settings = Settings { prepared_endpoints: 0, ..settings };
        Self::start_with(alone, settings, answers, |_| {})
    }

    fn start_with(
        alone: MutexGuard<'static, ()>,
        settings: Settings,
        answers: AnswerMode,
        say: impl FnOnce(&ndkcheck::Checker),
    ) -> Self {
        let provider = Provider::new(settings).unwrap();
        let limits = provider.adapter_limits();
        let config = softndk::Config { answers, ..softndk::Config::default() };
        let soft = Box::new(SoftNdk::start(config).unwrap());
        let object = NonNull::new(soft.open_adapter(NDK_VERSION { Major: 2, Minor: 0 }).unwrap()).unwrap();
        // SAFETY: opened just now, and used by nobody.
        let object = unsafe { ndkcheck::wrap(object) };
        // SAFETY: wrapped just now.
        let checker = unsafe { ndkcheck::of(object) };
        say(&checker);
        let context = ptr::from_ref::<SoftNdk>(&soft).cast_mut().cast();
        // SAFETY: opened just now; `close` gives it back where it was opened.
        let adapter = unsafe { Adapter::adopt(object, CloseAdapter { close, context }, limits) }.unwrap();
        let interface = Interface { luid: 0, index: 0, name: "test" };
        provider.add_adapter(adapter.clone(), interface, &[IpAddr::V4(Ipv4Addr::LOCALHOST)]).unwrap();
        assert!(Provider::publish(&provider));
        let published = Published;
        let mut registration = block();
        let mut npi = WSK_CLIENT_NPI { ClientContext: ptr::null_mut(), Dispatch: &CLIENT_DISPATCH };
        // SAFETY: the block stays in its box until it is deregistered; the table is static.
        assert_eq!(unsafe { crate::wsk_register(&mut npi, &mut *registration) }, 0);
        let mut npi = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
        // SAFETY: registered above.
        assert_eq!(unsafe { crate::wsk_capture_provider_npi(&mut *registration, 0, &mut npi) }, 0);
        let soft = Some(soft);
        Self { soft, adapter, checker, provider, published, registration, npi, answers, _alone: alone }
    }

    /// The adapter, as the status reply has it.
    pub(super) fn view(&self) -> AdapterView {
        let mut found = None;
        self.provider.view(&mut |view| {
            if let View::Adapter(adapter) = view {
                found = Some(adapter);
            }
            true
        });
        found.expect("an adapter")
    }

    pub(super) fn faults(&self, fault: Fault) -> u32 {
        self.view().faults[fault as usize]
    }

    /// The adapter's provider answers what it has not answered, until it has let go of the adapter.
    pub(super) fn let_go(&self) {
        until(|| {
            self.checker.turn_all();
            !self.provider.is_stuck(0)
        });
    }

    /// Ends everything while the adapter's provider keeps something; what it has not answered it answers then.
    pub(super) fn finish_late(self) {
        let Self { checker, .. } = &self;
        let checker = checker.clone();
        self.finish_how(
            |provider| {
                assert!(!provider.stop(), "it is closed already");
                while !provider.stop() {
                    checker.turn_all();
                }
            },
            || {},
        );
    }

    /// Ends everything; every socket is closed and every peer gone. Nothing may be left.
    pub(crate) fn finish(self) {
        self.finish_with(|| {});
    }

    /// The same with something to be ended between the provider and the look at what is left.
    pub(super) fn finish_with(self, end: impl FnOnce()) {
        self.finish_how(|provider| assert!(provider.stop(), "an adapter is not closed in time"), end);
    }

    fn finish_how(mut self, stop: impl FnOnce(&Provider), end: impl FnOnce()) {
        // SAFETY: captured once; every socket is closed.
        unsafe { crate::wsk_release_provider_npi(&mut *self.registration) };
        // SAFETY: registered once.
        unsafe { crate::wsk_deregister(&mut *self.registration) };
        let Self { soft, adapter, provider, published, _alone, .. } = self;
        drop(published);
        stop(&provider);
        drop((adapter, provider));
        soft.unwrap().stop();
        end();
        assert_eq!(left(), [], "still allocated");
        assert_eq!(ksim::wsk::outstanding(), before().1, "still outstanding at the system");
    }

    /// Has the adapter's next call of `slot` fail, when it answers everything.
    pub(super) fn fail_next(&self, slot: Slot, status: NTSTATUS) {
        let when = match self.answers {
            AnswerMode::Inline => When::Inline,
            AnswerMode::Later => When::Dpc,
            AnswerMode::Early => When::Early,
        };
        self.checker.next(slot, Act::Fail(when, status));
    }

    /// The captured provider.
    pub(super) fn npi(&self) -> WSK_PROVIDER_NPI {
        self.npi
    }

    /// A new socket of a category.
    pub(super) fn socket(&self, flags: u32) -> *mut WSK_SOCKET {
        self.socket_with(flags, ptr::null_mut(), ptr::null())
    }

    /// A socket with this context and table of callbacks.
    pub(super) fn socket_with(
        &self,
        flags: u32,
        context: *mut c_void,
        dispatch: *const c_void,
    ) -> *mut WSK_SOCKET {
        let (client, null) = (self.npi.Client, ptr::null_mut::<c_void>());
        let (stream, tcp) = (SOCK_STREAM, IPPROTO_TCP);
        // SAFETY: captured, so the provider's table is valid.
        let create = unsafe { (*self.npi.Dispatch).WskSocket };
        let made = request(|irp| {
            let process = null.cast();
            // SAFETY: a call as its page says.
            unsafe {
                create(
                    client,
                    AF_INET,
                    stream,
                    tcp,
                    flags,
                    context,
                    dispatch,
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
        self.connection_with(ptr::null_mut(), ptr::null())
    }

    /// The same with callbacks.
    pub(super) fn connection_with(
        &self,
        context: *mut c_void,
        dispatch: *const WSK_CLIENT_CONNECTION_DISPATCH,
    ) -> Connection {
        let socket = Connection(self.socket_with(WSK_FLAG_CONNECTION_SOCKET, context, dispatch.cast()));
        let bind = socket.table().WskBind;
        let mut at = ndk::SockAddr::from(loopback(0));
        // SAFETY: a call as its page says.
        let bound = request(|irp| unsafe { bind(socket.0, (&raw mut at).cast(), 0, irp) });
        assert_eq!(bound.wait().status, 0);
        socket
    }

    /// A socket that listens at `port`.
    pub(super) fn listen(&self, port: u16) -> ListenSocket {
        let socket = ListenSocket::from_raw(self.socket(WSK_FLAG_LISTEN_SOCKET));
        socket.bind(port);
        socket
    }
}

/// Lets other threads run until something has happened.
pub(super) fn until(happened: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !happened() {
        assert!(began.elapsed() < PATIENCE, "it does not happen");
        std::thread::yield_now();
    }
}

pub(super) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)
}

unsafe extern "system" {
    fn KfRaiseIrql(new: u8) -> u8;
    fn KeLowerIrql(new: u8);
}

/// Makes a call at DISPATCH_LEVEL.
pub(super) fn at_dispatch<R>(call: impl FnOnce() -> R) -> R {
    // SAFETY: the thread is at PASSIVE_LEVEL.
    let before = unsafe { KfRaiseIrql(abi::nt::DISPATCH_LEVEL) };
    let result = call();
    // SAFETY: the level from before.
    unsafe { KeLowerIrql(before) };
    result
}

thread_local! {
    static CALLING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside a call of the provider, where no callback may come.
pub(super) fn is_calling() -> bool {
    CALLING.get()
}

/// Makes a call of the provider.
pub(super) fn call<R>(call: impl FnOnce() -> R) -> R {
    let before = CALLING.replace(true);
    let result = call();
    CALLING.set(before);
    result
}

/// Makes a call with an IRP of its own.
pub(super) fn request(make: impl FnOnce(*mut IRP) -> NTSTATUS) -> TestIrp {
    let irp = {
        // Memory may be short for the provider, not for its client.
        let _plenty = ksim::pool::fail_after(u64::MAX);
        TestIrp::new()
    };
    let returned = call(|| make(irp.submit()));
    assert_eq!(returned, STATUS_PENDING);
    irp
}

/// A request with octets.
pub(super) struct Transfer {
    irp: TestIrp,
    chain: Chain,
}

impl Transfer {
    /// What was received, once it is over.
    pub(super) fn octets(&self) -> Vec<u8> {
        let length = self.wait().information;
        self.chain.bytes().into_iter().take(length).collect()
    }

    pub(super) fn cancel(&self) {
        self.irp.cancel();
    }

    pub(super) fn wait(&self) -> Completion {
        self.irp.wait()
    }

    /// What became of it, if it is over. Its memory is used for something else then.
    pub(super) fn reclaim(&mut self) -> Option<Completion> {
        let done = self.irp.completion()?;
        self.chain.fill(0xDD);
        Some(done)
    }

    /// The memory as it is.
    pub(super) fn memory(&self) -> Vec<u8> {
        self.chain.bytes()
    }

    pub(super) fn is_done(&self) -> bool {
        self.irp.completion().is_some()
    }
}

/// A connection socket of the provider's.
pub(super) struct Connection(*mut WSK_SOCKET);

// SAFETY: the provider's functions may be called from any thread.
unsafe impl Send for Connection {}
// SAFETY: as above.
unsafe impl Sync for Connection {}

impl Connection {
    pub(super) fn from_accept(information: usize) -> Self {
        Self(ptr::with_exposed_provenance_mut(information))
    }

    /// The client's pointer.
    pub(super) fn raw(&self) -> *mut WSK_SOCKET {
        self.0
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
        self.send_chain(Chain::new(octets, &[], ksim::buffer::Pages::NonPagedPool), 0)
    }

    /// The same from octet `offset` of a chain on.
    pub(super) fn send_chain(&self, chain: Chain, offset: u32) -> Transfer {
        let send = self.table().WskSend;
        let length = chain.whole().Length - offset as usize;
        let mut buffer = chain.wsk_buf(offset, length);
        // SAFETY: a call as its page says; the chain lives as long as the request.
        let irp = request(|irp| unsafe { send(self.0, &mut buffer, 0, irp) });
        Transfer { irp, chain }
    }

    pub(super) fn receive(&self, length: usize) -> Transfer {
        let receive = self.table().WskReceive;
        let chain = Chain::zeroed(length);
        let mut buffer = chain.whole();
        // SAFETY: a call as its page says; the chain lives as long as the request.
        let irp = request(|irp| unsafe { receive(self.0, &mut buffer, 0, irp) });
        Transfer { irp, chain }
    }

    /// Receives into a chain.
    pub(super) fn receive_chain(&self, chain: Chain, flags: u32) -> Transfer {
        let irp = request(|irp| self.receive_with(&chain, flags, irp));
        Transfer { irp, chain }
    }

    /// The same, without the octets.
    pub(super) fn receive_with(&self, chain: &Chain, flags: u32, irp: *mut IRP) -> NTSTATUS {
        let receive = self.table().WskReceive;
        let mut buffer = chain.whole();
        // SAFETY: a call as its page says; the chain lives as long as the request.
        call(|| unsafe { receive(self.0, &mut buffer, flags, irp) })
    }

    /// Receives nothing.
    pub(super) fn receive_none(&self, flags: u32) -> TestIrp {
        request(|irp| self.receive_none_with(flags, irp))
    }

    pub(super) fn receive_none_with(&self, flags: u32, irp: *mut IRP) -> NTSTATUS {
        let receive = self.table().WskReceive;
        let mut buffer = WSK_BUF { Mdl: ptr::null_mut(), Offset: 0, Length: 0 };
        // SAFETY: a call as its page says.
        call(|| unsafe { receive(self.0, &mut buffer, flags, irp) })
    }

    /// Receives with WskReceiveEx, which has nothing to add.
    pub(super) fn receive_ex(&self, length: usize) -> Transfer {
        let receive = self.table().WskReceiveEx;
        let chain = Chain::zeroed(length);
        let mut buffer = chain.whole();
        let (mut control_length, mut flags) = (77, 77);
        // SAFETY: a call as its page says; the chain lives as long as the request, the numbers until it is over.
        let irp = request(|irp| unsafe {
            receive(self.0, &mut buffer, 0, &mut control_length, ptr::null_mut(), &mut flags, irp)
        });
        irp.wait();
        assert_eq!((control_length, flags), (0, 0));
        Transfer { irp, chain }
    }

    pub(super) fn disconnect(&self) -> TestIrp {
        let disconnect = self.table().WskDisconnect;
        // SAFETY: a call as its page says.
        request(|irp| unsafe { disconnect(self.0, ptr::null_mut(), 0, irp) })
    }

    pub(super) fn abort(&self) -> TestIrp {
        let disconnect = self.table().WskDisconnect;
        // SAFETY: a call as its page says.
        request(|irp| unsafe { disconnect(self.0, ptr::null_mut(), WSK_FLAG_ABORTIVE, irp) })
    }

    pub(super) fn release(&self, list: *mut WSK_DATA_INDICATION) -> NTSTATUS {
        let release = self.table().WskRelease;
        // SAFETY: the tests do not use what they release; anything else they pass on purpose.
        call(|| unsafe { release(self.0, list) })
    }

    /// The provider's object.
    pub(super) fn object(&self) -> Shared<crate::connection::Connection> {
        // SAFETY: the socket is open.
        unsafe { Shared::clone_from_raw(self.0.cast_const().cast()) }
    }

    /// Another name for the socket, for use inside of callbacks.
    pub(super) const fn alias(&self) -> Self {
        Self(self.0)
    }

    /// Begins to close it.
    pub(super) fn start_close(self) -> TestIrp {
        request(|irp| self.close_with(irp))
    }

    pub(super) fn close_with(&self, irp: *mut IRP) -> NTSTATUS {
        let close = self.table().Basic.WskCloseSocket;
        // SAFETY: a call as its page says, the last one on the socket.
        call(|| unsafe { close(self.0, irp) })
    }

    pub(super) fn close(self) {
        assert_eq!(self.start_close().wait().status, 0);
    }
}
