//! The NDK adapters of the machine's NICs.
//!
//! Every interface that has an address is tried: its adapter is opened through the system's WSK
//! (`WSKNDK_GET_WSK_PROVIDER_NDK_DISPATCH`), in the highest version that both sides have, and examined. One thread does
//! that, and closes what has to go; whatever may have changed something only wakes it: a change of the addresses, or the NDIS
//! filter, which knows of NDK going away before anybody else. Without the filter an adapter that goes is found out by its
//! addresses, and one that comes back by looking again from time to time.
//!
//! ```text
//! Untried ──open──► Open ───addresses gone, or held back──► closed
//!   ▲  └─refused──► Refused ──NDK enabled, or time──┐
//!   └───────────────────────────────────────────────┘
//! ```
//!
//! What it must never do: wait inside a signal. The one who signals may be what an adapter's close waits for.

use crate::TAG_PROVIDER;
use crate::adapters::{ADDRESSES, Interface, NAME, fixed_name};
use crate::control::ndk::system_functions;
use crate::provider::{Provider, Removed};
use crate::system::System;
use crate::telemetry;
use abi::NTSTATUS;
use abi::ndis::{NDIS_STATUS_ADAPTER_NOT_READY, NDIS_STATUS_BAD_VERSION, NET_IFINDEX, NET_LUID};
use abi::ndk::{NDK_ADAPTER, NDK_VERSION};
use abi::netio::{MIB_NOTIFICATION_TYPE, MIB_UNICASTIPADDRESS_ROW, NldsDeprecated, NldsPreferred};
use abi::status::{STATUS_IO_TIMEOUT, STATUS_NOT_SUPPORTED, STATUS_UNSUCCESSFUL, nt_success};
use abi::wsk::WSK_NO_WAIT;
use core::ffi::c_void;
use core::fmt::Write;
use core::net::IpAddr;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, Ordering};
use heapless::{String, Vec};
use kernel::event::{Event, EventType};
use kernel::ip::{AddressWatch, UnicastAddresses};
use kernel::lock::SpinLock;
use kernel::pool::Shared;
use kernel::print::Level;
use kernel::thread::Thread;
use kernel::{dbg_print, time};
use ndk::{Adapter, CloseAdapter};
use trace::Kind;

/// Interfaces that are looked after; a machine that has more uses the first of them.
pub const INTERFACES: usize = 64;
/// How long until what was refused, or the system's missing WSK, is tried again, in units of 100 ns: 15 s.
const RETRY: u64 = time::milliseconds(15_000);
/// NDKPI versions that this driver can live with, the best first (ndkpi.h; 1.2 brought NDK_OP_FLAG_DEFER).
const VERSIONS: [NDK_VERSION; 3] = [
    NDK_VERSION { Major: 2, Minor: 1 },
    NDK_VERSION { Major: 2, Minor: 0 },
    NDK_VERSION { Major: 1, Minor: 2 },
];
/// IANA number of loopback interfaces, in the upper 16 bits of a NET_LUID.
const IF_TYPE_SOFTWARE_LOOPBACK: u64 = 24;

/// How an interface stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has not been tried.
    Untried,
    /// Its adapter is open.
    Open,
    /// Its NIC does no RDMA.
    NotCapable,
    /// NDK is disabled on it.
    Disabled,
    /// It has no NDKPI version that this driver has.
    WrongVersion,
    /// Its limits are below what connections need.
    Unfit,
    /// It was not opened, for another status.
    Failed(NTSTATUS),
    /// The NDIS filter says that NDK, or the NIC, is going or gone.
    HeldBack,
    /// Its adapter was to be closed, and its driver does not let go of it: it is not opened again before that.
    Stuck,
}

/// One interface, for the status reply.
#[derive(Clone, Copy, Debug)]
pub struct InterfaceView {
    /// Its index.
    pub index: NET_IFINDEX,
    /// Name, UTF-8, zero-filled.
    pub name: [u8; NAME],
    /// How it stands.
    pub standing: Standing,
}

/// What the filter says of an interface.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// Nothing.
    Free,
    /// NDK, or the NIC, is going.
    Back,
    /// The NIC is gone.
    Gone,
}

/// An interface that has, or had, an address.
#[derive(Clone, Copy)]
struct Known {
    luid: NET_LUID,
    index: NET_IFINDEX,
    standing: Standing,
    hold: Hold,
}

struct State {
    known: Vec<Known, INTERFACES>,
    stopping: bool,
}

/// What the thread works with.
struct Inner {
    provider: Shared<Provider>,
    /// This driver's own registration with the system's WSK: adapters are opened and closed in its name.
    system: System,
    wake: Event,
    state: SpinLock<State>,
    /// An adapter's driver has not answered while it was being opened, so that it cannot be closed.
    left_open: AtomicBool,
}

