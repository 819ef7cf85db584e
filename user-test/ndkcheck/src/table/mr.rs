//! The slots of memory regions.

use ksim::sync::Mutex;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use abi::NTSTATUS;
use abi::ndk::{NDK_FN_REQUEST_COMPLETION, NDK_MR, NDK_MR_DISPATCH, NDK_MR_FLAG_ALLOW_LOCAL_WRITE};
use abi::nt::{BOOLEAN, DISPATCH_LEVEL, MDL};
use abi::status::nt_success;

use super::{answer, close_slot, extension_slot, request};
use crate::check::{Check, Refused, lock};
use crate::memory::{Region, Use, described};
use crate::object::{Body, Call, Ref, enter, forward};
use crate::request::requested;
use crate::rule::Rule;
use crate::script::Slot;

/// What a region is good for at present.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// Created, or deregistered.
    Idle,
    /// A request decides.
    Busy,
    /// By `NdkRegisterMr`.
    Registered,
    /// For fast registration of so many pages.
    Initialized { pages: u32, remote: bool, valid: bool },
}

/// A memory region.
pub(crate) struct Mr {
    pub(crate) pd: Ref,
    pub(crate) fast: bool,
    pub(crate) state: Mutex<State>,
    /// The mapping whose pages are registered fast.
    pub(crate) mapping: Mutex<Option<usize>>,
    /// Requests and windows that use it.
    pub(crate) users: AtomicUsize,
}

impl Mr {
    pub(crate) const fn new(pd: Ref, fast: bool) -> Self {
        let (state, mapping) = (Mutex::new(State::Idle), Mutex::new(None));
        Self { pd, fast, state, mapping, users: AtomicUsize::new(0) }
    }
}

/// Whether the region may be used by local requests or the peer.
fn has_tokens(state: State) -> bool {
    matches!(state, State::Registered | State::Initialized { .. })
}

/// Ends what tokens of `mr` name.
pub(super) fn forget(check: &Check, mr: Ref) {
    let Body::Mr(body) = &mr.body else { return };
    let mapping = lock(&body.mapping).take();
    let mut book = lock(&check.memory);
    book.remove_region(mr);
    if let Some(lam) = mapping {
        book.give_back(Use::Mapping(lam));
    }
}

/// The peer has invalidated a token.
pub(super) fn invalidated_by_peer(check: &Check, token: u32) {
    let Some(known) = lock(&check.memory).by_remote(token) else { return };
    match &known.body {
        Body::Mr(_) => invalidate(check, known),
        Body::Mw(window) => window.unbind(check),
        _ => {}
    }
}

/// A fast registration ends.
pub(super) fn invalidate(check: &Check, mr: Ref) {
    if let Body::Mr(body) = &mr.body
        && let State::Initialized { valid, .. } = &mut *lock(&body.state)
    {
        *valid = false;
    }
    forget(check, mr);
}

/// The call's own region.
fn body(call: &Call) -> Result<&Mr, Refused> {
    let Body::Mr(mr) = &call.object.body else { return Err(call.wrong_object()) };
    // SAFETY: the proxy lives as long as the check, which the call holds.
    Ok(unsafe { &*ptr::from_ref(mr) })
}

/// Refuses what would take a region away from its users.
fn unused(call: &Call) -> Result<(), Refused> {
    let users = body(call)?.users.load(Ordering::Acquire);
    call.demand(users == 0, Rule::RegionInUse, || format!("{users} requests or windows use it"))
}

/// Looks at a region that is to be closed.
fn closing(call: &Call) -> Result<impl FnOnce() + Send + 'static, Refused> {
    unused(call)?;
    forget(&call.check, call.object);
    Ok(|| ())
}

extension_slot!(NDK_MR);
close_slot!(NDK_MR, NdkCloseMr, CloseMr, closing);

pub(crate) static TABLE: NDK_MR_DISPATCH = NDK_MR_DISPATCH {
    NdkCloseMr: close,
    NdkQueryExtension: query_extension,
    NdkRegisterMr: register,
    NdkDeregisterMr: deregister,
    NdkInitializeFastRegisterMr: initialize,
    NdkGetRemoteTokenFromMr: remote_token,
    NdkGetLocalTokenFromMr: local_token,
};

/// Moves a region from `Idle` to `Busy` for a request that `fits` its kind.
fn begin(call: &Call, fits: bool) -> Result<&Mr, Refused> {
    let mr = body(call)?;
    let mut state = lock(&mr.state);
    let now = *state;
    let wrong = || format!("it is {now:?}, fast {}", mr.fast);
    call.demand(fits && now == State::Idle, Rule::RegionState, wrong)?;
    *state = State::Busy;
    drop(state);
    Ok(mr)
}

