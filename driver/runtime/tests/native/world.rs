//! The native world: a WSK client of a provider in this process.

use std::ffi::c_void;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use abi::NTSTATUS;
use abi::nt::IRP;
use abi::wsk::*;
use cases::pattern::{self, UNTOUCHED};
use cases::world::{Buffer, Call, Completion, Operation, Socket, Target};
use cases::{PATIENCE, World};
use ksim::buffer::{Chain, Pages};
use ksim::client::TestIrp;
use wskrdma_runtime::{Config, LOOPBACK_ADDRESSES, Runtime};

/// What the client registers with.
static CLIENT_DISPATCH: WSK_CLIENT_DISPATCH =
    WSK_CLIENT_DISPATCH { Version: 0x0100, Reserved: 0, WskClientEvent: None };

/// Room for an address that the provider writes, and for finding out that it writes more.
const ADDRESS_ROOM: usize = 64;

/// What a request means for the sockets of the world.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    None,
    /// It makes a socket of this category.
    Makes(u32),
    Closes(usize),
}

/// One request. It owns everything that the provider may use until the IRP is completed.
struct Request {
    irp: TestIrp,
    chain: Option<Chain>,
    /// The chain's octets, once the request is over.
    octets: Option<Vec<u8>>,
    first: Box<[u8; ADDRESS_ROOM]>,
    second: Box<[u8; ADDRESS_ROOM]>,
    effect: Effect,
    returned: NTSTATUS,
    before_return: bool,
    order: Arc<AtomicU64>,
    made: Option<Socket>,
}

#[derive(Clone, Copy)]
struct Open {
    pointer: *mut WSK_SOCKET,
    category: u32,
    /// A close was asked for and accepted: nothing else may follow.
    closing: bool,
}

/// A provider with its software adapter, and a WSK client of it.
pub(crate) struct Native {
    runtime: Option<Runtime>,
    registration: Box<WSK_REGISTRATION>,
    npi: WSK_PROVIDER_NPI,
    sockets: Vec<Option<Open>>,
    requests: Vec<Request>,
    completions: Arc<AtomicU64>,
}

/// Makes the simulated kernel ready.
pub(crate) fn boot() {
    static BOOT: Once = Once::new();
    // SAFETY: the simulated device lives as long as the process.
    BOOT.call_once(|| unsafe { kernel::init(ksim::device()) });
}

impl Native {
    /// Starts a provider with a software adapter, and registers. The caller holds [`ksim::exclusive`]: there is one
    /// provider in a process.
    pub(crate) fn start(config: Config<'_>) -> Self {
        boot();
        let runtime =
            Runtime::start(&Config { software_adapter: Some(LOOPBACK_ADDRESSES), ..config }).unwrap();
        let mut registration = Box::new(WSK_REGISTRATION {
            ReservedRegistrationState: 0,
            ReservedRegistrationContext: ptr::null_mut(),
            ReservedRegistrationLock: 0,
        });
        let mut npi = WSK_CLIENT_NPI { ClientContext: ptr::null_mut(), Dispatch: &CLIENT_DISPATCH };
        // SAFETY: the block stays in its box until it is deregistered; the table is static.
        assert_eq!(unsafe { wsk::wsk_register(&mut npi, &mut *registration) }, 0);
        let mut npi = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
        // SAFETY: registered above.
        assert_eq!(unsafe { wsk::wsk_capture_provider_npi(&mut *registration, 0, &mut npi) }, 0);
        let completions = Arc::new(AtomicU64::new(0));
        let runtime = Some(runtime);
        Self { runtime, registration, npi, sockets: Vec::new(), requests: Vec::new(), completions }
    }

