//! Reading what `cargo test` prints, on both streams.

use super::tally::Counted;

/// A test program that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suite {
    /// Crate and file.
    pub(super) name: String,
    /// What it counted. A program that ended before it could counts as one failure.
    pub(super) counted: Counted,
    /// What it printed, without the tests that passed.
    pub(super) output: String,
    /// Tests that it did not run, each with the reason if it gave one.
    pub(super) ignored: Vec<(String, String)>,
}

/// Takes the output line by line.
#[derive(Debug, Default)]
pub(super) struct CargoOutput {
    open: Option<Suite>,
    /// What cargo and the compiler said outside any program.
    outside: Vec<String>,
}

impl CargoOutput {
    /// Takes a line; returns a program that has ended by it.
    pub(super) fn line(&mut self, line: &str) -> Option<Suite> {
        if let Some(name) = suite_name(line) {
            let crashed = self.end();
            self.open =
                Some(Suite { name, counted: Counted::default(), output: String::new(), ignored: Vec::new() });
            return crashed;
        }
        let Some(open) = &mut self.open else {
            self.outside.push(line.to_owned());
            return None;
        };
        if let Some(counted) = counted(line) {
            open.counted = counted;
            return self.open.take();
        }
        if let Some((test, reason)) = ignored(line) {
            open.ignored.push((test.to_owned(), reason.to_owned()));
        } else if !(line.is_empty() || line.ends_with(" ... ok") || line.starts_with("running ")) {
            open.output.push_str(line);
            open.output.push('\n');
        }
        None
    }

    /// Nothing more comes; returns a program that has not counted its tests.
    pub(super) fn end(&mut self) -> Option<Suite> {
        let mut crashed = self.open.take()?;
        crashed.counted.failed = 1;
        crashed.output.push_str("the program ended before it could count its tests\n");
        Some(crashed)
    }

    /// What was said outside any program: errors of the compiler.
    pub(super) fn outside(&self) -> String {
        let is_progress = |line: &&String| {
            let line = line.trim_start();
            ["Compiling", "Downloaded", "Downloading", "Finished", "Locking", "Updating", "Blocking"]
                .iter()
                .any(|word| line.starts_with(word))
        };
        let said: Vec<_> =
            self.outside.iter().filter(|line| !is_progress(line)).map(String::as_str).collect();
        said.join("\n")
    }
}

/// `Running unittests src/lib.rs (target/debug/deps/wskrdma_abi-0123)`, or `Doc-tests wskrdma_abi`.
fn suite_name(line: &str) -> Option<String> {
    let line = line.trim();
    if let Some(name) = line.strip_prefix("Doc-tests ") {
        return Some(format!("{name}, documentation"));
    }
    let (source, program) = line.strip_prefix("Running ")?.strip_suffix(')')?.rsplit_once(" (")?;
    let source = source.strip_prefix("unittests ").unwrap_or(source);
    let program = program.rsplit(['/', '\\']).next()?;
    let name = program.rsplit_once('-').map_or(program, |(name, _)| name);
    Some(format!("{name}, {source}"))
}

/// `test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s`.
fn counted(line: &str) -> Option<Counted> {
    let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number = |word: &str| {
        let part = numbers.split("; ").find(|part| part.ends_with(word))?;
        part.split(' ').next()?.parse().ok()
    };
    Some(Counted { passed: number("passed")?, failed: number("failed")?, ignored: number("ignored")? })
}

/// `test a::b ... ignored, why`.
fn ignored(line: &str) -> Option<(&str, &str)> {
    let (test, rest) = line.strip_prefix("test ")?.split_once(" ... ignored")?;
    Some((test, rest.trim_start_matches([',', ' '])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suites(text: &str) -> Vec<Suite> {
        let mut output = CargoOutput::default();
        let mut suites: Vec<_> = text.lines().filter_map(|line| output.line(line)).collect();
        suites.extend(output.end());
        suites
    }

    const GOOD: &str = "   Compiling x v0.1.0\n     Running unittests src/lib.rs (target/debug/deps/wskrdma_abi-01ab)\n\n\
                        running 2 tests\ntest a ... ok\ntest b ... ignored, slow\n\n\
                        test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";

    #[test]
    fn a_program_is_counted_when_it_has() {
        let suites = suites(&format!(
            "{GOOD}   Doc-tests wskrdma_abi\n\nrunning 0 tests\n\n\
            test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n"
        ));
        let [first, second] = suites.as_slice() else { panic!("two programs: {suites:?}") };
        assert_eq!(first.name, "wskrdma_abi, src/lib.rs");
        assert_eq!(first.counted, Counted { passed: 1, failed: 0, ignored: 1 });
        assert_eq!(first.ignored, [("b".to_owned(), "slow".to_owned())]);
        assert_eq!(first.output, "");
        assert_eq!(second.name, "wskrdma_abi, documentation");
    }

    #[test]
    fn a_failure_keeps_what_was_printed() {
        let suites = suites(
            "     Running tests/a.rs (/t/deps/a-1)\ntest c ... FAILED\npanicked at x\n\
            test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        let [suite] = suites.as_slice() else { panic!("one program: {suites:?}") };
        assert_eq!((suite.counted.passed, suite.counted.failed), (4, 2));
        assert_eq!(suite.output, "test c ... FAILED\npanicked at x\n");
    }

    #[test]
    fn a_program_that_dies_is_a_failure() {
        let text = format!("     Running tests/a.rs (/t/deps/a-1)\nrunning 3 tests\nbug check 0x44\n{GOOD}");
        let both = suites(&text);
        let [died, good] = both.as_slice() else { panic!("two programs: {both:?}") };
        assert_eq!(died.counted.failed, 1);
        assert!(died.output.starts_with("bug check"), "{}", died.output);
        assert_eq!(good.counted.failed, 0);
        assert_eq!(suites("     Running tests/a.rs (/t/deps/a-1)\nSIGABRT").len(), 1);
    }

    #[test]
    fn what_the_compiler_says_is_kept() {
        let mut output = CargoOutput::default();
        for line in ["   Compiling x v1", "error[E0433]: x", "  --> a.rs:1"] {
            assert_eq!(output.line(line), None);
        }
        assert_eq!(output.outside(), "error[E0433]: x\n  --> a.rs:1");
    }
}
