//! The values under the service's `Parameters` key, read once when the driver starts.
//!
//! A missing value means its default. A bad one is reported to the debugger and means its default too: a typing
//! error in the registry must not keep a machine from booting.

use abi::NTSTATUS;
use abi::status::STATUS_OBJECT_NAME_NOT_FOUND;

/// What an operator may choose. All values are REG_DWORD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `SoftwareAdapter`: whether the software adapter is offered: 0 no, 1 yes.
    pub(crate) software_adapter: bool,
}

/// Where the values come from.
pub(crate) trait Values {
    /// The value called `name`, which is UTF-16.
    ///
    /// # Errors
    ///
    /// OBJECT_NAME_NOT_FOUND if it does not exist, OBJECT_TYPE_MISMATCH if it is no REG_DWORD.
    fn dword(&self, name: &'static [u16]) -> Result<u32, NTSTATUS>;
}

/// A value that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// It could not be read.
    Unreadable {
        /// Name of the value.
        name: &'static str,
        /// Why.
        status: NTSTATUS,
    },
    /// It has no meaning.
    OutOfRange {
        /// Name of the value.
        name: &'static str,
        /// What was found.
        value: u32,
        /// The largest value with a meaning.
        largest: u32,
    },
}

impl Settings {
    /// Reads every value; `report` hears of each that was not taken.
    pub(crate) fn read(values: &impl Values, mut report: impl FnMut(Problem)) -> Self {
        let default = Self::default();
        let mut flag = |name, units, default| match number(values, name, units, 1) {
            Ok(value) => value.map_or(default, |value| value != 0),
            Err(problem) => {
                report(problem);
                default
            }
        };
        Self {
            software_adapter: flag(
                "SoftwareAdapter",
                crate::unicode::utf16!("SoftwareAdapter"),
                default.software_adapter,
            ),
        }
    }
}

/// The value called `name`, if it exists.
fn number(
    values: &impl Values,
    name: &'static str,
    units: &'static [u16],
    largest: u32,
) -> Result<Option<u32>, Problem> {
    match values.dword(units) {
        Ok(value) if value <= largest => Ok(Some(value)),
        Ok(value) => Err(Problem::OutOfRange { name, value, largest }),
        Err(STATUS_OBJECT_NAME_NOT_FOUND) => Ok(None),
        Err(status) => Err(Problem::Unreadable { name, status }),
    }
}

#[cfg(test)]
mod tests;
