//! A software adapter behind the checks, and a consumer that makes its calls by hand.

use std::cell::RefCell;
use std::ffi::c_void;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ptr::{self, NonNull};
use std::sync::{Condvar, Mutex, MutexGuard, Once};
use std::thread_local;
use std::time::Duration;

use abi::NTSTATUS;
use abi::ndk::*;
use abi::status::STATUS_PENDING;
use kernel::pool::PoolTag;
use kernel::region::Region;
use softndk::{Config, SoftNdk};

use crate::check::Check;
use crate::object::{Body, Ref};
use crate::rule::Rule;
use crate::{Checker, close, of, wrap};

const PATIENCE: Duration = Duration::from_secs(10);
pub(super) const TAG: PoolTag = PoolTag::new(b"WrTe");
pub(super) const PAGE: usize = 4096;

/// Calls a slot of a proxy.
macro_rules! call {
    ($object:expr, $member:ident($($argument:expr),* $(,)?)) => {{
        let object = $object;
        // SAFETY: a proxy.
        let table = unsafe { (*object).Dispatch };
        // SAFETY: the tables of proxies are static.
        let function = unsafe { (*table).$member };
        // SAFETY: arguments as the page says, but for what a test breaks, which the check finds.
        unsafe { function(object.cast() $(, $argument)*) }
    }};
}
pub(super) use call;

thread_local! {
    static HOOK: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// What [`inside!`] has called.
pub(super) fn run_hook() {
    if let Some(hook) = HOOK.take() {
        hook();
    }
}

pub(super) fn set_hook(hook: impl FnOnce() + 'static) {
    HOOK.set(Some(Box::new(hook)));
}

/// Has `hook` run inside the provider's `$member` of one object, on the stack of the call, which then returns `$result`.
macro_rules! inside {
    ($object:expr, $kind:ty, $member:ident($($argument:ty),*) -> $result:ty = $value:expr, $hook:expr) => {{
        unsafe extern "system" fn instead(_: *mut $kind $(, _: $argument)*) -> $result {
            $crate::tests::harness::run_hook();
            $value
        }
        $crate::tests::harness::set_hook($hook);
        // SAFETY: a proxy of the test's.
        let proxy = unsafe { $crate::object::Ref::from_raw($object.cast()) };
        let inner: *mut $kind = proxy.inner();
        // SAFETY: open, and nobody calls it meanwhile.
        let table = unsafe { (*inner).Dispatch };
        // SAFETY: the table of a live object.
        let mut table = unsafe { *table };
        table.$member = instead;
        // SAFETY: as above; the layer above a provider may replace the table.
        unsafe { (*inner).Dispatch = Box::leak(Box::new(table)) };
    }};
}
pub(super) use inside;

/// What callbacks have said to one context.
#[derive(Default)]
pub(super) struct Bell {
    heard: Mutex<Vec<(NTSTATUS, usize)>>,
    changed: Condvar,
}

impl Bell {
    /// One that is never freed: callbacks may come late.
    pub(super) fn new() -> &'static Self {
        Box::leak(Box::default())
    }

    pub(super) fn context(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }

    fn ring(&self, status: NTSTATUS, object: usize) {
        self.heard.lock().unwrap().push((status, object));
        self.changed.notify_all();
    }

    pub(super) fn count(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    /// The oldest word, once there is one.
    pub(super) fn wait(&self) -> (NTSTATUS, usize) {
        let heard = self.heard.lock().unwrap();
        let silent = |heard: &mut Vec<_>| heard.is_empty();
        let (mut heard, timeout) = self.changed.wait_timeout_while(heard, PATIENCE, silent).unwrap();
        assert!(!timeout.timed_out(), "no callback comes");
        heard.remove(0)
    }
}

/// # Safety
/// `context` is a bell.
unsafe fn bell(context: *mut c_void) -> &'static Bell {
    // SAFETY: the caller's promise; bells are never freed.
    unsafe { &*context.cast() }
}

pub(super) unsafe extern "system" fn requested(context: *mut c_void, status: NTSTATUS) {
    // SAFETY: the contexts of this harness are bells.
    unsafe { bell(context) }.ring(status, 0);
}

pub(super) unsafe extern "system" fn created(
    context: *mut c_void,
    status: NTSTATUS,
    object: *mut NDK_OBJECT_HEADER,
) {
    // SAFETY: the contexts of this harness are bells.
    unsafe { bell(context) }.ring(status, object.expose_provenance());
}

pub(super) unsafe extern "system" fn told(context: *mut c_void) {
    // SAFETY: the contexts of this harness are bells.
    unsafe { bell(context) }.ring(0, 0);
}

unsafe extern "system" fn arrived(context: *mut c_void, connector: *mut NDK_CONNECTOR) {
    // SAFETY: the contexts of this harness are bells.
    unsafe { bell(context) }.ring(0, connector.expose_provenance());
}