    /// Closes what is open, and forgets every request; each was completed once.
    pub(crate) fn clear(&mut self) {
        for index in 0..self.requests.len() {
            let operation = Operation(u32::try_from(index).unwrap());
            // Accepts and connects may wait for ever; their sockets' closes end them below.
            let _ = self.wait(operation, Duration::ZERO);
        }
        for index in 0..self.sockets.len() {
            if self.sockets[index].is_some_and(|open| !open.closing) {
                let on = Socket(u32::try_from(index).unwrap()).into();
                let closing = self.call(&Call::Close { on }).unwrap();
                assert!(self.wait(closing, PATIENCE).is_some(), "a close is never completed");
            }
        }
        for index in 0..self.requests.len() {
            let operation = Operation(u32::try_from(index).unwrap());
            assert!(self.wait(operation, PATIENCE).is_some(), "a request outlives its socket");
            let request = &self.requests[index];
            assert_eq!(request.irp.completions(), 1, "a request is completed once");
            assert!(request.effect != Effect::None || request.made.is_none());
        }
        if self.sockets.iter().any(Option::is_some) {
            // An accept was completed with a connection while its listener was being closed.
            return self.clear();
        }
        self.requests.clear();
    }

    /// Ends the client and the provider, and checks that nothing is left of them.
    pub(crate) fn finish(mut self) {
        self.clear();
        // SAFETY: captured once; every request is over and every socket closed.
        unsafe { wsk::wsk_release_provider_npi(&mut *self.registration) };
        // SAFETY: registered once.
        unsafe { wsk::wsk_deregister(&mut *self.registration) };
        self.runtime.take().unwrap().stop();
        ksim::quiesce();
        assert_eq!(irp::account().outstanding(), 0, "IRPs are outstanding");
        assert_eq!(left(), [], "still allocated");
        ksim::pool::check_quarantine();
    }

    fn socket(&self, target: Target) -> (*mut WSK_SOCKET, Open) {
        let open = self.sockets[target.socket.0 as usize].expect("a socket that is open");
        (if target.null { ptr::null_mut() } else { open.pointer }, open)
    }

    /// The effect of a call, and the buffer it names.
    fn plan<'a>(&self, call: &Call<'a>) -> (Effect, Option<Buffer<'a>>) {
        match *call {
            Call::Socket { flags, .. } => (Effect::Makes(flags), None),
            Call::Accept { .. } | Call::SocketConnect { .. } => {
                (Effect::Makes(WSK_FLAG_CONNECTION_SOCKET), None)
            }
            Call::Close { on } if !on.null => (Effect::Closes(on.socket.0 as usize), None),
            Call::Send { buffer, .. } | Call::Receive { buffer, .. } | Call::Disconnect { buffer, .. } => {
                (Effect::None, buffer)
            }
            Call::SendEx { buffer, .. } | Call::ReceiveEx { buffer, .. } => (Effect::None, Some(buffer)),
            _ => (Effect::None, None),
        }
    }
}

/// What the driver has allocated and not freed, by tag.
pub(crate) fn left() -> Vec<ksim::pool::Usage> {
    ksim::leaks().into_iter().filter(|usage| usage.tag.starts_with("Wr")).collect()
}

