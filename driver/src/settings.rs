//! The values under the service's `Parameters` key, read once when the driver starts.
//!
//! A missing value means its default. A bad one is reported to the debugger and means its default too: a typing
//! error in the registry must not keep a machine from booting.

mod list;
mod rules;
mod software;

#[cfg(windows)]
pub(crate) use list::LONGEST_LIST;

use abi::NTSTATUS;
use abi::status::STATUS_OBJECT_NAME_NOT_FOUND;
use core::net::{IpAddr, Ipv4Addr};
use software::Few;
use wsk::policy::{Policy, RuleError};

/// What an operator may choose.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `SoftwareAdapter`, REG_DWORD: whether the software adapter is offered: 0 no, 1 yes.
    pub(crate) software_adapter: bool,
    /// `SoftwareAdapterAddresses`, REG_MULTI_SZ: its addresses, one a string; none: 127.0.0.1 and ::1.
    pub(crate) software_addresses: Few<IpAddr>,
    /// `SoftwareAdapterIwarpPorts`, REG_MULTI_SZ: the ports it serves by iWARP over TCP, each string one or a range.
    pub(crate) iwarp_ports: Few<(u16, u16)>,
    /// `SoftwareAdapterIwarpCrc`, REG_DWORD: whether it prefers CRCs: 0 no, 1 yes.
    pub(crate) iwarp_crc: bool,
    /// `SoftwareAdapterIwarpLocal`, REG_DWORD: whether peers on the adapter itself are reached by iWARP too: 0 no, 1 yes.
    pub(crate) iwarp_local: bool,
    /// `RegisterWithNmr`, REG_DWORD: whether to register with the Network Module Registrar: 0 no, 1 yes.
    pub(crate) register_with_nmr: bool,
    /// `HardwareAdapters`, REG_DWORD: whether to use the NDK adapters of the machine's NICs: 0 no, 1 yes.
    pub(crate) hardware_adapters: bool,
    /// `Policy`, REG_MULTI_SZ: the rules, one a string.
    pub(crate) policy: Policy,
    /// `RetryRdmaAfter`, REG_DWORD: seconds for which RDMA is not tried again where it failed.
    pub(crate) retry_after_s: u32,
    /// `RdmaConnectLimit`, REG_DWORD: milliseconds a handshake over RDMA may take.
    pub(crate) connect_limit_ms: u32,
    /// `ZeroCopyOctets`, REG_DWORD: from how many octets on a request's memory is used in place; 0: never.
    pub(crate) zero_copy_octets: u32,
    /// `RingOctets`, REG_DWORD: octets that the receive ring of a connection may grow to.
    pub(crate) ring_octets: u32,
    /// `DisconnectLimit`, REG_DWORD: milliseconds the end of a finished connection waits for the peer's goodbye.
    pub(crate) disconnect_limit_ms: u32,
    /// `AdapterAnswerLimit`, REG_DWORD: milliseconds an adapter's driver may take for a request or a close.
    pub(crate) answer_limit_ms: u32,
    /// `AdapterMemoryLimit`, REG_DWORD: MiB that may be registered with one adapter.
    pub(crate) adapter_mib: u32,
    /// `PeerMemoryLimit`, REG_DWORD: MiB that the connections may come to that one peer has opened.
    pub(crate) peer_mib: u32,
    /// `PeerBacklog`, REG_DWORD: connections of one peer that nobody has accepted.
    pub(crate) peer_backlog: u32,
    /// `Backlog`, REG_DWORD: connections of one listening socket that nobody has accepted.
    pub(crate) backlog: u32,
    /// `PreparedEndpoints`, REG_DWORD: endpoints that are made ahead on each adapter.
    pub(crate) prepared_endpoints: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            software_adapter: false,
            software_addresses: Few::none(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            iwarp_ports: Few::none((0, 0)),
            iwarp_crc: true,
            iwarp_local: false,
            register_with_nmr: true,
            hardware_adapters: true,
            policy: Policy::PREFER,
            retry_after_s: 60,
            connect_limit_ms: 5_000,
            zero_copy_octets: 16 << 10,
            ring_octets: 128 << 10,
            disconnect_limit_ms: 2_000,
            answer_limit_ms: 15_000,
            adapter_mib: 1_024,
            peer_mib: 256,
            peer_backlog: 32,
            backlog: 64,
            prepared_endpoints: 8,
        }
    }
}

