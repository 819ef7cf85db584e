//! `\\.\wskrdma`: the driver's own device.
//!
//! | code | in | out | access |
//! |---|---|---|---|
//! | [`IOCTL_VERSION`] | nothing | [`Version`] | read |
//! | [`IOCTL_STATUS`] | nothing | [`StatusHeader`], then its adapters, its sockets and its reasons | read |
//!
//! Statuses: BUFFER_TOO_SMALL (output shorter than the fixed part), BUFFER_OVERFLOW (the rows did not all fit;
//! the header tells how many there are), INVALID_BUFFER_SIZE (input where none is taken),
//! INVALID_DEVICE_REQUEST (unknown code).

use crate::record::{Record, record};
use crate::{Address, READ_ACCESS, ctl_code};
use abi::NTSTATUS;
use abi::status::{
    STATUS_BUFFER_OVERFLOW, STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_BUFFER_SIZE,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_SUCCESS,
};

/// The NT name of the device.
pub const DEVICE_NAME: &str = "\\Device\\wskrdma";
/// The Win32 name of the device.
pub const WIN32_NAME: &str = "\\\\.\\wskrdma";
/// The service's name.
pub const SERVICE_NAME: &str = "wskrdma";
/// The version of this contract; a change of any layout raises it.
pub const CONTRACT_VERSION: u32 = 4;

/// Asks for [`Version`].
pub const IOCTL_VERSION: u32 = ctl_code(0x800, READ_ACCESS);
/// Asks for the status tree.
pub const IOCTL_STATUS: u32 = ctl_code(0x801, READ_ACCESS);

record! {
    /// Which driver answers.
    pub struct Version {
        /// [`CONTRACT_VERSION`] of the driver.
        contract: u32,
        /// Package version.
        major: u16,
        /// Package version.
        minor: u16,
        /// Package version.
        patch: u16,
        /// Zero.
        reserved: u16,
    }
}

impl Version {
    /// The version of this build.
    pub const CURRENT: Self = Self {
        contract: CONTRACT_VERSION,
        major: parse(env!("CARGO_PKG_VERSION_MAJOR")),
        minor: parse(env!("CARGO_PKG_VERSION_MINOR")),
        patch: parse(env!("CARGO_PKG_VERSION_PATCH")),
        reserved: 0,
    };
}

/// A decimal number of a package version; cargo has checked its form.
const fn parse(text: &str) -> u16 {
    match u16::from_str_radix(text, 10) {
        Ok(n) => n,
        Err(_) => u16::MAX,
    }
}

record! {
    /// The work of a connection, or the sum over all of them. Counts are since creation.
    #[derive(Default)]
    pub struct Work {
        /// Stream octets sent.
        octets_sent: u64,
        /// Stream octets received.
        octets_received: u64,
        /// NdkWrite work requests posted.
        writes: u64,
        /// NdkSend work requests posted.
        sends: u64,
        /// NdkReceive work requests posted.
        receives: u64,
        /// Completion queue entries taken.
        completions: u64,
        /// Credit messages sent.
        credits_sent: u64,
        /// Credit messages received.
        credits_received: u64,
        /// Times a send waited for room, message credits or queue slots.
        stalls: u64,
        /// Octets copied by the sender outside the provider.
        octets_copied_out: u64,
        /// Octets copied by the receiver outside the provider.
        octets_copied_in: u64,
        /// Calls that went to the system's socket, over TCP.
        tcp_calls: u64,
        /// Octets of the sends among them.
        tcp_octets_sent: u64,
        /// Octets that the system's socket has indicated. What it gives to a WskReceive it alone knows.
        tcp_octets_indicated: u64,
    }
}

record! {
    /// Front of the status reply. Rows follow: `adapters` of [`AdapterRow`], then `sockets` of [`SocketRow`], then
    /// `reasons` of [`ReasonRow`].
    pub struct StatusHeader {
        /// [`CONTRACT_VERSION`].
        contract: u32,
        /// Adapter rows that exist; fewer may fit the buffer.
        adapters: u32,
        /// Socket rows that exist; fewer may fit the buffer.
        sockets: u32,
        /// IRPs that clients have handed in and that are not completed.
        irps_outstanding: u32,
        /// Reason rows that exist; fewer may fit the buffer.
        reasons: u32,
        /// Zero.
        reserved: u32,
        /// Sum over all connections, closed ones included.
        total: Work,
    }
}

record! {
    /// One NDK adapter, or a NIC that does RDMA and whose adapter is not open.
    pub struct AdapterRow {
        /// NDK_RDMA_TECHNOLOGY: 1 iWARP, 2 InfiniBand, 3 RoCE, 4 RoCEv2; 0 for the software adapter's loopback.
        technology: u32,
        /// NDKPI version in force.
        major: u16,
        /// NDKPI version in force.
        minor: u16,
        /// Interface index, 0 for the software adapter.
        interface_index: u32,
        /// NDK_ADAPTER_FLAG_*.
        flags: u32,
        /// `ADAPTER_*`: whether it is open, and why not. Technology, version and flags are those of an open one.
        state: u32,
        /// The NTSTATUS of [`ADAPTER_FAILED`], otherwise 0.
        status: u32,
        /// Promises of NDKPI that its driver has broken: completions called twice,
        answered_twice: u32,
        /// disconnect events that came twice or too late,
        events_too_many: u32,
        /// completion entries for no request,
        entries_too_many: u32,
        /// requests without a completion entry,
        entries_missing: u32,
        /// requests and closes that were not answered in time.
        unanswered: u32,
        /// Endpoints that are made ahead and ready.
        prepared: u32,
        /// Octets of memory that are registered with the adapter, or that its driver has not given back.
        registered: u64,
        /// Connections that took an endpoint made ahead,
        prepared_hits: u64,
        /// and that found none.
        prepared_misses: u64,
        /// Name, UTF-8, zero-filled.
        name: [u8; 32],
    }
}

