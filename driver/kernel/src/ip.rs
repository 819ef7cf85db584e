//! The addresses of the machine's interfaces (exports of `netio.sys`, `netioapi.h`).
//!
//! Not every system has them: where they are missing, a call raises an exception.

use core::ffi::c_void;
use core::mem::zeroed;
use core::ptr::{self, NonNull};

use abi::NTSTATUS;
use abi::ndis::NET_LUID;
use abi::netio::{
    MIB_IPFORWARD_ROW2, MIB_UNICASTIPADDRESS_ROW, MIB_UNICASTIPADDRESS_TABLE,
    PUNICAST_IPADDRESS_CHANGE_CALLBACK,
};
use abi::nt::HANDLE;
use abi::status::{STATUS_INSUFFICIENT_RESOURCES, nt_success};
use abi::wsk::{AF_UNSPEC, SOCKADDR_INET};

use crate::raw;

/// Every unicast address of the machine at one moment.
pub struct UnicastAddresses(NonNull<MIB_UNICASTIPADDRESS_TABLE>);

impl UnicastAddresses {
    /// Reads the table (`GetUnicastIpAddressTable`). IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// NOT_FOUND: there are no addresses. INSUFFICIENT_RESOURCES.
    pub fn read() -> Result<Self, NTSTATUS> {
        let mut table = ptr::null_mut();
        // SAFETY: the place is written before the function returns.
        let status = unsafe { raw::GetUnicastIpAddressTable(AF_UNSPEC, &raw mut table) };
        if !nt_success(status) {
            return Err(status);
        }
        NonNull::new(table).map(Self).ok_or(STATUS_INSUFFICIENT_RESOURCES)
    }

    /// The rows.
    #[must_use]
    pub fn rows(&self) -> &[MIB_UNICASTIPADDRESS_ROW] {
        // SAFETY: a table of the system's, which nobody changes.
        let count = unsafe { (*self.0.as_ptr()).NumEntries } as usize;
        // SAFETY: only the address of the first row is computed.
        let first = unsafe { &raw const (*self.0.as_ptr()).Table };
        // SAFETY: the table has that many rows, one behind the other.
        unsafe { core::slice::from_raw_parts(first.cast(), count) }
    }
}

impl Drop for UnicastAddresses {
    fn drop(&mut self) {
        // SAFETY: from `GetUnicastIpAddressTable`, freed once.
        unsafe { raw::FreeMibTable(self.0.as_ptr().cast()) };
    }
}

/// Calls a routine whenever an address comes, goes or changes (`NotifyUnicastIpAddressChange`).
///
/// Dropping it waits for the calls in progress. Drop: IRQL: PASSIVE_LEVEL, not inside the routine.
pub struct AddressWatch(HANDLE);

// SAFETY: the handle belongs to no thread.
unsafe impl Send for AddressWatch {}
// SAFETY: `&AddressWatch` gives no access to the handle.
unsafe impl Sync for AddressWatch {}

impl AddressWatch {
    /// Begins to watch. IRQL: PASSIVE_LEVEL. The routine may be called before this returns, at PASSIVE_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    ///
    /// # Safety
    /// The routine may be called with `context` until the value is dropped.
    pub unsafe fn start(
        routine: PUNICAST_IPADDRESS_CHANGE_CALLBACK,
        context: *mut c_void,
    ) -> Result<Self, NTSTATUS> {
        let mut handle = ptr::null_mut();
        // SAFETY: as promised by the caller; the place is written before the function returns.
        let status =
            unsafe { raw::NotifyUnicastIpAddressChange(AF_UNSPEC, routine, context, 0, &raw mut handle) };
        if nt_success(status) { Ok(Self(handle)) } else { Err(status) }
    }
}

impl Drop for AddressWatch {
    fn drop(&mut self) {
        // SAFETY: a handle of the system's, cancelled once. It fails for no such handle only.
        let _cancelled = unsafe { raw::CancelMibChangeNotify2(self.0) };
    }
}

/// The interface that a packet to `destination` leaves by, and the address it leaves with (`GetBestRoute2`).
/// IRQL: PASSIVE_LEVEL.
///
/// # Errors
/// NETWORK_UNREACHABLE and the like: there is no route.
pub fn best_route(destination: &SOCKADDR_INET) -> Result<(NET_LUID, SOCKADDR_INET), NTSTATUS> {
    // SAFETY: numbers and addresses of no family.
    let mut route: MIB_IPFORWARD_ROW2 = unsafe { zeroed() };
    // SAFETY: an address of no family.
    let mut source: SOCKADDR_INET = unsafe { zeroed() };
    let (any, destination) = (ptr::null_mut(), ptr::from_ref(destination));
    // SAFETY: any interface and source; the destination is readable, and both outputs are writable, during the call.
    let status =
        unsafe { raw::GetBestRoute2(any, 0, ptr::null(), destination, 0, &raw mut route, &raw mut source) };
    if nt_success(status) { Ok((route.InterfaceLuid, source)) } else { Err(status) }
}
