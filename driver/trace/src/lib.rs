//! Counters and reasons.
#![no_std]
