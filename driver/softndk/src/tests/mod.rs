//! The provider driven by a raw consumer over the simulated kernel.

mod disconnecting;
mod handshake;
mod harness;
mod lifetime;
mod memory;
mod notification;
mod pair;
mod ports;
mod protection;
mod registration;
mod scarcity;
mod srq;
mod stress;
mod transfer;
mod windows;
