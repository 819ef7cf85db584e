//! This driver as a provider of `NPI_WSK_INTERFACE_ID` with the Network Module Registrar, for clients that choose their
//! provider themselves, by [`WSKRDMA_NMR_MODULE_GUID`].
//!
//! An attached client is a [`Client`] like one that has registered: its pointer is the binding context, and what the client
//! passes as `PWSK_CLIENT`. Detaching stays pending until its last socket is closed and its last call has returned. Because
//! that includes what the client has from the system, whose WskDeregister blocks, each binding has a thread that waits for
//! it. New calls of the client level fail from the detach callback on; those on sockets go on working.
//!
//! The registrar offers this provider to the clients of WskRegister too, which do not choose. Where it can tell, this
//! driver declines them: one of them is itself, as a client of the system's WSK.

mod own;

pub(crate) use own::OwnRegistration;

use crate::TAG_PROVIDER;
use crate::client::Client;
use crate::edge::PROVIDER_DISPATCH;
use crate::provider::{Provider, Use};
use crate::registration::{SERVED, serves};
use crate::table::Table;
use abi::NTSTATUS;
use abi::nmr::{
    MIT_GUID, NPI_MODULEID, NPI_MODULEID_u, NPI_PROVIDER_CHARACTERISTICS, NPI_REGISTRATION_INSTANCE, NPIID,
};
use abi::nt::HANDLE;
use abi::status::{STATUS_INVALID_PARAMETER, STATUS_NOINTERFACE, STATUS_PENDING, STATUS_SUCCESS, nt_success};
use abi::wsk::{NPI_WSK_INTERFACE_ID, WSK_CLIENT_DISPATCH};
use abi::wskrdma::WSKRDMA_NMR_MODULE_GUID;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use kernel::lock::SpinLock;
use kernel::nmr;
use kernel::pool::Shared;
use kernel::thread::Thread;

/// Bytes of the structures, for their own members.
const MODULE_ID_LENGTH: u16 = 24;
const CHARACTERISTICS_LENGTH: u16 = 72;
const INSTANCE_SIZE: u16 = 40;

static INTERFACE: NPIID = NPI_WSK_INTERFACE_ID;
static MODULE: NPI_MODULEID = NPI_MODULEID {
    Length: MODULE_ID_LENGTH,
    Type: MIT_GUID,
    u: NPI_MODULEID_u { Guid: WSKRDMA_NMR_MODULE_GUID },
};

/// What is registered: it never changes and never goes away.
struct Characteristics(NPI_PROVIDER_CHARACTERISTICS);

// SAFETY: read-only, and so is all that its pointers lead to.
unsafe impl Sync for Characteristics {}

static CHARACTERISTICS: Characteristics = Characteristics(NPI_PROVIDER_CHARACTERISTICS {
    Version: 0,
    Length: CHARACTERISTICS_LENGTH,
    ProviderAttachClient: attach_client,
    ProviderDetachClient: detach_client,
    ProviderCleanupBindingContext: Some(clean_up_binding),
    ProviderRegistrationInstance: NPI_REGISTRATION_INSTANCE {
        Version: 0,
        Size: INSTANCE_SIZE,
        NpiId: &raw const INTERFACE,
        ModuleId: &raw const MODULE,
        Number: 0,
        NpiSpecificCharacteristics: (&raw const SERVED).cast(),
    },
});

/// A provider's registration with the Network Module Registrar.
pub struct NmrRegistration {
    handle: AtomicPtr<c_void>,
    registrar: Shared<Registrar>,
}

impl NmrRegistration {
    /// Registers; clients may attach before this returns. IRQL: PASSIVE_LEVEL. Only where the system has the registrar.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, or what else the registrar answers.
    pub fn start(provider: &Shared<Provider>) -> Result<Self, NTSTATUS> {
        let registrar = Registrar { provider: provider.clone(), bindings: Table::new() };
        let registrar = Shared::try_new(TAG_PROVIDER, registrar).map_err(|e| e.status())?;
        let (context, mut handle) = (Shared::as_ptr(&registrar).cast_mut().cast(), ptr::null_mut());
        // SAFETY: the characteristics are static; the context lives until `stop` has waited.
        let status =
            unsafe { nmr::register_provider(&raw const CHARACTERISTICS.0, context, &raw mut handle) };
        if nt_success(status) { Ok(Self { handle: AtomicPtr::new(handle), registrar }) } else { Err(status) }
    }

    /// Detaches from every client and waits until each has closed its sockets and ended its calls.
    /// IRQL: PASSIVE_LEVEL.
    pub fn stop(self) {
        let handle = self.handle.load(Ordering::Relaxed);
        // SAFETY: registered, and given up here.
        let begun = unsafe { nmr::deregister_provider(handle) };
        debug_assert_eq!(begun, STATUS_PENDING);
        // SAFETY: deregistered just now.
        let ended = unsafe { nmr::wait_for_provider(handle) };
        debug_assert_eq!(ended, STATUS_SUCCESS);
        self.registrar.join_threads(true);
    }
}

/// The context of the provider's callbacks.
struct Registrar {
    provider: Shared<Provider>,
    /// Those whose thread has not been joined.
    bindings: Table<Shared<Binding>>,
}

/// A client that is attached, or whose thread is about to end.
struct Binding {
    handle: AtomicPtr<c_void>,
    /// Kept by the binding context's reference until the thread has reported.
    client: AtomicPtr<Client>,
    place: AtomicUsize,
    thread: SpinLock<Option<Thread>>,
    /// The thread has reported, and is about to end.
    reported: AtomicBool,
}

