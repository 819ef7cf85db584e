//! What the software adapter is told: its addresses, and the ports it serves by iWARP.

use abi::NTSTATUS;
use core::net::IpAddr;

use super::{Problem, Values, list};

/// Entries that a list of the software adapter's may have.
pub(crate) const MAX_ENTRIES: usize = 16;

/// A short list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Few<T> {
    entries: [T; MAX_ENTRIES],
    count: usize,
}

impl<T: Copy> Few<T> {
    /// No entry; `unused` fills the places.
    pub(crate) const fn none(unused: T) -> Self {
        Self { entries: [unused; MAX_ENTRIES], count: 0 }
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        self.entries.get(..self.count).unwrap_or_default()
    }

    fn add(&mut self, entry: T) -> Option<()> {
        *self.entries.get_mut(self.count)? = entry;
        self.count += 1;
        Some(())
    }
}

/// Reads a list of what `parse` understands; `report` hears of each entry that it does not, or that is one too many.
///
/// # Errors
///
/// INSUFFICIENT_RESOURCES.
pub(super) fn read<T: Copy>(
    values: &impl Values,
    name: (&'static str, &'static [u16]),
    report: &mut impl FnMut(Problem),
    unused: T,
    parse: fn(&str) -> Option<T>,
) -> Result<Few<T>, NTSTATUS> {
    let mut few = Few::none(unused);
    list::for_each(values, name, report, |number, text| {
        let added = text.and_then(parse).and_then(|entry| few.add(entry));
        added.is_none().then_some(Problem::Entry { name: name.0, number })
    })?;
    Ok(few)
}

/// A port, or the first and the last of a range: `4791`, `5000-5999`.
pub(super) fn ports(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first > 0 && first <= last).then_some((first, last))
}

/// An address that a machine can have.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.trim().parse().ok()?;
    (!address.is_unspecified() && !address.is_multicast()).then_some(address)
}
