//! The software adapter itself: what all its opens share.

use core::sync::atomic::{AtomicUsize, Ordering};

use abi::NTSTATUS;
use abi::ndis::NDIS_STATUS_BAD_VERSION;
use abi::ndk::{NDK_ADAPTER, NDK_VERSION};
use abi::status::STATUS_INVALID_PARAMETER;
use kernel::event::{Event, EventType};
use kernel::pool::{AllocError, PoolSlice, Shared};

use crate::adapter::Adapter;
use crate::config::{self, AnswerMode, Config};
use crate::counters::{CounterSet, Counters};
use crate::life::publish;
use crate::memory::{Memory, Spacing};
use crate::ports::PortSpace;
use crate::tag;
use crate::tcp::SystemWsk;

/// What all opens of one software adapter share.
#[derive(Debug)]
pub(crate) struct Core {
    answers: AnswerMode,
    backlog: u32,
    active_speaks_first: bool,
    disconnect_timeout: u64,
    memory: Memory,
    ports: PortSpace,
    counters: CounterSet,
    /// The adapter itself and its opens.
    users: AtomicUsize,
    /// Set when the last of them is gone.
    unused: Event,
    iwarp: Option<Iwarp>,
}

/// The fabric to other machines.
#[derive(Debug)]
struct Iwarp {
    system: SystemWsk,
    ports: PoolSlice<(u16, u16)>,
    local_too: bool,
    crc: bool,
    half_open: u32,
    handshake_timeout: u64,
    first_fpdu_timeout: u64,
    connect_timeout: u64,
    linger: u64,
}

impl Iwarp {
    fn new(config: &config::Iwarp<'_>) -> Result<Self, AllocError> {
        let range = |index| config.ports.get(index).copied().unwrap_or((1, 0));
        Ok(Self {
            system: config.system,
            ports: PoolSlice::try_new_with(tag::OBJECT, config.ports.len(), range)?,
            local_too: config.local_too,
            crc: config.crc,
            half_open: config.half_open,
            handshake_timeout: config.handshake_timeout,
            first_fpdu_timeout: config.first_fpdu_timeout,
            connect_timeout: config.connect_timeout,
            linger: config.linger,
        })
    }
}

impl Core {
    pub(crate) const fn answers(&self) -> AnswerMode {
        self.answers
    }

    /// Undecided requests per listener.
    pub(crate) const fn backlog(&self) -> u32 {
        self.backlog
    }

    pub(crate) const fn active_speaks_first(&self) -> bool {
        self.active_speaks_first
    }

    /// In units of 100 ns.
    pub(crate) const fn disconnect_timeout(&self) -> u64 {
        self.disconnect_timeout
    }

    pub(crate) const fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(crate) const fn ports(&self) -> &PortSpace {
        &self.ports
    }

    pub(crate) const fn counters(&self) -> &CounterSet {
        &self.counters
    }

    /// The system's TCP, if that port is served by iWARP.
    pub(crate) fn iwarp(&self, port: u16) -> Option<SystemWsk> {
        let iwarp = self.iwarp.as_ref()?;
        let served = iwarp.ports.iter().any(|(first, last)| (*first..=*last).contains(&port));
        served.then_some(iwarp.system)
    }

    /// Whether TCP leads to listeners on this adapter, too.
    pub(crate) fn iwarp_local_too(&self) -> bool {
        self.iwarp.as_ref().is_some_and(|iwarp| iwarp.local_too)
    }

    /// Whether streams prefer CRCs.
    pub(crate) fn iwarp_crc(&self) -> bool {
        self.iwarp.as_ref().is_none_or(|iwarp| iwarp.crc)
    }

    /// TCP connections of one listener whose request has not arrived.
    pub(crate) fn half_open(&self) -> u32 {
        self.iwarp.as_ref().map_or(0, |iwarp| iwarp.half_open)
    }

    /// In units of 100 ns, as the three that follow.
    pub(crate) fn handshake_timeout(&self) -> u64 {
        self.iwarp.as_ref().map_or(0, |iwarp| iwarp.handshake_timeout)
    }

