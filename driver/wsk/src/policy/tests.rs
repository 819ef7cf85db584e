//! Rules as text, and what they decide.

use super::*;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::string::ToString;
use std::vec::Vec;
use std::{format, vec};

fn rule(text: &str) -> Rule {
    text.parse().unwrap_or_else(|e| std::panic!("{text}: {e}"))
}

fn policy(lines: &[&str]) -> Policy {
    let rules: Vec<Rule> = lines.iter().map(|line| rule(line)).collect();
    Policy::new(&rules).unwrap()
}

fn decide(policy: &Policy, direction: Direction, address: &str) -> Action {
    policy.decide(direction, address.parse().unwrap())
}

use Action::{Never, Prefer, Require};
use Direction::{In, Out};

#[test]
fn the_examples_of_the_operations_chapter_are_rules() {
    // Other tests look at what is allocated.
    let _alone = ksim::exclusive();
    assert_eq!(
        rule("prefer out 10.0.0.0/8 port 1000-2000"),
        Rule {
            action: Prefer,
            direction: Some(Out),
            prefix: Some(Prefix { address: Ipv4Addr::new(10, 0, 0, 0).into(), length: 8 }),
            ports: 1000..=2000,
        }
    );
    assert_eq!(
        rule("never in any port 445"),
        Rule { action: Never, direction: Some(In), prefix: None, ports: 445..=445 }
    );
    let address = "2001:db8::".parse().unwrap();
    assert_eq!(
        rule("  Require\tANY 2001:DB8::/32 "),
        Rule {
            action: Require,
            direction: None,
            prefix: Some(Prefix { address, length: 32 }),
            ports: ALL_PORTS
        }
    );
}

#[test]
fn each_mistake_has_its_name() {
    // Other tests look at what is allocated.
    let _alone = ksim::exclusive();
    for (text, error) in [
        ("", RuleError::Action),
        ("allow in any", RuleError::Action),
        ("prefer", RuleError::Direction),
        ("prefer inside any", RuleError::Direction),
        ("prefer in", RuleError::Address),
        ("prefer in 10.0.0", RuleError::Address),
        ("prefer in fe80::1%3", RuleError::Address),
        ("prefer in port 5", RuleError::Address),
        ("prefer in 10.0.0.0/33", RuleError::PrefixLength),
        ("prefer in ::/129", RuleError::PrefixLength),
        ("prefer in ::/300", RuleError::PrefixLength),
        ("prefer in 10.0.0.0/", RuleError::PrefixLength),
        ("prefer in 10.0.0.0/+8", RuleError::PrefixLength),
        ("prefer in 10.0.0.1/8", RuleError::HostBits),
        ("prefer in 0.0.0.1/0", RuleError::HostBits),
        ("prefer in ::1/127", RuleError::HostBits),
        ("prefer in any port", RuleError::Ports),
        ("prefer in any port x", RuleError::Ports),
        ("prefer in any port +5", RuleError::Ports),
        ("prefer in any port 65536", RuleError::Ports),
        ("prefer in any port 5-4", RuleError::Ports),
        ("prefer in any port 5-", RuleError::Ports),
        ("prefer in any 80", RuleError::Trailing),
        ("prefer in any port 80 90", RuleError::Trailing),
    ] {
        assert_eq!(text.parse::<Rule>(), Err(error), "{text:?}");
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn the_first_rule_that_matches_decides() {
    // Other tests look at what is allocated.
    let _alone = ksim::exclusive();
    let p = policy(&["never out 10.1.0.0/16 port 445", "require out 10.0.0.0/8", "never in any"]);
    assert_eq!(decide(&p, Out, "10.1.2.3:445"), Never);
    assert_eq!(decide(&p, Out, "10.1.2.3:446"), Require);
    assert_eq!(decide(&p, Out, "10.2.2.3:445"), Require);
    assert_eq!(decide(&p, Out, "11.1.2.3:445"), Prefer);
    assert_eq!(decide(&p, In, "10.1.2.3:446"), Never);
    assert_eq!(decide(&Policy::PREFER, In, "10.1.2.3:446"), Prefer);
}

#[test]
fn families_do_not_mix_except_where_one_carries_the_other() {
    // Other tests look at what is allocated.
    let _alone = ksim::exclusive();
    let p = policy(&["never any 0.0.0.0/0", "require any ::/0"]);
    assert_eq!(decide(&p, Out, "10.0.0.1:1"), Never);
    assert_eq!(decide(&p, Out, "[2001:db8::1]:1"), Require);
    assert_eq!(decide(&p, Out, "[::ffff:10.0.0.1]:1"), Never);
    assert_eq!(rule("never any ::ffff:10.0.0.0/104"), rule("never any 10.0.0.0/8"));
}

#[test]
fn the_wildcard_lies_only_where_every_address_does() {
    // Other tests look at what is allocated.
    let _alone = ksim::exclusive();
    let p = policy(&["require in 0.0.0.0/1", "never in 0.0.0.0", "require in ::/128"]);
    assert_eq!(decide(&p, In, "0.0.0.0:80"), Prefer);
    assert_eq!(decide(&p, In, "[::]:80"), Prefer);
    assert_eq!(decide(&p, In, "1.2.3.4:80"), Require);
    assert_eq!(decide(&policy(&["require in 0.0.0.0/0"]), In, "0.0.0.0:80"), Require);
    assert_eq!(decide(&policy(&["require in 0.0.0.0/0"]), In, "[::]:80"), Prefer);
    assert_eq!(decide(&policy(&["never in any port 80"]), In, "[::]:80"), Never);
}

#[test]
fn tcp_is_out_of_reach_only_behind_rules_that_catch_everything() {
    // Other tests look at what is allocated.
    let _alone = ksim::exclusive();
    let may = |lines: &[&str]| {
        let p = policy(lines);
        (p.may_use_tcp(In), p.may_use_tcp(Out))
    };
    assert_eq!(may(&[]), (true, true));
    assert_eq!(may(&["require any any"]), (false, false));
    assert_eq!(may(&["require out any"]), (true, false));
    assert_eq!(may(&["require any 0.0.0.0/0"]), (true, true));
    assert_eq!(may(&["require any 0.0.0.0/0", "require out ::/0"]), (true, false));
    assert_eq!(may(&["require any any port 1-65535"]), (true, true));
    assert_eq!(may(&["prefer in 10.0.0.0/8", "require any any"]), (true, false));
    assert_eq!(may(&["never in 10.0.0.0/8", "require any any"]), (true, false));
    assert_eq!(may(&["require any any", "prefer any any"]), (false, false));
}

#[test]
fn rdma_is_out_of_reach_only_behind_rules_that_catch_everything() {
    // Other tests look at what is allocated.
    let _alone = ksim::exclusive();
    let p = policy(&["never in any", "never out 10.0.0.0/8"]);
    assert_eq!((p.may_use_rdma(In), p.may_use_rdma(Out)), (false, true));
}

#[test]
fn a_policy_holds_so_many_rules_and_no_more() {
    // Other tests look at what is allocated.
    let _alone = ksim::exclusive();
    let mut rules = vec![rule("never any 10.0.0.1"); MAX_RULES];
    rules.push(rule("never any any"));
    let p = Policy::new(&rules).unwrap();
    assert_eq!(p.rules().len(), MAX_RULES);
    assert_eq!(decide(&p, Out, "10.0.0.2:1"), Prefer);
}

#[test]
fn rules_are_collected_until_there_are_too_many() {
    // Other tests look at what is allocated.
    let _alone = ksim::exclusive();
    let mut builder = PolicyBuilder::new();
    assert_eq!(builder.add("perhaps in any"), Err(RuleError::Action));
    for port in 0..MAX_RULES {
        assert_eq!(builder.add(&format!("never out any port {port}")), Ok(()));
    }
    assert_eq!(builder.add("never out any"), Err(RuleError::TooMany));
    let p = builder.build().unwrap();
    assert_eq!(decide(&p, Out, "10.0.0.2:63"), Never);
    assert_eq!(decide(&p, Out, "10.0.0.2:64"), Prefer);
}

fn addresses() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
        // Few different ones, so that prefixes catch some.
        (0..4u32).prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits << 30))),
    ]
}

