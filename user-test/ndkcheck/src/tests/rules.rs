//! The rules, their tests and their page agree.

use crate::rule::Rule;

const PAGE: &str = include_str!("../../../../docs/ndk-contract-checks.md");
const TESTS: [&str; 4] = [
    include_str!("connections.rs"),
    include_str!("memory.rs"),
    include_str!("objects.rs"),
    include_str!("work.rs"),
];

/// Name of the test that breaks a rule.
fn test_name(rule: Rule) -> String {
    rule.name().replace('-', "_")
}

#[test]
fn every_rule_is_broken_by_the_test_of_its_name() {
    for rule in Rule::ALL {
        let head = format!("#[test]\nfn {}() {{\n", test_name(*rule));
        let body = TESTS.iter().find_map(|text| Some(text.split_once(&head)?.1.split_once("\n}\n")?.0));
        let body = body.unwrap_or_else(|| panic!("no test breaks {}", rule.name()));
        assert!(body.contains(&format!("Rule::{rule:?}")), "{}", rule.name());
    }
}

#[test]
fn the_page_has_every_rule() {
    let table = PAGE.split("## ").find(|section| section.starts_with("Rules")).unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = Rule::ALL
        .iter()
        .map(|rule| {
            format!("| `{}` | {} | {} | `{}` |", rule.name(), rule.section(), rule.text(), test_name(*rule))
        })
        .collect();
    assert_eq!(rows, expected);
}
