//! `\\.\wskrdma`: the driver's own device.
//!
//! | code | in | out | access |
//! |---|---|---|---|
//! | [`IOCTL_VERSION`] | nothing | [`Version`] | read |
//! | [`IOCTL_STATUS`] | nothing | [`StatusHeader`], then its adapters, its sockets and its reasons | read |
//! | [`IOCTL_EVENTS`] | [`EventsRequest`] | [`EventsHeader`], then its events | read |
//! | [`IOCTL_POLICY`] | nothing | [`PolicyHeader`], then its rules | read |
//! | [`IOCTL_POLICY_CHECK`] | rules, a line each | [`PolicyVerdict`] | read |
//! | [`IOCTL_POLICY_SET`] | rules, a line each | [`PolicyVerdict`] | read, write |
//! | [`IOCTL_WHY`] | [`WhyRequest`] | [`WhyReply`] | read |
//!
//! Statuses: BUFFER_TOO_SMALL (output shorter than the fixed part, input shorter than its record), BUFFER_OVERFLOW (the rows did
//! not all fit; the header tells how many there are, or which is the last), INVALID_BUFFER_SIZE (input where none is taken, or
//! longer than its record or limit), INVALID_PARAMETER (an address of no family, text that is not UTF-8),
//! INSUFFICIENT_RESOURCES, INVALID_DEVICE_REQUEST (unknown code).
//!
//! A request is answered before it is pended, and nothing is kept for a handle: what limits a handle is the output that its
//! caller brings. A reply has no octet that was not written for it.

mod events;
mod policy;
mod why;

pub use events::{EventRow, EventsHeader, EventsRequest, IOCTL_EVENTS};
pub use policy::{
    IOCTL_POLICY, IOCTL_POLICY_CHECK, IOCTL_POLICY_SET, MAX_RULES_INPUT, PolicyHeader, PolicyVerdict,
    RuleRow, TEXT_SIZE, lines,
};
pub use why::{ACTION_NEVER, ACTION_PREFER, ACTION_REQUIRE, IOCTL_WHY, WhyReply, WhyRequest};

use crate::record::{Record, record};
use crate::{Address, READ_ACCESS, ctl_code};
use abi::NTSTATUS;
use abi::status::{
    STATUS_BUFFER_OVERFLOW, STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_BUFFER_SIZE,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER, STATUS_SUCCESS,
};
use core::net::SocketAddr;

/// The NT name of the device.
pub const DEVICE_NAME: &str = "\\Device\\wskrdma";
/// The Win32 name of the device.
pub const WIN32_NAME: &str = "\\\\.\\wskrdma";
/// The service's name.
pub const SERVICE_NAME: &str = "wskrdma";
/// The version of this contract; a change of any layout raises it.
pub const CONTRACT_VERSION: u32 = 5;

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
        /// Connections whose stream runs over it.
        connections: u32,
        /// Zero.
        reserved: u32,
        /// Sum over all its connections, closed ones included, since it was opened.
        work: Work,
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
        /// Interface index of the adapter that the stream runs over, [`NO_INTERFACE`] without one.
        interface_index: u32,
        /// NTSTATUS with which the stream ended out of order, otherwise 0.
        failure: u32,
        /// Sends that the client waits for,
        sends_waiting: u32,
        /// and receives.
        receives_waiting: u32,
        /// Octets that were taken from the client and not given to the adapter.
        unsent: u64,
        /// Octets that arrived and that the client has not taken.
        unread: u64,
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

/// [`SocketRow::interface_index`]: no adapter.
pub const NO_INTERFACE: u32 = u32::MAX;

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
    /// Delivers the events after one, oldest first, until `sink` answers `false`. Returns the number of the last event there
    /// is, and the time now in units of 100 ns.
    fn events(&self, after: u64, sink: &mut dyn FnMut(EventRow) -> bool) -> (u64, u64);
    /// Delivers each rule until `sink` answers `false`.
    fn rules(&self, sink: &mut dyn FnMut(RuleRow) -> bool);
    /// Looks at rules, a line each ([`lines`]), and puts them into force if that is asked for and every line is right.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES; nothing has changed.
    fn judge(&self, rules: &str, enforce: bool) -> Result<PolicyVerdict, NTSTATUS>;
    /// Which way a connection would go. IRQL: PASSIVE_LEVEL.
    fn why(&self, local: Option<SocketAddr>, remote: SocketAddr) -> WhyReply;
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
/// the reply may use `output` octets. Returns the status and `IoStatus.Information`. IRQL: PASSIVE_LEVEL.
pub fn handle(
    code: u32,
    buffer: &mut [u8],
    input: usize,
    output: usize,
    source: &dyn Source,
) -> (NTSTATUS, usize) {
    let request = Request { buffer, input, output };
    let answered = match code {
        IOCTL_VERSION => request.without_input().and_then(|out| one(out, &Version::CURRENT)),
        IOCTL_STATUS => request.without_input().and_then(|out| status(out, source)),
        IOCTL_POLICY => request.without_input().and_then(|out| rules(out, source)),
        IOCTL_EVENTS => request.record().and_then(|(asked, out)| events(out, &asked, source)),
        IOCTL_WHY => request.record().and_then(|(asked, out)| why(out, &asked, source)),
        IOCTL_POLICY_CHECK => judge(request, false, source),
        IOCTL_POLICY_SET => judge(request, true, source),
        _ => Err(STATUS_INVALID_DEVICE_REQUEST),
    };
    answered.unwrap_or_else(|status| (status, 0))
}

/// What a handler answers: a status that is no failure and the octets written, or a failure.
type Answer = Result<(NTSTATUS, usize), NTSTATUS>;

