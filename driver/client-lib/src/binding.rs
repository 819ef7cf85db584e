//! The five functions over any provider: who serves a registration, and until when.
//!
//! `WskRegister` takes a provider, registers with it in a block of its own and ties the client's block to
//! that `Binding`. The other functions hand the call on. The client's block never reaches the provider, so
//! the library owns all of the one and the provider all of the other.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use core::sync::atomic::AtomicU64;

use abi::NTSTATUS;
use abi::status::{
    STATUS_DEVICE_NOT_READY, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER, nt_success,
};
use abi::wsk::{WSK_CLIENT_NPI, WSK_PROVIDER_CHARACTERISTICS, WSK_PROVIDER_NPI, WSK_REGISTRATION};

use crate::block::{Purpose, State};
use control::provider::WSKRDMA_REGISTRATION_ENTRIES;

/// What the functions need from the machine. One implementation ships; the tests have another.
pub trait World {
    /// Keeps the provider loaded until it is dropped, at `PASSIVE_LEVEL`.
    type Hold;
    /// Something one thread waits for once.
    type Event;

    /// The provider for a new registration, and what keeps it loaded if it can go away. `PASSIVE_LEVEL`.
    fn provider() -> (WSKRDMA_REGISTRATION_ENTRIES, Option<Self::Hold>);
    /// Non-paged memory, aligned to 16 bytes, not initialised.
    fn allocate(bytes: usize) -> Option<NonNull<c_void>>;
    /// Gives memory back.
    ///
    /// # Safety
    /// `block` is from [`World::allocate`] and nobody uses it any more.
    unsafe fn free(block: NonNull<c_void>);
    /// Makes an event that is not set.
    ///
    /// # Safety
    /// `event` is memory for one, at its final address.
    unsafe fn initialize(event: *mut Self::Event);
    /// Sets the event; it is not touched after the waiting thread may have gone on. Up to `DISPATCH_LEVEL`.
    ///
    /// # Safety
    /// `event` is initialised.
    unsafe fn set(event: *mut Self::Event);
    /// Waits until the event is set. `PASSIVE_LEVEL`.
    ///
    /// # Safety
    /// `event` is initialised and nobody else waits for it.
    unsafe fn wait(event: *mut Self::Event);
}

/// One registration with one provider. Lives in pool from `WskRegister` to the end of `WskDeregister`.
struct Binding<W: World> {
    /// The provider's, from its `WskRegister` to the return of its `WskDeregister`.
    registration: WSK_REGISTRATION,
    entries: WSKRDMA_REGISTRATION_ENTRIES,
    /// Set by the last call out, where `WskDeregister` waits for one.
    last_out: MaybeUninit<W::Event>,
    hold: Option<W::Hold>,
}

/// Registers a client: `WskRegister`. `PASSIVE_LEVEL`.
///
/// # Errors
/// INVALID_PARAMETER for a null pointer, INSUFFICIENT_RESOURCES without memory, else what the provider
/// answers. The block is then not registered.
///
/// # Safety
/// The contract of `WskRegister`: `npi` is valid for as long as the registration, and `registration` is
/// memory for a block that stays in place until the last call with it has returned.
pub unsafe fn register<W: World>(npi: *mut WSK_CLIENT_NPI, registration: *mut WSK_REGISTRATION) -> NTSTATUS {
    if npi.is_null() || registration.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: the block is the caller's and stays.
    let word = unsafe { word_of(registration) };
    // SAFETY: the caller vouches for `npi`.
    let (status, binding) = unsafe { bind::<W>(npi) };
    let Some(binding) = binding else {
        State(word).refuse();
        return status;
    };
    // SAFETY: the block is the caller's, and no call with it can be outstanding before this one returns.
    unsafe { (*registration).ReservedRegistrationContext = binding.as_ptr().cast() };
    // SAFETY: as above.
    unsafe { (*registration).ReservedRegistrationLock = 0 };
    State(word).open();
    status
}

