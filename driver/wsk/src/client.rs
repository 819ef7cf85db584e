//! A registered client: what `PWSK_CLIENT` points to.

use crate::TAG_PROVIDER;
use crate::provider::{Provider, Use};
use crate::system::{Call, System};
use abi::NTSTATUS;
use abi::status::{
    STATUS_DEVICE_NOT_READY, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_DEVICE_STATE, nt_success,
};
use abi::wsk::{
    PWSK_CLIENT, WSK_INFINITE_WAIT, WSK_NO_WAIT, WSK_PROVIDER_DISPATCH, WSK_TRANSPORT_LIST_CHANGE,
};
use core::sync::atomic::{AtomicU32, Ordering};
use irp::{CompletionBatch, IrpQueue, Outcome, OwnedIrp, QueueKind};
use kernel::lock::SpinLock;
use kernel::pool::Shared;
use kernel::rundown::Rundown;
use kernel::time::{interrupt_time_100ns, milliseconds};

/// One registration.
pub(crate) struct Client {
    provider: Use,
    /// Captures, sockets and calls: WskDeregister waits for them.
    uses: Rundown,
    /// WSK_SET_STATIC_EVENT_CALLBACKS: enabled from birth on every socket made afterwards.
    static_events: AtomicU32,
    /// The same client at the system's WSK.
    system: System,
    list_changes: SpinLock<ListChanges>,
    list_change: Call<Client>,
}

/// How long the system is waited for at a time, in milliseconds: meanwhile WskDeregister has to wait.
const CAPTURE_WAIT: u32 = 100;

/// In [`Client::static_events`]: the client has asked for a socket, and its static events are what they are.
const HAS_SOCKETS: u32 = 1 << 31;

/// What is under the lock of a client.
pub(crate) struct ListChanges {
    waiting: IrpQueue<AwaitListChange>,
    /// The system has been asked.
    asked: bool,
    /// WskDeregister was called.
    over: bool,
}

/// WSK_TRANSPORT_LIST_CHANGE: the IRPs wait here for the one request of this driver's that waits at the system.
pub(crate) enum AwaitListChange {}

// SAFETY: lock and queue are fields of the client and of the state under its lock; nothing moves the state.
unsafe impl QueueKind for AwaitListChange {
    type Owner = Client;
    type State = ListChanges;
    type Record = ();

    fn lock(owner: &Client) -> &SpinLock<ListChanges> {
        &owner.list_changes
    }

    fn queue(state: &mut ListChanges) -> &mut IrpQueue<Self> {
        &mut state.waiting
    }
}

impl Client {
    /// A client, registered with the system's WSK too. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, or what the system's WskRegister answers.
    pub(crate) fn new(provider: Use) -> Result<Shared<Self>, NTSTATUS> {
        let uses = Rundown::new().map_err(|e| e.status())?;
        let this = Self {
            provider,
            uses,
            static_events: AtomicU32::new(0),
            system: System::new()?,
            list_changes: SpinLock::new(ListChanges { waiting: IrpQueue::new(), asked: false, over: false }),
            list_change: Call::new(Self::list_changed),
        };
        let this = Shared::try_new(TAG_PROVIDER, this).map_err(|e| e.status())?;
        this.system.register()?;
        Ok(this)
    }

    /// The system's functions for this client. One that has registered has captured them together with this provider's; one
    /// that is attached by the registrar captures nothing, so that is done here. IRQL <= DISPATCH_LEVEL.
    pub(crate) fn system(&self) -> Option<(PWSK_CLIENT, &'static WSK_PROVIDER_DISPATCH)> {
        self.system.provider().or_else(|| {
            self.system.capture(WSK_NO_WAIT).ok()?;
            self.system.provider()
        })
    }

    /// Whether the system serves control operations.
    pub(crate) fn has_system_controls(&self) -> bool {
        self.system.has_controls()
    }

    /// A use of the client; `None` once it deregisters.
    pub(crate) fn enter(this: &Shared<Self>) -> Option<ClientUse> {
        this.uses.acquire()?.forget();
        Some(ClientUse(this.clone()))
    }

