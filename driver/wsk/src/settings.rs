//! What an operator may set.

use crate::policy::Policy;
use kernel::time;
use stream::Keepalive;

/// Sizes, times and rules, read once when the provider starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Octets that a connection's receive ring grows to, where SO_RCVBUF does not say another size; even.
    pub ring_octets: u32,
    /// Octets that it begins with, if that is less; even.
    pub first_ring_octets: u32,
    /// Octets of a connection's send buffer.
    pub send_octets: u32,
    /// A WskSend of so many octets is written to the peer from the client's memory, one of fewer is copied; 0: all are.
    pub zero_copy_octets: u32,
    /// Connection requests that are accepted on the wire and not yet by the client, for one listener.
    pub backlog: u32,
    /// Which connections may run over RDMA or TCP.
    pub policy: Policy,
    /// How long a destination where RDMA failed is not tried again over RDMA, in units of 100 ns; 0: it always is.
    pub retry_after: u64,
    /// How long a handshake over RDMA may take before it counts as failed, in units of 100 ns.
    pub rdma_connect_limit: u64,
    /// How long the end of a finished connection waits for the peer's goodbye (NdkDisconnect), in units of 100 ns.
    pub disconnect_limit: u64,
    /// How long an adapter's provider may take to end a request, the close of an endpoint, or the close of the whole adapter,
    /// in units of 100 ns. What takes longer is given up, and what the provider may still use is kept.
    pub answer_limit: u64,
    /// Octets of memory that may be registered with one adapter.
    pub adapter_octets: u64,
    /// Endpoints that are made ahead on each adapter, at most 64; 0: none.
    pub prepared_endpoints: u32,
    /// Octets of memory that the connections of one peer address may come to that it has opened itself.
    pub peer_octets: u64,
    /// Connections that one peer address has opened and that are not established, or not accepted by a client; not 0.
    pub peer_backlog: u32,
    /// When a silent peer of a connection over RDMA is asked for a sign of life, and how long it has to give one, where
    /// SIO_KEEPALIVE_VALS does not say other times.
    pub keepalive: Keepalive,
}

impl Settings {
    /// What is used where nothing else is set, as "Settings" in the operations chapter has it. 128 KiB each way are those of
    /// Linux' rsockets.
    pub const DEFAULT: Self = Self {
        ring_octets: 128 << 10,
        first_ring_octets: 16 << 10,
        send_octets: 128 << 10,
        zero_copy_octets: 16 << 10,
        backlog: 64,
        policy: Policy::PREFER,
        retry_after: time::milliseconds(60_000),
        rdma_connect_limit: time::milliseconds(5_000),
        disconnect_limit: time::milliseconds(2_000),
        answer_limit: time::milliseconds(15_000),
        adapter_octets: 1 << 30,
        prepared_endpoints: 8,
        peer_octets: 256 << 20,
        peer_backlog: 32,
        keepalive: Keepalive { idle: time::milliseconds(60_000), answer: time::milliseconds(10_000) },
    };
}
