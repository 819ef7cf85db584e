//! The two ends of a copy.

use crate::counters::CounterSet;
use crate::memory::{Domain, Found, Memory, Rights, Violation};
use crate::qp::{Data, Element};

/// Some bytes that one end of a request names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Buffer<'a> {
    /// Scatter/gather elements of a queue pair.
    Elements { domain: Domain, elements: &'a [Element], write: bool },
    /// Inline data, already copied.
    Inline(&'a [u8]),
    /// Memory the peer names by a remote token.
    Remote { domain: Domain, token: u32, address: u64, length: u32, needed: Rights },
}

impl<'a> Buffer<'a> {
    /// The local end of a request.
    pub(crate) const fn local(domain: Domain, data: Data<'a>, write: bool) -> Self {
        match data {
            Data::Elements(elements) => Self::Elements { domain, elements, write },
            Data::Inline(bytes) => Self::Inline(bytes),
        }
    }

    /// Bytes in all.
    pub(crate) fn length(&self) -> usize {
        match self {
            Self::Elements { elements, .. } => elements.iter().map(|element| element.length as usize).sum(),
            Self::Inline(bytes) => bytes.len(),
            Self::Remote { length, .. } => *length as usize,
        }
    }

    /// Checks that the first `length` bytes may be used as they are meant to be.
    ///
    /// # Errors
    /// [`Violation`]: a token, range or right is wrong.
    pub(crate) fn check(&self, memory: &Memory, length: usize) -> Result<(), Violation> {
        let mut checked = 0;
        while checked < length {
            checked += self.find(memory, checked)?.available.min(length - checked);
        }
        Ok(())
    }

    /// Finds the bytes from `offset` on, as far as one element reaches.
    pub(crate) fn find(&self, memory: &Memory, offset: usize) -> Result<Found, Violation> {
        match self {
            Self::Elements { domain, elements, write } => {
                let mut skip = offset;
                for element in *elements {
                    let length = element.length as usize;
                    if skip < length {
                        let found = memory.find_local(
                            *domain,
                            element.token,
                            element.address,
                            element.length,
                            *write,
                        )?;
                        return Ok(found.skip(skip));
                    }
                    skip -= length;
                }
                Err(Violation::Name)
            }
            Self::Inline(bytes) => Ok(Found::own(bytes).skip(offset)),
            Self::Remote { domain, token, address, length, needed } => {
                Ok(memory.find_remote(*domain, *token, *address, *length, *needed)?.skip(offset))
            }
        }
    }
}

/// Which end of a copy was wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    From,
    To,
}

/// Copies the bytes `offset .. offset + length` of `from` to the same offset of `to`.
///
/// # Errors
/// The end that may not be used (any more); the bytes before are copied.
pub(crate) fn copy(
    memory: &Memory,
    counters: &CounterSet,
    from: &Buffer<'_>,
    to: &Buffer<'_>,
    offset: usize,
    length: usize,
) -> Result<(), End> {
    let mut done = 0;
    while done < length {
        let source = from.find(memory, offset + done).map_err(|_| End::From)?;
        let target = to.find(memory, offset + done).map_err(|_| End::To)?;
        let part = source.available.min(target.available).min(length - done);
        // An end that changes between the look and the copy is as wrong as one that had changed before; which of the two it
        // was no longer matters to anybody.
        memory.copy(&source, &target, part, counters).map_err(|_| End::To)?;
        done += part;
    }
    Ok(())
}