/// The thread, and what wakes it.
pub struct Hardware {
    inner: Shared<Inner>,
    thread: Option<Thread>,
    watch: Option<AddressWatch>,
}

/// The interface of a row that can be used.
struct Seen {
    luid: NET_LUID,
    index: NET_IFINDEX,
    addresses: Vec<IpAddr, ADDRESSES>,
}

impl Hardware {
    /// Begins to look after the machine's adapters. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, or what the system's WskRegister answers.
    pub fn start(provider: &Shared<Provider>) -> Result<Self, NTSTATUS> {
        let inner = Shared::try_new(
            TAG_PROVIDER,
            Inner {
                provider: provider.clone(),
                system: System::new()?,
                wake: Event::new(EventType::Synchronization, true).map_err(|e| e.status())?,
                state: SpinLock::new(State { known: Vec::new(), stopping: false }),
                left_open: AtomicBool::new(false),
            },
        )
        .map_err(|e| e.status())?;
        inner.system.register()?;
        let mut this = Self { inner, thread: None, watch: None };
        let context = Shared::as_ptr(&this.inner).cast_mut().cast();
        // SAFETY: the drop ends the watch before the context.
        this.watch = Some(unsafe { AddressWatch::start(addresses_changed, context) }?);
        // SAFETY: the drop ends the thread before the context.
        this.thread = Some(unsafe { Thread::spawn(TAG_PROVIDER, run, context) }?);
        Ok(this)
    }

    /// NDK, or the NIC, is going: its adapter is closed soon, and not opened again before [`release`](Self::release). Does
    /// not wait. IRQL <= DISPATCH_LEVEL.
    pub fn hold_back(&self, luid: NET_LUID, index: NET_IFINDEX) {
        self.inner.hold(luid, index, Hold::Back);
    }

    /// NDK may be there, or there again. Does not wait. IRQL <= DISPATCH_LEVEL.
    pub fn release(&self, luid: NET_LUID, index: NET_IFINDEX) {
        self.inner.hold(luid, index, Hold::Free);
    }

    /// The NIC is gone: what is left of its adapter is closed soon, and it is forgotten. Does not wait.
    /// IRQL <= DISPATCH_LEVEL.
    pub fn forget(&self, luid: NET_LUID, index: NET_IFINDEX) {
        self.inner.hold(luid, index, Hold::Gone);
    }

    /// The interfaces, and how they stand. IRQL <= DISPATCH_LEVEL.
    #[must_use]
    pub fn view(&self) -> Vec<InterfaceView, INTERFACES> {
        let state = self.inner.state.lock();
        let view = |k: &Known| InterfaceView {
            index: k.index,
            name: fixed_name(&name_of(k.index)),
            standing: k.standing(),
        };
        state.known.iter().map(view).collect()
    }
}

impl Hardware {
    /// Whether every adapter that was opened is closed. IRQL <= DISPATCH_LEVEL.
    #[must_use]
    pub fn all_closed(&self) -> bool {
        !self.inner.left_open.load(Ordering::Acquire) && !self.inner.provider.has_stuck()
    }
}

impl Drop for Hardware {
    /// The provider has been stopped. The registration with the system's WSK, and whatever an adapter needs to be closed after
    /// all, stays if one is not closed: the system would wait for it. IRQL: PASSIVE_LEVEL.
    fn drop(&mut self) {
        drop(self.watch.take());
        self.inner.state.lock().stopping = true;
        self.inner.wake.set();
        drop(self.thread.take());
        if self.all_closed() {
            self.inner.system.deregister();
        } else {
            core::mem::forget(self.inner.clone());
        }
    }
}

impl Known {
    /// As others are told.
    fn standing(&self) -> Standing {
        if self.hold != Hold::Free && !matches!(self.standing, Standing::Open | Standing::Stuck) {
            Standing::HeldBack
        } else {
            self.standing
        }
    }
}

/// # Safety
/// `context` is the [`Inner`] whose watch this is.
unsafe extern "system" fn addresses_changed(
    context: *mut c_void,
    _row: *mut MIB_UNICASTIPADDRESS_ROW,
    _kind: MIB_NOTIFICATION_TYPE,
) {
    // SAFETY: the caller's promise.
    unsafe { &*context.cast::<Inner>() }.wake.set();
}

/// The thread.
///
/// # Safety
/// `context` is the [`Inner`] whose thread this is.
unsafe fn run(context: *mut c_void) {
    // SAFETY: the caller's promise.
    let this = unsafe { &*context.cast::<Inner>() };
    let mut wait = None;
    loop {
        // Whether it is woken or the time is over, there is something to look at.
        let _woken = this.wake.wait(wait);
        if this.state.lock().stopping {
            return;
        }
        wait = if this.look() { Some(RETRY) } else { None };
    }
}

