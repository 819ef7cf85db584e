//! The slots of memory windows.

use ksim::sync::Mutex;

use abi::ndk::{NDK_MW, NDK_MW_DISPATCH};
use abi::nt::DISPATCH_LEVEL;

use super::{close_slot, extension_slot};
use crate::check::{Check, Refused, lock};
use crate::memory::Use;
use crate::object::{Body, Call, Ref, enter, forward};

/// A memory window.
pub(crate) struct Mw {
    pub(crate) pd: Ref,
    /// The region behind it.
    bound: Mutex<Option<Ref>>,
}

impl Mw {
    pub(crate) const fn new(pd: Ref) -> Self {
        Self { pd, bound: Mutex::new(None) }
    }

    /// The window is over `mr` from now on.
    pub(super) fn bind(&self, check: &Check, mr: Ref) {
        lock(&check.memory).take(Use::Region(mr));
        let before = lock(&self.bound).replace(mr);
        if let Some(before) = before {
            lock(&check.memory).give_back(Use::Region(before));
        }
    }

    /// The window is over nothing.
    pub(super) fn unbind(&self, check: &Check) {
        let before = lock(&self.bound).take();
        if let Some(before) = before {
            lock(&check.memory).give_back(Use::Region(before));
        }
    }

    pub(super) fn is_bound(&self) -> bool {
        lock(&self.bound).is_some()
    }
}

/// A window that is closed is bound no more.
fn closing(call: &Call) -> Result<impl FnOnce() + Send + 'static, Refused> {
    let Body::Mw(window) = &call.object.body else { return Err(call.wrong_object()) };
    window.unbind(&call.check);
    lock(&call.check.memory).remove_region(call.object);
    Ok(|| ())
}

extension_slot!(NDK_MW);
close_slot!(NDK_MW, NdkCloseMw, CloseMw, closing);

pub(crate) static TABLE: NDK_MW_DISPATCH = NDK_MW_DISPATCH {
    NdkCloseMw: close,
    NdkQueryExtension: query_extension,
    NdkGetRemoteTokenFromMw: remote_token,
};

/// `NDK_FN_GET_REMOTE_TOKEN_FROM_MW`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn remote_token(mw: *mut NDK_MW) -> u32 {
    // SAFETY: a proxy (consumer).
    let Ok(call) = (unsafe { enter(mw, "NdkGetRemoteTokenFromMw", DISPATCH_LEVEL) }) else { return 0 };
    forward!(call.object, NDK_MW, NdkGetRemoteTokenFromMw())
}
