//! What this crate must know about the system it runs on, found out once per load.
//!
//! Every Windows has all of it. Wine, where the shipped image runs too, has stubs in some places: calls that report
//! success and do nothing.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use abi::nt::{DEVICE_OBJECT, KDPC};
use spin::Once;

use crate::mdl::OwnedMdl;
use crate::pool::{AllocError, PoolBox, PoolTag};
use crate::{dpc, raw};

/// What the system does beyond reporting success.
#[derive(Clone, Copy, Debug)]
struct System {
    /// Whether a queued DPC is ever run.
    runs_dpcs: bool,
    /// Whether MDLs are given a system address. Where not, driver and system share one address space, and the address an
    /// MDL was made from will do.
    maps_mdls: bool,
}

/// Every Windows.
const WINDOWS: System = System { runs_dpcs: true, maps_mdls: true };

static SYSTEM: Once<System> = Once::new();

/// The device object that work items are allocated against.
static DEVICE: AtomicPtr<DEVICE_OBJECT> = AtomicPtr::new(ptr::null_mut());

/// Tells this crate the device object of the driver, and finds out what the system offers. PASSIVE_LEVEL.
///
/// The driver calls it before anything else of this crate: until then an allocation has to be at PASSIVE_LEVEL (it looks
/// for the allocator), and no DPC, work item or timer may be built. Work items hold a reference on the device while they
/// run, which keeps the driver loaded for their last instructions.
///
/// # Safety
/// `device` is a device object of this driver that stays valid until [`shutdown`] has returned.
pub unsafe fn init(device: *mut DEVICE_OBJECT) {
    raw::resolve();
    DEVICE.store(device, Ordering::Release);
    SYSTEM.call_once(|| System { runs_dpcs: probe_dpcs(), maps_mdls: probe_mdls() });
}

/// Waits until no DPC of this driver runs any more, and forgets the device object. PASSIVE_LEVEL.
///
/// The driver calls it last in its unload, when everything built on this crate has been dropped.
pub fn shutdown() {
    dpc::flush();
    DEVICE.store(ptr::null_mut(), Ordering::Release);
}

/// The device object given to [`init`], or null.
pub(crate) fn device() -> *mut DEVICE_OBJECT {
    DEVICE.load(Ordering::Acquire)
}

fn system() -> System {
    SYSTEM.get().copied().unwrap_or(WINDOWS)
}

/// Whether a queued DPC is ever run.
pub(crate) fn runs_dpcs() -> bool {
    system().runs_dpcs
}

/// Whether MDLs are given a system address.
pub(crate) fn maps_mdls() -> bool {
    system().maps_mdls
}

/// The DPC of the probe: static, so that it may be run at any later time.
struct Probe(UnsafeCell<MaybeUninit<KDPC>>);

// SAFETY: only the kernel's DPC routines touch the bytes, once per load (`call_once`).
unsafe impl Sync for Probe {}

static PROBE: Probe = Probe(UnsafeCell::new(MaybeUninit::zeroed()));
static PROBE_HAS_RUN: AtomicBool = AtomicBool::new(false);

/// Queues a DPC and flushes: `KeFlushQueuedDpcs` returns after every DPC queued before it, so no guess about time is
/// needed. Under Wine both calls are stubs, and the DPC has not run.
fn probe_dpcs() -> bool {
    let probe = PROBE.0.get().cast();
    // SAFETY: static memory for a `KDPC`, initialised once.
    unsafe { raw::KeInitializeDpc(probe, probe_routine, ptr::null_mut()) };
    // SAFETY: initialised above and not queued.
    unsafe { raw::insert_dpc(probe) };
    // SAFETY: `init` is called at PASSIVE_LEVEL.
    unsafe { raw::KeFlushQueuedDpcs() };
    PROBE_HAS_RUN.load(Ordering::Acquire)
}

/// `KDEFERRED_ROUTINE` of the probe.
unsafe extern "system" fn probe_routine(_: *mut KDPC, _: *mut c_void, _: *mut c_void, _: *mut c_void) {
    PROBE_HAS_RUN.store(true, Ordering::Release);
}

/// Builds an MDL over pool and looks whether it got its address. Without memory for that, the answer is Windows's.
fn probe_mdls() -> bool {
    let probe = || {
        let memory = PoolBox::try_new(PoolTag::new(b"WrPr"), 0_u64)?;
        // SAFETY: non-paged pool, which `memory` keeps for as long as the MDL.
        let (_mdl, built) = unsafe { OwnedMdl::build(memory.as_ptr().cast(), size_of::<u64>())? };
        Ok::<_, AllocError>(built)
    };
    probe().unwrap_or(WINDOWS.maps_mdls)
}
