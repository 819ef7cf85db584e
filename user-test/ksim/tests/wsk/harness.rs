//! A client of the system: short names for the calls of the tables.

use std::ffi::c_void;
use std::net::{IpAddr, SocketAddr};
use std::ptr;
use std::sync::MutexGuard;

use abi::NTSTATUS;
use abi::nt::{GUID, IRP};
use abi::wsk::*;

use ksim::buffer::{Chain, Pages};
use ksim::client::{Completion, TestIrp};
use ksim::wsk::{self, Answers, Config, Outstanding};

// The exports as a driver calls them: by name.
unsafe extern "C-unwind" {
    pub(crate) fn KeAcquireSpinLockRaiseToDpc(lock: *mut usize) -> u8;
    pub(crate) fn KeReleaseSpinLock(lock: *mut usize, new: u8);
    pub(crate) fn WskRegister(npi: *mut WSK_CLIENT_NPI, registration: *mut WSK_REGISTRATION) -> NTSTATUS;
    pub(crate) fn WskDeregister(registration: *mut WSK_REGISTRATION);
    pub(crate) fn WskCaptureProviderNPI(
        registration: *mut WSK_REGISTRATION,
        timeout: u32,
        npi: *mut WSK_PROVIDER_NPI,
    ) -> NTSTATUS;
    pub(crate) fn WskReleaseProviderNPI(registration: *mut WSK_REGISTRATION);
    pub(crate) fn WskQueryProviderCharacteristics(
        registration: *mut WSK_REGISTRATION,
        characteristics: *mut WSK_PROVIDER_CHARACTERISTICS,
    ) -> NTSTATUS;
}

