//! The NDIS filter: what each event of a NIC does to its adapter, while NDIS waits for the layers above.

use std::net::{IpAddr, Ipv4Addr};
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use abi::NTSTATUS;
use abi::ndis::*;
use abi::ndk::{NDK_ADAPTER, NDK_VERSION, WSK_PROVIDER_NDK_DISPATCH};
use abi::netio::NldsPreferred;
use abi::status::{STATUS_NOT_SUPPORTED, STATUS_SUCCESS};
use abi::wsk::PWSK_CLIENT;
use ksim::ip::Address;
use softndk::SoftNdk;
use wskrdma_runtime::{Config, Runtime};

use crate::world::boot;

const INDEX: u32 = 12;
const LUID: u64 = 6 << 48 | 12;
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 12));

/// The NIC's adapter, and how many opens are not closed.
static NIC: Mutex<Option<(SoftNdk, usize)>> = Mutex::new(None);

fn with_nic<R>(f: impl FnOnce(&mut (SoftNdk, usize)) -> R) -> R {
    f(NIC.lock().unwrap_or_else(PoisonError::into_inner).as_mut().expect("a NIC"))
}

fn open() -> usize {
    with_nic(|nic| nic.1)
}

unsafe extern "system" fn open_adapter(
    _client: PWSK_CLIENT,
    version: NDK_VERSION,
    index: u32,
    out: *mut *mut NDK_ADAPTER,
) -> NTSTATUS {
    if index != INDEX {
        return STATUS_NOT_SUPPORTED;
    }
    with_nic(|(soft, open)| match soft.open_adapter(version) {
        Ok(adapter) => {
            *open += 1;
            // SAFETY: opened just now, and used by nobody.
            let adapter = unsafe { ndkcheck::wrap(NonNull::new(adapter).unwrap()) };
            // SAFETY: the consumer's variable.
            unsafe { out.write(adapter.as_ptr()) };
            STATUS_SUCCESS
        }
        Err(status) => status,
    })
}

unsafe extern "system" fn close_adapter(_client: PWSK_CLIENT, adapter: *mut NDK_ADAPTER) {
    with_nic(|(soft, open)| {
        // SAFETY: opened there, closed once.
        let give_back = |inner: NonNull<NDK_ADAPTER>| unsafe { soft.close_adapter(inner.as_ptr()) };
        // SAFETY: wrapped when it was opened.
        unsafe { ndkcheck::close(NonNull::new(adapter).unwrap(), give_back) };
        *open -= 1;
    });
}

#[track_caller]
fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "it does not come about");
        std::thread::yield_now();
    }
}

#[track_caller]
fn wait_for(opens: usize) {
    until(|| open() == opens);
}

fn above(deed: impl Fn(NET_PNP_EVENT_CODE) -> NDIS_STATUS + Send + Sync + 'static) {
    ksim::ndis::above(Some(Box::new(deed)));
}

/// Runs `test` with the driver, its filter installed or not, and a NIC with an address.
fn with_driver(installed: bool, test: impl FnOnce()) {
    let _alone = ksim::exclusive();
    boot();
    let config = softndk::Config { addresses: &[ADDRESS], ..softndk::Config::default() };
    *NIC.lock().unwrap_or_else(PoisonError::into_inner) = Some((SoftNdk::start(config).unwrap(), 0));
    ksim::wsk::set_ndk(Some(WSK_PROVIDER_NDK_DISPATCH {
        WskOpenNdkAdapter: open_adapter,
        WskCloseNdkAdapter: close_adapter,
    }));
    ksim::ip::set(&[Address { luid: LUID, index: INDEX, address: ADDRESS, state: NldsPreferred }]);
    ksim::ndis::install(installed);
    let runtime = Runtime::start(&Config::default()).unwrap();
    test();
    assert!(runtime.stop());
    ksim::ndis::above(None);
    ksim::ndis::install(false);
    ksim::ip::set(&[]);
    ksim::wsk::set_ndk(None);
    assert_eq!(ksim::ndis::attached(), []);
    let (soft, open) = NIC.lock().unwrap_or_else(PoisonError::into_inner).take().expect("a NIC");
    assert_eq!(open, 0);
    soft.stop();
}

/// Without the filter adapters are found all the same.
#[test]
fn without_the_filter() {
    with_driver(false, || {
        assert_eq!(ksim::ndis::arrive(LUID, INDEX, NdisMedium802_3), NDIS_STATUS_SUCCESS);
        assert_eq!(ksim::ndis::attached(), []);
        wait_for(1);
    });
}

#[test]
fn only_media_with_rdma_are_attached() {
    with_driver(true, || {
        assert_eq!(ksim::ndis::arrive(1, 1, NdisMediumWan), NDIS_STATUS_UNSUPPORTED_MEDIA);
        assert_eq!(ksim::ndis::arrive(2, 2, NdisMediumInfiniBand), NDIS_STATUS_SUCCESS);
        assert_eq!(ksim::ndis::attached(), [2]);
    });
}