/// Ends a registration: `WskDeregister`. `PASSIVE_LEVEL`; returns when the provider is done with the client
/// and the last of the other four functions has returned. Does nothing for a block that is not registered.
///
/// # Safety
/// `registration` was given to [`register`] and is intact.
pub unsafe fn deregister<W: World>(registration: *mut WSK_REGISTRATION) {
    // SAFETY: the caller vouches for the block.
    let word = unsafe { word_of(registration) };
    if !State(word).close() {
        return;
    }
    // SAFETY: the word was open, so the context was written, and nobody but this call changes it.
    let binding = unsafe { binding_of::<W>(registration) };
    // SAFETY: a binding lives until this function frees it.
    let call = unsafe { (*binding).entries.WskDeregister };
    // SAFETY: as above; no reference is made of what the provider owns.
    let inner = unsafe { &raw mut (*binding).registration };
    // SAFETY: the provider is loaded, the block is the one it registered, and this is the only deregistration
    // of it.
    unsafe { call(inner) };
    if State(word).closed() {
        // SAFETY: as above.
        let last_out = unsafe { &raw mut (*binding).last_out };
        // SAFETY: initialised by `bind`; only the one caller that has closed the word waits.
        unsafe { W::wait(last_out.cast()) };
    }
    // SAFETY: the word is closed, so no call comes in that would read it.
    unsafe { (*registration).ReservedRegistrationContext = ptr::null_mut() };
    // SAFETY: no call is inside and none comes in.
    unsafe { unbind(binding) };
}

/// Takes the provider's table: `WskCaptureProviderNPI`. `PASSIVE_LEVEL`, or up to `DISPATCH_LEVEL` with a
/// timeout of zero milliseconds.
///
/// # Errors
/// DEVICE_NOT_READY once [`deregister`] has begun, else what the provider answers (DEVICE_NOT_READY,
/// NOINTERFACE).
///
/// # Safety
/// As for [`deregister`]; `npi` is valid for one write.
pub unsafe fn capture<W: World>(
    registration: *mut WSK_REGISTRATION,
    milliseconds: u32,
    npi: *mut WSK_PROVIDER_NPI,
) -> NTSTATUS {
    // SAFETY: the caller vouches for the block.
    let Some(call) = (unsafe { Call::<W>::begin(registration, Purpose::Ask) }) else {
        return STATUS_DEVICE_NOT_READY;
    };
    // SAFETY: the provider is loaded and the block registered with it; the caller vouches for `npi`.
    unsafe { (call.entries().WskCaptureProviderNPI)(call.registration(), milliseconds, npi) }
}

/// Gives the provider's table back: `WskReleaseProviderNPI`. Up to `DISPATCH_LEVEL`.
///
/// # Safety
/// As for [`deregister`]; one call per successful [`capture`].
pub unsafe fn release<W: World>(registration: *mut WSK_REGISTRATION) {
    // SAFETY: the caller vouches for the block.
    if let Some(call) = unsafe { Call::<W>::begin(registration, Purpose::Release) } {
        // SAFETY: the provider is loaded and holds a capture of this block.
        unsafe { (call.entries().WskReleaseProviderNPI)(call.registration()) }
    }
}

/// Asks for the provider's range of versions: `WskQueryProviderCharacteristics`. Up to `DISPATCH_LEVEL`.
///
/// # Errors
/// DEVICE_NOT_READY once [`deregister`] has begun, else what the provider answers.
///
/// # Safety
/// As for [`deregister`]; `characteristics` is valid for one write.
pub unsafe fn query<W: World>(
    registration: *mut WSK_REGISTRATION,
    characteristics: *mut WSK_PROVIDER_CHARACTERISTICS,
) -> NTSTATUS {
    // SAFETY: the caller vouches for the block.
    let Some(call) = (unsafe { Call::<W>::begin(registration, Purpose::Ask) }) else {
        return STATUS_DEVICE_NOT_READY;
    };
    // SAFETY: the provider is loaded and the block registered with it; the caller vouches for the output.
    unsafe { (call.entries().WskQueryProviderCharacteristics)(call.registration(), characteristics) }
}

/// A call that is counted in; dropping it counts it out.
struct Call<W: World> {
    registration: *mut WSK_REGISTRATION,
    binding: *mut Binding<W>,
}

