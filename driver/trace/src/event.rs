//! What the driver tells of while it runs: named events with one form.

use crate::Reason;
use core::net::SocketAddr;

/// How important an event is: the `WINEVENT_LEVEL_*` of `winmeta.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// An operator has to act.
    Error = 2,
    /// Something does not go as it was meant to.
    Warning = 3,
    /// A step of a normal course.
    Information = 4,
}

/// Categories of events, for filters: one bit each.
pub mod keyword {
    /// The driver, its settings and its adapters.
    pub const DRIVER: u64 = 1;
    /// Connections and listeners: which way, and how they end.
    pub const CONNECTION: u64 = 2;
    /// What costs time: waits of senders.
    pub const PERFORMANCE: u64 = 4;
    /// A session that asks for this bit gets addresses; without it they are empty.
    pub const ADDRESSES: u64 = 8;
}

macro_rules! events {
    ($($(#[$meta:meta])* $variant:ident = $number:literal, $level:ident, $keyword:ident, $value:literal, $explanation:literal;)*) => {
        /// What has happened. Numbers and names are stable: they appear in the recorder, in crash dumps and in ETW.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        pub enum Kind { $($(#[$meta])* $variant = $number,)* }

        impl Kind {
            /// Every kind, in the order of its number, which begins with 1.
            pub const ALL: [Self; [$($number),*].len()] = [$(Self::$variant,)*];

            /// Its name, for ETW and for filters.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)* }
            }

            /// How important it is.
            #[must_use]
            pub const fn level(self) -> Level {
                match self { $(Self::$variant => Level::$level,)* }
            }

            /// Its category.
            #[must_use]
            pub const fn keyword(self) -> u64 {
                match self { $(Self::$variant => keyword::$keyword,)* }
            }

            /// What [`Event::value`] is; empty where it is nothing.
            #[must_use]
            pub const fn value(self) -> &'static str {
                match self { $(Self::$variant => $value,)* }
            }

            /// One sentence for people.
            #[must_use]
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$variant => $explanation,)* }
            }

            /// What ETW knows it by: see [`crate::tracelogging`].
            pub(crate) const fn metadata(self) -> &'static [u8] {
                match self {
                    $(Self::$variant => {
                        const NAME: &str = stringify!($variant);
                        const METADATA: [u8; crate::tracelogging::length(NAME)] = crate::tracelogging::event(NAME);
                        &METADATA
                    })*
                }
            }
        }
    };
}

events! {
    /// Start-up is complete.
    DriverStarted = 1, Information, DRIVER, "", "The driver has started and lets clients in.";
    /// Unloading has begun.
    DriverStopping = 2, Information, DRIVER, "", "The driver is being unloaded.";
    /// An adapter was opened.
    AdapterArrived = 3, Information, DRIVER, "interface index", "Connections may run over the adapter from now on.";
    /// An adapter was closed.
    AdapterGone = 4, Warning, DRIVER, "interface index", "The adapter was removed or disabled; its connections have ended.";
    /// An adapter was not opened.
    AdapterRefused = 5, Warning, DRIVER, "interface index", "A NIC that does RDMA cannot be used.";
    /// A socket listens.
    Listening = 6, Information, CONNECTION, "", "A socket listens, on the ways that the reason says.";
    /// A connection runs over RDMA.
    Connected = 7, Information, CONNECTION, "", "A connection runs over RDMA.";
    /// A connection runs over TCP.
    FellBack = 8, Warning, CONNECTION, "", "A connection runs over TCP, for this reason.";
    /// A connect or accept has failed.
    ConnectFailed = 9, Warning, CONNECTION, "", "There is no connection, for this reason.";
    /// RDMA did not lead to the destination.
    RdmaMissed = 10, Warning, CONNECTION, "", "RDMA did not lead to the destination, which is not tried again for a while.";
    /// A sender waits.
    Stalled = 11, Information, PERFORMANCE, "waits so far", "A send waits for room, credit or queue slots; told at 1, 2, 4, 8 … waits.";
    /// A peer broke the protocol.
    ProtocolViolation = 12, Error, CONNECTION, "", "The peer has broken the protocol; its connection was ended.";
    /// A connection was lost.
    ConnectionLost = 13, Warning, CONNECTION, "", "A connection has ended out of order.";
    /// A connection is gone.
    Closed = 14, Information, CONNECTION, "octets sent and received", "A connection is closed, and nothing of it is left.";
    /// Rules were replaced.
    PolicyChanged = 15, Information, DRIVER, "rules", "The rules of the policy were replaced.";
}

impl Kind {
    /// The number that crosses boundaries.
    #[must_use]
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The kind with this number, if there is one.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.get(usize::from(code).checked_sub(1)?).copied()
    }
}

/// Something that has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub kind: Kind,
    /// Why, where it is about a choice between RDMA and TCP.
    pub reason: Reason,
    /// NTSTATUS, 0 where there is none.
    pub status: i32,
    /// What [`Kind::value`] says.
    pub value: u64,
    /// Local address of the connection or listener.
    pub local: Option<SocketAddr>,
    /// Remote address.
    pub remote: Option<SocketAddr>,
}

impl Event {
    /// An event about nothing but itself.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        Self { kind, reason: Reason::Undecided, status: 0, value: 0, local: None, remote: None }
    }
}
