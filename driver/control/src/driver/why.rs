//! Which way a connection would go, before anybody connects.

use super::policy::TEXT_SIZE;
use crate::record::record;
use crate::{Address, READ_ACCESS, ctl_code};

/// Asks which way a connection would go.
pub const IOCTL_WHY: u32 = ctl_code(0x806, READ_ACCESS);

/// The policy prefers RDMA.
pub const ACTION_PREFER: u32 = 0;
/// The policy requires RDMA.
pub const ACTION_REQUIRE: u32 = 1;
/// The policy forbids RDMA.
pub const ACTION_NEVER: u32 = 2;

record! {
    /// A connection that somebody might open.
    pub struct WhyRequest {
        /// The address it is bound to; none, or a wildcard, lets the route choose.
        local: Address,
        /// Where to.
        remote: Address,
    }
}

record! {
    /// What each part of the driver says of it.
    pub struct WhyReply {
        /// Version of the contract.
        contract: u32,
        /// What comes of it: [`super::PATH_RDMA`] is tried first, or [`super::PATH_TCP`] is taken.
        path: u32,
        /// Number of the trace crate's `Reason` for that.
        reason: u32,
        /// 1: it goes over TCP if RDMA fails.
        falls_back: u32,
        /// `ACTION_*`.
        action: u32,
        /// The rule that matches, counted from 1; 0: none does.
        rule: u32,
        /// Milliseconds for which the destination is not tried over RDMA again; 0: it is not remembered.
        remembered_ms: u32,
        /// NTSTATUS of the search for an adapter; 0: there is one.
        route_status: u32,
        /// Interface index of that adapter.
        interface_index: u32,
        /// Zero.
        reserved: u32,
        /// The address that the connection would come from.
        local: Address,
        /// The adapter's name, UTF-8, zero-filled.
        adapter: [u8; 32],
        /// The rule's text, UTF-8, zero-filled.
        rule_text: [u8; TEXT_SIZE],
    }
}
