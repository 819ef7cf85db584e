//! One client and one provider: offered, attached, detached, cleaned up.

use std::ffi::c_void;
use std::ptr;

use abi::NTSTATUS;
use abi::nt::HANDLE;
use abi::status::{STATUS_PENDING, STATUS_SUCCESS, nt_success};

use super::callback::Module;
use super::registrar::{CHANGED, REGISTRAR, Registrar, Side};
use crate::stop::NMR_INVALID_STATE;
use crate::{host, processor, stop};

/// How far one side is with detaching.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Detach {
    /// Its callback was not called.
    No,
    /// Its callback runs; `true`: it is complete already.
    Running(bool),
    /// Its callback has returned PENDING.
    Pending,
    Done,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// The client's attach callback runs, or is about to; whose thread it is.
    Offered(usize),
    Attached,
    Detaching,
}

pub(super) struct Binding {
    pub(super) handle: usize,
    pub(super) provider: usize,
    pub(super) client: usize,
    phase: Phase,
    /// The provider has accepted: both sides' binding contexts.
    contexts: Option<Contexts>,
    provider_detach: Detach,
    client_detach: Detach,
}

#[derive(Clone, Copy)]
struct Contexts {
    provider: *mut c_void,
    client: *mut c_void,
}

// SAFETY: the pointers are the modules', given to be used on any thread.
unsafe impl Send for Contexts {}

impl Contexts {
    fn of(self, side: Side) -> *mut c_void {
        match side {
            Side::Provider => self.provider,
            Side::Client => self.client,
        }
    }
}

impl Binding {
    /// A new binding that this thread offers to the client; returns its handle.
    pub(super) fn offer(registrar: &mut Registrar, provider: usize, client: usize) -> usize {
        let handle = registrar.new_handle();
        let binding = Self {
            handle,
            provider,
            client,
            phase: Phase::Offered(processor::identity()),
            contexts: None,
            provider_detach: Detach::No,
            client_detach: Detach::No,
        };
        registrar.bindings.insert(handle, binding);
        handle
    }

    fn detach_of(&mut self, side: Side) -> &mut Detach {
        match side {
            Side::Provider => &mut self.provider_detach,
            Side::Client => &mut self.client_detach,
        }
    }
}

/// Looks at a binding together with its modules; `None` if there is no such binding.
fn with<R>(handle: usize, look: impl FnOnce(&mut Binding, Module, Module) -> R) -> Option<R> {
    let mut registrar = host::lock(&REGISTRAR);
    let Registrar { modules, bindings, .. } = &mut *registrar;
    let binding = bindings.get_mut(&handle)?;
    let provider = modules.get(&binding.provider)?.module;
    let client = modules.get(&binding.client)?.module;
    Some(look(binding, provider, client))
}

fn remove(handle: usize) {
    host::lock(&REGISTRAR).bindings.remove(&handle);
    CHANGED.notify_all();
}

/// Offers the provider to the client. If either side has begun to deregister meanwhile, what came of it ends at once.
pub(super) fn make_offer(handle: usize) {
    let Some((provider, client)) = with(handle, |_, provider, client| (provider, client)) else { return };
    let status = client.client_attach(ptr::without_provenance_mut(handle), &provider);
    let attached = with(handle, |binding, _, _| {
        let attached = binding.contexts.is_some();
        if attached {
            binding.phase = Phase::Attached;
        }
        attached
    });
    match (attached, nt_success(status)) {
        (Some(true), true) => {
            let ends = {
                let registrar = host::lock(&REGISTRAR);
                let ending = |module| registrar.modules.get(&module).is_none_or(|m| m.deregistering);
                registrar.bindings.get(&handle).is_some_and(|b| ending(b.provider) || ending(b.client))
            };
            if ends {
                detach(handle);
            }
        }
        (Some(false), false) => remove(handle),
        (attached, _) => stop!(
            NMR_INVALID_STATE,
            "ClientAttachProvider returned {status:#x}, but attached is {attached:?}"
        ),
    }
}

