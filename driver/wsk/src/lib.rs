//! Winsock Kernel sockets over NDK.
#![no_std]
