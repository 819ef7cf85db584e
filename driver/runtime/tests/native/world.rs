//! The native world: a WSK client of a provider in this process.

use std::cell::OnceCell;
use std::ffi::c_void;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use abi::NTSTATUS;
use abi::ndk::NDK_ADAPTER;
use abi::nt::DISPATCH_LEVEL;
use abi::wsk::*;
use cases::pattern::UNTOUCHED;
use cases::watch::{Event, Kind, Release, Script, Watch};
use cases::world::{Call, Completion, Feature, Operation, Socket};
use cases::{PATIENCE, World};
use client::calls::control::ControlRoom;
use client::calls::room::AddressRoom;
use client::calls::{self, Effect, Parameters};
use client::watch::Watchers;
use client::watch::inside::{Fate, Inside};
use kernel::pool::{PoolTag, Shared};
use ksim::buffer::Chain;
use ksim::client::TestIrp;
use ndk::CloseAdapter;
use wsk::Settings;
use wskrdma_runtime::{Config, Iwarp, LOOPBACK_ADDRESSES, Runtime, SystemTcp};

use crate::calls::chain;

/// What the client registers with.
static CLIENT_DISPATCH: WSK_CLIENT_DISPATCH =
    WSK_CLIENT_DISPATCH { Version: 0x0100, Reserved: 0, WskClientEvent: None };

const NOT_REGISTERED: WSK_REGISTRATION = WSK_REGISTRATION {
    ReservedRegistrationState: 0,
    ReservedRegistrationContext: ptr::null_mut(),
    ReservedRegistrationLock: 0,
};

/// One request. It owns everything that the provider may use until the IRP is completed.
struct Request {
    irp: TestIrp,
    chain: Option<Chain>,
    /// The chain's octets, once the request is over.
    octets: Option<Vec<u8>>,
    first: Box<AddressRoom>,
    second: Box<AddressRoom>,
    control: Box<ControlRoom>,
    effect: Effect,
    watch: Option<Watch>,
    /// It is made from inside another call's end, or a callback.
    fate: Option<Fate>,
    called_off: bool,
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
    watch: Option<Watch>,
}

/// A provider with its software adapter, and a WSK client of it.
pub(crate) struct Native {
    runtime: Option<Runtime>,
    /// What the software adapter speaks iWARP over.
    tcp: Option<SystemTcp>,
    registration: Box<WSK_REGISTRATION>,
    pub(crate) npi: WSK_PROVIDER_NPI,
    sockets: Vec<Option<Open>>,
    requests: Vec<Request>,
    completions: Shared<AtomicU64>,
    /// Made when the first case needs them: what is allocated is looked at by tests that have none.
    pub(crate) watchers: OnceCell<Watchers>,
    /// The registration of a client that came later, and what the first one has captured.
    later: Option<(Box<WSK_REGISTRATION>, WSK_PROVIDER_NPI)>,
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

/// Puts the contract checks before an adapter.
///
/// # Safety
/// The adapter is open, nobody else uses it, and `close` closes it.
pub(crate) unsafe fn checked(
    adapter: NonNull<NDK_ADAPTER>,
    close: CloseAdapter,
) -> (NonNull<NDK_ADAPTER>, CloseAdapter) {
    // SAFETY: the caller's promise.
    let adapter = unsafe { ndkcheck::wrap(adapter) };
    let context = Box::into_raw(Box::new(close)).cast();
    (adapter, CloseAdapter { close: close_checked, context })
}

/// # Safety
/// As for [`CloseAdapter::close`]; the context is that of [`checked`].
unsafe fn close_checked(context: *mut c_void, adapter: NonNull<NDK_ADAPTER>) {
    // SAFETY: boxed by `checked`; an adapter is closed once.
    let inner = unsafe { Box::from_raw(context.cast::<CloseAdapter>()) };
    // SAFETY: the caller's promise, for the adapter behind the checks.
    let give_back = |adapter| unsafe { (inner.close)(inner.context, adapter) };
    // SAFETY: wrapped by `checked`.
    unsafe { ndkcheck::close(adapter, give_back) };
}

/// Makes the simulated kernel ready.
pub(crate) fn boot() {
    static BOOT: Once = Once::new();
    // SAFETY: the simulated device lives as long as the process.
    BOOT.call_once(|| unsafe { kernel::init(ksim::device()) });
}

impl Native {
    /// A client with nothing open.
    fn with(
        registration: Box<WSK_REGISTRATION>,
        npi: WSK_PROVIDER_NPI,
        completions: Shared<AtomicU64>,
        at_dispatch: bool,
    ) -> Self {
        let watchers = OnceCell::new();
        let (runtime, later, tcp) = (None, None, None);
        let (sockets, requests) = (Vec::new(), Vec::new());
        Self { runtime, tcp, registration, npi, sockets, requests, completions, watchers, later, at_dispatch }
    }

