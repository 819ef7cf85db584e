//! All tooling: setup, build, demo, test, package, verify, ci.

fn main() {}
