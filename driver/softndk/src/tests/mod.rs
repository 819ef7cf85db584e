//! The provider driven by a raw consumer over the simulated kernel.

mod address;
mod disconnecting;
mod fabric;
mod foreign;
mod half_open;
mod handshake;
mod harness;
mod hostile_startup;
mod hostile_stream;
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
mod system;
mod tcp_peer;
mod transfer;
mod windows;
