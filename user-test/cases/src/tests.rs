//! The table itself, and the pattern.

extern crate std;

use crate::{CASES, pattern};
use std::collections::HashSet;
use std::vec;

#[test]
fn every_case_has_a_name_of_its_own() {
    let names: HashSet<_> = CASES.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), CASES.len());
    for case in CASES {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(!case.name.is_empty() && case.name.chars().all(plain), "{}", case.name);
        assert!(!case.section.is_empty(), "{}", case.name);
    }
}

#[test]
fn a_shifted_stream_is_told_apart_at_once() {
    let mut octets = vec![0; 4096];
    pattern::fill(&mut octets, 70_000);
    assert_eq!(pattern::first_difference(&octets, 70_000), None);
    for shift in [1, 2, 256, 4096, 65_536, 131_072] {
        let difference = pattern::first_difference(&octets, 70_000 + shift);
        assert!(difference.is_some_and(|at| at < 8), "shifted by {shift}: {difference:?}");
    }
    octets[100] ^= 1;
    assert_eq!(pattern::first_difference(&octets, 70_000), Some(100));
}
