//! Foreign types: NT, WSK, NMR, NDK and NDIS under their C names; no code.
#![no_std]
