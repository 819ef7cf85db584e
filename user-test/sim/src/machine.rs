//! A machine: the driver running over the simulated kernel, and a WSK client of it.
//!
//! Two machines share the kernel's statics and its network; each has its own provider, adapter, addresses and client.

use std::ffi::c_void;
use std::net::{IpAddr, Ipv4Addr};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};

use abi::ndk::NDK_ADAPTER;
use abi::status::{
    STATUS_CONNECTION_REFUSED, STATUS_INSUFFICIENT_RESOURCES, STATUS_IO_TIMEOUT, STATUS_SUCCESS,
};
use abi::wsk::{WSK_CLIENT_DISPATCH, WSK_CLIENT_NPI, WSK_INFINITE_WAIT, WSK_PROVIDER_NPI, WSK_REGISTRATION};
use ksim::sim;
use ksim::sync::{Mutex, lock};
use ndk::CloseAdapter;
use ndkcheck::{Act, Slot, When};
use runtime::{Config, Iwarp, Runtime, SystemWsk};
use wsk::{Provider, Settings};

use crate::nic;
use crate::plan::{Fabric, Plan};
use crate::plant::{self, Plant};
use crate::report::{count, demand};

static CLIENT_DISPATCH: WSK_CLIENT_DISPATCH =
    WSK_CLIENT_DISPATCH { Version: 0x0100, Reserved: 0, WskClientEvent: None };

const NOT_REGISTERED: WSK_REGISTRATION = WSK_REGISTRATION {
    ReservedRegistrationState: 0,
    ReservedRegistrationContext: ptr::null_mut(),
    ReservedRegistrationLock: 0,
};

/// Every port.
const ALL_PORTS: &[(u16, u16)] = &[(1, u16::MAX)];

/// The adapter's answers are drawn, and may be errors.
static ERRORS: AtomicBool = AtomicBool::new(false);
/// The adapter's answers come when they like.
static TIMING: AtomicBool = AtomicBool::new(false);

/// A running machine.
pub(crate) struct Machine {
    number: usize,
    /// With the simulated system's WSK, if iWARP runs over it.
    system: Option<Box<WSK_REGISTRATION>>,
    registration: Box<WSK_REGISTRATION>,
    pub(crate) npi: WSK_PROVIDER_NPI,
}

/// A driver that runs.
struct Driver(Runtime);

// SAFETY: whoever has it may stop it, on whatever thread.
unsafe impl Send for Driver {}

/// The drivers that run, by machine, and the tasks that stop them.
static DRIVERS: Mutex<Vec<Option<Driver>>> = Mutex::new(Vec::new());
static UNLOADING: Mutex<Option<sim::Task>> = Mutex::new(None);

/// The driver of the one machine begins to unload: it waits for its clients.
pub(crate) fn unload() {
    let driver = lock(&DRIVERS).first_mut().and_then(Option::take);
    let Some(driver) = driver else { return };
    let task = sim::spawn("unload", move || {
        let Driver(runtime) = { driver };
        demand!(runtime.stop(), "an adapter is not let go of");
    });
    *lock(&UNLOADING) = Some(task);
}

/// The address of a machine.
pub(crate) fn address(number: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, 1 + u8::try_from(number).unwrap_or(0)).into()
}

fn client_npi() -> WSK_CLIENT_NPI {
    WSK_CLIENT_NPI { ClientContext: ptr::null_mut(), Dispatch: &CLIENT_DISPATCH }
}