    fn watchers(&self) -> &Watchers {
        let _plenty = ksim::pool::fail_after(u64::MAX);
        self.watchers.get_or_init(|| Watchers::new(&self.completions).unwrap())
    }

    fn counter() -> Shared<AtomicU64> {
        Shared::try_new(PoolTag::new(b"Test"), AtomicU64::new(0)).unwrap()
    }

    /// Registers a client and captures its provider.
    fn register() -> (Box<WSK_REGISTRATION>, WSK_PROVIDER_NPI) {
        let mut registration = Box::new(NOT_REGISTERED);
        let mut npi = WSK_CLIENT_NPI { ClientContext: ptr::null_mut(), Dispatch: &CLIENT_DISPATCH };
        // SAFETY: the block stays in its box until it is deregistered; the table is static.
        assert_eq!(unsafe { wsk::wsk_register(&mut npi, &mut *registration) }, 0);
        let mut npi = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
        // SAFETY: registered above.
        assert_eq!(unsafe { wsk::wsk_capture_provider_npi(&mut *registration, 0, &mut npi) }, 0);
        (registration, npi)
    }

    /// Ends a registration.
    fn deregister(registration: &mut WSK_REGISTRATION) {
        // SAFETY: captured once; every request is over and every socket closed.
        unsafe { wsk::wsk_release_provider_npi(registration) };
        // SAFETY: registered once.
        unsafe { wsk::wsk_deregister(registration) };
    }

    /// Starts a provider with a software adapter, and registers. The caller holds [`ksim::exclusive`]: there is one
    /// provider in a process.
    pub(crate) fn start(config: Config<'_>) -> Self {
        boot();
        let software_adapter = Some(LOOPBACK_ADDRESSES);
        let runtime = Runtime::start(&Config { software_adapter, layer: checked, ..config }).unwrap();
        let (registration, npi) = Self::register();
        Self { runtime: Some(runtime), ..Self::with(registration, npi, Self::counter(), false) }
    }

    /// The same, with the software adapter over iWARP on the simulated system's TCP, for every port and to itself too.
    pub(crate) fn start_over_iwarp(config: Config<'_>) -> Self {
        boot();
        let tcp = SystemTcp::start().unwrap();
        // SAFETY: `finish` drops it when the runtime has stopped.
        let iwarp = Iwarp { local_too: true, ..Iwarp::new(unsafe { tcp.wsk() }, &[(1, u16::MAX)]) };
        Self { tcp: Some(tcp), ..Self::start(Config { iwarp: Some(iwarp), ..config }) }
    }

    /// The same, with every call made at DISPATCH_LEVEL.
    pub(crate) fn at_dispatch_level(self) -> Self {
        Self { at_dispatch: true, ..self }
    }