/// The machine for one test alone, which has to leave nothing behind.
pub(crate) struct Machine(#[expect(dead_code, reason = "held")] MutexGuard<'static, ()>);

impl Machine {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let alone = ksim::exclusive();
        wsk::reset();
        wsk::configure(config);
        Self(alone)
    }

    /// Both ways to answer.
    pub(crate) fn each(test: impl Fn()) {
        for answers in [Answers::Inline, Answers::Later] {
            let machine = Self::with(Config { answers, ..Config::default() });
            test();
            drop(machine);
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        ksim::quiesce();
        if !std::thread::panicking() {
            assert_eq!(wsk::outstanding(), Outstanding::default());
        }
        wsk::reset();
    }
}

pub(crate) static CLIENT_DISPATCH: WSK_CLIENT_DISPATCH =
    WSK_CLIENT_DISPATCH { Version: 0x0100, Reserved: 0, WskClientEvent: None };

pub(crate) fn block() -> Box<WSK_REGISTRATION> {
    Box::new(WSK_REGISTRATION {
        ReservedRegistrationState: 0,
        ReservedRegistrationContext: ptr::null_mut(),
        ReservedRegistrationLock: 0,
    })
}

/// A registered client that has captured the provider.
pub(crate) struct Client {
    pub(crate) registration: Box<WSK_REGISTRATION>,
    pub(crate) npi: WSK_PROVIDER_NPI,
}

// SAFETY: the pointers are the provider's, for any thread.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

impl Client {
    pub(crate) fn new() -> Self {
        let mut registration = block();
        let mut npi = WSK_CLIENT_NPI { ClientContext: ptr::null_mut(), Dispatch: &raw const CLIENT_DISPATCH };
        // SAFETY: both are valid.
        assert_eq!(unsafe { WskRegister(&raw mut npi, &raw mut *registration) }, 0);
        let mut npi = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
        // SAFETY: registered.
        let status =
            unsafe { WskCaptureProviderNPI(&raw mut *registration, WSK_INFINITE_WAIT, &raw mut npi) };
        assert_eq!(status, 0);
        Self { registration, npi }
    }

    pub(crate) fn table(&self) -> &'static WSK_PROVIDER_DISPATCH {
        // SAFETY: the provider's table, which stays.
        unsafe { &*self.npi.Dispatch }
    }

    pub(crate) fn make(
        &self,
        kind: (u16, u16, u32),
        category: u32,
        context: *mut c_void,
        dispatch: *const c_void,
    ) -> Result<Sock, NTSTATUS> {
        let null = ptr::null_mut();
        let irp = TestIrp::new();
        // SAFETY: the arguments are as asked for.
        let returned = unsafe {
            (self.table().WskSocket)(
                self.npi.Client,
                kind.0,
                kind.1,
                kind.2,
                category,
                context,
                dispatch,
                ptr::null_mut(),
                ptr::null_mut(),
                null,
                irp.submit(),
            )
        };
        let done = irp.assert_pending(returned).wait();
        assert!(done.pending_returned);
        if done.status == 0 { Ok(Sock(done.information as *mut WSK_SOCKET)) } else { Err(done.status) }
    }

    pub(crate) fn tcp(&self, category: u32) -> Sock {
        self.tcp_with(category, ptr::null_mut(), ptr::null())
    }

    pub(crate) fn tcp_with(&self, category: u32, context: *mut c_void, dispatch: *const c_void) -> Sock {
        self.make((AF_INET, SOCK_STREAM, IPPROTO_TCP), category, context, dispatch).unwrap()
    }

    pub(crate) fn control(&self, code: u32, input: &[u8], room: usize) -> (NTSTATUS, Vec<u8>, usize) {
        let (mut output, mut size) = (vec![0_u8; room], 0);
        // SAFETY: the buffers are that long.
        let status = unsafe {
            (self.table().WskControlClient)(
                self.npi.Client,
                code,
                input.len(),
                input.as_ptr().cast_mut().cast(),
                room,
                if room == 0 { ptr::null_mut() } else { output.as_mut_ptr().cast() },
                &raw mut size,
                ptr::null_mut(),
            )
        };
        (status, output, size)
    }

    /// A bound listener and its address.
    pub(crate) fn listener(&self) -> (Sock, SocketAddr) {
        let listener = self.tcp(WSK_FLAG_LISTEN_SOCKET);
        let at = listener.bind_any();
        (listener, at)
    }

    /// A connected pair: who connected, and who was accepted.
    pub(crate) fn pair(&self) -> (Sock, Sock) {
        let (listener, at) = self.listener();
        let connector = self.tcp(WSK_FLAG_CONNECTION_SOCKET);
        connector.bind_any();
        assert_eq!(connector.connect(at).status, 0);
        let accepted = listener.accept();
        listener.close();
        (connector, accepted)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // SAFETY: captured and registered.
        unsafe { WskReleaseProviderNPI(&raw mut *self.registration) };
        // SAFETY: registered.
        unsafe { WskDeregister(&raw mut *self.registration) };
    }
}

/// An address as WSK wants it.
#[repr(C, align(8))]
pub(crate) struct Raw([u8; 32]);

impl Raw {
    pub(crate) fn empty() -> Self {
        Self([0xAA; 32])
    }