/// Makes a create and waits for its object.
pub(super) fn make<T>(
    create: impl FnOnce(NDK_FN_CREATE_COMPLETION, *mut c_void, *mut *mut T) -> NTSTATUS,
) -> Result<*mut T, NTSTATUS> {
    let (bell, mut object) = (Bell::new(), ptr::null_mut());
    match create(created, bell.context(), &raw mut object) {
        STATUS_PENDING => match bell.wait() {
            (0, object) => Ok(ptr::with_exposed_provenance_mut(object)),
            (status, _) => Err(status),
        },
        0 => Ok(object),
        status => Err(status),
    }
}

/// Makes a request and waits for its end.
pub(super) fn ask(request: impl FnOnce(NDK_FN_REQUEST_COMPLETION, *mut c_void) -> NTSTATUS) -> NTSTATUS {
    let bell = Bell::new();
    match request(requested, bell.context()) {
        STATUS_PENDING => bell.wait().0,
        status => status,
    }
}

/// A software adapter behind the checks.
pub(super) struct World {
    soft: Option<Box<SoftNdk>>,
    pub(super) adapter: *mut NDK_ADAPTER,
    pub(super) checker: Checker,
    _alone: MutexGuard<'static, ()>,
}

/// Makes the simulated kernel ready, for one test at a time.
fn boot() -> MutexGuard<'static, ()> {
    static BOOT: Once = Once::new();
    let alone = ksim::exclusive();
    // SAFETY: the simulated device stays for ever.
    BOOT.call_once(|| unsafe { kernel::init(ksim::device()) });
    alone
}

/// Has a test break a rule, which must be caught and nothing else.
pub(super) fn breaks(rule: Rule, test: impl FnOnce(&World)) {
    let world = World::new();
    world.checker.expect(rule);
    test(&world);
    world.caught(rule);
    world.finish();
}

impl World {
    pub(super) fn new() -> Self {
        Self::of_version(NDK_VERSION { Major: 2, Minor: 1 })
    }

    pub(super) fn of_version(version: NDK_VERSION) -> Self {
        let alone = boot();
        let soft = Box::new(SoftNdk::start(Config::default()).unwrap());
        let adapter = NonNull::new(soft.open_adapter(version).unwrap()).unwrap();
        // SAFETY: opened just now.
        let adapter = unsafe { wrap(adapter) };
        // SAFETY: wrapped just now.
        let checker = unsafe { of(adapter) };
        Self { soft: Some(soft), adapter: adapter.as_ptr(), checker, _alone: alone }
    }

    /// At least one violation, and all of this rule.
    pub(super) fn caught(&self, rule: Rule) {
        let caught = self.checker.caught();
        assert!(!caught.is_empty(), "{} was not caught", rule.name());
        assert!(caught.iter().all(|violation| violation.rule == rule), "{caught:?}");
    }

    /// Closes what a test has left open, then the adapter.
    pub(super) fn finish(self) {
        self.close_objects();
        self.close_adapter();
        self.stop();
    }

    pub(super) fn close_adapter(&self) {
        let soft = self.soft.as_ref().unwrap();
        // SAFETY: opened there, closed once.
        let give_back = |inner: NonNull<NDK_ADAPTER>| unsafe { soft.close_adapter(inner.as_ptr()) };
        // SAFETY: wrapped by `of_version`, closed once.
        unsafe { close(NonNull::new(self.adapter).unwrap(), give_back) };
    }

    /// Closes what is open.
    pub(super) fn close_objects(&self) {
        self.checker.relent();
        let order: [fn(&Body) -> bool; 9] = [
            |body| matches!(body, Body::Connector(_)),
            |body| matches!(body, Body::Qp(_)),
            |body| matches!(body, Body::Srq(_)),
            |body| matches!(body, Body::Mw(_)),
            |body| matches!(body, Body::Mr(_)),
            |body| matches!(body, Body::Listener(_)),
            |body| matches!(body, Body::SharedEndpoint),
            |body| matches!(body, Body::Cq(_)),
            |body| matches!(body, Body::Pd(_)),
        ];
        for is in order {
            for object in self.checker.open_objects(is) {
                // Every table but the adapter's begins with the close.
                call!(object.cast::<NDK_PD>().as_ptr(), NdkClosePd(told, Bell::new().context()));
            }
            ksim::quiesce();
        }
    }

    /// Ends the software adapter.
    pub(super) fn stop(mut self) {
        self.soft.take().unwrap().stop();
    }

    pub(super) fn pd(&self) -> *mut NDK_PD {
        make(|done, context, out| call!(self.adapter, NdkCreatePd(done, context, out))).unwrap()
    }

