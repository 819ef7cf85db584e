//! The NDIS lightweight filter: no data handlers, only ears.
//!
//! It learns of NICs that arrive and leave and of NDK being enabled and disabled, and tells [`Hardware`]. Every event is
//! passed on exactly once, and no handler waits for anything of this driver's: what an event makes necessary happens on
//! another thread, while the event is on its way through the layers above. They close their own adapters meanwhile; NDIS
//! waits for all of them.
//!
//! Where the filter is not installed as a network component the registration fails. That is no failure of the driver: it
//! then finds out by the addresses what the filter would have told it.
//!
//! Contract: "NDIS Filter Drivers", `FILTER_NET_PNP_EVENT`, "NDK Enable and Disable".

use crate::TAG;
use abi::ndis::*;
use abi::nt::{DRIVER_OBJECT, UNICODE_STRING};
use core::ffi::c_void;
use core::ptr;
use kernel::pool::{PoolBox, Shared};
use kernel::print::Level;
use kernel::{dbg_print, ndis};
use wsk::Hardware;

/// NDIS contract that is asked for: 6.60, Windows Server 2016. Nothing that a filter without data handlers can use came later.
const CONTRACT: (u8, u8) = (6, 60);

/// A string that stays, as NDIS wants one.
struct Text<const N: usize>([u16; N]);

impl<const N: usize> Text<N> {
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which stops where it panics")]
    const fn new(text: &[u8; N]) -> Self {
        let mut wide = [0; N];
        let mut n = 0;
        while n < N {
            wide[n] = text[n] as u16;
            n += 1;
        }
        Self(wide)
    }

    const fn string(&'static self) -> UNICODE_STRING {
        let bytes = size_of::<[u16; N]>() as u16;
        UNICODE_STRING { Length: bytes, MaximumLength: bytes, Buffer: self.0.as_ptr().cast_mut() }
    }
}

/// For people.
static FRIENDLY_NAME: Text<23> = Text::new(b"wskrdma NIC observation");
/// `NetCfgInstanceId` of the INF.
static UNIQUE_NAME: Text<38> = Text::new(b"{0e3fd5db-aabc-4d58-adf0-287c45e3dbf7}");
/// The service of the INF.
static SERVICE_NAME: Text<7> = Text::new(b"wskrdma");

/// One NIC that the filter is attached to.
struct Nic {
    module: NDIS_HANDLE,
    luid: NET_LUID,
    index: NET_IFINDEX,
    hardware: Shared<Hardware>,
}

/// A registration.
pub(crate) struct Filter {
    handle: NDIS_HANDLE,
    /// The context of the registration.
    _hardware: PoolBox<Shared<Hardware>>,
}

// SAFETY: the handle belongs to no thread.
unsafe impl Send for Filter {}