    pub(crate) fn of(address: SocketAddr) -> Self {
        let mut raw = Self([0; 32]);
        let port = address.port().to_be();
        match address.ip() {
            IpAddr::V4(ip) => {
                let v4 = SOCKADDR_IN {
                    sin_family: AF_INET,
                    sin_port: port,
                    sin_addr: ip.octets(),
                    sin_zero: [0; 8],
                };
                // SAFETY: there is room.
                unsafe { raw.0.as_mut_ptr().cast::<SOCKADDR_IN>().write(v4) };
            }
            IpAddr::V6(ip) => {
                let v6 = SOCKADDR_IN6 {
                    sin6_family: AF_INET6,
                    sin6_port: port,
                    sin6_flowinfo: 0,
                    sin6_addr: ip.octets(),
                    sin6_scope_id: 0,
                };
                // SAFETY: there is room.
                unsafe { raw.0.as_mut_ptr().cast::<SOCKADDR_IN6>().write(v6) };
            }
        }
        raw
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn pointer(&mut self) -> *mut SOCKADDR {
        self.0.as_mut_ptr().cast()
    }

    pub(crate) fn read(&self) -> SocketAddr {
        // SAFETY: long enough for every family's.
        unsafe { read_raw(self.0.as_ptr().cast()) }
    }
}

/// # Safety
/// `at` is an address.
pub(crate) unsafe fn read_raw(at: *const SOCKADDR) -> SocketAddr {
    // SAFETY: as promised by the caller.
    if unsafe { (*at).sa_family } == AF_INET {
        // SAFETY: as promised by the caller.
        let v4 = unsafe { at.cast::<SOCKADDR_IN>().read() };
        return SocketAddr::new(IpAddr::V4(v4.sin_addr.into()), u16::from_be(v4.sin_port));
    }
    // SAFETY: as promised by the caller.
    let v6 = unsafe { at.cast::<SOCKADDR_IN6>().read() };
    SocketAddr::new(IpAddr::V6(v6.sin6_addr.into()), u16::from_be(v6.sin6_port))
}

/// The identifier as a client has it: its own copy.
static NPI: GUID = NPI_WSK_INTERFACE_ID;

/// The bytes of a `WSK_EVENT_CALLBACK_CONTROL`.
pub(crate) fn event_control(mask: u32) -> Vec<u8> {
    let mut bytes = (&raw const NPI).expose_provenance().to_le_bytes().to_vec();
    bytes.extend(u64::from(mask).to_le_bytes());
    bytes
}

/// A socket the client has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sock(pub(crate) *mut WSK_SOCKET);

// SAFETY: a socket is for any thread.
unsafe impl Send for Sock {}
// SAFETY: as above.
unsafe impl Sync for Sock {}

/// Submits an IRP, makes the call, and waits.
pub(crate) fn wait(call: impl FnOnce(*mut IRP) -> NTSTATUS) -> Completion {
    let irp = TestIrp::new();
    let returned = call(irp.submit());
    irp.assert_pending(returned).wait()
}

/// Submits an IRP and makes the call.
pub(crate) fn start(call: impl FnOnce(*mut IRP) -> NTSTATUS) -> TestIrp {
    let irp = TestIrp::new();
    let returned = call(irp.submit());
    irp.assert_pending(returned);
    irp
}

pub(crate) fn any() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

impl Sock {
    fn dispatch(self) -> *const c_void {
        // SAFETY: an open socket.
        unsafe { (*self.0).Dispatch }
    }

    pub(crate) fn basic(self) -> &'static WSK_PROVIDER_BASIC_DISPATCH {
        // SAFETY: every table begins so.
        unsafe { &*self.dispatch().cast() }
    }

