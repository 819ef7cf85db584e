//! The text form of a rule.
//!
//! ```text
//! rule      = action direction addresses [ "port" ports ]
//! action    = "prefer" | "require" | "never"
//! direction = "in" | "out" | "any"
//! addresses = "any" | address [ "/" length ]
//! ports     = number [ "-" number ]
//! ```
//!
//! Words are separated by blanks or tabs, and their case does not matter.

use super::{ALL_PORTS, Action, Direction, Policy, Prefix, Rule};
use core::fmt;
use core::net::IpAddr;
use core::ops::RangeInclusive;
use core::str::FromStr;

/// Why a text is no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// It is longer than any rule, or has characters that no rule has.
    NotText,
    /// The first word is none of prefer, require and never.
    Action,
    /// The second word is none of in, out and any.
    Direction,
    /// The third word is neither any nor an address.
    Address,
    /// What follows the slash is not a number of bits that such an address has.
    PrefixLength,
    /// The address has bits set behind its prefix.
    HostBits,
    /// What follows "port" is neither a port nor a range of ports.
    Ports,
    /// Something follows that does not belong to a rule.
    Trailing,
    /// There are as many rules before it as a policy may have.
    TooMany,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotText => "too long, or not plain text",
            Self::Action => "does not begin with prefer, require or never",
            Self::Direction => "the second word is not in, out or any",
            Self::Address => "the third word is neither any nor an address",
            Self::PrefixLength => "the prefix length is not one of such an address",
            Self::HostBits => "the address has bits set behind its prefix",
            Self::Ports => "no port from 0 to 65535, or range of them, follows the word port",
            Self::Trailing => "something follows the rule",
            Self::TooMany => "too many rules",
        })
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let mut words = text.split([' ', '\t']).filter(|word| !word.is_empty());
        let action = match_word(words.next(), &Action::WORDS).ok_or(RuleError::Action)?;
        let direction = match_word(words.next(), &DIRECTIONS).ok_or(RuleError::Direction)?;
        let prefix = match words.next().ok_or(RuleError::Address)? {
            any if any.eq_ignore_ascii_case("any") => None,
            prefix => Some(prefix.parse()?),
        };
        let ports = match words.next() {
            None => ALL_PORTS,
            Some(port) if port.eq_ignore_ascii_case("port") => ports(words.next().ok_or(RuleError::Ports)?)?,
            Some(_) => return Err(RuleError::Trailing),
        };
        match words.next() {
            None => Ok(Self { action, direction, prefix, ports }),
            Some(_) => Err(RuleError::Trailing),
        }
    }
}

impl Action {
    const WORDS: [(&'static str, Self); 3] =
        [("prefer", Self::Prefer), ("require", Self::Require), ("never", Self::Never)];
}

/// The words of directions; `None` is both.
const DIRECTIONS: [(&str, Option<Direction>); 3] =
    [("in", Some(Direction::In)), ("out", Some(Direction::Out)), ("any", None)];

fn match_word<T: Copy>(word: Option<&str>, words: &[(&str, T)]) -> Option<T> {
    let word = word?;
    words.iter().find(|(known, _)| word.eq_ignore_ascii_case(known)).map(|(_, meaning)| *meaning)
}

/// The word for `meaning`.
fn word<T: PartialEq>(words: &[(&'static str, T)], meaning: &T) -> &'static str {
    words.iter().find(|(_, known)| known == meaning).map_or("", |(word, _)| word)
}

impl FromStr for Prefix {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let (address, length) = match text.split_once('/') {
            None => (text, None),
            Some((address, length)) => (address, Some(length)),
        };
        let address: IpAddr = address.parse().map_err(|_| RuleError::Address)?;
        let length = match length {
            None if address.is_ipv4() => 32,
            None => 128,
            Some(length) => number(length).ok_or(RuleError::PrefixLength)?,
        };
        Self::new(address, u8::try_from(length).map_err(|_| RuleError::PrefixLength)?)
    }
}

/// A port, or the first and last one of a range.
fn ports(text: &str) -> Result<RangeInclusive<u16>, RuleError> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(RuleError::Ports),
    }
}

/// A decimal number without a sign.
fn number(digits: &str) -> Option<u16> {
    if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (action, direction) = (word(&Action::WORDS, &self.action), word(&DIRECTIONS, &self.direction));
        write!(f, "{action} {direction} ")?;
        match &self.prefix {
            None => f.write_str("any")?,
            Some(Prefix { address, length }) => write!(f, "{address}/{length}")?,
        }
        match (self.ports.start(), self.ports.end()) {
            _ if self.ports == ALL_PORTS => Ok(()),
            (first, last) if first == last => write!(f, " port {first}"),
            (first, last) => write!(f, " port {first}-{last}"),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rules().iter().try_for_each(|rule| writeln!(f, "{rule}"))
    }
}
