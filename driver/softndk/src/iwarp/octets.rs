//! Reading and writing big-endian fields in order.

/// Takes the next `N` octets; `None`, and nothing taken, if there are fewer.
pub(super) fn take<const N: usize>(octets: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = octets.split_first_chunk::<N>()?;
    *octets = rest;
    Some(*head)
}

/// Writes fields one behind the other.
pub(super) struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    pub(super) const fn new(out: &'a mut [u8]) -> Self {
        Self { out, at: 0 }
    }

    /// Appends `octets`; `None`, and nothing written, without room.
    pub(super) fn put(&mut self, octets: &[u8]) -> Option<()> {
        self.skip(octets.len())?.copy_from_slice(octets);
        Some(())
    }

    /// The next `len` octets, for the caller to fill.
    pub(super) fn skip(&mut self, len: usize) -> Option<&mut [u8]> {
        let end = self.at.checked_add(len)?;
        let part = self.out.get_mut(self.at..end)?;
        self.at = end;
        Some(part)
    }

    /// Octets so far.
    pub(super) const fn len(&self) -> usize {
        self.at
    }
}

/// Moves octets from the front of `octets` behind the first `filled` of `buffer`, until it has `goal`. `None`: it has not yet.
pub(super) fn fill(buffer: &mut [u8], filled: &mut usize, goal: usize, octets: &mut &[u8]) -> Option<()> {
    let count = goal.saturating_sub(*filled).min(octets.len());
    let (part, rest) = octets.split_at_checked(count)?;
    let end = filled.checked_add(count)?;
    buffer.get_mut(*filled..end)?.copy_from_slice(part);
    *octets = rest;
    *filled = end;
    (end >= goal).then_some(())
}