record! {
    /// One socket.
    pub struct SocketRow {
        /// WSK_FLAG_LISTEN_SOCKET or WSK_FLAG_CONNECTION_SOCKET.
        kind: u32,
        /// [`PATH_NONE`], [`PATH_RDMA`] or [`PATH_TCP`].
        path: u32,
        /// Why this path: numbers of the trace crate's `Reason`.
        reason: u32,
        /// State number, for people: see the operations chapter.
        state: u32,
        /// Local address.
        local: Address,
        /// Remote address.
        remote: Address,
        /// What the connection has done.
        work: Work,
    }
}

record! {
    /// How often decisions had one outcome, since the driver was started. Reasons that never occurred have no row.
    pub struct ReasonRow {
        /// Number of the trace crate's `Reason`.
        reason: u32,
        /// Zero.
        reserved: u32,
        /// Decisions.
        count: u64,
    }
}

/// Connections may run over the adapter.
pub const ADAPTER_OPEN: u32 = 0;
/// NDK is disabled on the NIC.
pub const ADAPTER_DISABLED: u32 = 1;
/// The NIC's driver has no NDKPI version that this driver has (2.1, 2.0, 1.2).
pub const ADAPTER_WRONG_VERSION: u32 = 2;
/// The adapter's limits are below what connections need.
pub const ADAPTER_UNFIT: u32 = 3;
/// It was not opened, for another reason.
pub const ADAPTER_FAILED: u32 = 4;
/// NDK, or the NIC, is going or gone.
pub const ADAPTER_GOING: u32 = 5;
/// It was to be closed, and its driver does not let go of it.
pub const ADAPTER_STUCK: u32 = 6;

/// No path was chosen yet.
pub const PATH_NONE: u32 = 0;
/// The stream runs over NDK.
pub const PATH_RDMA: u32 = 1;
/// The stream runs over the system's TCP.
pub const PATH_TCP: u32 = 2;

/// What the handlers ask of the driver.
pub trait Source {
    /// The fixed part. Its row counts are those that [`Source::rows`] would deliver now.
    fn header(&self) -> StatusHeader;
    /// Delivers each row in order until `sink` answers `false`.
    fn rows(&self, sink: &mut dyn FnMut(Row) -> bool);
}

/// A row of the status reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// An adapter; all of them come before the first socket.
    Adapter(AdapterRow),
    /// A socket; all of them come before the first reason.
    Socket(SocketRow),
    /// A reason.
    Reason(ReasonRow),
}

/// Answers one request. `buffer` is the METHOD_BUFFERED system buffer, `input` octets of it are the request and
/// the reply may use `output` octets. Returns the status and `IoStatus.Information`.
pub fn handle(
    code: u32,
    buffer: &mut [u8],
    input: usize,
    output: usize,
    source: &dyn Source,
) -> (NTSTATUS, usize) {
    if !matches!(code, IOCTL_VERSION | IOCTL_STATUS) {
        return (STATUS_INVALID_DEVICE_REQUEST, 0);
    }
    if input != 0 {
        return (STATUS_INVALID_BUFFER_SIZE, 0);
    }
    let Some(out) = buffer.get_mut(..output) else { return (STATUS_BUFFER_TOO_SMALL, 0) };
    match code {
        IOCTL_VERSION => match Version::CURRENT.encode(out) {
            Ok(n) => (STATUS_SUCCESS, n),
            Err(_) => (STATUS_BUFFER_TOO_SMALL, 0),
        },
        _ => status(out, source),
    }
}

/// The status tree. The header is written last, so that its counts describe the rows that were really delivered.
fn status(out: &mut [u8], source: &dyn Source) -> (NTSTATUS, usize) {
    let Some((head, mut tail)) = out.split_at_mut_checked(StatusHeader::SIZE) else {
        return (STATUS_BUFFER_TOO_SMALL, 0);
    };
    let (mut adapters, mut sockets, mut reasons) = (0u32, 0u32, 0u32);
    let (mut written, mut fits) = (StatusHeader::SIZE, true);
    source.rows(&mut |row| {
        let encoded = match &row {
            Row::Adapter(r) => {
                adapters = adapters.saturating_add(1);
                r.encode(tail)
            }
            Row::Socket(r) => {
                sockets = sockets.saturating_add(1);
                r.encode(tail)
            }
            Row::Reason(r) => {
                reasons = reasons.saturating_add(1);
                r.encode(tail)
            }
        };
        fits &= encoded.is_ok();
        if let (true, Ok(n)) = (fits, encoded) {
            tail = core::mem::take(&mut tail).get_mut(n..).unwrap_or_default();
            written = written.saturating_add(n);
        }
        true
    });
    let header = StatusHeader { adapters, sockets, reasons, ..source.header() };
    match header.encode(head) {
        Ok(_) => (if fits { STATUS_SUCCESS } else { STATUS_BUFFER_OVERFLOW }, written),
        Err(_) => (STATUS_BUFFER_TOO_SMALL, 0),
    }
}
