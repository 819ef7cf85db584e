//! A software NDK provider.
#![no_std]
