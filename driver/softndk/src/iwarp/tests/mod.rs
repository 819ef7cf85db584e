//! Tests of iWARP: octets against the RFCs and captures, negotiation, order, hostile peers.

mod golden;
pub(crate) mod harness;
mod hostile;
mod property;
mod splits;
mod startup;
mod transfer;