    /// Gives back a capture, whose guard was forgotten.
    ///
    /// # Safety
    /// Called once for each capture.
    pub(crate) unsafe fn release(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.uses.release_forgotten() };
    }

    /// Takes a capture, to be given back with [`Client::release`]. It captures the system's provider too, for which the
    /// caller may wait: IRQL <= DISPATCH_LEVEL with WSK_NO_WAIT, otherwise PASSIVE_LEVEL. WskDeregister ends the wait.
    ///
    /// # Errors
    /// DEVICE_NOT_READY: the client deregisters, or the system has no provider within `wait_timeout` milliseconds.
    pub(crate) fn capture(&self, wait_timeout: u32) -> Result<(), NTSTATUS> {
        let mut left = wait_timeout;
        loop {
            let guard = self.uses.acquire().ok_or(STATUS_DEVICE_NOT_READY)?;
            let now = left.min(CAPTURE_WAIT);
            let began = interrupt_time_100ns();
            match self.system.capture(now) {
                Ok(()) => {
                    guard.forget();
                    return Ok(());
                }
                // Only where it has waited; whatever else it means is no reason to ask again.
                Err(STATUS_DEVICE_NOT_READY)
                    if left > now
                        && interrupt_time_100ns().saturating_sub(began) >= milliseconds(now.into()) / 2 => {}
                Err(status) => return Err(status),
            }
            if left != WSK_INFINITE_WAIT {
                left = left.saturating_sub(now);
            }
        }
    }

    /// Refuses new uses from now on, and cancels what waits for a change of the transports. IRQL <= DISPATCH_LEVEL.
    pub(crate) fn begin_end(&self) {
        let mut batch = CompletionBatch::new();
        {
            let mut changes = self.list_changes.lock();
            changes.over = true;
            changes.waiting.drain_into(&mut batch, |()| Outcome::CANCELLED);
        }
        batch.flush();
        self.uses.begin();
    }

    /// The same, and waits until captures, sockets and calls are gone, also those that the client has from the system.
    /// IRQL: PASSIVE_LEVEL.
    pub(crate) fn wait(&self) {
        self.begin_end();
        self.uses.wait();
        self.system.deregister();
    }

    /// Waits for the same after somebody else has called [`Client::begin_end`]. IRQL: PASSIVE_LEVEL.
    pub(crate) fn wait_until_ended(&self) {
        self.uses.wait_until_over();
        self.system.deregister();
    }

    /// WSK_TRANSPORT_LIST_CHANGE. IRQL <= DISPATCH_LEVEL.
    pub(crate) fn await_list_change(this: &Shared<Self>, irp: OwnedIrp) {
        let rest = {
            let mut changes = this.list_changes.lock();
            if changes.over {
                Err(irp)
            } else {
                let ask = !core::mem::replace(&mut changes.asked, true);
                changes.waiting.park(this, irp, ()).map(|()| ask).inspect_err(|_| changes.asked ^= ask)
            }
        };
        match rest {
            Ok(true) => Self::ask_for_list_change(this),
            Ok(false) => {}
            Err(irp) => irp.complete(Outcome::CANCELLED),
        }
    }

    /// Asks the system, once.
    fn ask_for_list_change(this: &Shared<Self>) {
        let (Some((client, functions)), Ok(())) = (this.system(), this.list_change.prepare()) else {
            return Self::list_changed(this.clone(), STATUS_INSUFFICIENT_RESOURCES, 0);
        };
        let (code, null) = (WSK_TRANSPORT_LIST_CHANGE, core::ptr::null_mut());
        let ask = |irp| {
            // SAFETY: a call as its page says, without buffers.
            unsafe {
                (functions.WskControlClient)(client, code, 0, null, 0, null, core::ptr::null_mut(), irp)
            }
        };
        // SAFETY: prepared, and one at a time by `asked`.
        unsafe { this.list_change.start(this, ask) };
    }

    /// The list has changed, or WskDeregister ends the wait.
    fn list_changed(this: Shared<Self>, status: NTSTATUS, _information: usize) {
        let outcome = if nt_success(status) { Outcome::success(0) } else { Outcome::failure(status) };
        CompletionBatch::collect(&this.list_changes, |changes, batch| {
            changes.asked = false;
            changes.waiting.drain_into(batch, |()| outcome);
        });
    }

    pub(crate) fn provider(&self) -> &Provider {
        &self.provider
    }

    /// A socket is about to be made: the static events are settled from here on.
    pub(crate) fn begin_sockets(&self) {
        self.static_events.fetch_or(HAS_SOCKETS, Ordering::Relaxed);
    }

    /// Whether the client has ever asked for a socket.
    pub(crate) fn has_sockets(&self) -> bool {
        self.static_events.load(Ordering::Relaxed) & HAS_SOCKETS != 0
    }
}

/// Keeps WskDeregister waiting, and the client and the provider alive.
pub(crate) struct ClientUse(Shared<Client>);

impl ClientUse {
    /// One more use, for an accepted socket.
    pub(crate) fn try_clone(&self) -> Option<Self> {
        Client::enter(&self.0)
    }

    pub(crate) fn provider(&self) -> &Provider {
        &self.0.provider
    }

    /// The system's functions, if they are there.
    pub(crate) fn system(&self) -> Option<(PWSK_CLIENT, &'static WSK_PROVIDER_DISPATCH)> {
        self.0.system()
    }

    /// Whether the system serves control operations.
    pub(crate) fn has_system_controls(&self) -> bool {
        self.0.has_system_controls()
    }

    /// The events that every new socket has enabled for good.
    pub(crate) fn static_events(&self) -> u32 {
        self.0.static_events.load(Ordering::Relaxed) & !HAS_SOCKETS
    }

    /// WSK_SET_STATIC_EVENT_CALLBACKS; bits add up, because none of them can be disabled.
    ///
    /// # Errors
    /// INVALID_DEVICE_STATE: the client has sockets.
    pub(crate) fn set_static_events(&self, mask: u32) -> Result<(), NTSTATUS> {
        let add = |events: u32| (events & HAS_SOCKETS == 0).then_some(events | mask);
        let changed = self.0.static_events.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        changed.map(drop).map_err(|_| STATUS_INVALID_DEVICE_STATE)
    }
}

impl Drop for ClientUse {
    fn drop(&mut self) {
        // SAFETY: one release for the guard forgotten in `enter`; the client outlives this call through `self.0`.
        unsafe { self.0.uses.release_forgotten() };
    }
}
