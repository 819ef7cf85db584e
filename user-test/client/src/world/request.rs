//! One request of a case: an IRP of its own, and all that a provider may use until it has completed that.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use abi::NTSTATUS;
use abi::nt::{DEVICE_OBJECT, IRP};
use abi::status::STATUS_MORE_PROCESSING_REQUIRED;
use cases::watch::Watch;
use cases::world::{Call, Socket};
use kernel::event::{Event, EventType};
use kernel::irp::{InvokeOn, OwnedIrp, set_completion_routine};
use kernel::pool::{AllocError, PoolBox, Shared};

use super::chain::Chain;
use crate::calls::control::ControlRoom;
use crate::calls::room::AddressRoom;
use crate::calls::{self, Effect, Parameters};
use crate::handle::TAG;
use crate::watch::inside::{Fate, Inside};

/// What the completion routine saw.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    pub(super) status: NTSTATUS,
    pub(super) information: usize,
    pub(super) pending_returned: bool,
    pub(super) order: u64,
}

/// What the completion routine writes, at an address of its own: it runs on any thread.
struct Record {
    /// Addresses that the provider writes.
    rooms: UnsafeCell<[AddressRoom; 2]>,
    /// Input and output of a control request.
    control: UnsafeCell<ControlRoom>,
    /// The call that the completion routine makes. Written before the IRP is handed over, taken by the routine.
    then: UnsafeCell<Option<Inside>>,
    /// Written once, before `event` is set.
    seen: UnsafeCell<Seen>,
    completions: AtomicU32,
    /// Set by the routine's last use of the record. Nothing else tells that the request is over: who knew it earlier could
    /// free the record, and the event with it, before the event is set.
    event: Event,
    /// Counts the completions of the world.
    counter: Shared<AtomicU64>,
}

pub(super) struct Request {
    irp: OwnedIrp,
    pub(super) chain: Option<Chain>,
    record: PoolBox<Record>,
    pub(super) effect: Effect,
    /// For a request that makes a socket: the one that can close it.
    pub(super) closer: Option<PoolBox<Option<Self>>>,
    pub(super) returned: NTSTATUS,
    pub(super) before_return: bool,
    pub(super) made: Option<Socket>,
    /// Who watches the socket that it makes.
    pub(super) watch: Option<Watch>,
    /// It is made from inside another call's end, or a callback.
    pub(super) fate: Option<Fate>,
    /// The end was looked at, and judged.
    pub(super) settled: bool,
}

impl Request {
    /// A request for a call that is not made yet.
    ///
    /// # Errors
    /// [`AllocError`]; nothing is left.
    pub(super) fn new(call: &Call<'_>, counter: &Shared<AtomicU64>) -> Result<Self, AllocError> {
        let chain = calls::buffer(call).map(|buffer| Chain::new(&buffer)).transpose()?.flatten();
        let record = Record {
            rooms: UnsafeCell::new([AddressRoom::UNTOUCHED; 2]),
            control: UnsafeCell::new(ControlRoom::UNTOUCHED),
            then: UnsafeCell::new(None),
            seen: UnsafeCell::new(Seen { status: 0, information: 0, pending_returned: false, order: 0 }),
            completions: AtomicU32::new(0),
            event: Event::new(EventType::Notification, false)?,
            counter: counter.clone(),
        };
        Ok(Self {
            irp: OwnedIrp::try_new(1)?,
            chain,
            record: PoolBox::try_new(TAG, record)?,
            effect: calls::effect(call),
            closer: None,
            returned: 0,
            before_return: false,
            made: None,
            watch: calls::watch(call),
            fate: None,
            settled: false,
        })
    }

    /// What the call is made with.
    pub(super) fn parameters(&self) -> Parameters {
        let rooms = self.record.rooms.get().cast::<AddressRoom>();
        // SAFETY: the second of two.
        let second = unsafe { rooms.add(1) };
        let mdl = self.chain.as_ref().map_or(core::ptr::null_mut(), Chain::mdl);
        Parameters {
            irp: self.irp.as_ptr(),
            mdl,
            first: rooms.cast(),
            second: second.cast(),
            control: self.record.control.get(),
        }
    }

    /// Makes the IRP ready for its one call.
    pub(super) fn submit(&self) -> Parameters {
        let context = self.record.as_ptr().cast();
        // SAFETY: the IRP is ours with its one location free; the record lives until the routine has run.
        unsafe { set_completion_routine(self.irp.as_ptr(), completed, context, InvokeOn::ALL) };
        self.parameters()
    }

    /// Has the completion routine make a call. The IRP is not handed over yet.
    pub(super) fn then(&mut self, inside: Inside) {
        // SAFETY: nobody else knows the record yet.
        unsafe { *self.record.then.get() = Some(inside) };
    }

    /// The output of a control request, and `OutputSizeReturned`.
    pub(super) fn output(&self, into: &mut [u8]) -> usize {
        // SAFETY: the provider writes no more once the request is over, which the caller has seen.
        unsafe { (*self.record.control.get()).read(into) }
    }

    /// Whether the IRP is completed.
    pub(super) fn is_done(&self) -> bool {
        self.record.event.wait(Some(0))
    }

    /// Waits for the completion, for at most `units` of 100 ns.
    pub(super) fn wait(&self, units: u64) -> bool {
        self.record.event.wait(Some(units))
    }

    /// Waits for the completion, however long that takes.
    pub(super) fn wait_forever(&self) {
        self.record.event.wait_forever();
    }

    /// How the IRP was completed, if it is.
    pub(super) fn seen(&self) -> Option<Seen> {
        // SAFETY: written once, before the event was set.
        self.is_done().then(|| unsafe { *self.record.seen.get() })
    }

    /// How often the IRP was completed.
    pub(super) fn completions(&self) -> u32 {
        self.record.completions.load(Ordering::Acquire)
    }

    /// What was written to the addresses. The request is over.
    pub(super) fn rooms(&self) -> [AddressRoom; 2] {
        // SAFETY: the provider writes no more once the IRP is completed, which the caller has seen.
        unsafe { *self.record.rooms.get() }
    }

    /// `IoCancelIrp`.
    pub(super) fn cancel(&self) {
        // SAFETY: the IRP was handed over, and lives as long as the request.
        let _called = unsafe { self.irp.cancel() };
    }
}

/// The completion routine of every request.
unsafe extern "system" fn completed(
    _device: *mut DEVICE_OBJECT,
    irp: *mut IRP,
    context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: the context is the request's record, which lives until somebody has seen its event set.
    let record = unsafe { &*context.cast::<Record>() };
    if record.completions.fetch_add(1, Ordering::AcqRel) == 0 {
        // SAFETY: in its completion routine the IRP is ours.
        let (status, information) = unsafe { kernel::irp::result(irp) };
        // SAFETY: as above.
        let pending_returned = unsafe { (*irp).PendingReturned } != 0;
        let order = record.counter.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
        // SAFETY: only the first completion writes, and nobody reads before the event is set.
        unsafe { *record.seen.get() = Seen { status, information, pending_returned, order } };
        // SAFETY: written before the IRP was handed over; only the first completion takes it.
        if let Some(inside) = unsafe { (*record.then.get()).take() } {
            inside.make();
        }
        // The last use of the record: a waiter may free it.
        record.event.set();
    }
    // The IRP is freed with the request: the I/O manager must not touch it again.
    STATUS_MORE_PROCESSING_REQUIRED
}