/// No memory for the module, and none at NDIS: nothing is left behind.
#[test]
fn an_attach_finds_no_memory() {
    with_driver(true, || {
        for successes in 0..2 {
            let failing = ksim::pool::fail_after(successes);
            assert_eq!(ksim::ndis::arrive(LUID, INDEX, NdisMedium802_3), NDIS_STATUS_RESOURCES);
            drop(failing);
            assert_eq!(ksim::ndis::attached(), []);
        }
        assert_eq!(ksim::ndis::arrive(LUID, INDEX, NdisMedium802_3), NDIS_STATUS_SUCCESS);
    });
}

/// Whoever disables NDK waits until every adapter is closed, inside the event that the filter passes on.
#[test]
fn ndk_is_disabled_and_enabled() {
    with_driver(true, || {
        assert_eq!(ksim::ndis::arrive(LUID, INDEX, NdisMedium802_3), NDIS_STATUS_SUCCESS);
        wait_for(1);
        above(|code| {
            if code == NetEventNDKDisable {
                wait_for(0);
            }
            NDIS_STATUS_SUCCESS
        });
        for _ in 0..3 {
            assert_eq!(ksim::ndis::net_pnp(LUID, NetEventNDKDisable, None), NDIS_STATUS_SUCCESS);
            assert_eq!(open(), 0);
            // Twice is once.
            assert_eq!(ksim::ndis::net_pnp(LUID, NetEventNDKDisable, None), NDIS_STATUS_SUCCESS);
            assert_eq!(ksim::ndis::net_pnp(LUID, NetEventNDKEnable, None), NDIS_STATUS_SUCCESS);
            wait_for(1);
        }
    });
}

#[test]
fn a_nic_sleeps_and_wakes() {
    with_driver(true, || {
        assert_eq!(ksim::ndis::arrive(LUID, INDEX, NdisMedium802_3), NDIS_STATUS_SUCCESS);
        wait_for(1);
        ksim::ndis::net_pnp(LUID, NetEventSetPower, Some(NdisDeviceStateD3));
        wait_for(0);
        ksim::ndis::net_pnp(LUID, NetEventSetPower, Some(NdisDeviceStateD0));
        wait_for(1);
    });
}

/// Its removal is asked for, and refused by somebody else, or called off, or carried out.
#[test]
fn a_nic_is_removed() {
    with_driver(true, || {
        assert_eq!(ksim::ndis::arrive(LUID, INDEX, NdisMedium802_3), NDIS_STATUS_SUCCESS);
        wait_for(1);
        above(
            |code| {
                if code == NetEventQueryRemoveDevice { NDIS_STATUS_FAILURE } else { NDIS_STATUS_SUCCESS }
            },
        );
        assert_eq!(ksim::ndis::net_pnp(LUID, NetEventQueryRemoveDevice, None), NDIS_STATUS_FAILURE);
        wait_for(1);
        ksim::ndis::above(None);
        assert_eq!(ksim::ndis::net_pnp(LUID, NetEventQueryRemoveDevice, None), NDIS_STATUS_SUCCESS);
        wait_for(0);
        ksim::ndis::net_pnp(LUID, NetEventCancelRemoveDevice, None);
        wait_for(1);
        ksim::ndis::device_pnp(LUID, NdisDevicePnPEventSurpriseRemoved);
        wait_for(0);
        ksim::ip::set(&[]);
        ksim::ndis::leave(LUID);
        assert_eq!(ksim::ndis::attached(), []);
        // Back again.
        assert_eq!(ksim::ndis::arrive(LUID, INDEX, NdisMedium802_3), NDIS_STATUS_SUCCESS);
        ksim::ip::set(&[Address { luid: LUID, index: INDEX, address: ADDRESS, state: NldsPreferred }]);
        wait_for(1);
    });
}

/// Events that mean nothing to the adapter are passed on like the others.
#[test]
fn other_events_are_passed_on() {
    with_driver(true, || {
        assert_eq!(ksim::ndis::arrive(LUID, INDEX, NdisMedium802_3), NDIS_STATUS_SUCCESS);
        wait_for(1);
        for code in 0..23 {
            let goes = [NetEventNDKDisable, NetEventFilterPreDetach, NetEventQueryRemoveDevice];
            if !goes.contains(&code) {
                above(move |told| if told == code { NDIS_STATUS_CLOSING } else { NDIS_STATUS_SUCCESS });
                // Without a buffer, which only a wrong miniport leaves out, a NIC does not power down.
                assert_eq!(ksim::ndis::net_pnp(LUID, code, None), NDIS_STATUS_CLOSING, "{code}");
            }
        }
        for code in 3..7 {
            ksim::ndis::device_pnp(LUID, code);
        }
        assert_eq!(open(), 1);
    });
}