/// One request: question and answer share a buffer.
struct Request<'a> {
    buffer: &'a mut [u8],
    input: usize,
    output: usize,
}

impl<'a> Request<'a> {
    /// Where the reply goes.
    fn reply(self) -> Result<&'a mut [u8], NTSTATUS> {
        self.buffer.get_mut(..self.output).ok_or(STATUS_BUFFER_TOO_SMALL)
    }

    fn without_input(self) -> Result<&'a mut [u8], NTSTATUS> {
        if self.input == 0 { self.reply() } else { Err(STATUS_INVALID_BUFFER_SIZE) }
    }

    /// The record that is the input, and where the reply goes.
    fn record<R: Record>(self) -> Result<(R, &'a mut [u8]), NTSTATUS> {
        if self.input > R::SIZE {
            return Err(STATUS_INVALID_BUFFER_SIZE);
        }
        let question = self.buffer.get(..self.input).ok_or(STATUS_BUFFER_TOO_SMALL)?;
        let question = R::decode(question).map_err(|_| STATUS_BUFFER_TOO_SMALL)?;
        Ok((question, self.reply()?))
    }
}

/// A reply that is one record.
fn one<R: Record>(out: &mut [u8], record: &R) -> Answer {
    let written = record.encode(out).map_err(|_| STATUS_BUFFER_TOO_SMALL)?;
    Ok((STATUS_SUCCESS, written))
}

/// Rows behind a header, as far as they fit.
struct Rows<'a> {
    room: &'a mut [u8],
    written: usize,
    fits: bool,
}

impl<'a> Rows<'a> {
    /// The header's place, and the rows behind it.
    fn behind<H: Record>(out: &'a mut [u8]) -> Result<(&'a mut [u8], Self), NTSTATUS> {
        let (head, room) = out.split_at_mut_checked(H::SIZE).ok_or(STATUS_BUFFER_TOO_SMALL)?;
        Ok((head, Self { room, written: H::SIZE, fits: true }))
    }

    /// Adds a row. Once one did not fit, none does. Whether it is there.
    fn push(&mut self, row: &impl Record) -> bool {
        let encoded = if self.fits { row.encode(self.room).ok() } else { None };
        self.fits = encoded.is_some();
        let octets = encoded.unwrap_or(0);
        self.room = core::mem::take(&mut self.room).get_mut(octets..).unwrap_or_default();
        self.written = self.written.saturating_add(octets);
        self.fits
    }

    /// The whole answer, with the header.
    fn end(self, head: &mut [u8], header: &impl Record) -> Answer {
        one(head, header)?;
        Ok((if self.fits { STATUS_SUCCESS } else { STATUS_BUFFER_OVERFLOW }, self.written))
    }
}

/// The status tree. The header is written last, so that its counts describe the rows that were really delivered.
fn status(out: &mut [u8], source: &dyn Source) -> Answer {
    let (head, mut rows) = Rows::behind::<StatusHeader>(out)?;
    let (mut adapters, mut sockets, mut reasons) = (0u32, 0u32, 0u32);
    source.rows(&mut |row| {
        let count = match &row {
            Row::Adapter(r) => {
                rows.push(r);
                &mut adapters
            }
            Row::Socket(r) => {
                rows.push(r);
                &mut sockets
            }
            Row::Reason(r) => {
                rows.push(r);
                &mut reasons
            }
        };
        *count = count.saturating_add(1);
        true
    });
    rows.end(head, &StatusHeader { adapters, sockets, reasons, ..source.header() })
}

fn events(out: &mut [u8], asked: &EventsRequest, source: &dyn Source) -> Answer {
    let (head, mut rows) = Rows::behind::<EventsHeader>(out)?;
    let mut count = 0u32;
    let (last, now) = source.events(asked.after, &mut |event| {
        let there = rows.push(&event);
        count = count.saturating_add(there.into());
        there
    });
    rows.end(head, &EventsHeader { contract: CONTRACT_VERSION, rows: count, last, now })
}

fn rules(out: &mut [u8], source: &dyn Source) -> Answer {
    let (head, mut rows) = Rows::behind::<PolicyHeader>(out)?;
    let mut rules = 0u32;
    source.rules(&mut |rule| {
        rows.push(&rule);
        rules = rules.saturating_add(1);
        true
    });
    rows.end(head, &PolicyHeader { contract: CONTRACT_VERSION, rules })
}

fn judge(request: Request<'_>, enforce: bool, source: &dyn Source) -> Answer {
    if request.input > MAX_RULES_INPUT {
        return Err(STATUS_INVALID_BUFFER_SIZE);
    }
    // The verdict of rules that are put into force must find room.
    if request.output < PolicyVerdict::SIZE {
        return Err(STATUS_BUFFER_TOO_SMALL);
    }
    let text = request.buffer.get(..request.input).ok_or(STATUS_BUFFER_TOO_SMALL)?;
    let text = core::str::from_utf8(text).map_err(|_| STATUS_INVALID_PARAMETER)?;
    let verdict = source.judge(text, enforce)?;
    one(request.reply()?, &verdict)
}

fn why(out: &mut [u8], asked: &WhyRequest, source: &dyn Source) -> Answer {
    if out.len() < WhyReply::SIZE {
        return Err(STATUS_BUFFER_TOO_SMALL);
    }
    let remote = asked.remote.to_socket_addr().ok_or(STATUS_INVALID_PARAMETER)?;
    let local = match (asked.local.to_socket_addr(), asked.local == Address::default()) {
        (None, false) => return Err(STATUS_INVALID_PARAMETER),
        (Some(local), _) if local.is_ipv4() != remote.is_ipv4() => return Err(STATUS_INVALID_PARAMETER),
        (local, _) => local,
    };
    one(out, &source.why(local, remote))
}