/// # Safety
/// As for `NmrClientAttachProvider`.
pub(super) unsafe fn attach(
    handle: HANDLE,
    client_context: *mut c_void,
    client_dispatch: *const c_void,
    provider_context: *mut *mut c_void,
    provider_dispatch: *mut *const c_void,
) -> NTSTATUS {
    let offered = with(handle.addr(), |binding, provider, client| {
        let here = binding.phase == Phase::Offered(processor::identity()) && binding.contexts.is_none();
        here.then_some((provider, client))
    });
    let Some(Some((provider, client))) = offered else {
        stop!(
            NMR_INVALID_STATE,
            "NmrClientAttachProvider of {handle:?}, which is not offered on this thread"
        );
    };
    let (status, context, dispatch) =
        provider.provider_attach(handle, &client, client_context, client_dispatch);
    if !nt_success(status) {
        return status;
    }
    with(handle.addr(), |binding, _, _| {
        binding.contexts = Some(Contexts { provider: context, client: client_context });
    });
    // SAFETY: as promised by the caller.
    unsafe { provider_context.write(context) };
    // SAFETY: as promised by the caller.
    unsafe { provider_dispatch.write(dispatch) };
    status
}

/// Ends a binding, unless that has begun; one that is only offered is ended by whoever offers it.
pub(super) fn detach(handle: usize) {
    let begun = with(handle, |binding, provider, client| {
        if binding.phase != Phase::Attached {
            return None;
        }
        binding.phase = Phase::Detaching;
        binding.provider_detach = Detach::Running(false);
        binding.contexts.map(|contexts| (contexts, provider, client))
    });
    let Some(Some((contexts, provider, client))) = begun else { return };
    let status = provider.detach(contexts.provider);
    with(handle, |binding, _, _| binding.client_detach = Detach::Running(false));
    returned(Side::Provider, handle, status);
    let status = client.detach(contexts.client);
    returned(Side::Client, handle, status);
}

/// A detach callback has returned.
fn returned(side: Side, handle: usize, status: NTSTATUS) {
    let wrong = with(handle, |binding, _, _| {
        let detach = binding.detach_of(side);
        *detach = match (*detach, status) {
            (Detach::Running(false), STATUS_SUCCESS) | (Detach::Running(true), STATUS_PENDING) => {
                Detach::Done
            }
            (Detach::Running(false), STATUS_PENDING) => Detach::Pending,
            (found, _) => return Some(found),
        };
        None
    });
    if let Some(Some(found)) = wrong {
        stop!(NMR_INVALID_STATE, "a {side:?}'s detach callback returned {status:#x}, {found:?}");
    }
    clean_up_if_over(handle);
}

/// `Nmr…Detach…Complete`.
pub(super) fn complete(side: Side, handle: HANDLE, routine: &str) {
    let known = with(handle.addr(), |binding, _, _| {
        let detach = binding.detach_of(side);
        match *detach {
            Detach::Running(false) => *detach = Detach::Running(true),
            Detach::Pending => *detach = Detach::Done,
            Detach::No | Detach::Running(true) | Detach::Done => return false,
        }
        true
    });
    if known != Some(true) {
        stop!(NMR_INVALID_STATE, "{routine} of {handle:?}, which has no detach pending");
    }
    clean_up_if_over(handle.addr());
}

/// Calls both cleanup callbacks when both sides are done, and forgets the binding.
fn clean_up_if_over(handle: usize) {
    let over = with(handle, |binding, provider, client| {
        if (binding.provider_detach, binding.client_detach) != (Detach::Done, Detach::Done) {
            return None;
        }
        // Once: the other side may look at the same time.
        binding.contexts.take().map(|contexts| (contexts, provider, client))
    });
    if let Some(Some((contexts, provider, client))) = over {
        provider.clean_up(contexts.of(Side::Provider));
        client.clean_up(contexts.of(Side::Client));
        remove(handle);
    }
}
