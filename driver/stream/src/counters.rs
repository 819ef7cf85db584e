//! Numbers for operators.

/// What one engine did since it was built. Plain totals that never go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// RDMA Writes handed out: one for each data message, each published region and each probe.
    pub writes: u64,
    /// Sends handed out: one for each message.
    pub sends: u64,
    /// Data messages handed out.
    pub data_messages_sent: u64,
    /// Of these, messages with the octets inside.
    pub data_sent_inside: u64,
    /// Data messages that arrived.
    pub data_messages_received: u64,
    /// Stream octets handed out for writing.
    pub octets_sent: u64,
    /// Stream octets that the peer reported.
    pub octets_received: u64,
    /// Credit limits handed out, also beside data messages.
    pub credits_sent: u64,
    /// Credit limits that arrived.
    pub credits_received: u64,
    /// Times that a silent peer was asked for a sign of life.
    pub keepalives_sent: u64,
    /// Times that queued octets began to wait for room in the peer's ring.
    pub stalls_no_room: u64,
    /// Times that queued octets began to wait for message credit.
    pub stalls_no_credit: u64,
    /// Times that queued octets began to wait for the local initiator queue.
    pub stalls_queue_full: u64,
    /// Times that a few queued octets began to wait for more to join them ([`crate::Config::merge_below`]).
    pub merge_waits: u64,
}

impl Counters {
    /// Nothing counted yet.
    pub const ZERO: Self = Self {
        writes: 0,
        sends: 0,
        data_messages_sent: 0,
        data_sent_inside: 0,
        data_messages_received: 0,
        octets_sent: 0,
        octets_received: 0,
        credits_sent: 0,
        credits_received: 0,
        keepalives_sent: 0,
        stalls_no_room: 0,
        stalls_no_credit: 0,
        stalls_queue_full: 0,
        merge_waits: 0,
    };
}
