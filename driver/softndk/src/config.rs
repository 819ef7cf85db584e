//! What the owner of the adapter decides, and the fixed limits of the adapter.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use kernel::time::milliseconds;

use crate::tcp::SystemWsk;

use abi::ndk::{NDK_ADAPTER_FLAG, NDK_ADAPTER_INFO, NDK_VERSION, NdkiWarp};

/// Addresses an adapter has unless told otherwise: 127.0.0.1 and ::1.
pub const LOOPBACK_ADDRESSES: &[IpAddr] = &[IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// How a control request is answered when its outcome is known before the call returns.
///
/// NDKPI lets a provider choose freely, per call. A consumer must cope with all three, so its tests run with all three.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AnswerMode {
    /// The outcome is the return value; the completion is not called.
    #[default]
    Inline,
    /// `STATUS_PENDING`, and the completion is called from a DPC.
    Later,
    /// The completion is called on the caller's stack, and then the call returns `STATUS_PENDING`.
    Early,
}

/// Settings of one software adapter. `Config::default()` is a loopback adapter that answers inline.
#[derive(Clone, Copy, Debug)]
pub struct Config<'a> {
    /// The adapter's addresses, compared exactly; every other local address is `STATUS_INVALID_ADDRESS`, and so are the
    /// unspecified ones.
    pub addresses: &'a [IpAddr],
    /// How requests are answered whose outcome is known at once.
    pub answers: AnswerMode,
    /// Connection requests a listener holds that its consumer has neither accepted nor refused; one more is refused.
    pub backlog: u32,
    /// How long a disconnect waits for the other side's, in units of 100 ns.
    pub disconnect_timeout: u64,
    /// First and last port given out when port 0 is asked for.
    pub ephemeral_ports: (u16, u16),
    /// Memory regions that can exist at once in all opens together, at most [`REGIONS_MAX`].
    pub regions_max: u32,
    /// Logical address mappings that can exist at once in all opens together, at most [`MAPPINGS_MAX`].
    pub mappings_max: u32,
    /// Leave a hole between any two pages of a mapping, so that no two of them are adjacent in logical space.
    ///
    /// NDKPI promises no adjacency; a consumer that relies on it works only by luck.
    pub scattered_pages: bool,
    /// Break a connection whose passive side posts a send, read or write before anything has arrived from the active side.
    ///
    /// MPA (RFC 5044 section 7.1.2) wants the active side to speak first; other transports do not care.
    pub active_speaks_first: bool,
    /// Connections to other machines; without it every peer is on this adapter.
    pub iwarp: Option<Iwarp<'a>>,
}

/// Settings of the fabric to other machines.
#[derive(Clone, Copy, Debug)]
pub struct Iwarp<'a> {
    /// Over whose TCP.
    pub system: SystemWsk,
    /// First and last port of each range that is served by iWARP: where listeners listen over TCP too, and to where connects go out.
    pub ports: &'a [(u16, u16)],
    /// Go over TCP to listeners on this adapter as well, so that a test needs only one.
    pub local_too: bool,
    /// Prefer CRCs. RFC 5044 section 4.4 wants them preferred unless an administrator has decided otherwise.
    pub crc: bool,
    /// TCP connections of one listener whose request has not arrived; further ones wait in the system's backlog.
    pub half_open: u32,
    /// How long a peer that connects may take for its request, and for an RTR message that was agreed on; in units of 100 ns.
    pub handshake_timeout: u64,
    /// How long an accept waits for the first FPDU where no RTR message was agreed on, in units of 100 ns. Then it completes: such an
    /// initiator need not have anything to say.
    pub first_fpdu_timeout: u64,
    /// How long a connect may take to the peer's reply, in units of 100 ns.
    pub connect_timeout: u64,
    /// How long TCP may outlive a connection, to deliver its last octets, in units of 100 ns.
    pub linger: u64,
}

impl<'a> Iwarp<'a> {
    /// The usual limits.
    #[must_use]
    pub const fn new(system: SystemWsk, ports: &'a [(u16, u16)]) -> Self {
        Self {
            system,
            ports,
            local_too: false,
            crc: true,
            half_open: 64,
            handshake_timeout: milliseconds(5_000),
            first_fpdu_timeout: milliseconds(1_000),
            connect_timeout: milliseconds(10_000),
            linger: milliseconds(2_000),
        }
    }
}

impl Default for Config<'static> {
    fn default() -> Self {
        Self {
            addresses: LOOPBACK_ADDRESSES,
            answers: AnswerMode::Inline,
            backlog: 128,
            disconnect_timeout: milliseconds(30_000),
            ephemeral_ports: (49152, 65535),
            regions_max: 4096,
            mappings_max: 4096,
            scattered_pages: false,
            active_speaks_first: false,
            iwarp: None,
        }
    }
}

