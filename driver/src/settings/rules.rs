//! The rules of `Policy`: a REG_MULTI_SZ, one rule a string.

use abi::NTSTATUS;
use abi::status::{STATUS_INSUFFICIENT_RESOURCES, STATUS_OBJECT_NAME_NOT_FOUND};
use wsk::policy::{Policy, PolicyBuilder, RuleError};

use super::{Problem, Values};

/// Characters a rule may have; the longest possible one has less.
const LONGEST: usize = 127;

/// UTF-16 units of the longest value with a meaning: as many rules as there may be, each with its zero, and a last zero.
#[cfg(windows)]
pub(crate) const LONGEST_LIST: usize = wsk::policy::MAX_RULES * (LONGEST + 1) + 1;

/// Reads the rules; `report` hears of each that is none.
///
/// # Errors
///
/// INSUFFICIENT_RESOURCES.
pub(super) fn read(
    values: &impl Values,
    (name, units): (&'static str, &'static [u16]),
    report: &mut impl FnMut(Problem),
) -> Result<Policy, NTSTATUS> {
    let mut rules = PolicyBuilder::new();
    let taken = values.strings(units, &mut |list| {
        let strings = list.split(|unit| *unit == 0).filter(|string| !string.is_empty());
        for (place, string) in strings.enumerate() {
            if let Err(error) = decode(string, |text| rules.add(text)) {
                report(Problem::Rule { number: place.saturating_add(1), error });
            }
        }
    });
    match taken {
        Ok(()) | Err(STATUS_OBJECT_NAME_NOT_FOUND) => {}
        Err(STATUS_INSUFFICIENT_RESOURCES) => return Err(STATUS_INSUFFICIENT_RESOURCES),
        Err(status) => report(Problem::Unreadable { name, status }),
    }
    rules.build().map_err(|e| e.status())
}

/// Shows `take` a string as text. Rules are plain ASCII.
fn decode(units: &[u16], take: impl FnOnce(&str) -> Result<(), RuleError>) -> Result<(), RuleError> {
    let mut bytes = [0; LONGEST];
    let bytes = bytes.get_mut(..units.len()).ok_or(RuleError::NotText)?;
    for (byte, unit) in bytes.iter_mut().zip(units) {
        *byte = u8::try_from(*unit).ok().filter(u8::is_ascii).ok_or(RuleError::NotText)?;
    }
    take(str::from_utf8(bytes).map_err(|_| RuleError::NotText)?)
}
