//! Adapters of NICs: found, followed, refused, and closed when they have to go.

mod finding;
mod going;
mod nic;
