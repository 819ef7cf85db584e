//! Conditional accept: requests that the client judges before they are answered.
//!
//! ```text
//! Fresh ─ WskInspectEvent ─► Out ─┬─ Pend ───► Held ─ WskInspectComplete ─┬─► Accepted ─► established
//!                            ▲    ├─ Accept ──────────────────────────────┘       └────► Aborted: WskAbortEvent
//!                   looked at│    └─ Reject: gone                          └─ Reject: gone
//!                            └────────────────── Held ─ the peer is gone ───────────────► Aborted
//! ```
//!
//! A request has its slot, and so its id, from its arrival until it is over. Ids: `Key` is the slot, as an address inside
//! the socket, and `SerialNumber` counts its users, so an id is never that of another unresolved request.
//!
//! A WskInspectComplete for an id that is not unresolved is answered SUCCESS: the request may have been aborted an instant
//! before, which its caller cannot know.
//!
//! Contract: SO_CONDITIONAL_ACCEPT, WskInspectEvent, WskInspectComplete, WskAbortEvent.

use super::arrivals::Caller;
use super::{BACKLOG_MAX, ListenSocket, Phase};
use crate::TAG_SOCKET;
use abi::NTSTATUS;
use abi::status::STATUS_INVALID_PARAMETER;
use abi::wsk::{WSK_INSPECT_ACTION, WSK_INSPECT_ID, WskInspectAccept, WskInspectPend, WskInspectReject};
use core::mem::replace;
use irp::{Outcome, OwnedIrp};
use kernel::pool::{AllocError, PoolSlice, Shared};
use kernel::timer::Timer;

/// How often held requests are looked after, in units of 100 ns: 250 ms. NDKPI has no event for a peer that gives up.
const PROBE_INTERVAL: u64 = 2_500_000;

/// The client's answer that ends its inspection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accept,
    Reject,
}

/// Where a request is.
enum Stage {
    /// The slot is free.
    Free,
    /// The client has not been asked.
    Fresh(Caller),
    /// The pump has it, to ask the client or to look after it. What WskInspectComplete said meanwhile.
    Out(Option<Verdict>),
    /// The client has answered Pend.
    Held {
        caller: Caller,
        /// Looked after since the timer fired.
        probed: bool,
    },
    /// It has become a connection, which is not established.
    Accepted,
    /// WskAbortEvent is due.
    Aborted,
}

struct Slot {
    serial: u32,
    stage: Stage,
}

/// The requests of one socket.
pub(super) struct Inspections {
    slots: PoolSlice<Slot>,
    /// Key of the first slot.
    base: usize,
    /// Serial number of the next request.
    next: u32,
}

/// What the pump is to do for a request.
pub(super) enum Due {
    /// Call WskInspectEvent.
    Ask(WSK_INSPECT_ID, Caller),
    /// Look whether the peer still waits.
    Probe(WSK_INSPECT_ID, Caller),
    /// Call WskAbortEvent. The slot is free already.
    Tell(WSK_INSPECT_ID),
}

/// What becomes of a request that the pump has had.
pub(super) enum Next {
    /// It becomes a connection.
    Connect(Caller),
    /// It is refused.
    Reject(Caller),
    /// It waits on.
    Held,
    /// The socket is closed, or the request gone.
    Gone(Caller),
}

impl Inspections {
    /// No requests; the keys of ids begin with `base`.
    fn new(base: usize) -> Result<Self, AllocError> {
        let slots =
            PoolSlice::try_new_with(TAG_SOCKET, BACKLOG_MAX, |_| Slot { serial: 0, stage: Stage::Free })?;
        Ok(Self { slots, base, next: 1 })
    }

    /// Takes a request in, to be asked about.
    ///
    /// # Errors
    /// No slot is free.
    pub(super) fn enter(&mut self, caller: Caller) -> Result<(), Caller> {
        match self.slots.iter_mut().find(|slot| matches!(slot.stage, Stage::Free)) {
            Some(slot) => {
                *slot = Slot { serial: self.next, stage: Stage::Fresh(caller) };
                self.next = self.next.wrapping_add(1);
                Ok(())
            }
            None => Err(caller),
        }
    }

