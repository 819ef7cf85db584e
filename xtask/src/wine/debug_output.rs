//! What a prefix's log says.

/// What Wine puts in front of a line that a driver has printed.
const DRIVER_LINE: &str = "vDbgPrintExWithPrefix ";

/// The lines of the log that somebody cares about.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct DebugOutput {
    lines: Vec<String>,
    errors: Vec<String>,
}

impl DebugOutput {
    /// Takes Wine's log apart.
    pub(super) fn parse(log: &str) -> Self {
        let mut output = Self::default();
        for line in log.lines().map(str::trim_end) {
            if let Some((_, printed)) = line.split_once(DRIVER_LINE) {
                // Component and level stand before the text.
                let text = printed.split_once(": ").map_or(printed, |(_, text)| text);
                output.lines.push(text.to_owned());
                if text.contains("ERROR") {
                    output.errors.push(text.to_owned());
                }
            } else if is_crash(line) {
                output.errors.push(line.to_owned());
            }
        }
        output
    }

    /// The lines that drivers have printed, oldest first.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Broken rules of the framework, and crashes.
    pub fn errors(&self) -> &[String] {
        &self.errors
    }

    /// The last `count` lines.
    pub fn tail(&self, count: usize) -> String {
        let all: Vec<_> = self.lines.iter().chain(&self.errors).map(String::as_str).collect();
        all.get(all.len().saturating_sub(count)..).unwrap_or_default().join("\n")
    }
}

/// A crash, a call of something Wine lacks, or a driver that could not be loaded.
fn is_crash(line: &str) -> bool {
    const SIGNS: [&str; 4] = ["Unhandled", "unimplemented function", "err:ntoskrnl", "err:module"];
    SIGNS.iter().any(|sign| line.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn driver_lines_are_told_from_the_rest() {
        let log = "0118:warn:debugstr:vDbgPrintExWithPrefix 00000000:00000001: wdfldr: bound\n\
                   0118:err:something:else 1\n\
                   0118:warn:debugstr:vDbgPrintExWithPrefix 00000050:00000000: a: b\r\n";
        let output = DebugOutput::parse(log);
        assert_eq!(output.lines(), ["wdfldr: bound", "a: b"]);
        assert!(output.errors().is_empty());
    }

    #[test]
    fn broken_rules_and_crashes_are_errors() {
        let log = "0118:warn:debugstr:vDbgPrintExWithPrefix 00000000:00000001: wdfldr: ERROR: twice\n\
                   wine: Unhandled page fault on read access\n";
        let output = DebugOutput::parse(log);
        assert_eq!(output.errors(), ["wdfldr: ERROR: twice", "wine: Unhandled page fault on read access"]);
        assert_eq!(output.tail(1), "wine: Unhandled page fault on read access");
    }
}
