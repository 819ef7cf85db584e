//! A registration with the system's provider.

use crate::TAG_PROVIDER;
use crate::nmr::OwnRegistration;
use crate::registration::VERSION;
use abi::NTSTATUS;
use abi::status::{STATUS_DEVICE_NOT_READY, STATUS_NOT_IMPLEMENTED, nt_success};
use abi::wsk::{
    PWSK_CLIENT, WSK_CLIENT_DISPATCH, WSK_CLIENT_NPI, WSK_PROVIDER_DISPATCH, WSK_PROVIDER_NPI,
    WSK_REGISTRATION, WSK_TRANSPORT_LIST_QUERY,
};
use core::cell::UnsafeCell;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use kernel::pool::PoolBox;

/// What this driver tells the system's provider: no event of the client level exists.
pub(crate) static CLIENT_DISPATCH: WSK_CLIENT_DISPATCH =
    WSK_CLIENT_DISPATCH { Version: VERSION, Reserved: 0, WskClientEvent: None };

/// One registration with the system's WSK, made by WskRegister and captured when our client first captures ours.
///
/// Each client of ours has its own, so what the system keeps per client (static callbacks, TDI behaviour, the wait for
/// sockets in WskDeregister) is kept for the right one.
pub(crate) struct System {
    /// The system's to use, at a fixed address.
    registration: PoolBox<UnsafeCell<WSK_REGISTRATION>>,
    registered: AtomicBool,
    /// Control operations are served: a provider without them (Wine's) leaves the IRP of one as it is.
    controls: AtomicBool,
    client: AtomicPtr<core::ffi::c_void>,
    /// Not NULL once captured.
    dispatch: AtomicPtr<WSK_PROVIDER_DISPATCH>,
}

// SAFETY: the block is used by the system's functions only, which synchronise themselves.
unsafe impl Send for System {}
// SAFETY: as above.
unsafe impl Sync for System {}

impl System {
    /// A block, not registered.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub(crate) fn new() -> Result<Self, NTSTATUS> {
        let block = WSK_REGISTRATION {
            ReservedRegistrationState: 0,
            ReservedRegistrationContext: ptr::null_mut(),
            ReservedRegistrationLock: 0,
        };
        let registration = PoolBox::try_new(TAG_PROVIDER, UnsafeCell::new(block)).map_err(|e| e.status())?;
        Ok(Self {
            registration,
            registered: AtomicBool::new(false),
            controls: AtomicBool::new(false),
            client: AtomicPtr::new(ptr::null_mut()),
            dispatch: AtomicPtr::new(ptr::null_mut()),
        })
    }

    /// Registers, once. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// What WskRegister answers.
    pub(crate) fn register(&self) -> Result<(), NTSTATUS> {
        let mut npi = WSK_CLIENT_NPI { ClientContext: ptr::null_mut(), Dispatch: &CLIENT_DISPATCH };
        let _own = OwnRegistration::begin();
        // SAFETY: the table is static; the block keeps its address until `deregister`.
        let status = unsafe { kernel::wsk::register(&mut npi, self.registration.get()) };
        if !nt_success(status) {
            return Err(status);
        }
        self.registered.store(true, Ordering::Release);
        Ok(())
    }

    /// Captures the provider, unless that is done. IRQL: PASSIVE_LEVEL, or <= DISPATCH_LEVEL with WSK_NO_WAIT.
    ///
    /// # Errors
    /// DEVICE_NOT_READY: the system has no provider within `wait_timeout` milliseconds. NOINTERFACE.
    pub(crate) fn capture(&self, wait_timeout: u32) -> Result<(), NTSTATUS> {
        if self.provider().is_some() {
            return Ok(());
        }
        let mut npi = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
        let _own = OwnRegistration::begin();
        // SAFETY: registered; the structure is writable.
        let status = unsafe { kernel::wsk::capture(self.registration.get(), wait_timeout, &mut npi) };
        if !nt_success(status) {
            return Err(status);
        }
        if npi.Dispatch.is_null() {
            // SAFETY: captured just now.
            unsafe { kernel::wsk::release(self.registration.get()) };
            return Err(STATUS_DEVICE_NOT_READY);
        }
        // SAFETY: captured just now, so the table is valid.
        self.controls.store(unsafe { serves_controls(&npi) }, Ordering::Relaxed);
        self.client.store(npi.Client, Ordering::Relaxed);
        let before = self.dispatch.swap(npi.Dispatch.cast_mut(), Ordering::AcqRel);
        if !before.is_null() {
            // Another thread captured at the same time, and one capture is enough.
            // SAFETY: captured twice, and one of them is kept.
            unsafe { kernel::wsk::release(self.registration.get()) };
        }
        Ok(())
    }

    /// The system's functions, and what to pass for the client. `None`: not captured. Whoever uses them keeps the client
    /// from deregistering.
    pub(crate) fn provider(&self) -> Option<(PWSK_CLIENT, &'static WSK_PROVIDER_DISPATCH)> {
        // SAFETY: NULL, or the system's table, which is valid as long as the registration.
        let dispatch = unsafe { self.dispatch.load(Ordering::Acquire).as_ref() }?;
        Some((self.client.load(Ordering::Relaxed), dispatch))
    }

    /// Whether the system serves control operations; known once captured.
    pub(crate) fn has_controls(&self) -> bool {
        self.controls.load(Ordering::Relaxed)
    }

    /// Waits until the sockets that the client had from the system are closed. Once, at the end. IRQL: PASSIVE_LEVEL.
    pub(crate) fn deregister(&self) {
        if !self.registered.swap(false, Ordering::AcqRel) {
            return;
        }
        if !self.dispatch.swap(ptr::null_mut(), Ordering::AcqRel).is_null() {
            // SAFETY: one capture is held.
            unsafe { kernel::wsk::release(self.registration.get()) };
        }
        // SAFETY: registered, and this happens once.
        unsafe { kernel::wsk::deregister(self.registration.get()) };
    }
}

