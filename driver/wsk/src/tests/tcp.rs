//! Sockets of ours with TCP beside RDMA: the twins at the system's WSK.

mod arriving;
mod connecting;
mod holding;
mod lending;
mod moments;
mod scarcity;
mod serving;
mod stage;
mod uses;
