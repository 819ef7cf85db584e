//! Event counters: relaxed atomics, read as one snapshot.

use core::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$meta:meta])* $name:ident,)*) => {
        /// Counters of one connection or of the whole driver. They only grow.
        #[derive(Debug, Default)]
        pub struct Counters { $($(#[$meta])* pub $name: Counter,)* }

        /// The counters at one moment. Each is exact; they are not read at the same instant.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Snapshot { $($(#[$meta])* pub $name: u64,)* }

        impl Snapshot {
            /// Nothing was counted.
            pub const ZERO: Self = Self { $($name: 0,)* };
        }

        impl Counters {
            /// All counters zero.
            #[must_use]
            pub const fn new() -> Self {
                Self { $($name: Counter::new(),)* }
            }

            /// Reads every counter.
            #[must_use]
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.get(),)* }
            }

            /// Adds a snapshot: how a connection that ends leaves its work to the totals.
            pub fn add(&self, other: &Snapshot) {
                $(self.$name.add(other.$name);)*
            }
        }
    };
}

counters! {
    /// Stream octets sent.
    octets_sent,
    /// Stream octets received.
    octets_received,
    /// NdkWrite work requests posted.
    writes,
    /// NdkSend work requests posted.
    sends,
    /// NdkReceive work requests posted.
    receives,
    /// Completion queue entries taken.
    completions,
    /// Credit messages sent.
    credits_sent,
    /// Credit messages received.
    credits_received,
    /// Times a send waited for room, message credits or queue slots.
    stalls,
    /// Octets copied by the sender outside the provider.
    octets_copied_out,
    /// Octets copied by the receiver outside the provider.
    octets_copied_in,
    /// Calls that went to the system's socket, over TCP.
    tcp_calls,
    /// Octets of the sends among them.
    tcp_octets_sent,
    /// Octets that the system's socket has indicated. What it gives to a WskReceive it alone knows.
    tcp_octets_indicated,
}

/// One counter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds `n`. Wraps after 2^64 events.
    pub fn add(&self, n: u64) {
        // Most additions of a settled connection are of nothing, and an access that others must see costs.
        if n != 0 {
            self.0.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// The value now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
