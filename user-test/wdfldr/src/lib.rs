//! wdfldr.sys for Wine: a test double of KMDF's loader and of the part of the framework that wskrdma.sys uses.
//!
//! Wine has no KMDF. A driver that imports `WdfVersionBind` from WDFLDR.SYS gets this one, which hands out a
//! function table of the right length. Behind the functions that the driver calls stand the few kernel routines
//! that Wine has; behind every other index stands a routine that says which index it is. The framework's rules
//! are checked rather than tolerated: breaking one prints a line that begins with `wdfldr: ERROR` and stops at a
//! breakpoint.
//!
//! | module | is |
//! |---|---|
//! | `bind` | `WdfVersionBind`, `WdfVersionUnbind`, and what is kept per driver |
//! | `table` | the function table |
//! | `driver`, `device`, `queue`, `request`, `registry` | the functions |
//! | `slots` | which requests are under way |
//! | `rules` | what the framework makes of lengths and versions |
//! | `report` | how a broken rule is told |
//! | `wdf`, `nt` | the framework's structures, the kernel's routines |
//!
//! On any target but Windows only `slots` and `rules` exist, for their tests.
#![cfg_attr(windows, no_std)]

#[cfg(windows)]
extern crate alloc;

#[cfg(windows)]
mod bind;
#[cfg(windows)]
mod device;
#[cfg(windows)]
mod driver;
#[cfg(windows)]
mod heap;
#[cfg(windows)]
mod nt;
#[cfg(windows)]
mod object;
#[cfg(windows)]
mod queue;
#[cfg(windows)]
mod registry;
#[cfg(windows)]
mod report;
#[cfg(windows)]
mod request;
#[cfg(any(windows, test))]
mod rules;
#[cfg(any(windows, test))]
mod slots;
#[cfg(windows)]
mod table;
#[cfg(windows)]
mod wdf;