/// Largest value of [`Config::regions_max`]: a token has 22 bits for the place of its region.
pub const REGIONS_MAX: u32 = 1 << 22;
/// Largest value of [`Config::mappings_max`]: a logical address has 22 bits for the place of its mapping.
pub const MAPPINGS_MAX: u32 = 1 << 22;

/// `PAGE_SIZE`: bytes in a logical page.
pub(crate) const PAGE_SIZE: usize = 4096;
/// Bytes in the largest region or mapping.
pub(crate) const REGISTRATION_BYTES_MAX: usize = 1 << 30;
/// Bytes in the largest memory window, whose page list is copied when it is bound.
pub(crate) const WINDOW_BYTES_MAX: usize = 64 << 20;
/// Pages in the largest fast-register region.
pub(crate) const FAST_REGISTER_PAGES_MAX: u32 = 4096;
/// Elements in one request of any kind.
pub(crate) const ELEMENTS_MAX: u32 = 32;
/// Bytes in one request: what a processor copies at DISPATCH_LEVEL in a fraction of a millisecond.
pub(crate) const TRANSFER_BYTES_MAX: u32 = 1 << 20;
/// Bytes of inline data in one request.
pub(crate) const INLINE_BYTES_MAX: u32 = 256;
/// Reads in flight per queue pair, either way.
pub(crate) const READ_LIMIT_MAX: u32 = 16;
/// Requests per queue of a queue pair.
pub(crate) const QUEUE_DEPTH_MAX: u32 = 16384;
/// Entries per completion queue.
pub(crate) const CQ_DEPTH_MAX: u32 = 1 << 18;
/// Bytes of private data a consumer may give to a handshake, and the least that `NdkGetConnectionData` gives, padded with zeros.
///
/// The ceiling that every RDMA transport offers (`ndkpi` reference, 14.4).
pub(crate) const PRIVATE_DATA_BYTES: usize = 56;

/// The interface version in force for a consumer that can live with `requested` or anything newer of the same major.
///
/// `None` is `NDIS_STATUS_BAD_VERSION`: another major, or a minor newer than what this provider has of it.
pub(crate) const fn version_in_force(requested: NDK_VERSION) -> Option<NDK_VERSION> {
    let highest_minor = match requested.Major {
        1 => 2,
        2 => 1,
        _ => return None,
    };
    if requested.Minor > highest_minor {
        return None;
    }
    Some(NDK_VERSION { Major: requested.Major, Minor: highest_minor })
}

/// What `NdkQueryAdapterInfo` answers.
pub(crate) const fn adapter_info(version: NDK_VERSION) -> NDK_ADAPTER_INFO {
    let flags = NDK_ADAPTER_FLAG::IN_ORDER_DMA_SUPPORTED
        .union(NDK_ADAPTER_FLAG::RDMA_READ_SINK_NOT_REQUIRED)
        .union(NDK_ADAPTER_FLAG::CQ_INTERRUPT_MODERATION_SUPPORTED)
        .union(NDK_ADAPTER_FLAG::MULTI_ENGINE_SUPPORTED)
        .union(NDK_ADAPTER_FLAG::RDMA_READ_LOCAL_INVALIDATE_SUPPORTED)
        .union(NDK_ADAPTER_FLAG::CQ_RESIZE_SUPPORTED)
        .union(NDK_ADAPTER_FLAG::LOOPBACK_CONNECTIONS_SUPPORTED);
    NDK_ADAPTER_INFO {
        Version: version,
        VendorId: 0,
        DeviceId: 0,
        MaxRegistrationSize: REGISTRATION_BYTES_MAX,
        MaxWindowSize: WINDOW_BYTES_MAX,
        FRMRPageCount: 512,
        MaxInitiatorRequestSge: ELEMENTS_MAX,
        MaxReceiveRequestSge: ELEMENTS_MAX,
        MaxReadRequestSge: ELEMENTS_MAX,
        MaxTransferLength: TRANSFER_BYTES_MAX,
        MaxInlineDataSize: INLINE_BYTES_MAX,
        MaxInboundReadLimit: READ_LIMIT_MAX,
        MaxOutboundReadLimit: READ_LIMIT_MAX,
        MaxReceiveQueueDepth: QUEUE_DEPTH_MAX,
        MaxInitiatorQueueDepth: QUEUE_DEPTH_MAX,
        MaxSrqDepth: QUEUE_DEPTH_MAX,
        MaxCqDepth: CQ_DEPTH_MAX,
        LargeRequestThreshold: 4096,
        MaxCallerData: PRIVATE_DATA_BYTES as u32,
        MaxCalleeData: PRIVATE_DATA_BYTES as u32,
        AdapterFlags: flags.bits(),
        RdmaTechnology: NdkiWarp,
    }
}
