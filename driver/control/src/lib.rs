//! The IOCTL contract and its pure handlers.
#![no_std]
