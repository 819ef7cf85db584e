//! IRPs of clients: entered, waiting with a cancel routine, completed once.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

use abi::NTSTATUS;
use abi::nt::{DEVICE_OBJECT, IRP, KDPC, SL_PENDING_RETURNED};
use abi::status::{
    STATUS_CANCELLED, STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER, STATUS_PENDING, nt_success,
};

use super::control::{Function, begin_call};
use super::op::Operation;
use super::world::{self, World};
use crate::irp::{IoReleaseCancelSpinLock, IofCompleteRequest, cancel_routine, current_location};
use crate::{dpc, processor};

/// An IRP that was entered: its location is taken and marked, and it will be completed once.
pub(super) struct Request {
    irp: *mut IRP,
    /// Whose deregistration waits for it.
    pub(super) client: usize,
}

// SAFETY: an entered IRP is the provider's, on whatever thread.
unsafe impl Send for Request {}

/// How an IRP is to be completed.
pub(super) struct Done {
    pub(super) request: Request,
    pub(super) status: NTSTATUS,
    pub(super) information: usize,
}

/// `IoSetNextIrpStackLocation`.
///
/// # Safety
/// `irp` is a client's, with a location left.
unsafe fn take_location(irp: *mut IRP) {
    // SAFETY: as promised by the caller.
    let place = unsafe { current_location(irp) };
    // SAFETY: as promised by the caller.
    unsafe { (*irp).CurrentLocation -= 1 };
    // SAFETY: a field of the IRP.
    let current = unsafe { *place };
    // SAFETY: a location is left.
    let next = unsafe { current.sub(1) };
    // SAFETY: a field of the IRP.
    unsafe { *place = next };
}

/// `IoMarkIrpPending`.
///
/// # Safety
/// The location is taken.
unsafe fn mark_pending(irp: *mut IRP) {
    // SAFETY: as promised by the caller.
    let place = unsafe { current_location(irp) };
    // SAFETY: a field of the IRP.
    let location = unsafe { *place };
    // SAFETY: the location that was taken.
    unsafe { (*location).Control |= SL_PENDING_RETURNED };
}

/// The first word of `Tail.Overlay.DriverContext`: the number of the operation that waits.
///
/// # Safety
/// `irp` is valid.
unsafe fn driver_context(irp: *mut IRP) -> *mut *mut c_void {
    // SAFETY: as promised by the caller; only an address is computed.
    unsafe { &raw mut (*irp).Tail.Overlay.DriverContext }.cast()
}

/// # Safety
/// `irp` is entered.
unsafe fn finish(irp: *mut IRP, status: NTSTATUS, information: usize) {
    // SAFETY: as promised by the caller.
    let block = unsafe { &mut (*irp).IoStatus };
    block.Status = status;
    block.Information = information;
    // SAFETY: as promised by the caller.
    unsafe { IofCompleteRequest(irp, 0) };
}

/// Completes an IRP that is not marked pending, and returns its status: what Windows does where nothing begins.
///
/// # Safety
/// `irp` is a client's.
pub(super) unsafe fn fail_unmarked(irp: *mut IRP, status: NTSTATUS) -> NTSTATUS {
    // SAFETY: as promised by the caller.
    unsafe { take_location(irp) };
    // SAFETY: just taken.
    unsafe { finish(irp, status, 0) };
    status
}

/// Who a function is called on.
pub(super) enum Target {
    /// A client, by its number.
    Client(usize),
    /// A socket, by its address.
    Socket(usize),
}

/// Enters `irp` and lets `work` answer it or have it wait.
///
/// # Safety
/// `irp` is NULL or a client's, given for this call.
pub(super) unsafe fn enter(
    function: Function,
    target: &Target,
    irp: *mut IRP,
    work: impl FnOnce(&mut World, Request),
) -> NTSTATUS {
    // SAFETY: as promised by the caller.
    unsafe { enter_unless(function, target, irp, |_| None, work) }
}

