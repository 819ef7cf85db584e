//! Values that are lists: a REG_MULTI_SZ, one entry a string.

use abi::NTSTATUS;
use abi::status::{STATUS_INSUFFICIENT_RESOURCES, STATUS_OBJECT_NAME_NOT_FOUND};

use super::{Problem, Values};

/// Characters an entry may have; the longest one with a meaning has less.
const LONGEST: usize = 127;

/// UTF-16 units of the longest value with a meaning: as many rules as there may be, each with its zero, and a last zero.
#[cfg(windows)]
pub(crate) const LONGEST_LIST: usize = wsk::policy::MAX_RULES * (LONGEST + 1) + 1;

/// Shows `take` each entry with its place, of which the first is 1, and `report` what it objects to. `None` is an entry that is no
/// ASCII, or too long. A list that does not exist has no entries.
///
/// # Errors
///
/// INSUFFICIENT_RESOURCES.
pub(super) fn for_each(
    values: &impl Values,
    (name, units): (&'static str, &'static [u16]),
    report: &mut impl FnMut(Problem),
    mut take: impl FnMut(usize, Option<&str>) -> Option<Problem>,
) -> Result<(), NTSTATUS> {
    let read = values.strings(units, &mut |list| {
        let entries = list.split(|unit| *unit == 0).filter(|entry| !entry.is_empty());
        for (place, entry) in entries.enumerate() {
            let mut bytes = [0; LONGEST];
            if let Some(problem) = take(place.saturating_add(1), text(entry, &mut bytes)) {
                report(problem);
            }
        }
    });
    match read {
        Ok(()) | Err(STATUS_OBJECT_NAME_NOT_FOUND) => Ok(()),
        Err(STATUS_INSUFFICIENT_RESOURCES) => Err(STATUS_INSUFFICIENT_RESOURCES),
        Err(status) => {
            report(Problem::Unreadable { name, status });
            Ok(())
        }
    }
}

/// An entry as text, in `bytes`.
fn text<'a>(units: &[u16], bytes: &'a mut [u8; LONGEST]) -> Option<&'a str> {
    let bytes = bytes.get_mut(..units.len())?;
    for (byte, unit) in bytes.iter_mut().zip(units) {
        *byte = u8::try_from(*unit).ok().filter(u8::is_ascii)?;
    }
    str::from_utf8(bytes).ok()
}