    /// The slot of an unresolved request.
    fn slot(&mut self, id: &WSK_INSPECT_ID) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(id.Key.checked_sub(self.base)?)?;
        (slot.serial == id.SerialNumber && !matches!(slot.stage, Stage::Free)).then_some(slot)
    }

    /// What the pump is to do next, the oldest request first.
    pub(super) fn due(&mut self) -> Option<Due> {
        let (base, next) = (self.base, self.next);
        let due = self.slots.iter_mut().enumerate().filter(|(_, slot)| {
            matches!(slot.stage, Stage::Fresh(_) | Stage::Aborted | Stage::Held { probed: false, .. })
        });
        let (index, slot) = due.max_by_key(|(_, slot)| next.wrapping_sub(slot.serial))?;
        let id = WSK_INSPECT_ID { Key: base.wrapping_add(index), SerialNumber: slot.serial };
        match replace(&mut slot.stage, Stage::Out(None)) {
            Stage::Fresh(caller) => Some(Due::Ask(id, caller)),
            Stage::Held { caller, .. } => Some(Due::Probe(id, caller)),
            _ => {
                slot.stage = Stage::Free;
                Some(Due::Tell(id))
            }
        }
    }

    /// Takes back a request that the pump has had; `answer` is what became of it there, `None` if it is to wait.
    pub(super) fn put_back(&mut self, id: &WSK_INSPECT_ID, caller: Caller, answer: Option<Verdict>) -> Next {
        let Some(slot) = self.slot(id) else { return Next::Gone(caller) };
        let Stage::Out(meanwhile) = slot.stage else { return Next::Gone(caller) };
        match answer.or(meanwhile) {
            Some(Verdict::Accept) => {
                slot.stage = Stage::Accepted;
                Next::Connect(caller)
            }
            Some(Verdict::Reject) => {
                slot.stage = Stage::Free;
                Next::Reject(caller)
            }
            None => {
                slot.stage = Stage::Held { caller, probed: true };
                Next::Held
            }
        }
    }

    /// WskInspectComplete: the request if it is held. Of one that the pump has, the verdict is kept; others are resolved.
    fn resolve(&mut self, id: &WSK_INSPECT_ID, verdict: Verdict) -> Option<Caller> {
        let slot = self.slot(id)?;
        if let Stage::Out(meanwhile) = &mut slot.stage {
            meanwhile.get_or_insert(verdict);
            return None;
        }
        if !matches!(slot.stage, Stage::Held { .. }) {
            return None;
        }
        let after = if verdict == Verdict::Accept { Stage::Accepted } else { Stage::Free };
        match replace(&mut slot.stage, after) {
            Stage::Held { caller, .. } => Some(caller),
            _ => None,
        }
    }

    /// The request is gone without the client's will. Whether the client is to be told.
    pub(super) fn abort(&mut self, id: &WSK_INSPECT_ID) -> bool {
        match self.slot(id) {
            // The client has rejected it while the pump was looking.
            Some(Slot { stage: Stage::Out(Some(Verdict::Reject)), .. }) | None => false,
            Some(slot) => {
                slot.stage = Stage::Aborted;
                true
            }
        }
    }

    /// The request is over.
    pub(super) fn forget(&mut self, id: &WSK_INSPECT_ID) {
        if let Some(slot) = self.slot(id) {
            slot.stage = Stage::Free;
        }
    }

    /// Takes any request out, to be dropped without the lock; every slot is free when there is none left.
    fn take_any(&mut self) -> Option<Caller> {
        self.slots.iter_mut().find_map(|slot| match replace(&mut slot.stage, Stage::Free) {
            Stage::Fresh(caller) | Stage::Held { caller, .. } => Some(caller),
            _ => None,
        })
    }

    /// The timer has fired: held requests are looked after again. Whether there are any.
    fn look_again(&mut self) -> bool {
        let mut any = false;
        for slot in self.slots.iter_mut() {
            if let Stage::Held { probed, .. } = &mut slot.stage {
                *probed = false;
                any = true;
            }
        }
        any
    }
}

/// The timer's routine.
///
/// # Safety
/// `context` is a [`ListenSocket`] inside a [`Shared`], some owner of which outlives the timer.
unsafe fn fired(context: *mut core::ffi::c_void) {
    // SAFETY: the caller's promise.
    let this = unsafe { Shared::<ListenSocket>::clone_from_raw(context.cast_const().cast()) };
    let any = {
        let mut state = this.state.lock();
        let requests = state.inspections.as_mut().is_some_and(Inspections::look_again);
        core::mem::take(&mut state.tcp.starved) || requests
    };
    if any {
        ListenSocket::kick(&this);
    }
}

impl ListenSocket {
    /// SO_CONDITIONAL_ACCEPT, before the bind. Without a WskInspectEvent callback every request counts as accepted.
    /// IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// INVALID_DEVICE_STATE: bound. INSUFFICIENT_RESOURCES.
    pub(crate) fn set_conditional_accept(this: &Shared<Self>, on: bool) -> Result<(), NTSTATUS> {
        let inspections = if on {
            Some(Inspections::new(Shared::as_ptr(this).addr()).map_err(|no_memory| no_memory.status())?)
        } else {
            None
        };
        let (result, _unused) = {
            let mut state = this.state.lock();
            if state.phase == Phase::Created {
                (Ok(()), replace(&mut state.inspections, inspections))
            } else {
                (Err(state.phase.refusal()), inspections)
            }
        };
        result
    }

