//! The formats that cross the wire: the private data of the handshake, the message, and the target entry.
//!
//! Bytes in, values out, and back. Nothing here has state.

mod conn_data;
mod extensions;
mod message;
mod refusal;
mod target;
mod word;

#[cfg(test)]
mod tests;

pub use conn_data::{CONN_DATA_LEN, ConnData, ConnDataError, VERSION};
pub use extensions::{AbortReason, Extensions, Offer};
pub(crate) use message::ADVERT_LEN;
pub use message::{Advert, Message};
pub use refusal::{PROGRAM_REFUSAL, refused_by_program};
pub use target::{TARGET_ENTRY_LEN, TargetEntry, TargetList};
pub use word::{MAX_DATA_LEN, MESSAGE_LEN, Word, WordError};
