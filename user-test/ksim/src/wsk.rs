//! The system's Winsock Kernel: what `netio.sys` and `afd.sys` are on Windows, over a network in memory.
//!
//! `WskRegister` and its four companions are symbols, as all routines of the simulated kernel are. Behind them is one
//! machine with its addresses, ports, sockets and clients, for the whole process. It has a network in memory, and [`join_host`] joins that to the host's TCP. What happens later than in a call happens in
//! DPCs and work items of the simulation; there are no threads of its own but those that carry to and from the host. No completion routine and no callback is called
//! with a lock held, and callbacks only from DPCs, one at a time for each socket.
//!
//! | module | holds |
//! |---|---|
//! | `control` | what tests set and count |
//! | `world`, `request`, `op` | the one lock, IRPs, what waits |
//! | `registration`, `table` | the edge: the exports and dispatch tables |
//! | `socket`, `address`, `connect`, `listen`, `data`, `datagram`, `ancillary`, `close` | what sockets do |
//! | `options`, `lists`, `client_control`, `names` | control calls, names |
//! | `events`, `callback`, `indication` | callbacks |
//! | `transport`, `bridge` | the seam to the network, in memory; the way to the host's |
//!
//! The state is behind one host mutex, not a spin lock of the simulation: it may be taken at any level up to DISPATCH_LEVEL, and
//! a request made with a spin lock of the caller's held is answered from a DPC.

mod address;
mod ancillary;
mod bridge;
mod callback;
mod client_control;
mod close;
mod connect;
mod control;
mod data;
mod datagram;
mod events;
mod indication;
mod listen;
mod lists;
mod memory;
mod names;
mod op;
mod options;
mod registration;
mod request;
mod socket;
mod table;
mod transport;
mod world;

pub use control::*;
pub(crate) use memory::{read_address, write_address};
