//! Running the conformance cases inside the test client.
//!
//! | code | in | out |
//! |---|---|---|
//! | [`IOCTL_CASES`] | nothing | [`CasesReply`] |
//! | [`IOCTL_CASE`] | [`CaseId`] | [`CaseReply`] |
//! | [`IOCTL_CASE_RUN`] | [`RunRequest`] | [`RunReply`] |
//! | [`IOCTL_CASE_CANCEL`] | nothing | nothing |
//!
//! A run is asynchronous like every request of the device, and takes place on a thread of the client's: one at a time, whatever
//! the handle. It ends at the latest a little after its time limit. Closing the handle that asked for it cancels it.
//!
//! Statuses: BUFFER_TOO_SMALL, INVALID_BUFFER_SIZE; INVALID_PARAMETER (no such case or provider, another version, unknown flags, a
//! time limit of zero or more than [`MAX_LIMIT_MS`]); DEVICE_BUSY (another case runs); DEVICE_NOT_READY (there is no such
//! provider); INVALID_DEVICE_STATE (an earlier case left requests that its provider has never completed: no case runs any more
//! until the client is loaded anew).

use crate::record::record;
use crate::{Address, READ_ACCESS, WRITE_ACCESS, ctl_code};

/// Asks how many cases there are, and for which providers.
pub const IOCTL_CASES: u32 = ctl_code(0x860, READ_ACCESS);
/// Asks what a case is.
pub const IOCTL_CASE: u32 = ctl_code(0x861, READ_ACCESS);
/// Runs a case.
pub const IOCTL_CASE_RUN: u32 = ctl_code(0x862, READ_ACCESS | WRITE_ACCESS);
/// Has the case that runs, if one does, end soon. It is then [`OUTCOME_CANCELLED`].
pub const IOCTL_CASE_CANCEL: u32 = ctl_code(0x863, READ_ACCESS | WRITE_ACCESS);

/// Version of the records of this module.
pub const VERSION: u32 = 1;

/// What cases ask of a provider, each with its bit in a mask by its place. The last four are no functions of WSK's: cancelling;
/// calling the client; a chain of several MDLs, MDLs without octets and buffers longer than their chain; NULL where there has to be
/// a parameter.
pub const FUNCTIONS: &[&str] = &[
    "WskSocket",
    "WskSocketConnect",
    "WskControlClient",
    "WskGetAddressInfo",
    "WskGetNameInfo",
    "WskControlSocket",
    "WskBind",
    "WskAccept",
    "WskInspectComplete",
    "WskConnect",
    "WskConnectEx",
    "WskGetLocalAddress",
    "WskGetRemoteAddress",
    "WskSend",
    "WskSendEx",
    "WskReceive",
    "WskReceiveEx",
    "WskDisconnect",
    "WskCloseSocket",
    "WskListen",
    "WskRelease",
    "IoCancelIrp",
    "event callbacks",
    "unusual buffers",
    "NULL parameters",
];

/// [`RunRequest::provider`]: the provider that the client has registered with, through `wskrdma.lib`.
pub const PROVIDER_REGISTERED: u32 = 0;
/// [`RunRequest::provider`]: the system's own, past `wskrdma.lib`.
pub const PROVIDER_SYSTEM: u32 = 1;

/// [`CasesReply::registered`]: no provider.
pub const IS_NONE: u32 = 0;
/// [`CasesReply::registered`]: a provider that is not the system's: wskrdma.
pub const IS_WSKRDMA: u32 = 1;
/// [`CasesReply::registered`]: the system's provider, because wskrdma was not loaded.
pub const IS_SYSTEM: u32 = 2;

/// [`RunRequest::flags`]: do not look at `PendingReturned`; Wine's provider never marks an IRP pending.
pub const FLAG_ANY_PENDING_RETURNED: u32 = 1;
/// [`RunRequest::flags`]: there is no IPv6.
pub const FLAG_NO_IPV6: u32 = 2;

/// The longest time limit, in milliseconds.
pub const MAX_LIMIT_MS: u32 = 600_000;

/// The case passed.
pub const OUTCOME_PASSED: u32 = 1;
/// The provider did not do what the case expects.
pub const OUTCOME_FAILED: u32 = 2;
/// The case asked for a function that the run does not allow, and was not brought to its end.
pub const OUTCOME_NOT_ALLOWED: u32 = 3;
/// The time limit was over.
pub const OUTCOME_TIMED_OUT: u32 = 4;
/// The run was cancelled.
pub const OUTCOME_CANCELLED: u32 = 5;
/// Requests of the case were never completed, although their sockets were closed. No case runs any more.
pub const OUTCOME_STUCK: u32 = 6;
/// The case needs what this client cannot do; it says nothing about the provider.
pub const OUTCOME_SKIPPED: u32 = 7;

