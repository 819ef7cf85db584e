//! Conformance cases inside the client, natively: against the simulated system's WSK, and against a provider that never completes.
#![cfg(test)]

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use abi::NTSTATUS;
use abi::nt::IRP;
use abi::status::*;
use abi::wsk::*;
use cases::{CASES, Case, World};
use control::Record;
use control::client::cases::*;
use kernel::pool::Shared;
use wskrdma_client::calls::{ALL_FUNCTIONS, Function};
use wskrdma_client::world::{Halt, Kernel};
use wskrdma_client::{Client, Handle, RegistrationFunctions};

static CLIENT_DISPATCH: WSK_CLIENT_DISPATCH =
    WSK_CLIENT_DISPATCH { Version: 0x0100, Reserved: 0, WskClientEvent: None };

unsafe extern "system" fn register(
    client: *mut WSK_CLIENT_NPI,
    registration: *mut WSK_REGISTRATION,
) -> NTSTATUS {
    // SAFETY: the caller's promise, as in all of these.
    unsafe { kernel::wsk::register(client, registration) }
}

unsafe extern "system" fn capture(
    registration: *mut WSK_REGISTRATION,
    wait: u32,
    npi: *mut WSK_PROVIDER_NPI,
) -> NTSTATUS {
    // SAFETY: as above.
    unsafe { kernel::wsk::capture(registration, wait, npi) }
}

unsafe extern "system" fn release(registration: *mut WSK_REGISTRATION) {
    // SAFETY: as above.
    unsafe { kernel::wsk::release(registration) };
}

unsafe extern "system" fn deregister(registration: *mut WSK_REGISTRATION) {
    // SAFETY: as above.
    unsafe { kernel::wsk::deregister(registration) };
}

/// The simulated system's registration functions.
const FUNCTIONS: RegistrationFunctions = RegistrationFunctions { register, capture, release, deregister };

/// The simulated system's WSK, captured.
struct System {
    registration: Box<WSK_REGISTRATION>,
    npi: WSK_PROVIDER_NPI,
}

fn boot() {
    static BOOT: Once = Once::new();
    // SAFETY: the simulated device lives as long as the process.
    BOOT.call_once(|| unsafe { kernel::init(ksim::device()) });
}

impl System {
    fn capture() -> Self {
        boot();
        let mut registration = Box::new(WSK_REGISTRATION {
            ReservedRegistrationState: 0,
            ReservedRegistrationContext: ptr::null_mut(),
            ReservedRegistrationLock: 0,
        });
        let mut client = WSK_CLIENT_NPI { ClientContext: ptr::null_mut(), Dispatch: &CLIENT_DISPATCH };
        // SAFETY: the block stays in its box until it is deregistered; the table is static.
        assert_eq!(unsafe { kernel::wsk::register(&mut client, &mut *registration) }, 0);
        let mut npi = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
        // SAFETY: registered above.
        assert_eq!(unsafe { kernel::wsk::capture(&mut *registration, 0, &mut npi) }, 0);
        Self { registration, npi }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // SAFETY: captured once.
        unsafe { kernel::wsk::release(&mut *self.registration) };
        // SAFETY: registered once.
        unsafe { kernel::wsk::deregister(&mut *self.registration) };
    }
}

/// A client with an open handle.
struct Desk {
    client: Client,
    handle: Shared<Handle>,
}

impl Desk {
    fn open(npi: WSK_PROVIDER_NPI, system: Option<WSK_PROVIDER_NPI>) -> Self {
        Self::with(npi, system, FUNCTIONS)
    }

    fn with(
        npi: WSK_PROVIDER_NPI,
        system: Option<WSK_PROVIDER_NPI>,
        functions: RegistrationFunctions,
    ) -> Self {
        // SAFETY: the tests release providers after the desk; the functions are static.
        let client = unsafe { Client::new(npi, system, functions) }.unwrap();
        let handle = Handle::open(&client).unwrap();
        Self { client, handle }
    }

    fn ask<R: Record>(&self, code: u32, input: &[u8], room: usize) -> Result<R, NTSTATUS> {
        let mut output = vec![0; room];
        let (status, n) = ksim::io::device_io_control(code, input, &mut output, |irp| {
            // SAFETY: the IRP was made for this call, with this driver's location current.
            unsafe { Handle::device_control(&self.handle, irp) }
        });
        if status < 0 { Err(status) } else { Ok(R::decode(&output[..n]).unwrap()) }
    }

