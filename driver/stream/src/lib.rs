//! The rsockets v1 stream engine, sans-IO.
#![no_std]
