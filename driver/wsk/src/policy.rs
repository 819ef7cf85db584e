//! What an operator allows: RDMA or TCP, by direction, address and port.
//!
//! A policy is a list of rules; the first one that matches decides, and where none does RDMA is preferred. It is made
//! once, when the provider starts, and only read afterwards. Nothing here waits, locks or looks at the clock.

mod text;

pub use text::RuleError;

use crate::TAG_PROVIDER;
use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use heapless::Vec;
use kernel::pool::{AllocError, PoolSlice, Shared};

/// Rules a policy may have.
pub const MAX_RULES: usize = 64;

/// What a rule demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// RDMA where it is possible, else TCP.
    Prefer,
    /// RDMA or nothing: the connection fails rather than run over TCP.
    Require,
    /// TCP only.
    Never,
}

/// Who opens the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A peer does: a listening socket. Addresses and ports of rules are local ones.
    In,
    /// A socket of ours does. Addresses and ports of rules are the peer's.
    Out,
}

/// Addresses that share their first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The bits behind the prefix are zero.
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// The addresses that share the first `length` bits of `address`; those behind them are zero.
    ///
    /// # Errors
    /// PrefixLength: there are not that many bits. HostBits: a bit behind the prefix is set.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, RuleError> {
        let (bits, width) = bits(address);
        if u32::from(length) > width {
            return Err(RuleError::PrefixLength);
        }
        if bits.checked_shl(u32::from(length)).unwrap_or(0) != 0 {
            return Err(RuleError::HostBits);
        }
        // IPv4-mapped addresses are looked up as IPv4 addresses.
        match (address.to_canonical(), length.checked_sub(96)) {
            (IpAddr::V4(v4), Some(length)) if address.is_ipv6() => Ok(Self { address: v4.into(), length }),
            _ => Ok(Self { address, length }),
        }
    }

    /// Whether `address` begins with this prefix. An IPv4-mapped IPv6 address counts as the IPv4 address it carries. The
    /// wildcard stands for every local address, so that it lies only in a prefix that has them all.
    fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        if address.is_ipv4() != self.address.is_ipv4() {
            return false;
        }
        if address.is_unspecified() {
            return self.length == 0;
        }
        let differing = bits(address).0 ^ bits(self.address).0;
        differing.leading_zeros() >= u32::from(self.length)
    }
}

/// An address, left-aligned, and how many bits it has.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(a) => (u128::from(a.to_bits()) << 96, 32),
        IpAddr::V6(a) => (a.to_bits(), 128),
    }
}

/// One rule. Its text form, for [`str::parse`] and `Display`, is one line of the operations chapter's grammar:
/// `prefer out 10.0.0.0/8 port 1000-2000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it demands.
    pub action: Action,
    /// The direction it is for; `None`: both.
    pub direction: Option<Direction>,
    /// The addresses it is for; `None`: all.
    pub prefix: Option<Prefix>,
    /// The ports it is for.
    pub ports: RangeInclusive<u16>,
}

/// Every port.
const ALL_PORTS: RangeInclusive<u16> = 0..=u16::MAX;

impl Rule {
    fn is_for(&self, direction: Direction) -> bool {
        self.direction.is_none_or(|d| d == direction)
    }

    fn matches(&self, direction: Direction, address: SocketAddr) -> bool {
        self.is_for(direction)
            && self.ports.contains(&address.port())
            && self.prefix.is_none_or(|p| p.contains(address.ip()))
    }

    /// Whether it matches every address of IPv4, and of IPv6, whatever the port.
    fn covers(&self) -> (bool, bool) {
        if self.ports != ALL_PORTS {
            return (false, false);
        }
        match self.prefix {
            None => (true, true),
            Some(p) => (p.length == 0 && p.address.is_ipv4(), p.length == 0 && p.address.is_ipv6()),
        }
    }
}

/// The rules in their order. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Policy(Option<Shared<PoolSlice<Rule>>>);

impl Policy {
    /// Without rules: RDMA is preferred everywhere.
    pub const PREFER: Self = Self(None);

    /// A policy of these rules, at most [`MAX_RULES`] of them: further ones are left out. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// No memory.
    pub fn new(rules: &[Rule]) -> Result<Self, AllocError> {
        let rules = rules.get(..MAX_RULES).unwrap_or(rules);
        if rules.is_empty() {
            return Ok(Self::PREFER);
        }
        let copied =
            PoolSlice::try_build(TAG_PROVIDER, rules.len(), |i| rules.get(i).cloned().ok_or(AllocError))?;
        Ok(Self(Some(Shared::try_new(TAG_PROVIDER, copied)?)))
    }

    /// The rules, first one first.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        self.0.as_ref().map_or(&[], |rules| rules)
    }

    /// What holds for a connection in this direction. `address` is the peer's for [`Direction::Out`] and the local one, which
    /// may be the wildcard, for [`Direction::In`].
    ///
    /// The wildcard matches only rules without a prefix, or with one of length 0.
    #[must_use]
    pub fn decide(&self, direction: Direction, address: SocketAddr) -> Action {
        self.first_match(direction, address).map_or(Action::Prefer, |(_, rule)| rule.action)
    }

    /// The rule that decides, and its place in the list from 0; `None` where none matches. As [`Policy::decide`].
    #[must_use]
    pub fn first_match(&self, direction: Direction, address: SocketAddr) -> Option<(usize, &Rule)> {
        self.rules().iter().enumerate().find(|(_, rule)| rule.matches(direction, address))
    }

    /// Whether some connection in this direction may run over TCP. `false` only if none may; ports that are ruled out bit by
    /// bit are not added up.
    #[must_use]
    pub fn may_use_tcp(&self, direction: Direction) -> bool {
        self.may(direction, |action| action != Action::Require)
    }

    /// Whether some connection in this direction may run over RDMA; as [`Policy::may_use_tcp`].
    #[must_use]
    pub fn may_use_rdma(&self, direction: Direction) -> bool {
        self.may(direction, |action| action != Action::Never)
    }

    /// Whether an action that `allows` can be the outcome: of a rule, or of none, where the rules before do not catch all.
    fn may(&self, direction: Direction, allows: impl Fn(Action) -> bool) -> bool {
        let (mut ipv4, mut ipv6) = (false, false);
        for rule in self.rules().iter().filter(|rule| rule.is_for(direction)) {
            if allows(rule.action) {
                return true;
            }
            let covers = rule.covers();
            ipv4 |= covers.0;
            ipv6 |= covers.1;
            if ipv4 && ipv6 {
                return false;
            }
        }
        // Preferring RDMA allows both.
        true
    }
}

/// Rules that are collected one by one, before memory for them is asked for.
#[derive(Debug, Default)]
pub struct PolicyBuilder(Vec<Rule, MAX_RULES>);

impl PolicyBuilder {
    /// No rules.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds the rule that `text` is, behind those there are.
    ///
    /// # Errors
    /// The text is no rule, or there are [`MAX_RULES`] rules. The others stay.
    pub fn add(&mut self, text: &str) -> Result<(), RuleError> {
        self.0.push(text.parse()?).map_err(|_| RuleError::TooMany)
    }

    /// The policy. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// No memory.
    pub fn build(self) -> Result<Policy, AllocError> {
        Policy::new(&self.0)
    }
}

#[cfg(test)]
mod tests;