    fn run(&self, run: &RunRequest) -> Result<RunReply, NTSTATUS> {
        let mut input = vec![0; RunRequest::SIZE];
        run.encode(&mut input).unwrap();
        self.ask(IOCTL_CASE_RUN, &input, RunReply::SIZE)
    }

    fn overview(&self) -> CasesReply {
        self.ask(IOCTL_CASES, &[], CasesReply::SIZE).unwrap()
    }

    fn cancel(&self) {
        let (status, _) = ksim::io::device_io_control(IOCTL_CASE_CANCEL, &[], &mut [], |irp| {
            // SAFETY: as above.
            unsafe { Handle::device_control(&self.handle, irp) }
        });
        assert_eq!(status, 0);
    }

    fn close(self) {
        Handle::cleanup(&self.handle);
        self.client.stop();
        drop(self);
        ksim::quiesce();
        assert_eq!(left(), [], "still allocated");
    }
}

fn left() -> Vec<ksim::pool::Usage> {
    ksim::leaks().into_iter().filter(|usage| usage.tag == "WrCl").collect()
}

/// Clients that are registered, each with its provider captured.
fn clients() -> usize {
    let outstanding = ksim::wsk::outstanding();
    assert_eq!(outstanding.registrations, outstanding.captures);
    outstanding.registrations
}

fn number(name: &str) -> u32 {
    u32::try_from(CASES.iter().position(|case| case.name == name).unwrap()).unwrap()
}

fn case(name: &str) -> RunRequest {
    RunRequest {
        version: VERSION,
        case: number(name),
        provider: PROVIDER_REGISTERED,
        flags: FLAG_ANY_PENDING_RETURNED,
        limit_ms: 30_000,
        first_port: 0,
        allowed: u64::MAX,
    }
}

#[test]
fn the_client_tells_every_case_whole() {
    let _alone = ksim::exclusive();
    let system = System::capture();
    let desk = Desk::open(system.npi, Some(system.npi));
    let about = desk.overview();
    assert_eq!((about.version, about.cases as usize), (VERSION, CASES.len()));
    assert_eq!((about.registered, about.state), (IS_SYSTEM, 0));
    assert_eq!(about.system_version, about.registered_version);
    for (number, expected) in CASES.iter().enumerate() {
        let reply: CaseReply = desk.ask(IOCTL_CASE, &(number as u32).to_le_bytes(), CaseReply::SIZE).unwrap();
        assert_eq!((text(&reply.name), text(&reply.section)), (expected.name, expected.section));
    }
    desk.close();
}

#[test]
fn a_request_that_makes_no_sense_is_refused() {
    let _alone = ksim::exclusive();
    let system = System::capture();
    let desk = Desk::open(system.npi, None);
    let good = case("socket-categories");
    for wrong in [
        RunRequest { version: VERSION + 1, ..good },
        RunRequest { case: CASES.len() as u32, ..good },
        RunRequest { provider: 2, ..good },
        RunRequest { flags: 4, ..good },
        RunRequest { limit_ms: 0, ..good },
        RunRequest { limit_ms: MAX_LIMIT_MS + 1, ..good },
        RunRequest { first_port: 65_536, ..good },
    ] {
        assert_eq!(desk.run(&wrong), Err(STATUS_INVALID_PARAMETER), "{wrong:?}");
    }
    assert_eq!(desk.run(&RunRequest { provider: PROVIDER_SYSTEM, ..good }), Err(STATUS_DEVICE_NOT_READY));
    assert_eq!(desk.ask::<RunReply>(IOCTL_CASE_RUN, &[0; 31], 256), Err(STATUS_BUFFER_TOO_SMALL));
    assert_eq!(desk.ask::<RunReply>(IOCTL_CASE_RUN, &[0; 33], 256), Err(STATUS_INVALID_BUFFER_SIZE));
    assert_eq!(desk.ask::<CaseReply>(IOCTL_CASE, &[255; 4], 112), Err(STATUS_INVALID_PARAMETER));
    assert_eq!(desk.ask::<CasesReply>(IOCTL_CASES, &[0; 4], 32), Err(STATUS_INVALID_BUFFER_SIZE));
    assert_eq!(desk.overview().state, 0);
    desk.close();
}