fn prefixes() -> impl Strategy<Value = Prefix> {
    (addresses(), 0..=128u8).prop_map(|(address, length)| match address {
        IpAddr::V4(a) => {
            let length = length % 33;
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            Prefix::new(Ipv4Addr::from_bits(a.to_bits() & mask).into(), length).unwrap()
        }
        IpAddr::V6(a) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            Prefix::new(Ipv6Addr::from_bits(a.to_bits() & mask).into(), length).unwrap()
        }
    })
}

fn directions() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(In), Just(Out)]
}

fn rules() -> impl Strategy<Value = Rule> {
    let ports =
        prop_oneof![Just(ALL_PORTS), (any::<u16>(), any::<u16>()).prop_map(|(a, b)| a.min(b)..=a.max(b))];
    let action = prop_oneof![Just(Prefer), Just(Require), Just(Never)];
    (action, proptest::option::of(directions()), proptest::option::of(prefixes()), ports)
        .prop_map(|(action, direction, prefix, ports)| Rule { action, direction, prefix, ports })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_can_be_read(rule in rules()) {
        // Other tests look at what is allocated.
        let _alone = ksim::exclusive();
        prop_assert_eq!(rule.to_string().parse(), Ok(rule.clone()));
        prop_assert_eq!(rule.to_string().to_uppercase().parse(), Ok(rule));
    }

    #[test]
    fn no_text_is_too_strange(text in ".{0,60}", words in "(never|in|any|port|/|-|:|[0-9. ]){0,12}") {
        // Other tests look at what is allocated.
        let _alone = ksim::exclusive();
        // A text that is a rule says the same when it is printed.
        for text in [text, words] {
            if let Ok(rule) = text.parse::<Rule>() {
                prop_assert_eq!(rule.to_string().parse(), Ok(rule));
            }
        }
    }

    #[test]
    fn a_prefix_has_the_addresses_that_begin_like_it(prefix in prefixes(), address in addresses()) {
        // Other tests look at what is allocated.
        let _alone = ksim::exclusive();
        let address = address.to_canonical();
        prop_assume!(!address.is_unspecified());
        let binary = |a: IpAddr| match a {
            IpAddr::V4(a) => format!("4{:032b}", a.to_bits()),
            IpAddr::V6(a) => format!("6{:0128b}", a.to_bits()),
        };
        let begins = binary(prefix.address).chars().take(1 + usize::from(prefix.length)).collect::<std::string::String>();
        prop_assert_eq!(prefix.contains(address), binary(address).starts_with(&begins));
    }

    #[test]
    fn what_is_out_of_reach_is_never_decided(
        rules in proptest::collection::vec(rules(), 0..6),
        direction in directions(),
        places in proptest::collection::vec((addresses(), any::<u16>()), 1..20),
    ) {
        // Other tests look at what is allocated.
        let _alone = ksim::exclusive();
        let policy = Policy::new(&rules).unwrap();
        for (ip, port) in places {
            let action = policy.decide(direction, SocketAddr::new(ip, port));
            prop_assert!(policy.may_use_tcp(direction) || action == Require);
            prop_assert!(policy.may_use_rdma(direction) || action == Never);
        }
    }
}
