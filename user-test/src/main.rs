//! wskrdma-test: the harness program.

fn main() {}