impl Filter {
    /// Registers. NICs are attached before this returns, and later. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// FAILURE: the filter is not installed. BAD_VERSION, RESOURCES.
    pub(crate) fn start(
        driver: *mut DRIVER_OBJECT,
        hardware: &Shared<Hardware>,
    ) -> Result<Self, NDIS_STATUS> {
        let (major, minor) = ndis::version();
        if (major, minor) < (CONTRACT.0.into(), CONTRACT.1.into()) {
            return Err(NDIS_STATUS_BAD_VERSION);
        }
        let context = PoolBox::try_new(TAG, hardware.clone()).map_err(|_| NDIS_STATUS_RESOURCES)?;
        let characteristics = NDIS_FILTER_DRIVER_CHARACTERISTICS {
            Header: NDIS_OBJECT_HEADER {
                Type: NDIS_OBJECT_TYPE_FILTER_DRIVER_CHARACTERISTICS,
                Revision: NDIS_FILTER_CHARACTERISTICS_REVISION_2,
                Size: NDIS_SIZEOF_FILTER_DRIVER_CHARACTERISTICS_REVISION_2,
            },
            MajorNdisVersion: CONTRACT.0,
            MinorNdisVersion: CONTRACT.1,
            MajorDriverVersion: 0,
            MinorDriverVersion: 1,
            Flags: 0,
            FriendlyName: FRIENDLY_NAME.string(),
            UniqueName: UNIQUE_NAME.string(),
            ServiceName: SERVICE_NAME.string(),
            SetOptionsHandler: None,
            SetFilterModuleOptionsHandler: None,
            AttachHandler: attach,
            DetachHandler: detach,
            RestartHandler: restart,
            PauseHandler: pause,
            SendNetBufferListsHandler: None,
            SendNetBufferListsCompleteHandler: None,
            CancelSendNetBufferListsHandler: None,
            ReceiveNetBufferListsHandler: None,
            ReturnNetBufferListsHandler: None,
            OidRequestHandler: None,
            OidRequestCompleteHandler: None,
            CancelOidRequestHandler: None,
            DevicePnPEventNotifyHandler: Some(device_pnp_event),
            NetPnPEventHandler: Some(net_pnp_event),
            StatusHandler: None,
            DirectOidRequestHandler: None,
            DirectOidRequestCompleteHandler: None,
            CancelDirectOidRequestHandler: None,
            SynchronousOidRequestHandler: None,
            SynchronousOidRequestCompleteHandler: None,
        };
        let mut handle = ptr::null_mut();
        let place = ptr::from_ref::<Shared<Hardware>>(&context).cast_mut().cast::<c_void>();
        // SAFETY: the driver's object; the strings are static, and the context lives until `drop` has deregistered.
        let status = unsafe {
            ndis::register_filter_driver(driver, place, &raw const characteristics, &raw mut handle)
        };
        match status {
            NDIS_STATUS_SUCCESS => Ok(Self { handle, _hardware: context }),
            status => Err(status),
        }
    }
}

impl Drop for Filter {
    /// Detaches from every NIC. IRQL: PASSIVE_LEVEL.
    fn drop(&mut self) {
        // SAFETY: registered once; no lock is held.
        unsafe { ndis::deregister_filter_driver(self.handle) };
    }
}

/// The NIC behind a module's context.
///
/// # Safety
/// `context` is what [`attach`] gave for a module that is not detached.
unsafe fn nic<'a>(context: NDIS_HANDLE) -> &'a Nic {
    // SAFETY: the caller's promise.
    unsafe { &*context.cast::<Nic>() }
}

impl Nic {
    fn hold_back(&self) {
        self.hardware.hold_back(self.luid, self.index);
    }

    fn release(&self) {
        self.hardware.release(self.luid, self.index);
    }
}

unsafe extern "system" fn attach(
    module: NDIS_HANDLE,
    driver: NDIS_HANDLE,
    parameters: *mut NDIS_FILTER_ATTACH_PARAMETERS,
) -> NDIS_STATUS {
    // SAFETY: the context of the registration.
    let hardware = unsafe { &*driver.cast::<Shared<Hardware>>() };
    // SAFETY: NULL, or readable during the call.
    let Some(header) = (unsafe { parameters.cast::<NDIS_OBJECT_HEADER>().as_ref() }) else {
        return NDIS_STATUS_INVALID_PARAMETER;
    };
    if header.Type != NDIS_OBJECT_TYPE_FILTER_ATTACH_PARAMETERS
        || header.Size < NDIS_SIZEOF_FILTER_ATTACH_PARAMETERS_REVISION_1
    {
        return NDIS_STATUS_INVALID_PARAMETER;
    }
    // SAFETY: a member of the first revision.
    let medium = unsafe { (*parameters).MiniportMediaType };
    if ![NdisMedium802_3, NdisMediumInfiniBand].contains(&medium) {
        return NDIS_STATUS_UNSUPPORTED_MEDIA;
    }
    // SAFETY: as above.
    let luid = unsafe { (*parameters).BaseMiniportNetLuid };
    // SAFETY: as above.
    let index = unsafe { (*parameters).BaseMiniportIfIndex };
    let nic = match PoolBox::try_new(TAG, Nic { module, luid, index, hardware: hardware.clone() }) {
        Ok(nic) => PoolBox::into_raw(nic),
        Err(_) => return NDIS_STATUS_RESOURCES,
    };
    let attributes = NDIS_FILTER_ATTRIBUTES {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_FILTER_ATTRIBUTES,
            Revision: NDIS_FILTER_ATTRIBUTES_REVISION_1,
            Size: NDIS_SIZEOF_FILTER_ATTRIBUTES_REVISION_1,
        },
        Flags: 0,
    };
    // SAFETY: the module of this call; the context stays until `detach`.
    let status = unsafe { ndis::set_attributes(module, nic.cast(), &raw const attributes) };
    if status != NDIS_STATUS_SUCCESS {
        // SAFETY: not given away.
        drop(unsafe { PoolBox::from_raw(nic) });
    }
    status
}