    /// Whether `id` is of this socket's own requests, not of the system's.
    pub(crate) fn owns(&self, id: &WSK_INSPECT_ID) -> bool {
        let base = core::ptr::from_ref(self).addr();
        id.Key.checked_sub(base).is_some_and(|slot| slot < BACKLOG_MAX)
    }

    /// Whether SO_CONDITIONAL_ACCEPT is on.
    #[cfg(test)]
    pub(crate) fn conditional_accept(&self) -> bool {
        self.state.lock().inspections.is_some()
    }

    /// WskInspectComplete; `id` and `action` are the client's. INVALID_PARAMETER: no id, or neither Accept nor Reject.
    pub(crate) fn inspect_complete(
        this: &Shared<Self>,
        id: Option<WSK_INSPECT_ID>,
        action: WSK_INSPECT_ACTION,
        irp: OwnedIrp,
    ) {
        let verdict = verdict(action);
        let (Some(id), Some(verdict)) = (id, verdict) else {
            return irp.complete(Outcome::failure(STATUS_INVALID_PARAMETER));
        };
        let (resolved, arrivals, twin_waits) = {
            let mut state = this.state.lock();
            if state.phase != Phase::Listening {
                let refused = Outcome::failure(state.phase.refusal());
                drop(state);
                return irp.complete(refused);
            }
            let caller = state.inspections.as_mut().and_then(|i| i.resolve(&id, verdict));
            if caller.is_some() && verdict == Verdict::Reject {
                state.leave(None);
            }
            (caller, state.arrivals.clone(), state.twin_waits())
        };
        if twin_waits {
            Self::kick(this);
        }
        match (resolved, arrivals) {
            (Some(caller), Some(arrivals)) if verdict == Verdict::Accept => {
                Self::connect(this, &arrivals, caller, Some(id));
            }
            (Some(caller), _) => caller.incoming.reject(&stream::PROGRAM_REFUSAL),
            (None, _) => {}
        }
        irp.complete(Outcome::success(0));
    }

    /// The client has answered about a request, or the request was looked after.
    pub(super) fn inspected(
        this: &Shared<Self>,
        id: WSK_INSPECT_ID,
        caller: Caller,
        answer: Option<Verdict>,
    ) {
        let (next, arrivals) = {
            let mut state = this.state.lock();
            let next = match &mut state.inspections {
                Some(inspections) => inspections.put_back(&id, caller, answer),
                None => Next::Gone(caller),
            };
            match next {
                Next::Reject(_) => state.leave(None),
                Next::Held => {
                    if let Some(timer) = &state.timer {
                        timer.set(PROBE_INTERVAL);
                    }
                }
                _ => {}
            }
            (next, state.arrivals.clone())
        };
        match (next, arrivals) {
            (Next::Connect(caller), Some(arrivals)) => Self::connect(this, &arrivals, caller, Some(id)),
            (Next::Reject(caller), _) => caller.incoming.reject(&stream::PROGRAM_REFUSAL),
            (Next::Connect(caller) | Next::Gone(caller), _) => caller.incoming.reject(&[]),
            (Next::Held, _) => {}
        }
    }

    /// Drops the requests that the client has not accepted, telling nobody.
    pub(super) fn drop_requests(this: &Shared<Self>) {
        loop {
            let request = this.state.lock().inspections.as_mut().and_then(Inspections::take_any);
            match request {
                Some(caller) => caller.incoming.reject(&[]),
                None => return,
            }
        }
    }

    /// The timer that has the pump look after held requests, and after a twin for which there was no memory. IRQL: PASSIVE_LEVEL.
    pub(super) fn new_timer(this: &Shared<Self>) -> Result<Timer, NTSTATUS> {
        let context = Shared::as_ptr(this).cast_mut().cast();
        // SAFETY: the timer is taken out of the socket and dropped by its work item, which has a reference.
        unsafe { Timer::new(TAG_SOCKET, fired, context) }.map_err(|no_memory| no_memory.status())
    }

    /// Drops the timer once the socket is closed. IRQL: PASSIVE_LEVEL.
    pub(super) fn end_timer(this: &Shared<Self>) {
        let timer = {
            let mut state = this.state.lock();
            if matches!(state.phase, Phase::Dead | Phase::Closed) { state.timer.take() } else { None }
        };
        drop(timer);
    }
}

/// What WskInspectComplete's action means; `None`: nothing.
fn verdict(action: WSK_INSPECT_ACTION) -> Option<Verdict> {
    if action == WskInspectAccept {
        Some(Verdict::Accept)
    } else if action == WskInspectReject {
        Some(Verdict::Reject)
    } else {
        None
    }
}

/// What the answer of WskInspectEvent means; `None`: the request waits. Anything unknown refuses it.
pub(super) fn answer(action: WSK_INSPECT_ACTION) -> Option<Verdict> {
    if action == WskInspectPend { None } else { verdict(action).or(Some(Verdict::Reject)) }
}
