//! Memory regions as objects; what they protect is in [`memory`](crate::memory).

use core::ffi::c_void;
use core::mem::offset_of;

use abi::NTSTATUS;
use abi::ndk::{
    NDK_FN_REQUEST_COMPLETION, NDK_MR, NDK_MR_DISPATCH, NDK_MR_FLAG, NDK_MW, NDK_OBJECT_HEADER,
    NdkObjectTypeMr,
};
use abi::nt::{BOOLEAN, MDL};
use abi::status::{
    STATUS_IMPLEMENTATION_LIMIT, STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER, STATUS_SUCCESS,
};
use kernel::pool::Shared;

use crate::adapter::Adapter;
use crate::answer::{Holder, Request};
use crate::config::FAST_REGISTER_PAGES_MAX;
use crate::life::{AnyObject, Hold, Life, Object, close, from_handle};
use crate::memory::{Extent, Memory, Pages, RegistrationFault, Rights};
use crate::pd::Pd;
use crate::public::{Public, header, query_extension};
use crate::tag;

/// The beginning of every object that a token names, whether it is a region or a window: `NdkInvalidate` takes both.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Named<T> {
    pub(crate) public: Public<T>,
    /// Where the object is in the table.
    pub(crate) place: u32,
}

// Both public parts have one size, so both places have one offset.
const _: () = assert!(offset_of!(Named<NDK_MR>, place) == offset_of!(Named<NDK_MW>, place));

/// Where a region or window is in the table.
///
/// # Safety
/// `object` is an open memory region or memory window.
pub(crate) unsafe fn place_of(object: *const NDK_OBJECT_HEADER) -> u32 {
    // SAFETY: both begin with this (caller), and the place never changes.
    unsafe { (*object.cast::<Named<NDK_MR>>()).place }
}

/// A memory region (`NDK_MR`).
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Mr {
    named: Named<NDK_MR>,
    life: Life,
    pd: Hold<Pd>,
    /// For fast registration only, or for `NdkRegisterMr` only.
    fast: bool,
}

impl Mr {
    pub(crate) fn create(pd: &Shared<Pd>, fast: bool) -> Result<Shared<Self>, NTSTATUS> {
        let memory = pd.adapter().core().memory();
        let place = memory.new_region(pd.domain().pd)?;
        let made = Life::new().and_then(|life| {
            let public = Public::new(NDK_MR {
                Header: header(pd.adapter().version(), NdkObjectTypeMr),
                Dispatch: &raw const DISPATCH,
            });
            let named = Named { public, place };
            Shared::try_new(tag::OBJECT, Self { named, life, pd: Hold::new(pd), fast })
        });
        if made.is_err() {
            memory.free_region(place);
        }
        Ok(made?)
    }

    /// Where the region is in the table.
    pub(crate) const fn place(&self) -> u32 {
        self.named.place
    }

    fn memory(&self) -> &Memory {
        self.adapter().core().memory()
    }
}

impl Object for Mr {
    fn life(&self) -> &Life {
        &self.life
    }

    fn adapter(&self) -> &Shared<Adapter> {
        self.pd.shared().adapter()
    }

    fn into_any(this: Shared<Self>) -> AnyObject {
        AnyObject::Mr(this)
    }

    fn closed(&self) {
        self.memory().free_region(self.place());
    }

    fn release_antecedents(&self) {
        self.pd.release();
    }
}

/// The table of every memory region.
static DISPATCH: NDK_MR_DISPATCH = NDK_MR_DISPATCH {
    NdkCloseMr: close::<Mr>,
    NdkQueryExtension: query_extension,
    NdkRegisterMr: register,
    NdkDeregisterMr: deregister,
    NdkInitializeFastRegisterMr: initialize_fast_register,
    NdkGetRemoteTokenFromMr: get_remote_token,
    NdkGetLocalTokenFromMr: get_local_token,
};

const fn status_of(result: Result<(), RegistrationFault>) -> NTSTATUS {
    match result {
        Ok(()) => STATUS_SUCCESS,
        Err(RegistrationFault::State) => STATUS_INVALID_DEVICE_STATE,
        Err(_) => STATUS_INVALID_PARAMETER,
    }
}