    /// Closes what is open, and forgets every request; each was completed once.
    pub(crate) fn clear(&mut self) {
        if let Some(watchers) = self.watchers.get() {
            watchers.relent();
        }
        self.call_off();
        self.adopt();
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
            let called_off = self.requests[index].called_off;
            assert!(called_off || self.wait(operation, PATIENCE).is_some(), "a request outlives its socket");
            if called_off {
                continue;
            }
            let request = &self.requests[index];
            assert_eq!(request.irp.completions(), 1, "a request is completed once");
            assert!(request.effect != Effect::None || request.made.is_none());
        }
        self.requests.clear();
        if self.watchers.get().is_some_and(Watchers::has_accepted)
            || self.sockets.iter().flatten().any(|open| !open.closing)
        {
            // An accept was completed with a connection while its listener was being closed.
            return self.clear();
        }
        self.sockets.clear();
        let breach = self.watchers.get().and_then(Watchers::breach);
        assert!(breach.is_none(), "{:?}", breach.map(client::watch::Breach::expected));
        self.watchers.take();
        if let Some((mut registration, npi)) = self.later.take() {
            self.npi = npi;
            Self::deregister(&mut registration);
        }
    }

    /// Nothing that was to be made from inside is made from here on, unless it has begun.
    fn call_off(&mut self) {
        for request in &mut self.requests {
            if !request.called_off && request.fate.as_ref().is_some_and(Fate::call_off) {
                request.called_off = true;
                // SAFETY: it was made ready, and nobody else has it or will.
                unsafe { irp::fail_unmarked(request.irp.as_ptr(), abi::status::STATUS_CANCELLED) };
                if let Effect::Closes(socket) = request.effect
                    && let Some(open) = &mut self.sockets[socket.0 as usize]
                {
                    open.closing = false;
                }
            }
        }
    }

    /// Gives numbers to sockets that `WskAcceptEvent` has brought.
    fn adopt(&mut self) {
        while let Some((listener, number, pointer, watch)) = self.watchers.get().and_then(Watchers::accepted)
        {
            let socket = Socket(u32::try_from(self.sockets.len()).unwrap());
            let category = WSK_FLAG_CONNECTION_SOCKET;
            self.sockets.push(Some(Open { pointer, category, closing: false, watch }));
            self.watchers().adopt(listener, number, socket);
        }
    }

