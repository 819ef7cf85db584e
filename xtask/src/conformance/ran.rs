//! How a conformance case ended, as `wskrdma-test --json cases` tells it.

use anyhow::{Result, bail};
use serde_json::Value;

use crate::demo::harness::Harness;

/// A case that was run, or listed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ran {
    /// Its name.
    pub(crate) name: String,
    /// What of the WSK contract it looks at.
    pub(crate) section: String,
    /// `passed`, `failed` or another word; nothing for a case that was only listed.
    pub(crate) outcome: String,
    /// Why it did not pass.
    pub(crate) why: String,
    /// The step that failed.
    pub(crate) at: String,
    /// The functions that it has asked for.
    pub(crate) asks: Vec<String>,
    /// All that was said.
    pub(crate) json: Value,
}

impl Ran {
    /// Reads an event of a case.
    pub(crate) fn read(object: &Value) -> Option<Self> {
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let asks = object.get("asks").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let name = object.get("case")?.as_str()?.to_owned();
        Some(Self {
            name,
            section: text("section"),
            outcome: text("outcome"),
            why: text("why"),
            at: text("at"),
            asks: asks.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            json: object.clone(),
        })
    }

    pub(crate) fn passed(&self) -> bool {
        self.outcome == "passed"
    }

    /// Whether it needs what the test client cannot do.
    pub(crate) fn skipped(&self) -> bool {
        self.outcome == "skipped"
    }

    /// What is wrong about it, as one sentence or none.
    pub(crate) fn wrong(&self) -> Vec<String> {
        if self.passed() || self.skipped() {
            return Vec::new();
        }
        vec![format!("{}: {} {}", self.outcome, self.why, self.at)]
    }

    /// Whether it asks for nothing but these functions.
    pub(crate) fn asks_only(&self, functions: &[&str]) -> bool {
        self.asks.iter().all(|asked| functions.contains(&asked.as_str()))
    }

    /// Whether no other case runs on the machine after it, and its drivers cannot be stopped.
    pub(crate) fn loses_the_machine(&self) -> bool {
        ["stuck", "hung", "refused"].contains(&self.outcome.as_str())
    }
}

/// Runs cases; `arguments` are those of `wskrdma-test cases`.
///
/// # Errors
///
/// If the program cannot be run, or says nothing of any case.
pub(crate) fn run(harness: &Harness, arguments: &[&str]) -> Result<Vec<Ran>> {
    let arguments: Vec<_> = ["cases"].iter().chain(arguments).copied().collect();
    let ended = harness.call(&arguments, &mut |_, _| ())?;
    if ended.cases.is_empty() {
        let said = ended.error.clone().unwrap_or_else(|| ended.text());
        bail!("wskrdma-test ended with code {} and ran no case: {said}", ended.code);
    }
    Ok(ended.cases)
}

/// The names of all cases.
///
/// # Errors
///
/// As for [`run`].
pub(crate) fn names(harness: &Harness) -> Result<Vec<String>> {
    Ok(run(harness, &["--list"])?.into_iter().map(|case| case.name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ran(outcome: &str) -> Ran {
        let object = json!({
            "event": "case", "case": "send-small", "section": "WskSend", "outcome": outcome, "why": "w", "at": "a.rs:1",
            "asks": ["WskSocket", "WskSend"],
        });
        Ran::read(&object).expect("a case")
    }

    #[test]
    fn a_case_is_read_and_judged() {
        assert_eq!(ran("passed").wrong(), [] as [String; 0]);
        assert_eq!(ran("failed").wrong(), ["failed: w a.rs:1"]);
        assert!(ran("failed").asks_only(&["WskSend", "WskSocket", "WskBind"]));
        assert!(!ran("failed").asks_only(&["WskSocket"]));
        assert!(ran("stuck").loses_the_machine() && !ran("failed").loses_the_machine());
        assert_eq!(Ran::read(&json!({ "event": "cases" })), None);
    }

    #[test]
    fn a_listed_case_has_no_outcome() {
        let listed = Ran::read(&json!({ "event": "listed", "case": "a", "section": "b" })).expect("a case");
        assert_eq!((listed.outcome.as_str(), listed.section.as_str()), ("", "b"));
    }
}