/// [`RunReply::found`]: nothing that could be named.
pub const FOUND_NOTHING: u32 = 0;
/// [`RunReply::found`]: [`RunReply::number`] holds an NTSTATUS, in its lower half.
pub const FOUND_STATUS: u32 = 1;
/// [`RunReply::found`]: a number, in [`RunReply::number`].
pub const FOUND_NUMBER: u32 = 2;
/// [`RunReply::found`]: an address or none, in [`RunReply::address`].
pub const FOUND_ADDRESS: u32 = 3;

/// Octets of a case's name.
pub const NAME_SIZE: usize = 48;
/// Octets of a section's name, and of a source file's.
pub const SECTION_SIZE: usize = 64;
/// Octets of a sentence.
pub const TEXT_SIZE: usize = 128;

record! {
    /// What there is to run.
    pub struct CasesReply {
        /// [`VERSION`].
        version: u32,
        /// Cases, numbered from 0.
        cases: u32,
        /// Functions that the masks know: the length of [`FUNCTIONS`].
        functions: u32,
        /// [`IS_NONE`], [`IS_WSKRDMA`] or [`IS_SYSTEM`]: what [`PROVIDER_REGISTERED`] is.
        registered: u32,
        /// Version word of that provider, 0x0100 for 1.0; 0 without one.
        registered_version: u32,
        /// Version word of the system's provider; 0 if it cannot be used past `wskrdma.lib`.
        system_version: u32,
        /// 1 while a case runs, 2 when no case runs any more.
        state: u32,
        /// Zero.
        reserved: u32,
    }
}

record! {
    /// Names a case.
    pub struct CaseId {
        /// Its number.
        case: u32,
    }
}

record! {
    /// A case.
    pub struct CaseReply {
        /// Its name: ASCII, zero-filled.
        name: [u8; NAME_SIZE],
        /// What of the WSK contract it looks at: ASCII, zero-filled.
        section: [u8; SECTION_SIZE],
    }
}

record! {
    /// Runs a case.
    pub struct RunRequest {
        /// [`VERSION`].
        version: u32,
        /// The case.
        case: u32,
        /// [`PROVIDER_REGISTERED`] or [`PROVIDER_SYSTEM`].
        provider: u32,
        /// `FLAG_*`.
        flags: u32,
        /// Time limit in milliseconds.
        limit_ms: u32,
        /// If not zero, a case binds its listening sockets to ports of its own, at most [`FIRST_PORT_COUNT`] from here on,
        /// in place of asking for the one that the provider chose.
        first_port: u32,
        /// What the case may ask for, by the places in [`FUNCTIONS`].
        allowed: u64,
    }
}

/// Ports that a run takes from [`RunRequest::first_port`] on, at most.
pub const FIRST_PORT_COUNT: u32 = 64;

record! {
    /// How a case ended.
    pub struct RunReply {
        /// `OUTCOME_*`.
        outcome: u32,
        /// `FOUND_*`: what was found in place of what is expected.
        found: u32,
        /// The status or number that was found.
        number: u64,
        /// The address that was found.
        address: Address,
        /// What the case asked for, by the places in [`FUNCTIONS`].
        asked: u64,
        /// Line of the step that failed, 0 without one.
        line: u32,
        /// How long the case took, clearing away included, in milliseconds.
        milliseconds: u32,
        /// Requests that the case made.
        requests: u32,
        /// Zero.
        reserved: u32,
        /// What should have been so, a sentence: UTF-8, zero-filled; empty if the case passed.
        expected: [u8; TEXT_SIZE],
        /// Source file of the step: UTF-8, zero-filled.
        file: [u8; SECTION_SIZE],
    }
}

/// A text as a zero-filled field. What does not fit is cut off, between characters.
#[must_use]
pub fn field<const N: usize>(text: &str) -> [u8; N] {
    let mut octets = [0; N];
    let mut end = text.len().min(N);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    for (to, from) in octets.iter_mut().zip(text.bytes().take(end)) {
        *to = from;
    }
    octets
}

/// The text of a zero-filled field, up to its first octet that is not UTF-8.
#[must_use]
pub fn text(field: &[u8]) -> &str {
    let end = field.iter().position(|&octet| octet == 0).unwrap_or(field.len());
    let octets = field.get(..end).unwrap_or_default();
    match core::str::from_utf8(octets) {
        Ok(text) => text,
        Err(error) => {
            let valid = octets.get(..error.valid_up_to()).unwrap_or_default();
            core::str::from_utf8(valid).unwrap_or_default()
        }
    }
}
