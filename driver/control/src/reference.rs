//! Every request and every record in one table, from which the reference is written.

use crate::client::{self, cases};
use crate::{Address, Layout, READ_ACCESS, WRITE_ACCESS, driver};

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct Ioctl {
    /// Its name.
    pub name: &'static str,
    /// Its code.
    pub code: u32,
    /// What goes in.
    pub input: &'static str,
    /// What comes out.
    pub output: &'static str,
    /// What it does.
    pub text: &'static str,
}

impl Ioctl {
    /// The access that a handle needs, in words.
    #[must_use]
    pub const fn access(&self) -> &'static str {
        match (self.code >> 14) & 3 {
            READ_ACCESS => "read",
            WRITE_ACCESS => "write",
            _ => "read, write",
        }
    }
}

macro_rules! ioctls {
    ($($module:ident :: $name:ident, $input:literal, $output:literal, $text:literal;)*) => {
        &[$(Ioctl { name: stringify!($name), code: $module::$name, input: $input, output: $output, text: $text },)*]
    };
}

/// What the driver's device answers.
pub const DRIVER: &[Ioctl] = ioctls! {
    driver::IOCTL_VERSION, "nothing", "`Version`", "which driver answers";
    driver::IOCTL_STATUS, "nothing", "`StatusHeader`, then rows of `AdapterRow`, `SocketRow`, `ReasonRow`", "what there is now";
    driver::IOCTL_EVENTS, "`EventsRequest`", "`EventsHeader`, then rows of `EventRow`", "the last events";
    driver::IOCTL_POLICY, "nothing", "`PolicyHeader`, then rows of `RuleRow`", "the rules in force";
    driver::IOCTL_POLICY_CHECK, "UTF-8, a rule a line, 16 KiB at most", "`PolicyVerdict`", "whether each line is a rule";
    driver::IOCTL_POLICY_SET, "UTF-8, a rule a line, 16 KiB at most", "`PolicyVerdict`", "puts the rules into force, if each line is one";
    driver::IOCTL_WHY, "`WhyRequest`", "`WhyReply`", "which way a connection would go";
};

macro_rules! values {
    ($($name:ident, $text:literal;)*) => {
        &[$((stringify!($name), driver::$name, $text),)*]
    };
}

/// Numbers in the records of the driver's device, and what they mean.
pub const VALUES: &[(&str, u32, &str)] = values! {
    ADAPTER_OPEN, "connections may run over the adapter";
    ADAPTER_DISABLED, "NDK is disabled on the NIC";
    ADAPTER_WRONG_VERSION, "the NIC's driver has no NDKPI version that this driver has (2.1, 2.0, 1.2)";
    ADAPTER_UNFIT, "the adapter's limits are below what connections need";
    ADAPTER_FAILED, "it was not opened, for another reason";
    ADAPTER_GOING, "NDK, or the NIC, is going or gone";
    ADAPTER_STUCK, "it was to be closed, and its driver does not let go of it";
    PATH_NONE, "no way was chosen yet";
    PATH_RDMA, "the stream runs over NDK; of a listening socket: it takes RDMA, and with reason 12 TCP as well";
    PATH_TCP, "the stream runs over the system's TCP";
    NO_INTERFACE, "no adapter";
    ACTION_PREFER, "the policy prefers RDMA";
    ACTION_REQUIRE, "the policy requires RDMA";
    ACTION_NEVER, "the policy forbids RDMA";
};

/// The records of the driver's device.
pub const DRIVER_RECORDS: &[Layout] = &[
    driver::Version::LAYOUT,
    driver::StatusHeader::LAYOUT,
    driver::AdapterRow::LAYOUT,
    driver::SocketRow::LAYOUT,
    driver::ReasonRow::LAYOUT,
    driver::Work::LAYOUT,
    driver::EventsRequest::LAYOUT,
    driver::EventsHeader::LAYOUT,
    driver::EventRow::LAYOUT,
    driver::PolicyHeader::LAYOUT,
    driver::RuleRow::LAYOUT,
    driver::PolicyVerdict::LAYOUT,
    driver::WhyRequest::LAYOUT,
    driver::WhyReply::LAYOUT,
    Address::LAYOUT,
];

/// What the test client's device answers.
pub const CLIENT: &[Ioctl] = ioctls! {
    client::IOCTL_VERSION, "nothing", "`Version`", "which client answers";
    client::IOCTL_SOCKET, "`SocketRequest`", "`SocketReply`", "WskSocket";
    client::IOCTL_BIND, "`AddressRequest`", "nothing", "WskBind";
    client::IOCTL_ACCEPT, "`SocketId`", "`AcceptReply`", "WskAccept";
    client::IOCTL_CONNECT, "`AddressRequest`", "nothing", "WskConnect";
    client::IOCTL_SEND, "`SendRequest`, then the octets, 4 MiB at most", "`SendReply`", "WskSend";
    client::IOCTL_RECEIVE, "`ReceiveRequest`", "the octets, 4 MiB at most; none at the end of the stream", "WskReceive";
    client::IOCTL_DISCONNECT, "`DisconnectRequest`", "nothing", "WskDisconnect";
    client::IOCTL_LOCAL_ADDRESS, "`SocketId`", "`Address`", "WskGetLocalAddress";
    client::IOCTL_REMOTE_ADDRESS, "`SocketId`", "`Address`", "WskGetRemoteAddress";
    client::IOCTL_CLOSE, "`SocketId`", "nothing", "WskCloseSocket";
    cases::IOCTL_CASES, "nothing", "`CasesReply`", "what cases there are";
    cases::IOCTL_CASE, "`CaseId`", "`CaseReply`", "a case's name";
    cases::IOCTL_CASE_RUN, "`RunRequest`", "`RunReply`", "runs a case";
    cases::IOCTL_CASE_CANCEL, "nothing", "nothing", "has the case that runs end soon";
};

/// The records of the test client's device.
pub const CLIENT_RECORDS: &[Layout] = &[
    client::SocketRequest::LAYOUT,
    client::SocketReply::LAYOUT,
    client::SocketId::LAYOUT,
    client::AddressRequest::LAYOUT,
    client::AcceptReply::LAYOUT,
    client::SendRequest::LAYOUT,
    client::SendReply::LAYOUT,
    client::ReceiveRequest::LAYOUT,
    client::DisconnectRequest::LAYOUT,
    cases::CasesReply::LAYOUT,
    cases::CaseId::LAYOUT,
    cases::CaseReply::LAYOUT,
    cases::RunRequest::LAYOUT,
    cases::RunReply::LAYOUT,
];