    pub(super) fn cq(&self, depth: u32) -> *mut NDK_CQ {
        self.cq_with(depth, requested, Bell::new().context()).unwrap()
    }

    pub(super) fn cq_with(
        &self,
        depth: u32,
        notification: NDK_FN_CQ_NOTIFICATION_CALLBACK,
        context: *mut c_void,
    ) -> Result<*mut NDK_CQ, NTSTATUS> {
        make(|done, request, out| {
            call!(self.adapter, NdkCreateCq(depth, notification, context, ptr::null(), done, request, out))
        })
    }

    pub(super) fn connector(&self) -> *mut NDK_CONNECTOR {
        make(|done, context, out| call!(self.adapter, NdkCreateConnector(done, context, out))).unwrap()
    }

    pub(super) fn listener(&self, bell: &Bell) -> *mut NDK_LISTENER {
        make(|done, context, out| {
            call!(self.adapter, NdkCreateListener(arrived, bell.context(), done, context, out))
        })
        .unwrap()
    }

    /// A mapping of so many bytes.
    pub(super) fn map(&self, region: &Region, bytes: usize) -> Box<Mapping> {
        let mut mapping = Box::new(Mapping { context: 0, count: 0, pages: [0; 8], fbo: 0 });
        let mut size = 0x50;
        let lam = ptr::from_mut(&mut *mapping).cast();
        let mut fbo = 0;
        let status = ask(|done, context| {
            call!(
                self.adapter,
                NdkBuildLAM(region.mdl(), bytes, Some(done), context, lam, &raw mut size, &raw mut fbo)
            )
        });
        assert_eq!(status, 0);
        mapping.fbo = fbo;
        mapping
    }

    pub(super) fn unmap(&self, mapping: &Mapping) {
        call!(self.adapter, NdkReleaseLAM(ptr::from_ref(mapping).cast_mut().cast()));
    }

    /// Two queue pairs and a connection between them.
    pub(super) fn pair(&self) -> Pair {
        let (pd, cq) = (self.pd(), self.cq(64));
        let (near_qp, far_qp) = (qp(pd, cq), qp(pd, cq));
        let memory = memory(pd, NDK_MR_FLAG_ALLOW_REMOTE_WRITE);
        let bell = Bell::new();
        let (listener, near) = (self.listener(bell), self.connector());
        let port = listen(listener);
        let connected = Bell::new();
        assert_eq!(connect(near, near_qp, port, connected), STATUS_PENDING);
        let far: *mut NDK_CONNECTOR = ptr::with_exposed_provenance_mut(bell.wait().1);
        let accepted = Bell::new();
        assert_eq!(accept(far, far_qp, accepted), STATUS_PENDING);
        assert_eq!(connected.wait().0, 0);
        assert_eq!(
            ask(|done, context| call!(near, NdkCompleteConnect(None, ptr::null_mut(), done, context))),
            0
        );
        assert_eq!(accepted.wait().0, 0);
        Pair { pd, cq, near, far, near_qp, far_qp, memory, port }
    }
}

/// A logical address mapping with room.
#[repr(C)]
pub(super) struct Mapping {
    context: usize,
    pub(super) count: u32,
    pub(super) pages: [i64; 8],
    pub(super) fbo: u32,
}

/// Registered memory: two pages.
pub(super) struct Memory {
    pub(super) region: Region,
    pub(super) mr: *mut NDK_MR,
    pub(super) token: u32,
}

impl Memory {
    pub(super) fn element(&self, offset: usize, length: u32) -> NDK_SGE {
        NDK_SGE {
            Anonymous: NDK_SGE_ADDRESS { VirtualAddress: self.region.as_ptr().wrapping_add(offset).cast() },
            Length: length,
            MemoryRegionToken: self.token,
        }
    }
}

pub(super) fn mr(pd: *mut NDK_PD, fast: bool) -> *mut NDK_MR {
    make(|done, context, out| call!(pd, NdkCreateMr(u8::from(fast), done, context, out))).unwrap()
}

pub(super) fn register(mr: *mut NDK_MR, region: &Region, flags: u32) -> NTSTATUS {
    ask(|done, context| call!(mr, NdkRegisterMr(region.mdl(), region.len(), flags, done, context)))
}

pub(super) fn memory(pd: *mut NDK_PD, flags: u32) -> Memory {
    let region = Region::try_new(TAG, 2 * PAGE).unwrap();
    let mr = mr(pd, false);
    assert_eq!(register(mr, &region, flags), 0);
    let token = call!(mr, NdkGetLocalTokenFromMr());
    Memory { region, mr, token }
}

/// A queue pair for 4 requests of 2 elements either way, and 16 bytes of inline data.
pub(super) fn qp(pd: *mut NDK_PD, cq: *mut NDK_CQ) -> *mut NDK_QP {
    qp_of(pd, cq, 4, 16).unwrap()
}

