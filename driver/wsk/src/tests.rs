//! Sockets against peers that do what no socket of ours does, and clients of callbacks.

mod attached;
mod connection_events;
mod connection_moments;
mod control;
mod control_answers;
mod control_client;
#[path = "../../runtime/tests/native/crank.rs"]
mod crank;
mod direct;
mod equals;
mod form;
mod growth;
mod hardware;
pub(crate) mod harness;
mod hostile;
mod in_place;
mod keepalive;
mod last_words;
mod limits;
mod listener;
mod listening;
mod peer;
mod pool;
mod provider_faults;
mod receive_events;
mod registration;
mod table;
mod tcp;
mod telling;
mod watcher;
