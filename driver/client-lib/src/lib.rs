//! wskrdma.lib: the five registration functions of `netio.sys` (page *Registering a Winsock Kernel
//! Application*), for a WSK client to link in front of `netio.lib`.
//!
//! `WskRegister` looks for the driver. Where it answers, the registration is the driver's and the driver
//! stays loaded until `WskDeregister` has returned. Where it does not, the registration is the system's. The
//! choice is made per registration and does not change afterwards: a driver that arrives later serves later
//! registrations.
//!
//! | module | is |
//! |---|---|
//! | `control::provider` | the kernel-only request the driver answers with its entry points |
//! | [`block`] | what the library keeps in the client's `WSK_REGISTRATION` |
//! | [`binding`] | the five functions, over any provider |
//! | `exports` | their C symbols, and those a `dllimport` caller looks for |
//! | `driver`, `netio` | the two providers: found at run time, imported from `netio.sys` |
//! | `kernel` | the calls into `ntoskrnl.exe` |
//!
//! What it must never do: stand in the way of a data path call (clients call the provider's tables directly),
//! panic, or define a symbol that a client defines too.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod binding;
pub mod block;

#[cfg(windows)]
mod driver;
#[cfg(windows)]
pub mod exports;
#[cfg(windows)]
mod kernel;
#[cfg(windows)]
mod netio;
#[cfg(not(test))]
mod panic;