impl Inner {
    fn hold(&self, luid: NET_LUID, index: NET_IFINDEX, hold: Hold) {
        {
            let mut state = self.state.lock();
            match state.known.iter_mut().find(|known| known.luid == luid) {
                Some(known) => {
                    known.hold = hold;
                    if hold == Hold::Free && !matches!(known.standing, Standing::Open | Standing::Stuck) {
                        known.standing = Standing::Untried;
                    }
                }
                None => {
                    // One too many stays without an adapter.
                    let _ = state.known.push(Known { luid, index, standing: Standing::Untried, hold });
                }
            }
        }
        self.wake.set();
    }

    /// Compares what is open with what should be. Whether to look again after a while.
    fn look(&self) -> bool {
        let seen = interfaces();
        let is_seen = |luid: NET_LUID| seen.iter().any(|seen| seen.luid == luid);
        // First what has to go: somebody may be waiting for it.
        while let Some(luid) = self.next_to_close(is_seen) {
            if self.provider.remove_adapter(luid) == Removed::Stuck {
                self.stand(luid, Standing::Stuck);
                dbg_print!(
                    Level::Error,
                    "wskrdma: the driver of interface {luid:#x} does not let go of its adapter"
                );
            }
        }
        let mut again = self.look_after_stuck();
        for interface in &seen {
            match self.standing_of(interface) {
                // Each further attempt would leave another adapter open.
                Some(Standing::Failed(STATUS_IO_TIMEOUT)) => {}
                Some(Standing::Open) => self.provider.set_addresses(interface.luid, &interface.addresses),
                Some(Standing::Untried | Standing::Disabled | Standing::Failed(_)) => {
                    let standing = self.open(interface);
                    again |= matches!(standing, Standing::Untried | Standing::Disabled | Standing::Failed(_))
                        && standing != Standing::Failed(STATUS_IO_TIMEOUT);
                    self.note(interface, standing);
                }
                Some(_) | None => {}
            }
        }
        again
    }

    fn stand(&self, luid: NET_LUID, standing: Standing) {
        if let Some(known) = self.state.lock().known.iter_mut().find(|known| known.luid == luid) {
            known.standing = standing;
        }
    }

    /// Interfaces whose adapters are closed after all count as untried. Whether there are others.
    fn look_after_stuck(&self) -> bool {
        let stuck: Vec<NET_LUID, INTERFACES> = {
            let state = self.state.lock();
            state.known.iter().filter(|k| k.standing == Standing::Stuck).map(|k| k.luid).collect()
        };
        let mut any = false;
        for luid in stuck {
            if self.provider.is_stuck(luid) {
                any = true;
            } else {
                self.stand(luid, Standing::Untried);
            }
        }
        any
    }

    /// An interface whose adapter is open and has to be closed: it counts as untried from now on.
    fn next_to_close(&self, is_seen: impl Fn(NET_LUID) -> bool) -> Option<NET_LUID> {
        let mut state = self.state.lock();
        // What is neither there nor held back is forgotten.
        state.known.retain(|k| match k.hold {
            _ if matches!(k.standing, Standing::Open | Standing::Stuck) => true,
            Hold::Free => is_seen(k.luid),
            Hold::Back => true,
            Hold::Gone => false,
        });
        let closes =
            |k: &&mut Known| k.standing == Standing::Open && (k.hold != Hold::Free || !is_seen(k.luid));
        let known = state.known.iter_mut().find(closes)?;
        known.standing = Standing::Untried;
        Some(known.luid)
    }

    /// How an interface that is there stands, which is entered if it is new. `None`: there are too many.
    fn standing_of(&self, interface: &Seen) -> Option<Standing> {
        let Seen { luid, index, .. } = *interface;
        let mut state = self.state.lock();
        if let Some(known) = state.known.iter_mut().find(|known| known.luid == luid) {
            known.index = index;
            return Some(known.standing());
        }
        let new = Known { luid, index, standing: Standing::Untried, hold: Hold::Free };
        state.known.push(new).ok().map(|()| Standing::Untried)
    }

    /// Notes what came of opening. An adapter that is held back since is closed by the next look, which is due.
    fn note(&self, interface: &Seen, standing: Standing) {
        let mut state = self.state.lock();
        let Some(known) = state.known.iter_mut().find(|known| known.luid == interface.luid) else { return };
        let before = core::mem::replace(&mut known.standing, standing);
        drop(state);
        if before != standing && !matches!(standing, Standing::Untried | Standing::NotCapable) {
            dbg_print!(Level::Info, "wskrdma: interface {}: {standing:?}", interface.index);
            if standing != Standing::Open {
                let status = if let Standing::Failed(status) = standing { status } else { 0 };
                let value = interface.index.into();
                telemetry::tell(&trace::Event { status, value, ..trace::Event::new(Kind::AdapterRefused) });
            }
        }
    }