#[test]
fn cases_pass_in_the_simulated_system_and_leave_nothing() {
    let _alone = ksim::exclusive();
    let system = System::capture();
    let desk = Desk::open(system.npi, Some(system.npi));
    for name in ["socket-categories", "accept-before-connect", "send-small", "receive-partial"] {
        let reply = desk.run(&RunRequest { provider: PROVIDER_SYSTEM, ..case(name) }).unwrap();
        assert_eq!(reply.outcome, OUTCOME_PASSED, "{name}: {} {}", text(&reply.expected), reply.line);
        assert!(reply.requests > 0 && reply.asked & Function::WskSocket.bit() != 0, "{name}");
    }
    desk.close();
}

/// The cases that want a client of their own.
fn static_event_cases() -> Vec<&'static str> {
    let names: Vec<_> =
        CASES.iter().map(|case| case.name).filter(|name| name.starts_with("static-events-")).collect();
    assert_eq!(names.len(), 7);
    names
}

#[test]
fn a_case_has_a_client_of_its_own_as_long_as_it_runs() {
    let _alone = ksim::exclusive();
    let system = System::capture();
    let desk = Desk::open(system.npi, Some(system.npi));
    for name in static_event_cases() {
        let before = ksim::wsk::calls(ksim::wsk::Function::WskRegister);
        let reply = desk.run(&case(name)).unwrap();
        assert_eq!(reply.outcome, OUTCOME_PASSED, "{name}: {} {}", text(&reply.expected), reply.line);
        assert_eq!(ksim::wsk::calls(ksim::wsk::Function::WskRegister), before + 1, "{name}");
        assert_eq!(clients(), 1, "{name}");
    }
    desk.close();
}

#[test]
fn nobody_registers_with_the_systems_own_wsk_a_second_time() {
    let _alone = ksim::exclusive();
    let system = System::capture();
    let desk = Desk::open(system.npi, Some(system.npi));
    for name in static_event_cases() {
        let reply = desk.run(&RunRequest { provider: PROVIDER_SYSTEM, ..case(name) }).unwrap();
        assert_eq!(reply.outcome, OUTCOME_SKIPPED, "{name}");
    }
    desk.close();
}

#[test]
fn a_client_that_is_refused_fails_its_case_and_leaves_nothing() {
    let _alone = ksim::exclusive();
    let system = System::capture();
    let desk = Desk::open(system.npi, None);
    for function in [ksim::wsk::Function::WskRegister, ksim::wsk::Function::WskCaptureProviderNPI] {
        ksim::wsk::fail_next(function, STATUS_NOINTERFACE);
        let reply = desk.run(&case("static-events-bad-masks")).unwrap();
        assert_eq!((reply.outcome, text(&reply.expected)), (OUTCOME_FAILED, "the client registers"));
        assert_eq!(clients(), 1, "{function:?}");
        assert_eq!(desk.run(&case("static-events-bad-masks")).unwrap().outcome, OUTCOME_PASSED);
    }
    desk.close();
}

#[test]
fn a_case_has_one_client_of_its_own_at_most() {
    let _alone = ksim::exclusive();
    let system = System::capture();
    let cancelled = AtomicBool::new(false);
    let run = case("static-events-too-late");
    // SAFETY: captured above; the functions are static.
    let mut world = unsafe { Kernel::new(system.npi, Some(FUNCTIONS), &run, &cancelled) }.unwrap();
    assert_eq!((world.new_client(), clients()), (true, 2));
    assert_eq!((world.new_client(), clients()), (false, 2));
    assert_eq!((world.clear(), clients()), (Ok(()), 1));
    // A world that is dropped ends it as well.
    assert_eq!((world.new_client(), clients()), (true, 2));
    drop(world);
    assert_eq!(clients(), 1);
    cancelled.store(true, Ordering::Release);
    // SAFETY: as above.
    let mut world = unsafe { Kernel::new(system.npi, Some(FUNCTIONS), &run, &cancelled) }.unwrap();
    assert_eq!((world.new_client(), clients()), (false, 1), "the case is to end");
}