unsafe extern "system" fn detach(context: NDIS_HANDLE) {
    // SAFETY: given to NDIS by `attach`, and given back here, once.
    let nic = unsafe { PoolBox::<Nic>::from_raw(context.cast()) };
    nic.hardware.forget(nic.luid, nic.index);
}

unsafe extern "system" fn restart(
    context: NDIS_HANDLE,
    _parameters: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    // Whether NDK is enabled nobody says: that is found out by trying.
    // SAFETY: the context of an attached module.
    unsafe { nic(context) }.release();
    NDIS_STATUS_SUCCESS
}

unsafe extern "system" fn pause(
    _context: NDIS_HANDLE,
    _parameters: *mut NDIS_FILTER_PAUSE_PARAMETERS,
) -> NDIS_STATUS {
    // No packet is ever on its way here.
    NDIS_STATUS_SUCCESS
}

/// Whether a NIC goes to a lower power state.
///
/// # Safety
/// `event` is a NetEventSetPower.
unsafe fn powers_down(event: &NET_PNP_EVENT) -> bool {
    let fits = !event.Buffer.is_null() && event.BufferLength as usize >= size_of::<NDIS_DEVICE_POWER_STATE>();
    // SAFETY: the buffer of this event is a power state.
    fits && unsafe { event.Buffer.cast::<NDIS_DEVICE_POWER_STATE>().read_unaligned() } != NdisDeviceStateD0
}

unsafe extern "system" fn net_pnp_event(
    context: NDIS_HANDLE,
    notification: *mut NET_PNP_EVENT_NOTIFICATION,
) -> NDIS_STATUS {
    // SAFETY: the context of an attached module.
    let nic = unsafe { nic(context) };
    // SAFETY: readable during the call.
    let event = unsafe { (*notification).NetPnPEvent };
    let code = event.NetEvent;
    // SAFETY: asked of that event only.
    let down = code == NetEventSetPower && unsafe { powers_down(&event) };
    let goes = [NetEventNDKDisable, NetEventFilterPreDetach, NetEventQueryRemoveDevice].contains(&code);
    if goes || down {
        nic.hold_back();
    }
    // SAFETY: the module is attached, and this is its event.
    let status = unsafe { ndis::net_pnp_event(nic.module, notification) };
    let vetoed = code == NetEventQueryRemoveDevice && status != NDIS_STATUS_SUCCESS;
    let comes = [NetEventNDKEnable, NetEventCancelRemoveDevice].contains(&code);
    if comes || vetoed || (code == NetEventSetPower && !down) {
        nic.release();
    }
    status
}

unsafe extern "system" fn device_pnp_event(context: NDIS_HANDLE, event: *mut NET_DEVICE_PNP_EVENT) {
    // SAFETY: the context of an attached module.
    let nic = unsafe { nic(context) };
    // SAFETY: readable during the call.
    let code = unsafe { (*event).DevicePnPEvent };
    if [NdisDevicePnPEventRemoved, NdisDevicePnPEventSurpriseRemoved].contains(&code) {
        nic.hold_back();
    }
    // SAFETY: the module is attached, and this is its event.
    unsafe { ndis::device_pnp_event_notify(nic.module, event) };
}

/// Says that there is no filter, and why.
pub(crate) fn report(status: NDIS_STATUS) {
    let why = if status == NDIS_STATUS_FAILURE { ", as it is not installed" } else { "" };
    dbg_print!(
        Level::Info,
        "wskrdma: without its NDIS filter{why} (status {status:#010x}); adapters are found by their addresses"
    );
}
