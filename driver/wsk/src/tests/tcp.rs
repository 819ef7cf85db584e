//! Sockets of ours with TCP beside RDMA: the twins at the system's WSK.

mod adapter_statuses;
mod arriving;
mod connecting;
mod holding;
mod lending;
mod moments;
mod outgoing;
mod scarcity;
mod serving;
pub(super) mod stage;
mod uses;
