//! Listening sockets whose clients have callbacks.

mod accepting;
pub(super) mod client;
mod inspecting;
mod moments;
