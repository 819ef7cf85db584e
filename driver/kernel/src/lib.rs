//! The only crate that calls the kernel.
#![no_std]