    pub(crate) fn first_fpdu_timeout(&self) -> u64 {
        self.iwarp.as_ref().map_or(0, |iwarp| iwarp.first_fpdu_timeout)
    }

    pub(crate) fn connect_timeout(&self) -> u64 {
        self.iwarp.as_ref().map_or(0, |iwarp| iwarp.connect_timeout)
    }

    pub(crate) fn linger(&self) -> u64 {
        self.iwarp.as_ref().map_or(0, |iwarp| iwarp.linger)
    }

    fn leave(&self) {
        if self.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.unused.set();
        }
    }
}

/// A software adapter: an NDK provider whose peers are on the adapter itself, or over TCP.
///
/// Any number of consumers open it; all opens share its addresses and ports, and connect to each other.
#[derive(Debug)]
pub struct SoftNdk {
    core: Shared<Core>,
}

impl SoftNdk {
    /// Starts an adapter. PASSIVE_LEVEL, after [`kernel::init`].
    ///
    /// # Errors
    /// `STATUS_INVALID_PARAMETER`: a limit of [`Config`] is exceeded, or its range of ports is empty;
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn start(config: Config<'_>) -> Result<Self, NTSTATUS> {
        let (first, last) = config.ephemeral_ports;
        let allowed = config.regions_max <= config::REGIONS_MAX
            && config.mappings_max <= config::MAPPINGS_MAX
            && first > 0
            && first <= last;
        if !allowed {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let spacing = if config.scattered_pages { Spacing::Scattered } else { Spacing::Adjacent };
        let core = Core {
            answers: config.answers,
            backlog: config.backlog,
            active_speaks_first: config.active_speaks_first,
            disconnect_timeout: config.disconnect_timeout,
            memory: Memory::new(config.regions_max, config.mappings_max, spacing)?,
            ports: PortSpace::new(config.addresses, config.ephemeral_ports)?,
            counters: CounterSet::default(),
            users: AtomicUsize::new(1),
            unused: Event::new(EventType::Notification, false)?,
            iwarp: config.iwarp.as_ref().map(Iwarp::new).transpose()?,
        };
        Ok(Self { core: Shared::try_new(tag::OBJECT, core)? })
    }

    /// Opens the adapter for a consumer that can live with `version` (`OPEN_NDK_ADAPTER_HANDLER`). PASSIVE_LEVEL.
    ///
    /// The object is the consumer's until [`close_adapter`](Self::close_adapter). The version in force is in its header:
    /// 2.1 for any request of major version 2, 1.2 for any of major version 1.
    ///
    /// # Errors
    /// `NDIS_STATUS_BAD_VERSION`, `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn open_adapter(&self, version: NDK_VERSION) -> Result<*mut NDK_ADAPTER, NTSTATUS> {
        let version = config::version_in_force(version).ok_or(NDIS_STATUS_BAD_VERSION)?;
        let adapter = Adapter::open(&self.core, version)?;
        self.core.users.fetch_add(1, Ordering::Relaxed);
        Ok(publish(adapter).cast())
    }

    /// Closes an open (`CLOSE_NDK_ADAPTER_HANDLER`). PASSIVE_LEVEL; blocks until every object created over it is closed and
    /// every callback has returned. When it returns, no code of the consumer is or will be called.
    ///
    /// # Safety
    /// `adapter` came from [`open_adapter`](Self::open_adapter) of this software adapter and is closed once, outside any
    /// callback.
    pub unsafe fn close_adapter(&self, adapter: *mut NDK_ADAPTER) {
        // SAFETY: `publish` left one reference behind the pointer, given up by this call.
        let adapter = unsafe { Shared::<Adapter>::from_raw(adapter.cast()) };
        Adapter::close(&adapter);
        drop(adapter);
        self.core.leave();
    }

    /// The counters of all opens together. Any IRQL.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.core.counters.snapshot()
    }

    /// Ends the adapter. PASSIVE_LEVEL; blocks until every open is closed.
    pub fn stop(self) {
        self.core.leave();
        self.core.unused.wait_forever();
    }
}
