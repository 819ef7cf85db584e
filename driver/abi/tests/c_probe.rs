//! Compares the facts of this crate with C headers, by letting a C cross compiler judge them.
//!
//! The NT part is held against `ntddk.h`, the Winsock part against `ws2tcpip.h` and its kin, both as MinGW-w64 ships
//! them. `wsk.h`, `netioddk.h`, `ndkpi.h` and `ndis.h` of this age have no free counterpart.

#[cfg(test)]
mod facts;
