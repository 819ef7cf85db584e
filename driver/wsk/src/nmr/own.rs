//! Telling the system's WSK library, which acts for everybody who calls WskRegister, from clients that choose.
//!
//! What the library's module identifier is, and on which thread it attaches, is not documented. So three marks count: the
//! attach happens on a thread that is inside this driver's own WskRegister or WskCaptureProviderNPI; the dispatch table is
//! the one that this driver gave there; or the module identifier is one that was seen with the first mark.

use crate::system::CLIENT_DISPATCH;
use abi::nmr::{NPI_MODULEID, NPI_MODULEID_TYPE, NPI_REGISTRATION_INSTANCE};
use abi::nt::GUID;
use abi::wsk::WSK_CLIENT_DISPATCH;
use core::ptr;
use heapless::Vec;
use kernel::lock::SpinLock;
use kernel::thread;

/// Threads that are told apart; with more of them at a time, nobody attaches meanwhile.
pub(super) const THREADS: usize = 16;

/// A module identifier, whatever its kind: the union has 16 octets.
type ModuleId = (NPI_MODULEID_TYPE, GUID);

struct Own {
    /// Those inside a registration of ours; one may be there several times.
    threads: Vec<usize, THREADS>,
    /// Registrations for which there was no place.
    more: usize,
    library: Option<ModuleId>,
}

static OWN: SpinLock<Own> = SpinLock::new(Own { threads: Vec::new(), more: 0, library: None });

/// The present thread registers this driver as a client of the system's WSK.
#[must_use = "dropping it ends the registration"]
pub(crate) struct OwnRegistration {
    /// `None`: among the uncounted.
    thread: Option<usize>,
}

impl OwnRegistration {
    /// From here to the drop, on one thread. IRQL <= DISPATCH_LEVEL.
    pub(crate) fn begin() -> Self {
        let thread = thread::current_id();
        let mut own = OWN.lock();
        match own.threads.push(thread) {
            Ok(()) => Self { thread: Some(thread) },
            Err(_) => {
                own.more = own.more.saturating_add(1);
                Self { thread: None }
            }
        }
    }
}

impl Drop for OwnRegistration {
    fn drop(&mut self) {
        let mut own = OWN.lock();
        match self.thread {
            None => own.more = own.more.saturating_sub(1),
            Some(thread) => {
                if let Some(place) = own.threads.iter().position(|other| *other == thread) {
                    own.threads.swap_remove(place);
                }
            }
        }
    }
}

/// Whether a client that attaches now is the system's WSK library.
///
/// # Safety
/// `client` is readable, and so is its module identifier, if it has one.
pub(super) unsafe fn is_system_library(
    client: *const NPI_REGISTRATION_INSTANCE,
    dispatch: *const WSK_CLIENT_DISPATCH,
) -> bool {
    // SAFETY: the caller's promise.
    let id = unsafe { (*client).ModuleId };
    // SAFETY: NULL or readable, as promised.
    let id = unsafe { id.as_ref() }.map(module_id);
    let here = thread::current_id();
    let mut own = OWN.lock();
    let marked = own.threads.contains(&here) || ptr::eq(dispatch, &CLIENT_DISPATCH);
    if marked && id.is_some() {
        own.library = id;
    }
    marked || own.more != 0 || (id.is_some() && own.library == id)
}

fn module_id(id: &NPI_MODULEID) -> ModuleId {
    // SAFETY: either member is 16 octets without padding.
    (id.Type, unsafe { id.u.Guid })
}
