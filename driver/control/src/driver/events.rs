//! The last events of the driver: what its flight recorder has.

use crate::record::record;
use crate::{Address, READ_ACCESS, ctl_code};

/// Asks for events.
pub const IOCTL_EVENTS: u32 = ctl_code(0x802, READ_ACCESS);

record! {
    /// Which events.
    pub struct EventsRequest {
        /// Those with a greater sequence number; 0: all that are kept.
        after: u64,
    }
}

record! {
    /// Front of the reply. Rows of [`EventRow`] follow, oldest first, as many as fit the buffer.
    pub struct EventsHeader {
        /// Version of the contract.
        contract: u32,
        /// Rows that follow.
        rows: u32,
        /// Sequence number of the last event there is; greater than that of the last row if not every row fitted.
        last: u64,
        /// The time now, in units of 100 ns since the machine started.
        now: u64,
    }
}

record! {
    /// One event.
    pub struct EventRow {
        /// Counts from 1 since the driver was loaded. Numbers that are missing belong to events that were forgotten.
        sequence: u64,
        /// When, in units of 100 ns since the machine started.
        time: u64,
        /// Number of the trace crate's `Kind`.
        kind: u16,
        /// Number of the trace crate's `Reason`.
        reason: u16,
        /// NTSTATUS, or 0.
        status: u32,
        /// What the kind says that it is.
        value: u64,
        /// Local address.
        local: Address,
        /// Remote address.
        remote: Address,
    }
}
