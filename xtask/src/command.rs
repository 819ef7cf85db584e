//! Running other programs.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use duct::Expression;

/// How many lines of a failed program's output are worth showing.
const TAIL_LINES: usize = 30;

/// Runs `command` silently.
///
/// # Errors
///
/// If it cannot be started or fails; the message then ends with the last lines of its output.
pub fn quiet(what: &str, command: &Expression) -> Result<()> {
    output(what, command).map(drop)
}

/// Runs `command` and returns what it printed, on both streams.
///
/// # Errors
///
/// As for [`quiet`].
pub fn output(what: &str, command: &Expression) -> Result<String> {
    let command = command.stderr_to_stdout().stdout_capture().stdin_null().unchecked();
    let output = command.run().with_context(|| format!("cannot start {what}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{what} failed:\n{}", tail(&text));
    }
    Ok(text)
}

/// Runs `command` with its output going to the terminal.
///
/// # Errors
///
/// If it cannot be started or fails.
pub fn visible(what: &str, command: &Expression) -> Result<()> {
    let status = command.unchecked().run().with_context(|| format!("cannot start {what}"))?.status;
    if !status.success() {
        bail!("{what} failed");
    }
    Ok(())
}

/// Where on the search path `program` is.
pub fn find_program(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| is_executable(candidate))
}

fn is_executable(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    }
    #[cfg(not(unix))]
    {
        path.is_file() || path.with_extension("exe").is_file()
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.len().saturating_sub(TAIL_LINES);
    lines.get(start..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_carries_the_end_of_the_output() {
        let script = "for i in 1 2 3; do echo line $i; done; echo last >&2; exit 3";
        let error = quiet("the script", &duct::cmd!("sh", "-c", script)).expect_err("exit code 3");
        let message = format!("{error:#}");
        assert!(message.starts_with("the script failed:"), "{message}");
        assert!(message.ends_with("line 3\nlast"), "{message}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = quiet("the tool", &duct::cmd!("no-such-program-here")).expect_err("no such program");
        assert!(format!("{error:#}").starts_with("cannot start the tool"));
        assert!(find_program("no-such-program-here").is_none());
        assert!(find_program("sh").is_some());
    }

    #[test]
    fn only_the_tail_of_long_output_is_shown() {
        let text: String = (0..100).map(|line| format!("{line}\n")).collect();
        let shown = tail(&text);
        assert_eq!(shown.lines().count(), TAIL_LINES);
        assert!(shown.ends_with("99"));
    }
}