/// As [`enter`], but what `refuse` says is answered at once, unmarked.
///
/// # Safety
/// As for [`enter`].
pub(super) unsafe fn enter_unless(
    function: Function,
    target: &Target,
    irp: *mut IRP,
    refuse: impl FnOnce(&World) -> Option<NTSTATUS>,
    work: impl FnOnce(&mut World, Request),
) -> NTSTATUS {
    processor::require_at_most(abi::nt::DISPATCH_LEVEL, "a WSK function");
    begin_call(function);
    let mut world = world::lock();
    world.count(function);
    if irp.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    let (client, socket) = match *target {
        Target::Client(client) => (client, 0),
        Target::Socket(0) => (0, 0),
        Target::Socket(socket) => (world.client_of(socket, function), socket),
    };
    let refused = if client == 0 { Some(STATUS_INVALID_HANDLE) } else { refuse(&world) };
    if let Some(status) = refused {
        drop(world);
        // SAFETY: as promised by the caller.
        return unsafe { fail_unmarked(irp, status) };
    }
    world.require_client(client, function);
    // SAFETY: as promised by the caller.
    unsafe { take_location(irp) };
    // SAFETY: just taken.
    unsafe { mark_pending(irp) };
    world.request_begins(client);
    let request = Request { irp, client };
    match world.fault(function) {
        Some(status) => world.answer(socket, request, status, 0),
        None => work(&mut world, request),
    }
    world::finish(world, socket);
    STATUS_PENDING
}

impl Done {
    /// Calls the completion routine; no lock is held.
    pub(super) fn complete(self) {
        let client = self.request.client;
        // SAFETY: entered, and not completed before, because this consumes it.
        unsafe { finish(self.request.irp, self.status, self.information) };
        world::lock().request_ends(client);
    }

    /// Has the completion routine called from a DPC.
    pub(super) fn complete_later(self) {
        queue(Box::new(|| self.complete()));
    }
}

type Task = Box<dyn FnOnce() + Send>;

/// A call that is queued, with the DPC that makes it.
struct Vehicle {
    dpc: MaybeUninit<KDPC>,
    task: Task,
}

/// Has `task` called from a DPC of its own.
pub(super) fn queue(task: Task) {
    let vehicle = Box::into_raw(Box::new(Vehicle { dpc: MaybeUninit::uninit(), task }));
    // SAFETY: just allocated.
    let dpc = unsafe { &raw mut (*vehicle).dpc }.cast::<KDPC>();
    // SAFETY: memory for a DPC.
    unsafe { dpc::KeInitializeDpc(dpc, run, vehicle.cast()) };
    // SAFETY: kept until its call.
    unsafe { dpc::insert(dpc, [std::ptr::null_mut(); 2]) };
}

/// # Safety
/// `context` is a [`Vehicle`] for this one call.
unsafe extern "system" fn run(_: *mut KDPC, context: *mut c_void, _: *mut c_void, _: *mut c_void) {
    // SAFETY: as promised by the caller.
    let vehicle = unsafe { Box::from_raw(context.cast::<Vehicle>()) };
    (vehicle.task)();
}

/// An operation that waits, in the table of all of them.
pub(super) struct Waiting {
    pub(super) request: Request,
    /// Whose it is: a socket's address, or zero.
    pub(super) socket: usize,
    pub(super) what: Operation,
    /// How it ended, if its cancellation had begun before and has still to complete the IRP.
    ended: Option<(NTSTATUS, usize)>,
}