pub(super) fn qp_of(
    pd: *mut NDK_PD,
    cq: *mut NDK_CQ,
    depth: u32,
    inline: u32,
) -> Result<*mut NDK_QP, NTSTATUS> {
    make(|done, context, out| {
        call!(pd, NdkCreateQp(cq, cq, ptr::null_mut(), depth, depth, 2, 2, inline, done, context, out))
    })
}

fn address(port: u16) -> abi::wsk::SOCKADDR_IN {
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    // SAFETY: plain integers.
    let mut raw: abi::wsk::SOCKADDR_IN = unsafe { std::mem::zeroed() };
    let octets = ptr::from_mut(&mut raw).cast::<u8>();
    let family = 2_u16.to_ne_bytes();
    let port = address.port().to_be_bytes();
    for (index, octet) in family.into_iter().chain(port).chain(address.ip().octets()).enumerate() {
        // SAFETY: the first 8 of 16 bytes.
        let place = unsafe { octets.add(index) };
        // SAFETY: as above.
        unsafe { place.write(octet) };
    }
    raw
}

/// Listens at a port of the adapter's choice.
pub(super) fn listen(listener: *mut NDK_LISTENER) -> u16 {
    let at = address(0);
    let at = (&raw const at).cast();
    assert_eq!(ask(|done, context| call!(listener, NdkListen(at, 16, done, context))), 0);
    let (mut raw, mut length) = ([0_u8; 28], 28);
    assert_eq!(call!(listener, NdkGetLocalAddress(raw.as_mut_ptr().cast(), &raw mut length)), 0);
    u16::from_be_bytes([raw[2], raw[3]])
}

pub(super) fn connect(connector: *mut NDK_CONNECTOR, qp: *mut NDK_QP, port: u16, bell: &Bell) -> NTSTATUS {
    connect_with(connector, qp, port, &[], bell)
}

pub(super) fn connect_with(
    connector: *mut NDK_CONNECTOR,
    qp: *mut NDK_QP,
    port: u16,
    data: &[u8],
    bell: &Bell,
) -> NTSTATUS {
    let (from, to) = (address(0), address(port));
    let (from, to) = ((&raw const from).cast(), (&raw const to).cast());
    let (length, data) = (data.len() as u32, data.as_ptr().cast());
    call!(connector, NdkConnect(qp, from, 16, to, 16, 0, 0, data, length, requested, bell.context()))
}

pub(super) fn accept(connector: *mut NDK_CONNECTOR, qp: *mut NDK_QP, bell: &Bell) -> NTSTATUS {
    let null = ptr::null_mut();
    call!(connector, NdkAccept(qp, 0, 0, ptr::null(), 0, None, null, requested, bell.context()))
}

/// Two ends of a connection.
pub(super) struct Pair {
    pub(super) pd: *mut NDK_PD,
    pub(super) cq: *mut NDK_CQ,
    pub(super) near: *mut NDK_CONNECTOR,
    pub(super) far: *mut NDK_CONNECTOR,
    pub(super) near_qp: *mut NDK_QP,
    pub(super) far_qp: *mut NDK_QP,
    pub(super) memory: Memory,
    pub(super) port: u16,
}

pub(super) fn context(number: usize) -> *mut c_void {
    ptr::without_provenance_mut(number)
}

pub(super) fn receive(qp: *mut NDK_QP, number: usize, elements: &[NDK_SGE]) -> NTSTATUS {
    call!(qp, NdkReceive(context(number), elements.as_ptr(), elements.len() as u32))
}

pub(super) fn send(qp: *mut NDK_QP, number: usize, elements: &[NDK_SGE], flags: u32) -> NTSTATUS {
    call!(qp, NdkSend(context(number), elements.as_ptr(), elements.len() as u32, flags))
}

/// Takes up to 16 entries: status and context of each.
pub(super) fn reap(cq: *mut NDK_CQ) -> Vec<(NTSTATUS, usize)> {
    // SAFETY: plain.
    let mut raw: [NDK_RESULT_EX; 16] = unsafe { std::mem::zeroed() };
    let count = call!(cq, NdkGetCqResultsEx(raw.as_mut_ptr(), 16)) as usize;
    raw.iter().take(count).map(|entry| (entry.Status, entry.RequestContext.addr())).collect()
}

/// The proxy behind a pointer.
pub(super) fn proxy<T>(object: *mut T) -> Ref {
    // SAFETY: a proxy of the test's.
    unsafe { Ref::from_raw(object.cast()) }
}

/// The check behind a pointer.
pub(super) fn check<T>(object: *mut T) -> std::sync::Arc<Check> {
    proxy(object).shared_check()
}
