//! The modules, and what is between them.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ptr;

use abi::NTSTATUS;
use abi::nt::HANDLE;
use abi::status::{STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER, STATUS_PENDING, STATUS_SUCCESS};

use super::binding::{self, Binding};
use super::callback::Module;
use crate::host::{self, Condvar, Mutex};
use crate::stop::NMR_INVALID_STATE;
use crate::{pool, stop};

/// Which half of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Provider,
    Client,
}

pub(super) struct Registered {
    pub(super) side: Side,
    pub(super) module: Module,
    pub(super) deregistering: bool,
}

/// Everything under one lock, which is never held while a callback runs.
pub(super) struct Registrar {
    pub(super) modules: BTreeMap<usize, Registered>,
    pub(super) bindings: BTreeMap<usize, Binding>,
    last_handle: usize,
}

pub(super) static REGISTRAR: Mutex<Registrar> =
    Mutex::new(Registrar { modules: BTreeMap::new(), bindings: BTreeMap::new(), last_handle: 0 });
/// A binding has gone.
pub(super) static CHANGED: Condvar = Condvar::new();

impl Registrar {
    /// A handle that was never used before.
    pub(super) fn new_handle(&mut self) -> usize {
        self.last_handle += 8;
        self.last_handle
    }

    /// The bindings of one module.
    pub(super) fn bindings_of(&self, module: usize) -> Vec<usize> {
        let of = |binding: &&Binding| binding.provider == module || binding.client == module;
        self.bindings.values().filter(of).map(|binding| binding.handle).collect()
    }
}

pub(super) fn count() -> (usize, usize) {
    let registrar = host::lock(&REGISTRAR);
    (registrar.modules.len(), registrar.bindings.len())
}

/// # Safety
/// As for the two registration functions.
pub(super) unsafe fn register(
    side: Side,
    characteristics: *const c_void,
    context: *mut c_void,
    out: *mut HANDLE,
) -> NTSTATUS {
    if characteristics.is_null() || out.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: as promised by the caller.
    let module = unsafe { Module::new(side, characteristics, context) };
    if !module.is_well_formed() {
        return STATUS_INVALID_PARAMETER;
    }
    if pool::fails_now() {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    let (handle, offers) = {
        let mut registrar = host::lock(&REGISTRAR);
        let handle = registrar.new_handle();
        let others: Vec<usize> = registrar
            .modules
            .iter()
            .filter(|(_, other)| other.side != side && !other.deregistering)
            .filter(|(_, other)| other.module.npi() == module.npi())
            .map(|(other, _)| *other)
            .collect();
        registrar.modules.insert(handle, Registered { side, module, deregistering: false });
        let pairs = others.into_iter().map(|other| match side {
            Side::Provider => (handle, other),
            Side::Client => (other, handle),
        });
        let offers: Vec<usize> =
            pairs.map(|(provider, client)| Binding::offer(&mut registrar, provider, client)).collect();
        (handle, offers)
    };
    // The callbacks may already use what the module keeps beside its handle.
    // SAFETY: as promised by the caller.
    unsafe { out.write(ptr::without_provenance_mut(handle)) };
    for offer in offers {
        binding::make_offer(offer);
    }
    STATUS_SUCCESS
}

pub(super) fn deregister(side: Side, handle: HANDLE, routine: &str) -> NTSTATUS {
    let bindings = {
        let mut registrar = host::lock(&REGISTRAR);
        match registrar.modules.get_mut(&handle.addr()) {
            Some(module) if module.side == side && !module.deregistering => module.deregistering = true,
            _ => {
                drop(registrar);
                stop!(NMR_INVALID_STATE, "{routine} of {handle:?}, which is not registered");
            }
        }
        registrar.bindings_of(handle.addr())
    };
    for binding in bindings {
        binding::detach(binding);
    }
    STATUS_PENDING
}

pub(super) fn wait(side: Side, handle: HANDLE) -> NTSTATUS {
    let mut registrar = host::lock(&REGISTRAR);
    match registrar.modules.get(&handle.addr()) {
        Some(module) if module.side == side && module.deregistering => {}
        _ => return STATUS_INVALID_PARAMETER,
    }
    while !registrar.bindings_of(handle.addr()).is_empty() {
        registrar = host::wait(&CHANGED, registrar, "the bindings of a module");
    }
    registrar.modules.remove(&handle.addr());
    STATUS_SUCCESS
}
