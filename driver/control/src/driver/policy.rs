//! The rules of the policy: those in force, rules that are to be tried, and new ones.

use crate::record::record;
use crate::{READ_ACCESS, WRITE_ACCESS, ctl_code};

/// Asks for the rules in force.
pub const IOCTL_POLICY: u32 = ctl_code(0x803, READ_ACCESS);
/// Asks whether each line of the input is a rule. Nothing changes.
pub const IOCTL_POLICY_CHECK: u32 = ctl_code(0x804, READ_ACCESS);
/// Puts the rules of the input into force, if each line is one: for what begins from then on, until the driver is loaded
/// anew. The registry stays as it is.
pub const IOCTL_POLICY_SET: u32 = ctl_code(0x805, READ_ACCESS | WRITE_ACCESS);

/// Octets of rules that are taken, at most.
pub const MAX_RULES_INPUT: usize = 16 << 10;
/// Octets of a rule's text, and of what is wrong with one.
pub const TEXT_SIZE: usize = 128;

record! {
    /// Front of the reply of [`IOCTL_POLICY`]. Rows of [`RuleRow`] follow, first rule first.
    pub struct PolicyHeader {
        /// Version of the contract.
        contract: u32,
        /// Rules that exist; fewer may fit the buffer.
        rules: u32,
    }
}

record! {
    /// One rule.
    pub struct RuleRow {
        /// As the operations chapter writes it: UTF-8, zero-filled.
        text: [u8; TEXT_SIZE],
    }
}

record! {
    /// What came of [`IOCTL_POLICY_CHECK`] or [`IOCTL_POLICY_SET`]. Their input is UTF-8, a rule a line; lines without anything
    /// but blanks, and lines that begin with `#`, count as none.
    pub struct PolicyVerdict {
        /// Rules in the input that are right.
        rules: u32,
        /// Lines that are none.
        wrong: u32,
        /// The first of these, counted from 1; 0: there is none.
        line: u32,
        /// 1: the rules are in force.
        in_force: u32,
        /// What is wrong with that line: UTF-8, zero-filled.
        error: [u8; TEXT_SIZE],
    }
}

/// The lines of an input that are meant as rules, with their numbers from 1.
pub fn lines(text: &str) -> impl Iterator<Item = (u32, &str)> {
    let numbered = (1..).zip(text.lines().map(str::trim));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}
