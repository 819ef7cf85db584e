//! Why a connection took the path it took.

/// The numeric reason behind a choice between RDMA and TCP. Numbers are stable: they appear in status replies,
/// counters and trace events, and are never used again for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Reason {
    /// Nothing was decided yet.
    Undecided = 0,
    /// An NDK adapter owns the local address and the peer accepted: RDMA.
    Rdma = 1,
    /// No NDK adapter owns the local address.
    NoAdapter = 2,
    /// The adapter could not give the objects or memory that a connection needs.
    AdapterResources = 3,
    /// The peer did not answer, or refused, on RDMA.
    PeerUnreachable = 4,
    /// The peer answered with something that is not rsockets version 1.
    PeerProtocol = 5,
}

impl Reason {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 6] = [
        Self::Undecided,
        Self::Rdma,
        Self::NoAdapter,
        Self::AdapterResources,
        Self::PeerUnreachable,
        Self::PeerProtocol,
    ];

    /// The number that crosses the IOCTL boundary.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// One phrase for people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Undecided => "not decided yet",
            Self::Rdma => "RDMA",
            Self::NoAdapter => "no NDK adapter owns the local address",
            Self::AdapterResources => "the NDK adapter is out of resources",
            Self::PeerUnreachable => "the peer did not answer on RDMA",
            Self::PeerProtocol => "the peer does not speak rsockets version 1",
        }
    }
}
