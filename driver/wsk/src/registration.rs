//! WSK registration, as `wskrdma.lib` reaches it: Microsoft's five functions with Microsoft's meaning.
//!
//! `WSK_REGISTRATION` belongs to the client and is opaque to it. Here its context word holds one reference to the
//! [`Client`]; a global lock makes reading that word and taking a reference one step, because a client may call
//! WskCaptureProviderNPI on one thread while another one calls WskDeregister.

use crate::client::Client;
use crate::edge::PROVIDER_DISPATCH;
use crate::provider::{Provider, Use};
use abi::NTSTATUS;
use abi::status::{STATUS_DEVICE_NOT_READY, STATUS_INVALID_PARAMETER, STATUS_NOINTERFACE, STATUS_SUCCESS};
use abi::wsk::{
    MAKE_WSK_VERSION, WSK_CLIENT_NPI, WSK_MAJOR_VERSION, WSK_MINOR_VERSION, WSK_PROVIDER_CHARACTERISTICS,
    WSK_PROVIDER_NPI, WSK_REGISTRATION,
};
use core::ptr;
use kernel::lock::SpinLock;
use kernel::pool::Shared;

/// The one version this provider speaks: 1.0, which is what every known client asks for.
pub(crate) const VERSION: u16 = MAKE_WSK_VERSION(1, 0);

/// The versions that are served.
pub(crate) static SERVED: WSK_PROVIDER_CHARACTERISTICS =
    WSK_PROVIDER_CHARACTERISTICS { HighestVersion: VERSION, LowestVersion: VERSION };

/// Whether a client that asks for `version` is served: the same major version, and no later minor one.
pub(crate) const fn serves(version: u16) -> bool {
    WSK_MAJOR_VERSION(version) == WSK_MAJOR_VERSION(VERSION)
        && WSK_MINOR_VERSION(version) <= WSK_MINOR_VERSION(VERSION)
}

/// `ReservedRegistrationState` of a registration whose version is served.
const REGISTERED: u64 = 0x5752_4547_4953_5452;
/// `ReservedRegistrationState` of a registration that asked for another version.
const REFUSED: u64 = 0x5752_4547_5245_4655;

/// The running provider; also the lock over every registration's context word.
static RUNNING: SpinLock<Option<Shared<Provider>>> = SpinLock::new(None);

impl Provider {
    /// Makes this the provider that clients register with. `false`: another one runs.
    #[must_use]
    pub fn publish(this: &Shared<Self>) -> bool {
        let mut running = RUNNING.lock();
        if running.is_some() {
            return false;
        }
        *running = Some(this.clone());
        true
    }

    /// Lets no further client register; those that are registered stay.
    pub fn withdraw() {
        let withdrawn = RUNNING.lock().take();
        drop(withdrawn);
    }
}

/// The client of a registration, with a reference of its own. `Err`: what the caller is told.
///
/// # Safety
/// `registration` is a block that WskRegister has initialised.
unsafe fn client(registration: *mut WSK_REGISTRATION) -> Result<Shared<Client>, NTSTATUS> {
    let _lock = RUNNING.lock();
    // SAFETY: the caller's promise.
    let state = unsafe { (*registration).ReservedRegistrationState };
    // SAFETY: as above.
    let context = unsafe { (*registration).ReservedRegistrationContext }.cast::<Client>();
    match state {
        REGISTERED if !context.is_null() => {
            // SAFETY: under the lock the word holds a reference, which WskDeregister takes away under the same lock.
            Ok(unsafe { Shared::clone_from_raw(context) })
        }
        REFUSED => Err(STATUS_NOINTERFACE),
        _ => Err(STATUS_DEVICE_NOT_READY),
    }
}

/// WskRegister. IRQL: PASSIVE_LEVEL.
///
/// DEVICE_NOT_READY: the provider is stopping. INSUFFICIENT_RESOURCES. A version that is not served is not an error
/// here: WskCaptureProviderNPI answers it.
///
/// # Safety
/// The parameters are those of the WskRegister page; the block stays until WskDeregister has returned.
pub unsafe extern "system" fn wsk_register(
    npi: *mut WSK_CLIENT_NPI,
    registration: *mut WSK_REGISTRATION,
) -> NTSTATUS {
    if npi.is_null() || registration.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: the client's structure is readable during the call.
    let dispatch = unsafe { (*npi).Dispatch };
    if dispatch.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: the client's table is valid as long as the registration.
    let version = unsafe { (*dispatch).Version };
    let provider = RUNNING.lock().clone();
    let Some(provider) = provider.and_then(|p| Use::new(&p)) else { return STATUS_DEVICE_NOT_READY };
    let client = match Client::new(provider) {
        Ok(client) => client,
        Err(status) => return status,
    };
    let state = if serves(version) { REGISTERED } else { REFUSED };
    let block = WSK_REGISTRATION {
        ReservedRegistrationState: state,
        ReservedRegistrationContext: Shared::into_raw(client).cast_mut().cast(),
        ReservedRegistrationLock: 0,
    };
    // SAFETY: the client's block is writable, and nobody else uses it before this returns.
    unsafe { registration.write(block) };
    STATUS_SUCCESS
}

