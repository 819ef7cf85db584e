//! The shipped crates composed into one running provider, on any host.
#![no_std]
