//! wskrdma.sys: wiring only.
#![no_std]
