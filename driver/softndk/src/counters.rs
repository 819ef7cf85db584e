//! The performance counters of an NDK adapter, two of a provider whose DMA engine is the processor, and what iWARP has refused.

use core::sync::atomic::{AtomicU64, Ordering};

/// Counter values at one moment, of all opens of one adapter together.
///
/// The first ten are those of `NDIS_NDK_PERFORMANCE_COUNTERS` (`ntddndis.h`), except that octets are payload: nothing here
/// has layer-2 framing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Outbound connections established.
    pub connects: u64,
    /// Inbound connections established.
    pub accepts: u64,
    /// Connection attempts that failed, in either direction.
    pub connect_failures: u64,
    /// Established connections that failed before a consumer disconnected.
    pub connection_errors: u64,
    /// Connection ends established now: a connection inside the adapter counts twice.
    pub active_connections: u64,
    /// Completion queues that overran.
    pub cq_errors: u64,
    /// Payload bytes that arrived.
    pub in_octets: u64,
    /// Payload bytes that left.
    pub out_octets: u64,
    /// Messages that arrived.
    pub in_frames: u64,
    /// Messages that left.
    pub out_frames: u64,
    /// Peers over TCP whose octets were no MPA request, or reply, that can be answered.
    pub handshakes_malformed: u64,
    /// Peers over TCP that did not finish their part of the start-up in time.
    pub handshakes_late: u64,
    /// Requests over TCP that were answered with a refusal before a consumer saw them: for want of a listener, of room in its
    /// backlog, or of memory, or because the peer wants markers.
    pub requests_refused: u64,
    /// Copies made by the processor.
    pub copies: u64,
    /// Bytes in those copies.
    pub copied_bytes: u64,
}

/// One counter, changed from any processor.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, amount: u64) {
        self.0.fetch_sub(amount, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The live counters behind [`Counters`].
#[derive(Debug, Default)]
pub(crate) struct CounterSet {
    pub(crate) connects: Counter,
    pub(crate) accepts: Counter,
    pub(crate) connect_failures: Counter,
    pub(crate) connection_errors: Counter,
    pub(crate) active_connections: Counter,
    pub(crate) cq_errors: Counter,
    pub(crate) in_octets: Counter,
    pub(crate) out_octets: Counter,
    pub(crate) in_frames: Counter,
    pub(crate) out_frames: Counter,
    pub(crate) handshakes_malformed: Counter,
    pub(crate) handshakes_late: Counter,
    pub(crate) requests_refused: Counter,
    pub(crate) copies: Counter,
    pub(crate) copied_bytes: Counter,
}

impl CounterSet {
    /// A message of `bytes` went from one end to the other inside the adapter.
    pub(crate) fn message(&self, bytes: u64) {
        self.sent(bytes);
        self.received(bytes);
    }

    /// A message of `bytes` left.
    pub(crate) fn sent(&self, bytes: u64) {
        self.out_frames.add(1);
        self.out_octets.add(bytes);
    }

    /// A message of `bytes` arrived.
    pub(crate) fn received(&self, bytes: u64) {
        self.in_frames.add(1);
        self.in_octets.add(bytes);
    }

    /// The values now; each is read on its own.
    pub(crate) fn snapshot(&self) -> Counters {
        Counters {
            connects: self.connects.get(),
            accepts: self.accepts.get(),
            connect_failures: self.connect_failures.get(),
            connection_errors: self.connection_errors.get(),
            active_connections: self.active_connections.get(),
            cq_errors: self.cq_errors.get(),
            in_octets: self.in_octets.get(),
            out_octets: self.out_octets.get(),
            in_frames: self.in_frames.get(),
            out_frames: self.out_frames.get(),
            handshakes_malformed: self.handshakes_malformed.get(),
            handshakes_late: self.handshakes_late.get(),
            requests_refused: self.requests_refused.get(),
            copies: self.copies.get(),
            copied_bytes: self.copied_bytes.get(),
        }
    }
}
