//! NDK consumer: owned objects over the NDK dispatch tables.
#![no_std]