/// The system's WSK for a part of this driver that is no client of ours: registered and captured as long as it lives.
pub struct SystemClient {
    system: System,
    client: PWSK_CLIENT,
    dispatch: &'static WSK_PROVIDER_DISPATCH,
}

// SAFETY: the client is a name for the system's functions, which take it from any thread.
unsafe impl Send for SystemClient {}
// SAFETY: as for `Send`.
unsafe impl Sync for SystemClient {}

impl SystemClient {
    /// Registers, and waits `wait_timeout` milliseconds for the provider. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// DEVICE_NOT_READY: it is not there in time. NOINTERFACE, INSUFFICIENT_RESOURCES.
    pub fn start(wait_timeout: u32) -> Result<Self, NTSTATUS> {
        let system = System::new()?;
        system.register()?;
        let captured = system.capture(wait_timeout);
        match captured.and_then(|()| system.provider().ok_or(STATUS_DEVICE_NOT_READY)) {
            Ok((client, dispatch)) => Ok(Self { system, client, dispatch }),
            Err(status) => {
                system.deregister();
                Err(status)
            }
        }
    }

    /// What WskCaptureProviderNPI has given; valid as long as this lives.
    #[must_use]
    pub const fn provider(&self) -> (PWSK_CLIENT, &'static WSK_PROVIDER_DISPATCH) {
        (self.client, self.dispatch)
    }
}

impl Drop for SystemClient {
    /// Waits until its sockets are closed. IRQL: PASSIVE_LEVEL.
    fn drop(&mut self) {
        self.system.deregister();
    }
}

/// Asks for the size of the list of transports, which every complete provider has. IRQL <= DISPATCH_LEVEL.
///
/// # Safety
/// `npi` is captured.
unsafe fn serves_controls(npi: &WSK_PROVIDER_NPI) -> bool {
    let (code, none, mut size) = (WSK_TRANSPORT_LIST_QUERY, ptr::null_mut(), 0);
    // SAFETY: the caller's promise.
    let control = unsafe { (*npi.Dispatch).WskControlClient };
    // SAFETY: a call as its page says, without an IRP and without room.
    let status = unsafe { control(npi.Client, code, 0, none, 0, none, &mut size, ptr::null_mut()) };
    status != STATUS_NOT_IMPLEMENTED
}
