//! The checks of the INF.
//!
//! Names carry the number that Microsoft's InfVerif gives to the same fault, where it has one: its documentation says more.
//! The rules are those for a primitive driver that is isolated in the driver store.

mod checks;
mod parse;
#[cfg(test)]
mod tests;

pub(crate) use checks::CHECKS;
pub(crate) use parse::{Inf, Section};

/// A check.
#[derive(Debug)]
pub(crate) struct Check {
    /// What has to be so.
    pub(crate) name: &'static str,
    find: fn(&Inf) -> Vec<String>,
}

impl Check {
    /// What is wrong with `inf`.
    pub(crate) fn findings(&self, inf: &Inf) -> Vec<String> {
        (self.find)(inf)
    }
}