/// Where the values come from.
pub(crate) trait Values {
    /// The value called `name`, which is UTF-16.
    ///
    /// # Errors
    ///
    /// OBJECT_NAME_NOT_FOUND if it does not exist, OBJECT_TYPE_MISMATCH if it is no REG_DWORD.
    fn dword(&self, name: &'static [u16]) -> Result<u32, NTSTATUS>;

    /// Shows `take` the strings of the REG_MULTI_SZ called `name`, each with its terminating zero.
    ///
    /// # Errors
    ///
    /// As for [`dword`](Self::dword); BUFFER_OVERFLOW if it is longer than any with a meaning,
    /// INSUFFICIENT_RESOURCES.
    fn strings(&self, name: &'static [u16], take: &mut dyn FnMut(&[u16])) -> Result<(), NTSTATUS>;
}

/// A value that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// It could not be read.
    Unreadable {
        /// Name of the value.
        name: &'static str,
        /// Why.
        status: NTSTATUS,
    },
    /// It has no meaning.
    OutOfRange {
        /// Name of the value.
        name: &'static str,
        /// What was found.
        value: u32,
        /// The smallest value with a meaning.
        smallest: u32,
        /// The largest value with a meaning.
        largest: u32,
    },
    /// An entry of a list has no meaning, or is one too many. The others count.
    Entry {
        /// Name of the value.
        name: &'static str,
        /// Its place in the list; the first one is 1.
        number: usize,
    },
    /// A string of `Policy` is no rule. The others count.
    Rule {
        /// Its place in the list; the first one is 1.
        number: usize,
        /// What is wrong with it.
        error: RuleError,
    },
}

/// The name of a value, for people and for the kernel.
macro_rules! name {
    ($name:literal) => {
        ($name, crate::unicode::utf16!($name))
    };
}

impl Settings {
    /// Reads every value; `report` hears of each that was not taken.
    ///
    /// # Errors
    ///
    /// INSUFFICIENT_RESOURCES: there is no memory for the rules. Going on without them might do what they forbid.
    pub(crate) fn read(values: &impl Values, mut report: impl FnMut(Problem)) -> Result<Self, NTSTATUS> {
        let default = Self::default();
        let mut number = |name, range, default| match number(values, name, range) {
            Ok(value) => value.unwrap_or(default),
            Err(problem) => {
                report(problem);
                default
            }
        };
        Ok(Self {
            software_adapter: number(name!("SoftwareAdapter"), (0, 1), default.software_adapter.into()) != 0,
            iwarp_crc: number(name!("SoftwareAdapterIwarpCrc"), (0, 1), default.iwarp_crc.into()) != 0,
            iwarp_local: number(name!("SoftwareAdapterIwarpLocal"), (0, 1), default.iwarp_local.into()) != 0,
            register_with_nmr: number(name!("RegisterWithNmr"), (0, 1), default.register_with_nmr.into())
                != 0,
            hardware_adapters: number(name!("HardwareAdapters"), (0, 1), default.hardware_adapters.into())
                != 0,
            retry_after_s: number(name!("RetryRdmaAfter"), (0, 86_400), default.retry_after_s),
            connect_limit_ms: number(name!("RdmaConnectLimit"), (100, 60_000), default.connect_limit_ms),
            zero_copy_octets: number(name!("ZeroCopyOctets"), (0, 1 << 30), default.zero_copy_octets),
            ring_octets: number(name!("RingOctets"), (16 << 10, 1 << 20), default.ring_octets),
            disconnect_limit_ms: number(name!("DisconnectLimit"), (100, 60_000), default.disconnect_limit_ms),
            answer_limit_ms: number(name!("AdapterAnswerLimit"), (1_000, 120_000), default.answer_limit_ms),
            adapter_mib: number(name!("AdapterMemoryLimit"), (16, 1 << 20), default.adapter_mib),
            peer_mib: number(name!("PeerMemoryLimit"), (1, 1 << 20), default.peer_mib),
            peer_backlog: number(name!("PeerBacklog"), (1, 128), default.peer_backlog),
            backlog: number(name!("Backlog"), (1, 128), default.backlog),
            prepared_endpoints: number(name!("PreparedEndpoints"), (0, 64), default.prepared_endpoints),
            software_addresses: software::read(
                values,
                name!("SoftwareAdapterAddresses"),
                &mut report,
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                software::address,
            )?,
            iwarp_ports: software::read(
                values,
                name!("SoftwareAdapterIwarpPorts"),
                &mut report,
                (0, 0),
                software::ports,
            )?,
            policy: rules::read(values, name!("Policy"), &mut report)?,
        })
    }
}

/// The value called `name`, if it exists; it has to lie from `range.0` to `range.1`.
fn number(
    values: &impl Values,
    (name, units): (&'static str, &'static [u16]),
    (smallest, largest): (u32, u32),
) -> Result<Option<u32>, Problem> {
    match values.dword(units) {
        Ok(value) if (smallest..=largest).contains(&value) => Ok(Some(value)),
        Ok(value) => Err(Problem::OutOfRange { name, value, smallest, largest }),
        Err(STATUS_OBJECT_NAME_NOT_FOUND) => Ok(None),
        Err(status) => Err(Problem::Unreadable { name, status }),
    }
}

#[cfg(test)]
mod tests;
