//! The engine against a model fabric: another engine, a model of the Linux endpoint, and a hostile peer.

mod exhaustive;
mod fabric;
mod linux;
mod ours;
mod pair;
mod with_linux;
