//! Sockets against peers that do what no socket of ours does.

mod harness;
mod hostile;
mod registration;
mod table;