/// Ends a request that `begin` has begun.
fn end(mr: Ref, state: State) {
    if let Body::Mr(body) = &mr.body {
        *lock(&body.state) = state;
    }
}

/// `NDK_FN_REGISTER_MR`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn register(
    mr: *mut NDK_MR,
    mdl: *mut MDL,
    length: usize,
    flags: u32,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    let register = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(mr, "NdkRegisterMr", DISPATCH_LEVEL) }?;
        let longest = call.check.info.MaxRegistrationSize;
        call.demand(length <= longest, Rule::Limits, || format!("{length} bytes, {longest} allowed"))?;
        let fits = !body(&call)?.fast;
        let pd = begin(&call, fits)?.pd;
        // SAFETY: an MDL (consumer).
        let (base, readable) = unsafe { described(mdl) };
        let writable = flags & NDK_MR_FLAG_ALLOW_LOCAL_WRITE != 0;
        let (object, check) = (call.object, std::sync::Arc::clone(&call.check));
        let done = move |status| {
            if !nt_success(status) {
                return end(object, State::Idle);
            }
            let token = forward!(object, NDK_MR, NdkGetLocalTokenFromMr());
            let remote = forward!(object, NDK_MR, NdkGetRemoteTokenFromMr());
            let mut book = lock(&check.memory);
            book.add_region(token, Region { mr: object, pd, base, length, writable, readable });
            book.add_remote(remote, object);
            end(object, State::Registered);
        };
        Ok(request(&call, Slot::RegisterMr, (completion, context), done, |context| {
            forward!(object, NDK_MR, NdkRegisterMr(mdl, length, flags, requested, context))
        }))
    };
    answer(register())
}

/// `NDK_FN_DEREGISTER_MR`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn deregister(
    mr: *mut NDK_MR,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    let deregister = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(mr, "NdkDeregisterMr", DISPATCH_LEVEL) }?;
        let state = *lock(&body(&call)?.state);
        call.demand(state == State::Registered, Rule::RegionState, || format!("it is {state:?}"))?;
        unused(&call)?;
        let object = call.object;
        end(object, State::Busy);
        forget(&call.check, object);
        let done = move |_| end(object, State::Idle);
        Ok(request(&call, Slot::DeregisterMr, (completion, context), done, |context| {
            forward!(object, NDK_MR, NdkDeregisterMr(requested, context))
        }))
    };
    answer(deregister())
}

/// `NDK_FN_INITIALIZE_FAST_REGISTER_MR`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn initialize(
    mr: *mut NDK_MR,
    pages: u32,
    remote: BOOLEAN,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    let initialize = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(mr, "NdkInitializeFastRegisterMr", DISPATCH_LEVEL) }?;
        let fits = body(&call)?.fast;
        begin(&call, fits)?;
        let object = call.object;
        let done = move |status| {
            let made = State::Initialized { pages, remote: remote != 0, valid: false };
            end(object, if nt_success(status) { made } else { State::Idle });
        };
        Ok(request(&call, Slot::InitializeFastRegisterMr, (completion, context), done, |context| {
            forward!(object, NDK_MR, NdkInitializeFastRegisterMr(pages, remote, requested, context))
        }))
    };
    answer(initialize())
}

/// A region whose tokens may be read.
fn with_tokens(call: &Call) -> Result<(), Refused> {
    let state = *lock(&body(call)?.state);
    call.demand(has_tokens(state), Rule::RegionState, || format!("it is {state:?}"))
}

/// `NDK_FN_GET_REMOTE_TOKEN_FROM_MR`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn remote_token(mr: *mut NDK_MR) -> u32 {
    let get = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(mr, "NdkGetRemoteTokenFromMr", DISPATCH_LEVEL) }?;
        with_tokens(&call)?;
        Ok::<_, Refused>(forward!(call.object, NDK_MR, NdkGetRemoteTokenFromMr()))
    };
    get().unwrap_or(0)
}

/// `NDK_FN_GET_LOCAL_TOKEN_FROM_MR`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn local_token(mr: *mut NDK_MR) -> u32 {
    let get = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(mr, "NdkGetLocalTokenFromMr", DISPATCH_LEVEL) }?;
        with_tokens(&call)?;
        Ok::<_, Refused>(forward!(call.object, NDK_MR, NdkGetLocalTokenFromMr()))
    };
    get().unwrap_or(0)
}
