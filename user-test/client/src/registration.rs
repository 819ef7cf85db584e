//! Registering one more client, for a case that wants a client of its own.

use core::ptr;

use abi::NTSTATUS;
use abi::status::{STATUS_DEVICE_NOT_READY, nt_success};
use abi::wsk::{
    MAKE_WSK_VERSION, PFN_WSK_CAPTURE_PROVIDER_NPI, PFN_WSK_DEREGISTER, PFN_WSK_REGISTER,
    PFN_WSK_RELEASE_PROVIDER_NPI, WSK_CLIENT_DISPATCH, WSK_CLIENT_NPI, WSK_PROVIDER_NPI, WSK_REGISTRATION,
};
use kernel::pool::PoolBox;

use crate::handle::TAG;

/// The registration functions of `wsk.h` that a client was linked with.
#[derive(Clone, Copy, Debug)]
pub struct RegistrationFunctions {
    /// `WskRegister`. PASSIVE_LEVEL.
    pub register: PFN_WSK_REGISTER,
    /// `WskCaptureProviderNPI`. PASSIVE_LEVEL.
    pub capture: PFN_WSK_CAPTURE_PROVIDER_NPI,
    /// `WskReleaseProviderNPI`.
    pub release: PFN_WSK_RELEASE_PROVIDER_NPI,
    /// `WskDeregister`. PASSIVE_LEVEL.
    pub deregister: PFN_WSK_DEREGISTER,
}

/// What such a client registers with: it asks for no client events.
static DISPATCH: WSK_CLIENT_DISPATCH =
    WSK_CLIENT_DISPATCH { Version: MAKE_WSK_VERSION(1, 0), Reserved: 0, WskClientEvent: None };

/// A registration whose provider is captured. Its drop ends it: it releases the provider and deregisters, at PASSIVE_LEVEL, and
/// waits until every socket of it is closed.
pub(crate) struct Registration {
    functions: RegistrationFunctions,
    block: PoolBox<WSK_REGISTRATION>,
    npi: WSK_PROVIDER_NPI,
}

impl Registration {
    /// Registers a client and captures its provider, for which it waits `limit_ms` milliseconds at most. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, and what the functions answer. Nothing is registered then.
    ///
    /// # Safety
    /// The functions are those of `wsk.h`, and may be called until this is dropped.
    pub(crate) unsafe fn new(functions: RegistrationFunctions, limit_ms: u32) -> Result<Self, NTSTATUS> {
        let not_registered = WSK_REGISTRATION {
            ReservedRegistrationState: 0,
            ReservedRegistrationContext: ptr::null_mut(),
            ReservedRegistrationLock: 0,
        };
        let block = PoolBox::try_new(TAG, not_registered).map_err(|error| error.status())?;
        let mut client = WSK_CLIENT_NPI { ClientContext: ptr::null_mut(), Dispatch: &DISPATCH };
        // SAFETY: the block stays where it is until it is deregistered; the table is static.
        let registered = unsafe { (functions.register)(&mut client, block.as_ptr()) };
        if !nt_success(registered) {
            return Err(registered);
        }
        let mut npi = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
        // SAFETY: registered above.
        let captured = unsafe { (functions.capture)(block.as_ptr(), limit_ms, &mut npi) };
        if nt_success(captured) {
            let registration = Self { functions, block, npi };
            // A capture without a table is released again.
            return if npi.Dispatch.is_null() { Err(STATUS_DEVICE_NOT_READY) } else { Ok(registration) };
        }
        // SAFETY: registered above, and nothing is captured.
        unsafe { (functions.deregister)(block.as_ptr()) };
        Err(captured)
    }

    /// The provider, captured until this is dropped.
    pub(crate) fn npi(&self) -> WSK_PROVIDER_NPI {
        self.npi
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: captured once.
        unsafe { (self.functions.release)(self.block.as_ptr()) };
        // SAFETY: registered once.
        unsafe { (self.functions.deregister)(self.block.as_ptr()) };
    }
}