    pub(crate) fn listen_table(self) -> &'static WSK_PROVIDER_LISTEN_DISPATCH {
        // SAFETY: the tests use it for listeners.
        unsafe { &*self.dispatch().cast() }
    }

    pub(crate) fn table(self) -> &'static WSK_PROVIDER_CONNECTION_DISPATCH {
        // SAFETY: the tests use it for connections.
        unsafe { &*self.dispatch().cast() }
    }

    pub(crate) fn stream_table(self) -> &'static WSK_PROVIDER_STREAM_DISPATCH {
        // SAFETY: the tests use it for stream sockets.
        unsafe { &*self.dispatch().cast() }
    }

    pub(crate) fn close(self) {
        // SAFETY: an open socket.
        let done = wait(|irp| unsafe { (self.basic().WskCloseSocket)(self.0, irp) });
        assert_eq!((done.status, done.information), (0, 0));
        assert!(done.pending_returned);
    }

    pub(crate) fn bind(self, to: SocketAddr) -> Completion {
        let mut raw = Raw::of(to);
        // SAFETY: an open socket, and WskBind is in the same place of every table.
        wait(|irp| unsafe { (self.listen_table().WskBind)(self.0, raw.pointer(), 0, irp) })
    }

    /// Binds to a port of the system's choice.
    pub(crate) fn bind_any(self) -> SocketAddr {
        assert_eq!(self.bind(any()).status, 0);
        let info = wsk::sockets().into_iter().find(|info| info.socket == self.0).unwrap();
        info.local.unwrap()
    }

    pub(crate) fn connect(self, to: SocketAddr) -> Completion {
        self.connect_start(to).wait()
    }

    pub(crate) fn connect_start(self, to: SocketAddr) -> TestIrp {
        let mut raw = Raw::of(to);
        // SAFETY: an open socket.
        start(|irp| unsafe { (self.table().WskConnect)(self.0, raw.pointer(), 0, irp) })
    }

    pub(crate) fn accept_start(self) -> TestIrp {
        let null = ptr::null_mut();
        // SAFETY: an open listener.
        start(|irp| unsafe {
            (self.listen_table().WskAccept)(self.0, 0, ptr::null_mut(), ptr::null(), null, null, irp)
        })
    }

    pub(crate) fn accept(self) -> Self {
        let done = self.accept_start().wait();
        assert_eq!(done.status, 0);
        Self(done.information as *mut WSK_SOCKET)
    }

    pub(crate) fn send_start(self, chain: &Chain) -> TestIrp {
        let mut buffer = chain.whole();
        // SAFETY: an open socket.
        start(|irp| unsafe { (self.table().WskSend)(self.0, &raw mut buffer, 0, irp) })
    }

    pub(crate) fn send(self, data: &[u8]) -> Completion {
        let chain = Chain::new(data, &[3, 0, 5], Pages::Locked);
        self.send_start(&chain).wait()
    }

    pub(crate) fn receive_start(self, chain: &Chain, flags: u32) -> TestIrp {
        let mut buffer = chain.whole();
        // SAFETY: an open socket.
        start(|irp| unsafe { (self.table().WskReceive)(self.0, &raw mut buffer, flags, irp) })
    }

    pub(crate) fn receive(self, length: usize, flags: u32) -> (Completion, Vec<u8>) {
        let chain = Chain::new(&vec![0; length], &[2, 0, 7], Pages::Locked);
        let done = self.receive_start(&chain, flags).wait();
        let mut bytes = chain.bytes();
        bytes.truncate(done.information);
        (done, bytes)
    }

    pub(crate) fn disconnect_start(self, flags: u32) -> TestIrp {
        // SAFETY: an open socket.
        start(|irp| unsafe { (self.table().WskDisconnect)(self.0, ptr::null_mut(), flags, irp) })
    }

    pub(crate) fn control(
        self,
        request: WSK_CONTROL_SOCKET_TYPE,
        (level, code): (u32, u32),
        input: &[u8],
        room: usize,
        with_irp: bool,
    ) -> (NTSTATUS, Vec<u8>, usize) {
        let (mut output, mut size) = (vec![0_u8; room], 0);
        let irp = TestIrp::new();
        // SAFETY: the buffers are that long.
        let returned = unsafe {
            (self.basic().WskControlSocket)(
                self.0,
                request,
                code,
                level,
                input.len(),
                input.as_ptr().cast_mut().cast(),
                room,
                if room == 0 { ptr::null_mut() } else { output.as_mut_ptr().cast() },
                if room == 0 { ptr::null_mut() } else { &raw mut size },
                if with_irp { irp.submit() } else { ptr::null_mut() },
            )
        };
        if !with_irp {
            return (returned, output, size);
        }
        let done = irp.assert_pending(returned).wait();
        (done.status, output, done.information)
    }

    pub(crate) fn set(self, option: (u32, u32), value: u32) -> NTSTATUS {
        self.control(WskSetOption, option, &value.to_le_bytes(), 0, true).0
    }

    pub(crate) fn get(self, option: (u32, u32)) -> Result<u32, NTSTATUS> {
        let (status, output, size) = self.control(WskGetOption, option, &[], 4, true);
        if status == 0 {
            assert_eq!(size, 4);
            Ok(u32::from_le_bytes(output.try_into().unwrap()))
        } else {
            Err(status)
        }
    }

    pub(crate) fn set_events(self, mask: u32, with_irp: bool) -> NTSTATUS {
        let option = (SOL_SOCKET, SO_WSK_EVENT_CALLBACK);
        self.control(WskSetOption, option, &event_control(mask), 0, with_irp).0
    }

    pub(crate) fn disconnect(self, flags: u32) -> Completion {
        self.disconnect_start(flags).wait()
    }
}
