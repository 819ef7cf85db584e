//! What the provider shows of itself: adapters, sockets, and which way a connect would go.

use crate::adapters::{AdapterView, Identity};
use crate::connection::Leg;
use crate::policy::{Direction, Rule};
use crate::provider::Provider;
use abi::NTSTATUS;
use abi::ndis::NET_IFINDEX;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use kernel::time;
use trace::{Reason, Snapshot};

/// One socket, for the status reply.
#[derive(Clone, Copy)]
pub struct SocketView {
    /// WSK_FLAG_LISTEN_SOCKET, WSK_FLAG_CONNECTION_SOCKET or WSK_FLAG_STREAM_SOCKET.
    pub kind: u32,
    /// Whether the stream runs over NDK; `None` before that is decided.
    pub rdma: Option<bool>,
    /// Why.
    pub reason: Reason,
    /// State number of its kind.
    pub state: u32,
    /// Local address.
    pub local: Option<SocketAddr>,
    /// Remote address.
    pub remote: Option<SocketAddr>,
    /// What it has done.
    pub work: Snapshot,
    /// Interface index of the adapter that its stream runs over.
    pub interface: Option<NET_IFINDEX>,
    /// Why its stream ended, when it did not end in order.
    pub failure: Option<NTSTATUS>,
    /// Sends and receives that wait.
    pub waiting: (usize, usize),
    /// Octets taken from the client that are not with the adapter.
    pub unsent: u64,
    /// Octets that arrived and were not taken.
    pub unread: u64,
}

impl SocketView {
    /// A socket without a stream.
    pub(crate) const fn without_stream(kind: u32, state: u32) -> Self {
        Self {
            kind,
            rdma: None,
            reason: Reason::Undecided,
            state,
            local: None,
            remote: None,
            work: Snapshot::ZERO,
            interface: None,
            failure: None,
            waiting: (0, 0),
            unsent: 0,
            unread: 0,
        }
    }
}

/// What [`Provider::why`] finds.
#[derive(Clone, Debug)]
pub struct Why {
    /// RDMA is tried first.
    pub rdma: bool,
    /// If that fails, TCP is taken.
    pub falls_back: bool,
    /// Why.
    pub reason: Reason,
    /// The rule that matches, and its place from 0.
    pub rule: Option<(usize, Rule)>,
    /// For how long RDMA is not tried again after a failure, in units of 100 ns.
    pub remembered: Option<u64>,
    /// The adapter's interface index and name and the local address there, or why there is none.
    pub route: Result<(Identity, SocketAddr), NTSTATUS>,
}

/// What [`Provider::view`] delivers.
pub enum View {
    /// An adapter; all come before the first socket.
    Adapter(AdapterView),
    /// A socket.
    Socket(SocketView),
}

impl Provider {
    /// Which way a connect from `local`, or from wherever the route leads, to `remote` would go, and what says so. Nothing
    /// is tried. IRQL: PASSIVE_LEVEL.
    #[must_use]
    pub fn why(&self, local: Option<SocketAddr>, remote: SocketAddr) -> Why {
        let policy = self.policy();
        let rule = policy.first_match(Direction::Out, remote).map(|(place, rule)| (place, rule.clone()));
        let remembered = self.misses.lock().remaining(remote, time::interrupt_time_100ns());
        let any: IpAddr =
            if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let route = self.adapters().route(local.unwrap_or(SocketAddr::new(any, 0)), remote);
        let route = route.map(|(adapter, local)| (self.adapters().identity(&adapter), local));
        let plan = self.plan(remote, true);
        let (leg, reason) = match (plan.leg, plan.falls_back, &route) {
            (Leg::Rdma, true, Err(_)) => (Leg::Tcp, Reason::NoAdapter),
            (Leg::Rdma, true, Ok(_)) => (Leg::Rdma, Reason::Rdma),
            (leg, ..) => (leg, plan.reason),
        };
        Why {
            rdma: leg == Leg::Rdma,
            falls_back: plan.falls_back && leg == Leg::Rdma,
            reason,
            rule,
            remembered,
            route,
        }
    }
}
