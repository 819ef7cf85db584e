//! The native world: a WSK client of a provider in this process.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use abi::NTSTATUS;
use abi::nt::DISPATCH_LEVEL;
use abi::wsk::*;
use cases::pattern::UNTOUCHED;
use cases::world::{Buffer, Call, Completion, Operation, Socket, Target};
use cases::{PATIENCE, World};
use ksim::buffer::Chain;
use ksim::client::TestIrp;
use wskrdma_runtime::{Config, LOOPBACK_ADDRESSES, Runtime};

use crate::calls::chain;

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
pub(crate) struct Open {
    pub(crate) pointer: *mut WSK_SOCKET,
    pub(crate) category: u32,
    /// A close was asked for and accepted: nothing else may follow.
    closing: bool,
}

/// A provider with its software adapter, and a WSK client of it.
pub(crate) struct Native {
    runtime: Option<Runtime>,
    registration: Box<WSK_REGISTRATION>,
    pub(crate) npi: WSK_PROVIDER_NPI,
    sockets: Vec<Option<Open>>,
    requests: Vec<Request>,
    completions: Arc<AtomicU64>,
    /// Makes every call at DISPATCH_LEVEL, where all of them are allowed but those about names.
    at_dispatch: bool,
}

unsafe extern "system" {
    fn KfRaiseIrql(new: u8) -> u8;
    fn KeLowerIrql(new: u8);
}

/// Runs `call` at DISPATCH_LEVEL if `raised`.
fn at_level<R>(raised: bool, call: impl FnOnce() -> R) -> R {
    if !raised {
        return call();
    }
    // SAFETY: the thread is at PASSIVE_LEVEL.
    let before = unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
    let result = call();
    // SAFETY: the level from before.
    unsafe { KeLowerIrql(before) };
    result
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
        let (sockets, requests) = (Vec::new(), Vec::new());
        Self { runtime, registration, npi, sockets, requests, completions, at_dispatch: false }
    }

    /// The same, with every call made at DISPATCH_LEVEL.
    pub(crate) fn at_dispatch_level(self) -> Self {
        Self { at_dispatch: true, ..self }
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
        self.requests.clear();
        if self.sockets.iter().flatten().any(|open| !open.closing) {
            // An accept was completed with a connection while its listener was being closed.
            return self.clear();
        }
        self.sockets.clear();
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

    /// Another client's view of the same provider, for another thread. It ends before this one.
    pub(crate) fn guest(&self) -> Self {
        let (npi, completions, at_dispatch) = (self.npi, self.completions.clone(), self.at_dispatch);
        let registration = Box::new(WSK_REGISTRATION { ..*self.registration });
        let (sockets, requests) = (Vec::new(), Vec::new());
        Self { runtime: None, registration, npi, sockets, requests, completions, at_dispatch }
    }

    /// Makes a socket of `owner`'s known here; it stays the owner's to close.
    pub(crate) fn lend(&mut self, owner: &Self, socket: Socket) -> Socket {
        let open = owner.sockets[socket.0 as usize].unwrap();
        let lent = Socket(u32::try_from(self.sockets.len()).unwrap());
        self.sockets.push(Some(Open { closing: true, ..open }));
        lent
    }

    /// The pointer of a socket.
    pub(crate) fn pointer(&self, socket: Socket) -> *mut WSK_SOCKET {
        self.sockets[socket.0 as usize].unwrap().pointer
    }

    /// The pointer of a socket that the world forgets: somebody else closes it.
    pub(crate) fn take(&mut self, socket: Socket) -> *mut WSK_SOCKET {
        self.sockets[socket.0 as usize].take().unwrap().pointer
    }

    /// Forgets the oldest request, which is over; all others are one number lower from then on.
    pub(crate) fn forget_done(&mut self) {
        let request = self.requests.remove(0);
        assert_eq!(request.irp.completions(), 1);
    }

    /// Forgets every request; all are over.
    pub(crate) fn forget_all_done(&mut self) {
        for index in 0..self.requests.len() {
            let operation = Operation(u32::try_from(index).unwrap());
            assert!(self.wait(operation, PATIENCE).is_some(), "a request outlives its socket");
        }
        self.requests.clear();
    }

    /// What to pass for a socket, and the socket whose table has the function.
    pub(crate) fn socket(&self, target: Target) -> (*mut WSK_SOCKET, Open) {
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
        let chain = request.chain.as_ref();
        request.returned = at_level(self.at_dispatch, || self.make(call, irp, chain, first, second));
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
        let request = &self.requests[operation.0 as usize];
        at_level(self.at_dispatch, || request.irp.cancel());
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