#[test]
fn a_case_that_asks_for_more_than_is_allowed_says_for_what() {
    let _alone = ksim::exclusive();
    let system = System::capture();
    let desk = Desk::open(system.npi, None);
    let allowed = ALL_FUNCTIONS & !Function::WskSend.bit();
    let reply = desk.run(&RunRequest { allowed, ..case("send-small") }).unwrap();
    assert_eq!((reply.outcome, reply.found), (OUTCOME_NOT_ALLOWED, FOUND_NUMBER));
    assert_eq!(reply.number, Function::WskSend.bit());
    assert!(text(&reply.file).ends_with("send.rs") && reply.line != 0);
    desk.close();
}

/// IRPs that a provider keeps.
static KEPT: Mutex<Vec<usize>> = Mutex::new(Vec::new());

unsafe extern "system" fn keep(
    _client: PWSK_CLIENT,
    _family: u16,
    _kind: u16,
    _protocol: u32,
    _flags: u32,
    _context: *mut c_void,
    _dispatch: *const c_void,
    _process: abi::nt::PEPROCESS,
    _thread: abi::nt::PETHREAD,
    _descriptor: abi::nt::PSECURITY_DESCRIPTOR,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: a provider takes the IRP's next location.
    unsafe { kernel::irp::set_next_irp_stack_location(irp) };
    // SAFETY: taken above.
    unsafe { kernel::irp::mark_pending(irp) };
    KEPT.lock().unwrap().push(irp.expose_provenance());
    STATUS_PENDING
}

/// Waits until something is kept, and completes it.
fn complete_kept(status: NTSTATUS) {
    let kept = take_kept();
    for irp in kept {
        let irp = ptr::with_exposed_provenance_mut(irp);
        // SAFETY: kept by `keep`, and completed once.
        unsafe { kernel::irp::complete(irp, status, 0, 0) };
    }
}

fn take_kept() -> Vec<usize> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let kept = std::mem::take(&mut *KEPT.lock().unwrap());
        if !kept.is_empty() {
            return kept;
        }
        assert!(Instant::now() < end, "no request came");
        thread::yield_now();
    }
}

/// The simulated system's WSK with a `WskSocket` that never completes.
fn keeper(system: &System) -> Box<WSK_PROVIDER_DISPATCH> {
    // SAFETY: captured.
    let table = unsafe { *system.npi.Dispatch };
    Box::new(WSK_PROVIDER_DISPATCH { WskSocket: keep, ..table })
}

#[test]
fn a_request_that_is_never_completed_ends_the_runs_and_keeps_its_memory() {
    let _alone = ksim::exclusive();
    let system = System::capture();
    let table = keeper(&system);
    let desk = Desk::open(WSK_PROVIDER_NPI { Client: system.npi.Client, Dispatch: &*table }, None);
    let run = RunRequest { limit_ms: 50, ..case("socket-categories") };
    let reply = desk.run(&run).unwrap();
    assert_eq!(reply.outcome, OUTCOME_STUCK);
    assert!(!left().is_empty(), "what the provider may use is kept");
    assert_eq!(desk.overview().state, 2);
    assert_eq!(desk.run(&run), Err(STATUS_INVALID_DEVICE_STATE));
    // Late, but not never: the client can end.
    complete_kept(STATUS_UNSUCCESSFUL);
    desk.close();
}

/// Captures the simulated system's WSK with a `WskSocket` that never completes.
unsafe extern "system" fn capture_keeper(
    registration: *mut WSK_REGISTRATION,
    wait: u32,
    npi: *mut WSK_PROVIDER_NPI,
) -> NTSTATUS {
    static TABLE: OnceLock<WSK_PROVIDER_DISPATCH> = OnceLock::new();
    // SAFETY: the caller's promise.
    let status = unsafe { kernel::wsk::capture(registration, wait, npi) };
    if status == 0 {
        // SAFETY: captured.
        let npi = unsafe { &mut *npi };
        // SAFETY: captured, so the table is valid.
        let table = unsafe { *npi.Dispatch };
        npi.Dispatch = TABLE.get_or_init(|| WSK_PROVIDER_DISPATCH { WskSocket: keep, ..table });
    }
    status
}

#[test]
fn a_case_that_is_stuck_keeps_its_client() {
    let _alone = ksim::exclusive();
    let system = System::capture();
    let functions = RegistrationFunctions { capture: capture_keeper, ..FUNCTIONS };
    let desk = Desk::with(system.npi, None, functions);
    let reply = desk.run(&RunRequest { limit_ms: 50, ..case("static-events-too-late") }).unwrap();
    assert_eq!((reply.outcome, clients()), (OUTCOME_STUCK, 2));
    complete_kept(STATUS_UNSUCCESSFUL);
    desk.close();
    assert_eq!(clients(), 1);
}

