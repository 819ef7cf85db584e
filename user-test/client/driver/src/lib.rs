//! `wskrdma-client.sys`: the test client as a driver.
//!
//! On any target but Windows this crate is empty, so that the workspace can be checked as a whole.
//!
//! It may use unsafe: it is called by the I/O manager and calls it.
#![cfg_attr(windows, no_std)]

#[cfg(windows)]
mod driver;
