//! The engine against a model fabric: another engine, a model of the Linux endpoint, and a hostile peer.

mod close;
mod direct;
mod exhaustive;
mod extensions;
mod fabric;
mod growth;
mod hostile;
mod keepalive;
mod linux;
mod ours;
mod pair;
mod rules;
mod with_linux;
