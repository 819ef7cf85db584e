//! A NIC with RDMA: a software adapter behind the system's `WSKNDK_GET_WSK_PROVIDER_NDK_DISPATCH`, an address, and a place
//! in NDIS. It comes and goes, and NDK on it is switched off and on.

use std::ptr::NonNull;
use std::sync::Arc;

use abi::NTSTATUS;
use abi::ndis::{NdisDevicePnPEventSurpriseRemoved, NdisMedium802_3, NetEventNDKDisable, NetEventNDKEnable};
use abi::ndk::{NDK_ADAPTER, NDK_VERSION, WSK_PROVIDER_NDK_DISPATCH};
use abi::netio::NldsPreferred;
use abi::status::{STATUS_NOT_SUPPORTED, STATUS_SUCCESS};
use abi::wsk::PWSK_CLIENT;
use ksim::ip::Address;
use ksim::sync::{Mutex, lock};
use softndk::{Config, SoftNdk};

use crate::machine::{self, choose};
use crate::plan::Plan;
use crate::report::demand;

const INDEX: u32 = 12;
const LUID: u64 = 6 << 48 | 12;

/// The NIC's adapter, and how many opens are not closed.
static NIC: Mutex<Option<(Arc<SoftNdk>, usize)>> = Mutex::new(None);

fn adapter() -> Option<Arc<SoftNdk>> {
    lock(&NIC).as_ref().map(|(soft, _)| Arc::clone(soft))
}

fn count_open(open: bool) {
    if let Some((_, opens)) = &mut *lock(&NIC) {
        *opens = if open { *opens + 1 } else { opens.saturating_sub(1) };
    }
}

unsafe extern "system" fn open_adapter(
    _client: PWSK_CLIENT,
    version: NDK_VERSION,
    index: u32,
    out: *mut *mut NDK_ADAPTER,
) -> NTSTATUS {
    let Some(soft) = adapter().filter(|_| index == INDEX) else { return STATUS_NOT_SUPPORTED };
    match soft.open_adapter(version).map(NonNull::new) {
        Ok(Some(adapter)) => {
            // SAFETY: opened just now, and used by nobody.
            let adapter = unsafe { ndkcheck::wrap(adapter) };
            // SAFETY: wrapped just now.
            unsafe { ndkcheck::of(adapter) }.choose(choose);
            count_open(true);
            // SAFETY: the consumer's variable.
            unsafe { out.write(adapter.as_ptr()) };
            STATUS_SUCCESS
        }
        Ok(None) => STATUS_NOT_SUPPORTED,
        Err(status) => status,
    }
}

unsafe extern "system" fn close_adapter(_client: PWSK_CLIENT, object: *mut NDK_ADAPTER) {
    let (Some(soft), Some(object)) = (adapter(), NonNull::new(object)) else { return };
    // SAFETY: opened there, closed once.
    let give_back = |inner: NonNull<NDK_ADAPTER>| unsafe { soft.close_adapter(inner.as_ptr()) };
    // SAFETY: wrapped when it was opened.
    unsafe { ndkcheck::close(object, give_back) };
    count_open(false);
}

fn addresses(there: bool) {
    let mine = Address { luid: LUID, index: INDEX, address: machine::address(0), state: NldsPreferred };
    ksim::ip::set(if there { std::slice::from_ref(&mine) } else { &[] });
}

/// Puts the NIC into the machine, before the driver starts.
pub(crate) fn install(plan: &Plan) {
    let addresses_of_nic = [machine::address(0)];
    let config = Config { addresses: &addresses_of_nic, answers: plan.adapter_answers, ..Config::default() };
    match SoftNdk::start(config) {
        Ok(soft) => *lock(&NIC) = Some((Arc::new(soft), 0)),
        Err(status) => crate::report::violation(format_args!("the NIC does not start: {status:#x}")),
    }
    ksim::wsk::set_ndk(Some(WSK_PROVIDER_NDK_DISPATCH {
        WskOpenNdkAdapter: open_adapter,
        WskCloseNdkAdapter: close_adapter,
    }));
    addresses(true);
    ksim::ndis::install(true);
}

/// Attaches the driver's filter.
pub(crate) fn arrive() {
    ksim::ndis::arrive(LUID, INDEX, NdisMedium802_3);
}

/// Waits until the driver has opened the adapter.
pub(crate) fn wait_until_open() {
    let deadline = ksim::sim::now() + std::time::Duration::from_secs(60);
    while lock(&NIC).as_ref().is_some_and(|(_, opens)| *opens == 0) {
        demand!(ksim::sim::now() < deadline, "the driver does not open the NIC's adapter");
        ksim::sim::sleep(std::time::Duration::from_millis(1));
    }
    // The clock goes on when the driver has nothing more to do with it.
    ksim::sim::sleep(std::time::Duration::from_millis(1));
}

/// The NIC is torn out.
pub(crate) fn tear_out() {
    ksim::ndis::device_pnp(LUID, NdisDevicePnPEventSurpriseRemoved);
    addresses(false);
    if ksim::ndis::attached().contains(&LUID) {
        ksim::ndis::leave(LUID);
    }
}

/// It is put in again.
pub(crate) fn put_in() {
    if !ksim::ndis::attached().contains(&LUID) {
        arrive();
    }
    addresses(true);
}

/// NDK is switched off or on.
pub(crate) fn switch(on: bool) {
    if ksim::ndis::attached().contains(&LUID) {
        ksim::ndis::net_pnp(LUID, if on { NetEventNDKEnable } else { NetEventNDKDisable }, None);
    }
}

/// Takes the NIC out of the machine, after the driver has stopped.
pub(crate) fn remove() {
    if ksim::ndis::attached().contains(&LUID) {
        ksim::ndis::leave(LUID);
    }
    ksim::ndis::install(false);
    addresses(false);
    ksim::wsk::set_ndk(None);
    let Some((soft, opens)) = lock(&NIC).take() else { return };
    demand!(opens == 0, "{opens} opens of the NIC's adapter are not closed");
    if let Some(soft) = Arc::into_inner(soft) {
        soft.stop();
    }
}