#[test]
fn a_run_can_be_cancelled_and_only_one_runs_at_a_time() {
    let _alone = ksim::exclusive();
    let system = System::capture();
    let table = keeper(&system);
    let desk = Arc::new(Desk::open(WSK_PROVIDER_NPI { Client: system.npi.Client, Dispatch: &*table }, None));
    let running = {
        let desk = Arc::clone(&desk);
        thread::spawn(move || desk.run(&case("socket-categories")))
    };
    let kept = take_kept();
    assert_eq!(desk.overview().state, 1);
    assert_eq!(desk.run(&case("send-small")), Err(STATUS_DEVICE_BUSY));
    desk.cancel();
    *KEPT.lock().unwrap() = kept;
    complete_kept(STATUS_UNSUCCESSFUL);
    assert_eq!(running.join().unwrap().unwrap().outcome, OUTCOME_CANCELLED);
    assert_eq!(desk.overview().state, 0, "the next one may run");
    Arc::into_inner(desk).unwrap().close();
}

#[test]
fn closing_the_handle_cancels_its_run() {
    let _alone = ksim::exclusive();
    let system = System::capture();
    let table = keeper(&system);
    let desk = Arc::new(Desk::open(WSK_PROVIDER_NPI { Client: system.npi.Client, Dispatch: &*table }, None));
    let running = {
        let desk = Arc::clone(&desk);
        thread::spawn(move || desk.run(&case("socket-categories")))
    };
    let kept = take_kept();
    let other = Handle::open(&desk.client).unwrap();
    Handle::cleanup(&other);
    drop(other);
    assert_eq!(desk.overview().state, 1, "another handle's end changes nothing");
    Handle::cleanup(&desk.handle);
    *KEPT.lock().unwrap() = kept;
    complete_kept(STATUS_UNSUCCESSFUL);
    assert_eq!(running.join().unwrap().unwrap().outcome, OUTCOME_CANCELLED);
    Arc::into_inner(desk).unwrap().close();
}

/// Runs a case with memory for fewer allocations than it takes, for every such number; how many there are.
fn run_out_of_memory(name: &str) -> usize {
    let system = System::capture();
    let case: &Case = &CASES[number(name) as usize];
    let run = crate::case(name);
    let cancelled = AtomicBool::new(false);
    let mut failures = 0;
    for successes in 0.. {
        let failing = ksim::pool::fail_after(successes);
        // SAFETY: captured above; the functions are static.
        let world = unsafe { Kernel::new(system.npi, Some(FUNCTIONS), &run, &cancelled) };
        let Ok(mut world) = world else {
            failures += 1;
            continue;
        };
        let result = (case.run)(&mut world);
        let failed = failing.has_failed();
        // Clearing away needs none either.
        assert_eq!(world.clear(), Ok(()), "after {successes} allocations");
        assert_eq!(clients(), 1, "after {successes} allocations");
        drop(failing);
        drop(world);
        if !failed {
            assert!(result.is_ok(), "{}", result.unwrap_err());
            break;
        }
        failures += 1;
    }
    assert!(!cancelled.load(Ordering::Relaxed));
    ksim::quiesce();
    assert_eq!(left(), [], "still allocated");
    failures
}

#[test]
fn memory_may_run_out_at_every_allocation() {
    let _alone = ksim::exclusive();
    for name in ["accept-before-connect", "static-events-of-connecting-sockets"] {
        let failures = run_out_of_memory(name);
        assert!(failures > 10, "{name}: {failures} allocations failed");
    }
}

#[test]
fn the_world_halts_at_its_limit() {
    let _alone = ksim::exclusive();
    let system = System::capture();
    let cancelled = AtomicBool::new(true);
    // SAFETY: captured above; the functions are static.
    let mut world =
        unsafe { Kernel::new(system.npi, Some(FUNCTIONS), &case("send-small"), &cancelled) }.unwrap();
    assert!((CASES[number("send-small") as usize].run)(&mut world).is_err());
    assert_eq!((world.halt(), world.clear()), (Some(Halt::Cancelled), Ok(())));
}