    /// Opens an interface's adapter and gives it to the provider.
    fn open(&self, interface: &Seen) -> Standing {
        if self.system.capture(WSK_NO_WAIT).is_err() {
            return Standing::Untried;
        }
        let Some((client, functions)) = self.system.provider() else { return Standing::Untried };
        let open = match system_functions(client, functions) {
            Ok((open, _)) => open,
            // A system without NDK.
            Err(_) => return Standing::NotCapable,
        };
        let mut status = STATUS_NOT_SUPPORTED;
        let mut object = ptr::null_mut();
        for version in VERSIONS {
            // SAFETY: the system's function with its own client, at PASSIVE_LEVEL.
            status = unsafe { open(client, version, interface.index, &raw mut object) };
            if status != NDIS_STATUS_BAD_VERSION {
                break;
            }
        }
        match (status, NonNull::new(object)) {
            (NDIS_STATUS_BAD_VERSION, _) => Standing::WrongVersion,
            (NDIS_STATUS_ADAPTER_NOT_READY, _) => Standing::Disabled,
            (STATUS_NOT_SUPPORTED, _) => Standing::NotCapable,
            (status, _) if !nt_success(status) => Standing::Failed(status),
            (_, None) => Standing::Failed(STATUS_UNSUCCESSFUL),
            (_, Some(object)) => self.adopt(interface, object),
        }
    }

    fn adopt(&self, interface: &Seen, object: NonNull<NDK_ADAPTER>) -> Standing {
        let context = ptr::from_ref(self).cast_mut().cast();
        let close = CloseAdapter { close: close_adapter, context };
        let limits = self.provider.adapter_limits();
        // SAFETY: opened just now; it is closed where it was opened, which outlives the provider's adapters.
        let adapter = match unsafe { Adapter::adopt(object, close, limits) } {
            Ok(adapter) => adapter,
            Err(STATUS_NOT_SUPPORTED) => return Standing::Unfit,
            Err(status @ STATUS_IO_TIMEOUT) => {
                self.left_open.store(true, Ordering::Release);
                return Standing::Failed(status);
            }
            Err(status) => return Standing::Failed(status),
        };
        let name = name_of(interface.index);
        let identity = Interface { luid: interface.luid, index: interface.index, name: &name };
        match self.provider.add_adapter(adapter.clone(), identity, &interface.addresses) {
            Ok(()) => Standing::Open,
            Err(status) => {
                self.provider.give_back(adapter, identity);
                Standing::Failed(status)
            }
        }
    }
}

/// Gives an adapter back to the system.
///
/// # Safety
/// `context` is the [`Inner`] that opened `adapter`, and lives. IRQL: PASSIVE_LEVEL.
unsafe fn close_adapter(context: *mut c_void, adapter: NonNull<NDK_ADAPTER>) {
    // SAFETY: the caller's promise.
    let this = unsafe { &*context.cast::<Inner>() };
    // What was there when the adapter was opened is there until the registration ends.
    if let Some((client, functions)) = this.system.provider()
        && let Ok((_, close)) = system_functions(client, functions)
    {
        // SAFETY: opened by the same provider for the same client, closed once.
        unsafe { close(client, adapter.as_ptr()) };
    }
}

/// What an interface is called.
fn name_of(index: NET_IFINDEX) -> String<NAME> {
    let mut name = String::new();
    // Long enough for every number.
    let _ = write!(name, "interface {index}");
    name
}

/// The interfaces with addresses that a connection may have.
fn interfaces() -> Vec<Seen, INTERFACES> {
    let mut seen = Vec::<Seen, INTERFACES>::new();
    // Without addresses there are none.
    let Ok(table) = UnicastAddresses::read() else { return seen };
    for row in table.rows() {
        let (luid, index) = (row.InterfaceLuid, row.InterfaceIndex);
        // SAFETY: an address of the system's.
        let address = unsafe { ndk::socket_addr_from_raw((&raw const row.Address).cast()) };
        let usable = [NldsPreferred, NldsDeprecated].contains(&row.DadState)
            && luid >> 48 != IF_TYPE_SOFTWARE_LOOPBACK;
        let Some(address) = address.map(|a| a.ip()).filter(|ip| usable && !is_link_local(*ip)) else {
            continue;
        };
        match seen.iter_mut().find(|seen| seen.luid == luid) {
            Some(known) => {
                // More than an adapter may have are left out.
                let _ = known.addresses.push(address);
            }
            None => {
                let mut addresses = Vec::new();
                let _ = addresses.push(address);
                let _ = seen.push(Seen { luid, index, addresses });
            }
        }
    }
    seen
}

/// An address that names no interface without a scope, which WSK addresses of this driver do not carry.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.segments().first().is_some_and(|first| first & 0xFFC0 == 0xFE80))
}