/// The memory of a buffer: an MDL chain with the stream's octets in the named part. The kinds of pages take turns.
fn chain(buffer: &Buffer<'_>, turn: usize) -> Option<Chain> {
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

/// The address in a buffer; nothing may be written behind it.
fn address(octets: &[u8; ADDRESS_ROOM]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes([octets[0], octets[1]]);
    let length = match family {
        AF_INET => 16,
        AF_INET6 => 28,
        _ => 0,
    };
    assert!(octets[length..].iter().all(|&octet| octet == UNTOUCHED), "written behind an address");
    // SAFETY: the buffer is long enough for any address, and its own family says how it is read.
    unsafe { ndk::socket_addr_from_raw(octets.as_ptr().cast()) }
}

impl Native {
    /// Makes the call with this IRP, MDL chain and room for two addresses.
    fn make(
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

impl World for Native {
    fn ipv4(&self) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }

    fn ipv6(&self) -> Option<IpAddr> {
        Some(Ipv6Addr::LOCALHOST.into())
    }

    fn call(&mut self, call: &Call<'_>) -> Option<Operation> {
        let (effect, buffer) = self.plan(call);
        // Memory is scarce for the driver only.
        let plenty = ksim::pool::fail_after(u64::MAX);
        let operation = Operation(u32::try_from(self.requests.len()).unwrap());
        let order = Arc::new(AtomicU64::new(0));
        let (counter, mine) = (self.completions.clone(), order.clone());
        let irp = TestIrp::new().with_hook(move |_| {
            mine.store(counter.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        });
        let mut request = Request {
            irp,
            chain: buffer.and_then(|buffer| chain(&buffer, self.requests.len())),
            octets: None,
            first: Box::new([UNTOUCHED; ADDRESS_ROOM]),
            second: Box::new([UNTOUCHED; ADDRESS_ROOM]),
            effect,
            returned: 0,
            before_return: false,
            order,
            made: None,
        };
        let (first, second) = (request.first.as_mut_ptr().cast(), request.second.as_mut_ptr().cast());
        let irp = request.irp.submit();
        drop(plenty);
        request.returned = self.make(call, irp, request.chain.as_ref(), first, second);
        request.before_return = request.irp.completion().is_some();
        if let Effect::Closes(index) = effect
            && let Some(open) = &mut self.sockets[index]
        {
            open.closing = request.returned >= 0;
        }
        self.requests.push(request);
        Some(operation)
    }

    fn call_without_irp(&mut self, call: &Call<'_>) -> Option<NTSTATUS> {
        let (_, buffer) = self.plan(call);
        let chain = buffer.and_then(|buffer| chain(&buffer, 0));
        let mut room = [[UNTOUCHED; ADDRESS_ROOM]; 2];
        let [first, second] = room.each_mut().map(|octets| octets.as_mut_ptr().cast());
        let returned = self.make(call, ptr::null_mut(), chain.as_ref(), first, second);
        assert_eq!(room, [[UNTOUCHED; ADDRESS_ROOM]; 2], "a refused call writes nothing");
        Some(returned)
    }

    fn wait(&mut self, operation: Operation, limit: Duration) -> Option<Completion> {
        let request = &mut self.requests[operation.0 as usize];
        let done = request.irp.wait_for(limit)?;
        if let Effect::Makes(category) = request.effect
            && done.status == 0
            && request.made.is_none()
        {
            let pointer = ptr::with_exposed_provenance_mut::<WSK_SOCKET>(done.information);
            assert!(!pointer.is_null(), "a new socket is not NULL");
            request.made = Some(Socket(u32::try_from(self.sockets.len()).unwrap()));
            self.sockets.push(Some(Open { pointer, category, closing: false }));
        }
        if let Effect::Closes(index) = request.effect
            && done.status == 0
        {
            self.sockets[index] = None;
        }
        Some(Completion {
            returned: request.returned,
            status: done.status,
            information: done.information,
            pending_returned: done.pending_returned,
            before_return: request.before_return,
            order: request.order.load(Ordering::SeqCst),
            socket: request.made,
            address: address(&request.first),
            remote: address(&request.second),
        })
    }

    fn cancel(&mut self, operation: Operation) {
        self.requests[operation.0 as usize].irp.cancel();
    }

    fn read(&mut self, operation: Operation, from: usize, into: &mut [u8]) {
        let request = &mut self.requests[operation.0 as usize];
        let octets = match (&mut request.octets, &request.chain) {
            (Some(octets), _) => octets,
            (none, Some(chain)) => none.insert(chain.bytes()),
            (none, None) => none.insert(Vec::new()),
        };
        into.fill(UNTOUCHED);
        for (to, octet) in into.iter_mut().zip(octets.iter().skip(from)) {
            *to = *octet;
        }
    }
}