impl<W: World> Call<W> {
    /// # Safety
    /// The block was given to [`register`] and stays intact until this is dropped.
    unsafe fn begin(registration: *mut WSK_REGISTRATION, purpose: Purpose) -> Option<Self> {
        // SAFETY: the caller vouches for the block.
        let word = unsafe { word_of(registration) };
        if !State(word).enter(purpose) {
            return None;
        }
        // SAFETY: the word let this call in, so the context was written before.
        let binding = unsafe { binding_of::<W>(registration) };
        Some(Self { registration, binding })
    }

    fn entries(&self) -> WSKRDMA_REGISTRATION_ENTRIES {
        // SAFETY: the binding lives while a call is counted in.
        unsafe { (*self.binding).entries }
    }

    fn registration(&self) -> *mut WSK_REGISTRATION {
        // SAFETY: as for `entries`; no reference is made of what the provider owns.
        unsafe { &raw mut (*self.binding).registration }
    }
}

impl<W: World> Drop for Call<W> {
    fn drop(&mut self) {
        // SAFETY: `begin`'s caller keeps the block intact.
        let word = unsafe { word_of(self.registration) };
        // SAFETY: computes an address in a binding that lives, because this call is still counted in.
        let last_out = unsafe { &raw mut (*self.binding).last_out };
        if State(word).leave() {
            // SAFETY: `deregister` waits for this event before it frees the binding.
            unsafe { W::set(last_out.cast()) };
        }
    }
}

/// Registers with a provider in a new binding. Without one the status tells why.
///
/// # Safety
/// `npi` is valid for as long as the registration.
unsafe fn bind<W: World>(npi: *mut WSK_CLIENT_NPI) -> (NTSTATUS, Option<NonNull<Binding<W>>>) {
    let (entries, hold) = W::provider();
    let Some(memory) = W::allocate(size_of::<Binding<W>>()) else {
        return (STATUS_INSUFFICIENT_RESOURCES, None);
    };
    let memory = memory.cast::<Binding<W>>();
    let binding = memory.as_ptr();
    let registration = WSK_REGISTRATION {
        ReservedRegistrationState: 0,
        ReservedRegistrationContext: ptr::null_mut(),
        ReservedRegistrationLock: 0,
    };
    // SAFETY: fresh memory of the right size and alignment.
    unsafe { binding.write(Binding { registration, entries, last_out: MaybeUninit::uninit(), hold }) };
    // SAFETY: written above.
    let last_out = unsafe { &raw mut (*binding).last_out };
    // SAFETY: memory for an event at its final address.
    unsafe { W::initialize(last_out.cast()) };
    // SAFETY: as above; no reference is made of what the provider owns.
    let inner = unsafe { &raw mut (*binding).registration };
    // SAFETY: the block is zeroed and stays in place; the caller vouches for `npi`.
    let status = unsafe { (entries.WskRegister)(npi, inner) };
    if nt_success(status) {
        return (status, Some(memory));
    }
    // SAFETY: the provider has refused, so nobody else knows the binding.
    unsafe { unbind(binding) };
    (status, None)
}

/// Frees a binding and lets its provider go.
///
/// # Safety
/// `binding` is from [`bind`] and nobody uses it any more.
unsafe fn unbind<W: World>(binding: *mut Binding<W>) {
    // SAFETY: initialised by `bind`, and the last use.
    let Binding { hold, .. } = unsafe { binding.read() };
    if let Some(memory) = NonNull::new(binding.cast()) {
        // SAFETY: `bind` allocated it.
        unsafe { W::free(memory) };
    }
    drop(hold);
}

/// The state word of a client's block.
///
/// # Safety
/// `registration` is valid and stays for `'a`; its state is only changed through this.
unsafe fn word_of<'a>(registration: *mut WSK_REGISTRATION) -> &'a AtomicU64 {
    // SAFETY: the caller vouches for the block.
    let word = unsafe { &raw mut (*registration).ReservedRegistrationState };
    // SAFETY: aligned, as the C type is; every access by the library is atomic.
    unsafe { AtomicU64::from_ptr(word) }
}

/// The binding of a client's block.
///
/// # Safety
/// The word says that the context was written.
unsafe fn binding_of<W: World>(registration: *mut WSK_REGISTRATION) -> *mut Binding<W> {
    // SAFETY: the caller vouches for it.
    let context = unsafe { (*registration).ReservedRegistrationContext };
    context.cast()
}

#[cfg(test)]
mod tests;
