//! wskrdma.sys: wiring only.
//!
//! The shell around the crates that do the work: it binds to KMDF, makes the control device, reads the settings,
//! starts the rest and stops it again. It decides nothing about sockets or adapters, and nothing else in the
//! image knows KMDF.
//!
//! | module | is |
//! |---|---|
//! | `entry` | `DriverEntry`, the ladder of initialisation, and unloading |
//! | `device` | the control device and what arrives there |
//! | `settings` | the values under the service's `Parameters` key |
//! | `provider` | what the device's requests are answered by |
//! | `registration` | what `wskrdma.lib` asks for |
//! | `abi_check` | the foreign types against those of `wdk-sys`, at compile time |
//! | `wdf` | the calls of the framework |
//! | `panic` | a bug check |
//!
//! On any target but Windows this crate is empty, so that the workspace can be checked as a whole.
#![cfg_attr(windows, no_std)]

#[cfg(windows)]
mod abi_check;
#[cfg(windows)]
mod device;
#[cfg(windows)]
mod entry;
#[cfg(windows)]
mod panic;
#[cfg(windows)]
mod provider;
#[cfg(windows)]
mod registration;
#[cfg(any(windows, test))]
mod settings;
#[cfg(any(windows, test))]
mod unicode;
#[cfg(windows)]
mod wdf;