/// How the adapter answers a call.
pub(crate) fn choose(slot: Slot) -> Act {
    let closes = matches!(
        slot,
        Slot::ClosePd
            | Slot::CloseCq
            | Slot::CloseMr
            | Slot::CloseMw
            | Slot::CloseSrq
            | Slot::CloseQp
            | Slot::CloseConnector
            | Slot::CloseListener
            | Slot::CloseSharedEndpoint
    );
    let inline_only = matches!(
        slot,
        Slot::Reject
            | Slot::GetConnectionData
            | Slot::Send
            | Slot::Receive
            | Slot::Write
            | Slot::Read
            | Slot::SrqReceive
    );
    if ERRORS.load(Ordering::SeqCst) && !closes && sim::draw(40) == 0 {
        let status = match sim::draw(3) {
            0 => STATUS_INSUFFICIENT_RESOURCES,
            1 => STATUS_IO_TIMEOUT,
            _ => STATUS_CONNECTION_REFUSED,
        };
        let waits =
            matches!(slot, Slot::Connect | Slot::Accept | Slot::Disconnect | Slot::ConnectWithSharedEndpoint);
        let act = match sim::draw(4) {
            0 if waits => Act::UntilClosed,
            1 if !inline_only => Act::Fail(When::Dpc, status),
            2 if !inline_only => Act::Fail(When::Early, status),
            _ => Act::Fail(When::Inline, status),
        };
        count(format!("{slot:?} {act:?}"));
        sim::note(format_args!("the adapter answers {slot:?} with {act:?}"));
        return act;
    }
    if inline_only || !TIMING.load(Ordering::SeqCst) {
        return Act::Pass;
    }
    match sim::draw(4) {
        0 => Act::Answer(When::Inline),
        1 => Act::Answer(When::Early),
        2 => Act::Answer(When::Dpc),
        _ => Act::Pass,
    }
}

