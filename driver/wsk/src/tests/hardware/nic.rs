//! NICs made of software adapters, which the simulated system opens by their interface index.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::ptr::NonNull;
use std::boxed::Box;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::vec::Vec;

use abi::NTSTATUS;
use abi::ndis::NDIS_STATUS_BAD_VERSION;
use abi::ndk::{NDK_ADAPTER, NDK_VERSION, WSK_PROVIDER_NDK_DISPATCH};
use abi::netio::NldsPreferred;
use abi::status::{STATUS_NOT_SUPPORTED, STATUS_SUCCESS};
use abi::wsk::PWSK_CLIENT;
use ksim::ip::Address;
use softndk::{AnswerMode, SoftNdk};

use super::super::tcp::stage::Stage;
use crate::hardware::{Hardware, Standing};

/// The interface type of Ethernet, in a NET_LUID.
const ETHERNET: u64 = 6 << 48;

struct Nic {
    soft: Box<SoftNdk>,
    /// The status that an open is refused with.
    refusal: Option<NTSTATUS>,
    newest: (u16, u16),
    /// Adapters that are open, and the versions that were asked for.
    open: Vec<usize>,
    asked: Vec<(u16, u16)>,
}

static NICS: Mutex<BTreeMap<u32, Nic>> = Mutex::new(BTreeMap::new());

fn nics() -> MutexGuard<'static, BTreeMap<u32, Nic>> {
    NICS.lock().unwrap_or_else(PoisonError::into_inner)
}

unsafe extern "system" fn open(
    _client: PWSK_CLIENT,
    version: NDK_VERSION,
    index: u32,
    out: *mut *mut NDK_ADAPTER,
) -> NTSTATUS {
    let mut nics = nics();
    let Some(nic) = nics.get_mut(&index) else { return STATUS_NOT_SUPPORTED };
    nic.asked.push((version.Major, version.Minor));
    if let Some(refusal) = nic.refusal {
        return refusal;
    }
    if (version.Major, version.Minor) > nic.newest {
        return NDIS_STATUS_BAD_VERSION;
    }
    match nic.soft.open_adapter(version) {
        Ok(adapter) => {
            // SAFETY: opened just now, and used by nobody.
            let adapter = unsafe { ndkcheck::wrap(NonNull::new(adapter).unwrap()) };
            nic.open.push(adapter.addr().get());
            // SAFETY: the consumer's variable.
            unsafe { out.write(adapter.as_ptr()) };
            STATUS_SUCCESS
        }
        Err(status) => status,
    }
}

unsafe extern "system" fn close(_client: PWSK_CLIENT, adapter: *mut NDK_ADAPTER) {
    let soft = {
        let nics = nics();
        let nic = nics.values().find(|nic| nic.open.contains(&adapter.addr())).expect("an adapter of a NIC");
        core::ptr::from_ref::<SoftNdk>(&nic.soft)
    };
    // SAFETY: NICs stay until the end of the test.
    let soft = unsafe { &*soft };
    // It may wait for the consumer's objects.
    // SAFETY: opened there, closed once.
    let give_back = |inner: NonNull<NDK_ADAPTER>| unsafe { soft.close_adapter(inner.as_ptr()) };
    // SAFETY: wrapped when it was opened.
    unsafe { ndkcheck::close(NonNull::new(adapter).unwrap(), give_back) };
    nics().values_mut().for_each(|nic| nic.open.retain(|open| *open != adapter.addr()));
}

/// The address of the NIC with this index.
pub(super) fn address(index: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, index as u8))
}

pub(super) fn at(index: u32, port: u16) -> SocketAddr {
    SocketAddr::new(address(index), port)
}

pub(super) fn luid(index: u32) -> u64 {
    ETHERNET | u64::from(index)
}

/// A machine with NICs, and who finds their adapters.
pub(super) struct Machine {
    pub(super) stage: Stage,
    /// Dropped at the end.
    hardware: Option<Hardware>,
}

impl Machine {
    /// With these NICs, none of which has an address.
    pub(super) fn new(stage: Stage, indexes: &[u32], answers: AnswerMode) -> Self {
        for &index in indexes {
            let addresses = [address(index)];
            let config = softndk::Config { answers, addresses: &addresses, ..softndk::Config::default() };
            let nic = Nic {
                soft: Box::new(SoftNdk::start(config).unwrap()),
                refusal: None,
                newest: (2, 1),
                open: Vec::new(),
                asked: Vec::new(),
            };
            nics().insert(index, nic);
            ksim::wsk::add_address(address(index));
        }
        ksim::ip::set(&[]);
        ksim::wsk::set_ndk(Some(WSK_PROVIDER_NDK_DISPATCH {
            WskOpenNdkAdapter: open,
            WskCloseNdkAdapter: close,
        }));
        let hardware = Hardware::start(&stage.world.provider).unwrap();
        Self { stage, hardware: Some(hardware) }
    }

    pub(super) fn hardware(&self) -> &Hardware {
        self.hardware.as_ref().unwrap()
    }

    /// These NICs have their addresses, and no others.
    pub(super) fn addressed(&self, indexes: &[u32]) {
        let row = |index: &u32| Address {
            luid: luid(*index),
            index: *index,
            address: address(*index),
            state: NldsPreferred,
        };
        ksim::ip::set(&indexes.iter().map(row).collect::<Vec<_>>());
    }

    pub(super) fn refuse(&self, index: u32, refusal: Option<NTSTATUS>) {
        nics().get_mut(&index).unwrap().refusal = refusal;
    }

    pub(super) fn set_newest(&self, index: u32, newest: (u16, u16)) {
        nics().get_mut(&index).unwrap().newest = newest;
    }

    /// The versions that were asked for.
    pub(super) fn asked(&self, index: u32) -> Vec<(u16, u16)> {
        nics()[&index].asked.clone()
    }

    /// Opens of a NIC's adapter that are not closed.
    pub(super) fn open(&self, index: u32) -> usize {
        nics()[&index].open.len()
    }

    pub(super) fn standing(&self, index: u32) -> Option<Standing> {
        let view = self.hardware().view();
        view.iter().find(|view| view.index == index).map(|view| view.standing)
    }

    /// Waits until an interface stands like this.
    #[track_caller]
    pub(super) fn wait_for(&self, index: u32, standing: Option<Standing>) {
        until(|| self.standing(index) == standing);
    }

    /// Waits until a NIC's adapter is closed everywhere.
    #[track_caller]
    pub(super) fn wait_closed(&self, index: u32) {
        until(|| self.open(index) == 0);
    }

    /// Ends everything.
    pub(super) fn finish(mut self) {
        // What is open is the provider's, which the stage stops; nothing of the NICs is called afterwards.
        let hardware = self.hardware.take();
        self.stage.finish_with(move || {
            drop(hardware);
            for nic in core::mem::take(&mut *nics()).into_values() {
                assert!(nic.open.is_empty());
                nic.soft.stop();
            }
            ksim::wsk::set_ndk(None);
            ksim::ip::set(&[]);
            assert_eq!(ksim::ip::outstanding(), (0, 0));
        });
    }
}

#[track_caller]
pub(super) fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "it does not come about");
        std::thread::yield_now();
    }
}