/// WskCaptureProviderNPI. This provider is there at once; the wait is for the system's, which serves what does not run over
/// RDMA. IRQL: PASSIVE_LEVEL, or <= DISPATCH_LEVEL with WSK_NO_WAIT.
///
/// DEVICE_NOT_READY: after WskDeregister, or without a provider of the system's. NOINTERFACE: the version asked for at registration is not served.
///
/// # Safety
/// The parameters are those of the page; the block was registered and is still allocated.
pub unsafe extern "system" fn wsk_capture_provider_npi(
    registration: *mut WSK_REGISTRATION,
    wait_timeout: u32,
    npi: *mut WSK_PROVIDER_NPI,
) -> NTSTATUS {
    if registration.is_null() || npi.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: the caller's promise.
    let client = match unsafe { client(registration) } {
        Ok(client) => client,
        Err(status) => return status,
    };
    if let Err(status) = client.capture(wait_timeout) {
        return status;
    }
    // The capture keeps the client alive: WskDeregister waits for its release.
    let captured =
        WSK_PROVIDER_NPI { Client: Shared::as_ptr(&client).cast_mut().cast(), Dispatch: &PROVIDER_DISPATCH };
    // SAFETY: the caller's structure is writable.
    unsafe { npi.write(captured) };
    STATUS_SUCCESS
}

/// WskReleaseProviderNPI. IRQL <= DISPATCH_LEVEL.
///
/// # Safety
/// Called once for each successful capture.
pub unsafe extern "system" fn wsk_release_provider_npi(registration: *mut WSK_REGISTRATION) {
    // SAFETY: captured, hence registered; the reference is there as long as a capture is not released.
    if let Some(context) = ptr::NonNull::new(unsafe { (*registration).ReservedRegistrationContext }) {
        // SAFETY: the word holds a reference, and WskDeregister waits for this capture before it takes that away.
        let client = unsafe { Shared::<Client>::clone_from_raw(context.as_ptr().cast()) };
        // SAFETY: the caller's promise.
        unsafe { client.release() };
    }
}

/// WskQueryProviderCharacteristics. IRQL <= DISPATCH_LEVEL.
///
/// # Safety
/// The parameters are those of the page; the block was registered.
pub unsafe extern "system" fn wsk_query_provider_characteristics(
    registration: *mut WSK_REGISTRATION,
    characteristics: *mut WSK_PROVIDER_CHARACTERISTICS,
) -> NTSTATUS {
    if registration.is_null() || characteristics.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    // A refused version is what this function is for.
    // SAFETY: the caller's promise.
    match unsafe { client(registration) } {
        Ok(_) | Err(STATUS_NOINTERFACE) => {}
        Err(status) => return status,
    }
    // SAFETY: the caller's structure is writable.
    unsafe { characteristics.write(SERVED) };
    STATUS_SUCCESS
}

/// WskDeregister: refuses new captures and waits until captures, calls, IRPs and sockets are gone. IRQL: PASSIVE_LEVEL.
///
/// # Safety
/// Called once for each successful WskRegister, not from a callback or completion routine.
pub unsafe extern "system" fn wsk_deregister(registration: *mut WSK_REGISTRATION) {
    let context = {
        let _lock = RUNNING.lock();
        // SAFETY: the caller's promise. From here on captures answer DEVICE_NOT_READY.
        unsafe { (*registration).ReservedRegistrationState = 0 };
        // SAFETY: as above.
        unsafe { (*registration).ReservedRegistrationContext }.cast::<Client>()
    };
    if context.is_null() {
        return;
    }
    // The word keeps its value until the wait is over, for the release of captures.
    // SAFETY: the reference that WskRegister put there, taken back once.
    let client = unsafe { Shared::from_raw(context) };
    client.wait();
    // SAFETY: nobody uses the block any more.
    unsafe { (*registration).ReservedRegistrationContext = ptr::null_mut() };
}