    /// A request for a call, with what its completion routine does beside telling.
    fn prepare(&mut self, call: &Call<'_>, then: Option<Inside>) -> Request {
        // Memory is scarce for the driver only.
        if calls::watch(call).is_some() {
            let _made = self.watchers();
        }
        let _plenty = ksim::pool::fail_after(u64::MAX);
        let order = Arc::new(AtomicU64::new(0));
        let (counter, mine) = (self.completions.clone(), order.clone());
        let then = Mutex::new(then);
        let irp = TestIrp::new().with_hook(move |_| {
            mine.store(counter.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let inside = then.lock().unwrap().take();
            if let Some(inside) = inside {
                inside.make();
            }
        });
        Request {
            irp,
            chain: calls::buffer(call).and_then(|buffer| chain(&buffer, self.requests.len())),
            octets: None,
            first: Box::new(AddressRoom::UNTOUCHED),
            second: Box::new(AddressRoom::UNTOUCHED),
            control: Box::new(ControlRoom::UNTOUCHED),
            effect: calls::effect(call),
            watch: calls::watch(call),
            fate: None,
            called_off: false,
            returned: 0,
            before_return: false,
            order,
            made: None,
        }
    }

    /// Makes a call with its request.
    fn hand_over(&mut self, call: &Call<'_>, mut request: Request) -> Operation {
        let rooms = [ptr::from_mut(&mut *request.first), ptr::from_mut(&mut *request.second)];
        let control = ptr::from_mut(&mut *request.control);
        let irp = {
            let _plenty = ksim::pool::fail_after(u64::MAX);
            request.irp.submit()
        };
        let chain = request.chain.as_ref();
        request.returned = at_level(self.at_dispatch, || self.make(call, irp, chain, rooms, control));
        request.before_return = request.irp.completion().is_some();
        if let Effect::Closes(socket) = request.effect
            && let Some(open) = &mut self.sockets[socket.0 as usize]
        {
            open.closing = request.returned >= 0;
        }
        self.requests.push(request);
        Operation(u32::try_from(self.requests.len() - 1).unwrap())
    }

    /// A request that is made from inside.
    fn prepare_inside(&mut self, call: &Call<'static>) -> (Operation, Inside) {
        let mut request = self.prepare(call, None);
        let first: *mut AddressRoom = &mut *request.first;
        let second: *mut AddressRoom = &mut *request.second;
        let with = Parameters {
            irp: request.irp.submit(),
            mdl: request.chain.as_ref().map_or(ptr::null_mut(), Chain::mdl),
            first: first.cast(),
            second: second.cast(),
            control: &mut *request.control,
        };
        let open = calls::target(call).map(|on| self.find(on.socket).unwrap());
        // SAFETY: captured; what is not made is called off before the socket is closed; the request stays in the list.
        let inside = unsafe { Inside::new(*call, open, self.npi, with) }.unwrap();
        request.fate = Some(inside.fate());
        if let Effect::Closes(socket) = request.effect
            && let Some(open) = &mut self.sockets[socket.0 as usize]
        {
            open.closing = true;
        }
        self.requests.push(request);
        (Operation(u32::try_from(self.requests.len() - 1).unwrap()), inside)
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().unwrap()
    }

    /// Ends the client and the provider, and checks that nothing is left of them.
    pub(crate) fn finish(mut self) {
        self.clear();
        Self::deregister(&mut self.registration);
        assert!(self.runtime.take().unwrap().stop());
        drop(self.tcp.take());
        drop(self);
        ksim::quiesce();
        assert_eq!(irp::account().outstanding(), 0, "IRPs are outstanding");
        assert_eq!(left(), [], "still allocated");
        ksim::pool::check_quarantine();
    }

    /// Another client's view of the same provider, for another thread. It ends before this one.
    pub(crate) fn guest(&self) -> Self {
        let registration = Box::new(WSK_REGISTRATION { ..*self.registration });
        Self::with(registration, self.npi, self.completions.clone(), self.at_dispatch)
    }

    /// The view of a client that has not registered here, but has the provider from elsewhere.
    pub(crate) fn of(npi: WSK_PROVIDER_NPI) -> Self {
        Self::with(Box::new(NOT_REGISTERED), npi, Self::counter(), false)
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

    /// An open socket, for the calls.
    pub(crate) fn find(&self, socket: Socket) -> Option<calls::Open> {
        let open = self.sockets.get(socket.0 as usize).copied()??;
        Some(calls::Open { pointer: open.pointer, category: open.category })
    }
}

/// Settings with one rule of policy.
pub(crate) fn rules(rule: &str) -> Settings {
    boot();
    let mut policy = wsk::policy::PolicyBuilder::new();
    policy.add(rule).unwrap();
    Settings { policy: policy.build().unwrap(), ..Settings::DEFAULT }
}

/// What the driver has allocated and not freed, by tag.
pub(crate) fn left() -> Vec<ksim::pool::Usage> {
    ksim::leaks().into_iter().filter(|usage| usage.tag.starts_with("Wr")).collect()
}

/// The address that was written; nothing may be written behind it.
fn address(room: &AddressRoom) -> Option<SocketAddr> {
    room.address().expect("nothing is written behind an address")
}

impl World for Native {
    fn ipv4(&self) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }

    fn ipv6(&self) -> Option<IpAddr> {
        Some(Ipv6Addr::LOCALHOST.into())
    }

    fn call(&mut self, call: &Call<'_>) -> Option<Operation> {
        let request = self.prepare(call, None);
        Some(self.hand_over(call, request))
    }

    fn call_without_irp(&mut self, call: &Call<'_>) -> Option<NTSTATUS> {
        let chain = calls::buffer(call).and_then(|buffer| chain(&buffer, 0));
        let mut rooms = [AddressRoom::UNTOUCHED; 2];
        let pointers = rooms.each_mut().map(ptr::from_mut);
        let mut control = Box::new(ControlRoom::UNTOUCHED);
        let returned = self.make(call, ptr::null_mut(), chain.as_ref(), pointers, &mut *control);
        assert_eq!(rooms, [AddressRoom::UNTOUCHED; 2], "a refused call writes nothing");
        Some(returned)
    }

    fn wait(&mut self, operation: Operation, limit: Duration) -> Option<Completion> {
        let request = &mut self.requests[operation.0 as usize];
        if request.called_off {
            return None;
        }
        let done = request.irp.wait_for(limit)?;
        if let Some(fate) = &request.fate {
            // It is completed, so its function returns soon.
            while fate.returned().is_none() {
                std::thread::yield_now();
            }
            request.returned = fate.returned()?;
            request.before_return = request.returned != abi::status::STATUS_PENDING;
        }
        if let Effect::Makes(category) = request.effect
            && done.status == 0
            && request.made.is_none()
        {
            let pointer = ptr::with_exposed_provenance_mut::<WSK_SOCKET>(done.information);
            assert!(!pointer.is_null(), "a new socket is not NULL");
            request.made = Some(Socket(u32::try_from(self.sockets.len()).unwrap()));
            let watch = request.watch;
            self.sockets.push(Some(Open { pointer, category, closing: false, watch }));
            if let Some((watchers, watch)) = self.watchers.get().zip(watch) {
                watchers.attach(watch, calls::Open { pointer, category });
            }
        }
        if let Effect::Closes(socket) = request.effect
            && done.status == 0
            && let Some(open) = self.sockets[socket.0 as usize].take()
            && let Some((watchers, watch)) = self.watchers.get().zip(open.watch)
        {
            watchers.detach(watch);
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

    fn has(&self, _: Feature) -> bool {
        true
    }

    fn new_client(&mut self) -> bool {
        let (registration, npi) = Self::register();
        self.later = Some((registration, std::mem::replace(&mut self.npi, npi)));
        true
    }

    fn control_without_irp(&mut self, call: &Call<'_>, into: &mut [u8]) -> Option<(NTSTATUS, usize)> {
        let mut control = Box::new(ControlRoom::UNTOUCHED);
        let nowhere = [ptr::null_mut(); 2];
        let room: *mut ControlRoom = &mut *control;
        let returned = at_level(self.at_dispatch, || self.make(call, ptr::null_mut(), None, nowhere, room));
        Some((returned, control.read(into)))
    }

    fn output(&mut self, operation: Operation, into: &mut [u8]) -> usize {
        self.requests[operation.0 as usize].control.read(into)
    }

    fn call_then(&mut self, call: &Call<'_>, then: &Call<'static>) -> Option<(Operation, Operation)> {
        let (second, inside) = self.prepare_inside(then);
        let request = self.prepare(call, Some(inside));
        Some((self.hand_over(call, request), second))
    }

    fn call_inside(&mut self, watch: Watch, kind: Kind, call: &Call<'static>) -> Option<Operation> {
        let (operation, inside) = self.prepare_inside(call);
        self.watchers().call_inside(watch, kind, inside).then_some(operation)
    }

    fn set_script(&mut self, watch: Watch, script: Script) {
        self.watchers().set_script(watch, script);
    }

    fn event(&mut self, watch: Watch, number: usize, limit: Duration) -> Option<Event> {
        self.watchers().event(watch, number, limit)?;
        self.adopt();
        self.watchers().event(watch, number, Duration::ZERO)
    }

    fn taken(&mut self, watch: Watch, least: u64, limit: Duration) -> u64 {
        self.watchers().taken(watch, least, limit)
    }

    fn set_position(&mut self, watch: Watch, position: u64) {
        self.watchers().set_position(watch, position);
    }

    fn let_go(&mut self, watch: Watch) {
        self.watchers().let_go(watch);
    }

    fn release(&mut self, watch: Watch, which: Release) -> Option<NTSTATUS> {
        let watchers = self.watchers();
        at_level(self.at_dispatch, || watchers.release(watch, which))
    }

    fn settle(&mut self) {
        ksim::quiesce();
    }
}