impl World {
    /// Has a request wait until it is concluded or cancelled. Returns its number.
    ///
    /// It is put into a queue of its socket by the caller, also if it is cancelled already: then the IRP is completed by
    /// whoever called its cancel routine, after the lock is dropped.
    pub(super) fn park(&mut self, socket: usize, request: Request, what: Operation) -> Option<usize> {
        let number = self.next_number();
        let irp = request.irp;
        // SAFETY: entered.
        let place = unsafe { driver_context(irp) };
        // SAFETY: a word of the IRP that is the provider's as long as it has the IRP.
        unsafe { place.write(std::ptr::without_provenance_mut(number)) };
        self.waiting.insert(number, Waiting { request, socket, what, ended: None });
        if let Some(owner) = self.sockets.get_mut(&socket) {
            owner.parked += 1;
        }
        // SAFETY: entered.
        unsafe { cancel_routine(irp) }.store(cancelled as *mut (), Ordering::SeqCst);
        // SAFETY: entered.
        let cancel = unsafe { &raw mut (*irp).Cancel };
        // SAFETY: a byte of the IRP that the I/O manager writes atomically.
        let is_cancelled = unsafe { AtomicU8::from_ptr(cancel) }.load(Ordering::SeqCst) != 0;
        if is_cancelled && Self::claim(irp) {
            if let Some(gone) = self.unpark(number) {
                self.answer(socket, gone.request, STATUS_CANCELLED, 0);
            }
            return None;
        }
        Some(number)
    }

    /// Takes the cancel routine away; `false` if it is being called.
    fn claim(irp: *mut IRP) -> bool {
        // SAFETY: only called for IRPs that wait.
        let routine: &AtomicPtr<()> = unsafe { cancel_routine(irp) };
        !routine.swap(std::ptr::null_mut(), Ordering::SeqCst).is_null()
    }

    fn unpark(&mut self, number: usize) -> Option<Waiting> {
        let gone = self.waiting.remove(&number)?;
        if let Some(owner) = self.sockets.get_mut(&gone.socket) {
            owner.parked -= 1;
        }
        Some(gone)
    }

    /// Ends an operation that waits. The caller has taken it from its queue.
    pub(super) fn conclude(&mut self, number: usize, status: NTSTATUS, information: usize) {
        let Some(waiting) = self.waiting.get_mut(&number) else { return };
        if !Self::claim(waiting.request.irp) {
            waiting.ended = Some((status, information));
            return;
        }
        let Some(gone) = self.unpark(number) else { return };
        match gone.what {
            // Nothing remains for the client to close.
            Operation::Connect { hidden: true } if !nt_success(status) => {
                self.abandon_with(gone.socket, gone.request, status);
            }
            _ => self.answer(gone.socket, gone.request, status, information),
        }
    }
}

impl Waiting {
    /// Whether its outcome is decided, and only the cancellation has still to complete it.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Bytes that a receive has placed already.
    pub(super) fn placed(&self) -> usize {
        match &self.what {
            Operation::Receive(receive) => receive.placed,
            _ => 0,
        }
    }
}

/// `DRIVER_CANCEL` of every IRP that waits: completes it before `IoCancelIrp` returns.
///
/// # Safety
/// `irp` waits in the table.
unsafe extern "system" fn cancelled(_: *mut DEVICE_OBJECT, irp: *mut IRP) {
    // SAFETY: the IRP is the provider's.
    let level = unsafe { (*irp).CancelIrql };
    // SAFETY: as above.
    let place = unsafe { driver_context(irp) };
    // SAFETY: a word of the IRP.
    let number = unsafe { place.read() }.addr();
    IoReleaseCancelSpinLock(level);
    let mut world = world::lock();
    let Some(gone) = world.unpark(number) else { return };
    let socket = gone.socket;
    let outcome = match gone.ended {
        Some(outcome) => Some(outcome),
        None => world.cancelled(number, &gone),
    };
    let Some((status, information)) = outcome else {
        // A socket that goes with the request completes it as its end.
        world.abandon(socket, gone.request);
        world::finish_now(world, socket);
        return;
    };
    world.hold(socket);
    world::finish(world, 0);
    Done { request: gone.request, status, information }.complete();
    let mut world = world::lock();
    world.let_go(socket);
    world::finish(world, socket);
}