/// Puts the contract checks before an adapter.
///
/// # Safety
/// The adapter is open, nobody else uses it, and `close` closes it.
unsafe fn checked(
    adapter: NonNull<NDK_ADAPTER>,
    close: CloseAdapter,
) -> (NonNull<NDK_ADAPTER>, CloseAdapter) {
    // SAFETY: the caller's promise.
    let adapter = unsafe { ndkcheck::wrap(adapter) };
    if ERRORS.load(Ordering::SeqCst) || TIMING.load(Ordering::SeqCst) {
        // SAFETY: wrapped just now.
        unsafe { ndkcheck::of(adapter) }.choose(choose);
    }
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

/// Makes the kernel ready.
pub(crate) fn boot(plan: &Plan) {
    // SAFETY: the simulated device lives as long as the process.
    unsafe { kernel::init(ksim::device()) };
    ksim::wsk::configure(ksim::wsk::Config {
        answers: plan.system_answers,
        receive_window: plan.receive_window,
        ..ksim::wsk::config()
    });
    for number in 0..plan.fabric.machines() {
        ksim::wsk::add_address(address(number));
    }
    if plan.fabric == Fabric::Nic {
        nic::install(plan);
    }
}

/// From here on the adapters' answers are as the plan says.
pub(crate) fn let_faults_begin(plan: &Plan) {
    ERRORS.store(plan.faults.provider, Ordering::SeqCst);
    sim::fail_allocations(plan.faults.allocations);
}

/// From here on everything works.
pub(crate) fn let_faults_end() {
    ERRORS.store(false, Ordering::SeqCst);
    sim::fail_allocations(0);
    ksim::wsk::forgive();
}

/// Registers with the system's WSK and captures it.
fn capture_system() -> (Box<WSK_REGISTRATION>, SystemWsk) {
    let mut registration = Box::new(NOT_REGISTERED);
    // SAFETY: the block stays in its box until it is deregistered; the table is static.
    let status = unsafe { kernel::wsk::register(&mut client_npi(), &mut *registration) };
    demand!(status == STATUS_SUCCESS, "WskRegister of the system: {status:#x}");
    let mut npi = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
    // SAFETY: registered above.
    let status = unsafe { kernel::wsk::capture(&mut *registration, WSK_INFINITE_WAIT, &mut npi) };
    demand!(status == STATUS_SUCCESS, "WskCaptureProviderNPI of the system: {status:#x}");
    // SAFETY: the simulated system's table is static.
    let dispatch = unsafe { &*npi.Dispatch };
    // SAFETY: released when the driver is stopped.
    (registration, unsafe { SystemWsk::new(npi.Client, dispatch) })
}

impl Machine {
    /// Starts the driver of a machine, and registers a client with it.
    pub(crate) fn start(plan: &Plan, number: usize) -> Self {
        let mut policy = wsk::policy::PolicyBuilder::new();
        let rule = match (plan.fabric, plan.required) {
            (Fabric::Tcp, _) => "never any any",
            (_, true) => "require any any",
            (_, false) => "prefer any any",
        };
        let policy = policy.add(rule).ok().and_then(|()| policy.build().ok());
        let settings = Settings {
            ring_octets: plan.ring_octets,
            send_octets: plan.send_octets,
            zero_copy_octets: plan.zero_copy_octets,
            policy: policy.unwrap_or(Settings::DEFAULT.policy),
            ..Settings::DEFAULT
        };
        TIMING.store(plan.faults.timing, Ordering::SeqCst);
        // So that the adapter is asked how it answers, once that has begun.
        ERRORS.store(plan.faults.provider, Ordering::SeqCst);
        let over_tcp = matches!(plan.fabric, Fabric::Iwarp | Fabric::IwarpToItself);
        let system = over_tcp.then(capture_system);
        let iwarp = system.as_ref().map(|(_, system)| Iwarp {
            local_too: plan.fabric == Fabric::IwarpToItself,
            ..Iwarp::new(*system, ALL_PORTS)
        });
        let addresses = [address(number)];
        let config = Config {
            settings,
            software_adapter: (plan.fabric != Fabric::Nic).then_some(&addresses),
            iwarp,
            answers: plan.adapter_answers,
            layer: |adapter, close| {
                // SAFETY: the caller's promise.
                let checked = unsafe { checked(adapter, close) };
                // Starting is not what is tried out here.
                ERRORS.store(false, Ordering::SeqCst);
                checked
            },
            // There is one module of this driver in a kernel.
            register_with_nmr: number == 0,
            hardware_adapters: number == 0,
            ..Config::default()
        };
        let runtime = match Runtime::start(&config) {
            Ok(runtime) => runtime,
            Err(status) => crate::report::violation(format_args!("the driver does not start: {status:#x}")),
        };
        let mut registration = Box::new(NOT_REGISTERED);
        // SAFETY: the block stays in its box until it is deregistered; the table is static.
        let status = unsafe { wsk::wsk_register(&mut client_npi(), &mut *registration) };
        demand!(status == STATUS_SUCCESS, "WskRegister: {status:#x}");
        let mut npi = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
        // SAFETY: registered above.
        let status =
            unsafe { wsk::wsk_capture_provider_npi(&mut *registration, WSK_INFINITE_WAIT, &mut npi) };
        demand!(status == STATUS_SUCCESS, "WskCaptureProviderNPI: {status:#x}");
        // The next machine's driver comes into the same place.
        Provider::withdraw();
        lock(&DRIVERS).push(Some(Driver(runtime)));
        if plan.fabric == Fabric::Nic {
            nic::arrive();
            nic::wait_until_open();
        }
        Self { number, system: system.map(|(block, _)| block), registration, npi }
    }

    /// Ends the client's registration. Every socket is closed.
    pub(crate) fn deregister(&mut self) {
        // SAFETY: captured once; no call is under way.
        unsafe { wsk::wsk_release_provider_npi(&mut *self.registration) };
        // SAFETY: registered once.
        unsafe { wsk::wsk_deregister(&mut *self.registration) };
    }

    /// Stops the driver.
    pub(crate) fn stop(mut self) {
        let driver = lock(&DRIVERS).get_mut(self.number).and_then(Option::take);
        if let Some(Driver(runtime)) = driver {
            demand!(runtime.stop(), "an adapter is not let go of");
        }
        let unloading = lock(&UNLOADING).take();
        if let Some(task) = unloading {
            task.join();
        }
        if let Some(system) = &mut self.system {
            // SAFETY: captured once; the adapter that used it is stopped.
            unsafe { kernel::wsk::release(&mut **system) };
            // SAFETY: registered once.
            unsafe { kernel::wsk::deregister(&mut **system) };
        }
    }
}

/// Nothing is left of any machine.
pub(crate) fn prove_empty(plan: &Plan) {
    if plan.fabric == Fabric::Nic {
        nic::remove();
    }
    ksim::quiesce();
    let outstanding = irp::account().outstanding();
    demand!(outstanding == 0, "{outstanding} IRPs are outstanding");
    if plant::is(Plant::Leak) {
        let tag = kernel::pool::PoolTag::new(b"WrTe");
        std::mem::forget(kernel::pool::PoolBox::try_new(tag, 0_u64));
    }
    let left: Vec<_> = ksim::leaks().into_iter().filter(|usage| usage.tag.starts_with("Wr")).collect();
    demand!(left.is_empty(), "still allocated: {left:?}");
    let system = ksim::wsk::outstanding();
    demand!(system == ksim::wsk::Outstanding::default(), "the system's WSK still has {system:?}");
    ksim::pool::check_quarantine();
}