/// Starts a request on the region `mr`.
///
/// # Safety
/// `mr` is open, and `completion` may be called with `context` once, at any IRQL up to DISPATCH_LEVEL.
unsafe fn request(
    mr: *mut NDK_MR,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> Result<(Shared<Mr>, Request), NTSTATUS> {
    // SAFETY: open (caller).
    let mr: Shared<Mr> = unsafe { from_handle(mr.cast()) };
    // SAFETY: as promised by the caller.
    let request = unsafe { Request::prompt(Holder::from(&mr), completion, context) }?;
    Ok((mr, request))
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
    // SAFETY: as the function type says.
    let (mr, request) = match unsafe { request(mr, completion, context) } {
        Ok(both) => both,
        Err(status) => return status,
    };
    // SAFETY: a valid chain with pages that stay locked until the region is deregistered (consumer).
    let status = unsafe { register_now(&mr, mdl, length, flags) };
    request.answer(status)
}

/// # Safety
/// As [`register`].
unsafe fn register_now(mr: &Mr, mdl: *mut MDL, length: usize, flags: u32) -> NTSTATUS {
    let Some(flags) = NDK_MR_FLAG::from_bits(flags) else { return STATUS_INVALID_PARAMETER };
    if mr.fast {
        return STATUS_INVALID_DEVICE_STATE;
    }
    // SAFETY: a valid chain that nobody changes during the request (caller).
    let extent = match unsafe { Extent::of(mdl, length) } {
        Ok(extent) => extent,
        Err(status) => return status,
    };
    // SAFETY: the chain `extent` was made from, with locked pages (caller).
    match unsafe { Pages::map(mdl, &extent) } {
        Ok(pages) => status_of(mr.memory().register(mr.place(), pages, rights(flags))),
        Err(status) => status,
    }
}

fn rights(flags: NDK_MR_FLAG) -> Rights {
    let mut rights = Rights::empty();
    rights.set(Rights::LOCAL_WRITE, flags.contains(NDK_MR_FLAG::ALLOW_LOCAL_WRITE));
    rights.set(Rights::REMOTE_READ, flags.contains(NDK_MR_FLAG::ALLOW_REMOTE_READ));
    rights.set(Rights::REMOTE_WRITE, flags.contains(NDK_MR_FLAG::ALLOW_REMOTE_WRITE));
    rights
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
    // SAFETY: as the function type says.
    let (mr, request) = match unsafe { request(mr, completion, context) } {
        Ok(both) => both,
        Err(status) => return status,
    };
    let status = status_of(mr.memory().deregister(mr.place()));
    request.answer(status)
}

/// `NDK_FN_INITIALIZE_FAST_REGISTER_MR`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn initialize_fast_register(
    mr: *mut NDK_MR,
    page_count: u32,
    remote_access: BOOLEAN,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: as the function type says.
    let (mr, request) = match unsafe { request(mr, completion, context) } {
        Ok(both) => both,
        Err(status) => return status,
    };
    let status = if !mr.fast {
        STATUS_INVALID_DEVICE_STATE
    } else if page_count == 0 || page_count > FAST_REGISTER_PAGES_MAX {
        STATUS_IMPLEMENTATION_LIMIT
    } else {
        match mr.memory().initialize_fast(mr.place(), page_count, remote_access != 0) {
            Ok(result) => status_of(result),
            Err(error) => error.status(),
        }
    };
    request.answer(status)
}

/// `NDK_FN_GET_REMOTE_TOKEN_FROM_MR`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn get_remote_token(mr: *mut NDK_MR) -> u32 {
    // SAFETY: open (consumer).
    let mr: Shared<Mr> = unsafe { from_handle(mr.cast()) };
    mr.memory().tokens(mr.place()).1
}

/// `NDK_FN_GET_LOCAL_TOKEN_FROM_MR`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn get_local_token(mr: *mut NDK_MR) -> u32 {
    // SAFETY: open (consumer).
    let mr: Shared<Mr> = unsafe { from_handle(mr.cast()) };
    mr.memory().tokens(mr.place()).0
}
