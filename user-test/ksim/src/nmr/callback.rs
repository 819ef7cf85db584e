//! A module's characteristics and callbacks. The two structures have the same shape; only attaching differs.

use std::ffi::c_void;

use abi::NTSTATUS;
use abi::nmr::{NPI_CLIENT_CHARACTERISTICS, NPI_PROVIDER_CHARACTERISTICS, NPI_REGISTRATION_INSTANCE, NPIID};

use super::registrar::Side;
use crate::processor;
use crate::stop;
use crate::stop::{IRQL_UNEXPECTED_VALUE, NMR_INVALID_STATE};

/// What a module registered: the address of its characteristics, which stay its own, and its context.
#[derive(Clone, Copy)]
pub(super) struct Module {
    side: Side,
    characteristics: *const c_void,
    context: *mut c_void,
    /// A copy, to find out whether the characteristics stay what and where they were.
    seen: Seen,
}

// SAFETY: the pointers are the module's, given to be used on any thread.
unsafe impl Send for Module {}

/// What must not change while a module is registered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Seen {
    header: (u16, u16),
    detach: usize,
    instance: (u16, u16, usize, usize),
}

impl Module {
    /// # Safety
    /// `characteristics` are those of a module of this side, readable until it is deregistered.
    pub(super) unsafe fn new(side: Side, characteristics: *const c_void, context: *mut c_void) -> Self {
        let mut module = Self {
            side,
            characteristics,
            context,
            seen: Seen { header: (0, 0), detach: 0, instance: (0, 0, 0, 0) },
        };
        module.seen = module.look();
        module
    }

    fn look(&self) -> Seen {
        let (header, detach) = match self.side {
            Side::Provider => {
                let c = self.provider();
                ((c.Version, c.Length), c.ProviderDetachClient as usize)
            }
            Side::Client => {
                let c = self.client();
                ((c.Version, c.Length), c.ClientDetachProvider as usize)
            }
        };
        // SAFETY: inside the module's characteristics.
        let i = unsafe { &*self.instance_unchecked() };
        Seen { header, detach, instance: (i.Version, i.Size, i.NpiId.addr(), i.ModuleId.addr()) }
    }

    /// Whether the structures have the versions and lengths that `netioddk.h` gives them, and name an interface and a module.
    pub(super) fn is_well_formed(&self) -> bool {
        let (version, size, npi, module) = self.seen.instance;
        self.seen.header == (0, 72) && (version, size) == (0, 40) && npi != 0 && module != 0
    }

    fn provider(&self) -> &NPI_PROVIDER_CHARACTERISTICS {
        // SAFETY: a provider's, as promised to `new`.
        unsafe { &*self.characteristics.cast() }
    }

    fn client(&self) -> &NPI_CLIENT_CHARACTERISTICS {
        // SAFETY: a client's, as promised to `new`.
        unsafe { &*self.characteristics.cast() }
    }

    fn instance_unchecked(&self) -> *const NPI_REGISTRATION_INSTANCE {
        match self.side {
            Side::Provider => &raw const self.provider().ProviderRegistrationInstance,
            Side::Client => &raw const self.client().ClientRegistrationInstance,
        }
    }

    fn check(&self) {
        if self.look() != self.seen {
            stop!(
                NMR_INVALID_STATE,
                "the characteristics of a registered {:?} have changed, or are freed",
                self.side
            );
        }
    }

    /// The registration instance, as the other side sees it.
    fn instance(&self) -> *const NPI_REGISTRATION_INSTANCE {
        self.check();
        self.instance_unchecked()
    }

    /// The interface.
    pub(super) fn npi(&self) -> NPIID {
        // SAFETY: inside the module's characteristics.
        let id = unsafe { (*self.instance()).NpiId };
        // SAFETY: an identifier that stays as long as the characteristics.
        unsafe { *id }
    }

    /// `ClientAttachProvider`.
    pub(super) fn client_attach(&self, binding: *mut c_void, provider: &Self) -> NTSTATUS {
        self.check();
        let routine = self.client().ClientAttachProvider;
        let mut status = 0;
        processor::call_at(processor::irql(), IRQL_UNEXPECTED_VALUE, "ClientAttachProvider", || {
            // SAFETY: the client registered this callback with this context.
            status = unsafe { routine(binding, self.context, provider.instance()) };
        });
        status
    }

    /// `ProviderAttachClient`: the status, the provider's binding context and its dispatch table.
    pub(super) fn provider_attach(
        &self,
        binding: *mut c_void,
        client: &Self,
        client_context: *mut c_void,
        client_dispatch: *const c_void,
    ) -> (NTSTATUS, *mut c_void, *const c_void) {
        self.check();
        let routine = self.provider().ProviderAttachClient;
        let (mut status, mut context, mut dispatch) = (0, std::ptr::null_mut(), std::ptr::null());
        processor::call_at(processor::irql(), IRQL_UNEXPECTED_VALUE, "ProviderAttachClient", || {
            let (out, table) = (&raw mut context, &raw mut dispatch);
            let instance = client.instance();
            // SAFETY: the provider registered this callback with this context; the outputs live during the call.
            status = unsafe {
                routine(binding, self.context, instance, client_context, client_dispatch, out, table)
            };
        });
        (status, context, dispatch)
    }

    /// This side's detach callback.
    pub(super) fn detach(&self, binding_context: *mut c_void) -> NTSTATUS {
        self.check();
        let (routine, name) = match self.side {
            Side::Provider => (self.provider().ProviderDetachClient, "ProviderDetachClient"),
            Side::Client => (self.client().ClientDetachProvider, "ClientDetachProvider"),
        };
        let mut status = 0;
        processor::call_at(processor::irql(), IRQL_UNEXPECTED_VALUE, name, || {
            // SAFETY: the context that this side gave for the binding, which is not cleaned up.
            status = unsafe { routine(binding_context) };
        });
        status
    }

    /// This side's cleanup callback, if it has one.
    pub(super) fn clean_up(&self, binding_context: *mut c_void) {
        self.check();
        let (routine, name) = match self.side {
            Side::Provider => {
                (self.provider().ProviderCleanupBindingContext, "ProviderCleanupBindingContext")
            }
            Side::Client => (self.client().ClientCleanupBindingContext, "ClientCleanupBindingContext"),
        };
        if let Some(routine) = routine {
            processor::call_at(processor::irql(), IRQL_UNEXPECTED_VALUE, name, || {
                // SAFETY: the context that this side gave for the binding, for the last time.
                unsafe { routine(binding_context) };
            });
        }
    }
}
