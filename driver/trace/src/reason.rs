//! Why a connection took the path it took.

use crate::Counter;

macro_rules! reasons {
    ($($(#[$meta:meta])* $variant:ident = $number:literal, $name:literal, $explanation:literal;)*) => {
        /// The numeric reason behind a choice between RDMA and TCP. Numbers are stable: they appear in status replies,
        /// counters and trace events, and are never used again for something else.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Reason { $($(#[$meta])* $variant = $number,)* }

        impl Reason {
            /// Every reason, in the order of its number.
            pub const ALL: [Self; [$($number),*].len()] = [$(Self::$variant,)*];

            /// A short name, as stable as the number.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// One sentence for people.
            #[must_use]
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$variant => $explanation,)* }
            }
        }
    };
}

reasons! {
    /// Nothing was decided yet.
    Undecided = 0, "undecided", "Nothing is decided yet.";
    /// An NDK adapter owns the local address and the peer accepted: RDMA.
    Rdma = 1, "rdma", "An NDK adapter leads to the peer, and the peer takes RDMA.";
    /// No NDK adapter owns the local address, or leads to the peer.
    NoAdapter = 2, "no-adapter", "No NDK adapter owns the local address.";
    /// The adapter could not give the objects or memory that a connection needs.
    AdapterResources = 3, "adapter-resources", "The NDK adapter has no memory or objects for another connection.";
    /// The peer did not answer, or refused, on RDMA.
    PeerUnreachable = 4, "peer-unreachable", "The peer did not answer on RDMA, or refused.";
    /// The peer answered with something that is not rsockets version 1.
    PeerProtocol = 5, "peer-protocol", "The peer takes RDMA but does not speak rsockets version 1.";
    /// The policy says never: TCP.
    PolicyNever = 6, "policy-never", "The policy forbids RDMA here.";
    /// The policy says require, and RDMA was not possible: refused.
    PolicyRequire = 7, "policy-require", "The policy requires RDMA here, which was not possible, so TCP was not tried.";
    /// RDMA to the destination failed a short while ago: TCP.
    NegativeCache = 8, "negative-cache", "RDMA to this destination failed a short while ago and is not tried again yet.";
    /// The system's WSK cannot be used, so there is no TCP.
    NoSystemProvider = 9, "no-system-provider", "The system's own WSK is not there, so that TCP cannot be used.";
    /// The system's WSK refused what the connection or listener needs.
    SystemRefused = 10, "system-refused", "The system's own WSK refused the socket or its address, so that TCP cannot be used.";
    /// The peer connected over TCP.
    PeerChoseTcp = 11, "peer-chose-tcp", "The peer connected over TCP.";
    /// A listener that both kinds of peers reach.
    BothPaths = 12, "both-paths", "The listener takes connections over RDMA and over TCP.";
    /// The handshake over RDMA took longer than the limit.
    RdmaTimeout = 13, "rdma-timeout", "The peer did not complete the RDMA handshake in time.";
    /// The adapter was removed or has failed.
    AdapterGone = 14, "adapter-gone", "The NDK adapter was removed, or has failed.";
    /// Somebody else has the address on the adapter.
    AddressBusy = 15, "address-busy", "Somebody else has the local address or port on the NDK adapter.";
    /// The adapter's driver did not answer.
    AdapterSilent = 16, "adapter-silent", "The driver of the NDK adapter did not answer a request in time.";
    /// As much memory is registered with the adapter as is allowed.
    AdapterMemory = 17, "adapter-memory", "As much memory is registered with the NDK adapter as AdapterMemoryLimit allows.";
    /// The connections of this peer use as much memory as is allowed.
    PeerMemory = 18, "peer-memory", "The connections of this peer use as much memory as PeerMemoryLimit allows.";
    /// This peer has as many connections that nobody has accepted as is allowed.
    PeerBacklog = 19, "peer-backlog", "As many connections of this peer as PeerBacklog allows are not established, or not accepted.";
    /// The listener has as many connections that nobody has accepted as is allowed.
    BacklogFull = 20, "backlog-full", "As many connections as the listener's backlog holds are not established, or not accepted.";
}

impl Reason {
    /// The number that crosses the IOCTL boundary.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// The reason with this number, if there is one.
    #[must_use]
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(code).ok()?).copied()
    }
}

/// How often each reason was the outcome of a decision.
#[derive(Debug)]
pub struct ReasonCounters([Counter; Reason::ALL.len()]);

impl ReasonCounters {
    /// All zero.
    #[must_use]
    pub const fn new() -> Self {
        Self([const { Counter::new() }; Reason::ALL.len()])
    }

    /// Counts one decision; [`Reason::Undecided`] is none.
    pub fn count(&self, reason: Reason) {
        if reason != Reason::Undecided
            && let Some(counter) = self.0.get(reason as usize)
        {
            counter.add(1);
        }
    }

    /// How often `reason` was counted.
    #[must_use]
    pub fn get(&self, reason: Reason) -> u64 {
        self.0.get(reason as usize).map_or(0, Counter::get)
    }

    /// Every reason with its count, in the order of the numbers.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL.iter().map(|reason| (*reason, self.get(*reason)))
    }
}

impl Default for ReasonCounters {
    fn default() -> Self {
        Self::new()
    }
}
