//! The rules of `Policy`, one an entry.

use abi::NTSTATUS;
use wsk::policy::{Policy, PolicyBuilder, RuleError};

use super::{Problem, Values, list};

/// Reads the rules; `report` hears of each that is none.
///
/// # Errors
///
/// INSUFFICIENT_RESOURCES.
pub(super) fn read(
    values: &impl Values,
    name: (&'static str, &'static [u16]),
    report: &mut impl FnMut(Problem),
) -> Result<Policy, NTSTATUS> {
    let mut rules = PolicyBuilder::new();
    list::for_each(values, name, report, |number, text| {
        let added = text.ok_or(RuleError::NotText).and_then(|text| rules.add(text));
        added.err().map(|error| Problem::Rule { number, error })
    })?;
    rules.build().map_err(|e| e.status())
}
