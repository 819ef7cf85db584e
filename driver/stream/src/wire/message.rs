//! A message as one Send carries it: a word, a credit word for some, and stream octets or an advert for some.

use super::{Extensions, MESSAGE_LEN, TARGET_ENTRY_LEN, TargetEntry, Word, WordError};

/// Octets of an advert behind its word.
pub(crate) const ADVERT_LEN: usize = TARGET_ENTRY_LEN + size_of::<u64>();

/// A buffer for the octets of the stream from `stream_offset` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advert {
    /// Where they may be written.
    pub buffer: TargetEntry,
    /// Octets of the stream before the buffer's first one.
    pub stream_offset: u64,
}

impl Advert {
    /// The octets as they follow the word: a target entry, then the offset, little-endian.
    #[must_use]
    pub fn encode(&self) -> heapless::Vec<u8, ADVERT_LEN> {
        self.buffer.encode().into_iter().chain(self.stream_offset.to_le_bytes()).collect()
    }

    /// Reads what [`Advert::encode`] made; `None` for fewer octets.
    #[must_use]
    pub fn decode(octets: &[u8]) -> Option<Self> {
        let (entry, rest) = octets.split_first_chunk()?;
        let stream_offset = u64::from_le_bytes(*rest.first_chunk()?);
        Some(Self { buffer: TargetEntry::decode(*entry), stream_offset })
    }
}

/// A message that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub word: Word,
    /// A credit limit beside a data message ([`Extensions::CREDIT`]).
    pub credit: Option<u16>,
    /// Where its stream octets or its advert begin, if it has any ([`Word::SendData`], [`Word::Advert`]); they reach
    /// to its end.
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
            Word::Data(_) | Word::Direct(_) => (true, 0),
            Word::SendData(len) => (true, usize::try_from(len).map_err(|_| wrong_length)?),
            Word::Advert => (false, ADVERT_LEN),
            _ => (false, 0),
        };
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
