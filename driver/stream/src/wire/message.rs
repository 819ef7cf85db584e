//! A message as one Send carries it: a word, a credit word for some, and stream octets for some.

use super::{Extensions, MESSAGE_LEN, Word, WordError};

/// A message that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub word: Word,
    /// A credit limit beside a data message ([`Extensions::CREDIT`]).
    pub credit: Option<u16>,
    /// Where its stream octets begin, if it has any ([`Word::SendData`]); they reach to its end.
    pub data_offset: usize,
}

impl Message {
    /// Reads the octets of one Send. `extensions` are those in force; without any, a message is its word.
    ///
    /// # Errors
    ///
    /// No peer may send this.
    pub fn decode(octets: &[u8], extensions: Extensions) -> Result<Self, WordError> {
        let wrong_length = WordError::Length(octets.len());
        let (word, rest) = octets.split_first_chunk::<MESSAGE_LEN>().ok_or(wrong_length)?;
        let word = Word::decode(u32::from_le_bytes(*word), extensions)?;
        let (may_have_credit, inside) = match word {
            Word::Data(_) => (true, 0),
            Word::SendData(len) => (true, len),
            _ => (false, 0),
        };
        let inside = usize::try_from(inside).map_err(|_| wrong_length)?;
        let more = rest.len().checked_sub(inside).ok_or(wrong_length)?;
        let credit = match rest.first_chunk::<MESSAGE_LEN>() {
            _ if more == 0 => None,
            Some(second)
                if more == MESSAGE_LEN && may_have_credit && extensions.contains(Extensions::CREDIT) =>
            {
                let second = u32::from_le_bytes(*second);
                match Word::decode(second, extensions) {
                    Ok(Word::Credit(limit)) => Some(limit),
                    _ => return Err(WordError::NoCredit(second)),
                }
            }
            _ => return Err(wrong_length),
        };
        Ok(Self { word, credit, data_offset: MESSAGE_LEN.saturating_add(more) })
    }
}
