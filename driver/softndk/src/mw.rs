//! Memory windows as objects; what they protect is in [`memory`](crate::memory).

use abi::NTSTATUS;
use abi::ndk::{NDK_MW, NDK_MW_DISPATCH, NdkObjectTypeMw};
use kernel::lock::SpinLock;
use kernel::pool::Shared;

use crate::adapter::Adapter;
use crate::life::{AnyObject, Hold, Life, Object, close, from_handle};
use crate::memory::Memory;
use crate::mr::{Mr, Named};
use crate::pd::Pd;
use crate::public::{Public, header, query_extension};
use crate::tag;

/// A memory window (`NDK_MW`): a part of a registered region that the peer may reach, for as long as it is bound.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Mw {
    named: Named<NDK_MW>,
    life: Life,
    pd: Hold<Pd>,
    /// The region it was last bound to: a bind makes that one its antecedent.
    region: SpinLock<Option<Hold<Mr>>>,
}

impl Mw {
    pub(crate) fn create(pd: &Shared<Pd>) -> Result<Shared<Self>, NTSTATUS> {
        let memory = pd.adapter().core().memory();
        let place = memory.new_window(pd.domain().pd)?;
        let made = Life::new().and_then(|life| {
            let public = Public::new(NDK_MW {
                Header: header(pd.adapter().version(), NdkObjectTypeMw),
                Dispatch: &raw const DISPATCH,
            });
            let named = Named { public, place };
            Shared::try_new(tag::OBJECT, Self { named, life, pd: Hold::new(pd), region: SpinLock::new(None) })
        });
        if made.is_err() {
            memory.free_region(place);
        }
        Ok(made?)
    }

    /// Where the window is in the table.
    pub(crate) const fn place(&self) -> u32 {
        self.named.place
    }

    /// It has been bound to this region.
    pub(crate) fn keep(&self, region: Hold<Mr>) {
        let before = self.region.lock().replace(region);
        // May end the life of the region before, so after the lock.
        drop(before);
    }

    fn memory(&self) -> &Memory {
        self.adapter().core().memory()
    }
}

impl Object for Mw {
    fn life(&self) -> &Life {
        &self.life
    }

    fn adapter(&self) -> &Shared<Adapter> {
        self.pd.shared().adapter()
    }

    fn into_any(this: Shared<Self>) -> AnyObject {
        AnyObject::Mw(this)
    }

    fn closed(&self) {
        self.memory().free_region(self.place());
    }

    fn release_antecedents(&self) {
        let region = self.region.lock().take();
        drop(region);
        self.pd.release();
    }
}

/// The table of every memory window.
static DISPATCH: NDK_MW_DISPATCH = NDK_MW_DISPATCH {
    NdkCloseMw: close::<Mw>,
    NdkQueryExtension: query_extension,
    NdkGetRemoteTokenFromMw: get_remote_token,
};

/// `NDK_FN_GET_REMOTE_TOKEN_FROM_MW`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn get_remote_token(mw: *mut NDK_MW) -> u32 {
    // SAFETY: open (consumer).
    let mw: Shared<Mw> = unsafe { from_handle(mw.cast()) };
    mw.memory().tokens(mw.place()).1
}
