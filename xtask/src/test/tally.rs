//! The count of what passed and what failed.

use std::fmt::Display;
use std::time::Instant;

use anyhow::Result;

use crate::Told;

/// What has been counted so far. Each failure is told when it happens.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
    failures: Vec<String>,
}

impl Tally {
    /// Does `work` and counts it as one test; returns what it made.
    pub(crate) fn check<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Option<T> {
        let start = Instant::now();
        match work() {
            Ok(made) => {
                self.passed += 1;
                println!("passed {name} ({:.1} s)", start.elapsed().as_secs_f64());
                Some(made)
            }
            Err(error) => {
                self.fail(name, &format!("{error:#}"));
                None
            }
        }
    }

    /// Counts one test that is passed if nothing is wrong.
    pub(crate) fn judge(&mut self, name: &str, wrong: &[impl Display]) {
        if wrong.is_empty() {
            self.passed += 1;
            println!("passed {name}");
        } else {
            let lines: Vec<_> = wrong.iter().map(ToString::to_string).collect();
            self.fail(name, &lines.join("\n"));
        }
    }

    /// Counts the tests of one program.
    pub(crate) fn suite(&mut self, name: &str, counted: Counted, output: &str) {
        self.passed += counted.passed;
        self.skipped += counted.ignored;
        let Counted { passed, failed, ignored } = counted;
        if failed == 0 {
            let left_out = if ignored == 0 { String::new() } else { format!(", {ignored} ignored") };
            println!("passed {name}: {passed} tests{left_out}");
        } else {
            self.fail(name, output);
            self.failed += failed - 1;
        }
    }

    /// Whether nothing has failed so far.
    pub(crate) const fn has_passed(&self) -> bool {
        self.failed == 0
    }

    /// Says that something has not been tested.
    pub(crate) fn not_run(&self, what: &str, why: &str) {
        println!("not run: {what}: {why}");
    }

    /// Prints the failures once more, and the line that counts.
    ///
    /// # Errors
    ///
    /// [`Told`] if there were any.
    pub(crate) fn finish(self) -> Result<()> {
        for name in &self.failures {
            println!("FAILED {name}");
        }
        println!("{}", self.line());
        if self.failed == 0 { Ok(()) } else { Err(Told.into()) }
    }

    fn fail(&mut self, name: &str, text: &str) {
        self.failed += 1;
        self.failures.push(name.to_owned());
        println!("FAILED {name}");
        for line in text.lines() {
            println!("       {line}");
        }
    }

    fn line(&self) -> String {
        let skipped = if self.skipped == 0 { String::new() } else { format!(", {} skipped", self.skipped) };
        format!("{} passed, {} failed{skipped}", self.passed, self.failed)
    }
}

/// What a test program says of its tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_counted() {
        let mut tally = Tally::default();
        assert_eq!(tally.check("a", || Ok(1)), Some(1));
        assert_eq!(tally.check("b", || anyhow::bail!("no") as Result<()>), None);
        tally.judge("c", &[] as &[&str]);
        tally.judge("d", &["wrong", "as well"]);
        tally.suite("e", Counted { passed: 5, failed: 0, ignored: 1 }, "");
        tally.suite("f", Counted { passed: 5, failed: 3, ignored: 0 }, "why");
        tally.not_run("g", "no time");
        assert_eq!(tally.line(), "12 passed, 5 failed, 1 skipped");
        assert_eq!(tally.failures, ["b", "d", "f"]);
        assert!(tally.finish().is_err());
    }

    #[test]
    fn without_a_failure_the_line_is_short_and_the_end_is_good() {
        let mut tally = Tally::default();
        tally.judge("a", &[] as &[&str]);
        assert_eq!(tally.line(), "1 passed, 0 failed");
        assert!(tally.finish().is_ok());
    }
}