impl Registrar {
    /// Makes a client for a binding. IRQL: PASSIVE_LEVEL.
    fn attach(&self, binding: HANDLE) -> Result<Shared<Client>, NTSTATUS> {
        self.join_threads(false);
        let provider = Use::new(&self.provider).ok_or(STATUS_NOINTERFACE)?;
        let client = Client::new(provider)?;
        match self.start_thread(binding, &client) {
            Ok(()) => Ok(client),
            Err(status) => {
                client.wait();
                Err(status)
            }
        }
    }

    fn start_thread(&self, handle: HANDLE, client: &Shared<Client>) -> Result<(), NTSTATUS> {
        let binding = Binding {
            handle: AtomicPtr::new(handle),
            client: AtomicPtr::new(Shared::as_ptr(client).cast_mut()),
            place: AtomicUsize::new(0),
            thread: SpinLock::new(None),
            reported: AtomicBool::new(false),
        };
        let binding = Shared::try_new(TAG_PROVIDER, binding).map_err(|e| e.status())?;
        let place = self.bindings.insert(binding.clone()).map_err(|e| e.status())?;
        binding.place.store(place, Ordering::Relaxed);
        let context = Shared::as_ptr(&binding).cast_mut().cast();
        // SAFETY: the table keeps the binding until its thread is joined.
        match unsafe { Thread::spawn(TAG_PROVIDER, end_binding, context) } {
            Ok(thread) => {
                *binding.thread.lock() = Some(thread);
                Ok(())
            }
            Err(status) => {
                drop(self.bindings.remove(place));
                Err(status)
            }
        }
    }

    /// Waits for the threads that have reported, or for all. IRQL: PASSIVE_LEVEL.
    fn join_threads(&self, all: bool) {
        self.bindings.each(|binding| {
            if all || binding.reported.load(Ordering::Acquire) {
                // Whoever takes it out joins.
                let taken = self.bindings.remove(binding.place.load(Ordering::Relaxed));
                let thread = taken.and_then(|binding| binding.thread.lock().take());
                drop(thread);
            }
            true
        });
    }
}

/// The thread of a binding: reports that the client is detached, once it is.
///
/// # Safety
/// `context` is a [`Binding`] that stays until this thread is joined, and its client is kept until the report.
unsafe fn end_binding(context: *mut c_void) {
    // SAFETY: the caller's promise.
    let binding = unsafe { &*context.cast::<Binding>() };
    // SAFETY: the caller's promise.
    let client = unsafe { &*binding.client.load(Ordering::Relaxed) };
    client.wait_until_ended();
    // SAFETY: the detach callback answers PENDING, and this is the one report.
    unsafe { nmr::provider_detach_complete(binding.handle.load(Ordering::Relaxed)) };
    binding.reported.store(true, Ordering::Release);
}

/// ProviderAttachClient. IRQL: PASSIVE_LEVEL.
///
/// NOINTERFACE: another version, a client that did not choose this provider, or the provider is stopping.
///
/// # Safety
/// The parameters are those of the page.
unsafe extern "system" fn attach_client(
    binding: HANDLE,
    context: *mut c_void,
    client: *const NPI_REGISTRATION_INSTANCE,
    _client_context: *mut c_void,
    dispatch: *const c_void,
    binding_context: *mut *mut c_void,
    provider_dispatch: *mut *const c_void,
) -> NTSTATUS {
    let dispatch = dispatch.cast::<WSK_CLIENT_DISPATCH>();
    if client.is_null() || dispatch.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: the client's instance, readable during the call.
    if unsafe { own::is_system_library(client, dispatch) } {
        return STATUS_NOINTERFACE;
    }
    // SAFETY: the client's table, valid as long as the binding.
    if !serves(unsafe { (*dispatch).Version }) {
        return STATUS_NOINTERFACE;
    }
    // SAFETY: the context that was registered, which lives until the deregistration is over.
    let registrar = unsafe { &*context.cast::<Registrar>() };
    match registrar.attach(binding) {
        Ok(client) => {
            // SAFETY: the registrar's variable. The reference is taken back when the binding is cleaned up.
            unsafe { binding_context.write(Shared::into_raw(client).cast_mut().cast()) };
            // SAFETY: as above.
            unsafe { provider_dispatch.write((&raw const PROVIDER_DISPATCH).cast()) };
            STATUS_SUCCESS
        }
        Err(status) => status,
    }
}

/// ProviderDetachClient: the binding's thread reports the end. IRQL <= DISPATCH_LEVEL.
///
/// # Safety
/// `context` is the binding context.
unsafe extern "system" fn detach_client(context: *mut c_void) -> NTSTATUS {
    // A reference for this call, which the report may overtake.
    // SAFETY: the binding context holds one until it is cleaned up.
    let client = unsafe { Shared::<Client>::clone_from_raw(context.cast_const().cast()) };
    client.begin_end();
    STATUS_PENDING
}

/// ProviderCleanupBindingContext. IRQL <= DISPATCH_LEVEL.
///
/// # Safety
/// `context` is the binding context, not used any more.
unsafe extern "system" fn clean_up_binding(context: *mut c_void) {
    // SAFETY: the reference that `attach_client` put there.
    drop(unsafe { Shared::<Client>::from_raw(context.cast_const().cast()) });
}

#[cfg(test)]
mod tests;
