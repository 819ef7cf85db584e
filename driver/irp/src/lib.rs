//! Exactly-once IRP completion.
#![no_std]
